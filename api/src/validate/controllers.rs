//! StatefulSets, DaemonSets, ReplicationControllers, pod templates and controller revisions
//! (k8s pkg/apis/{apps,core}/validation).

use serde_json::{Map, Value};

use super::{
    FieldError,
    check::{
        Errors, entries, immutable, label_selector, labels, not_negative, one_of, selector_matches,
        selects_all, text,
    },
    meta, pod,
    workload::amount,
};

/// What may change in the spec of a stateful set.
const STATEFUL_SET_FREE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];
const STATEFUL_SET_FIXED: &str = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";

pub(crate) fn stateful_set(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    match text(spec, "podManagementPolicy") {
        "OrderedReady" | "Parallel" => {}
        other => out.push(FieldError::invalid(
            "spec.podManagementPolicy",
            other,
            "must be 'OrderedReady' or 'Parallel'",
        )),
    }
    let strategy = &spec["updateStrategy"];
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "OnDelete" if !rolling.is_null() => out.push(FieldError::invalid(
            "spec.updateStrategy.rollingUpdate",
            rolling.clone(),
            "only allowed for updateStrategy 'RollingUpdate'",
        )),
        "OnDelete" => {}
        "RollingUpdate" => stateful_rolling(out, rolling),
        _ => out.push(FieldError::invalid(
            "spec.updateStrategy",
            strategy.clone(),
            "must be 'RollingUpdate' or 'OnDelete'",
        )),
    }
    let retention = &spec["persistentVolumeClaimRetentionPolicy"];
    for field in ["whenDeleted", "whenScaled"] {
        let path = format!("spec.persistentVolumeClaimRetentionPolicy.{field}");
        one_of(out, path, &retention[field], &["Delete", "Retain"]);
    }
    not_negative(out, "spec.replicas".into(), &spec["replicas"]);
    not_negative(out, "spec.minReadySeconds".into(), &spec["minReadySeconds"]);
    not_negative(out, "spec.ordinals.start".into(), &spec["ordinals"]["start"]);
    not_negative(out, "spec.revisionHistoryLimit".into(), &spec["revisionHistoryLimit"]);
    selector(out, spec, "statefulset");
    // As upstream, the pods' own rules are checked when pods are made: volumes come from claims.
    let template = &spec["template"];
    labels(out, "spec.template.labels", &template["metadata"]["labels"]);
    meta::annotations(out, "spec.template.annotations", &template["metadata"]["annotations"]);
    lasting(out, spec, "StatefulSet");
}

fn stateful_rolling(out: &mut Errors, rolling: &Value) {
    const PATH: &str = "spec.updateStrategy.rollingUpdate";
    if rolling.is_null() {
        return;
    }
    not_negative(out, format!("{PATH}.partition"), &rolling["partition"]);
    let path = format!("{PATH}.maxUnavailable");
    let value = &rolling["maxUnavailable"];
    if amount(out, &path, value) == Some(0) && !value.is_null() {
        out.push(FieldError::invalid(&path, value.clone(), "cannot be 0"));
    }
    at_most_all(out, &path, value);
}

pub(crate) fn stateful_set_change(out: &mut Errors, new: &Value, old: &Value) {
    let fixed = |object: &Value| {
        let mut spec = object["spec"].as_object().cloned().unwrap_or_default();
        spec.retain(|field, _| !STATEFUL_SET_FREE.contains(&field.as_str()));
        spec
    };
    if fixed(new) != fixed(old) {
        out.push(FieldError::forbidden("spec", STATEFUL_SET_FIXED));
    }
}

pub(crate) fn daemon_set(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    selector(out, spec, "daemonset");
    pod::template(out, "spec.template", &spec["template"]);
    lasting(out, spec, "DaemonSet");
    not_negative(out, "spec.minReadySeconds".into(), &spec["minReadySeconds"]);
    not_negative(out, "spec.revisionHistoryLimit".into(), &spec["revisionHistoryLimit"]);
    let strategy = &spec["updateStrategy"];
    match text(strategy, "type") {
        "OnDelete" => {}
        "RollingUpdate" => daemon_rolling(out, &strategy["rollingUpdate"]),
        other => out.push(FieldError::not_supported(
            "spec.updateStrategy.type",
            other,
            &["OnDelete", "RollingUpdate"],
        )),
    }
}

