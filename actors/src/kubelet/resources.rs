//! Requests and limits as numbers: QoS class, cgroup values, OOM score, sums of a pod.

use k8s_openapi::{
    api::core::v1::{Container, Pod, PodSpec},
    apimachinery::pkg::api::resource::Quantity as WireQuantity,
};
use kabuki_api::quantity::Quantity;
use kabuki_runtime::spec::{Qos, Resources};

use super::pod_view::is_sidecar;

/// Length of a CPU period, in microseconds.
const PERIOD_US: i64 = 100_000;
/// Bounds of `cpu.shares`.
const MIN_SHARES: i64 = 2;
const MAX_SHARES: i64 = 262_144;
/// Smallest quota the kernel takes, in microseconds.
const MIN_QUOTA_US: i64 = 1_000;
/// Priority from which a pod is node critical and protected like a guaranteed one.
const NODE_CRITICAL: i32 = 2_000_000_000;

/// Requests or limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `resources.requests`, falling back to limits as the API server defaults them.
    Requests,
    /// `resources.limits`.
    Limits,
}

/// One amount of a container: millicores for `cpu`, whole units otherwise.
pub fn amount(container: &Container, side: Side, name: &str) -> Option<i64> {
    let resources = container.resources.as_ref()?;
    let of = |list: &Option<std::collections::BTreeMap<String, WireQuantity>>| {
        list.as_ref().and_then(|l| l.get(name)).and_then(|q| number(name, q))
    };
    match side {
        Side::Limits => of(&resources.limits),
        Side::Requests => of(&resources.requests).or_else(|| of(&resources.limits)),
    }
}

/// A quantity as millicores for `cpu`, as whole units otherwise.
pub fn number(name: &str, quantity: &WireQuantity) -> Option<i64> {
    let parsed = Quantity::parse(&quantity.0).ok()?;
    let value = if name == "cpu" { parsed.milli_value() } else { parsed.value() };
    i64::try_from(value).ok()
}

/// What a whole pod needs: its containers and sidecars together, or its hungriest init container
/// with the sidecars started before it; plus overhead (upstream `resourcehelper.PodRequests`).
pub fn pod_total(spec: &PodSpec, side: Side, name: &str) -> i64 {
    let of = |c: &Container| amount(c, side, name).unwrap_or(0);
    let mut sidecars = 0;
    let mut init_peak = 0;
    for container in spec.init_containers.iter().flatten() {
        if is_sidecar(container) {
            sidecars += of(container);
            init_peak = init_peak.max(sidecars);
        } else {
            init_peak = init_peak.max(sidecars + of(container));
        }
    }
    let running: i64 = spec.containers.iter().map(of).sum::<i64>() + sidecars;
    let overhead = spec.overhead.as_ref().and_then(|o| o.get(name));
    running.max(init_peak) + overhead.and_then(|q| number(name, q)).unwrap_or(0)
}

