//! Condition `Available` of APIServices (kube-aggregator
//! `pkg/controllers/status/remote/remote_available_controller.go`).

use std::{sync::Arc, time::Duration};

use kabuki_api::kind::{API_SERVICE, ENDPOINT_SLICE, Kind, SERVICE};
use serde_json::{Value, json};

use super::{ExtensionServers, Look};
use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::{Object, View},
};

/// How often a server is asked whether it is still there.
const RECHECK: Duration = Duration::from_secs(10);
/// When to look whether an answer came.
const SOON: Duration = Duration::from_millis(250);
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Keeps the condition.
#[derive(Clone)]
pub(crate) struct Availability {
    /// Without it extension servers are never found available.
    pub servers: Option<Arc<dyn ExtensionServers>>,
}

/// `status`, `reason` and `message` of the condition.
type Verdict = (&'static str, &'static str, String);

impl Availability {
    /// `None` while the server is being asked.
    fn verdict(&self, view: &dyn View, name: &str, spec: &Value) -> Option<Verdict> {
        let service = &spec["service"];
        if !service.is_object() {
            return Some(("True", "Local", "Local APIServices are always available".to_owned()));
        }
        if let Some(verdict) = unserved(view, service) {
            return Some(verdict);
        }
        match self.servers.as_ref()?.look(name, spec) {
            Look::Soon => None,
            Look::Found(Ok(())) => Some(("True", "Passed", "all checks passed".to_owned())),
            Look::Found(Err(why)) => Some(("False", "FailedDiscoveryCheck", why)),
        }
    }
}

/// What keeps a Service from serving anybody.
fn unserved(view: &dyn View, reference: &Value) -> Option<Verdict> {
    let field = |name: &str| reference[name].as_str().unwrap_or_default();
    let (ns, name, port) = (field("namespace"), field("name"), &reference["port"]);
    let Some(service) = view.get(SERVICE, ns, name) else {
        let text = format!("service/{name} in {ns:?} is not present");
        return Some(("False", "ServiceNotFound", text));
    };
    let spec = &service.value()["spec"];
    if spec["type"] == "ExternalName" {
        return None;
    }
    let ports = spec["ports"].as_array().map_or(&[][..], Vec::as_slice);
    let Some(found) = ports.iter().find(|p| p["port"] == *port) else {
        let text = format!("service/{name} in {ns:?} is not listening on port {port}");
        return Some(("False", "ServicePortError", text));
    };
    let port_name = found["name"].as_str().unwrap_or_default();
    let slices = view.list(ENDPOINT_SLICE, Some(ns));
    let mut own = slices.iter().filter(|s| s.labels()[SERVICE_NAME] == name).peekable();
    if own.peek().is_none() {
        let text = format!("cannot find endpointslices for service/{name} in {ns:?}");
        return Some(("False", "EndpointsNotFound", text));
    }
    if !own.any(|slice| serves(slice.value(), port_name)) {
        let text = format!(
            "endpointslices for service/{name} in {ns:?} have no addresses with port name {port_name:?}"
        );
        return Some(("False", "MissingEndpoints", text));
    }
    None
}

fn serves(slice: &Value, port_name: &str) -> bool {
    let ports = slice["ports"].as_array().into_iter().flatten();
    let mut endpoints = slice["endpoints"].as_array().into_iter().flatten();
    ports.into_iter().any(|p| p["name"].as_str().unwrap_or_default() == port_name)
        && endpoints.any(|e| e["conditions"]["ready"].as_bool().unwrap_or(true))
}

