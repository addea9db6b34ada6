//! Defaults of services.

use serde_json::{Value, json};

use super::{absent, ensure, items, set};

/// How long a client sticks to an endpoint, seconds.
const AFFINITY_SECONDS: i64 = 10_800;

pub(crate) fn service(object: &mut Value) {
    let spec = ensure(object, "spec");
    set(spec, "type", "ClusterIP");
    set(spec, "sessionAffinity", "None");
    if spec["sessionAffinity"] == "ClientIP" {
        let config = ensure(spec, "sessionAffinityConfig");
        set(ensure(config, "clientIP"), "timeoutSeconds", AFFINITY_SECONDS);
    } else if spec["sessionAffinity"] == "None"
        && let Value::Object(map) = spec
    {
        map.remove("sessionAffinityConfig");
    }
    for port in items(spec, "/ports") {
        set(port, "protocol", "TCP");
        let missing =
            absent(port, "targetPort") || port["targetPort"] == 0 || port["targetPort"] == "";
        if missing && let (Some(number), Value::Object(map)) = (port.get("port").cloned(), port) {
            map.insert("targetPort".to_owned(), number);
        }
    }
    let kind = spec["type"].as_str().unwrap_or_default().to_owned();
    let external_ips =
        !crate::meta::list(spec.get("externalIPs").unwrap_or(&Value::Null)).is_empty();
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer") || (kind == "ClusterIP" && external_ips)
    {
        set(spec, "externalTrafficPolicy", "Cluster");
    }
    if kind != "ExternalName" {
        set(spec, "internalTrafficPolicy", "Cluster");
        // This cluster has one address family; upstream sets these while allocating.
        set(spec, "ipFamilyPolicy", "SingleStack");
        set(spec, "ipFamilies", json!(["IPv4"]));
    }
    if kind == "LoadBalancer" {
        set(spec, "allocateLoadBalancerNodePorts", true);
        for ingress in items(object, "/status/loadBalancer/ingress") {
            if !absent(ingress, "ip") {
                set(ingress, "ipMode", "VIP");
            }
        }
    }
}
