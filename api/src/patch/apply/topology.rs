//! How the values of a kind are owned, place by place, ready to be walked beside an object.

use std::sync::LazyLock;

use crate::{
    crd::{self, Node, Schema},
    kind::Kind,
    schema::{
        Field, Shape, Table, Type, table,
        topology::{ListType, is_atomic_map, is_atomic_struct, is_granular, list_type},
    },
};

/// What the value at one place is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Place<'s> {
    /// One value: a scalar, or an atomic struct, map or list.
    Leaf,
    /// Declared fields, owned one by one.
    Struct(Record<'s>),
    /// Free keys, owned one by one.
    Map(Item<'s>),
    /// Items told apart by the values of these fields.
    Keyed(Record<'s>, Keys<'s>),
    /// Scalars told apart by themselves.
    Set,
    /// No schema: objects are owned key by key, the rest is one value.
    Deduced,
}

/// What says which fields there are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Record<'s> {
    /// A message of the field table.
    Message(usize),
    /// A schema of a custom resource.
    Node(&'s Node),
    /// The schema of a whole custom resource: it has metadata besides.
    Root(&'s Node),
}

impl PartialEq for Record<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Message(a), Self::Message(b)) => a == b,
            (Self::Node(a), Self::Node(b)) | (Self::Root(a), Self::Root(b)) => std::ptr::eq(*a, *b),
            _ => false,
        }
    }
}

/// The fields by which items are told apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Keys<'s> {
    /// Of a built-in kind.
    Table(&'s [&'static str]),
    /// Of a custom resource.
    Own(&'s [String]),
}

impl<'s> Keys<'s> {
    /// No fields: nothing is told apart.
    pub(super) const NONE: Self = Self::Table(&[]);

    /// The names, in the order of the schema.
    pub(super) fn names(self) -> Vec<&'s str> {
        match self {
            Self::Table(names) => names.to_vec(),
            Self::Own(names) => names.iter().map(String::as_str).collect(),
        }
    }
}

/// The value of a map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Item<'s> {
    Leaf,
    Struct(Record<'s>),
    Deduced,
    /// Whatever a schema of a custom resource says.
    Custom(Record<'s>),
}

impl<'s> Item<'s> {
    pub(super) fn place(self) -> Place<'s> {
        match self {
            Self::Leaf => Place::Leaf,
            Self::Struct(record) => Place::Struct(record),
            Self::Custom(Record::Node(node)) => custom(node.shape()),
            Self::Custom(_) | Self::Deduced => Place::Deduced,
        }
    }
}

/// One field.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot<'s> {
    pub(super) place: Place<'s>,
    /// Whether a Go struct always has it: a struct that is no pointer, a list that is written when
    /// it is empty. Such a field does not come into being with its content, so nobody owns it.
    pub(super) always: bool,
    /// Whether the schema names it, rather than lets any name in.
    pub(super) declared: bool,
}

impl Slot<'_> {
    const UNDECLARED: Self = Self { place: Place::Deduced, always: false, declared: false };
}