fn daemon_rolling(out: &mut Errors, rolling: &Value) {
    const PATH: &str = "spec.updateStrategy.rollingUpdate";
    let unavailable = amount(out, &format!("{PATH}.maxUnavailable"), &rolling["maxUnavailable"]);
    let surge = amount(out, &format!("{PATH}.maxSurge"), &rolling["maxSurge"]);
    for field in ["maxUnavailable", "maxSurge"] {
        at_most_all(out, &format!("{PATH}.{field}"), &rolling[field]);
    }
    match (unavailable, surge) {
        (Some(1..), Some(1..)) => out.push(FieldError::invalid(
            format!("{PATH}.maxSurge"),
            rolling["maxSurge"].clone(),
            "may not be set when maxUnavailable is non-zero",
        )),
        (Some(0), Some(0)) => out.push(FieldError::required(
            format!("{PATH}.maxUnavailable"),
            "cannot be 0 when maxSurge is 0",
        )),
        _ => {}
    }
}

/// A percentage of at most 100.
fn at_most_all(out: &mut Errors, path: &str, value: &Value) {
    let percent = value.as_str().and_then(|s| s.strip_suffix('%'));
    if percent.and_then(|p| p.parse::<i64>().ok()).is_some_and(|p| p > 100) {
        out.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
    }
}

pub(crate) fn daemon_set_change(out: &mut Errors, new: &Value, old: &Value) {
    immutable(out, "spec.selector", &new["spec"]["selector"], &old["spec"]["selector"]);
}

/// The selector of `spec` and that it selects the template.
fn selector(out: &mut Errors, spec: &Value, kind: &str) {
    let selector = &spec["selector"];
    if selector.is_null() {
        out.push(FieldError::required("spec.selector", ""));
        return;
    }
    label_selector(out, "spec.selector", selector);
    if selects_all(selector) {
        let detail = format!("empty selector is invalid for {kind}");
        out.push(FieldError::invalid("spec.selector", selector.clone(), detail));
    } else {
        selected(out, selector, &spec["template"]["metadata"]["labels"]);
    }
}

/// That a selector selects the labels of the template.
pub(super) fn selected(out: &mut Errors, selector: &Value, labels: &Value) {
    if !selector_matches(selector, labels) {
        let shown = if labels.is_null() { Value::Object(Map::new()) } else { labels.clone() };
        out.push(FieldError::invalid(
            "spec.template.metadata.labels",
            shown,
            "`selector` does not match template `labels`",
        ));
    }
}

/// Pods that are to run for ever start again and have no deadline.
fn lasting(out: &mut Errors, spec: &Value, kind: &str) {
    let pod = &spec["template"]["spec"];
    if matches!(text(pod, "restartPolicy"), "OnFailure" | "Never") {
        let path = "spec.template.spec.restartPolicy";
        out.push(FieldError::not_supported(path, text(pod, "restartPolicy"), &["Always"]));
    }
    if !pod["activeDeadlineSeconds"].is_null() {
        out.push(FieldError::forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            format!("activeDeadlineSeconds in {kind} is not Supported"),
        ));
    }
}

pub(crate) fn replication_controller(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    not_negative(out, "spec.minReadySeconds".into(), &spec["minReadySeconds"]);
    if entries(spec, "selector").next().is_none() {
        out.push(FieldError::required("spec.selector", ""));
    }
    not_negative(out, "spec.replicas".into(), &spec["replicas"]);
    let template = &spec["template"];
    if template.is_null() {
        out.push(FieldError::required("spec.template", ""));
        return;
    }
    let selector = serde_json::json!({"matchLabels": spec["selector"]});
    if !selects_all(&selector) {
        selected(out, &selector, &template["metadata"]["labels"]);
    }
    pod::template(out, "spec.template", template);
    lasting(out, spec, "ReplicationController");
}

pub(crate) fn pod_template(out: &mut Errors, object: &Value) {
    pod::template(out, "template", &object["template"]);
}

pub(crate) fn controller_revision(out: &mut Errors, object: &Value) {
    if object["data"].is_null() {
        out.push(FieldError::required("data", "data is mandatory"));
    }
    not_negative(out, "revision".into(), &object["revision"]);
}

pub(crate) fn controller_revision_change(out: &mut Errors, new: &Value, old: &Value) {
    immutable(out, "data", &new["data"], &old["data"]);
}
