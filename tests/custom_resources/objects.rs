//! One kind in full, over HTTP.

use serde_json::{Value, json};

use super::{PATIENCE, Server, TABS, crontab, crontabs, define, eventually, server::Answer};

const MERGE: (&str, &str) = ("content-type", "application/merge-patch+json");
const TABLE: (&str, &str) = ("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

#[test]
fn a_kind_is_served_in_full() {
    let mut server = Server::start(|_| {}, &[]);
    assert_eq!(server.get(TABS).code, 404);
    define(&server, &crontabs());
    discovered(&server);
    written(&server);
    checked(&server);
    generations(&server);
    scaled(&server);
    applied(&server);
    selected(&server);
    owned(&server);
    server.stop();
    server.run();
    let kept = server.get(&format!("{TABS}/a"));
    assert_eq!((kept.code, &kept.body["spec"]["image"]), (200, &json!("cron")));
}

fn discovered(server: &Server) {
    let group = server.get("/apis/stable.example.com").body;
    assert_eq!(group["preferredVersion"]["version"], "v1");
    let resources = server.get("/apis/stable.example.com/v1").body;
    let names: Vec<&Value> =
        resources["resources"].as_array().expect("list").iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["crontabs", "crontabs/scale", "crontabs/status"]);
    assert_eq!(resources["resources"][0]["shortNames"], json!(["ct"]));
    assert_eq!(resources["resources"][0]["categories"], json!(["all"]));
    let accept = ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    let all = server.send("GET", "/apis", &[accept], None).body;
    let items = all["items"].as_array().expect("items");
    let own = items.iter().find(|i| i["metadata"]["name"] == "stable.example.com").expect("group");
    assert_eq!(own["versions"][1]["version"], "v1beta1");
    let index = server.get("/openapi/v3").body;
    let url = index["paths"]["apis/stable.example.com/v1"]["serverRelativeURL"].clone();
    let document = server.get(url.as_str().expect("url")).body;
    let schema = &document["components"]["schemas"]["com.example.stable.v1.CronTab"];
    assert_eq!(schema["properties"]["spec"]["properties"]["cronSpec"]["description"], "When.");
    assert_eq!(schema["x-kubernetes-group-version-kind"][0]["kind"], "CronTab");
    let old = server.send("GET", "/openapi/v2", &[("accept", "application/json")], None).body;
    assert!(old["definitions"]["com.example.stable.v1.CronTab"].is_object());
}

