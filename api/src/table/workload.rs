//! Rows of the workload kinds.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    duration::{human, parse, since},
    field::{NONE, at, int, items, labels, opt_text, selector, text, text_or},
};

/// Where most workloads have their pods' template.
const TEMPLATE: &str = "/spec/template";

/// `apps/v1` Deployment.
pub(crate) fn deployment(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object, TEMPLATE);
    Row::new(vec![
        text(object, "/metadata/name").into(),
        format!("{}/{}", int(object, "/status/readyReplicas"), int(object, "/spec/replicas"))
            .into(),
        int(object, "/status/updatedReplicas").into(),
        int(object, "/status/availableReplicas").into(),
        age(object, now),
        containers.into(),
        images.into(),
        selector(object, "/spec/selector").into(),
    ])
}

/// `apps/v1` ReplicaSet.
pub(crate) fn replica_set(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object, TEMPLATE);
    Row::new(vec![
        text(object, "/metadata/name").into(),
        int(object, "/spec/replicas").into(),
        int(object, "/status/replicas").into(),
        int(object, "/status/readyReplicas").into(),
        age(object, now),
        containers.into(),
        images.into(),
        selector(object, "/spec/selector").into(),
    ])
}

/// `autoscaling/v1` Scale.
pub(crate) fn scale(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![
        text(object, "/metadata/name").into(),
        int(object, "/spec/replicas").into(),
        int(object, "/status/replicas").into(),
        age(object, now),
    ])
}

/// ReplicationController.
pub(crate) fn replication_controller(object: &Value, now: OffsetDateTime) -> Row {
    let mut row = replica_set(object, now);
    row.cells[7] = labels(object, "/spec/selector").into();
    row
}

/// `apps/v1` DaemonSet.
pub(crate) fn daemon_set(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object, TEMPLATE);
    Row::new(vec![
        text(object, "/metadata/name").into(),
        int(object, "/status/desiredNumberScheduled").into(),
        int(object, "/status/currentNumberScheduled").into(),
        int(object, "/status/numberReady").into(),
        int(object, "/status/updatedNumberScheduled").into(),
        int(object, "/status/numberAvailable").into(),
        labels(object, "/spec/template/spec/nodeSelector").into(),
        age(object, now),
        containers.into(),
        images.into(),
        selector(object, "/spec/selector").into(),
    ])
}

/// `apps/v1` StatefulSet.
pub(crate) fn stateful_set(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object, TEMPLATE);
    let ready = int(object, "/status/readyReplicas");
    Row::new(vec![
        text(object, "/metadata/name").into(),
        format!("{ready}/{}", int(object, "/spec/replicas")).into(),
        age(object, now),
        containers.into(),
        images.into(),
    ])
}

/// `apps/v1` ControllerRevision.
pub(crate) fn controller_revision(object: &Value, now: OffsetDateTime) -> Row {
    let owners = items(object, "/metadata/ownerReferences");
    let controller = owners.iter().find(|o| o["controller"] == true).map_or_else(
        || NONE.to_owned(),
        |owner| {
            let kind = text(owner, "/kind").to_lowercase();
            let name = text(owner, "/name");
            match text(owner, "/apiVersion").split_once('/') {
                Some((group, _)) => format!("{kind}.{group}/{name}"),
                None => format!("{kind}/{name}"),
            }
        },
    );
    Row::new(vec![
        text(object, "/metadata/name").into(),
        controller.into(),
        int(object, "/revision").into(),
        age(object, now),
    ])
}

/// PodTemplate.
pub(crate) fn pod_template(object: &Value) -> Row {
    let (containers, images) = containers(object, "/template");
    Row::new(vec![
        text(object, "/metadata/name").into(),
        containers.into(),
        images.into(),
        labels(object, "/template/metadata/labels").into(),
    ])
}

/// `batch/v1` Job.
pub(crate) fn job(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object, TEMPLATE);
    let succeeded = int(object, "/status/succeeded");
    let completions = match at(object, "/spec/completions").and_then(Value::as_i64) {
        Some(all) => format!("{succeeded}/{all}"),
        None => match int(object, "/spec/parallelism") {
            many @ 2.. => format!("{succeeded}/1 of {many}"),
            _ => format!("{succeeded}/1"),
        },
    };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        job_status(object).into(),
        completions.into(),
        job_duration(object, now).into(),
        age(object, now),
        containers.into(),
        images.into(),
        selector(object, "/spec/selector").into(),
    ])
}

fn job_status(object: &Value) -> &'static str {
    let holds = |name: &str| {
        items(object, "/status/conditions")
            .iter()
            .any(|c| text(c, "/type") == name && text(c, "/status") == "True")
    };
    if holds("Complete") {
        "Complete"
    } else if holds("Failed") {
        "Failed"
    } else if opt_text(object, "/metadata/deletionTimestamp").is_some() {
        "Terminating"
    } else if holds("Suspended") {
        "Suspended"
    } else if holds("FailureTarget") {
        "FailureTarget"
    } else if holds("SuccessCriteriaMet") {
        "SuccessCriteriaMet"
    } else {
        "Running"
    }
}

fn job_duration(object: &Value, now: OffsetDateTime) -> String {
    let time = |at| opt_text(object, at).and_then(parse);
    match (time("/status/startTime"), time("/status/completionTime")) {
        (None, _) => String::new(),
        (Some(start), end) => human((end.unwrap_or(now) - start).whole_seconds()),
    }
}

/// `batch/v1` CronJob.
pub(crate) fn cron_job(object: &Value, now: OffsetDateTime) -> Row {
    let (containers, images) = containers(object, "/spec/jobTemplate/spec/template");
    let suspend = match at(object, "/spec/suspend").and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => "<unset>",
    };
    let last = opt_text(object, "/status/lastScheduleTime");
    Row::new(vec![
        text(object, "/metadata/name").into(),
        text(object, "/spec/schedule").into(),
        text_or(object, "/spec/timeZone", NONE).into(),
        suspend.into(),
        items(object, "/status/active").len().into(),
        last.map_or_else(|| NONE.to_owned(), |at| since(Some(at), now)).into(),
        age(object, now),
        containers.into(),
        images.into(),
        selector(object, "/spec/jobTemplate/spec/selector").into(),
    ])
}

fn containers(object: &Value, template: &str) -> (String, String) {
    let containers = items(object, &format!("{template}/spec/containers"));
    let join = |key: &str| containers.iter().map(|c| text(c, key)).collect::<Vec<_>>().join(",");
    (join("/name"), join("/image"))
}
