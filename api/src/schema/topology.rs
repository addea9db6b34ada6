//! Which values of the field table are one value under server-side apply, and by which keys the
//! items of the others are told apart. Follows the `x-kubernetes-list-type`, `-list-map-keys` and
//! `-map-type` of upstream's `api/openapi-spec/swagger.json`.
//!
//! Most of it is in the field table: a list that strategic merge merges is a keyed list, or a set
//! when it has no key. Here is only what the table does not say, by message and field, so that a
//! row for a kind that is not served yet does no harm.

use super::{Field, Type};

/// What `x-kubernetes-list-type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListType<'a> {
    /// Replaced as a whole.
    Atomic,
    /// Values are members, each once.
    Set,
    /// Items are told apart by these fields.
    Map(&'a [&'static str]),
}

/// Lists whose keys are not the merge key of strategic merge, and lists that strategic merge
/// replaces.
const KEYS: &[(&str, &[&str])] = &[
    ("core.v1.Container ports", &["containerPort", "protocol"]),
    ("core.v1.EphemeralContainer ports", &["containerPort", "protocol"]),
    ("core.v1.EphemeralContainerCommon ports", &["containerPort", "protocol"]),
    ("core.v1.PodSpec topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("core.v1.ResourceRequirements claims", &["name"]),
    ("core.v1.ResourceStatus resources", &["resourceID"]),
    ("core.v1.ServiceSpec ports", &["port", "protocol"]),
    ("admissionregistration.v1.MutatingAdmissionPolicyStatus conditions", &["type"]),
    ("admissionregistration.v1.ValidatingAdmissionPolicyStatus conditions", &["type"]),
    ("apiextensions.v1.CustomResourceDefinitionStatus conditions", &["type"]),
    ("apiregistration.v1.APIServiceStatus conditions", &["type"]),
    ("apiextensions.v1.JSONSchemaProps x-kubernetes-validations", &["rule"]),
    ("certificates.v1.CertificateSigningRequestStatus conditions", &["type"]),
    ("networking.v1.ServiceCIDRStatus conditions", &["type"]),
];

/// Lists of scalars that are sets, beside those that strategic merge merges.
const SETS: &[&str] = &[
    "admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec validationActions",
    "batch.v1.PodFailurePolicyOnExitCodesRequirement values",
    "batch.v1.UncountedTerminatedPods failed",
    "batch.v1.UncountedTerminatedPods succeeded",
    "core.v1.ContainerRestartRuleOnExitCodes values",
    "discovery.v1.Endpoint addresses",
    "flowcontrol.v1.NonResourcePolicyRule nonResourceURLs",
    "flowcontrol.v1.NonResourcePolicyRule verbs",
    "flowcontrol.v1.ResourcePolicyRule apiGroups",
    "flowcontrol.v1.ResourcePolicyRule namespaces",
    "flowcontrol.v1.ResourcePolicyRule resources",
    "flowcontrol.v1.ResourcePolicyRule verbs",
    "storage.v1.CSIDriverSpec volumeLifecycleModes",
];

/// Lists that strategic merge merges and server-side apply replaces.
const ATOMIC_THOUGH_MERGED: &[&str] = &["core.v1.PodStatus hostIPs"];

/// Structs that are one value wherever they are.
const ATOMIC_STRUCTS: &[&str] = &[
    "admissionregistration.v1.MatchResources",
    "admissionregistration.v1.NamedRuleWithOperations",
    "admissionregistration.v1.ParamKind",
    "admissionregistration.v1.ParamRef",
    "admissionregistration.v1.Variable",
    "autoscaling.v1.CrossVersionObjectReference",
    "autoscaling.v2.CrossVersionObjectReference",
    "core.v1.ConfigMapKeySelector",
    "core.v1.EndpointAddress",
    "core.v1.EndpointPort",
    "core.v1.FileKeySelector",
    "core.v1.LocalObjectReference",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ObjectFieldSelector",
    "core.v1.ObjectReference",
    "core.v1.ResourceFieldSelector",
    "core.v1.ScopeSelector",
    "core.v1.ScopedResourceSelectorRequirement",
    "core.v1.SecretKeySelector",
    "core.v1.SecretReference",
    "core.v1.TopologySelectorTerm",
    "core.v1.TypedLocalObjectReference",
    "discovery.v1.EndpointPort",
    "meta.v1.LabelSelector",
    "meta.v1.OwnerReference",
    "networking.v1.ServiceBackendPort",
    "rbac.v1.RoleRef",
    "rbac.v1.Subject",
];

/// Maps that are one value, and fields whose struct is owned field by field although it is atomic
/// elsewhere.
const ATOMIC_MAPS: &[&str] = &[
    "core.v1.PodSpec nodeSelector",
    "core.v1.ReplicationControllerSpec selector",
    "core.v1.ServiceSpec selector",
    "node.v1.Scheduling nodeSelector",
];
const GRANULAR_STRUCTS: &[&str] = &["core.v1.PersistentVolumeSpec claimRef"];

/// The type of a list.
pub(crate) fn list_type<'a>(message: &str, field: &'a Field) -> ListType<'a> {
    let id = id(message, field);
    if ATOMIC_THOUGH_MERGED.contains(&id.as_str()) {
        return ListType::Atomic;
    }
    let keys = KEYS.iter().find(|(field, _)| *field == id).map(|(_, keys)| *keys);
    let keys = keys.or_else(|| field.merge_key.as_ref().map(std::slice::from_ref));
    match (keys, field.ty) {
        (Some(keys), Type::Message(_)) => ListType::Map(keys),
        (None, Type::String | Type::Int32 | Type::Int64)
            if field.merge || SETS.contains(&id.as_str()) =>
        {
            ListType::Set
        }
        _ => ListType::Atomic,
    }
}

/// Whether a map is replaced as a whole.
pub(crate) fn is_atomic_map(message: &str, field: &Field) -> bool {
    ATOMIC_MAPS.contains(&id(message, field).as_str())
}

/// Whether objects of this message are replaced as a whole.
pub(crate) fn is_atomic_struct(message: &str) -> bool {
    ATOMIC_STRUCTS.contains(&message)
}

/// Whether the object in this field is owned field by field, although its message is atomic.
pub(crate) fn is_granular(message: &str, field: &Field) -> bool {
    GRANULAR_STRUCTS.contains(&id(message, field).as_str())
}

fn id(message: &str, field: &Field) -> String {
    format!("{message} {}", field.name)
}

#[cfg(test)]
mod tests {
    use super::{super::table, *};

    /// A row with a misspelt field would do nothing, silently.
    #[test]
    fn rows_name_fields_that_messages_have() {
        let rows = KEYS.iter().map(|(id, _)| *id).chain(SETS.iter().copied());
        let rows = rows.chain(ATOMIC_MAPS.iter().copied()).chain(GRANULAR_STRUCTS.iter().copied());
        let rows = rows.chain(ATOMIC_THOUGH_MERGED.iter().copied());
        for id in rows {
            let (message, field) = id.split_once(' ').unwrap();
            if let Some(message) = table().by_name(message) {
                assert!(message.field(field).is_some(), "{id}");
            }
        }
    }
}
