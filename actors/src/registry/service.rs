//! Cluster IPs and node ports. Each one taken is a key of its own, written in the same transaction
//! as its Service and compared to be absent, so that two Services never hold the same, on any
//! member.

use std::net::Ipv4Addr;

use bytes::Bytes;
use kabuki_api::{
    kind::{Kind, SERVICE},
    status::Status,
    validate::FieldError,
};
use kabuki_raft::{Compare, Op, Store};
use rand::RngExt as _;
use serde_json::{Value, json};

use super::{
    canonical,
    object::text,
    store::{Registry, RegistryConfig},
    strategy::strings,
};

const IP_TOPIC: &str = "/registry/kabuki/serviceips/";
const PORT_TOPIC: &str = "/registry/kabuki/nodeports/";
/// Random picks before the range is searched in order.
const RANDOM_PICKS_MAX: usize = 32;
/// Largest part of the range that is left to addresses people ask for (as upstream's static band).
const STATIC_BAND_MAX: u32 = 256;

/// What a Service's transaction compares and writes besides the Service.
#[derive(Default)]
pub(super) struct Allocation {
    pub(super) compare: Vec<Compare>,
    pub(super) ops: Vec<Op>,
}

impl Allocation {
    fn take(&mut self, key: String, owner: &str) {
        self.compare.push(Compare { key: key.clone(), mod_revision: 0 });
        let name = key.rsplit('/').next().unwrap_or_default();
        let value: Bytes =
            canonical::encode(&json!({"metadata": {"name": name}, "owner": owner}), None);
        self.ops.push(Op::Put { key, value });
    }

    fn takes(&self, key: &str) -> bool {
        self.compare.iter().any(|c| c.key == key)
    }
}

/// Fills in what the server allocates for a new or changed Service.
pub(super) fn plan(
    registry: &Registry,
    old: Option<&Value>,
    new: &mut Value,
) -> Result<Allocation, Status> {
    let (store, cfg) = (registry.store(), registry.config());
    let meta = &new["metadata"];
    let name = text(meta, "name").to_owned();
    let owner = format!("{}/{name}", text(meta, "namespace"));
    if let Some(old) = old {
        drop_dependent(&old["spec"], &mut new["spec"]);
    }
    let mut allocation = Allocation::default();
    let result = plan_ip(store, cfg, &owner, old, new, &mut allocation)
        .and_then(|()| plan_ports(store, cfg, &owner, old, new, &mut allocation));
    if let Err(error) = result {
        return Err(Status::invalid(SERVICE, &name, &[error]));
    }
    if let Some(old) = old {
        let kept = keys_of(new);
        let gone = keys_of(old).into_iter().filter(|k| !kept.contains(k));
        allocation.ops.extend(gone.map(|key| Op::Delete { key }));
    }
    Ok(allocation)
}

/// Clears fields the new type has no use for and the client only carried along: who changes the
/// type need not know them all. A field that was changed stays, for validation to refuse.
fn drop_dependent(old: &Value, new: &mut Value) {
    let is = |spec: &Value, types: &[&str]| types.contains(&text(spec, "type"));
    let external = |spec: &Value| {
        is(spec, &["NodePort", "LoadBalancer"])
            || spec["externalIPs"].as_array().is_some_and(|ips| !ips.is_empty())
    };
    let balanced = |spec: &Value| is(spec, &["LoadBalancer"]);
    let internal = |spec: &Value| !is(spec, &["ExternalName"]);
    for (field, had, needs) in [
        ("externalTrafficPolicy", external(old), external(new)),
        ("healthCheckNodePort", balanced(old), balanced(new)),
        ("allocateLoadBalancerNodePorts", balanced(old), balanced(new)),
        ("loadBalancerClass", balanced(old), balanced(new)),
        ("internalTrafficPolicy", internal(old), internal(new)),
    ] {
        if had
            && !needs
            && old[field] == new[field]
            && let Some(spec) = new.as_object_mut()
        {
            spec.remove(field);
        }
    }
}

/// The operations that give back what a deleted Service held.
pub(super) fn release(kind: &Kind, object: &Value) -> Vec<Op> {
    if kind != SERVICE {
        return Vec::new();
    }
    keys_of(object).into_iter().map(|key| Op::Delete { key }).collect()
}

