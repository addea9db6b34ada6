//! The plugins for claims, volumes and ingresses: DefaultStorageClass, DefaultIngressClass,
//! PersistentVolumeClaimResize and StorageObjectInUseProtection (k8s `plugin/pkg/admission/storage`,
//! `plugin/pkg/admission/network/defaultingressclass`).

use kabuki_api::{
    kind::{
        INGRESS_CLASS, Kind, PERSISTENT_VOLUME, PERSISTENT_VOLUME_CLAIM, STORAGE_CLASS,
        VOLUME_ATTRIBUTES_CLASS,
    },
    status::Status,
};
use serde_json::{Value, json};

use super::{
    super::{object::text, view::View},
    amounts::one,
};

/// Names the storage class of a claim as people did before there was a field.
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
const DEFAULT_STORAGE: [&str; 2] = [
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
];
const DEFAULT_INGRESS: [&str; 1] = ["ingressclass.kubernetes.io/is-default-class"];
/// Names the class of an ingress as people did before there was a field.
const INGRESS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// The finalizer that keeps an object of this kind while something uses it.
pub(crate) fn protection(kind: &'static Kind) -> Option<&'static str> {
    if kind == PERSISTENT_VOLUME_CLAIM {
        Some("kubernetes.io/pvc-protection")
    } else if kind == PERSISTENT_VOLUME {
        Some("kubernetes.io/pv-protection")
    } else if kind == VOLUME_ATTRIBUTES_CLASS {
        Some("kubernetes.io/vac-protection")
    } else {
        None
    }
}

/// Keeps a new object of these kinds from going while it is used.
pub(super) fn protect(kind: &'static Kind, object: &mut Value) {
    let Some(finalizer) = protection(kind) else { return };
    let meta = &mut object["metadata"];
    if !meta["finalizers"].is_array() {
        meta["finalizers"] = json!([]);
    }
    if let Some(all) = meta["finalizers"].as_array_mut()
        && !all.iter().any(|own| own == finalizer)
    {
        all.push(finalizer.into());
    }
}

/// The newest class that is marked as the default, the first by name of those.
fn default_of(view: &dyn View, kind: &'static Kind, marks: &[&str]) -> Option<String> {
    let classes = view.list(kind, None);
    let mut marked: Vec<(&str, &str)> = classes
        .iter()
        .filter(|class| {
            let annotations = &class.value()["metadata"]["annotations"];
            marks.iter().any(|mark| annotations[*mark] == "true")
        })
        .map(|class| (text(&class.value()["metadata"], "creationTimestamp"), class.name()))
        .collect();
    marked.sort_by(|a, b| b.0.cmp(a.0).then(a.1.cmp(b.1)));
    marked.first().map(|(_, name)| (*name).to_owned())
}

/// DefaultStorageClass: a claim that names no class, not even none, gets the default one.
pub(super) fn default_storage_class(view: &dyn View, claim: &mut Value) {
    let named = claim["spec"]["storageClassName"].is_string()
        || claim["metadata"]["annotations"][BETA_CLASS].is_string();
    if !named && let Some(class) = default_of(view, STORAGE_CLASS, &DEFAULT_STORAGE) {
        claim["spec"]["storageClassName"] = class.into();
    }
}

/// DefaultIngressClass: the same for an ingress.
pub(super) fn default_ingress_class(view: &dyn View, ingress: &mut Value) {
    let named = ingress["spec"]["ingressClassName"].is_string()
        || ingress["metadata"]["annotations"][INGRESS_ANNOTATION].is_string();
    if !named && let Some(class) = default_of(view, INGRESS_CLASS, &DEFAULT_INGRESS) {
        ingress["spec"]["ingressClassName"] = class.into();
    }
}

/// PersistentVolumeClaimResize: a claim grows when it is bound and its class allows it.
pub(super) fn check_resize(view: &dyn View, old: &Value, new: &Value) -> Result<(), Status> {
    let size = |claim: &Value| one(&claim["spec"]["resources"]["requests"]["storage"]);
    if size(new) <= size(old) {
        return Ok(());
    }
    let refuse = |message: &str| {
        let name = text(&new["metadata"], "name");
        Err(Status::forbidden(PERSISTENT_VOLUME_CLAIM, name, message))
    };
    if old["status"]["phase"] != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let class = |claim: &Value| {
        let annotated = claim["metadata"]["annotations"][BETA_CLASS].as_str();
        annotated.unwrap_or_else(|| text(&claim["spec"], "storageClassName")).to_owned()
    };
    let own = class(new);
    let grows = !own.is_empty()
        && own == class(old)
        && view
            .get(STORAGE_CLASS, "", &own)
            .is_some_and(|class| class.value()["allowVolumeExpansion"] == true);
    if grows {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    fn class(name: &str, created: &str, default: bool) -> Value {
        json!({"metadata": {"name": name, "creationTimestamp": created, "annotations": {
            DEFAULT_STORAGE[0]: default.to_string(), DEFAULT_INGRESS[0]: default.to_string()}}})
    }

    #[test]
    fn the_newest_default_class_is_taken() {
        let mut view = MemView::new();
        for kind in [STORAGE_CLASS, INGRESS_CLASS] {
            view.put(kind, class("old", "2026-01-01T00:00:00Z", true));
            view.put(kind, class("b", "2026-01-02T00:00:00Z", true));
            view.put(kind, class("a", "2026-01-02T00:00:00Z", true));
            view.put(kind, class("newest", "2026-01-03T00:00:00Z", false));
        }
        let claimed = |mut claim: Value| {
            default_storage_class(&view, &mut claim);
            claim["spec"]["storageClassName"].clone()
        };
        assert_eq!(claimed(json!({"spec": {}})), "a");
        assert_eq!(claimed(json!({"spec": {"storageClassName": ""}})), "");
        let mut ingress = json!({"spec": {}});
        default_ingress_class(&view, &mut ingress);
        assert_eq!(ingress["spec"]["ingressClassName"], "a");
        let mut named = json!({"metadata": {"annotations": {INGRESS_ANNOTATION: "x"}}, "spec": {}});
        default_ingress_class(&view, &mut named);
        assert!(named["spec"]["ingressClassName"].is_null());
    }

    #[test]
    fn claims_are_protected_once() {
        let mut claim = json!({"metadata": {"finalizers": ["a/b"]}});
        protect(PERSISTENT_VOLUME_CLAIM, &mut claim);
        protect(PERSISTENT_VOLUME_CLAIM, &mut claim);
        assert_eq!(claim["metadata"]["finalizers"], json!(["a/b", "kubernetes.io/pvc-protection"]));
        let mut class = json!({"metadata": {}});
        protect(STORAGE_CLASS, &mut class);
        assert_eq!(class, json!({"metadata": {}}));
    }

    #[test]
    fn claims_grow_where_the_class_allows() {
        let mut grows = class("grows", "", false);
        grows["allowVolumeExpansion"] = true.into();
        let view = MemView::new()
            .with(STORAGE_CLASS, grows)
            .with(STORAGE_CLASS, class("stays", "", false));
        let claim = |class: &str, size: &str, phase: &str| {
            json!({"metadata": {"name": "c"}, "status": {"phase": phase},
                "spec": {"storageClassName": class, "resources": {"requests": {"storage": size}}}})
        };
        let said = |class: &str, phase: &str, size: &str| {
            let new = claim(class, size, phase);
            check_resize(&view, &claim(class, "1Gi", phase), &new).err().map(|s| s.message.clone())
        };
        assert_eq!(said("grows", "Bound", "2Gi"), None);
        assert_eq!(said("stays", "Pending", "1Gi"), None);
        let start = "persistentvolumeclaims \"c\" is forbidden:";
        assert_eq!(
            said("grows", "Pending", "2Gi").unwrap(),
            format!("{start} Only bound persistent volume claims can be expanded")
        );
        assert_eq!(
            said("stays", "Bound", "2Gi").unwrap(),
            format!(
                "{start} only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
            )
        );
    }
}
