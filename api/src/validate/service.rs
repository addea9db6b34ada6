//! Services.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    FieldError,
    check::{Errors, each, ip, items, labels, one_of, optional_one_of, port, port_or_name, text},
    container::PROTOCOLS,
};
use crate::name;

/// Longest stickiness, seconds.
const MAX_AFFINITY_SECONDS: i64 = 86_400;

pub(crate) fn create(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let kind = text(spec, "type");
    let headless =
        spec["clusterIP"] == "None" || items(spec, "clusterIPs").iter().any(|i| i == "None");
    const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
    one_of(out, "spec.type".into(), &spec["type"], TYPES);
    let ports = items(spec, "ports");
    if ports.is_empty() && !headless && kind != "ExternalName" {
        out.push(FieldError::required("spec.ports", ""));
    }
    match kind {
        "LoadBalancer" | "NodePort" if headless => out.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            "None",
            format!("may not be set to 'None' for {kind} services"),
        )),
        "ExternalName" => external_name(out, spec),
        _ => {}
    }
    self::ports(out, ports, kind);
    labels(out, "spec.selector", &spec["selector"]);
    affinity(out, spec);
    addresses(out, spec, kind, headless);
    traffic(out, spec, kind);
}

fn external_name(out: &mut Errors, spec: &Value) {
    let own = text(spec, "externalName");
    let trimmed = own.strip_suffix('.').unwrap_or(own);
    if own.is_empty() {
        out.push(FieldError::required("spec.externalName", ""));
    } else {
        each(out, "spec.externalName", &own.into(), name::dns1123_subdomain(trimmed));
    }
    if !text(spec, "clusterIP").is_empty() || !items(spec, "clusterIPs").is_empty() {
        let detail = "may not be set when type is 'ExternalName'";
        out.push(FieldError::forbidden("spec.clusterIPs", detail));
    }
}

fn ports(out: &mut Errors, ports: &[Value], kind: &str) {
    let (mut names, mut numbers, mut node_ports) = (HashSet::new(), HashSet::new(), HashSet::new());
    for (i, item) in ports.iter().enumerate() {
        let path = format!("spec.ports[{i}]");
        let own = text(item, "name");
        if own.is_empty() {
            if ports.len() > 1 {
                out.push(FieldError::required(format!("{path}.name"), ""));
            }
        } else {
            each(out, &format!("{path}.name"), &own.into(), name::dns1123_label(own));
            if !names.insert(own) {
                out.push(FieldError::duplicate(format!("{path}.name"), own));
            }
        }
        port(out, format!("{path}.port"), &item["port"]);
        one_of(out, format!("{path}.protocol"), &item["protocol"], PROTOCOLS);
        port_or_name(out, format!("{path}.targetPort"), &item["targetPort"]);
        if let Some(own) = item["appProtocol"].as_str() {
            each(out, &format!("{path}.appProtocol"), &own.into(), name::qualified_name(own));
        }
        let protocol = text(item, "protocol");
        if !numbers.insert((protocol, item["port"].as_i64())) {
            let shown = json!({"protocol": protocol, "port": item["port"]});
            out.push(FieldError::duplicate(path.clone(), shown));
        }
        let node_port = item["nodePort"].as_i64().unwrap_or(0);
        if node_port == 0 {
            continue;
        }
        let path = format!("{path}.nodePort");
        match kind {
            "ClusterIP" => {
                let detail = "may not be used when `type` is 'ClusterIP'";
                out.push(FieldError::forbidden(path, detail));
            }
            "ExternalName" => {
                let detail = "may not be used when `type` is 'ExternalName'";
                out.push(FieldError::forbidden(path, detail));
            }
            _ if !node_ports.insert((protocol, node_port)) => {
                out.push(FieldError::duplicate(path, node_port));
            }
            _ => {}
        }
    }
}

fn affinity(out: &mut Errors, spec: &Value) {
    const PATH: &str = "spec.sessionAffinityConfig.clientIP.timeoutSeconds";
    let kind = &spec["sessionAffinity"];
    one_of(out, "spec.sessionAffinity".into(), kind, &["ClientIP", "None"]);
    let seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"].as_i64();
    if kind == "ClientIP" {
        match seconds {
            None => out.push(FieldError::required(PATH, "")),
            Some(s) if !(1..=MAX_AFFINITY_SECONDS).contains(&s) => {
                let detail = format!("must be greater than 0 and less than {MAX_AFFINITY_SECONDS}");
                out.push(FieldError::invalid(PATH, s, detail));
            }
            Some(_) => {}
        }
    }
}

fn addresses(out: &mut Errors, spec: &Value, kind: &str, headless: bool) {
    let list = items(spec, "clusterIPs");
    let own = text(spec, "clusterIP");
    if let Some(first) = list.first()
        && first != own
    {
        let detail = "first value must match `clusterIP`";
        out.push(FieldError::invalid("spec.clusterIPs", spec["clusterIPs"].clone(), detail));
    }
    if !headless && kind != "ExternalName" && !own.is_empty() {
        ip(out, "spec.clusterIPs[0]".into(), own);
    }
    for (i, address) in items(spec, "externalIPs").iter().enumerate() {
        ip(out, format!("spec.externalIPs[{i}]"), address.as_str().unwrap_or(""));
    }
    let policy = &spec["ipFamilyPolicy"];
    const POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
    optional_one_of(out, "spec.ipFamilyPolicy".into(), policy, POLICIES);
    for (i, family) in items(spec, "ipFamilies").iter().enumerate() {
        one_of(out, format!("spec.ipFamilies[{i}]"), family, &["IPv4", "IPv6"]);
    }
}

fn traffic(out: &mut Errors, spec: &Value, kind: &str) {
    const POLICIES: &[&str] = &["Cluster", "Local"];
    let external = matches!(kind, "LoadBalancer" | "NodePort")
        || (kind == "ClusterIP" && !items(spec, "externalIPs").is_empty());
    let policy = &spec["externalTrafficPolicy"];
    if policy.is_string() && !external {
        out.push(FieldError::invalid(
            "spec.externalTrafficPolicy",
            policy.clone(),
            "may only be set for externally-accessible services",
        ));
    } else {
        optional_one_of(out, "spec.externalTrafficPolicy".into(), policy, POLICIES);
    }
    let internal = &spec["internalTrafficPolicy"];
    optional_one_of(out, "spec.internalTrafficPolicy".into(), internal, POLICIES);
    if kind != "LoadBalancer" {
        if spec["loadBalancerClass"].is_string() {
            let detail = "may only be used when `type` is 'LoadBalancer'";
            out.push(FieldError::forbidden("spec.loadBalancerClass", detail));
        }
        if !spec["allocateLoadBalancerNodePorts"].is_null() {
            let detail = "may only be used when `type` is 'LoadBalancer'";
            out.push(FieldError::forbidden("spec.allocateLoadBalancerNodePorts", detail));
        }
    }
}

pub(crate) fn update(out: &mut Errors, new: &Value, old: &Value) {
    let (new, old) = (&new["spec"], &old["spec"]);
    let before = text(old, "clusterIP");
    let external = |spec: &Value| text(spec, "type") == "ExternalName";
    if !external(new) && !external(old) && !before.is_empty() && text(new, "clusterIP") != before {
        out.push(FieldError::invalid(
            "spec.clusterIPs[0]",
            text(new, "clusterIP"),
            "may not change once set",
        ));
    }
}
