//! What the node takes from Services, EndpointSlices and Nodes. Pure.

use std::net::Ipv4Addr;

use k8s_openapi::api::{
    core::v1::{Node, Service},
    discovery::v1::EndpointSlice,
};
use kabuki_runtime::net::{Affinity, Cidr, Peer, Protocol};

use super::catalog::{EndpointInfo, Key, PortInfo, ServiceInfo, ServiceKind, SliceInfo, SlicePort};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

pub(super) fn key(meta: &k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta) -> Key {
    (meta.namespace.clone().unwrap_or_default(), meta.name.clone().unwrap_or_default())
}

fn port(n: i32) -> Option<u16> {
    u16::try_from(n).ok().filter(|n| *n != 0)
}

pub(super) fn service(s: &Service) -> ServiceInfo {
    let spec = s.spec.clone().unwrap_or_default();
    let kind = match (spec.type_.as_deref(), spec.cluster_ip.as_deref()) {
        (Some("ExternalName"), _) => {
            ServiceKind::Alias(spec.external_name.clone().unwrap_or_default())
        }
        (_, Some("None")) => ServiceKind::Headless,
        (_, Some(ip)) => ip.parse().map_or(ServiceKind::None, ServiceKind::Cluster),
        (_, None) => ServiceKind::None,
    };
    let balancer = s.status.iter().filter_map(|s| s.load_balancer.as_ref());
    let balancer = balancer.flat_map(|b| b.ingress.iter().flatten()).filter_map(|i| i.ip.as_ref());
    let more_ips = spec.external_ips.iter().flatten().chain(balancer);
    ServiceInfo {
        kind,
        more_ips: more_ips.filter_map(|ip| ip.parse().ok()).collect(),
        ports: spec
            .ports
            .iter()
            .flatten()
            .filter_map(|p| {
                Some(PortInfo {
                    name: p.name.clone().unwrap_or_default(),
                    protocol: Protocol::parse(p.protocol.as_deref().unwrap_or_default())?,
                    port: port(p.port)?,
                    node_port: p.node_port.and_then(port),
                })
            })
            .collect(),
        affinity: match spec.session_affinity.as_deref() {
            Some("ClientIP") => Affinity::ClientIp,
            _ => Affinity::None,
        },
        internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
        external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
    }
}

/// None for slices of other address families or without a service.
pub(super) fn slice(s: &EndpointSlice) -> Option<SliceInfo> {
    if s.address_type != "IPv4" {
        return None;
    }
    let service = s.metadata.labels.as_ref()?.get(SERVICE_NAME)?.clone();
    let ports = s.ports.iter().flatten().filter_map(|p| {
        Some(SlicePort {
            name: p.name.clone().unwrap_or_default(),
            protocol: Protocol::parse(p.protocol.as_deref().unwrap_or_default())?,
            port: port(p.port?)?,
        })
    });
    let endpoints = s.endpoints.iter().flatten().flat_map(|e| {
        let c = e.conditions.clone().unwrap_or_default();
        // Absent means true, as upstream says of both.
        let (ready, serving) = (c.ready.unwrap_or(true), c.serving.unwrap_or(true));
        e.addresses.iter().filter_map(|a| a.parse::<Ipv4Addr>().ok()).map(move |ip| EndpointInfo {
            ip,
            ready,
            serving: serving && c.terminating == Some(true),
            hostname: e.hostname.clone(),
            node: e.node_name.clone(),
        })
    });
    let (ports, endpoints) = (ports.collect(), endpoints.collect());
    Some(SliceInfo { service, ports, endpoints })
}

/// The node's pod prefix, once it has been given one.
pub(super) fn pod_cidr(node: &Node) -> Option<Cidr> {
    node.spec.as_ref()?.pod_cidr.as_ref()?.parse().ok()
}

/// How pods of a node are reached; None while it has no prefix or address.
pub(super) fn peer(node: &Node) -> Option<Peer> {
    let addresses = node.status.as_ref()?.addresses.iter().flatten();
    let node_ip = addresses
        .filter(|a| a.type_ == "InternalIP")
        .find_map(|a| a.address.parse::<Ipv4Addr>().ok())?;
    Some(Peer { node_ip, pod_cidr: pod_cidr(node)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn services_of_all_kinds() {
        let of = |spec: serde_json::Value| {
            let s: Service = serde_json::from_value(json!({ "spec": spec })).unwrap();
            service(&s)
        };
        let s = of(json!({ "clusterIP": "10.96.0.5", "externalIPs": ["192.0.2.1", "::1"],
            "sessionAffinity": "ClientIP", "internalTrafficPolicy": "Local",
            "ports": [{ "port": 80, "nodePort": 30080 }, { "port": 53, "protocol": "UDP" },
                      { "port": 70000 }] }));
        assert_eq!(s.kind, ServiceKind::Cluster(Ipv4Addr::new(10, 96, 0, 5)));
        assert_eq!((s.ports.len(), s.ports[0].node_port), (2, Some(30080)));
        assert_eq!((s.more_ips.len(), s.affinity), (1, Affinity::ClientIp));
        assert!(s.internal_local && !s.external_local);
        assert_eq!(of(json!({ "clusterIP": "None" })).kind, ServiceKind::Headless);
        assert_eq!(
            of(json!({ "type": "ExternalName", "externalName": "example.org" })).kind,
            ServiceKind::Alias("example.org".into())
        );
        assert_eq!(of(json!({ "clusterIP": "fd00::1" })).kind, ServiceKind::None);
    }

    #[test]
    fn slices_and_their_conditions() {
        let s: EndpointSlice = serde_json::from_value(json!({
            "metadata": { "labels": { SERVICE_NAME: "web" } },
            "addressType": "IPv4",
            "ports": [{ "name": "http", "port": 8080, "protocol": "TCP" }, { "name": "any" }],
            "endpoints": [
                { "addresses": ["10.244.1.2"], "hostname": "web-0" },
                { "addresses": ["10.244.1.3"],
                  "conditions": { "ready": false, "serving": true, "terminating": true } },
            ],
        }))
        .unwrap();
        let s = slice(&s).unwrap();
        assert_eq!((s.service.as_str(), s.ports.len()), ("web", 1));
        let states: Vec<_> = s.endpoints.iter().map(|e| (e.ready, e.serving)).collect();
        assert_eq!(states, [(true, false), (false, true)]);
    }

    #[test]
    fn nodes_are_peers_once_complete() {
        let mut n = json!({ "status": { "addresses": [
            { "type": "Hostname", "address": "n1" },
            { "type": "InternalIP", "address": "172.16.0.1" } ] } });
        let parse = |n: &serde_json::Value| serde_json::from_value::<Node>(n.clone()).unwrap();
        assert_eq!(peer(&parse(&n)), None);
        n["spec"] = json!({ "podCIDR": "10.244.3.0/24" });
        let p = peer(&parse(&n)).unwrap();
        assert_eq!(p.pod_cidr.to_string(), "10.244.3.0/24");
    }
}
