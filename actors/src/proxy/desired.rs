//! From the catalogue to the service table. Pure.

use std::{collections::BTreeSet, net::Ipv4Addr};

use kabuki_runtime::net::{Backend, Frontend, Services};

use super::catalog::{Catalog, EndpointInfo, Key, PortInfo, ServiceInfo, ServiceKind};

/// What the table of `node` should translate. Connections to `dns_ip` are answered on the node
/// itself and stay untranslated.
#[must_use]
pub fn desired(catalog: &Catalog, node: &str, dns_ip: Ipv4Addr) -> Services {
    let mut out = Services::new();
    for (key, service) in catalog.services() {
        let ServiceKind::Cluster(ip) = service.kind else { continue };
        for port in &service.ports {
            let inside = backend(catalog, key, service, port, service.internal_local, node);
            if ip != dns_ip {
                insert(&mut out, Frontend::Address(ip, port.protocol, port.port), inside);
            }
            if service.more_ips.is_empty() && port.node_port.is_none() {
                continue;
            }
            let outside = backend(catalog, key, service, port, service.external_local, node);
            for ip in &service.more_ips {
                let frontend = Frontend::Address(*ip, port.protocol, port.port);
                insert(&mut out, frontend, outside.clone());
            }
            if let Some(at) = port.node_port {
                insert(&mut out, Frontend::NodePort(port.protocol, at), outside);
            }
        }
    }
    out
}

fn insert(out: &mut Services, frontend: Frontend, backend: Backend) {
    if !backend.endpoints.is_empty() {
        out.insert(frontend, backend);
    }
}

/// Ready endpoints; where there are none, those that still serve while ending.
fn backend(
    catalog: &Catalog,
    key: &Key,
    service: &ServiceInfo,
    port: &PortInfo,
    local_only: bool,
    node: &str,
) -> Backend {
    let with = |wanted: fn(&EndpointInfo) -> bool| -> BTreeSet<(Ipv4Addr, u16)> {
        let mut ends = BTreeSet::new();
        for slice in catalog.slices(key) {
            let at = slice
                .ports
                .iter()
                .find(|p| p.name == port.name && p.protocol == port.protocol)
                .map(|p| p.port);
            let Some(at) = at else { continue };
            let here = |e: &&EndpointInfo| !local_only || e.node.as_deref() == Some(node);
            let chosen = slice.endpoints.iter().filter(|e| wanted(e)).filter(here);
            ends.extend(chosen.map(|e| (e.ip, at)));
        }
        ends
    };
    let mut endpoints = with(|e| e.ready);
    if endpoints.is_empty() {
        endpoints = with(|e| e.serving);
    }
    Backend { endpoints, affinity: service.affinity }
}

#[cfg(test)]
pub(crate) mod tests {
    use kabuki_runtime::net::{Affinity, Protocol};

    use super::{
        super::catalog::{SliceInfo, SlicePort},
        *,
    };

    pub(crate) fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, 1, last)
    }

    pub(crate) fn key(name: &str) -> Key {
        ("default".to_owned(), name.to_owned())
    }

    pub(crate) fn service(kind: ServiceKind) -> ServiceInfo {
        ServiceInfo {
            kind,
            more_ips: Vec::new(),
            ports: vec![PortInfo {
                name: "http".into(),
                protocol: Protocol::Tcp,
                port: 80,
                node_port: None,
            }],
            affinity: Affinity::None,
            internal_local: false,
            external_local: false,
        }
    }

    pub(crate) fn end(last: u8, ready: bool, node: &str) -> EndpointInfo {
        let node = Some(node.to_owned());
        EndpointInfo { ip: ip(last), ready, serving: false, hostname: None, node }
    }

    pub(crate) fn slice(service: &str, endpoints: Vec<EndpointInfo>) -> SliceInfo {
        let port = SlicePort { name: "http".into(), protocol: Protocol::Tcp, port: 8080 };
        SliceInfo { service: service.to_owned(), ports: vec![port], endpoints }
    }

    const SVC: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 5);
    const DNS: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);

    fn ends(services: &Services, frontend: Frontend) -> Vec<u8> {
        let backend = services.get(&frontend);
        backend.iter().flat_map(|b| &b.endpoints).map(|(ip, _)| ip.octets()[3]).collect()
    }

    #[test]
    fn ready_endpoints_of_all_slices() {
        let mut c = Catalog::default();
        let at = Frontend::Address(SVC, Protocol::Tcp, 80);
        c.set_service(key("web"), service(ServiceKind::Cluster(SVC)));
        assert!(desired(&c, "n1", DNS).is_empty());
        c.set_slice(key("web-1"), slice("web", vec![end(2, true, "n1"), end(3, false, "n1")]));
        c.set_slice(key("web-2"), slice("web", vec![end(4, true, "n2")]));
        c.set_slice(key("other-1"), slice("other", vec![end(9, true, "n2")]));
        assert_eq!(ends(&desired(&c, "n1", DNS), at), [2, 4]);
        assert!(!c.set_slice(key("web-2"), slice("web", vec![end(4, true, "n2")])));
        assert!(c.remove_slice(&key("web-2")));
        assert_eq!(ends(&desired(&c, "n1", DNS), at), [2]);
    }

    #[test]
    fn the_ending_serve_where_nobody_is_ready() {
        let mut c = Catalog::default();
        let at = Frontend::Address(SVC, Protocol::Tcp, 80);
        c.set_service(key("web"), service(ServiceKind::Cluster(SVC)));
        let ending = EndpointInfo { serving: true, ..end(3, false, "n1") };
        c.set_slice(key("web-1"), slice("web", vec![ending.clone(), end(4, false, "n1")]));
        assert_eq!(ends(&desired(&c, "n1", DNS), at), [3]);
        c.set_slice(key("web-1"), slice("web", vec![ending, end(4, true, "n1")]));
        assert_eq!(ends(&desired(&c, "n1", DNS), at), [4]);
    }

    #[test]
    fn policies_node_ports_and_the_dns_address() {
        let mut c = Catalog::default();
        let mut s = service(ServiceKind::Cluster(SVC));
        s.internal_local = true;
        s.ports[0].node_port = Some(30080);
        s.more_ips = vec![Ipv4Addr::new(192, 0, 2, 1)];
        c.set_service(key("web"), s);
        c.set_service(key("dns"), service(ServiceKind::Cluster(DNS)));
        for name in ["web", "dns"] {
            let both = vec![end(2, true, "n1"), end(3, true, "n2")];
            c.set_slice(key(&format!("{name}-1")), slice(name, both));
        }
        let d = desired(&c, "n1", DNS);
        assert_eq!(ends(&d, Frontend::Address(SVC, Protocol::Tcp, 80)), [2]);
        assert_eq!(ends(&d, Frontend::NodePort(Protocol::Tcp, 30080)), [2, 3]);
        let external = Frontend::Address(Ipv4Addr::new(192, 0, 2, 1), Protocol::Tcp, 80);
        assert_eq!(ends(&d, external), [2, 3]);
        assert_eq!(d.len(), 3);
    }

    #[test]
    fn headless_services_are_not_in_the_table() {
        let mut c = Catalog::default();
        c.set_service(key("db"), service(ServiceKind::Headless));
        c.set_slice(key("db-1"), slice("db", vec![end(2, true, "n1")]));
        assert!(desired(&c, "n1", DNS).is_empty());
    }
}
