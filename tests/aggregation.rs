//! API aggregation, with the real binary and a small real extension API server.

mod support;

#[path = "aggregation/extension.rs"]
mod extension;
#[path = "access/server.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod server;

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use self::{
    extension::{Extension, GROUP, VERSION},
    server::Server,
    support::eventually,
};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const NAME: &str = "v1alpha1.wardle.example.com";
const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";
const PATIENCE: Duration = Duration::from_secs(20);
const AGGREGATED: (&str, &str) =
    ("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");

#[test]
fn an_extension_server_is_part_of_the_api() {
    let mut server = Server::start(|_| (), &[]);
    let trusted = published_authority(&server);
    built_in_services(&server);
    let extension = Extension::start(&trusted);
    unavailable(&server, &extension);
    available(&server);
    passed_on(&server, &extension);
    streams(&server);
    discovery(&server);
    let gone = server.send("DELETE", &format!("{SERVICES}/{NAME}"), &[], None);
    assert_eq!(gone.code, 200, "{gone:?}");
    assert_eq!(server.get(FLUNDERS).code, 404);
    server.stop();
}

/// What extension servers read to know whom to trust; answers the authority of front proxies.
fn published_authority(server: &Server) -> String {
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let data = eventually("the authorities are published", PATIENCE, || {
        let found = server.get(path);
        if found.code == 200 { Ok(found.body["data"].clone()) } else { Err(format!("{found:?}")) }
    });
    assert_eq!(data["requestheader-username-headers"], r#"["X-Remote-User"]"#);
    assert_eq!(data["requestheader-group-headers"], r#"["X-Remote-Group"]"#);
    assert_eq!(data["requestheader-extra-headers-prefix"], r#"["X-Remote-Extra-"]"#);
    assert_eq!(data["requestheader-allowed-names"], r#"["front-proxy-client"]"#);
    let authority = data["requestheader-client-ca-file"].as_str().expect("authority");
    assert_ne!(authority, data["client-ca-file"], "users are no front proxies");
    authority.to_owned()
}

fn condition(server: &Server, name: &str) -> Value {
    let found = server.get(&format!("{SERVICES}/{name}")).body;
    let conditions = found["status"]["conditions"].as_array();
    conditions
        .and_then(|c| c.iter().find(|c| c["type"] == "Available"))
        .cloned()
        .unwrap_or_default()
}

fn built_in_services(server: &Server) {
    eventually("built-in APIServices are local", PATIENCE, || {
        let found = condition(server, "v1.apps");
        if found["reason"] == "Local" { Ok(()) } else { Err(format!("{found}")) }
    });
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = server.send("GET", &format!("{SERVICES}/v1.apps"), &table, None).body;
    let columns: Vec<_> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(columns, ["Name", "Service", "Available", "Age"]);
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[1], &cells[2]), (&json!("Local"), &json!("True")));
}

/// Without its Service it is not there, and says why.
fn unavailable(server: &Server, extension: &Extension) {
    let service = json!({"metadata": {"name": NAME}, "spec": {"group": GROUP, "version": VERSION,
        "groupPriorityMinimum": 100, "versionPriority": 10, "caBundle": extension.ca_bundle,
        "service": {"namespace": "default", "name": "api", "port": extension.port}}});
    let made = server.post(SERVICES, &service);
    assert_eq!(made.code, 201, "{made:?}");
    eventually("the missing Service is told", PATIENCE, || {
        let found = condition(server, NAME);
        let text = r#"service/api in "default" is not present"#;
        if found["reason"] == "ServiceNotFound" && found["message"] == text {
            Ok(())
        } else {
            Err(format!("{found}"))
        }
    });
    let refused = server.get(FLUNDERS);
    assert_eq!((refused.code, &refused.body), (503, &json!("service unavailable\n")));
    let list = server.send("GET", "/apis", &[AGGREGATED], None).body;
    let stale = json!([{"version": VERSION, "freshness": "Stale"}]);
    assert_eq!(group(&list)["versions"], stale);
}

fn available(server: &Server) {
    let service = json!({"metadata": {"name": "api"},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    let made = server.post("/api/v1/namespaces/default/services", &service);
    assert_eq!(made.code, 201, "{made:?}");
    eventually("it is found available", PATIENCE, || {
        let found = condition(server, NAME);
        if found["reason"] == "Passed" && found["status"] == "True" {
            Ok(())
        } else {
            Err(format!("{found}"))
        }
    });
}

fn passed_on(server: &Server, extension: &Extension) {
    extension.seen();
    let headers = [
        ("x-remote-user", "mallory"),
        ("x-remote-group", "system:masters"),
        ("x-remote-extra-a", "b"),
        ("x-mine", "kept"),
    ];
    let answer = server.send("GET", &format!("{FLUNDERS}?limit=5"), &headers, None);
    assert_eq!((answer.code, &answer.body["kind"]), (200, &json!("FlunderList")), "{answer:?}");
    let seen = extension.seen();
    assert_eq!(seen.len(), 1, "{seen:?}");
    let (head, client) = (&seen[0].head, &seen[0].client);
    assert_eq!(client, "front-proxy-client");
    assert!(head.starts_with(&format!("get {FLUNDERS}?limit=5 ")), "{head}");
    assert!(head.contains("x-remote-user: kubernetes-admin"), "{head}");
    assert!(head.contains("x-remote-group: system:authenticated"), "{head}");
    assert!(!head.contains("mallory") && !head.contains("x-remote-extra-a:"), "{head}");
    assert!(head.contains("x-mine: kept") && !head.contains("authorization"), "{head}");
    assert!(head.contains(&format!("host: api.default.svc:{}", extension.port)), "{head}");
    let body = json!({"metadata": {"name": "f"}});
    let made = server.post(FLUNDERS, &body);
    assert_eq!((made.code, &made.body["kind"]), (201, &json!("Flunder")));
    assert_eq!(extension.seen()[0].body, body.to_string());
    // Authorization is this server's: nobody in particular may not list them.
    let refused = server.send_anonymously("GET", FLUNDERS, &[], None);
    assert_eq!((refused.code, extension.seen().len()), (403, 0));
}

fn streams(server: &Server) {
    let events = server.get(&format!("{FLUNDERS}?watch=true"));
    let lines: Vec<_> = events.body.as_str().expect("two lines").lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let said = runtime.expect("runtime").block_on(async {
        let http = server.client();
        let request = http.get(format!("{}{FLUNDERS}/f/shell", server.url()));
        let request = request.header("connection", "Upgrade").header("upgrade", "websocket");
        let answer = request.send().await.expect("answer");
        assert_eq!(answer.status().as_u16(), 101);
        let mut stream = answer.upgrade().await.expect("stream");
        stream.write_all(b"hello.").await.expect("write");
        let mut said = [0; 6];
        stream.read_exact(&mut said).await.expect("echo");
        said
    });
    assert_eq!(&said, b"hello.");
}

fn group(list: &Value) -> Value {
    let items = list["items"].as_array().expect("items");
    items.iter().find(|i| i["metadata"]["name"] == GROUP).cloned().unwrap_or_default()
}

fn discovery(server: &Server) {
    let list = server.send("GET", "/apis", &[AGGREGATED], None);
    let version = &group(&list.body)["versions"][0];
    assert_eq!(version["freshness"], "Current");
    let resource = &version["resources"][0];
    assert_eq!(
        (&resource["resource"], &resource["scope"]),
        (&json!("flunders"), &json!("Namespaced"))
    );
    assert_eq!(
        resource["responseKind"],
        json!({"group": GROUP, "version": VERSION, "kind": "Flunder"})
    );
    assert_eq!(resource["subresources"][0]["subresource"], "status");
    let legacy = server.get("/apis").body;
    let groups = legacy["groups"].as_array().expect("groups");
    assert!(groups.iter().any(|g| g["name"] == "apps"));
    let found = groups.iter().find(|g| g["name"] == GROUP).expect("group");
    let whole = format!("{GROUP}/{VERSION}");
    assert_eq!(found["preferredVersion"], json!({"groupVersion": whole, "version": VERSION}));
    let one = server.get(&format!("/apis/{GROUP}"));
    assert_eq!(
        (one.code, &one.body["kind"], &one.body["name"]),
        (200, &json!("APIGroup"), &json!(GROUP))
    );
    let resources = server.get(&format!("/apis/{whole}")).body;
    assert_eq!(resources["kind"], "APIResourceList");
    let index = server.get("/openapi/v3").body;
    assert!(
        index["paths"][format!("apis/{whole}")].is_object() && index["paths"]["api/v1"].is_object()
    );
}
