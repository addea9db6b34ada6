//! Endpoints controller.

use std::collections::BTreeMap;

use kabuki_api::kind::{ENDPOINTS, Kind, NODE, POD, SERVICE};
use serde_json::{Value, json};

use super::{ports, services};
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::{EndpointPort, Pod, Service, Time, Typed, get, list},
    },
    registry::View,
};

/// Most addresses in one object; more are left out and the object says so.
const MAX_ADDRESSES: usize = 1000;
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const MANAGED_BY: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpoint-controller";

/// Keeps the Endpoints of services that select pods.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndpointsController;

/// Ready and unready addresses with the same ports.
type Subsets = BTreeMap<Vec<EndpointPort>, (BTreeMap<String, Value>, BTreeMap<String, Value>)>;

impl Controller for EndpointsController {
    const NAME: &'static str = "endpoint-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![SERVICE, POD, NODE, ENDPOINTS]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.kind() == ENDPOINTS {
            out.push(Key::of(&change.object));
        } else {
            services::concerned(view, change, out);
        }
    }

    fn keys_at_start(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        // Every service brings its own key; its pods and their nodes would only bring it again.
        if !matches!(change.kind(), k if k == POD || k == NODE) {
            self.keys(view, change, out);
        }
    }

    fn reconcile(
        &mut self,
        view: &dyn View,
        key: &Key,
        _now: Time,
    ) -> Result<Plan, ReconcileError> {
        let found = view.get(ENDPOINTS, &key.namespace, &key.name);
        let Some(service) = get::<Service>(view, SERVICE, &key.namespace, &key.name)? else {
            // Only what this controller made goes with its service.
            let ours = found.filter(|e| e.labels()[MANAGED_BY] == MANAGER);
            return Ok(ours.map_or_else(Plan::done, |e| Plan::one(Command::delete(&e))));
        };
        if !service.selects() || service.metadata.is_deleting() {
            return Ok(Plan::done());
        }
        let publish = service.spec.publish_not_ready_addresses;
        let mut pods = list::<Pod>(view, POD, Some(&key.namespace))?;
        pods.retain(|pod| {
            services::is_candidate(&service, pod, publish)
                && (publish || view.get(NODE, "", &pod.spec.node_name).is_some())
        });
        let over = pods.len() > MAX_ADDRESSES;
        pods.sort_by_key(|pod| !pod.is_ready());
        pods.truncate(MAX_ADDRESSES);
        let subsets = render(&subsets(&service, &pods));
        let labels = services::labels(&service, &[(MANAGED_BY, MANAGER)]);
        let trigger = services::trigger_time(&service, &pods).rfc3339();
        let Some(found) = found else {
            let mut value = json!({"apiVersion": "v1", "kind": "Endpoints",
                "metadata": {"name": key.name, "namespace": key.namespace}});
            put(&mut value, subsets, labels, &trigger, over);
            return Ok(Plan::one(Command::create(ENDPOINTS, value)));
        };
        let present = found.value();
        let empty = json!([]);
        let old = if present["subsets"].is_null() { &empty } else { &present["subsets"] };
        let marked = services::annotations_of(present).contains_key(OVER_CAPACITY);
        if *old == subsets && *found.labels() == labels && marked == over {
            return Ok(Plan::done());
        }
        let mut value = present.clone();
        put(&mut value, subsets, labels, &trigger, over);
        Ok(Plan::one(Command::update(&found, value)))
    }
}

fn subsets(service: &Service, pods: &[Typed<Pod>]) -> Subsets {
    let mut subsets = Subsets::new();
    for pod in pods {
        let mut ports = ports::of_pod(service, pod);
        if ports.is_empty() && !service.spec.ports.is_empty() {
            continue;
        }
        for port in &mut ports {
            port.app_protocol.take();
        }
        let mut address = json!({
            "ip": pod.status.pod_ip,
            "nodeName": pod.spec.node_name,
            "targetRef": {"kind": "Pod", "namespace": pod.metadata.namespace,
                "name": pod.metadata.name, "uid": pod.metadata.uid},
        });
        if let Some(hostname) = services::hostname(service, pod) {
            address["hostname"] = hostname.into();
        }
        let (ready, unready) = subsets.entry(ports).or_default();
        let is_ready = service.spec.publish_not_ready_addresses || pod.is_ready();
        let bucket = if is_ready { ready } else { unready };
        // Pods on the host's network share its address.
        bucket.insert(format!("{} {}", pod.status.pod_ip, pod.metadata.uid), address);
    }
    subsets
}

fn render(subsets: &Subsets) -> Value {
    let list = |map: &BTreeMap<String, Value>| Value::Array(map.values().cloned().collect());
    let rendered = subsets.iter().map(|(ports, (ready, unready))| {
        let mut subset = json!({});
        if !ready.is_empty() {
            subset["addresses"] = list(ready);
        }
        if !unready.is_empty() {
            subset["notReadyAddresses"] = list(unready);
        }
        if !ports.is_empty() {
            subset["ports"] = ports.iter().map(port).collect();
        }
        subset
    });
    Value::Array(rendered.collect())
}

/// In Endpoints an unnamed port has no name at all.
fn port(port: &EndpointPort) -> Value {
    let mut value = json!({"port": port.port, "protocol": port.protocol});
    if !port.name.is_empty() {
        value["name"] = port.name.as_str().into();
    }
    value
}

fn put(value: &mut Value, subsets: Value, labels: Value, trigger: &str, over: bool) {
    value["metadata"]["labels"] = labels;
    let annotations = &mut value["metadata"]["annotations"];
    annotations[services::TRIGGER_TIME] = trigger.into();
    if over {
        annotations[OVER_CAPACITY] = "truncated".into();
    } else if let Some(map) = annotations.as_object_mut() {
        map.remove(OVER_CAPACITY);
    }
    value["subsets"] = subsets;
}