fn keys_of(service: &Value) -> Vec<String> {
    let mut keys: Vec<String> = cluster_ip(service).map(ip_key).into_iter().collect();
    let ports = service["spec"]["ports"].as_array().into_iter().flatten();
    for port in ports.filter_map(|p| p["nodePort"].as_u64()).filter(|p| *p > 0) {
        let key = port_key(port);
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn ip_key(ip: Ipv4Addr) -> String {
    format!("{IP_TOPIC}{ip}")
}

fn port_key(port: u64) -> String {
    format!("{PORT_TOPIC}{port}")
}

/// The allocated address of a Service, if it has one.
fn cluster_ip(service: &Value) -> Option<Ipv4Addr> {
    text(&service["spec"], "clusterIP").parse().ok()
}

fn plan_ip(
    store: &Store,
    cfg: &RegistryConfig,
    owner: &str,
    old: Option<&Value>,
    new: &mut Value,
    allocation: &mut Allocation,
) -> Result<(), FieldError> {
    if text(&new["spec"], "type") == "ExternalName" {
        if let Some(spec) = new["spec"].as_object_mut() {
            for field in ["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"] {
                spec.remove(field);
            }
        }
        return Ok(());
    }
    check_families(&new["spec"])?;
    let listed = new["spec"]["clusterIPs"][0].as_str().unwrap_or_default().to_owned();
    let mut wanted = text(&new["spec"], "clusterIP").to_owned();
    if wanted.is_empty() {
        wanted = listed;
    }
    let held = old.map(|o| text(&o["spec"], "clusterIP").to_owned()).unwrap_or_default();
    if wanted.is_empty() {
        wanted.clone_from(&held);
    }
    if wanted != "None" && (wanted.is_empty() || wanted != held) {
        let ip = if wanted.is_empty() {
            free_ip(store, cfg, allocation).ok_or_else(|| {
                FieldError::invalid(
                    "spec.clusterIPs",
                    json!([""]),
                    "failed to allocate a serviceIP: range is full",
                )
            })?
        } else {
            requested_ip(store, cfg, &wanted)?
        };
        allocation.take(ip_key(ip), owner);
        wanted = ip.to_string();
    }
    let spec = &mut new["spec"];
    spec["clusterIPs"] = json!([wanted]);
    spec["clusterIP"] = wanted.into();
    if spec["ipFamilyPolicy"].is_null() {
        spec["ipFamilyPolicy"] = "SingleStack".into();
    }
    if spec["ipFamilies"].is_null() {
        spec["ipFamilies"] = json!(["IPv4"]);
    }
    Ok(())
}

/// There is one range, of IPv4.
fn check_families(spec: &Value) -> Result<(), FieldError> {
    if text(spec, "ipFamilyPolicy") == "RequireDualStack" {
        return Err(FieldError::invalid(
            "spec.ipFamilyPolicy",
            "RequireDualStack",
            "this cluster is not configured for dual-stack services",
        ));
    }
    match strings(&spec["ipFamilies"]).iter().position(|family| *family != "IPv4") {
        Some(index) => Err(FieldError::invalid(
            format!("spec.ipFamilies[{index}]"),
            spec["ipFamilies"][index].clone(),
            "not configured on this cluster",
        )),
        None => Ok(()),
    }
}

fn requested_ip(store: &Store, cfg: &RegistryConfig, text: &str) -> Result<Ipv4Addr, FieldError> {
    let refuse = |why: String| {
        FieldError::invalid(
            "spec.clusterIPs",
            json!([text]),
            format!("failed to allocate IP {text}: {why}"),
        )
    };
    let ip: Ipv4Addr = text.parse().map_err(|_| {
        FieldError::invalid(
            "spec.clusterIPs[0]",
            text,
            "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
        )
    })?;
    let (base, size) = range(cfg);
    let offset = u32::from(ip).wrapping_sub(base);
    if offset == 0 || offset >= size - 1 {
        let (first, bits) = cfg.service_cidr;
        return Err(refuse(format!(
            "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {first}/{bits}"
        )));
    }
    if store.get(&ip_key(ip)).is_some() {
        return Err(refuse("provided IP is already allocated".into()));
    }
    Ok(ip)
}

/// First address and number of addresses of the range.
fn range(cfg: &RegistryConfig) -> (u32, u32) {
    let (first, bits) = cfg.service_cidr;
    let size = 1_u32.checked_shl(32 - u32::from(bits.clamp(8, 30))).unwrap_or(4);
    (u32::from(first) & !(size - 1), size)
}

fn free_ip(store: &Store, cfg: &RegistryConfig, allocation: &Allocation) -> Option<Ipv4Addr> {
    let (base, size) = range(cfg);
    // As upstream, the low end is left to addresses people ask for while there is room above.
    let band = (size / 16).clamp(16, STATIC_BAND_MAX).min(size / 2);
    let free = |offset: u32| {
        let ip = Ipv4Addr::from(base + offset);
        let key = ip_key(ip);
        (store.get(&key).is_none() && !allocation.takes(&key)).then_some(ip)
    };
    let mut rng = rand::rng();
    let picked = (0..RANDOM_PICKS_MAX).find_map(|_| free(rng.random_range(band..size - 1)));
    picked.or_else(|| (band..size - 1).chain(1..band).find_map(free))
}

fn plan_ports(
    store: &Store,
    cfg: &RegistryConfig,
    owner: &str,
    old: Option<&Value>,
    new: &mut Value,
    allocation: &mut Allocation,
) -> Result<(), FieldError> {
    let spec = &new["spec"];
    let wants = match text(spec, "type") {
        "NodePort" => true,
        "LoadBalancer" => spec["allocateLoadBalancerNodePorts"].as_bool() != Some(false),
        _ => false,
    };
    let exposes = matches!(text(spec, "type"), "NodePort" | "LoadBalancer");
    let held: Vec<Value> =
        old.and_then(|o| o["spec"]["ports"].as_array().cloned()).unwrap_or_default();
    let held_keys = old.map(keys_of).unwrap_or_default();
    // Not by index: that would make the list, as null, where the service has none.
    let Some(ports) = new["spec"].get_mut("ports").and_then(Value::as_array_mut) else {
        return Ok(());
    };
    for (index, port) in ports.iter_mut().enumerate() {
        let before = held
            .iter()
            .find(|p| p["port"] == port["port"] && p["protocol"] == port["protocol"])
            .or_else(|| held.iter().find(|p| p["name"] == port["name"]));
        let given = port["nodePort"].as_u64().unwrap_or(0);
        if !exposes {
            // Leaving NodePort: the old number goes without being asked to.
            if given > 0
                && before.is_some_and(|p| p["nodePort"] == given)
                && let Some(map) = port.as_object_mut()
            {
                map.remove("nodePort");
            }
            continue;
        }
        let path = format!("spec.ports[{index}].nodePort");
        let number = match (given, before.and_then(|p| p["nodePort"].as_u64())) {
            (0, Some(kept)) if kept > 0 => kept,
            (0, _) if !wants => continue,
            (0, _) => free_port(store, cfg, allocation).ok_or_else(|| {
                FieldError::invalid(&path, 0, "failed to allocate a nodePort: range is full")
            })?,
            (given, _) => given,
        };
        port["nodePort"] = number.into();
        let key = port_key(number);
        // One number may serve TCP and UDP of one Service.
        if held_keys.contains(&key) || allocation.takes(&key) {
            continue;
        }
        let range = &cfg.node_ports;
        if !u16::try_from(number).is_ok_and(|n| range.contains(&n)) {
            let detail = format!(
                "provided port is not in the valid range. The range of valid ports is {}-{}",
                range.start(),
                range.end()
            );
            return Err(FieldError::invalid(&path, number, detail));
        }
        if store.get(&key).is_some() {
            return Err(FieldError::invalid(&path, number, "provided port is already allocated"));
        }
        allocation.take(key, owner);
    }
    Ok(())
}

fn free_port(store: &Store, cfg: &RegistryConfig, allocation: &Allocation) -> Option<u64> {
    let free = |port: u16| {
        let key = port_key(u64::from(port));
        (store.get(&key).is_none() && !allocation.takes(&key)).then_some(u64::from(port))
    };
    let mut rng = rand::rng();
    let picked = (0..RANDOM_PICKS_MAX).find_map(|_| free(rng.random_range(cfg.node_ports.clone())));
    picked.or_else(|| cfg.node_ports.clone().find_map(free))
}
