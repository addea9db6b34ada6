//! `resourceFieldRef` of environment variables and downward API volumes.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ResourceFieldSelector},
    apimachinery::pkg::api::resource::Quantity as WireQuantity,
};
use kabuki_api::quantity::Quantity;

/// Value of `limits.cpu` and the like, divided and rounded up. A limit that is not set is the
/// node's allocatable, as upstream does; `None` for a resource that is not known.
pub fn resource_field(
    container: &Container,
    selector: &ResourceFieldSelector,
    allocatable: &BTreeMap<String, WireQuantity>,
) -> Option<String> {
    let (kind, name) = selector.resource.split_once('.')?;
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return None;
    }
    let resources = container.resources.as_ref();
    let listed = match kind {
        "limits" => resources.and_then(|r| r.limits.as_ref()),
        "requests" => resources.and_then(|r| r.requests.as_ref()),
        _ => return None,
    };
    let stated = listed.and_then(|l| l.get(name));
    let fallback = if kind == "limits" { allocatable.get(name) } else { None };
    let quantity = match stated.or(fallback) {
        Some(text) => Quantity::parse(&text.0).ok()?,
        None => Quantity::from_value(0),
    };
    let divisor = selector.divisor.as_ref().map(|d| d.0.as_str()).filter(|d| *d != "0");
    let divisor = Quantity::parse(divisor.unwrap_or("1")).ok()?;
    let (value, by) = if name == "cpu" {
        (quantity.milli_value(), divisor.milli_value())
    } else {
        (quantity.value(), divisor.value())
    };
    if by <= 0 {
        return None;
    }
    Some(((value + by - 1) / by).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn divides_and_falls_back_to_allocatable() {
        let container: Container = serde_json::from_value(json!({"name": "c", "resources": {
            "limits": {"cpu": "1500m"}, "requests": {"memory": "64Mi", "cpu": "250m"}}}))
        .unwrap();
        let allocatable = BTreeMap::from([("memory".to_owned(), WireQuantity("1Gi".to_owned()))]);
        let table = [
            ("limits.cpu", "", Some("2")),
            ("limits.cpu", "1m", Some("1500")),
            ("requests.cpu", "0", Some("1")),
            ("requests.memory", "1Mi", Some("64")),
            ("limits.memory", "1Mi", Some("1024")),
            ("requests.ephemeral-storage", "", Some("0")),
            ("limits.nvidia.com/gpu", "", None),
        ];
        for (resource, divisor, expected) in table {
            let selector = ResourceFieldSelector {
                resource: resource.to_owned(),
                divisor: (!divisor.is_empty()).then(|| WireQuantity(divisor.to_owned())),
                container_name: None,
            };
            let got = resource_field(&container, &selector, &allocatable);
            assert_eq!(got.as_deref(), expected, "{resource} / {divisor}");
        }
    }
}
