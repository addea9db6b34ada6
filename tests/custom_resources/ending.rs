//! Names in conflict, and the end of a definition and of a namespace.

use serde_json::{Value, json};

use super::{
    DEFINITIONS, PATIENCE, Server, TABS, await_condition, condition, crontab, crontabs, define,
    eventually,
};

const NAME: &str = "crontabs.stable.example.com";

#[test]
fn definitions_come_and_go() {
    let server = Server::start(|_| {}, &[]);
    define(&server, &crontabs());
    conflicting(&server);
    namespace(&server);
    deleted(&server);
}

/// A second definition wants the kind and the short name of the first, and gets them after it.
fn conflicting(server: &Server) {
    let mut second = crontabs();
    second["metadata"]["name"] = "others.stable.example.com".into();
    second["spec"]["names"] = json!({"plural": "others", "kind": "CronTab", "shortNames": ["ct"]});
    assert_eq!(server.post(DEFINITIONS, &second).code, 201);
    let name = "others.stable.example.com";
    await_condition(server, name, "NamesAccepted", "False");
    let accepted = condition(server, name, "NamesAccepted");
    assert_eq!(
        (&accepted["reason"], &accepted["message"]),
        (&json!("ListKindConflict"), &json!("\"CronTabList\" is already in use"))
    );
    assert_eq!(condition(server, name, "Established")["reason"], "NotAccepted");
    assert_eq!(server.get("/apis/stable.example.com/v1/others").code, 404);
}

fn namespace(server: &Server) {
    let ns = json!({"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "going"}});
    assert_eq!(server.post("/api/v1/namespaces", &ns).code, 201);
    let inside = TABS.replace("/default/", "/going/");
    assert_eq!(server.post(&inside, &crontab("a")).code, 201);
    server.send("DELETE", "/api/v1/namespaces/going", &[], None);
    eventually("the namespace goes", PATIENCE, || {
        match server.get("/api/v1/namespaces/going").code {
            404 => Ok(()),
            code => Err(code.to_string()),
        }
    });
    assert_eq!(server.get(&inside).body["items"], json!([]));
}

fn deleted(server: &Server) {
    let mut held = crontab("held");
    held["metadata"]["finalizers"] = json!(["example.com/hold"]);
    assert_eq!(server.post(TABS, &held).code, 201);
    assert_eq!(server.post(TABS, &crontab("free")).code, 201);
    let before = server.get(&format!("{DEFINITIONS}/others.stable.example.com")).body;
    let deleted = server.send("DELETE", &format!("{DEFINITIONS}/{NAME}"), &[], None);
    assert_eq!(deleted.code, 200);
    assert_eq!(
        deleted.body["metadata"]["finalizers"],
        json!(["customresourcecleanup.apiextensions.k8s.io"])
    );
    let refused = server.post(TABS, &crontab("late"));
    assert_eq!(
        (refused.code, refused.body["message"].as_str()),
        (405, Some("create not allowed while custom resource definition is terminating"))
    );
    eventually("what nothing holds goes", PATIENCE, || {
        match server.get(&format!("{TABS}/free")).code {
            404 => Ok(()),
            code => Err(code.to_string()),
        }
    });
    assert_eq!(condition(server, NAME, "Terminating")["reason"], "InstanceDeletionInProgress");
    // A watch ends with its kind.
    let patch = json!([{"op": "remove", "path": "/metadata/finalizers"}]);
    let media = ("content-type", "application/json-patch+json");
    assert_eq!(server.send("PATCH", &format!("{TABS}/held"), &[media], Some(&patch)).code, 200);
    eventually("the definition goes", PATIENCE, || {
        match server.get(&format!("{DEFINITIONS}/{NAME}")).code {
            404 => Ok(()),
            code => Err(code.to_string()),
        }
    });
    assert_eq!(server.get(TABS).code, 404);
    await_condition(server, "others.stable.example.com", "Established", "True");
    assert_ne!(before["status"]["acceptedNames"]["kind"], "CronTab");
    let resources = server.get("/apis/stable.example.com/v1").body;
    let names = |r: &Value| r["name"].as_str().is_some_and(|n| n.starts_with("crontabs"));
    assert!(!resources["resources"].as_array().expect("list").iter().any(names));
}
