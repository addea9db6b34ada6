//! Resource quotas.

use serde_json::{Value, json};

use crate::door::{Door, pod};

/// Creates that race for a quota.
const RACERS: usize = 20;
/// What it allows.
const ALLOWED: usize = 5;

fn make(door: &Door<'_>, ns: &str, spec: Value) -> String {
    let body = json!({"metadata": {"name": "q"}, "spec": spec});
    door.post(&format!("{ns}/resourcequotas"), body).ok();
    format!("{ns}/resourcequotas/q")
}

fn items(door: &Door<'_>, path: &str) -> usize {
    door.get(path)["items"].as_array().map_or(0, Vec::len)
}

/// Twenty creates on three members at once, a moment after the quota, and five get through.
pub fn hold_under_racing_creates(door: &Door<'_>) {
    for round in 0..3 {
        let ns = door.namespace(&format!("race-{round}"), json!({}));
        let quota =
            make(door, &ns, json!({"hard": {"pods": ALLOWED.to_string(), "requests.cpu": "10"}}));
        let creates: Vec<_> = (0..RACERS)
            .map(|i| ("POST", format!("{ns}/pods"), pod(&format!("p{i}"), "100m")))
            .collect();
        let answers = door.send_all(&creates);
        let made = answers.iter().filter(|a| a.code == 201).count();
        for (i, answer) in answers.iter().enumerate().filter(|(_, a)| a.code != 201) {
            assert_eq!(
                answer.refusal(),
                format!(
                    "403 pods \"p{i}\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5"
                )
            );
        }
        assert_eq!((made, items(door, &format!("{ns}/pods"))), (ALLOWED, ALLOWED));
        let status = door.get(&quota)["status"].clone();
        assert_eq!(status["used"], json!({"pods": "5", "requests.cpu": "500m"}));
        println!("round {round}: {made} of {RACERS} pods were made");
    }
}

/// What goes frees its part, and what a quota limits from now on is counted.
pub fn are_freed_and_counted(door: &Door<'_>) {
    let ns = door.namespace("freed", json!({}));
    let map = |name: &str| json!({"metadata": {"name": name}});
    let quota = make(door, &ns, json!({"hard": {"pods": "1", "count/deployments.apps": "0"}}));
    let used = |want: Value| door.wait(&quota, |q| q["status"]["used"] == want);
    used(json!({"pods": "0", "count/deployments.apps": "0"}));
    door.post(&format!("{ns}/pods"), pod("a", "")).ok();
    used(json!({"pods": "1", "count/deployments.apps": "0"}));
    let over = json!({"status": {"phase": "Succeeded"}});
    door.patch(&format!("{ns}/pods/a/status"), over).ok();
    used(json!({"pods": "0", "count/deployments.apps": "0"}));
    door.post(&format!("{ns}/pods"), pod("b", "")).ok();
    assert_eq!(
        door.post(&format!("{ns}/pods"), pod("c", "")).refusal(),
        "403 pods \"c\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"
    );
    door.send("DELETE", &format!("{ns}/pods/b"), Value::Null).ok();
    used(json!({"pods": "0", "count/deployments.apps": "0"}));
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": pod("", "")["spec"]}}});
    let apps = ns.replace("/api/v1/", "/apis/apps/v1/");
    assert_eq!(
        door.post(&format!("{apps}/deployments"), deployment).refusal(),
        "403 deployments.apps \"d\" is forbidden: exceeded quota: q, requested: count/deployments.apps=1, used: count/deployments.apps=0, limited: count/deployments.apps=0"
    );
    // kube-root-ca.crt is there already.
    door.patch(&quota, json!({"spec": {"hard": {"configmaps": "2"}}})).ok();
    door.post(&format!("{ns}/configmaps"), map("one")).ok();
    assert_eq!(
        door.post(&format!("{ns}/configmaps"), map("two")).refusal(),
        "403 configmaps \"two\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=2, limited: configmaps=2"
    );
    let compute = json!({"spec": {"hard": {"limits.memory": "1Gi"}}});
    door.patch(&quota, compute).ok();
    assert_eq!(
        door.post(&format!("{ns}/pods"), pod("c", "")).refusal(),
        "403 pods \"c\" is forbidden: failed quota: q: must specify limits.memory for: c"
    );
}

/// A dry run is refused as the real one, and uses nothing.
pub fn charge_nothing_for_dry_runs(door: &Door<'_>) {
    let ns = door.namespace("dry", json!({}));
    let quota = make(door, &ns, json!({"hard": {"services": "1", "services.nodeports": "1"}}));
    let service = |name: &str, ports: &[u16]| {
        let ports: Vec<Value> =
            ports.iter().map(|p| json!({"name": format!("p{p}"), "port": p})).collect();
        json!({"metadata": {"name": name}, "spec": {"type": "NodePort", "ports": ports}})
    };
    let path = format!("{ns}/services");
    for _ in 0..3 {
        door.post(&format!("{path}?dryRun=All"), service("s", &[80])).ok();
    }
    assert_eq!(
        door.post(&format!("{path}?dryRun=All"), service("s", &[80, 81])).refusal(),
        "403 services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, limited: services.nodeports=1"
    );
    door.post(&path, service("s", &[80])).ok();
    let used = json!({"services": "1", "services.nodeports": "1"});
    door.wait(&quota, |q| q["status"]["used"] == used);
    let more = json!({"spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}});
    assert_eq!(
        door.patch(&format!("{path}/s"), more).refusal(),
        "403 services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1"
    );
    door.patch(&format!("{path}/s"), json!({"spec": {"type": "ClusterIP"}})).ok();
    door.wait(&quota, |q| q["status"]["used"]["services.nodeports"] == "0");
}

/// Custom resources are counted like built-in ones, before and after their definition is known.
pub fn count_custom_resources(door: &Door<'_>) {
    let ns = door.namespace("custom", json!({}));
    let hard = json!({"hard": {"count/coins.test.kabuki.dev": "1"}});
    let quota = make(door, &ns, hard);
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "coins.test.kabuki.dev"}, "spec": {"group": "test.kabuki.dev",
        "scope": "Namespaced", "names": {"plural": "coins", "singular": "coin", "kind": "Coin",
            "listKind": "CoinList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema":
            {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}});
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    door.post(definitions, definition).ok();
    let path = ns.replace("/api/v1/", "/apis/test.kabuki.dev/v1/");
    door.wait(&format!("{path}/coins"), |list| list["kind"] == "CoinList");
    let coin = |name: &str| json!({"apiVersion": "test.kabuki.dev/v1", "kind": "Coin", "metadata": {"name": name}});
    door.post(&format!("{path}/coins"), coin("a")).ok();
    assert_eq!(
        door.post(&format!("{path}/coins"), coin("b")).refusal(),
        "403 coins.test.kabuki.dev \"b\" is forbidden: exceeded quota: q, requested: count/coins.test.kabuki.dev=1, used: count/coins.test.kabuki.dev=1, limited: count/coins.test.kabuki.dev=1"
    );
    door.send("DELETE", &format!("{path}/coins/a"), Value::Null).ok();
    door.wait(&quota, |q| q["status"]["used"]["count/coins.test.kabuki.dev"] == "0");
    door.post(&format!("{path}/coins"), coin("b")).ok();
    let name = "/coins.test.kabuki.dev";
    door.send("DELETE", &format!("{definitions}{name}"), Value::Null).ok();
}
