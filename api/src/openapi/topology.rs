//! How lists and maps behave under server-side apply, where it does not follow from the merge keys
//! of the field table (kubernetes `api/openapi-spec/swagger.json`, `x-kubernetes-list-type` and
//! `x-kubernetes-map-type`).

use crate::schema::{Field, Message};

/// What `x-kubernetes-list-type` says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Values are members, each once.
    Set,
    /// Items are told apart by these fields.
    Map(&'static [&'static str]),
    /// Items are told apart by the merge key of the field table.
    MergeKey(&'static str),
}

/// Lists with other keys than their merge key, or with keys and no merge strategy.
const MAPS: &[(&str, &[&str])] = &[
    ("core.v1.PodSpec.topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("core.v1.Container.ports", &["containerPort", "protocol"]),
    ("core.v1.EphemeralContainer.ports", &["containerPort", "protocol"]),
    ("core.v1.ServiceSpec.ports", &["port", "protocol"]),
    ("core.v1.ResourceRequirements.claims", &["name"]),
    ("core.v1.VolumeResourceRequirements.claims", &["name"]),
    ("certificates.v1.CertificateSigningRequestStatus.conditions", &["type"]),
    ("admissionregistration.v1.ValidatingAdmissionPolicyStatus.conditions", &["type"]),
    ("apiextensions.v1.CustomResourceDefinitionStatus.conditions", &["type"]),
    ("apiregistration.v1.APIServiceStatus.conditions", &["type"]),
    ("apiextensions.v1.JSONSchemaProps.x-kubernetes-validations", &["rule"]),
];

/// Lists of scalars that are sets.
const SETS: &[&str] = &[
    "meta.v1.ObjectMeta.finalizers",
    "core.v1.NodeSpec.podCIDRs",
    "batch.v1.UncountedTerminatedPods.succeeded",
    "batch.v1.UncountedTerminatedPods.failed",
    "batch.v1.PodFailurePolicyOnExitCodesRequirement.values",
    "discovery.v1.Endpoint.addresses",
    "storage.v1.CSIDriverSpec.volumeLifecycleModes",
    "admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec.validationActions",
    "flowcontrol.v1.ResourcePolicyRule.verbs",
    "flowcontrol.v1.ResourcePolicyRule.apiGroups",
    "flowcontrol.v1.ResourcePolicyRule.resources",
    "flowcontrol.v1.ResourcePolicyRule.namespaces",
    "flowcontrol.v1.NonResourcePolicyRule.verbs",
    "flowcontrol.v1.NonResourcePolicyRule.nonResourceURLs",
];

/// Lists that strategic merge merges and server-side apply replaces.
const ATOMIC_THOUGH_MERGED: &[&str] = &["core.v1.PodStatus.hostIPs"];

/// Objects that are replaced as a whole.
const ATOMIC_OBJECTS: &[&str] = &[
    "meta.v1.LabelSelector",
    "meta.v1.OwnerReference",
    "core.v1.ConfigMapKeySelector",
    "core.v1.SecretKeySelector",
    "core.v1.ObjectFieldSelector",
    "core.v1.ResourceFieldSelector",
    "core.v1.FileKeySelector",
    "core.v1.LocalObjectReference",
    "core.v1.TypedLocalObjectReference",
    "core.v1.ObjectReference",
    "core.v1.SecretReference",
    "core.v1.NodeSelector",
    "core.v1.NodeSelectorTerm",
    "core.v1.ScopeSelector",
    "core.v1.TopologySelectorTerm",
    "core.v1.EndpointAddress",
    "core.v1.EndpointPort",
    "autoscaling.v1.CrossVersionObjectReference",
    "autoscaling.v2.CrossVersionObjectReference",
    "networking.v1.ServiceBackendPort",
    "discovery.v1.EndpointPort",
    "rbac.v1.RoleRef",
    "rbac.v1.Subject",
    "admissionregistration.v1.MatchResources",
    "admissionregistration.v1.NamedRuleWithOperations",
    "admissionregistration.v1.ParamKind",
    "admissionregistration.v1.ParamRef",
    "admissionregistration.v1.Variable",
];

/// Maps that are replaced as a whole.
const ATOMIC_MAPS: &[&str] = &[
    "core.v1.PodSpec.nodeSelector",
    "core.v1.ServiceSpec.selector",
    "core.v1.ReplicationControllerSpec.selector",
    "node.v1.Scheduling.nodeSelector",
];

/// The type of a list.
pub(super) fn list_type(message: &Message, field: &Field) -> ListType {
    let path = format!("{}.{}", message.name, field.name);
    if let Some((_, keys)) = MAPS.iter().find(|(p, _)| *p == path) {
        return ListType::Map(keys);
    }
    if SETS.contains(&path.as_str()) {
        return ListType::Set;
    }
    match field.merge_key {
        Some(key) if !ATOMIC_THOUGH_MERGED.contains(&path.as_str()) => ListType::MergeKey(key),
        _ => ListType::Atomic,
    }
}

/// Whether a map field is replaced as a whole.
pub(super) fn is_atomic_map(message: &Message, field: &Field) -> bool {
    let path = format!("{}.{}", message.name, field.name);
    ATOMIC_MAPS.contains(&path.as_str())
}

/// Whether objects of this message are replaced as a whole.
pub(super) fn is_atomic_object(message: &Message) -> bool {
    ATOMIC_OBJECTS.contains(&message.name)
}
