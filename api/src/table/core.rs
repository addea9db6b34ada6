//! Rows of the core kinds other than pods, of endpoint slices and of leases.

use std::collections::BTreeSet;

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    duration::since,
    field::{NONE, at, flag, int, items, labels, opt_text, shortened, size, text, text_or},
};

/// Endpoints and ports shown before ` + N more...`.
const LIST_SHOWN: usize = 3;
const UNKNOWN: &str = "<unknown>";
const UNSET: &str = "<unset>";
const ROLE_LABEL: &str = "node-role.kubernetes.io/";

fn name(object: &Value) -> Value {
    text(object, "/metadata/name").into()
}

/// Service.
pub(crate) fn service(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![
        name(object),
        text(object, "/spec/type").into(),
        text_or(object, "/spec/clusterIPs/0", text_or(object, "/spec/clusterIP", NONE)).into(),
        external_ip(object).into(),
        service_ports(object).into(),
        age(object, now),
        labels(object, "/spec/selector").into(),
    ])
}

fn external_ip(object: &Value) -> String {
    let external: Vec<String> = items(object, "/spec/externalIPs")
        .iter()
        .filter_map(|ip| ip.as_str().map(str::to_owned))
        .collect();
    match text(object, "/spec/type") {
        "ClusterIP" | "NodePort" if external.is_empty() => NONE.into(),
        "ClusterIP" | "NodePort" => external.join(","),
        "ExternalName" => text(object, "/spec/externalName").into(),
        "LoadBalancer" => {
            let ingress: BTreeSet<String> = items(object, "/status/loadBalancer/ingress")
                .iter()
                .filter_map(|i| opt_text(i, "/ip").or(opt_text(i, "/hostname")))
                .map(str::to_owned)
                .collect();
            let all: Vec<String> = ingress.into_iter().chain(external).collect();
            if all.is_empty() { "<pending>".into() } else { all.join(",") }
        }
        _ => UNKNOWN.into(),
    }
}

fn service_ports(object: &Value) -> String {
    let ports: Vec<String> = items(object, "/spec/ports")
        .iter()
        .map(|p| match int(p, "/nodePort") {
            0 => format!("{}/{}", int(p, "/port"), text(p, "/protocol")),
            node => format!("{}:{node}/{}", int(p, "/port"), text(p, "/protocol")),
        })
        .collect();
    if ports.is_empty() { NONE.into() } else { ports.join(",") }
}

/// Endpoints.
pub(crate) fn endpoints(object: &Value, now: OffsetDateTime) -> Row {
    let mut list = Vec::new();
    for subset in items(object, "/subsets") {
        let ips = || items(subset, "/addresses").iter().map(|a| text(a, "/ip"));
        let ports = items(subset, "/ports");
        if ports.is_empty() {
            list.extend(ips().map(str::to_owned));
        }
        for port in ports {
            let port = int(port, "/port");
            list.extend(ips().map(|ip| join_host_port(ip, port)));
        }
    }
    Row::new(vec![name(object), shortened(&list, LIST_SHOWN, NONE).into(), age(object, now)])
}

fn join_host_port(ip: &str, port: i64) -> String {
    if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") }
}

/// `discovery.k8s.io/v1` EndpointSlice.
pub(crate) fn endpoint_slice(object: &Value, now: OffsetDateTime) -> Row {
    let ports: Vec<String> = items(object, "/ports")
        .iter()
        .map(|p| match at(p, "/port").and_then(Value::as_i64) {
            Some(number) => number.to_string(),
            None => text_or(p, "/name", "*").to_owned(),
        })
        .collect();
    let addresses: Vec<String> = items(object, "/endpoints")
        .iter()
        .flat_map(|e| items(e, "/addresses"))
        .filter_map(|a| a.as_str().map(str::to_owned))
        .collect();
    Row::new(vec![
        name(object),
        text(object, "/addressType").into(),
        shortened(&ports, LIST_SHOWN, UNSET).into(),
        shortened(&addresses, LIST_SHOWN, UNSET).into(),
        age(object, now),
    ])
}

