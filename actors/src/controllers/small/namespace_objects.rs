//! What every namespace has: ServiceAccount `default` and ConfigMap `kube-root-ca.crt`
//! (upstream: `pkg/controller/serviceaccount`, `pkg/controller/certificates/rootcacertpublisher`).

use std::sync::Arc;

use kabuki_api::kind::{CONFIG_MAP, Kind, NAMESPACE, SERVICE_ACCOUNT};
use serde_json::json;

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::{Namespace, Time, get},
    },
    registry::View,
};

const DEFAULT_ACCOUNT: &str = "default";
const ROOT_CA: &str = "kube-root-ca.crt";
const ROOT_CA_KEY: &str = "ca.crt";

/// Keeps ServiceAccount `default` in every namespace.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServiceAccountController;

impl Controller for ServiceAccountController {
    const NAME: &'static str = "service-account-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![NAMESPACE, SERVICE_ACCOUNT]
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        out.extend(namespace_of(change, DEFAULT_ACCOUNT));
    }

    fn reconcile(
        &mut self,
        view: &dyn View,
        key: &Key,
        _now: Time,
    ) -> Result<Plan, ReconcileError> {
        let missing = view.get(SERVICE_ACCOUNT, &key.name, DEFAULT_ACCOUNT).is_none();
        if !missing || !is_active(view, key)? {
            return Ok(Plan::done());
        }
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": DEFAULT_ACCOUNT, "namespace": key.name}});
        Ok(Plan::one(create_if_missing(SERVICE_ACCOUNT, account)))
    }
}

/// Keeps ConfigMap `kube-root-ca.crt` in every namespace.
#[derive(Debug, Clone)]
pub(crate) struct RootCaPublisher {
    /// PEM of the certificates pods trust.
    pub ca_pem: Arc<str>,
}

impl Controller for RootCaPublisher {
    const NAME: &'static str = "root-ca-certificate-publisher";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![NAMESPACE, CONFIG_MAP]
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        out.extend(namespace_of(change, ROOT_CA));
    }

    fn reconcile(
        &mut self,
        view: &dyn View,
        key: &Key,
        _now: Time,
    ) -> Result<Plan, ReconcileError> {
        if !is_active(view, key)? {
            return Ok(Plan::done());
        }
        let data = json!({ROOT_CA_KEY: &*self.ca_pem});
        let description = "Contains a CA bundle that can be used to verify the kube-apiserver when \
            using internal endpoints such as the internal service IP or \
            kubernetes.default.svc. No other usage is guaranteed across distributions of \
            Kubernetes clusters.";
        let Some(found) = view.get(CONFIG_MAP, &key.name, ROOT_CA) else {
            let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": data,
                "metadata": {"name": ROOT_CA, "namespace": key.name,
                    "annotations": {"kubernetes.io/description": description}}});
            return Ok(Plan::one(create_if_missing(CONFIG_MAP, map)));
        };
        if found.value()["data"] == data {
            return Ok(Plan::done());
        }
        let mut value = found.value().clone();
        value["data"] = data;
        Ok(Plan::one(Command::update(&found, value)))
    }
}

/// The namespace as a key, when the change is of a namespace or of the object named `name`.
fn namespace_of(change: &Change, name: &str) -> Option<Key> {
    if change.kind() == NAMESPACE {
        return Some(Key::of(&change.object));
    }
    (change.object.name() == name).then(|| Key::new("", change.object.namespace()))
}

fn is_active(view: &dyn View, key: &Key) -> Result<bool, ReconcileError> {
    let namespace = get::<Namespace>(view, NAMESPACE, "", &key.name)?;
    Ok(namespace.is_some_and(|ns| !ns.metadata.is_deleting()))
}

fn create_if_missing(kind: &'static Kind, object: serde_json::Value) -> Command {
    let mut command = Command::create(kind, object);
    if let Command::Create { exists_ok, .. } = &mut command {
        *exists_ok = true;
    }
    command
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::registry::MemView;

    fn namespace(deleting: bool) -> Value {
        let mut ns = json!({"metadata": {"name": "ns", "uid": "u"}});
        if deleting {
            ns["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        ns
    }

    #[test]
    fn an_active_namespace_gets_its_objects_once() {
        let key = Key::new("", "ns");
        let mut ca = RootCaPublisher { ca_pem: "PEM".into() };
        let now = Time::from_secs(0);
        let map = |pem: &str| {
            json!({"metadata": {"name": ROOT_CA, "namespace": "ns"},
            "data": {ROOT_CA_KEY: pem}})
        };
        let account = json!({"metadata": {"name": "default", "namespace": "ns"}});
        let bare = MemView::new().with(NAMESPACE, namespace(false));
        let full = bare.clone().with(SERVICE_ACCOUNT, account).with(CONFIG_MAP, map("PEM"));
        let stale = bare.clone().with(CONFIG_MAP, map("old"));
        let going = MemView::new().with(NAMESPACE, namespace(true));
        for (view, accounts, maps) in
            [(&bare, 1, 1), (&full, 0, 0), (&stale, 1, 1), (&going, 0, 0), (&MemView::new(), 0, 0)]
        {
            let plan = ServiceAccountController.reconcile(view, &key, now).unwrap();
            assert_eq!(plan.commands().len(), accounts);
            let plan = ca.reconcile(view, &key, now).unwrap();
            assert_eq!(plan.commands().len(), maps);
        }
    }
}
