//! The pod row, with the status word computed as upstream's `printPod` does
//! (k8s pkg/printers/internalversion/printers.go).

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    Row, age,
    duration::parse,
    field::{NONE, at, flag, int, items, opt_text, text, text_or},
};

/// What the status word, readiness and restarts of a pod add up to.
#[derive(Debug, Default)]
struct Summary {
    reason: String,
    ready: usize,
    total: usize,
    restarts: i64,
    last_restart: Option<OffsetDateTime>,
}

/// Renders one pod.
pub(crate) fn row(pod: &Value, now: OffsetDateTime) -> Row {
    let summary = summarize(pod);
    let restarts = match summary.last_restart {
        Some(at) if summary.restarts != 0 => {
            let ago = super::duration::human((now - at).whole_seconds());
            format!("{} ({ago} ago)", summary.restarts)
        }
        _ => summary.restarts.to_string(),
    };
    let cells = vec![
        text(pod, "/metadata/name").into(),
        format!("{}/{}", summary.ready, summary.total).into(),
        summary.reason.into(),
        restarts.into(),
        age(pod, now),
        text_or(pod, "/status/podIPs/0/ip", text_or(pod, "/status/podIP", NONE)).into(),
        text_or(pod, "/spec/nodeName", NONE).into(),
        text_or(pod, "/status/nominatedNodeName", NONE).into(),
        readiness_gates(pod).into(),
    ];
    Row { cells, conditions: completed(pod) }
}

fn summarize(pod: &Value) -> Summary {
    let mut s = Summary {
        reason: text_or(pod, "/status/reason", text(pod, "/status/phase")).to_owned(),
        total: items(pod, "/spec/containers").len() + sidecars(pod).count(),
        ..Summary::default()
    };
    let gated = items(pod, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == "PodScheduled" && text(c, "/reason") == "SchedulingGated");
    if gated {
        s.reason = "SchedulingGated".into();
    }
    let sidecar = init_containers(pod, &mut s);
    if let Some((restarts, last_restart)) = sidecar {
        s.restarts = restarts;
        s.last_restart = last_restart;
        app_containers(pod, &mut s);
    }
    if at(pod, "/metadata/deletionTimestamp").is_some() {
        if text(pod, "/status/reason") == "NodeLost" {
            s.reason = "Unknown".into();
        } else if !matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            s.reason = "Terminating".into();
        }
    }
    s
}

fn sidecars(pod: &Value) -> impl Iterator<Item = &str> {
    items(pod, "/spec/initContainers")
        .iter()
        .filter(|c| text(c, "/restartPolicy") == "Always")
        .map(|c| text(c, "/name"))
}

/// Walks the init containers. Returns the sidecars' restarts where the application containers
/// decide the status, nothing while the pod is still initializing.
fn init_containers(pod: &Value, s: &mut Summary) -> Option<(i64, Option<OffsetDateTime>)> {
    let mut sidecar = (0, None);
    let mut initializing = false;
    let specified = items(pod, "/spec/initContainers").len();
    for (index, status) in items(pod, "/status/initContainerStatuses").iter().enumerate() {
        let is_sidecar = sidecars(pod).any(|name| name == text(status, "/name"));
        let restarted = last_termination(status);
        s.restarts += int(status, "/restartCount");
        s.last_restart = s.last_restart.max(restarted);
        if is_sidecar {
            sidecar.0 += int(status, "/restartCount");
            sidecar.1 = sidecar.1.max(restarted);
        }
        let terminated = at(status, "/state/terminated");
        if terminated.is_some_and(|t| int(t, "/exitCode") == 0) {
            continue;
        }
        if is_sidecar && flag(status, "/started") {
            s.ready += usize::from(flag(status, "/ready"));
            continue;
        }
        let waiting = opt_text(status, "/state/waiting/reason").filter(|r| *r != "PodInitializing");
        s.reason = match (terminated, waiting) {
            (Some(t), _) => format!("Init:{}", termination(t)),
            (None, Some(reason)) => format!("Init:{reason}"),
            (None, None) => format!("Init:{index}/{specified}"),
        };
        initializing = true;
        break;
    }
    (!initializing || condition(pod, "Initialized")).then_some(sidecar)
}

fn app_containers(pod: &Value, s: &mut Summary) {
    let mut running = false;
    for status in items(pod, "/status/containerStatuses").iter().rev() {
        s.restarts += int(status, "/restartCount");
        s.last_restart = s.last_restart.max(last_termination(status));
        if let Some(reason) = opt_text(status, "/state/waiting/reason") {
            s.reason = reason.into();
        } else if let Some(terminated) = at(status, "/state/terminated") {
            s.reason = termination(terminated);
        } else if flag(status, "/ready") && at(status, "/state/running").is_some() {
            running = true;
            s.ready += 1;
        }
    }
    if s.reason == "Completed" && running {
        s.reason = if condition(pod, "Ready") { "Running" } else { "NotReady" }.into();
    }
}

fn termination(terminated: &Value) -> String {
    match opt_text(terminated, "/reason") {
        Some(reason) => reason.into(),
        None if int(terminated, "/signal") != 0 => {
            format!("Signal:{}", int(terminated, "/signal"))
        }
        None => format!("ExitCode:{}", int(terminated, "/exitCode")),
    }
}

fn last_termination(status: &Value) -> Option<OffsetDateTime> {
    parse(text(status, "/lastState/terminated/finishedAt"))
}

fn condition(pod: &Value, name: &str) -> bool {
    items(pod, "/status/conditions")
        .iter()
        .any(|c| text(c, "/type") == name && text(c, "/status") == "True")
}

fn readiness_gates(pod: &Value) -> String {
    let gates = items(pod, "/spec/readinessGates");
    if gates.is_empty() {
        return NONE.into();
    }
    let open = gates.iter().filter(|g| condition(pod, text(g, "/conditionType"))).count();
    format!("{open}/{}", gates.len())
}

fn completed(pod: &Value) -> Option<Value> {
    let (reason, message) = match text(pod, "/status/phase") {
        "Succeeded" => ("Succeeded", "The pod has completed successfully."),
        "Failed" => ("Failed", "The pod failed."),
        _ => return None,
    };
    Some(json!([{"type": "Completed", "status": "True", "reason": reason, "message": message}]))
}
