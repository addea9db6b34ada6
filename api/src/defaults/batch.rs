//! Defaults of jobs and cron jobs, and the selector the server makes for a job.

use serde_json::{Value, json};

use super::{absent, empty, ensure, items, pod, set};

/// Failures until a job has failed.
const BACKOFF: i64 = 6;
const UID_LABELS: [&str; 2] = ["controller-uid", "batch.kubernetes.io/controller-uid"];
const NAME_LABELS: [&str; 2] = ["job-name", "batch.kubernetes.io/job-name"];

pub(crate) fn job(object: &mut Value) {
    let labels = object.pointer("/spec/template/metadata/labels").cloned().unwrap_or_default();
    if labels.as_object().is_some_and(|l| !l.is_empty()) {
        set(ensure(object, "metadata"), "labels", labels);
    }
    if let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) {
        if absent(spec, "parallelism") {
            set(spec, "completions", 1);
        }
        set(spec, "parallelism", 1);
        let per_index = !absent(spec, "backoffLimitPerIndex");
        set(spec, "backoffLimit", if per_index { i64::from(i32::MAX) } else { BACKOFF });
        set(spec, "completionMode", "NonIndexed");
        set(spec, "suspend", false);
        set(spec, "manualSelector", false);
        let has_policy = !absent(spec, "podFailurePolicy");
        let replacement = if has_policy { "Failed" } else { "TerminatingOrFailed" };
        set(spec, "podReplacementPolicy", replacement);
        for rule in items(spec, "/podFailurePolicy/rules") {
            for pattern in items(rule, "/onPodConditions") {
                set(pattern, "status", "True");
            }
        }
    }
    pod::template(object);
}

/// Makes the selector and the labels of a new job that does not choose its own
/// (k8s pkg/registry/batch/job/strategy.go `generateSelector`).
pub(crate) fn job_new(object: &mut Value) {
    if object["spec"]["manualSelector"] == true || !object["spec"].is_object() {
        return;
    }
    let uid = object["metadata"]["uid"].clone();
    let name = object["metadata"]["name"].clone();
    let before = object.pointer("/spec/template/metadata/labels").cloned();
    let copied = before == object["metadata"].get("labels").cloned();
    let template = ensure(&mut object["spec"], "template");
    let labels = ensure(ensure(template, "metadata"), "labels");
    for (keys, value) in [(UID_LABELS, &uid), (NAME_LABELS, &name)] {
        for key in keys {
            set(labels, key, value.clone());
        }
    }
    let labels = labels.clone();
    let selector = ensure(&mut object["spec"], "selector");
    set(ensure(selector, "matchLabels"), UID_LABELS[1], uid);
    // A job without labels of its own shows those of its template.
    if copied {
        object["metadata"]["labels"] = labels;
    }
}

pub(crate) fn cron_job(object: &mut Value) {
    let Some(spec) = object.get_mut("spec").filter(|s| s.is_object()) else { return };
    set(spec, "concurrencyPolicy", "Allow");
    set(spec, "suspend", false);
    set(spec, "successfulJobsHistoryLimit", 3);
    set(spec, "failedJobsHistoryLimit", 1);
    set(ensure(spec, "jobTemplate"), "metadata", empty());
    set(&mut spec["jobTemplate"], "spec", json!({}));
    pod::template(&mut spec["jobTemplate"]);
}