/// Node.
pub(crate) fn node(object: &Value, now: OffsetDateTime) -> Row {
    let ready = items(object, "/status/conditions").iter().find(|c| text(c, "/type") == "Ready");
    let mut status = match ready.map(|c| text(c, "/status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if flag(object, "/spec/unschedulable") {
        status.push_str(",SchedulingDisabled");
    }
    Row::new(vec![
        name(object),
        status.into(),
        node_roles(object).into(),
        age(object, now),
        text(object, "/status/nodeInfo/kubeletVersion").into(),
        node_address(object, "InternalIP").into(),
        node_address(object, "ExternalIP").into(),
        text_or(object, "/status/nodeInfo/osImage", UNKNOWN).into(),
        text_or(object, "/status/nodeInfo/kernelVersion", UNKNOWN).into(),
        text_or(object, "/status/nodeInfo/containerRuntimeVersion", UNKNOWN).into(),
    ])
}

fn node_roles(object: &Value) -> String {
    let Some(labels) = at(object, "/metadata/labels").and_then(Value::as_object) else {
        return NONE.into();
    };
    let roles: BTreeSet<&str> = labels
        .iter()
        .filter_map(|(key, value)| match key.strip_prefix(ROLE_LABEL) {
            Some(role) => Some(role),
            None if key == "kubernetes.io/role" => value.as_str(),
            None => None,
        })
        .filter(|role| !role.is_empty())
        .collect();
    if roles.is_empty() { NONE.into() } else { Vec::from_iter(roles).join(",") }
}

fn node_address<'a>(object: &'a Value, wanted: &str) -> &'a str {
    items(object, "/status/addresses")
        .iter()
        .find(|a| text(a, "/type") == wanted)
        .map_or(NONE, |a| text(a, "/address"))
}

/// Namespace.
pub(crate) fn namespace(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![name(object), text(object, "/status/phase").into(), age(object, now)])
}

/// ConfigMap.
pub(crate) fn config_map(object: &Value, now: OffsetDateTime) -> Row {
    let entries = size(object, "/data") + size(object, "/binaryData");
    Row::new(vec![name(object), entries.into(), age(object, now)])
}

/// Secret: the number of entries, never their content.
pub(crate) fn secret(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![
        name(object),
        text(object, "/type").into(),
        size(object, "/data").into(),
        age(object, now),
    ])
}

/// ServiceAccount and every kind that shows its name and age only.
pub(crate) fn name_and_age(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![name(object), age(object, now)])
}

/// `coordination.k8s.io/v1` Lease.
pub(crate) fn lease(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![name(object), text(object, "/spec/holderIdentity").into(), age(object, now)])
}

/// Event of the core group and of `events.k8s.io`, whose fields bear other names.
pub(crate) fn event(object: &Value, now: OffsetDateTime) -> Row {
    let pick = |keys: [&str; 2]| opt_text(object, keys[0]).or(opt_text(object, keys[1]));
    let created = pick(["/firstTimestamp", "/deprecatedFirstTimestamp"]);
    let first = since(created.or(opt_text(object, "/eventTime")), now);
    let mut last = match pick(["/lastTimestamp", "/deprecatedLastTimestamp"]) {
        Some(at) => since(Some(at), now),
        None => first.clone(),
    };
    let mut count = int(object, "/count").max(int(object, "/deprecatedCount")).max(1);
    if let Some(series) = at(object, "/series") {
        last = since(opt_text(series, "/lastObservedTime"), now);
        count = int(series, "/count");
    }
    let regards = at(object, "/involvedObject").or(at(object, "/regarding"));
    let regards = regards.unwrap_or(&Value::Null);
    let mut target = text(regards, "/kind").to_lowercase();
    if let Some(name) = opt_text(regards, "/name") {
        target = format!("{target}/{name}");
    }
    Row::new(vec![
        last.into(),
        text(object, "/type").into(),
        text(object, "/reason").into(),
        target.into(),
        text(regards, "/fieldPath").into(),
        event_source(object).into(),
        pick(["/message", "/note"]).unwrap_or("").trim().into(),
        first.into(),
        count.into(),
        name(object),
    ])
}

fn event_source(object: &Value) -> String {
    let component = opt_text(object, "/source/component")
        .or(opt_text(object, "/deprecatedSource/component"))
        .or(opt_text(object, "/reportingComponent"))
        .or(opt_text(object, "/reportingController"))
        .unwrap_or("");
    let host = opt_text(object, "/source/host")
        .or(opt_text(object, "/deprecatedSource/host"))
        .or(opt_text(object, "/reportingInstance"));
    match host {
        Some(host) => format!("{component}, {host}"),
        None => component.to_owned(),
    }
}

/// `scheduling.k8s.io/v1` PriorityClass.
pub(crate) fn priority_class(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![
        name(object),
        int(object, "/value").into(),
        flag(object, "/globalDefault").into(),
        age(object, now),
        text(object, "/preemptionPolicy").into(),
    ])
}
