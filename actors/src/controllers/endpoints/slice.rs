//! EndpointSlice controller.

use std::collections::BTreeMap;

use kabuki_api::kind::{ENDPOINT_SLICE, Kind, NODE, POD, SERVICE};
use serde_json::{Value, json};

use super::{ports, services};
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, ObjectRef, Plan, ReconcileError},
        model::{
            Endpoint, EndpointConditions, EndpointPort, EndpointSlice, Pod, Service, TargetRef,
            Time, Typed, get, list,
        },
    },
    registry::View,
};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";
/// Most endpoints in one slice.
const MAX_PER_SLICE: usize = 100;

/// Endpoints that share the same ports.
type Groups = BTreeMap<Vec<EndpointPort>, Vec<Endpoint>>;

/// Keeps the slices of services that select pods.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndpointSliceController;

impl Controller for EndpointSliceController {
    const NAME: &'static str = "endpoint-slice-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![SERVICE, POD, NODE, ENDPOINT_SLICE]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if change.kind() != ENDPOINT_SLICE {
            return services::concerned(view, change, out);
        }
        let labels = change.object.labels();
        if let (Some(service), Some(MANAGER)) =
            (labels[SERVICE_NAME].as_str(), labels[MANAGED_BY].as_str())
        {
            out.push(Key::new(change.object.namespace(), service));
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
        // Slices of a service that is gone are the garbage collector's.
        let Some(service) = get::<Service>(view, SERVICE, &key.namespace, &key.name)? else {
            return Ok(Plan::done());
        };
        if !service.selects() || service.metadata.is_deleting() {
            return Ok(Plan::done());
        }
        let mut pods = list::<Pod>(view, POD, Some(&key.namespace))?;
        pods.retain(|pod| services::is_candidate(&service, pod, true));
        let groups = endpoints(view, &service, &pods);
        let mut slices = list::<EndpointSlice>(view, ENDPOINT_SLICE, Some(&key.namespace))?;
        slices.retain(|slice| {
            slice.metadata.label(SERVICE_NAME) == key.name
                && slice.metadata.label(MANAGED_BY) == MANAGER
                && !slice.metadata.is_deleting()
        });
        Ok(Writer::new(&service, services::trigger_time(&service, &pods)).plan(groups, slices))
    }
}

