//! Service, EndpointSlice and their ports.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{LabelMap, Meta};

/// A number or a text: ports, percentages.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum IntOrString {
    /// A number.
    Int(i64),
    /// A port name or a percentage.
    Text(String),
}

impl Default for IntOrString {
    fn default() -> Self {
        Self::Int(0)
    }
}

impl IntOrString {
    /// The number, or the percentage of `total` rounded up or down. A text that is no percentage
    /// counts as 0: validation lets none through.
    pub fn scaled(&self, total: i64, round_up: bool) -> i64 {
        let percent = match self {
            Self::Int(n) => return *n,
            Self::Text(text) => text.strip_suffix('%').and_then(|p| p.parse::<i64>().ok()),
        };
        let hundredths = percent.unwrap_or(0).saturating_mul(total);
        if round_up {
            hundredths.saturating_add(99).div_euclid(100)
        } else {
            hundredths.div_euclid(100)
        }
    }
}

/// v1 Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    pub metadata: Meta,
    pub spec: ServiceSpec,
}

/// `spec` of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServiceSpec {
    #[serde(rename = "type")]
    pub kind: String,
    #[serde(rename = "clusterIP")]
    pub cluster_ip: String,
    pub selector: LabelMap,
    pub ports: Vec<ServicePort>,
    pub publish_not_ready_addresses: bool,
}

impl Service {
    /// Whether a controller keeps its endpoints: it selects pods.
    pub fn selects(&self) -> bool {
        !self.spec.selector.is_empty() && self.spec.kind != "ExternalName"
    }

    /// Whether labels carry everything the selector asks for.
    pub fn matches(&self, labels: &Value) -> bool {
        self.spec.selector.iter().all(|(k, v)| labels.get(k).and_then(Value::as_str) == Some(v))
    }

    /// Whether it has no cluster IP on purpose.
    pub fn is_headless(&self) -> bool {
        self.spec.cluster_ip == "None"
    }
}

/// `spec.ports[]` of a Service.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ServicePort {
    pub name: String,
    pub port: i64,
    pub target_port: IntOrString,
    pub protocol: String,
    pub app_protocol: Option<String>,
}

/// discovery.k8s.io/v1 EndpointSlice.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointSlice {
    pub metadata: Meta,
    pub address_type: String,
    pub endpoints: Vec<Endpoint>,
    pub ports: Vec<EndpointPort>,
}

/// `endpoints[]` of a slice.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Endpoint {
    pub addresses: Vec<String>,
    pub conditions: EndpointConditions,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
}

/// `conditions` of an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointConditions {
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
}

/// The pod behind an endpoint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TargetRef {
    pub kind: String,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

/// `ports[]` of a slice, and (without `app_protocol`) of Endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct EndpointPort {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i64>,
    pub protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_as_asked() {
        for (value, total, up, down) in [
            (IntOrString::Int(3), 10, 3, 3),
            (IntOrString::Text("25%".into()), 10, 3, 2),
            (IntOrString::Text("25%".into()), 1, 1, 0),
            (IntOrString::Text("100%".into()), 7, 7, 7),
            (IntOrString::Text("junk".into()), 7, 0, 0),
        ] {
            assert_eq!((value.scaled(total, true), value.scaled(total, false)), (up, down));
        }
    }
}
