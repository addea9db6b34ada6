//! The admission plugins that are built in, as pure functions over a [`View`]: they may change the
//! object or refuse the request. Order and texts are upstream's.

pub(crate) mod amounts;
pub(super) mod certificates;
pub(super) mod dynamic;
mod limit_ranger;
mod node_restriction;
mod pod;
pub(crate) mod quota;
mod runtime_class;
mod security;
mod service_account;
mod storage;

pub(super) use pod::SYSTEM_CLASSES;
pub(crate) use storage::protection;

use kabuki_api::{
    defaults,
    kind::{
        self, CERTIFICATE_SIGNING_REQUEST, INGRESS, Kind, NAMESPACE, NODE, PERSISTENT_VOLUME_CLAIM,
        POD,
    },
    status::Status,
};
use serde_json::{Value, json};

use super::{
    object::{Object, text},
    options::{DeleteOptions, RequestInfo, Subresource},
    view::View,
};

/// Namespaces that cannot be deleted.
const IMMORTAL_NAMESPACES: &[&str] = &["default", "kube-system", "kube-public"];
/// Taint of a node that has not reported itself ready yet.
const NOT_READY_TAINT: &str = "node.kubernetes.io/not-ready";

/// Admission of a new object. Name and namespace are final, defaults are applied.
pub(super) fn on_create(
    view: &dyn View,
    info: &RequestInfo,
    kind: &'static Kind,
    object: &mut Value,
) -> Result<(), Status> {
    if kind == POD {
        limit_ranger::mutate(view, object);
        service_account::admit(view, object)?;
        node_restriction::create_pod(info, object)?;
        pod::priority(view, object)?;
        pod::default_tolerations(object);
        runtime_class::mutate(view, object)?;
    } else if kind == CERTIFICATE_SIGNING_REQUEST {
        certificates::create(info, object)?;
    } else if kind == kind::PRIORITY_CLASS {
        pod::check_priority_class(info, object)?;
        pod::check_default_class(view, object, true)?;
    } else if kind == NODE {
        node_restriction::write_node(info, None, object)?;
        taint_new_node(object);
    } else {
        node_restriction::write_other(info, kind, object)?;
    }
    if kind == PERSISTENT_VOLUME_CLAIM {
        storage::default_storage_class(view, object);
    } else if kind == INGRESS {
        storage::default_ingress_class(view, object);
    }
    storage::protect(kind, object);
    Ok(())
}

/// What follows from fields that admission may have changed, once nothing changes them any more.
pub(super) fn complete(kind: &'static Kind, object: &mut Value) {
    if kind == POD {
        object["status"]["qosClass"] = defaults::qos_class(&object["spec"]).into();
    }
}

/// The last word on a new object that is valid, which it cannot change any more.
pub(super) fn check_create(
    view: &dyn View,
    info: &RequestInfo,
    kind: &'static Kind,
    object: &Value,
) -> Result<(), Status> {
    limit_ranger::validate(view, kind, object)?;
    security::check(view, info, kind, None, object)?;
    if kind == POD { runtime_class::validate(view, object) } else { Ok(()) }
}

/// The last word on a changed object that is valid.
pub(super) fn check_update(
    view: &dyn View,
    info: &RequestInfo,
    kind: &'static Kind,
    old: &Value,
    new: &Value,
    sub: Subresource,
) -> Result<(), Status> {
    if sub != Subresource::Main {
        return Ok(());
    }
    if kind == PERSISTENT_VOLUME_CLAIM {
        if old["metadata"]["deletionTimestamp"].is_null() {
            limit_ranger::validate(view, kind, new)?;
        }
        storage::check_resize(view, old, new)?;
    }
    security::check(view, info, kind, Some(old), new)
}

/// Admission of a changed object.
pub(super) fn on_update(
    view: &dyn View,
    info: &RequestInfo,
    kind: &'static Kind,
    old: &Value,
    new: &mut Value,
    sub: Subresource,
) -> Result<(), Status> {
    if kind == POD {
        if sub == Subresource::Main {
            pod::default_tolerations(new);
        }
        node_restriction::update_pod(info, old, sub)
    } else if kind == kind::PRIORITY_CLASS {
        pod::check_default_class(view, new, false)
    } else if kind == NODE {
        node_restriction::write_node(info, Some(old), new)
    } else {
        node_restriction::write_other(info, kind, new)
    }
}

/// Admission of a delete.
pub(super) fn on_delete(
    _view: &dyn View,
    info: &RequestInfo,
    object: &Object,
    _options: &DeleteOptions,
) -> Result<(), Status> {
    let (kind, name) = (object.kind(), object.name());
    if kind == NAMESPACE && IMMORTAL_NAMESPACES.contains(&name) {
        return Err(Status::forbidden(kind, name, "this namespace may not be deleted"));
    }
    if kind == POD {
        return node_restriction::update_pod(info, object.value(), Subresource::Main);
    }
    if kind == NODE {
        return node_restriction::delete_node(info, object);
    }
    node_restriction::write_other(info, kind, object.value())
}

/// TaintNodesByCondition: a new node takes no pods before it is known to be ready.
fn taint_new_node(node: &mut Value) {
    let taints = &mut node["spec"]["taints"];
    if !taints.is_array() {
        *taints = json!([]);
    }
    let Some(list) = taints.as_array_mut() else { return };
    let same = |t: &Value| text(t, "key") == NOT_READY_TAINT && text(t, "effect") == "NoSchedule";
    if !list.iter().any(same) {
        list.push(json!({"key": NOT_READY_TAINT, "effect": "NoSchedule"}));
    }
}
