//! Defaults of volumes and claims to them.

use serde_json::Value;

use super::{set, set_in};

pub(crate) fn claim(object: &mut Value) {
    set_in(object, "/spec", "volumeMode", "Filesystem");
}

pub(crate) fn volume(object: &mut Value) {
    let Some(spec) = object.get_mut("spec") else { return };
    set(spec, "persistentVolumeReclaimPolicy", "Retain");
    set(spec, "volumeMode", "Filesystem");
    set_in(spec, "/hostPath", "type", "");
    set_in(spec, "/iscsi", "iscsiInterface", "default");
    for (source, key, value) in [
        ("/rbd", "pool", "rbd"),
        ("/rbd", "user", "admin"),
        ("/rbd", "keyring", "/etc/ceph/keyring"),
    ] {
        set_in(spec, source, key, value);
    }
}
