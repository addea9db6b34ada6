//! Custom resources against the real binary: over HTTP, and with kubectl old and new.

mod support;

#[path = "custom_resources/ending.rs"]
mod ending;
#[path = "custom_resources/kubectl.rs"]
mod kubectl;
#[path = "custom_resources/objects.rs"]
mod objects;
#[path = "access/server.rs"]
#[allow(dead_code, reason = "this test uses its own part of the support code")]
mod server;

use std::time::Duration;

use serde_json::{Value, json};

use server::Server;
use support::eventually;

/// How long a controller may take.
const PATIENCE: Duration = Duration::from_secs(20);
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const TABS: &str = "/apis/stable.example.com/v1/namespaces/default/crontabs";

/// The schema of the kind most of this is about.
fn schema() -> Value {
    json!({"openAPIV3Schema": {"type": "object", "description": "A table of times.",
        "properties": {
            "spec": {"type": "object", "required": ["cronSpec"], "properties": {
                "cronSpec": {"type": "string", "pattern": "^\\d+$", "description": "When."},
                "image": {"type": "string"},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 10, "default": 1},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
                "steps": {"type": "array", "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {"type": "object", "required": ["name"], "properties": {
                        "name": {"type": "string"}, "run": {"type": "string"}}}}}},
            "status": {"type": "object", "properties": {
                "replicas": {"type": "integer"}, "selector": {"type": "string"}}}}}})
}

/// The definition of CronTab: two versions, status, scale, columns.
fn crontabs() -> Value {
    let subresources = json!({"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
        "statusReplicasPath": ".status.replicas", "labelSelectorPath": ".status.selector"}});
    let columns = json!([
        {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]);
    let version = |name: &str, storage: bool| {
        json!({"name": name, "served": true, "storage": storage, "schema": schema(),
            "subresources": subresources, "additionalPrinterColumns": columns,
            "selectableFields": [{"jsonPath": ".spec.image"}]})
    };
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab",
                "shortNames": ["ct"], "categories": ["all"]},
            "versions": [version("v1", true), version("v1beta1", false)]}})
}

fn crontab(name: &str) -> Value {
    json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"cronSpec": "5", "image": "cron"}})
}

/// Creates a definition and waits until it is established.
fn define(server: &Server, definition: &Value) {
    let created = server.post(DEFINITIONS, definition);
    assert_eq!(created.code, 201, "{created:?}");
    let name = definition["metadata"]["name"].as_str().expect("name");
    await_condition(server, name, "Established", "True");
}

fn condition(server: &Server, name: &str, wanted: &str) -> Value {
    let definition = server.get(&format!("{DEFINITIONS}/{name}")).body;
    let conditions = definition["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|c| c["type"] == wanted).unwrap_or_default()
}

fn await_condition(server: &Server, name: &str, wanted: &str, status: &str) {
    eventually(&format!("{name} is {wanted} {status}"), PATIENCE, || {
        let found = condition(server, name, wanted);
        if found["status"] == status { Ok(()) } else { Err(found.to_string()) }
    });
}
