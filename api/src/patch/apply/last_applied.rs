//! Objects that `kubectl apply` made without `--server-side`: their last configuration is in an
//! annotation. Only `kubectl`'s own applies read and keep it. Behaviour of apimachinery
//! `pkg/util/managedfields/internal/lastapplied{manager,updater}.go`.

use serde_json::Value;

use super::{
    Writer,
    compare::{compare, field_set},
    conflict::Conflict,
};

/// The manager whose applies take the annotation for their own.
pub(super) const MANAGER: &str = "kubectl";
const ANNOTATION: &str = "kubectl.kubernetes.io/last-applied-configuration";

fn annotation(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"][ANNOTATION].as_str().filter(|text| !text.is_empty())
}

/// The conflicts that are left when the fields of the last applied configuration may be taken, as
/// far as the object still has their values.
pub(super) fn unexplained(
    writer: &Writer<'_>,
    live: &Value,
    mut conflicts: Vec<Conflict>,
) -> Vec<Conflict> {
    let last = annotation(live).and_then(|text| serde_json::from_str::<Value>(text).ok());
    let Some(last) = last.filter(|last| last["apiVersion"] == writer.kind.api_version()) else {
        return conflicts;
    };
    let root = writer.root();
    let mut allowed = field_set(root, &last);
    let difference = compare(root, Some(&last), Some(live));
    allowed.subtract(&difference.set());
    allowed.subtract(&difference.removed);
    for conflict in &mut conflicts {
        conflict.fields.subtract(&allowed);
    }
    conflicts.retain(|conflict| !conflict.fields.is_empty());
    conflicts
}

/// The object with the annotation brought up to date, if it has one.
pub(super) fn synced(mut object: Value, config: &Value) -> Value {
    if annotation(&object).is_some() {
        let mut last = config.clone();
        if let Some(annotations) =
            last.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut)
        {
            annotations.remove(ANNOTATION);
        }
        object["metadata"]["annotations"][ANNOTATION] = format!("{last}\n").into();
    }
    object
}