fn endpoints(view: &dyn View, service: &Service, pods: &[Typed<Pod>]) -> Groups {
    let mut groups = Groups::new();
    for pod in pods {
        let node = view.get(NODE, "", &pod.spec.node_name);
        let publish = service.spec.publish_not_ready_addresses;
        if node.is_none() && !publish {
            // Its node is gone, so nothing answers there; the pod will be collected.
            continue;
        }
        let zone = node.and_then(|node| services::zone(node.labels()).map(str::to_owned));
        let serving = pod.is_ready();
        let terminating = pod.metadata.is_deleting();
        let endpoint = Endpoint {
            addresses: vec![pod.status.pod_ip.clone()],
            conditions: EndpointConditions {
                ready: publish || (serving && !terminating),
                serving,
                terminating,
            },
            hostname: services::hostname(service, pod),
            target_ref: Some(TargetRef {
                kind: "Pod".into(),
                namespace: pod.metadata.namespace.clone(),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            node_name: Some(pod.spec.node_name.clone()),
            zone,
        };
        groups.entry(ports::of_pod(service, pod)).or_default().push(endpoint);
    }
    groups
}

/// Distributes endpoints over slices with as few writes as possible.
struct Writer<'a> {
    service: &'a Typed<Service>,
    labels: Value,
    trigger: Time,
    changed: Vec<Command>,
    created: Vec<Command>,
}

impl<'a> Writer<'a> {
    fn new(service: &'a Typed<Service>, trigger: Time) -> Self {
        let own = [(SERVICE_NAME, service.metadata.name.as_str()), (MANAGED_BY, MANAGER)];
        let labels = services::labels(service, &own);
        Self { service, labels, trigger, changed: Vec::new(), created: Vec::new() }
    }

    fn plan(mut self, mut groups: Groups, slices: Vec<Typed<EndpointSlice>>) -> Plan {
        let mut existing: BTreeMap<Vec<EndpointPort>, Vec<Typed<EndpointSlice>>> = BTreeMap::new();
        let mut spare = Vec::new();
        for slice in slices {
            let mut ports = slice.ports.clone();
            ports.sort();
            if groups.contains_key(&ports) && slice.address_type == "IPv4" {
                existing.entry(ports).or_default().push(slice);
            } else {
                spare.push(slice);
            }
        }
        if groups.is_empty() {
            // One empty slice stays, so that readers can tell "none ready" from "not looked yet".
            let keeper = spare.iter().position(|s| s.address_type == "IPv4");
            match keeper.map(|at| spare.remove(at)) {
                Some(slice) => self.fill(&slice, &slice.ports, Vec::new()),
                None => self.create(&[], Vec::new()),
            }
        }
        for (ports, endpoints) in std::mem::take(&mut groups) {
            self.distribute(&ports, endpoints, existing.remove(&ports).unwrap_or_default());
        }
        let deleted = spare.iter().map(|slice| Command::delete(&slice.object));
        self.changed.extend(deleted);
        // Additions first: a moment with too many endpoints is better than one with none.
        let mut plan = Plan::done();
        plan.then_all(self.created);
        plan.then_all(self.changed);
        plan
    }

    fn distribute(
        &mut self,
        ports: &[EndpointPort],
        endpoints: Vec<Endpoint>,
        slices: Vec<Typed<EndpointSlice>>,
    ) {
        let mut wanted: BTreeMap<String, Endpoint> =
            endpoints.into_iter().map(|e| (identity(&e), e)).collect();
        // What is in a slice already stays there.
        let mut kept: Vec<Vec<Endpoint>> = slices
            .iter()
            .map(|slice| {
                let stay = |e: &Endpoint| wanted.remove(&identity(e));
                slice.endpoints.iter().filter_map(stay).take(MAX_PER_SLICE).collect()
            })
            .collect();
        let mut rest: Vec<_> = wanted.into_values().collect();
        for room in &mut kept {
            let free = MAX_PER_SLICE.saturating_sub(room.len()).min(rest.len());
            room.extend(rest.drain(..free));
        }
        let mut used_one = false;
        for (slice, endpoints) in slices.iter().zip(kept) {
            if endpoints.is_empty() && (used_one || !rest.is_empty()) {
                self.changed.push(Command::delete(&slice.object));
            } else {
                used_one = true;
                self.fill(slice, ports, endpoints);
            }
        }
        while !rest.is_empty() {
            let count = rest.len().min(MAX_PER_SLICE);
            self.create(ports, rest.drain(..count).collect());
        }
    }

    fn fill(&mut self, slice: &Typed<EndpointSlice>, ports: &[EndpointPort], ends: Vec<Endpoint>) {
        if slice.endpoints == ends && *slice.object.labels() == self.labels {
            return;
        }
        let mut value = slice.object.value().clone();
        self.put(&mut value, ports, &ends);
        self.changed.push(Command::update(&slice.object, value));
    }

    fn create(&mut self, ports: &[EndpointPort], endpoints: Vec<Endpoint>) {
        let owner = ObjectRef::to(&self.service.object).as_controller();
        let mut value = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {
                "generateName": format!("{}-", self.service.metadata.name),
                "namespace": self.service.metadata.namespace,
                "ownerReferences": [owner],
            },
        });
        self.put(&mut value, ports, &endpoints);
        self.created.push(Command::create(ENDPOINT_SLICE, value));
    }

    fn put(&self, value: &mut Value, ports: &[EndpointPort], endpoints: &[Endpoint]) {
        value["metadata"]["labels"] = self.labels.clone();
        value["metadata"]["annotations"][services::TRIGGER_TIME] = self.trigger.rfc3339().into();
        value["ports"] = json!(ports);
        value["endpoints"] = json!(endpoints);
    }
}

/// What makes an endpoint the same one: the pod and its address.
fn identity(endpoint: &Endpoint) -> String {
    let uid = endpoint.target_ref.as_ref().map_or("", |target| target.uid.as_str());
    format!("{uid}/{}", endpoint.addresses.first().map_or("", String::as_str))
}
