//! Endpoints and EndpointSlices.

use std::{collections::HashSet, net::IpAddr};

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, immutable, items, one_of, port, text},
    container::PROTOCOLS,
};
use crate::name;

const MAX_ENDPOINTS: usize = 1000;
const MAX_ADDRESSES: usize = 100;
const MAX_PORTS: usize = 20_000;

pub(crate) fn endpoints(out: &mut Errors, object: &Value) {
    for (i, subset) in items(object, "subsets").iter().enumerate() {
        let path = format!("subsets[{i}]");
        let (ready, waiting) = (items(subset, "addresses"), items(subset, "notReadyAddresses"));
        if ready.is_empty() && waiting.is_empty() {
            let detail = "must specify `addresses` or `notReadyAddresses`";
            out.push(FieldError::required(path.clone(), detail));
        }
        for (field, list) in [("addresses", ready), ("notReadyAddresses", waiting)] {
            for (j, address) in list.iter().enumerate() {
                endpoint_ip(out, &format!("{path}.{field}[{j}].ip"), text(address, "ip"));
            }
        }
        let ports = items(subset, "ports");
        for (j, item) in ports.iter().enumerate() {
            let path = format!("{path}.ports[{j}]");
            let own = text(item, "name");
            if own.is_empty() {
                if ports.len() > 1 {
                    out.push(FieldError::required(format!("{path}.name"), ""));
                }
            } else {
                each(out, &format!("{path}.name"), &own.into(), name::dns1123_label(own));
            }
            port(out, format!("{path}.port"), &item["port"]);
            one_of(out, format!("{path}.protocol"), &item["protocol"], PROTOCOLS);
        }
    }
}

/// An address that can be another pod's or machine's.
fn endpoint_ip(out: &mut Errors, path: &str, address: &str) {
    let Ok(parsed) = address.parse::<IpAddr>() else {
        super::check::ip(out, path.to_owned(), address);
        return;
    };
    let link_local = match parsed {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    let multicast = match parsed {
        IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
        IpAddr::V6(v6) => v6.segments()[0] == 0xff02,
    };
    for (refused, detail) in [
        (parsed.is_unspecified(), "may not be unspecified (0.0.0.0 or ::)"),
        (parsed.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)"),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"),
        (multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"),
    ] {
        if refused {
            out.push(FieldError::invalid(path, address, detail));
        }
    }
}

pub(crate) fn slice(out: &mut Errors, object: &Value) {
    const TYPES: &[&str] = &["FQDN", "IPv4", "IPv6"];
    one_of(out, "addressType".into(), &object["addressType"], TYPES);
    let endpoints = items(object, "endpoints");
    if endpoints.len() > MAX_ENDPOINTS {
        out.push(FieldError::too_many("endpoints", endpoints.len(), MAX_ENDPOINTS));
        return;
    }
    for (i, endpoint) in endpoints.iter().enumerate() {
        let path = format!("endpoints[{i}].addresses");
        let addresses = items(endpoint, "addresses");
        if addresses.is_empty() {
            out.push(FieldError::required(path, "must contain at least 1 address"));
        } else if addresses.len() > MAX_ADDRESSES {
            out.push(FieldError::too_many(path, addresses.len(), MAX_ADDRESSES));
        } else {
            for (j, address) in addresses.iter().enumerate() {
                let path = format!("{path}[{j}]");
                slice_address(out, &path, object, address.as_str().unwrap_or(""));
            }
        }
        if let Some(host) = endpoint["hostname"].as_str() {
            let path = format!("endpoints[{i}].hostname");
            each(out, &path, &host.into(), name::dns1123_label(host));
        }
    }
    slice_ports(out, items(object, "ports"));
}

fn slice_address(out: &mut Errors, path: &str, object: &Value, address: &str) {
    match text(object, "addressType") {
        "FQDN" => each(out, path, &address.into(), name::dns1123_subdomain(address)),
        family => {
            endpoint_ip(out, path, address);
            if let Ok(parsed) = address.parse::<IpAddr>()
                && parsed.is_ipv6() != (family == "IPv6")
            {
                let detail = format!("must be an {family} address");
                out.push(FieldError::invalid(path, address, detail));
            }
        }
    }
}

fn slice_ports(out: &mut Errors, ports: &[Value]) {
    if ports.len() > MAX_PORTS {
        out.push(FieldError::too_many("ports", ports.len(), MAX_PORTS));
        return;
    }
    let mut names = HashSet::new();
    for (i, item) in ports.iter().enumerate() {
        let path = format!("ports[{i}]");
        let own = text(item, "name");
        if !own.is_empty() {
            each(out, &format!("{path}.name"), &own.into(), name::dns1123_label(own));
        }
        if !names.insert(own) {
            out.push(FieldError::duplicate(format!("{path}.name"), own));
        }
        one_of(out, format!("{path}.protocol"), &item["protocol"], PROTOCOLS);
    }
}

pub(crate) fn slice_update(out: &mut Errors, new: &Value, old: &Value) {
    immutable(out, "addressType", &new["addressType"], &old["addressType"]);
}
