//! Priority and fairness: whose turn it is, and who is told to come again later.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use super::{MAPS, map};
use crate::api_support::{Answer, Client, TestApi};

const FLOW: &str = "/apis/flowcontrol.apiserver.k8s.io/v1";
/// How soon a changed configuration must hold.
const FOLLOWS: Duration = Duration::from_secs(10);

/// A create whose body does not come before it is told to: it runs, and keeps its seat.
struct Held {
    go: oneshot::Sender<()>,
    answer: JoinHandle<Answer>,
}

impl Held {
    fn begin(client: Client, name: &str) -> Self {
        let (go, wait) = oneshot::channel();
        let mut text = map(name).to_string();
        let rest = text.split_off(10);
        let first = futures_util::stream::iter([text]);
        let rest = futures_util::stream::once(async move {
            let _ = wait.await;
            rest
        });
        let body = first.chain(rest).map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
        let request = client
            .request("POST", MAPS)
            .header("content-type", "application/json")
            .body(reqwest::Body::wrap_stream(body));
        Self { go, answer: tokio::spawn(async move { client.send(request).await }) }
    }
}

async fn configure(admin: &Client, level: &str, response: Value) {
    let plan = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration", "metadata": {"name": level},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 1,
            "borrowingLimitPercent": 0, "limitResponse": response}}});
    let made = admin.post(&format!("{FLOW}/prioritylevelconfigurations"), &plan).await;
    assert_eq!(made.code, 201, "{}", made.text);
    let all = json!([{"subjects": [{"kind": "Group", "group": {"name": "greedy"}}],
        "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"],
            "namespaces": ["*"], "clusterScope": true}]}]);
    let schema = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": {"name": level}, "spec": {"matchingPrecedence": 50, "rules": all,
            "priorityLevelConfiguration": {"name": level}}});
    let made = admin.post(&format!("{FLOW}/flowschemas"), &schema).await;
    assert_eq!(made.code, 201, "{}", made.text);
}

