//! How the values of a kind are owned: which structs, maps and lists are one value (atomic), and by
//! which keys the items of the others are told apart. Follows the `x-kubernetes-list-type`,
//! `-list-map-keys` and `-map-type` of upstream's `api/openapi-spec/swagger.json`.
//!
//! Most of it is in the field table: a list that strategic merge merges is a keyed list, or a set
//! when it has no key. Here is only what the table does not say, by message and field, so that a
//! row for a kind that is not served yet does no harm.

use std::sync::LazyLock;

use crate::{
    kind::Kind,
    schema::{Field, Shape, Table, Type, table},
};

/// What the value at one place is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// One value: a scalar, or an atomic struct, map or list.
    Leaf,
    /// Declared fields, owned one by one.
    Struct(usize),
    /// Free keys, owned one by one.
    Map(Item),
    /// Items told apart by the values of these fields.
    Keyed(usize, &'static [&'static str]),
    /// Scalars told apart by themselves.
    Set,
    /// No schema: objects are owned key by key, the rest is one value.
    Deduced,
}

/// The value of a map.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Leaf,
    Struct(usize),
    Deduced,
}

impl Item {
    pub(super) fn place(self) -> Place {
        match self {
            Self::Leaf => Place::Leaf,
            Self::Struct(message) => Place::Struct(message),
            Self::Deduced => Place::Deduced,
        }
    }
}

/// One declared field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) place: Place,
    /// Whether a Go struct always has it: a struct that is no pointer, a list that is written when
    /// it is empty. Such a field does not come into being with its content, so nobody owns it.
    pub(super) always: bool,
}

/// Lists whose keys are not the merge key of strategic merge, and lists that strategic merge
/// replaces.
const KEYS: &[(&str, &[&str])] = &[
    ("core.v1.Container ports", &["containerPort", "protocol"]),
    ("core.v1.EphemeralContainer ports", &["containerPort", "protocol"]),
    ("core.v1.EphemeralContainerCommon ports", &["containerPort", "protocol"]),
    ("core.v1.PodSpec topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
    ("core.v1.ResourceRequirements claims", &["name"]),
    ("core.v1.ServiceSpec ports", &["port", "protocol"]),
    ("admissionregistration.v1.MutatingAdmissionPolicyStatus conditions", &["type"]),
    ("admissionregistration.v1.ValidatingAdmissionPolicyStatus conditions", &["type"]),
    ("apiextensions.v1.CustomResourceDefinitionStatus conditions", &["type"]),
    ("apiregistration.v1.APIServiceStatus conditions", &["type"]),
    ("certificates.v1.CertificateSigningRequestStatus conditions", &["type"]),
];

/// Lists of scalars that are sets, beside those that strategic merge merges.
const SETS: &[&str] = &[
    "admissionregistration.v1.ValidatingAdmissionPolicyBindingSpec validationActions",
    "batch.v1.PodFailurePolicyOnExitCodesRequirement values",
    "batch.v1.UncountedTerminatedPods failed",
    "batch.v1.UncountedTerminatedPods succeeded",
    "discovery.v1.Endpoint addresses",
    "flowcontrol.v1.NonResourcePolicyRule nonResourceURLs",
    "flowcontrol.v1.NonResourcePolicyRule verbs",
    "flowcontrol.v1.ResourcePolicyRule apiGroups",
    "flowcontrol.v1.ResourcePolicyRule namespaces",
    "flowcontrol.v1.ResourcePolicyRule resources",
    "flowcontrol.v1.ResourcePolicyRule verbs",
    "storage.v1.CSIDriverSpec volumeLifecycleModes",
];

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

/// Fields of these names are structs and no pointers in upstream's types, but for [`POINTERS`].
const ALWAYS: &[&str] = &[
    "daemonEndpoints",
    "jobTemplate",
    "kubeletEndpoint",
    "lastState",
    "loadBalancer",
    "metadata",
    "nodeInfo",
    "resources",
    "source",
    "spec",
    "state",
    "status",
    "strategy",
    "template",
    "updateStrategy",
];
const POINTERS: &[&str] = &[
    "autoscaling.v2.MetricSpec resource",
    "core.v1.EphemeralVolumeSource volumeClaimTemplate",
    "core.v1.PodSpec resources",
    "core.v1.ReplicationControllerSpec template",
    "networking.v1.IngressSpec defaultBackend",
];

struct Topology(Vec<Vec<Slot>>);

static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| Topology::of(table()));

impl Topology {
    fn of(table: &'static Table) -> Self {
        let messages = table.messages().iter();
        let slots =
            messages.map(|m| m.fields().iter().map(|f| slot(table, m.name, f)).collect()).collect();
        Self(slots)
    }
}

