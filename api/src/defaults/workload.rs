//! Defaults of the kinds that keep pods running, and of pod templates.

use serde_json::{Value, json};

use super::{absent, ensure, items, persistent, pod, set, set_in};

/// Old revisions that are kept.
const REVISIONS: i64 = 10;
/// Where upstream keeps the generation of a daemon set's template for clients of old versions.
const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

pub(crate) fn deployment(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) {
        set(spec, "replicas", 1);
        set(spec, "revisionHistoryLimit", REVISIONS);
        set(spec, "progressDeadlineSeconds", 600);
        let strategy = ensure(spec, "strategy");
        set(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = ensure(strategy, "rollingUpdate");
            set(rolling, "maxUnavailable", "25%");
            set(rolling, "maxSurge", "25%");
        }
    }
    pod::template(object);
}

pub(crate) fn replica_set(object: &mut Value) {
    set_in(object, "/spec", "replicas", 1);
    pod::template(object);
}

pub(crate) fn replication_controller(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
    if labels.as_object().is_some_and(|l| !l.is_empty()) {
        set_in(object, "/metadata", "labels", labels.clone());
        set_in(object, "/spec", "selector", labels);
    }
    set_in(object, "/spec", "replicas", 1);
    pod::template(object);
}

pub(crate) fn pod_template(object: &mut Value) {
    if let Some(spec) = object.pointer_mut("/template/spec") {
        pod::pod_spec(spec);
    }
}

pub(crate) fn daemon_set(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) {
        set(spec, "revisionHistoryLimit", REVISIONS);
        let strategy = ensure(spec, "updateStrategy");
        set(strategy, "type", "RollingUpdate");
        if strategy["type"] == "RollingUpdate" {
            let rolling = ensure(strategy, "rollingUpdate");
            set(rolling, "maxUnavailable", 1);
            set(rolling, "maxSurge", 0);
        }
    }
    pod::template(object);
}

/// The template's generation begins with 1 and rises with each change of the template.
pub(crate) fn daemon_set_new(object: &mut Value) {
    annotate(object, 1);
}

pub(crate) fn daemon_set_change(old: &Value, new: &mut Value) {
    let had = old["metadata"]["annotations"][TEMPLATE_GENERATION].as_str();
    let had: i64 = had.and_then(|g| g.parse().ok()).unwrap_or(1);
    let changed = old["spec"]["template"] != new["spec"]["template"];
    annotate(new, had + i64::from(changed));
}

fn annotate(object: &mut Value, generation: i64) {
    let annotations = ensure(ensure(object, "metadata"), "annotations");
    if let Value::Object(annotations) = annotations {
        annotations.insert(TEMPLATE_GENERATION.to_owned(), generation.to_string().into());
    }
}

pub(crate) fn stateful_set(object: &mut Value) {
    if let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) {
        set(spec, "replicas", 1);
        set(spec, "revisionHistoryLimit", REVISIONS);
        set(spec, "podManagementPolicy", "OrderedReady");
        let strategy = ensure(spec, "updateStrategy");
        if absent(strategy, "type") {
            set(strategy, "type", "RollingUpdate");
            ensure(strategy, "rollingUpdate");
        }
        if strategy["type"] == "RollingUpdate"
            && let Some(rolling) = strategy.get_mut("rollingUpdate")
        {
            set(rolling, "partition", 0);
            set(rolling, "maxUnavailable", 1);
        }
        let retention = ensure(spec, "persistentVolumeClaimRetentionPolicy");
        set(retention, "whenDeleted", "Retain");
        set(retention, "whenScaled", "Retain");
        for claim in items(spec, "/volumeClaimTemplates") {
            set(claim, "apiVersion", "v1");
            set(claim, "kind", "PersistentVolumeClaim");
            persistent::claim(claim);
            set(claim, "status", json!({"phase": "Pending"}));
        }
    }
    pod::template(object);
}