/// The object with the condition; `None` when it says so already.
fn with_condition(object: &Object, (status, reason, message): Verdict, now: Time) -> Option<Value> {
    let mut value = object.value().clone();
    let mut entry = json!({"type": "Available", "status": status, "reason": reason,
        "message": message, "lastTransitionTime": now.rfc3339()});
    if !value["status"].is_object() {
        value["status"] = json!({});
    }
    if !value["status"]["conditions"].is_array() {
        value["status"]["conditions"] = json!([]);
    }
    let conditions = value["status"]["conditions"].as_array_mut()?;
    match conditions.iter_mut().find(|c| c["type"] == "Available") {
        None => conditions.push(entry),
        Some(old) => {
            if old["status"] == entry["status"] {
                entry["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            if *old == entry {
                return None;
            }
            *old = entry;
        }
    }
    Some(value)
}

impl Controller for Availability {
    const NAME: &'static str = "apiservice-availability";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![API_SERVICE, SERVICE, ENDPOINT_SLICE]
    }

    fn keys(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        let object = &change.object;
        let service = if change.kind() == API_SERVICE {
            if !change.gone {
                out.push(Key::of(object));
            }
            return;
        } else if change.kind() == SERVICE {
            object.name()
        } else {
            object.labels()[SERVICE_NAME].as_str().unwrap_or_default()
        };
        for registered in view.list(API_SERVICE, None) {
            let reference = &registered.value()["spec"]["service"];
            if reference["name"] == service && reference["namespace"] == object.namespace() {
                out.push(Key::of(&registered));
            }
        }
    }

    fn keys_at_start(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        // Those of the APIServices are all there are.
        if change.kind() == API_SERVICE {
            self.keys(view, change, out);
        }
    }

    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError> {
        let Some(object) = view.get(API_SERVICE, "", &key.name) else { return Ok(Plan::done()) };
        let spec = &object.value()["spec"];
        let remote = spec["service"].is_object();
        let Some(verdict) = self.verdict(view, &key.name, spec) else {
            let requeue = self.servers.is_some().then_some(SOON);
            return Ok(Plan { stages: Vec::new(), requeue });
        };
        let mut plan = match with_condition(&object, verdict, now) {
            Some(value) => Plan::one(Command::update_status(&object, value)),
            None => Plan::done(),
        };
        plan.requeue = remote.then_some(RECHECK);
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    struct Seen(Look);

    impl ExtensionServers for Seen {
        fn look(&self, _name: &str, _spec: &Value) -> Look {
            self.0.clone()
        }
    }

    fn service() -> Value {
        json!({"metadata": {"name": "s", "namespace": "n"},
            "spec": {"ports": [{"name": "https", "port": 443}]}})
    }

    fn slice(ports: Value, ready: bool) -> Value {
        json!({"metadata": {"name": "s-1", "namespace": "n", "labels": {SERVICE_NAME: "s"}},
            "ports": ports, "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]})
    }

    fn condition(view: MemView, remote: bool, look: Look) -> Option<(String, String)> {
        let mut spec = json!({"group": "g.io", "version": "v1"});
        if remote {
            spec["service"] = json!({"namespace": "n", "name": "s", "port": 443});
        }
        let view = view.with(API_SERVICE, json!({"metadata": {"name": "v1.g.io"}, "spec": spec}));
        let mut controller = Availability { servers: Some(Arc::new(Seen(look))) };
        let plan = controller.reconcile(&view, &Key::new("", "v1.g.io"), Time::default()).unwrap();
        match plan.commands().as_slice() {
            [] => None,
            [Command::Update { object, .. }] => {
                let found = &object["status"]["conditions"][0];
                let text = |f: &str| found[f].as_str().unwrap().to_owned();
                Some((text("reason"), text("message")))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn reasons_are_upstreams() {
        let ports = json!([{"name": "https", "port": 8443}]);
        let up = Look::Found(Ok(()));
        let full = || {
            MemView::new()
                .with(SERVICE, service())
                .with(ENDPOINT_SLICE, slice(json!([{"name": "https", "port": 8443}]), true))
        };
        for (view, remote, look, reason, message) in [
            (MemView::new(), false, up.clone(), "Local", "Local APIServices are always available"),
            (
                MemView::new(),
                true,
                up.clone(),
                "ServiceNotFound",
                r#"service/s in "n" is not present"#,
            ),
            (
                MemView::new().with(SERVICE, service()),
                true,
                up.clone(),
                "EndpointsNotFound",
                r#"cannot find endpointslices for service/s in "n""#,
            ),
            (
                MemView::new().with(SERVICE, service()).with(ENDPOINT_SLICE, slice(ports, false)),
                true,
                up.clone(),
                "MissingEndpoints",
                r#"endpointslices for service/s in "n" have no addresses with port name "https""#,
            ),
            (full(), true, up, "Passed", "all checks passed"),
            (full(), true, Look::Found(Err("no".into())), "FailedDiscoveryCheck", "no"),
        ] {
            assert_eq!(condition(view, remote, look), Some((reason.into(), message.into())));
        }
        assert_eq!(condition(full(), true, Look::Soon), None);
    }
}
