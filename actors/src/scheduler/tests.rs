//! Decisions as tables.

use std::sync::Arc;

use kabuki_api::kind::{NODE, POD};
use serde_json::{Value, json};

use super::{cluster::Cluster, decide::decide, pod_info::PodInfo};
use crate::registry::MemView;

pub(super) fn node(name: &str, patch: Value) -> Value {
    let mut value = json!({"metadata": {"name": name, "uid": name,
            "labels": {"kubernetes.io/hostname": name}},
        "spec": {}, "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "110"}}});
    merge(&mut value, &patch);
    value
}

pub(super) fn pod(name: &str, patch: Value) -> Value {
    let mut value = json!({"metadata": {"name": name, "namespace": "ns", "uid": name,
            "labels": {"app": name}},
        "spec": {"containers": [{"name": "c"}]}});
    merge(&mut value, &patch);
    value
}

fn merge(into: &mut Value, patch: &Value) {
    match (into.as_object_mut(), patch.as_object()) {
        (Some(map), Some(patch)) => {
            for (key, value) in patch {
                merge(map.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        _ => *into = patch.clone(),
    }
}

fn info(value: Value) -> Arc<PodInfo> {
    Arc::new(PodInfo::new(MemView::new().put(POD, value).typed().unwrap()))
}

fn cluster(nodes: Vec<Value>, pods: Vec<(&str, Value)>) -> Cluster {
    let mut cluster = Cluster::default();
    for node in nodes {
        cluster.set_node(MemView::new().put(NODE, node).typed().unwrap());
    }
    for (node, pod) in pods {
        cluster.place(node, info(pod));
    }
    cluster
}

fn place(cluster: &Cluster, pod: Value) -> Result<String, String> {
    decide(cluster, &info(pod), &|_| json!({"team": "a"}), &mut 0).map_err(|m| m.to_string())
}

pub(super) fn requests(cpu: &str) -> Value {
    json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}})
}

fn host_port(port: i32) -> Value {
    json!({"spec": {"containers": [{"name": "c",
        "ports": [{"hostPort": port, "protocol": "TCP"}]}]}})
}

#[test]
fn messages_are_upstreams() {
    let taint = json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}});
    let cordoned = json!({"spec": {"unschedulable": true}});
    let three = |patch: &Value| {
        vec![node("a", json!({})), node("b", patch.clone()), node("c", patch.clone())]
    };
    for (nodes, pod, expected) in [
        (vec![], pod("p", json!({})), "no nodes available to schedule pods"),
        (
            three(&taint),
            pod("p", requests("5")),
            "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s).",
        ),
        (
            three(&cordoned),
            pod("p", json!({"spec": {"nodeSelector": {"disk": "ssd"}}})),
            "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, \
             2 node(s) were unschedulable.",
        ),
        (
            vec![node("a", json!({"status": {"allocatable": {"pods": "0", "memory": "0"}}}))],
            pod(
                "p",
                json!({"spec": {"containers": [{"resources": {"requests": {"memory": "1", "example.com/x": "1"}}}]}}),
            ),
            "0/1 nodes are available: 1 Insufficient example.com/x, 1 Insufficient memory, 1 Too many pods.",
        ),
    ] {
        assert_eq!(place(&cluster(nodes, vec![]), pod), Err(expected.to_owned()));
    }
}

#[test]
fn filters() {
    let zone = |z: &str| json!({"metadata": {"labels": {"zone": z, "n": "5"}}});
    let world = cluster(
        vec![node("a", zone("1")), node("b", zone("2"))],
        vec![("a", pod("old", host_port(80)))],
    );
    let affinity = |expression: Value| {
        json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution":
                {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}}}})
    };
    for (patch, expected) in [
        (json!({"spec": {"nodeSelector": {"zone": "2"}}}), Some("b")),
        (json!({"spec": {"nodeSelector": {"zone": "3"}}}), None),
        (affinity(json!({"key": "zone", "operator": "NotIn", "values": ["2"]})), Some("a")),
        (affinity(json!({"key": "zone", "operator": "DoesNotExist"})), None),
        (affinity(json!({"key": "n", "operator": "Gt", "values": ["5"]})), None),
        (
            json!({"spec": {"affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
            ]}}}}}),
            Some("b"),
        ),
        (host_port(80), Some("b")),
    ] {
        assert_eq!(place(&world, pod("p", patch.clone())).ok().as_deref(), expected, "{patch}");
    }
}

#[test]
fn taints_and_tolerations() {
    let tainted = |effect: &str| {
        cluster(
            vec![node(
                "a",
                json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}}),
            )],
            vec![],
        )
    };
    let tolerate = |t: Value| pod("p", json!({"spec": {"tolerations": [t]}}));
    for (effect, toleration, fits) in [
        ("NoSchedule", json!({"key": "k", "operator": "Equal", "value": "v"}), true),
        ("NoSchedule", json!({"key": "k", "value": "v", "effect": "NoSchedule"}), true),
        ("NoSchedule", json!({"key": "k", "value": "w"}), false),
        ("NoSchedule", json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false),
        ("NoExecute", json!({"operator": "Exists"}), true),
        ("NoExecute", json!({"key": "j", "operator": "Exists"}), false),
        ("PreferNoSchedule", json!({"key": "j", "operator": "Exists"}), true),
    ] {
        let fitted = place(&tainted(effect), tolerate(toleration.clone())).is_ok();
        assert_eq!(fitted, fits, "{effect} {toleration}");
    }
}

