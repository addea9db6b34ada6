//! Looking in and reaching nodes: `/debug`, `/metrics`, logs, the node link.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Handler, Message};
use kabuki::pki;
use kabuki_actors::{
    kernel::{ChildSpec, Ctx, Performer},
    link, recreate_on_restart,
};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::api_support::TestApi;

/// An actor that counts how often it was asked.
struct Counter(u64);

#[derive(Message, Debug)]
#[rtype(result = "u64")]
struct Count;

impl Performer for Counter {
    type Args = ();
    fn create((): &()) -> Self {
        Self(0)
    }
    fn inspect(&self) -> Value {
        json!({"count": self.0})
    }
}
recreate_on_restart!(Counter);

impl Actor for Counter {
    type Context = Ctx<Self>;
}

impl Handler<Count> for Counter {
    type Result = u64;
    fn handle(&mut self, _: Count, _: &mut Ctx<Self>) -> u64 {
        self.0 += 1;
        self.0
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_in() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let plain = api.client("somebody", &[]);
    for path in ["/debug/actors", "/debug/deadletters", "/metrics"] {
        assert_eq!(plain.get(path).await.code, 403, "{path}");
        assert_eq!(admin.get(path).await.code, 200, "{path}");
    }
    assert!(admin.get("/debug/actors").await.json()["root"]["path"].is_string());
    let metrics = admin.get("/metrics").await.text;
    for name in
        ["apiserver_request_total{", "kabuki_store_revision ", "process_resident_memory_bytes "]
    {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
    let counter = api.kernel.root().start::<Counter>("counter", (), ChildSpec::default());
    assert_eq!(counter.ask(Count, Duration::from_secs(5)).await.unwrap(), 1);
    let path = format!("/debug/actors{}", counter.path());
    let state = admin.get(&format!("{path}/state")).await.json();
    assert_eq!((&state["status"], &state["state"]), (&json!("alive"), &json!({"count": 1})));
    let order = |order: &str| admin.request("POST", &format!("{path}/{order}"));
    assert_eq!(plain.send(plain.request("POST", &format!("{path}/panic"))).await.code, 403);
    assert_eq!(admin.send(order("pause")).await.code, 200);
    let paused = counter.ask(Count, Duration::from_millis(200)).await;
    assert!(paused.is_err(), "a paused actor keeps its mail");
    assert_eq!(admin.send(order("resume")).await.code, 200);
    assert_eq!(admin.send(order("panic")).await.code, 200);
    let mut restarts = 0;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let tree = admin.get("/debug/actors").await.json();
        restarts = tree["root"]["children"][0]["restarts"].as_u64().unwrap();
        if restarts > 0 {
            break;
        }
    }
    assert_eq!(restarts, 1, "the panic shows as a restart");
    assert_eq!(counter.ask(Count, Duration::from_secs(5)).await.unwrap(), 1, "fresh state");
    let text = admin.get("/debug/actors?format=text").await.text;
    assert!(text.contains("counter"), "{text}");
    assert_eq!(admin.get("/debug/actors/nobody/state").await.code, 404);
    let order = admin.request("POST", "/debug/actors/nobody/pause");
    assert_eq!(admin.send(order).await.code, 404);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_and_what_is_not_there() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(admin.post(pods, &pod).await.code, 201);
    let waiting = admin.get(&format!("{pods}/p/log")).await;
    assert_eq!((waiting.code, waiting.text.as_str()), (204, ""), "nobody has it yet");
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "p"},
        "target": {"kind": "Node", "name": "n1"}});
    let bound = admin.post(&format!("{pods}/p/binding"), &binding).await;
    assert_eq!((bound.code, &bound.json()["status"]), (201, &json!("Success")));
    let log = admin.get(&format!("{pods}/p/log?follow=true")).await;
    assert_eq!((log.code, log.text.as_str()), (200, "n1 c\nfollow=true\n"));
    assert_eq!(log.header("content-type"), "text/plain");
    let previous = admin.get(&format!("{pods}/p/log?previous=true")).await.json();
    assert_eq!(previous["message"], r#"previous terminated container "c" in pod "p" not found"#);
    let exec = admin.get(&format!("{pods}/p/exec?command=ls")).await;
    assert_eq!((exec.code, &exec.json()["reason"]), (501, &json!("NotImplemented")));
    api.stop().await;
}

