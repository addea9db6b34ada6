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
/// storage.k8s.io/v1 CSIDriver.
pub static CSI_DRIVER: &Kind = kind!("storage.k8s.io", "storage.k8s.io", "v1", "CSIDriver", "csidrivers",
    "csidriver", "storage.v1.CSIDriver",
    namespaced: false, unconditional_update: false, delete_returns_object: true,
    defaults: defaults::storage::driver,
    check: validate::storage::driver,
    check_change: validate::storage::driver_change,
    columns: table::storage::DRIVERS,
    row: table::storage::driver);
/// storage.k8s.io/v1 CSINode.
pub static CSI_NODE: &Kind = kind!("storage.k8s.io", "storage.k8s.io", "v1", "CSINode", "csinodes", "csinode",
    "storage.v1.CSINode",
    namespaced: false, unconditional_update: false, delete_returns_object: true,
    check: validate::storage::node,
    columns: table::storage::STORAGE_NODES,
    row: table::storage::node);
/// storage.k8s.io/v1 CSIStorageCapacity.
pub static CSI_STORAGE_CAPACITY: &Kind = kind!("storage.k8s.io", "storage.k8s.io", "v1",
    "CSIStorageCapacity", "csistoragecapacities", "csistoragecapacity", "storage.v1.CSIStorageCapacity",
    unconditional_update: false, delete_returns_object: true,
    check: validate::storage::capacity,
    check_change: validate::storage::capacity_change,
    columns: table::storage::CAPACITIES,
    row: |object, _| table::storage::capacity(object));
/// storage.k8s.io/v1 StorageClass.
pub static STORAGE_CLASS: &Kind = kind!("storage.k8s.io", "storage.k8s.io", "v1", "StorageClass",
    "storageclasses", "storageclass", "storage.v1.StorageClass",
    short_names: &["sc"], namespaced: false, delete_returns_object: true,
    defaults: defaults::storage::class,
    check: validate::storage::class,
    check_change: validate::storage::class_change,
    columns: table::storage::CLASSES,
    row: table::storage::class);
/// storage.k8s.io/v1 VolumeAttachment.
pub static VOLUME_ATTACHMENT: &Kind = kind!("storage.k8s.io", "storage.k8s.io", "v1", "VolumeAttachment",
    "volumeattachments", "volumeattachment", "storage.v1.VolumeAttachment",
    namespaced: false, subresources: sub::STATUS_ONLY, unconditional_update: false,
    delete_returns_object: true,
    check: validate::storage::attachment,
    check_change: validate::storage::attachment_change,
    columns: table::storage::ATTACHMENTS,
    row: table::storage::attachment);
/// storage.k8s.io/v1 VolumeAttributesClass.
pub static VOLUME_ATTRIBUTES_CLASS: &Kind = kind!("storage.k8s.io", "storage.k8s.io", "v1",
    "VolumeAttributesClass", "volumeattributesclasses", "volumeattributesclass",
    "storage.v1.VolumeAttributesClass",
    short_names: &["vac"], namespaced: false, delete_returns_object: true,
    check: validate::storage::attributes_class,
    check_change: validate::storage::attributes_class_change,
    columns: table::storage::ATTRIBUTES_CLASSES,
    row: table::storage::attributes_class);
