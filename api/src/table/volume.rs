//! Rows of volumes and claims.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    field::{items, opt_text, text, text_or},
};

const UNSET: &str = "<unset>";
/// Older clients name the class here.
const CLASS_ANNOTATION: &str = "/metadata/annotations/volume.beta.kubernetes.io~1storage-class";

/// PersistentVolume.
pub(crate) fn volume(object: &Value, now: OffsetDateTime) -> Row {
    let claim = match opt_text(object, "/spec/claimRef/name") {
        Some(name) => format!("{}/{name}", text(object, "/spec/claimRef/namespace")),
        None => String::new(),
    };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        text(object, "/spec/capacity/storage").into(),
        modes(items(object, "/spec/accessModes")).into(),
        text(object, "/spec/persistentVolumeReclaimPolicy").into(),
        phase(object).into(),
        claim.into(),
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        text(object, "/status/reason").into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ])
}

/// PersistentVolumeClaim: size and modes are the volume's, once there is one.
pub(crate) fn claim(object: &Value, now: OffsetDateTime) -> Row {
    let bound = opt_text(object, "/spec/volumeName").is_some();
    let (capacity, modes) = if bound {
        (text(object, "/status/capacity/storage"), modes(items(object, "/status/accessModes")))
    } else {
        ("", String::new())
    };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        phase(object).into(),
        text(object, "/spec/volumeName").into(),
        capacity.into(),
        modes.into(),
        class(object).into(),
        text_or(object, "/spec/volumeAttributesClassName", UNSET).into(),
        age(object, now),
        text_or(object, "/spec/volumeMode", UNSET).into(),
    ])
}

fn phase(object: &Value) -> &str {
    match opt_text(object, "/metadata/deletionTimestamp") {
        Some(_) => "Terminating",
        None => text(object, "/status/phase"),
    }
}

fn class(object: &Value) -> &str {
    opt_text(object, CLASS_ANNOTATION).unwrap_or_else(|| text(object, "/spec/storageClassName"))
}

/// The short names of access modes, each once, in upstream's order.
fn modes(modes: &[Value]) -> String {
    [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ]
    .iter()
    .filter(|(mode, _)| modes.iter().any(|m| m == mode))
    .map(|(_, short)| *short)
    .collect::<Vec<_>>()
    .join(",")
}
