//! Claims, volumes and attributes classes that are deleted stay while something uses them: the
//! finalizers that admission gave them are removed here (upstream: `pkg/controller/volume/pvcprotection`,
//! `pvprotection` and `vacprotection`).

use kabuki_api::kind::{
    Kind, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, POD, VOLUME_ATTRIBUTES_CLASS,
};
use serde_json::{Value, json};

use super::{
    framework::{Change, Command, Controller, Key, Plan, ReconcileError},
    model::Time,
};
use crate::registry::{Object, View, protection};

/// The kinds that are protected.
const PROTECTED: [&Kind; 3] = [PERSISTENT_VOLUME_CLAIM, PERSISTENT_VOLUME, VOLUME_ATTRIBUTES_CLASS];

/// The controller.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProtectionController;

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn key(kind: &'static Kind, namespace: &str, name: &str) -> Key {
    Key { topic: kind.topic(), ..Key::new(namespace, name) }
}

/// The claims a pod uses: those it names, and those made for it, while it is not shut down.
fn claims(pod: &Value) -> Vec<String> {
    let meta = &pod["metadata"];
    let shut_down =
        meta["deletionTimestamp"].is_string() && meta["deletionGracePeriodSeconds"] == 0;
    let of = |volume: &Value| {
        if volume["persistentVolumeClaim"].is_object() {
            return Some(text(&volume["persistentVolumeClaim"], "claimName").to_owned());
        }
        let own = volume["ephemeral"].is_object() && !shut_down;
        own.then(|| format!("{}-{}", text(meta, "name"), text(volume, "name")))
    };
    items(&pod["spec"]["volumes"]).iter().filter_map(of).collect()
}

/// The attributes classes a claim or volume refers to.
fn classes(object: &Value) -> Vec<&str> {
    let status = &object["status"];
    let all = [
        text(&object["spec"], "volumeAttributesClassName"),
        text(status, "currentVolumeAttributesClassName"),
        text(&status["modifyVolumeStatus"], "targetVolumeAttributesClassName"),
    ];
    all.into_iter().filter(|name| !name.is_empty()).collect()
}

fn is_used(view: &dyn View, object: &Object) -> bool {
    let (kind, name) = (object.kind(), object.name());
    if kind == PERSISTENT_VOLUME {
        return object.value()["status"]["phase"] == "Bound";
    }
    if kind == VOLUME_ATTRIBUTES_CLASS {
        return [PERSISTENT_VOLUME_CLAIM, PERSISTENT_VOLUME].into_iter().any(|kind| {
            view.list(kind, None).iter().any(|other| classes(other.value()).contains(&name))
        });
    }
    // A node starts no pod whose claim is being deleted, so only pods on nodes count.
    view.list(POD, Some(object.namespace())).iter().any(|pod| {
        let placed = !text(&pod.value()["spec"], "nodeName").is_empty();
        placed && claims(pod.value()).iter().any(|claim| claim == name)
    })
}