/// Answers what a node is asked about its cast.
async fn actors(request: link::Request, responder: link::Responder) {
    let answer = match request {
        link::Request::Debug(call) if call.path.ends_with("/state") => {
            let path = call.path.strip_prefix("/debug/actors").unwrap();
            json!({"path": path.strip_suffix("/state"), "state": {"pods": 1}})
        }
        _ => json!({"root": {"kind": "supervisor", "path": "/node", "state": "running",
            "strategy": "OneForOne", "intensityUsed": 0, "intensityAllowed": 3, "periodMs": 1000,
            "restarts": 0, "children": [], "graves": []}}),
    };
    let mut stream = responder.accept().await.unwrap();
    stream.write_all(answer.to_string().as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// A node that answers every log with a line and the container's name.
struct Node;

#[async_trait::async_trait]
impl link::Handler for Node {
    async fn handle(&self, request: link::Request, responder: link::Responder) {
        let request = match request {
            link::Request::Logs(request) => request,
            other => return actors(other, responder).await,
        };
        if request.previous {
            let text = "previous terminated container not found";
            responder.refuse(400, "BadRequest", text).await.unwrap();
            return;
        }
        let mut stream = responder.accept().await.unwrap();
        let text = format!("{}\n{}", request.container, "x".repeat(300_000));
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_through_the_node_link() {
    let hub = Arc::new(link::Hub::new());
    let api = TestApi::start_with(Some(Arc::clone(&hub))).await;
    let admin = api.admin();
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"metadata": {"name": "p"}, "spec": {"nodeName": "n1",
        "containers": [{"name": "c", "image": "i"}]}});
    assert_eq!(admin.post(pods, &pod).await.code, 201);
    assert_eq!(admin.get(link::LINK_PATH).await.code, 403, "an administrator is no node");

    let address = api.url.trim_start_matches("https://").to_owned();
    let (_members, members) = tokio::sync::watch::channel(vec![address]);
    let node = api.pki.client("system:node:n1", &["system:nodes"]).unwrap();
    let node = pki::Credential::new(node, "").unwrap();
    let clock = pki::Clock::default();
    let dialer = link::Dialer::start(link::DialerConfig {
        members,
        tls: Arc::new(pki::client_config(api.pki.ca.cert_pem(), Some(&node), clock).unwrap()),
        server_name: "kubernetes.default.svc".into(),
        handler: Arc::new(Node),
    });
    for _ in 0..100 {
        if hub.connected() == ["n1"] {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = admin.get(&format!("{pods}/p/log")).await;
    assert_eq!((log.code, log.text.len()), (200, 300_002), "{:.100}", log.text);
    let refused = admin.get(&format!("{pods}/p/log?previous=true")).await;
    assert_eq!((refused.code, &refused.json()["reason"]), (400, &json!("BadRequest")));
    let tree = admin.get("/debug/actors?node=n1").await;
    assert_eq!(tree.json()["root"]["path"], "/node", "{}", tree.text);
    let state = admin.get("/debug/actors/node/kubelet/state?node=n1").await.json();
    assert_eq!(state, json!({"path": "/node/kubelet", "state": {"pods": 1}}));
    drop(dialer);
    for _ in 0..20 {
        if hub.connected().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(hub.connected().is_empty(), "a node that hangs up is gone at once");
    let lost = admin.get(&format!("{pods}/p/log")).await;
    assert_eq!(lost.code, 500, "{}", lost.text);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operating_is_for_administrators() {
    let api = TestApi::start().await;
    let (admin, plain) = (api.admin(), api.client("somebody", &[]));
    for (method, path) in [
        ("GET", "/operations/members"),
        ("DELETE", "/operations/members/1"),
        ("POST", "/operations/leader"),
        ("GET", "/operations/snapshot"),
    ] {
        for client in [&plain, &api.anonymous()] {
            let answer = client.send(client.request(method, path)).await;
            assert_eq!(answer.code, 403, "{method} {path}");
            assert_eq!(answer.json()["kind"], "Status", "{method} {path}");
        }
    }
    let list = admin.get("/operations/members").await.json();
    assert_eq!(
        (&list["items"][0]["role"], &list["items"][0]["healthy"]),
        (&json!("leader"), &json!(true))
    );
    for (method, path, code, text) in [
        ("DELETE", "/operations/members/nobody", 404, "kabuki member list"),
        ("DELETE", "/operations/members/1", 409, "the last voter"),
        ("POST", "/operations/leader", 409, "no other voter"),
        ("POST", "/operations/leader?to=nobody", 404, "nobody"),
        ("PUT", "/operations/members", 405, "does not allow this method"),
    ] {
        let answer = admin.send(admin.request(method, path)).await;
        let status = answer.json();
        let said = status["message"].as_str().unwrap_or_default();
        assert!(answer.code == code && said.contains(text), "{method} {path}: {status}");
    }
    api.stop().await;
}