/// The place of a value of a custom resource.
fn custom(shape: crd::Shape<'_>) -> Place<'_> {
    match shape {
        crd::Shape::Leaf => Place::Leaf,
        crd::Shape::Struct(node) => Place::Struct(Record::Node(node)),
        crd::Shape::Map(node) => Place::Map(Item::Custom(Record::Node(node))),
        crd::Shape::Keyed(node, keys) => Place::Keyed(Record::Node(node), Keys::Own(keys)),
        crd::Shape::Set => Place::Set,
        crd::Shape::Free => Place::Deduced,
        crd::Shape::Metadata => table()
            .index_of("meta.v1.ObjectMeta")
            .map_or(Place::Deduced, |index| Place::Struct(Record::Message(index))),
    }
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

struct Topology(Vec<Vec<Slot<'static>>>);

static TOPOLOGY: LazyLock<Topology> = LazyLock::new(|| Topology::of(table()));

impl Topology {
    fn of(table: &'static Table) -> Self {
        let messages = table.messages().iter();
        let slots =
            messages.map(|m| m.fields().iter().map(|f| slot(table, m.name, f)).collect()).collect();
        Self(slots)
    }
}

fn slot(table: &Table, message: &str, field: &'static Field) -> Slot<'static> {
    let item = match field.ty {
        Type::Message(index) => match table.get(index) {
            Some(m) if is_granular(message, field) || !is_atomic_struct(m.name) => {
                Item::Struct(Record::Message(index))
            }
            _ => Item::Leaf,
        },
        Type::RawExtension | Type::FieldsV1 | Type::SchemaOr(_) => Item::Deduced,
        _ => Item::Leaf,
    };
    let place = match field.shape {
        Shape::One | Shape::Pointer => item.place(),
        Shape::Map if is_atomic_map(message, field) => Place::Leaf,
        Shape::Map => Place::Map(item),
        Shape::List => match (list_type(message, field), field.ty) {
            (ListType::Map(keys), Type::Message(index)) => {
                Place::Keyed(Record::Message(index), Keys::Table(keys))
            }
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
    Slot { place, always, declared: true }
}

/// The root of objects of a kind. Custom kinds have a schema; without it nothing is known of them.
pub(super) fn root<'s>(kind: &Kind, schema: Option<&'s Schema>) -> Place<'s> {
    match schema {
        Some(schema) => Place::Struct(Record::Root(schema.node())),
        None => table()
            .index_of(kind.message)
            .map_or(Place::Deduced, |index| Place::Struct(Record::Message(index))),
    }
}

/// A field of a struct, if it may have it.
pub(super) fn slot_of<'s>(record: Record<'s>, name: &str) -> Option<Slot<'s>> {
    let (shape, declared) = match record {
        Record::Message(message) => {
            let fields = table().get(message)?.fields();
            let at = fields.binary_search_by(|f| f.name.cmp(name)).ok()?;
            return TOPOLOGY.0.get(message)?.get(at).copied();
        }
        Record::Node(node) => node.field(false, name)?,
        Record::Root(node) => node.field(true, name)?,
    };
    Some(Slot { place: custom(shape), always: false, declared })
}

/// Where the value of `name` below an object at `place` is. Undeclared fields are deduced.
pub(super) fn below<'s>(place: Place<'s>, name: &str) -> Slot<'s> {
    match place {
        Place::Struct(record) => slot_of(record, name).unwrap_or(Slot::UNDECLARED),
        Place::Map(item) => Slot { place: item.place(), ..Slot::UNDECLARED },
        _ => Slot::UNDECLARED,
    }
}

/// The value, as JSON, of a key field that an item leaves out.
pub(super) fn key_default(record: Record<'_>, name: &str) -> Option<String> {
    match record {
        // `protocol` of container and service ports is the only key with a default.
        Record::Message(_) => (name == "protocol").then(|| "\"TCP\"".to_owned()),
        Record::Node(node) | Record::Root(node) => node.key_default(name).map(ToString::to_string),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::{DEPLOYMENT, SERVICE};

    fn at(kind: &Kind, path: &str) -> Place<'static> {
        path.split('.').fold(root(kind, None), |place, name| match place {
            Place::Keyed(message, _) => below(Place::Struct(message), name).place,
            other => below(other, name).place,
        })
    }

    #[test]
    fn places_of_the_table_and_of_the_rows_here() {
        let containers = "spec.template.spec.containers";
        assert!(matches!(at(DEPLOYMENT, containers), Place::Keyed(_, Keys::Table(["name"]))));
        let ports = at(DEPLOYMENT, &format!("{containers}.ports"));
        assert!(
            matches!(ports, Place::Keyed(_, Keys::Table(["containerPort", "protocol"]))),
            "{ports:?}"
        );
        for leaf in ["args", "envFrom", "env.valueFrom.secretKeyRef", "image"] {
            assert_eq!(at(DEPLOYMENT, &format!("{containers}.{leaf}")), Place::Leaf, "{leaf}");
        }
        assert_eq!(at(DEPLOYMENT, "spec.selector"), Place::Leaf);
        assert_eq!(at(DEPLOYMENT, "spec.template.spec.nodeSelector"), Place::Leaf);
        assert_eq!(at(DEPLOYMENT, "metadata.finalizers"), Place::Set);
        assert_eq!(at(DEPLOYMENT, "metadata.labels"), Place::Map(Item::Leaf));
        assert!(matches!(
            at(SERVICE, "spec.ports"),
            Place::Keyed(_, Keys::Table(["port", "protocol"]))
        ));
        assert_eq!(at(SERVICE, "spec.selector"), Place::Leaf);
    }
}
