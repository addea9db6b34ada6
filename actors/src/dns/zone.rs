//! What a cluster name means. Pure: names in, meaning out; no DNS messages.

use std::net::Ipv4Addr;

use kabuki_runtime::net::{Cidr, Protocol};

use crate::proxy::{Catalog, EndpointInfo, ServiceInfo, ServiceKind};

/// Version of the specification, answered as TXT at `dns-version.<domain>`.
const DNS_VERSION: &str = "1.1.0";
/// Endpoints in one answer at most; more would not fit into a message anyway.
pub(super) const MAX_ANSWERS: usize = 512;

/// A host and port of an SRV answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Fully qualified, without the last dot.
    pub host: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// The port.
    pub port: u16,
}

/// What a name means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Addresses; nothing of other types.
    Addresses(Vec<Ipv4Addr>),
    /// Addresses and, for SRV, the ports behind them.
    Service(Vec<Ipv4Addr>, Vec<Target>),
    /// Ports only.
    Ports(Vec<Target>),
    /// Another name, perhaps outside the cluster.
    Alias(String),
    /// Names of an address.
    Names(Vec<String>),
    /// A text.
    Text(String),
    /// The name exists and has no records.
    Empty,
    /// There is no such name.
    NoName,
    /// Not ours: ask the node's resolvers.
    Elsewhere,
}

/// The names this server is responsible for.
#[derive(Debug, Clone)]
pub struct Zone {
    /// Without dots at its ends, lower case.
    pub domain: String,
    /// Pods' addresses, for reverse names.
    pub cluster_cidr: Cidr,
    /// Services' addresses, for reverse names.
    pub service_cidr: Cidr,
    /// Address of this server.
    pub dns_ip: Ipv4Addr,
}

/// The label of an endpoint: its hostname, or its address with dashes.
fn label(e: &EndpointInfo) -> String {
    e.hostname.clone().unwrap_or_else(|| e.ip.to_string().replace('.', "-"))
}

impl Zone {
    /// What a name (lower case, no last dot) means.
    #[must_use]
    pub fn look_up(&self, catalog: &Catalog, name: &str) -> Answer {
        if let Some(address) = name.strip_suffix(".in-addr.arpa") {
            return self.reverse(catalog, address);
        }
        let Some(inside) = name.strip_suffix(self.domain.as_str()) else {
            return Answer::Elsewhere;
        };
        if inside.is_empty() {
            return Answer::Empty;
        }
        let Some(inside) = inside.strip_suffix('.') else { return Answer::Elsewhere };
        let mut labels: Vec<&str> = inside.split('.').collect();
        match labels.pop() {
            Some("svc") => self.in_services(catalog, &labels),
            Some("pod") => pods(catalog, &labels),
            Some("dns-version") if labels.is_empty() => Answer::Text(DNS_VERSION.to_owned()),
            // The name of the name server, as the SOA record gives it.
            Some("dns") if labels == ["ns"] => Answer::Addresses(vec![self.dns_ip]),
            Some("dns") if labels.is_empty() => Answer::Empty,
            _ => Answer::NoName,
        }
    }

