//! What one object uses of the resources quotas limit (k8s `pkg/quota/v1/evaluator/core`).

use std::collections::{BTreeMap, BTreeSet};

use kabuki_api::{
    kind::{self, EVENT, Kind, PERSISTENT_VOLUME_CLAIM, POD, SERVICE},
    quantity::Quantity,
};
use serde_json::Value;
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::super::{
    super::{object::text, view::View},
    amounts::{Amounts, at_pod_level, containers, of_pod_with_overhead, one, read},
};

/// Prefix of resources that count the objects of any kind.
const COUNT: &str = "count/";
/// Prefix of what is requested.
const REQUESTS: &str = "requests.";
/// Between the name of a storage class and what is limited for its claims.
const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Compute resources, which pods use while they are not over.
const COMPUTE: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];
/// Resources every container has to state as soon as a quota limits them.
const MUST_STATE: [&str; 6] =
    ["cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];
/// Kinds that are counted under their plain name, too.
const PLAIN_COUNTS: [&str; 4] =
    ["configmaps", "replicationcontrollers", "resourcequotas", "secrets"];

/// Whether quotas know the kind: objects of a namespace that are stored, but events.
pub(crate) fn is_counted(kind: &'static Kind) -> bool {
    kind.namespaced && kind.is_stored() && kind.storage_kind() != EVENT
}

/// Every built-in kind quotas know, in its stored version.
pub(crate) fn counted_kinds() -> impl Iterator<Item = &'static Kind> {
    kind::all().iter().copied().filter(|k| is_counted(k) && *k == k.storage_kind())
}

/// Every custom kind quotas know, in its stored version.
pub(crate) fn counted_custom_kinds(view: &dyn View) -> Vec<&'static Kind> {
    view.definitions().stored().filter(|k| is_counted(k)).collect()
}

/// Whether objects of `kind` use `resource`.
pub(crate) fn uses(kind: &'static Kind, resource: &str) -> bool {
    if let Some(counted) = resource.strip_prefix(COUNT) {
        return counted == kind.storage_kind().group_resource();
    }
    if kind == POD {
        return of_pods(resource);
    }
    if kind == SERVICE {
        return matches!(resource, "services" | "services.nodeports" | "services.loadbalancers");
    }
    if kind == PERSISTENT_VOLUME_CLAIM {
        let plain = resource.split_once(BY_CLASS).map_or(resource, |(_, plain)| plain);
        return matches!(plain, "persistentvolumeclaims" | "requests.storage");
    }
    kind.group.is_empty() && PLAIN_COUNTS.contains(&kind.plural) && resource == kind.plural
}

fn of_pods(resource: &str) -> bool {
    let plain = resource.strip_prefix("limits.").unwrap_or(resource);
    let plain = plain.strip_prefix(REQUESTS).unwrap_or(plain);
    resource == "pods"
        || COMPUTE.contains(&plain)
        || resource.starts_with("hugepages-")
        || resource.starts_with("requests.hugepages-")
        || (resource.starts_with(REQUESTS) && is_extended(plain))
}

/// A resource that is not Kubernetes' own, such as `nvidia.com/gpu`.
fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.contains(BY_CLASS)
}

/// What an object uses at `now`.
pub(crate) fn usage(kind: &'static Kind, object: &Value, now: OffsetDateTime) -> Amounts {
    let mut used = Amounts::new();
    let mut count = |name: &str, number: usize| {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        used.insert(name.to_owned(), Quantity::from_value(number));
    };
    count(&format!("{COUNT}{}", kind.storage_kind().group_resource()), 1);
    if kind == SERVICE {
        let (ports, balancers) = of_service(object);
        count("services", 1);
        count("services.nodeports", ports);
        count("services.loadbalancers", balancers);
    } else if kind == PERSISTENT_VOLUME_CLAIM {
        used.extend(of_claim(object));
    } else if kind == POD {
        if is_live(object, now) {
            let requests = of_pod_with_overhead(object, "requests");
            used.extend(compute(&requests, &of_pod_with_overhead(object, "limits")));
        }
    } else if kind.group.is_empty() && PLAIN_COUNTS.contains(&kind.plural) {
        count(kind.plural, 1);
    }
    used
}

