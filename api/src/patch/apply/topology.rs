//! How the values of a kind are owned, place by place, ready to be walked beside an object.

use std::sync::LazyLock;

use crate::{
    kind::Kind,
    schema::{
        Field, Shape, Table, Type, table,
        topology::{ListType, is_atomic_map, is_atomic_struct, is_granular, list_type},
    },
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
    let item = match field.ty {
        Type::Message(index) => match table.get(index) {
            Some(m) if is_granular(message, field) || !is_atomic_struct(m.name) => {
                Item::Struct(index)
            }
            _ => Item::Leaf,
        },
        Type::RawExtension | Type::FieldsV1 => Item::Deduced,
        _ => Item::Leaf,
    };
    let place = match field.shape {
        Shape::One | Shape::Pointer => item.place(),
        Shape::Map if is_atomic_map(message, field) => Place::Leaf,
        Shape::Map => Place::Map(item),
        Shape::List => match (list_type(message, field), field.ty) {
            (ListType::Map(keys), Type::Message(index)) => Place::Keyed(index, keys),
            (ListType::Set, _) => Place::Set,
            _ => Place::Leaf,
        },
    };
    let id = format!("{message} {}", field.name);
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
}