    /// `labels` are those before `svc`.
    fn in_services(&self, catalog: &Catalog, labels: &[&str]) -> Answer {
        let Some((namespace, labels)) = labels.split_last() else { return Answer::Empty };
        let Some((name, labels)) = labels.split_last() else {
            return if catalog.has_namespace(namespace) { Answer::Empty } else { Answer::NoName };
        };
        let Some(service) = catalog.service(namespace, name) else { return Answer::NoName };
        let full = format!("{name}.{namespace}.svc.{}", self.domain);
        let key = ((*namespace).to_owned(), (*name).to_owned());
        match (&service.kind, labels) {
            (ServiceKind::Alias(to), []) => Answer::Alias(to.trim_end_matches('.').to_owned()),
            (ServiceKind::Cluster(ip), []) => {
                Answer::Service(vec![*ip], cluster_targets(service, *ip, &full, None))
            }
            (ServiceKind::Headless, []) => {
                let targets = endpoint_targets(catalog, &key, &full, None);
                let ips = ready(catalog, &key).map(|e| e.ip).take(MAX_ANSWERS).collect::<Vec<_>>();
                // Without endpoints upstream says the name does not exist.
                if ips.is_empty() { Answer::NoName } else { Answer::Service(ips, targets) }
            }
            (kind, [port, protocol]) if port.starts_with('_') && protocol.starts_with('_') => {
                let Some(protocol) = Protocol::parse(&protocol[1..]) else { return Answer::NoName };
                let only = Some((&port[1..], protocol));
                let targets = match kind {
                    ServiceKind::Cluster(ip) => cluster_targets(service, *ip, &full, only),
                    ServiceKind::Headless => endpoint_targets(catalog, &key, &full, only),
                    _ => Vec::new(),
                };
                if targets.is_empty() { Answer::NoName } else { Answer::Ports(targets) }
            }
            // The name between a port and its service, `_tcp.web.default.svc`.
            (ServiceKind::Cluster(_) | ServiceKind::Headless, [protocol])
                if protocol.strip_prefix('_').and_then(Protocol::parse).is_some() =>
            {
                Answer::Empty
            }
            (ServiceKind::Headless, [host]) => {
                let ips: Vec<Ipv4Addr> =
                    ready(catalog, &key).filter(|e| label(e) == *host).map(|e| e.ip).collect();
                if ips.is_empty() { Answer::NoName } else { Answer::Addresses(ips) }
            }
            (ServiceKind::None, []) => Answer::Empty,
            _ => Answer::NoName,
        }
    }

    /// `address` is what stands before `.in-addr.arpa`.
    fn reverse(&self, catalog: &Catalog, address: &str) -> Answer {
        let parts: Vec<u8> = address.rsplit('.').filter_map(|p| p.parse().ok()).collect();
        let Ok([a, b, c, d]) = <[u8; 4]>::try_from(parts) else { return Answer::Elsewhere };
        let ip = Ipv4Addr::new(a, b, c, d);
        if let Some((namespace, name)) = catalog.by_ip(ip) {
            return Answer::Names(vec![format!("{name}.{namespace}.svc.{}", self.domain)]);
        }
        if let Some(((namespace, name), e)) = catalog.endpoint_by_ip(ip) {
            let host = label(e);
            return Answer::Names(vec![format!("{host}.{name}.{namespace}.svc.{}", self.domain)]);
        }
        if self.cluster_cidr.contains(ip) || self.service_cidr.contains(ip) {
            return Answer::NoName;
        }
        Answer::Elsewhere
    }
}

/// `10-244-1-5.default.pod`: the address the name spells, as kubeadm's CoreDNS answers.
fn pods(catalog: &Catalog, labels: &[&str]) -> Answer {
    match labels {
        [] => Answer::Empty,
        [namespace] if catalog.has_namespace(namespace) => Answer::Empty,
        [address, _] => match address.replace('-', ".").parse() {
            Ok(ip) => Answer::Addresses(vec![ip]),
            Err(_) => Answer::NoName,
        },
        _ => Answer::NoName,
    }
}

fn ready<'a>(
    catalog: &'a Catalog,
    key: &'a (String, String),
) -> impl Iterator<Item = &'a EndpointInfo> {
    catalog.slices(key).flat_map(|s| &s.endpoints).filter(|e| e.ready)
}

fn cluster_targets(
    service: &ServiceInfo,
    ip: Ipv4Addr,
    full: &str,
    only: Option<(&str, Protocol)>,
) -> Vec<Target> {
    let wanted = service
        .ports
        .iter()
        .filter(|p| only.is_none_or(|(name, protocol)| p.name == name && p.protocol == protocol));
    wanted.map(|p| Target { host: full.to_owned(), ip, port: p.port }).collect()
}

fn endpoint_targets(
    catalog: &Catalog,
    key: &(String, String),
    full: &str,
    only: Option<(&str, Protocol)>,
) -> Vec<Target> {
    let mut out = Vec::new();
    for slice in catalog.slices(key) {
        let ports = slice.ports.iter().filter(|p| {
            only.is_none_or(|(name, protocol)| p.name == name && p.protocol == protocol)
        });
        for p in ports {
            for e in slice.endpoints.iter().filter(|e| e.ready) {
                if out.len() == MAX_ANSWERS {
                    return out;
                }
                let host = format!("{}.{full}", label(e));
                out.push(Target { host, ip: e.ip, port: p.port });
            }
        }
    }
    out
}