/// Node ports and load balancers of a Service.
fn of_service(service: &Value) -> (usize, usize) {
    let spec = &service["spec"];
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    match text(spec, "type") {
        "NodePort" => (ports.len(), 0),
        "LoadBalancer" if spec["allocateLoadBalancerNodePorts"] == false => {
            let taken = ports.iter().filter(|p| p["nodePort"].as_i64().unwrap_or(0) != 0);
            (taken.count(), 1)
        }
        "LoadBalancer" => (ports.len(), 1),
        _ => (0, 0),
    }
}

fn of_claim(claim: &Value) -> Amounts {
    const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
    let wanted = one(&claim["spec"]["resources"]["requests"]["storage"]);
    let allocated = one(&claim["status"]["allocatedResources"]["storage"]);
    // Sizes count in whole bytes.
    let size = wanted
        .max(allocated)
        .map(|size| if size.is_integer() { size } else { Quantity::from_value(whole(size)) });
    let class = claim["metadata"]["annotations"][BETA_CLASS]
        .as_str()
        .unwrap_or_else(|| text(&claim["spec"], "storageClassName"));
    let mut used = Amounts::new();
    let mut add = |name: &str, amount: Quantity| {
        used.insert(name.to_owned(), amount);
        if !class.is_empty() {
            used.insert(format!("{class}{BY_CLASS}{name}"), amount);
        }
    };
    add("persistentvolumeclaims", Quantity::from_value(1));
    if let Some(size) = size {
        add("requests.storage", size);
    }
    used
}

fn whole(amount: Quantity) -> i64 {
    i64::try_from(amount.value()).unwrap_or(i64::MAX)
}

/// Whether a pod holds its resources: it is not over, and if it is going, it still has time.
fn is_live(pod: &Value, now: OffsetDateTime) -> bool {
    if matches!(text(&pod["status"], "phase"), "Failed" | "Succeeded") {
        return false;
    }
    end(pod).is_none_or(|end| now <= end)
}

/// When the time of a pod that is going is over.
pub(super) fn end(pod: &Value) -> Option<OffsetDateTime> {
    let meta = &pod["metadata"];
    let from = OffsetDateTime::parse(text(meta, "deletionTimestamp"), &Rfc3339).ok()?;
    let grace = meta["deletionGracePeriodSeconds"].as_i64()?;
    Some(from.saturating_add(Duration::seconds(grace)))
}

/// Requests and limits in the names of quotas.
fn compute(requests: &Amounts, limits: &Amounts) -> Amounts {
    let mut used = Amounts::from([("pods".to_owned(), Quantity::from_value(1))]);
    for (name, amount) in requests {
        if COMPUTE.contains(&name.as_str()) || name.starts_with("hugepages-") {
            used.insert(name.clone(), *amount);
            used.insert(format!("{REQUESTS}{name}"), *amount);
        } else if is_extended(name) {
            used.insert(format!("{REQUESTS}{name}"), *amount);
        }
    }
    for name in COMPUTE {
        if let Some(amount) = limits.get(name) {
            used.insert(format!("limits.{name}"), *amount);
        }
    }
    used
}

