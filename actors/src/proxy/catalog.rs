//! Services and their endpoints, as much of them as the node needs. Pure.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::Ipv4Addr,
    sync::Arc,
};

use kabuki_runtime::net::{Affinity, Protocol};
use parking_lot::RwLock;

/// Namespace and name.
pub type Key = (String, String);

/// The catalogue, written by the service proxy and read by DNS.
pub type SharedCatalog = Arc<RwLock<Catalog>>;

/// How a service is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// By its own address.
    Cluster(Ipv4Addr),
    /// By the addresses of its endpoints (`clusterIP: None`).
    Headless,
    /// It is another name (`type: ExternalName`).
    Alias(String),
    /// It has no IPv4 address (yet).
    None,
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortInfo {
    /// Empty for a service's only port.
    pub name: String,
    /// Transport.
    pub protocol: Protocol,
    /// Port of the service.
    pub port: u16,
    /// Port of every node, if it has one.
    pub node_port: Option<u16>,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// How it is reached.
    pub kind: ServiceKind,
    /// Further addresses: external IPs and load balancer addresses.
    pub more_ips: Vec<Ipv4Addr>,
    /// Its ports.
    pub ports: Vec<PortInfo>,
    /// `sessionAffinity`.
    pub affinity: Affinity,
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
}

/// One endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointInfo {
    /// Its address.
    pub ip: Ipv4Addr,
    /// Takes new connections.
    pub ready: bool,
    /// Still answers although it is ending.
    pub serving: bool,
    /// `hostname`, for names of its own in a headless service.
    pub hostname: Option<String>,
    /// The node it runs on.
    pub node: Option<String>,
}

/// A port of a slice, by the service port's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// Name of the service port.
    pub name: String,
    /// Transport.
    pub protocol: Protocol,
    /// Port of the endpoints.
    pub port: u16,
}

/// An EndpointSlice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SliceInfo {
    /// Name of its service, in the same namespace.
    pub service: String,
    /// Ports that all endpoints have.
    pub ports: Vec<SlicePort>,
    /// The endpoints.
    pub endpoints: Vec<EndpointInfo>,
}

/// All services and slices of the cluster.
#[derive(Debug, Default)]
pub struct Catalog {
    services: BTreeMap<Key, ServiceInfo>,
    slices: HashMap<Key, SliceInfo>,
    slices_of: HashMap<Key, BTreeSet<String>>,
    by_ip: HashMap<Ipv4Addr, Key>,
    /// Both collections have been listed once.
    pub synced: bool,
}

impl Catalog {
    /// Adds or replaces a service. False when that changes nothing.
    pub fn set_service(&mut self, key: Key, service: ServiceInfo) -> bool {
        if self.services.get(&key) == Some(&service) {
            return false;
        }
        self.remove_service(&key);
        if let ServiceKind::Cluster(ip) = service.kind {
            self.by_ip.insert(ip, key.clone());
        }
        self.services.insert(key, service);
        true
    }

    /// Removes a service. False when there was none.
    pub fn remove_service(&mut self, key: &Key) -> bool {
        let Some(old) = self.services.remove(key) else { return false };
        if let ServiceKind::Cluster(ip) = old.kind
            && self.by_ip.get(&ip) == Some(key)
        {
            self.by_ip.remove(&ip);
        }
        true
    }

    /// Adds or replaces a slice. False when that changes nothing.
    pub fn set_slice(&mut self, key: Key, slice: SliceInfo) -> bool {
        if self.slices.get(&key) == Some(&slice) {
            return false;
        }
        self.remove_slice(&key);
        let service = (key.0.clone(), slice.service.clone());
        self.slices_of.entry(service).or_default().insert(key.1.clone());
        self.slices.insert(key, slice);
        true
    }

    /// Removes a slice. False when there was none.
    pub fn remove_slice(&mut self, key: &Key) -> bool {
        let Some(old) = self.slices.remove(key) else { return false };
        let service = (key.0.clone(), old.service);
        if let Some(names) = self.slices_of.get_mut(&service) {
            names.remove(&key.1);
            if names.is_empty() {
                self.slices_of.remove(&service);
            }
        }
        true
    }

    /// Removes all services but these.
    pub fn keep_services(&mut self, keys: &BTreeSet<Key>) {
        let gone: Vec<Key> = self.services.keys().filter(|k| !keys.contains(*k)).cloned().collect();
        for key in gone {
            self.remove_service(&key);
        }
    }

    /// Removes all slices but these.
    pub fn keep_slices(&mut self, keys: &BTreeSet<Key>) {
        let gone: Vec<Key> = self.slices.keys().filter(|k| !keys.contains(*k)).cloned().collect();
        for key in gone {
            self.remove_slice(&key);
        }
    }

    /// A service.
    #[must_use]
    pub fn service(&self, namespace: &str, name: &str) -> Option<&ServiceInfo> {
        self.services.get(&(namespace.to_owned(), name.to_owned()))
    }

    /// All services, by namespace and name.
    pub fn services(&self) -> impl Iterator<Item = (&Key, &ServiceInfo)> {
        self.services.iter()
    }

    /// The slices of a service.
    pub fn slices(&self, key: &Key) -> impl Iterator<Item = &SliceInfo> {
        let names = self.slices_of.get(key).into_iter().flatten();
        let namespace = key.0.clone();
        names.filter_map(move |n| self.slices.get(&(namespace.clone(), n.clone())))
    }

    /// The service that has an address.
    #[must_use]
    pub fn by_ip(&self, ip: Ipv4Addr) -> Option<&Key> {
        self.by_ip.get(&ip)
    }

    /// The headless service and endpoint with an address.
    #[must_use]
    pub fn endpoint_by_ip(&self, ip: Ipv4Addr) -> Option<(Key, &EndpointInfo)> {
        self.slices.iter().find_map(|((namespace, _), slice)| {
            let key = (namespace.clone(), slice.service.clone());
            let headless = self.services.get(&key)?.kind == ServiceKind::Headless;
            let found = slice.endpoints.iter().find(|e| e.ip == ip && headless)?;
            Some((key, found))
        })
    }

    /// Whether a namespace has any service.
    #[must_use]
    pub fn has_namespace(&self, namespace: &str) -> bool {
        let from = (namespace.to_owned(), String::new());
        self.services.range(from..).next().is_some_and(|((ns, _), _)| ns == namespace)
    }

    /// Numbers of services and slices.
    #[must_use]
    pub fn sizes(&self) -> (usize, usize) {
        (self.services.len(), self.slices.len())
    }
}
