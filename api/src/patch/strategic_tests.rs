//! Strategic merge patch on the real field table.

use serde_json::{Value, json};

use super::strategic_merge;
use crate::{
    kind::{DEPLOYMENT, POD, SERVICE},
    patch::merge_patch,
};

fn pod(patch: Value, original: Value) -> Value {
    strategic_merge(POD.message, &original, &patch).unwrap()
}

fn containers(list: Value) -> Value {
    json!({"spec": {"containers": list}})
}

#[test]
fn lists_merge_by_key_and_order() {
    let original =
        containers(json!([{"name": "a", "image": "1", "env": [{"name": "x", "value": "1"}]},
        {"name": "injected", "image": "s"}, {"name": "b", "image": "1"}]));
    for (what, patch, want) in [
        (
            "merged in place, new ones appended",
            containers(json!([{"name": "b", "image": "2"}, {"name": "c", "image": "3"}])),
            json!([{"name": "a", "image": "1", "env": [{"name": "x", "value": "1"}]},
                {"name": "injected", "image": "s"}, {"name": "b", "image": "2"}, {"name": "c", "image": "3"}]),
        ),
        (
            "deleted",
            containers(json!([{"name": "a", "$patch": "delete"}])),
            json!([{"name": "injected", "image": "s"}, {"name": "b", "image": "1"}]),
        ),
        (
            "replaced",
            containers(json!([{"$patch": "replace"}, {"name": "z", "image": "9"}])),
            json!([{"name": "z", "image": "9"}]),
        ),
        (
            "nested lists merge too",
            containers(json!([{"name": "a", "env": [{"name": "y", "value": "2"}]}])),
            json!([{"name": "a", "image": "1", "env": [{"name": "x", "value": "1"}, {"name": "y", "value": "2"}]},
                {"name": "injected", "image": "s"}, {"name": "b", "image": "1"}]),
        ),
        (
            "ordered, what only the server has stays behind what it followed",
            json!({"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}],
                "containers": [{"name": "b", "image": "2"}]}}),
            json!([{"name": "injected", "image": "s"}, {"name": "b", "image": "2"},
                {"name": "a", "image": "1", "env": [{"name": "x", "value": "1"}]}]),
        ),
    ] {
        let got = pod(patch, original.clone());
        assert_eq!(got["spec"]["containers"], want, "{what}");
    }
}

#[test]
fn primitive_lists_are_sets() {
    let original = json!({"metadata": {"finalizers": ["a/x", "b/x"]}});
    for (patch, want) in [
        (json!({"metadata": {"finalizers": ["c/x", "a/x"]}}), json!(["a/x", "b/x", "c/x"])),
        (json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["a/x"]}}), json!(["b/x"])),
        (
            json!({"metadata": {"$deleteFromPrimitiveList/finalizers": ["b/x"],
                "$setElementOrder/finalizers": ["c/x", "a/x"], "finalizers": ["c/x"]}}),
            json!(["c/x", "a/x"]),
        ),
    ] {
        assert_eq!(pod(patch.clone(), original.clone())["metadata"]["finalizers"], want, "{patch}");
    }
}

#[test]
fn other_lists_are_replaced_and_maps_merge() {
    let original = json!({"metadata": {"labels": {"a": "1", "b": "2"}},
        "spec": {"tolerations": [{"key": "x"}], "containers": [{"name": "c", "args": ["1", "2"]}]}});
    let got = pod(
        json!({"metadata": {"labels": {"a": null, "c": "3"}},
            "spec": {"tolerations": [{"key": "y"}], "containers": [{"name": "c", "args": ["3"]}]}}),
        original,
    );
    assert_eq!(
        got,
        json!({"metadata": {"labels": {"b": "2", "c": "3"}},
            "spec": {"tolerations": [{"key": "y"}], "containers": [{"name": "c", "args": ["3"]}]}})
    );
}

#[test]
fn retain_keys_switches_a_union() {
    let original =
        json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(
        strategic_merge(DEPLOYMENT.message, &original, &patch).unwrap(),
        json!({"spec": {"strategy": {"type": "Recreate"}}})
    );
    let original = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
    let patch = json!({"spec": {"volumes": [
        {"$retainKeys": ["name", "secret"], "name": "v", "secret": {"secretName": "s"}}]}});
    assert_eq!(
        pod(patch, original)["spec"]["volumes"],
        json!([{"name": "v", "secret": {"secretName": "s"}}])
    );
}

#[test]
fn directives_on_objects() {
    let original =
        json!({"spec": {"nodeSelector": {"a": "1"}, "securityContext": {"runAsUser": 1}}});
    assert_eq!(
        pod(
            json!({"spec": {"securityContext": {"$patch": "replace", "fsGroup": 2}}}),
            original.clone()
        )["spec"]["securityContext"],
        json!({"fsGroup": 2})
    );
    assert_eq!(
        pod(json!({"spec": {"securityContext": {"$patch": "delete"}}}), original.clone())["spec"]["securityContext"],
        json!({})
    );
    for patch in [
        json!({"spec": {"$patch": "dance"}}),
        containers(json!([{"image": "no key"}])),
        containers(json!(["no object"])),
        json!([]),
    ] {
        assert_eq!(
            strategic_merge(POD.message, &original, &patch).unwrap_err().code,
            400,
            "{patch}"
        );
    }
}

#[test]
fn service_ports_merge_by_port() {
    let original =
        json!({"spec": {"ports": [{"port": 80, "name": "a"}, {"port": 81, "name": "b"}]}});
    let patch = json!({"spec": {"ports": [{"port": 80, "nodePort": 30000}]}});
    assert_eq!(
        strategic_merge(SERVICE.message, &original, &patch).unwrap()["spec"]["ports"],
        json!([{"port": 80, "name": "a", "nodePort": 30000}, {"port": 81, "name": "b"}])
    );
}

/// Small deterministic generator: the properties below hold for any object, so the shapes matter
/// and not the source of chance.
struct Chance(u64);

impl Chance {
    fn next(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pod(&mut self) -> Value {
        let containers: Vec<Value> = (0..self.next(4))
            .map(|i| {
                let env: Vec<Value> = (0..self.next(4))
                    .map(|e| json!({"name": format!("e{e}"), "value": self.next(3).to_string()}))
                    .collect();
                json!({"name": format!("c{i}"), "image": self.next(3).to_string(), "env": env})
            })
            .collect();
        let mut labels = json!({});
        for i in 0..self.next(4) {
            labels[format!("l{i}")] = self.next(3).to_string().into();
        }
        json!({"metadata": {"labels": labels}, "spec": {"containers": containers}})
    }
}

#[test]
fn patches_are_idempotent_and_the_identity_changes_nothing() {
    let mut chance = Chance(7);
    for _ in 0..300 {
        let (original, patch) = (chance.pod(), chance.pod());
        assert_eq!(pod(original.clone(), original.clone()), original);
        assert_eq!(pod(json!({}), original.clone()), original);
        let once = pod(patch.clone(), original.clone());
        assert_eq!(pod(patch.clone(), once.clone()), once);
        let merged = merge_patch(&original, &patch).unwrap();
        assert_eq!(merge_patch(&merged, &patch).unwrap(), merged);
        // Every item of the patch is in the result with its values.
        for wanted in patch["spec"]["containers"].as_array().unwrap() {
            let found = once["spec"]["containers"].as_array().unwrap();
            assert!(
                found.iter().any(|c| c["name"] == wanted["name"] && c["image"] == wanted["image"])
            );
        }
    }
}