impl Controller for ProtectionController {
    const NAME: &'static str = "storage-protection-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        PROTECTED.into_iter().chain([POD]).collect()
    }

    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        let object = &change.object;
        if change.kind() == POD {
            // A pod stops using claims when it goes, or is shut down with claims of its own.
            if change.gone || object.is_deleting() {
                let ns = object.namespace();
                let names = claims(change.previous.as_ref().unwrap_or(object).value());
                out.extend(names.iter().map(|name| key(PERSISTENT_VOLUME_CLAIM, ns, name)));
            }
            return;
        }
        if !change.gone {
            out.push(key(change.kind(), object.namespace(), object.name()));
        }
        if change.kind() != VOLUME_ATTRIBUTES_CLASS {
            let before = change.previous.as_ref().unwrap_or(object);
            let left = classes(before.value()).into_iter();
            out.extend(left.map(|name| key(VOLUME_ATTRIBUTES_CLASS, "", name)));
        }
    }

    fn reconcile(
        &mut self,
        view: &dyn View,
        key: &Key,
        _now: Time,
    ) -> Result<Plan, ReconcileError> {
        let kind = PROTECTED.into_iter().find(|kind| kind.topic() == key.topic);
        let Some((kind, finalizer)) = kind.and_then(|kind| Some((kind, protection(kind)?))) else {
            return Ok(Plan::done());
        };
        let Some(object) = view.get(kind, &key.namespace, &key.name) else {
            return Ok(Plan::done());
        };
        let mut value = object.value().clone();
        let mut finalizers = items(&value["metadata"]["finalizers"]).to_vec();
        let has = finalizers.iter().any(|own| own == finalizer);
        if !object.is_deleting() && !has {
            finalizers.push(finalizer.into());
        } else if object.is_deleting() && has && !is_used(view, &object) {
            finalizers.retain(|own| own != finalizer);
        } else {
            return Ok(Plan::done());
        }
        value["metadata"]["finalizers"] = json!(finalizers);
        Ok(Plan::one(Command::update(&object, value)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    fn finalizers(view: &MemView, kind: &'static Kind, ns: &str, name: &str) -> Option<Value> {
        let key = key(kind, ns, name);
        let plan = ProtectionController.reconcile(view, &key, Time::from_secs(0)).unwrap();
        let command = plan.commands().into_iter().next().cloned()?;
        let Command::Update { object, .. } = command else { panic!("{command:?}") };
        Some(object["metadata"]["finalizers"].clone())
    }

    fn claim(deleting: bool) -> Value {
        let mut claim = json!({"metadata": {"name": "c", "namespace": "d",
            "finalizers": ["a/b", "kubernetes.io/pvc-protection"]}});
        if deleting {
            claim["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        claim
    }

    #[test]
    fn a_claim_stays_while_a_pod_on_a_node_uses_it() {
        let pod = |node: &str| {
            json!({"metadata": {"name": "p", "namespace": "d"}, "spec": {"nodeName": node,
                "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}})
        };
        let left = Some(json!(["a/b"]));
        let mut view = MemView::new().with(PERSISTENT_VOLUME_CLAIM, claim(true));
        assert_eq!(finalizers(&view, PERSISTENT_VOLUME_CLAIM, "d", "c"), left);
        view.put(POD, pod(""));
        assert_eq!(finalizers(&view, PERSISTENT_VOLUME_CLAIM, "d", "c"), left);
        let placed = view.put(POD, pod("n"));
        assert_eq!(finalizers(&view, PERSISTENT_VOLUME_CLAIM, "d", "c"), None);
        let mut keys = Vec::new();
        let gone = Change { object: placed, previous: None, gone: true };
        ProtectionController.keys(&view, &gone, &mut keys);
        assert_eq!(keys, [key(PERSISTENT_VOLUME_CLAIM, "d", "c")]);
        view.put(PERSISTENT_VOLUME_CLAIM, claim(false));
        assert_eq!(finalizers(&view, PERSISTENT_VOLUME_CLAIM, "d", "c"), None);
        view.put(PERSISTENT_VOLUME_CLAIM, json!({"metadata": {"name": "old", "namespace": "d"}}));
        assert_eq!(
            finalizers(&view, PERSISTENT_VOLUME_CLAIM, "d", "old"),
            Some(json!(["kubernetes.io/pvc-protection"]))
        );
    }

    #[test]
    fn volumes_and_classes_stay_while_they_are_used() {
        let deleting = |name: &str, finalizer: &str| {
            json!({"metadata": {"name": name, "finalizers": [finalizer],
                "deletionTimestamp": "2026-01-01T00:00:00Z"}, "status": {"phase": "Bound"}})
        };
        let mut view = MemView::new()
            .with(PERSISTENT_VOLUME, deleting("v", "kubernetes.io/pv-protection"))
            .with(VOLUME_ATTRIBUTES_CLASS, deleting("k", "kubernetes.io/vac-protection"));
        assert_eq!(finalizers(&view, PERSISTENT_VOLUME, "", "v"), None);
        let mut released = deleting("v", "kubernetes.io/pv-protection");
        released["status"]["phase"] = "Released".into();
        released["spec"]["volumeAttributesClassName"] = "k".into();
        view.put(PERSISTENT_VOLUME, released);
        assert_eq!(finalizers(&view, PERSISTENT_VOLUME, "", "v"), Some(json!([])));
        assert_eq!(finalizers(&view, VOLUME_ATTRIBUTES_CLASS, "", "k"), None);
        view.remove(PERSISTENT_VOLUME, "", "v");
        assert_eq!(finalizers(&view, VOLUME_ATTRIBUTES_CLASS, "", "k"), Some(json!([])));
    }
}
