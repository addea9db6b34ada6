//! Defaults of network policies and ingress classes.

use serde_json::{Value, json};

use super::{empty, ensure, items, set, set_in};

pub(crate) fn ingress_class(object: &mut Value) {
    set_in(object, "/spec/parameters", "scope", "Cluster");
}

pub(crate) fn network_policy(object: &mut Value) {
    let spec = ensure(object, "spec");
    set(spec, "podSelector", empty());
    for list in ["/ingress", "/egress"] {
        for rule in items(spec, list) {
            for port in items(rule, "/ports") {
                set(port, "protocol", "TCP");
            }
        }
    }
    let has_egress = !items(spec, "/egress").is_empty();
    let types = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
    set(spec, "policyTypes", types);
}