/// Waits until requests of this client are of this priority level; returns how many seats it has.
async fn wait_for_level(admin: &Client, client: &Client, level: &str) -> usize {
    let path = format!("{FLOW}/prioritylevelconfigurations/{level}");
    let uid = admin.get(&path).await.json()["metadata"]["uid"].as_str().unwrap().to_owned();
    let begin = std::time::Instant::now();
    loop {
        let answer = client.get(MAPS).await;
        if answer.header("x-kubernetes-pf-prioritylevel-uid") == uid {
            break;
        }
        assert!(begin.elapsed() < FOLLOWS, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let name = format!("apiserver_flowcontrol_nominal_limit_seats{{priority_level=\"{level}\"}} ");
    let metrics = admin.get("/metrics").await.text;
    let line = metrics.lines().find_map(|l| l.strip_prefix(&name));
    line.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap()
}

async fn wait_running(admin: &Client, level: &str, running: usize, waiting: usize) {
    let begin = std::time::Instant::now();
    let wanted = format!("{level}, false, false, {waiting}, {running}, ");
    loop {
        let path = "/debug/api_priority_and_fairness/dump_priority_levels";
        let table = admin.get(path).await.text;
        if table.contains(&wanted) {
            return;
        }
        assert!(begin.elapsed() < FOLLOWS, "{wanted}\n{table}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn greedy(api: &TestApi, admin: &Client) {
    let binding = json!({"metadata": {"name": "greedy"}, "roleRef": {"kind": "ClusterRole",
            "apiGroup": "rbac.authorization.k8s.io", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": "greedy",
            "apiGroup": "rbac.authorization.k8s.io"}]});
    let path = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(admin.post(path, &binding).await.code, 201);
    // Its classification does not depend on the objects of flow control.
    assert_eq!(api.client("jane", &["greedy"]).get(MAPS).await.code, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_all_seats_of_a_level_is_refused_and_others_are_served() {
    let api = TestApi::start().await;
    let admin = api.admin();
    greedy(&api, &admin).await;
    configure(&admin, "reject", json!({"type": "Reject"})).await;
    let client = || api.client("jane", &["greedy"]);
    let seats = wait_for_level(&admin, &client(), "reject").await;
    assert!((1..10).contains(&seats), "{seats}");

    let held: Vec<_> = (0..seats).map(|n| Held::begin(client(), &format!("held-{n}"))).collect();
    wait_running(&admin, "reject", seats, 0).await;
    let refused = client().get(MAPS).await;
    assert_eq!(refused.code, 429);
    assert_eq!(refused.text, "Too many requests, please try again later.\n");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(refused.header("content-type").starts_with("text/plain"), "{refused:?}");
    assert!(!refused.header("x-kubernetes-pf-flowschema-uid").is_empty());
    // Others have seats of their own.
    assert_eq!(admin.get(MAPS).await.code, 200);
    assert_eq!(api.anonymous().get("/readyz").await.code, 200);
    let metrics = admin.get("/metrics").await.text;
    let name = "apiserver_flowcontrol_rejected_requests_total";
    let line = format!("{name}{{priority_level=\"reject\",reason=\"concurrency-limit\"}} 1\n");
    assert!(metrics.contains(&line), "{metrics}");

    for one in held {
        one.go.send(()).unwrap();
        let answer = one.answer.await.unwrap();
        assert_eq!(answer.code, 201, "{}", answer.text);
    }
    assert_eq!(client().get(MAPS).await.code, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_seat_waits_in_a_queue_of_limited_length() {
    let api = TestApi::start().await;
    let admin = api.admin();
    greedy(&api, &admin).await;
    let queuing = json!({"queues": 1, "handSize": 1, "queueLengthLimit": 2});
    configure(&admin, "queue", json!({"type": "Queue", "queuing": queuing})).await;
    let client = || api.client("jane", &["greedy"]);
    let seats = wait_for_level(&admin, &client(), "queue").await;

    let mut held: Vec<_> =
        (0..seats).map(|n| Held::begin(client(), &format!("held-{n}"))).collect();
    wait_running(&admin, "queue", seats, 0).await;
    let waiting: Vec<_> = (0..2)
        .map(|_| {
            let client = client();
            tokio::spawn(async move { client.get(MAPS).await.code })
        })
        .collect();
    wait_running(&admin, "queue", seats, 2).await;
    assert_eq!(client().get(MAPS).await.code, 429);
    let first = held.pop().unwrap();
    first.go.send(()).unwrap();
    assert_eq!(first.answer.await.unwrap().code, 201);
    for one in waiting {
        assert_eq!(one.await.unwrap(), 200, "its turn comes");
    }
    for one in held {
        one.go.send(()).unwrap();
        assert_eq!(one.answer.await.unwrap().code, 201);
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_objects_every_cluster_has_classify_requests() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let uid = |path: String| {
        let admin = &admin;
        async move { admin.get(&path).await.json()["metadata"]["uid"].as_str().unwrap().to_owned() }
    };
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n";
    for (user, groups, path, schema, level) in [
        ("kubernetes-admin", "system:masters", MAPS, "exempt", "exempt"),
        ("system:node:n", "system:nodes", lease, "system-node-high", "node-high"),
        ("system:node:n", "system:nodes", MAPS, "system-nodes", "system"),
        ("jane", "team", MAPS, "global-default", "global-default"),
        ("jane", "team", "/readyz", "probes", "exempt"),
    ] {
        let schema = uid(format!("{FLOW}/flowschemas/{schema}")).await;
        let level = uid(format!("{FLOW}/prioritylevelconfigurations/{level}")).await;
        let client = api.client(user, &[groups]);
        let begin = std::time::Instant::now();
        loop {
            let answer = client.get(path).await;
            let got = ["flowschema", "prioritylevel"]
                .map(|what| answer.header(&format!("x-kubernetes-pf-{what}-uid")).to_owned());
            if got == [schema.clone(), level.clone()] {
                break;
            }
            assert!(begin.elapsed() < FOLLOWS, "{user} {path}: {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    api.stop().await;
}
