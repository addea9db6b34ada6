//! Which Services a change of a pod or node concerns, and what both endpoint controllers share.

use std::collections::HashSet;

use kabuki_api::kind::{NODE, POD, SERVICE};
use serde_json::{Value, json};

use crate::{
    controllers::{
        framework::{Change, Key},
        model::{LabelMap, Pod, Service, Time, Typed, list},
    },
    registry::{Object, View},
};

/// Set on slices and Endpoints of headless services.
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";
/// When the change that led to the endpoints happened; latency is measured from it.
pub(super) const TRIGGER_TIME: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// Services whose endpoints may change with `change`.
pub(super) fn concerned(view: &dyn View, change: &Change, out: &mut Vec<Key>) {
    let kind = change.kind();
    if kind == SERVICE {
        out.push(Key::of(&change.object));
    } else if kind == POD {
        of_pod(view, change, out);
    } else if kind == NODE {
        of_node(view, change, out);
    }
}

fn of_pod(view: &dyn View, change: &Change, out: &mut Vec<Key>) {
    if let Some(previous) = &change.previous
        && !change.gone
        && same_endpoint(previous, &change.object)
    {
        return;
    }
    let services = list::<Service>(view, SERVICE, Some(change.object.namespace()));
    let objects = [Some(&change.object), change.previous.as_ref()];
    for service in services.unwrap_or_default().iter().filter(|s| s.selects()) {
        let hit = objects.iter().flatten().any(|object| service.matches(object.labels()));
        if hit {
            out.push(Key::of(&service.object));
        }
    }
}

/// Whether both versions of a pod make the same endpoint: most updates of a pod's status do.
fn same_endpoint(a: &Object, b: &Object) -> bool {
    let (Ok(old), Ok(new)) = (a.typed::<Pod>(), b.typed::<Pod>()) else { return false };
    old.metadata.labels == new.metadata.labels
        && old.metadata.is_deleting() == new.metadata.is_deleting()
        && old.is_terminal() == new.is_terminal()
        && old.is_ready() == new.is_ready()
        && old.status.pod_ip == new.status.pod_ip
        && old.spec.node_name == new.spec.node_name
        && old.spec.containers.len() == new.spec.containers.len()
}

/// A node that comes or goes, or moves to another zone, concerns the services of its pods.
fn of_node(view: &dyn View, change: &Change, out: &mut Vec<Key>) {
    if let Some(previous) = &change.previous
        && !change.gone
        && zone(previous.labels()) == zone(change.object.labels())
    {
        return;
    }
    let pods = list::<Pod>(view, POD, None).unwrap_or_default();
    let here: Vec<_> =
        pods.into_iter().filter(|pod| pod.spec.node_name == change.object.name()).collect();
    if here.is_empty() {
        return;
    }
    let namespaces: HashSet<&str> = here.iter().map(|p| p.metadata.namespace.as_str()).collect();
    for namespace in namespaces {
        let services = list::<Service>(view, SERVICE, Some(namespace)).unwrap_or_default();
        for service in services.iter().filter(|s| s.selects()) {
            if here.iter().any(|pod| {
                pod.metadata.namespace == namespace && service.matches(&pod.metadata.labels)
            }) {
                out.push(Key::of(&service.object));
            }
        }
    }
}

/// The zone label of a node.
pub(super) fn zone(labels: &Value) -> Option<&str> {
    labels.get("topology.kubernetes.io/zone").and_then(Value::as_str)
}

/// Whether a pod can be an endpoint at all.
pub(super) fn is_candidate(service: &Service, pod: &Pod, with_terminating: bool) -> bool {
    service.matches(&pod.metadata.labels)
        && !pod.is_terminal()
        && !pod.status.pod_ip.is_empty()
        && (with_terminating || !pod.metadata.is_deleting())
}

/// The hostname under which a headless service names the pod.
pub(super) fn hostname(service: &Service, pod: &Pod) -> Option<String> {
    let named = !pod.spec.hostname.is_empty() && pod.spec.subdomain == service.metadata.name;
    named.then(|| pod.spec.hostname.clone())
}

/// Labels of the service, those of the endpoints on top.
pub(super) fn labels(service: &Typed<Service>, own: &[(&str, &str)]) -> Value {
    let mut labels = service.object.labels().clone();
    if labels.is_null() {
        labels = json!({});
    }
    for (name, value) in own {
        labels[*name] = (*value).into();
    }
    if let Some(map) = labels.as_object_mut() {
        if service.is_headless() {
            map.insert(HEADLESS.into(), "".into());
        } else {
            map.remove(HEADLESS);
        }
    }
    labels
}

/// The latest change of a pod or of the service that these endpoints show.
pub(super) fn trigger_time(service: &Service, pods: &[Typed<Pod>]) -> Time {
    let ready = pods.iter().flat_map(|pod| {
        let changed = pod.status.conditions.iter().filter(|c| c.kind == "Ready");
        changed.filter_map(|c| c.last_transition_time).chain(pod.metadata.deletion_timestamp)
    });
    ready.fold(service.metadata.creation_timestamp, Time::max)
}

/// Whether two annotation maps differ in anything but the trigger time.
pub(super) fn annotations_of(value: &Value) -> LabelMap {
    serde_json::from_value(value["metadata"]["annotations"].clone()).unwrap_or_default()
}
