//! Rows of the kinds of persistent storage.

use serde_json::json;

use super::{Kind, subresource as sub};
use crate::{defaults, table, validate};

/// v1 PersistentVolumeClaim.
pub static PERSISTENT_VOLUME_CLAIM: &Kind = kind!("", "core", "v1", "PersistentVolumeClaim",
    "persistentvolumeclaims", "persistentvolumeclaim", "core.v1.PersistentVolumeClaim",
    short_names: &["pvc"], subresources: sub::STATUS_ONLY, delete_returns_object: true,
    defaults: defaults::persistent::claim,
    first_status: |_| json!({"phase": "Pending"}),
    check: validate::persistent::claim,
    check_change: validate::persistent::claim_change,
    columns: table::columns::PERSISTENT_VOLUME_CLAIMS,
    row: table::volume::claim);
/// v1 PersistentVolume.
pub static PERSISTENT_VOLUME: &Kind = kind!("", "core", "v1", "PersistentVolume", "persistentvolumes",
    "persistentvolume", "core.v1.PersistentVolume",
    short_names: &["pv"], namespaced: false, subresources: sub::STATUS_ONLY, delete_returns_object: true,
    defaults: defaults::persistent::volume,
    first_status: |_| json!({"phase": "Pending"}),
    check: validate::persistent::volume,
    check_change: validate::persistent::volume_change,
    columns: table::columns::PERSISTENT_VOLUMES,
    row: table::volume::volume);
