//! Disruption budgets: what an eviction is allowed (k8s pkg/registry/core/pod/storage/eviction.go and
//! pkg/controller/disruption). There is no controller yet: the numbers are taken from the pods that
//! are there when one is to be evicted, and written with the disruption that is granted.

use std::time::Duration;

use kabuki_api::{
    kind::{
        DEPLOYMENT, POD, POD_DISRUPTION_BUDGET, REPLICA_SET, REPLICATION_CONTROLLER, STATEFUL_SET,
    },
    selector::LabelSelector,
    status::{Cause, Status},
};
use serde_json::{Map, Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    object::{Object, text},
    options::{RequestInfo, Subresource},
    store::Registry,
    strategy::stamp,
    view::View,
};

/// How long a pod that was allowed to go is counted as gone although it is not being deleted.
const DISRUPTION_TIMEOUT: Duration = Duration::from_secs(120);

impl Registry {
    /// Takes one disruption from the budget of a pod that is to be evicted, if it has a budget.
    ///
    /// # Errors
    /// 429 when the budget allows none; 500 for a pod with several budgets; 503.
    pub(super) async fn spend_budget(&self, pod: &Object, dry_run: bool) -> Result<(), Status> {
        let value = pod.value();
        let phase = text(&value["status"], "phase");
        if pod.is_deleting() || matches!(phase, "Pending" | "Succeeded" | "Failed") {
            return Ok(());
        }
        let ns = pod.namespace().to_owned();
        let budgets: Vec<_> = self
            .list(POD_DISRUPTION_BUDGET, Some(&ns))
            .into_iter()
            .filter(|budget| selects(budget.value(), value))
            .collect();
        let budget = match budgets.as_slice() {
            [] => return Ok(()),
            [one] => one.name().to_owned(),
            _ => {
                let text = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.";
                return Err(Status::failure(500, "InternalError", text));
            }
        };
        let mut info = RequestInfo::internal("disruption");
        info.dry_run = dry_run;
        self.modify(&info, POD_DISRUPTION_BUDGET, &ns, &budget, Subresource::Status, &mut |own| {
            spend(self, own, value, self.now())
        })
        .await
        .map(|_| ())
    }
}

fn selects(budget: &Value, pod: &Value) -> bool {
    let selector = &budget["spec"]["selector"];
    !selector.is_null()
        && LabelSelector::from_object(selector).is_ok_and(|s| s.matches(&pod["metadata"]["labels"]))
}

fn is_ready(pod: &Value) -> bool {
    pod["status"]["conditions"].as_array().is_some_and(|conditions| {
        conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True")
    })
}

/// Writes the budget's numbers and, if it allows this, the pod's disruption. `false`: the pod may go
/// without, because it serves nobody.
fn spend(
    view: &dyn View,
    budget: &mut Value,
    pod: &Value,
    now: OffsetDateTime,
) -> Result<bool, Status> {
    let ns = text(&budget["metadata"], "namespace").to_owned();
    let pods = view.list(POD, Some(&ns));
    let pods: Vec<&Value> = pods
        .iter()
        .map(|p| p.value())
        .filter(|p| selects(budget, p))
        .filter(|p| !matches!(text(&p["status"], "phase"), "Succeeded" | "Failed"))
        .collect();
    let mut going = granted(budget, &pods, now);
    let expected = expected(view, budget, &ns, &pods);
    let desired = desired(&budget["spec"], expected);
    let healthy = pods
        .iter()
        .filter(|p| is_ready(p) && p["metadata"]["deletionTimestamp"].is_null())
        .filter(|p| !going.contains_key(text(&p["metadata"], "name")))
        .count();
    let healthy = i64::try_from(healthy).unwrap_or(i64::MAX);
    if !is_ready(pod) {
        let always = budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow";
        if always || (healthy >= desired && desired > 0) {
            return Ok(false);
        }
    }
    let name = text(&budget["metadata"], "name");
    if healthy <= desired {
        return Err(refusal(name, desired, healthy));
    }
    going.insert(text(&pod["metadata"], "name").to_owned(), stamp(now).into());
    let generation = budget["metadata"]["generation"].clone();
    let conditions = budget["status"]["conditions"].clone();
    budget["status"] = json!({"observedGeneration": generation, "disruptedPods": going,
        "disruptionsAllowed": healthy - desired - 1, "currentHealthy": healthy,
        "desiredHealthy": desired, "expectedPods": expected, "conditions": conditions});
    Ok(true)
}

fn refusal(budget: &str, desired: i64, healthy: i64) -> Status {
    let mut status = Status::too_many_requests(
        "Cannot evict pod as it would violate the pod's disruption budget.",
        0,
    );
    let details = status.details.get_or_insert_default();
    details.causes.push(Cause {
        reason: "DisruptionBudget".to_owned(),
        message: format!(
            "The disruption budget {budget} needs {desired} healthy pods and has {healthy} currently"
        ),
        ..Cause::default()
    });
    status
}

/// Pods that were allowed to go and are still there, not yet being deleted.
fn granted(budget: &Value, pods: &[&Value], now: OffsetDateTime) -> Map<String, Value> {
    let mut going = budget["status"]["disruptedPods"].as_object().cloned().unwrap_or_default();
    going.retain(|name, since| {
        let waits = pods.iter().any(|p| {
            text(&p["metadata"], "name") == name && p["metadata"]["deletionTimestamp"].is_null()
        });
        let since = since.as_str().and_then(|s| OffsetDateTime::parse(s, &Rfc3339).ok());
        waits && since.is_some_and(|s| now - s < DISRUPTION_TIMEOUT)
    });
    going
}

/// How many pods there should be: for a number as many as there are, for a share what their owners
/// want.
fn expected(view: &dyn View, budget: &Value, ns: &str, pods: &[&Value]) -> i64 {
    let count = i64::try_from(pods.len()).unwrap_or(i64::MAX);
    if budget["spec"]["minAvailable"].is_i64() {
        return count;
    }
    let mut owners = std::collections::BTreeMap::new();
    let mut alone = 0;
    for pod in pods {
        match scale(view, ns, pod) {
            Some((uid, replicas)) => {
                owners.insert(uid, replicas);
            }
            None => alone += 1,
        }
    }
    owners.values().sum::<i64>() + alone
}

/// Uid and size of what keeps a pod running.
fn scale(view: &dyn View, ns: &str, object: &Value) -> Option<(String, i64)> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|o| o["controller"] == true)?;
    let kind = [REPLICA_SET, DEPLOYMENT, STATEFUL_SET, REPLICATION_CONTROLLER]
        .into_iter()
        .find(|k| text(owner, "kind") == k.kind && text(owner, "apiVersion") == k.api_version())?;
    let found = view.get(kind, ns, text(owner, "name"))?;
    let above = if kind == REPLICA_SET { scale(view, ns, found.value()) } else { None };
    above.or_else(|| {
        let replicas = found.value()["spec"]["replicas"].as_i64().unwrap_or(1);
        Some((found.uid().to_owned(), replicas))
    })
}

/// How many pods must stay healthy; percentages are rounded up.
fn desired(spec: &Value, expected: i64) -> i64 {
    let amount = |value: &Value| match value {
        Value::String(text) => {
            let percent: i64 = text.strip_suffix('%').and_then(|p| p.parse().ok()).unwrap_or(0);
            (expected * percent + 99) / 100
        }
        other => other.as_i64().unwrap_or(0),
    };
    if spec["maxUnavailable"].is_null() {
        amount(&spec["minAvailable"])
    } else {
        (expected - amount(&spec["maxUnavailable"])).max(0)
    }
}