fn slot(table: &Table, message: &str, field: &'static Field) -> Slot {
    let id = format!("{message} {}", field.name);
    let granular = GRANULAR_STRUCTS.contains(&id.as_str());
    let item = match field.ty {
        Type::Message(index) => match table.get(index) {
            Some(m) if granular || !ATOMIC_STRUCTS.contains(&m.name) => Item::Struct(index),
            _ => Item::Leaf,
        },
        Type::RawExtension | Type::FieldsV1 => Item::Deduced,
        _ => Item::Leaf,
    };
    let place = match field.shape {
        Shape::One | Shape::Pointer => item.place(),
        Shape::Map if ATOMIC_MAPS.contains(&id.as_str()) => Place::Leaf,
        Shape::Map => Place::Map(item),
        Shape::List => list(&id, field),
    };
    let always = match field.shape {
        Shape::One => {
            matches!(place, Place::Struct(_))
                && ALWAYS.contains(&field.name)
                && !POINTERS.contains(&id.as_str())
        }
        Shape::List => field.required,
        _ => false,
    };
    Slot { place, always }
}

fn list(id: &str, field: &'static Field) -> Place {
    let keys = KEYS.iter().find(|(field, _)| *field == id).map(|(_, keys)| *keys);
    let keys = keys.or_else(|| field.merge_key.as_ref().map(std::slice::from_ref));
    match (keys, field.ty) {
        (Some(keys), Type::Message(index)) => Place::Keyed(index, keys),
        (None, Type::String | Type::Int32 | Type::Int64) if field.merge || SETS.contains(&id) => {
            Place::Set
        }
        _ => Place::Leaf,
    }
}

/// The root of objects of a kind.
pub(super) fn root(kind: &Kind) -> Place {
    table().index_of(kind.message).map_or(Place::Deduced, Place::Struct)
}

/// A declared field of a struct.
pub(super) fn slot_of(message: usize, name: &str) -> Option<Slot> {
    let fields = table().get(message)?.fields();
    let at = fields.binary_search_by(|f| f.name.cmp(name)).ok()?;
    TOPOLOGY.0.get(message)?.get(at).copied()
}

/// Where the value of `name` below an object at `place` is. Undeclared fields are deduced.
pub(super) fn below(place: Place, name: &str) -> Slot {
    match place {
        Place::Struct(message) => {
            slot_of(message, name).unwrap_or(Slot { place: Place::Deduced, always: false })
        }
        Place::Map(item) => Slot { place: item.place(), always: false },
        _ => Slot { place: Place::Deduced, always: false },
    }
}

/// The value of a key field that an item leaves out.
pub(super) fn key_default(name: &str) -> Option<&'static str> {
    // `protocol` of container and service ports is the only key with a default.
    (name == "protocol").then_some("TCP")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{DEPLOYMENT, SERVICE};

    fn at(kind: &Kind, path: &str) -> Place {
        path.split('.').fold(root(kind), |place, name| match place {
            Place::Keyed(message, _) => below(Place::Struct(message), name).place,
            other => below(other, name).place,
        })
    }

    #[test]
    fn places_of_the_table_and_of_the_rows_here() {
        let containers = "spec.template.spec.containers";
        assert!(matches!(at(DEPLOYMENT, containers), Place::Keyed(_, ["name"])));
        let ports = at(DEPLOYMENT, &format!("{containers}.ports"));
        assert!(matches!(ports, Place::Keyed(_, ["containerPort", "protocol"])), "{ports:?}");
        for leaf in ["args", "envFrom", "env.valueFrom.secretKeyRef", "image"] {
            assert_eq!(at(DEPLOYMENT, &format!("{containers}.{leaf}")), Place::Leaf, "{leaf}");
        }
        assert_eq!(at(DEPLOYMENT, "spec.selector"), Place::Leaf);
        assert_eq!(at(DEPLOYMENT, "spec.template.spec.nodeSelector"), Place::Leaf);
        assert_eq!(at(DEPLOYMENT, "metadata.finalizers"), Place::Set);
        assert_eq!(at(DEPLOYMENT, "metadata.labels"), Place::Map(Item::Leaf));
        assert!(matches!(at(SERVICE, "spec.ports"), Place::Keyed(_, ["port", "protocol"])));
        assert_eq!(at(SERVICE, "spec.selector"), Place::Leaf);
    }

    /// A row with a misspelt field would do nothing, silently.
    #[test]
    fn rows_name_fields_that_messages_have() {
        let rows = KEYS.iter().map(|(id, _)| *id).chain(SETS.iter().copied());
        let rows = rows.chain(ATOMIC_MAPS.iter().copied()).chain(GRANULAR_STRUCTS.iter().copied());
        for id in rows {
            let (message, field) = id.split_once(' ').unwrap();
            if let Some(message) = table().by_name(message) {
                assert!(message.field(field).is_some(), "{id}");
            }
        }
    }
}