/// What a pod must state because a quota limits it, and does not, with the containers that do not.
pub(super) fn unstated(kind: &'static Kind, object: &Value, limited: &[&str]) -> Option<String> {
    if kind != POD || at_pod_level(object) {
        return None;
    }
    let mut missing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for container in ["containers", "initContainers"].iter().flat_map(|l| containers(object, l)) {
        let resources = &container["resources"];
        let stated = compute(&read(&resources["requests"]), &read(&resources["limits"]));
        for name in limited.iter().filter(|name| MUST_STATE.contains(name)) {
            if !stated.contains_key(*name) {
                missing.entry(name).or_default().insert(text(container, "name"));
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let parts: Vec<String> = missing
        .into_iter()
        .map(|(name, of)| format!("{name} for: {}", of.into_iter().collect::<Vec<_>>().join(",")))
        .collect();
    Some(format!("must specify {}", parts.join("; ")))
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::{CONFIG_MAP, DEPLOYMENT};
    use serde_json::json;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn shown(kind: &'static Kind, object: &Value) -> Vec<String> {
        usage(kind, object, NOW).iter().map(|(name, amount)| format!("{name}={amount}")).collect()
    }

    #[test]
    fn pods_use_what_they_request_until_they_are_over() {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "resources": {
            "requests": {"cpu": "1", "memory": "1Gi", "nvidia.com/gpu": "2", "hugepages-2Mi": "4Mi"},
            "limits": {"cpu": "2", "nvidia.com/gpu": "2"}}}]}, "status": {"phase": "Running"}});
        assert_eq!(
            shown(POD, &pod),
            [
                "count/pods=1",
                "cpu=1",
                "hugepages-2Mi=4Mi",
                "limits.cpu=2",
                "memory=1Gi",
                "pods=1",
                "requests.cpu=1",
                "requests.hugepages-2Mi=4Mi",
                "requests.memory=1Gi",
                "requests.nvidia.com/gpu=2",
            ]
        );
        pod["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:00Z".into();
        pod["metadata"]["deletionGracePeriodSeconds"] = 30.into();
        assert_eq!(shown(POD, &pod).len(), 10, "has time left");
        pod["metadata"]["deletionGracePeriodSeconds"] = 1.into();
        assert_eq!(shown(POD, &pod), ["count/pods=1"]);
        pod["metadata"] = json!({"name": "p"});
        pod["status"]["phase"] = "Succeeded".into();
        assert_eq!(shown(POD, &pod), ["count/pods=1"]);
    }

    #[test]
    fn services_and_claims() {
        let service = |spec: Value| shown(SERVICE, &json!({"metadata": {}, "spec": spec}));
        let ports = json!([{"port": 1, "nodePort": 30001}, {"port": 2}]);
        let want = |ports: usize, balancers: usize| {
            [
                "count/services=1".to_owned(),
                "services=1".to_owned(),
                format!("services.loadbalancers={balancers}"),
                format!("services.nodeports={ports}"),
            ]
        };
        assert_eq!(service(json!({"type": "ClusterIP", "ports": ports})), want(0, 0));
        assert_eq!(service(json!({"type": "NodePort", "ports": ports})), want(2, 0));
        assert_eq!(service(json!({"type": "LoadBalancer", "ports": ports})), want(2, 1));
        assert_eq!(
            service(
                json!({"type": "LoadBalancer", "ports": ports, "allocateLoadBalancerNodePorts": false})
            ),
            want(1, 1)
        );
        let claim = json!({"spec": {"storageClassName": "gold", "resources": {"requests": {"storage": "1Gi"}}},
            "status": {"allocatedResources": {"storage": "2Gi"}}});
        assert_eq!(
            shown(PERSISTENT_VOLUME_CLAIM, &claim),
            [
                "count/persistentvolumeclaims=1",
                "gold.storageclass.storage.k8s.io/persistentvolumeclaims=1",
                "gold.storageclass.storage.k8s.io/requests.storage=2Gi",
                "persistentvolumeclaims=1",
                "requests.storage=2Gi",
            ]
        );
        assert_eq!(shown(CONFIG_MAP, &json!({})), ["configmaps=1", "count/configmaps=1"]);
        assert_eq!(shown(DEPLOYMENT, &json!({})), ["count/deployments.apps=1"]);
    }

    #[test]
    fn each_kind_has_its_resources() {
        for (resource, kind) in [
            ("pods", POD),
            ("limits.memory", POD),
            ("requests.nvidia.com/gpu", POD),
            ("requests.ephemeral-storage", POD),
            ("count/pods", POD),
            ("services.nodeports", SERVICE),
            ("requests.storage", PERSISTENT_VOLUME_CLAIM),
            ("gold.storageclass.storage.k8s.io/requests.storage", PERSISTENT_VOLUME_CLAIM),
            ("configmaps", CONFIG_MAP),
            ("count/deployments.apps", DEPLOYMENT),
        ] {
            let users: Vec<_> = counted_kinds().filter(|k| uses(k, resource)).collect();
            assert_eq!(users, [kind], "{resource}");
        }
        assert!(!counted_kinds().any(|k| uses(k, "count/events") || uses(k, "deployments")));
    }
}
