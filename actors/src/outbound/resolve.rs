//! From a Service to the addresses that serve it, as a pure function of what is applied here.

use std::net::IpAddr;

use kabuki_api::kind::{ENDPOINT_SLICE, SERVICE};
use serde_json::Value;

use crate::registry::View;

/// Label that says which Service a slice belongs to.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Addresses of one Service that are tried.
const ADDRESSES_MAX: usize = 16;

/// Where a Service is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Addresses that are ready, all at one port.
    Addresses(Vec<IpAddr>, u16),
    /// A name outside the cluster.
    External(String, u16),
}

/// Why a Service cannot be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// There is no such Service.
    #[error("service {0:?} not found")]
    NoService(String),
    /// It has no such port.
    #[error("no service port {1} found for service {0:?}")]
    NoPort(String, u16),
    /// Nothing that serves it is ready.
    #[error("no endpoints available for service {0:?}")]
    NoEndpoints(String),
}

/// Resolves `port` of a Service to endpoints that are ready.
///
/// # Errors
/// [`Unresolved`], in upstream's words.
pub fn resolve(view: &dyn View, ns: &str, name: &str, port: u16) -> Result<Endpoint, Unresolved> {
    let service = view.get(SERVICE, ns, name).ok_or_else(|| Unresolved::NoService(name.into()))?;
    let spec = &service.value()["spec"];
    if spec["type"] == "ExternalName" {
        let external = spec["externalName"].as_str().unwrap_or_default();
        return Ok(Endpoint::External(external.to_owned(), port));
    }
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let found = ports
        .iter()
        .find(|p| p["port"] == port)
        .ok_or_else(|| Unresolved::NoPort(name.into(), port))?;
    let port_name = found["name"].as_str().unwrap_or_default();
    let mut addresses: Vec<IpAddr> = Vec::new();
    let mut at = None;
    for slice in view.list(ENDPOINT_SLICE, Some(ns)) {
        let slice = slice.value();
        if slice["metadata"]["labels"][SERVICE_NAME] != name {
            continue;
        }
        let Some(number) = port_number(slice, port_name) else { continue };
        // One call goes to one port: endpoints that serve another are left to the next call.
        if *at.get_or_insert(number) != number {
            continue;
        }
        addresses.extend(ready(slice));
    }
    addresses.truncate(ADDRESSES_MAX);
    match at {
        Some(number) if !addresses.is_empty() => Ok(Endpoint::Addresses(addresses, number)),
        _ => Err(Unresolved::NoEndpoints(name.into())),
    }
}

fn port_number(slice: &Value, name: &str) -> Option<u16> {
    let ports = slice["ports"].as_array()?;
    let port = ports.iter().find(|p| p["name"].as_str().unwrap_or_default() == name)?;
    port["port"].as_u64().and_then(|n| u16::try_from(n).ok())
}

fn ready(slice: &Value) -> impl Iterator<Item = IpAddr> {
    let endpoints = slice["endpoints"].as_array().into_iter().flatten();
    endpoints
        // Without the condition an endpoint counts as ready.
        .filter(|e| e["conditions"]["ready"].as_bool().unwrap_or(true))
        .filter_map(|e| e["addresses"][0].as_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    fn view(ready: bool) -> MemView {
        MemView::new()
            .with(
                SERVICE,
                json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"type": "ClusterIP",
                    "ports": [{"name": "web", "port": 443, "targetPort": 8443}]}}),
            )
            .with(
                SERVICE,
                json!({"metadata": {"name": "out", "namespace": "n"},
                    "spec": {"type": "ExternalName", "externalName": "example.com"}}),
            )
            .with(
                ENDPOINT_SLICE,
                json!({"metadata": {"name": "s-1", "namespace": "n", "labels": {SERVICE_NAME: "s"}},
                    "ports": [{"name": "web", "port": 8443}], "endpoints": [
                        {"addresses": ["10.0.0.1"], "conditions": {"ready": ready}},
                        {"addresses": ["10.0.0.2"], "conditions": {"ready": false}}]}),
            )
    }

    #[test]
    fn services_are_resolved_to_what_is_ready() {
        let found = resolve(&view(true), "n", "s", 443);
        let want = Endpoint::Addresses(vec!["10.0.0.1".parse().unwrap()], 8443);
        assert_eq!(found, Ok(want));
        assert_eq!(
            resolve(&view(true), "n", "out", 443),
            Ok(Endpoint::External("example.com".into(), 443))
        );
        for (view, name, port, want) in [
            (view(false), "s", 443, r#"no endpoints available for service "s""#),
            (view(true), "s", 80, r#"no service port 80 found for service "s""#),
            (view(true), "x", 443, r#"service "x" not found"#),
        ] {
            assert_eq!(resolve(&view, "n", name, port).unwrap_err().to_string(), want);
        }
    }
}