#[test]
fn emptier_nodes_and_fewer_siblings_win() {
    let two = || vec![node("a", json!({})), node("b", json!({}))];
    let world = cluster(two(), vec![("a", pod("x", requests("3")))]);
    assert_eq!(place(&world, pod("p", requests("500m"))).as_deref(), Ok("b"));
    let family = json!({"metadata": {"ownerReferences": [{"uid": "rs", "controller": true}]}});
    let mut load = requests("1");
    merge(&mut load, &json!({}));
    let world = cluster(two(), vec![("a", pod("x", family.clone())), ("b", pod("y", load))]);
    assert_eq!(place(&world, pod("p", family)).as_deref(), Ok("b"), "siblings weigh more");
    let soft = json!({"spec": {"taints": [{"key": "k", "effect": "PreferNoSchedule"}]}});
    let world = cluster(vec![node("a", soft), node("b", json!({}))], vec![]);
    assert_eq!(place(&world, pod("p", json!({}))).as_deref(), Ok("b"));
}

#[test]
fn pod_affinity_and_anti_affinity() {
    let zone = |z: &str| json!({"metadata": {"labels": {"zone": z}}});
    let nodes = || vec![node("a", zone("1")), node("b", zone("1")), node("c", zone("2"))];
    let term = |app: &str, key: &str| json!([{"labelSelector": {"matchLabels": {"app": app}}, "topologyKey": key}]);
    let near = |app: &str, key: &str| {
        json!({"spec": {"affinity": {"podAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": term(app, key)}}}})
    };
    let away = |app: &str, key: &str| {
        json!({"spec": {"affinity": {"podAntiAffinity":
            {"requiredDuringSchedulingIgnoredDuringExecution": term(app, key)}}}})
    };
    let world = cluster(nodes(), vec![("c", pod("db", json!({})))]);
    assert_eq!(place(&world, pod("p", near("db", "zone"))).as_deref(), Ok("c"));
    assert_ne!(place(&world, pod("p", away("db", "zone"))).as_deref(), Ok("c"));
    assert!(place(&world, pod("p", near("nobody", "zone"))).is_err());
    assert!(place(&world, pod("p", near("p", "zone"))).is_ok(), "the first of its group");
    let guarded = cluster(nodes(), vec![("c", pod("db", away("p", "zone")))]);
    assert_ne!(place(&guarded, pod("p", json!({}))).as_deref(), Ok("c"));
    let full: Vec<_> = ["a", "b", "c"]
        .map(|n| (n, pod(&format!("p{n}"), json!({"metadata": {"labels": {"app": "p"}}}))))
        .into();
    let one_per_host = pod("p", away("p", "kubernetes.io/hostname"));
    assert_eq!(
        place(&cluster(nodes(), full), one_per_host),
        Err("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.".into())
    );
}

#[test]
fn topology_spread() {
    let zone = |z: &str| json!({"metadata": {"labels": {"zone": z}}});
    let nodes = vec![node("a", zone("1")), node("b", zone("2")), node("none", json!({}))];
    let spread = json!({"metadata": {"labels": {"app": "p"}}, "spec": {"topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"app": "p"}}}]}});
    let mut world =
        cluster(nodes, vec![("a", pod("x", json!({"metadata": {"labels": {"app": "p"}}})))]);
    assert_eq!(place(&world, pod("p", spread.clone())).as_deref(), Ok("b"));
    world.remove_node("b");
    assert!(place(&world, pod("p", spread.clone())).is_ok(), "only one domain is left");
    world.remove_node("a");
    assert!(place(&world, pod("p", spread)).unwrap_err().contains("missing required label"));
}

#[test]
fn counting_is_undone_exactly() {
    let mut world = cluster(vec![node("a", json!({}))], vec![]);
    let before = world.clone();
    let mut patch = host_port(80);
    merge(
        &mut patch,
        &json!({"metadata": {"ownerReferences": [{"uid": "rs", "controller": true}]}}),
    );
    for _ in 0..2 {
        world.place("a", info(pod("p", patch.clone())));
        world.place("b", info(pod("p", patch.clone())));
        world.place("a", info(pod("p", patch.clone())));
    }
    assert_eq!(world.nodes[0].requested.pods, 1);
    assert!(world.remove_pod("p") && !world.remove_pod("p"));
    assert_eq!(world.nodes.len(), 1);
    assert_eq!(world.nodes[0].requested, before.nodes[0].requested);
    assert_eq!(world.nodes[0].weight, before.nodes[0].weight);
}

/// `cargo test --release -p kabuki-actors --lib scheduler::tests::figures -- --ignored --nocapture`
#[test]
#[ignore = "prints figures"]
fn figures() {
    const NODES: usize = 5000;
    const PODS: usize = 10_000;
    let zones = |n: usize| json!({"metadata": {"labels": {"zone": format!("z{}", n % 3)}}});
    let near = json!({"metadata": {"labels": {"app": "p"}}, "spec": {"affinity": {"podAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": [
            {"labelSelector": {"matchLabels": {"app": "p"}}, "topologyKey": "zone"}]}}}});
    for (what, patch, pods) in [("plain", json!({}), PODS), ("required pod affinity", near, 1000)] {
        let nodes = (0..NODES).map(|n| node(&format!("n{n}"), zones(n))).collect();
        let mut world = cluster(nodes, vec![]);
        let mut load = requests("100m");
        merge(&mut load, &patch);
        let infos: Vec<_> = (0..pods).map(|n| info(pod(&format!("p{n}"), load.clone()))).collect();
        let begin = std::time::Instant::now();
        let mut start = 0;
        for info in infos {
            let node = decide(&world, &info, &|_| Value::Null, &mut start).unwrap();
            world.place(&node, info);
        }
        let rate = pods as f64 / begin.elapsed().as_secs_f64();
        println!("{what}: {rate:.0} pods/s on {NODES} nodes");
    }
}