/// The pod's QoS class (upstream `qos.ComputePodQOS`).
pub fn qos(pod: &Pod) -> Qos {
    let Some(spec) = pod.spec.as_ref() else { return Qos::BestEffort };
    let mut any = false;
    let mut guaranteed = true;
    for container in spec.containers.iter().chain(spec.init_containers.iter().flatten()) {
        for name in ["cpu", "memory"] {
            let request = amount(container, Side::Requests, name).filter(|v| *v > 0);
            let limit = amount(container, Side::Limits, name).filter(|v| *v > 0);
            any |= request.is_some() || limit.is_some();
            guaranteed &= limit.is_some() && request == limit;
        }
    }
    match (any, guaranteed) {
        (false, _) => Qos::BestEffort,
        (true, true) => Qos::Guaranteed,
        (true, false) => Qos::Burstable,
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos_name(qos: Qos) -> &'static str {
    match qos {
        Qos::Guaranteed => "Guaranteed",
        Qos::Burstable => "Burstable",
        Qos::BestEffort => "BestEffort",
    }
}

fn shares(milli: i64) -> u64 {
    (milli * 1024 / 1000).clamp(MIN_SHARES, MAX_SHARES).unsigned_abs()
}

fn quota(milli: i64) -> i64 {
    (milli * PERIOD_US / 1000).max(MIN_QUOTA_US)
}

/// Cgroup values of one container.
pub fn container_cgroup(container: &Container) -> Resources {
    let cpu_limit = amount(container, Side::Limits, "cpu").filter(|v| *v > 0);
    Resources {
        cpu_shares: Some(shares(amount(container, Side::Requests, "cpu").unwrap_or(0))),
        cpu_quota_us: cpu_limit.map(quota),
        cpu_period_us: cpu_limit.map(|_| PERIOD_US.unsigned_abs()),
        memory_limit_bytes: amount(container, Side::Limits, "memory").filter(|v| *v > 0),
        pids_limit: None,
    }
}

/// Cgroup values of a pod: limits only where every container has one.
pub fn pod_cgroup(spec: &PodSpec) -> Resources {
    let all_limited = |name: &str| {
        let mut containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        containers.all(|c| amount(c, Side::Limits, name).is_some_and(|v| v > 0))
    };
    let limit = |name: &str| all_limited(name).then(|| pod_total(spec, Side::Limits, name));
    let cpu_limit = limit("cpu");
    Resources {
        cpu_shares: Some(shares(pod_total(spec, Side::Requests, "cpu"))),
        cpu_quota_us: cpu_limit.map(quota),
        cpu_period_us: cpu_limit.map(|_| PERIOD_US.unsigned_abs()),
        memory_limit_bytes: limit("memory"),
        pids_limit: None,
    }
}

/// `oom_score_adj` of a container (upstream `qos.GetContainerOOMScoreAdjust`).
pub fn oom_score(pod: &Pod, container: &Container, memory_capacity: i64) -> i32 {
    let critical = pod.spec.as_ref().and_then(|s| s.priority).is_some_and(|p| p >= NODE_CRITICAL);
    match qos(pod) {
        _ if critical => -997,
        Qos::Guaranteed => -997,
        Qos::BestEffort => 1000,
        Qos::Burstable => {
            let request = amount(container, Side::Requests, "memory").unwrap_or(0);
            let score = 1000 - (1000 * request).checked_div(memory_capacity).unwrap_or(0);
            // Never as safe as a guaranteed pod, never as exposed as a best-effort one.
            i32::try_from(score.clamp(3, 999)).unwrap_or(999)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(containers: Value, init: Value) -> Pod {
        serde_json::from_value(
            json!({"metadata": {}, "spec": {"containers": containers, "initContainers": init}}),
        )
        .unwrap()
    }

    #[test]
    fn qos_classes() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let table = [
            (json!([{"name": "a"}]), json!([]), Qos::BestEffort),
            (json!([{"name": "a", "resources": full}]), json!([]), Qos::Guaranteed),
            (json!([{"name": "a", "resources": full}, {"name": "b"}]), json!([]), Qos::Burstable),
            (json!([{"name": "a", "resources": full}]), json!([{"name": "i"}]), Qos::Burstable),
            (
                json!([{"name": "a", "resources": {"requests": {"cpu": "1m"}}}]),
                json!([]),
                Qos::Burstable,
            ),
        ];
        for (containers, init, expected) in table {
            assert_eq!(qos(&pod(containers.clone(), init)), expected, "{containers}");
        }
    }

    #[test]
    fn cgroup_numbers() {
        let pod = pod(
            json!([{"name": "a", "resources":
                {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}},
                {"name": "b", "resources": {"requests": {"cpu": "50m"}, "limits": {"memory": "1Mi"}}}]),
            json!([{"name": "i", "resources": {"requests": {"cpu": "2"},
                "limits": {"memory": "1Mi"}}}]),
        );
        let spec = pod.spec.as_ref().unwrap();
        let one = container_cgroup(&spec.containers[0]);
        assert_eq!((one.cpu_shares, one.cpu_quota_us), (Some(256), Some(50_000)));
        assert_eq!(one.memory_limit_bytes, Some(64 << 20));
        let all = pod_cgroup(spec);
        assert_eq!((all.cpu_shares, all.cpu_quota_us), (Some(2048), None));
        assert_eq!(all.memory_limit_bytes, Some(65 << 20));
        assert_eq!(pod_total(spec, Side::Requests, "cpu"), 2000);
    }

    #[test]
    fn oom_scores() {
        let capacity = 1 << 30;
        let cases = [
            (json!({}), 1000),
            (json!({"limits": {"cpu": "1", "memory": "1Mi"}}), -997),
            (json!({"requests": {"memory": "512Mi"}}), 500),
            (json!({"requests": {"memory": "1Ki"}}), 999),
            (json!({"requests": {"memory": "4Gi"}}), 3),
        ];
        for (resources, expected) in cases {
            let pod = pod(json!([{"name": "a", "resources": resources}]), json!([]));
            let container = &pod.spec.as_ref().unwrap().containers[0];
            assert_eq!(oom_score(&pod, container, capacity), expected, "{resources}");
        }
    }
}
