//! Defaults of storage classes and drivers.

use serde_json::{Value, json};

use super::{ensure, set};

pub(crate) fn class(object: &mut Value) {
    set(object, "reclaimPolicy", "Delete");
    set(object, "volumeBindingMode", "Immediate");
}

pub(crate) fn driver(object: &mut Value) {
    let spec = ensure(object, "spec");
    set(spec, "attachRequired", true);
    set(spec, "podInfoOnMount", false);
    set(spec, "storageCapacity", false);
    set(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
    set(spec, "volumeLifecycleModes", json!(["Persistent"]));
    set(spec, "requiresRepublish", false);
    set(spec, "seLinuxMount", false);
}