fn written(server: &Server) {
    let mut tab = crontab("a");
    tab["spec"]["unknown"] = 1.into();
    tab["spec"]["free"] = json!({"any": {"thing": null}});
    tab["status"] = json!({"replicas": 9});
    let created = server.post(TABS, &tab);
    assert_eq!(created.code, 201, "{created:?}");
    assert_eq!(
        created.body["spec"],
        json!({"cronSpec": "5", "image": "cron", "replicas": 1, "free": {"any": {"thing": null}}})
    );
    assert!(created.body["status"].is_null());
    assert_eq!(created.body["metadata"]["generation"], 1);
    assert_eq!(server.post(TABS, &crontab("a")).body["reason"], "AlreadyExists");
    let beta = TABS.replace("/v1/", "/v1beta1/");
    assert_eq!(server.get(&format!("{beta}/a")).body["apiVersion"], "stable.example.com/v1beta1");
    let listed = server.get(&beta).body;
    assert_eq!(
        (&listed["kind"], &listed["items"][0]["apiVersion"]),
        (&json!("CronTabList"), &json!("stable.example.com/v1beta1"))
    );
    let table = server.send("GET", TABS, &[TABLE], None).body;
    assert_eq!(table["columnDefinitions"][1]["name"], "Spec");
    assert_eq!(
        table["rows"][0]["cells"].as_array().expect("cells")[..3],
        [json!("a"), json!("5"), json!(1)]
    );
    let partial = ("accept", "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
    let partial = server.send("GET", TABS, &[partial], None).body;
    assert_eq!(partial["items"][0]["kind"], "PartialObjectMetadata");
}

fn refused(answer: &Answer, code: u16, message: &str) {
    assert_eq!((answer.code, answer.body["message"].as_str()), (code, Some(message)));
}

fn checked(server: &Server) {
    let mut tab = crontab("b");
    tab["spec"]["foo"] = 1.into();
    let strict = server.post(&format!("{TABS}?fieldValidation=Strict"), &tab);
    refused(
        &strict,
        400,
        "CronTab in version \"v1\" cannot be handled as a CronTab: strict decoding error: unknown field \"spec.foo\"",
    );
    let mut tab = crontab("b");
    tab["spec"]["replicas"] = 11.into();
    refused(
        &server.post(TABS, &tab),
        422,
        "CronTab.stable.example.com \"b\" is invalid: spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10",
    );
    tab["spec"] = json!({});
    refused(
        &server.post(TABS, &tab),
        422,
        "CronTab.stable.example.com \"b\" is invalid: spec.cronSpec: Required value",
    );
    refused(
        &server.send("PUT", &format!("{TABS}/a"), &[], Some(&crontab("a"))),
        422,
        "CronTab.stable.example.com \"a\" is invalid: metadata.resourceVersion: Invalid value: 0: must be specified for an update",
    );
    let media = ("content-type", "application/strategic-merge-patch+json");
    refused(
        &server.send("PATCH", &format!("{TABS}/a"), &[media], Some(&json!({}))),
        415,
        "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    );
    let media = ("content-type", "application/vnd.kubernetes.protobuf");
    assert_eq!(server.send("POST", TABS, &[media], Some(&json!({}))).code, 415);
    let mut tab = crontab("b");
    tab["metadata"]["labels"] = json!({"n": 1});
    assert_eq!(server.post(TABS, &tab).code, 400);
}

fn generations(server: &Server) {
    let one = format!("{TABS}/a");
    let patched = |path: &str, body: Value| {
        let answer = server.send("PATCH", path, &[MERGE], Some(&body));
        assert_eq!(answer.code, 200, "{answer:?}");
        answer.body
    };
    let labelled = patched(&one, json!({"metadata": {"labels": {"l": "1"}}}));
    assert_eq!(labelled["metadata"]["generation"], 1);
    let changed = patched(&one, json!({"spec": {"replicas": 2}, "status": {"replicas": 7}}));
    assert_eq!((&changed["metadata"]["generation"], &changed["status"]), (&json!(2), &Value::Null));
    let status = json!({"metadata": {"labels": {"l": "2"}}, "spec": {"replicas": 9},
        "status": {"replicas": 2, "selector": "app=a"}});
    let written = patched(&format!("{one}/status"), status);
    assert_eq!(written["metadata"]["generation"], 2);
    assert_eq!(written["metadata"]["labels"]["l"], "1");
    assert_eq!(
        (&written["spec"]["replicas"], &written["status"]["replicas"]),
        (&json!(2), &json!(2))
    );
    let json_patch = ("content-type", "application/json-patch+json");
    let operations = json!([{"op": "replace", "path": "/spec/replicas", "value": 3}]);
    let answer = server.send("PATCH", &one, &[json_patch], Some(&operations));
    assert_eq!(answer.body["metadata"]["generation"], 3);
}

fn scaled(server: &Server) {
    let path = format!("{TABS}/a/scale");
    let mut scale = server.get(&path).body;
    assert_eq!(
        (&scale["spec"], &scale["status"]),
        (&json!({"replicas": 3}), &json!({"replicas": 2, "selector": "app=a"}))
    );
    scale["spec"]["replicas"] = 4.into();
    assert_eq!(server.send("PUT", &path, &[], Some(&scale)).code, 200);
    let patch = json!({"spec": {"replicas": 11}});
    assert_eq!(server.send("PATCH", &path, &[MERGE], Some(&patch)).code, 422);
    assert_eq!(server.get(&format!("{TABS}/a")).body["spec"]["replicas"], 4);
}

fn applied(server: &Server) {
    let media = ("content-type", "application/apply-patch+yaml");
    let apply = |manager: &str, body: &Value| {
        let path = format!("{TABS}/applied?fieldManager={manager}");
        server.send("PATCH", &path, &[media], Some(body))
    };
    let mut tab = crontab("applied");
    tab["spec"]["steps"] = json!([{"name": "one", "run": "x"}]);
    assert_eq!(apply("first", &tab).code, 201);
    tab["spec"] = json!({"steps": [{"name": "two", "run": "y"}]});
    let second = apply("second", &tab);
    assert_eq!(second.body["spec"]["steps"].as_array().expect("steps").len(), 2, "{second:?}");
    tab["spec"] = json!({"image": "other"});
    let conflict = apply("second", &tab);
    assert_eq!((conflict.code, &conflict.body["reason"]), (409, &json!("Conflict")));
    assert!(conflict.body["message"].to_string().contains(".spec.image"), "{conflict:?}");
    tab["spec"] = json!({"foo": 1});
    let unknown = apply("second", &tab);
    assert_eq!(unknown.code, 500, "{unknown:?}");
    let text = unknown.body["message"].as_str().expect("message");
    assert!(text.ends_with(".spec.foo: field not declared in schema"), "{text}");
}

fn selected(server: &Server) {
    let count = |query: &str| {
        let listed = server.get(&format!("{TABS}?{query}"));
        listed.body["items"].as_array().map(Vec::len).ok_or(listed.body["message"].clone())
    };
    assert_eq!(count("fieldSelector=spec.image%3Dcron"), Ok(2));
    assert_eq!(count("fieldSelector=spec.image%3Dnone"), Ok(0));
    assert_eq!(count("labelSelector=app%3Da"), Ok(1));
    assert_eq!(count("fieldSelector=metadata.name%3Da"), Ok(1));
    let unknown = count("fieldSelector=spec.cronSpec%3D5").expect_err("not selectable");
    assert!(unknown.to_string().contains("field label not supported: spec.cronSpec"), "{unknown}");
    let watch = server.send("GET", &format!("{TABS}?watch=1&timeoutSeconds=1"), &[], None).body;
    assert_eq!(watch.as_str().expect("stream").matches(r#""type":"ADDED""#).count(), 2);
}

/// Owners and owned, across custom and built-in kinds.
fn owned(server: &Server) {
    let owner = |kind: &Value| {
        json!([{"apiVersion": kind["apiVersion"], "kind": kind["kind"],
            "name": kind["metadata"]["name"], "uid": kind["metadata"]["uid"]}])
    };
    let map =
        |name: &str| json!({"metadata": {"name": name}, "kind": "ConfigMap", "apiVersion": "v1"});
    let tab = server.post(TABS, &crontab("owner")).body;
    let mut below = map("below");
    below["metadata"]["ownerReferences"] = owner(&tab);
    assert_eq!(server.post(MAPS, &below).code, 201);
    let above = server.post(MAPS, &map("above")).body;
    let mut dependent = crontab("dependent");
    dependent["metadata"]["ownerReferences"] = owner(&above);
    assert_eq!(server.post(TABS, &dependent).code, 201);
    assert_eq!(server.send("DELETE", &format!("{TABS}/owner"), &[], None).code, 200);
    assert_eq!(server.send("DELETE", &format!("{MAPS}/above"), &[], None).code, 200);
    for path in [format!("{MAPS}/below"), format!("{TABS}/dependent")] {
        eventually("what is owned goes", PATIENCE, || match server.get(&path).code {
            404 => Ok(()),
            code => Err(format!("{path}: {code}")),
        });
    }
}
