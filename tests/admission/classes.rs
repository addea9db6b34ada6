//! Classes of pods, claims and ingresses, and what keeps claims.

use serde_json::{Value, json};

use crate::door::{Door, pod};

pub fn give_what_is_left_open(door: &Door<'_>) {
    let ns = door.namespace("classes", json!({}));
    let runtime = json!({"metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "100m"}},
        "scheduling": {"nodeSelector": {"vm": "yes"}}});
    door.post("/apis/node.k8s.io/v1/runtimeclasses", runtime).ok();
    let with = |class: &str| {
        let mut pod = pod("p", "");
        pod["spec"]["runtimeClassName"] = class.into();
        pod
    };
    let pods = format!("{ns}/pods");
    let made = door.post(&pods, with("vm")).ok().json();
    assert_eq!(made["spec"]["overhead"], json!({"cpu": "100m"}));
    assert_eq!(made["spec"]["nodeSelector"], json!({"vm": "yes"}));
    assert_eq!(
        door.post(&pods, with("other")).refusal(),
        "403 pods \"p\" is forbidden: pod rejected: RuntimeClass \"other\" not found"
    );
    // What admission decided stays when somebody leaves it out.
    let mut again = made.clone();
    for field in ["priority", "preemptionPolicy"] {
        again["spec"].as_object_mut().expect("spec").remove(field);
    }
    // The scheduler writes a condition meanwhile.
    again["metadata"].as_object_mut().expect("metadata").remove("resourceVersion");
    let kept = door.send("PUT", &format!("{pods}/p"), again).ok().json();
    assert_eq!(
        (&kept["spec"]["priority"], &kept["metadata"]["generation"]),
        (&json!(0), &json!(1))
    );

    let class = |name: &str| {
        json!({"metadata": {"name": name, "annotations": {
            "storageclass.kubernetes.io/is-default-class": "true",
            "ingressclass.kubernetes.io/is-default-class": "true"}},
            "provisioner": "a.b/c", "spec": {"controller": "a.b/c"}})
    };
    door.post("/apis/storage.k8s.io/v1/storageclasses", class("std")).ok();
    door.post("/apis/networking.k8s.io/v1/ingressclasses", class("std")).ok();
    let ingress = json!({"metadata": {"name": "i"}, "spec": {"defaultBackend":
        {"service": {"name": "s", "port": {"number": 80}}}}});
    let path = ns.replace("/api/v1/", "/apis/networking.k8s.io/v1/");
    let made = door.post(&format!("{path}/ingresses"), ingress).ok().json();
    assert_eq!(made["spec"]["ingressClassName"], "std");
    claims(door, &ns);
    door.send("DELETE", "/apis/storage.k8s.io/v1/storageclasses/std", Value::Null).ok();
    let default =
        |name: &str| json!({"metadata": {"name": name}, "value": 1, "globalDefault": true});
    let path = "/apis/scheduling.k8s.io/v1/priorityclasses";
    door.post(path, default("base")).ok();
    assert_eq!(
        door.post(path, default("other")).refusal(),
        "403 priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass base is already marked as default. Only one default can exist"
    );
    door.send("DELETE", &format!("{path}/base"), Value::Null).ok();
}

/// A claim gets the default class, and stays as long as a pod on a node uses it.
fn claims(door: &Door<'_>, ns: &str) {
    let path = format!("{ns}/persistentvolumeclaims");
    let claim = json!({"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}}}});
    let made = door.post(&path, claim).ok().json();
    assert_eq!(made["spec"]["storageClassName"], "std");
    assert_eq!(made["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let bound = json!({"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}});
    door.patch(&format!("{path}/c/status"), bound).ok();
    let larger = json!({"spec": {"resources": {"requests": {"storage": "2Gi"}}}});
    assert_eq!(
        door.patch(&format!("{path}/c"), larger).refusal(),
        "403 persistentvolumeclaims \"c\" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
    );
    let mut user = pod("user", "");
    user["spec"]["nodeName"] = "somewhere".into();
    user["spec"]["volumes"] = json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]);
    door.post(&format!("{ns}/pods"), user).ok();
    door.send("DELETE", &format!("{path}/c"), Value::Null).ok();
    std::thread::sleep(std::time::Duration::from_millis(500));
    let kept = door.get(&format!("{path}/c"));
    assert_eq!(kept["metadata"]["finalizers"], json!(["kubernetes.io/pvc-protection"]));
    let now = json!({"gracePeriodSeconds": 0});
    door.send("DELETE", &format!("{ns}/pods/user"), now).ok();
    door.gone(&format!("{path}/c"));
}
