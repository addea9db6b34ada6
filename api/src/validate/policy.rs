//! Network policies and disruption budgets.

use std::net::IpAddr;

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, items, label_selector, not_negative, optional_one_of, port_or_name, text},
    workload::amount,
};

pub(crate) fn network_policy(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    label_selector(out, "spec.podSelector", &spec["podSelector"]);
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in items(spec, list).iter().enumerate() {
            let at = format!("spec.{list}[{i}]");
            for (j, port) in items(rule, "ports").iter().enumerate() {
                policy_port(out, &format!("{at}.ports[{j}]"), port);
            }
            for (j, other) in items(rule, peers).iter().enumerate() {
                peer(out, &format!("{at}.{peers}[{j}]"), other);
            }
        }
    }
    let types = items(spec, "policyTypes");
    if types.len() > 2 {
        let detail = "may not specify more than two policyTypes";
        out.push(FieldError::invalid("spec.policyTypes", spec["policyTypes"].clone(), detail));
        return;
    }
    for (i, own) in types.iter().enumerate() {
        let path = format!("spec.policyTypes[{i}]");
        optional_one_of(out, path, own, &["Egress", "Ingress"]);
    }
}

fn policy_port(out: &mut Errors, at: &str, port: &Value) {
    let protocols = &["SCTP", "TCP", "UDP"];
    optional_one_of(out, format!("{at}.protocol"), &port["protocol"], protocols);
    let (own, end) = (&port["port"], &port["endPort"]);
    if !own.is_null() {
        port_or_name(out, format!("{at}.port"), own);
    }
    let Some(end) = end.as_i64() else { return };
    match own {
        Value::Null => out.push(FieldError::required(
            format!("{at}.port"),
            "must be specified when `endPort` is specified",
        )),
        Value::String(_) => out.push(FieldError::forbidden(
            format!("{at}.endPort"),
            "may not be specified when `port` is non-numeric",
        )),
        number => {
            if number.as_i64().is_some_and(|start| end < start) {
                let detail = "must be greater than or equal to `port`";
                out.push(FieldError::invalid(format!("{at}.endPort"), end, detail));
            }
            if !(1..=65_535).contains(&end) {
                let detail = "must be between 1 and 65535, inclusive";
                out.push(FieldError::invalid(format!("{at}.endPort"), end, detail));
            }
        }
    }
}

fn peer(out: &mut Errors, at: &str, peer: &Value) {
    let selectors = ["podSelector", "namespaceSelector"];
    for field in selectors.iter().filter(|f| !peer[**f].is_null()) {
        label_selector(out, &format!("{at}.{field}"), &peer[*field]);
    }
    let selects = selectors.iter().any(|f| !peer[*f].is_null());
    let block = &peer["ipBlock"];
    match (selects, !block.is_null()) {
        (false, false) => out.push(FieldError::required(at, "must specify a peer")),
        (true, true) => {
            let detail = "may not specify both ipBlock and another peer";
            out.push(FieldError::forbidden(at, detail));
        }
        (false, true) => ip_block(out, &format!("{at}.ipBlock"), block),
        (true, false) => {}
    }
}

fn ip_block(out: &mut Errors, at: &str, block: &Value) {
    const BAD: &str = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
    let own = text(block, "cidr");
    if own.is_empty() {
        out.push(FieldError::required(format!("{at}.cidr"), ""));
        return;
    }
    let Some(whole) = range(own) else {
        out.push(FieldError::invalid(format!("{at}.cidr"), own, BAD));
        return;
    };
    for (i, except) in items(block, "except").iter().enumerate() {
        let path = format!("{at}.except[{i}]");
        match range(except.as_str().unwrap_or("")) {
            None => out.push(FieldError::invalid(path, except.clone(), BAD)),
            Some(part) if !inside(part, whole) => out.push(FieldError::invalid(
                path,
                except.clone(),
                "must be a strict subset of `cidr`",
            )),
            Some(_) => {}
        }
    }
}

/// Address (left-aligned in 128 bits), length and whether it is IPv4.
fn range(text: &str) -> Option<(u128, u32, bool)> {
    let (address, bits) = text.split_once('/')?;
    let bits: u32 = bits.parse().ok()?;
    match address.parse().ok()? {
        IpAddr::V4(v4) if bits <= 32 => Some((u128::from(u32::from(v4)) << 96, bits, true)),
        IpAddr::V6(v6) if bits <= 128 => Some((u128::from(v6), bits, false)),
        _ => None,
    }
}

fn inside(part: (u128, u32, bool), whole: (u128, u32, bool)) -> bool {
    let mask = if whole.1 == 0 { 0 } else { u128::MAX << (128 - whole.1) };
    part.2 == whole.2 && part.1 > whole.1 && part.0 & mask == whole.0 & mask
}

pub(crate) fn disruption_budget(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    let (least, most) = (&spec["minAvailable"], &spec["maxUnavailable"]);
    if !least.is_null() && !most.is_null() {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        out.push(FieldError::invalid("spec", spec.clone(), detail));
    }
    for (field, value) in [("minAvailable", least), ("maxUnavailable", most)] {
        let path = format!("spec.{field}");
        if let Some(number) = amount(out, &path, value)
            && value.is_string()
            && number > 100
        {
            out.push(FieldError::invalid(path, value.clone(), "must not be greater than 100%"));
        }
    }
    if !spec["selector"].is_null() {
        label_selector(out, "spec.selector", &spec["selector"]);
    }
    let policies = &["AlwaysAllow", "IfHealthyBudget"];
    let policy = &spec["unhealthyPodEvictionPolicy"];
    optional_one_of(out, "spec.unhealthyPodEvictionPolicy".into(), policy, policies);
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        not_negative(out, format!("status.{field}"), &object["status"][field]);
    }
}
