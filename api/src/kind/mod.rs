//! The kinds this server serves, as a table. A kind that is not listed here does not exist for any
//! other part: discovery, routing, storage and controllers all read this table.
//!
//! A row is all there is to a kind: its names, and the functions that set its defaults, check it and
//! print it. What a row leaves out is in `row`. `api/tools/messages.py` takes the messages whose
//! fields it lists from the rows.

// Its macros are for the modules after it.
#[macro_use]
mod row;

mod admission;
mod aggregation;
mod cluster;
mod convert;
pub mod custom;
mod extension;
mod network;
mod policies;
mod served;
mod storage;
mod subresource;
mod table;
mod workloads;

pub use admission::*;
pub use aggregation::*;
pub use cluster::*;
pub use convert::to_storage_version;
pub use convert::to_version;
pub use extension::*;
pub use network::*;
pub use policies::*;
use serde_json::Value;
pub use served::{ScalePaths, Served, at as value_at, put as put_at};
pub use storage::*;
pub use subresource::{GroupVersionKind, Subresource};
pub use table::*;
use time::OffsetDateTime;
pub use workloads::*;

use crate::{
    table::{Column, Row},
    validate::FieldError,
};

/// The eight verbs of a stored resource.
pub const STANDARD_VERBS: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// What `metadata.name` must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// DNS-1123 subdomain, at most 253 bytes.
    Subdomain,
    /// DNS-1123 label, at most 63 bytes.
    Label,
    /// DNS-1035 label, at most 63 bytes.
    Dns1035Label,
    /// One path segment: no `/` or `%`, not `.` or `..`.
    PathSegment,
}

/// One kind. All are `'static`; compare with `==`, which looks at group, version and kind.
#[derive(Debug)]
pub struct Kind {
    /// API group; empty for core.
    pub group: &'static str,
    /// Version inside the group.
    pub version: &'static str,
    /// The kind, such as `Deployment`.
    pub kind: &'static str,
    /// Kind of the list.
    pub list_kind: &'static str,
    /// Resource name in URLs; empty for kinds that are only bodies (`Scale`, `DeleteOptions`).
    pub plural: &'static str,
    /// Singular resource name.
    pub singular: &'static str,
    /// Short names for command lines.
    pub short_names: &'static [&'static str],
    /// Categories, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Verbs of the main resource. `["create"]` alone marks a resource that is never stored.
    pub verbs: &'static [&'static str],
    /// Subresources, served or not.
    pub subresources: &'static [Subresource],
    /// The kind whose form is stored, if not this one.
    pub stored_as: Option<&'static Kind>,
    /// Whether `metadata.generation` is kept.
    pub generation: bool,
    /// Whether an update without resourceVersion is allowed.
    pub unconditional_update: bool,
    /// Whether a PUT on a missing object creates it.
    pub create_on_update: bool,
    /// Whether deletion is graceful (Pod only).
    pub graceful: bool,
    /// Whether a delete answers the object rather than a Status.
    pub delete_returns_object: bool,
    /// Whether a delete without a policy orphans the dependents.
    pub delete_orphans: bool,
    /// Rule for `metadata.name`.
    pub name_rule: NameRule,
    /// Prefix of all its keys, `/registry/<group or core>/<plural>/`. Kinds that share storage
    /// (both Events) share it.
    pub topic: &'static str,
    /// Message in [`crate::schema`].
    pub message: &'static str,
    /// Sets the defaults; twice is as once.
    pub defaults: fn(&mut Value),
    /// What the server adds to a new object that has its name and uid.
    pub prepare: fn(&mut Value),
    /// What the server keeps when an object changes: `(old, new)`.
    pub prepare_change: fn(&Value, &mut Value),
    /// The status a new object begins with.
    pub first_status: fn(&Value) -> Value,
    /// Rules for every object.
    pub check: fn(&mut Vec<FieldError>, &Value),
    /// Rules for a new object only.
    pub check_new: fn(&mut Vec<FieldError>, &Value),
    /// Rules for a change: `(errors, new, old)`.
    pub check_change: fn(&mut Vec<FieldError>, &Value, &Value),
    /// Fields it can be selected by, besides its name and namespace.
    pub selectable: &'static [&'static str],
    /// Its columns, those of `-o wide` included.
    pub columns: &'static [Column],
    /// Prints it at a time.
    pub row: fn(&Value, OffsetDateTime) -> Row,
    /// Of a custom kind: what its definition says now.
    pub custom: Option<&'static custom::Slot>,
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
            || (self.kind == other.kind
                && self.group == other.group
                && self.version == other.version)
    }
}

impl Eq for Kind {}

impl std::hash::Hash for Kind {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.group.hash(state);
        self.version.hash(state);
        self.kind.hash(state);
    }
}

/// The warning that comes with every answer about a deprecated resource (apiserver
/// `pkg/endpoints/deprecation`).
pub fn deprecation(group: &str, version: &str, resource: &str) -> Option<&'static str> {
    match (group, version, resource) {
        ("", "v1", "endpoints") => {
            Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
        }
        ("", "v1", "componentstatuses") => Some("v1 ComponentStatus is deprecated in v1.19+"),
        _ => None,
    }
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// `pods` or `deployments.apps`.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() {
            self.plural.to_owned()
        } else {
            format!("{}.{}", self.plural, self.group)
        }
    }

    /// Store key of one object; `ns` is ignored for cluster-scoped kinds.
    pub fn key(&self, ns: &str, name: &str) -> String {
        if self.namespaced {
            format!("{}{ns}/{name}", self.topic)
        } else {
            format!("{}{name}", self.topic)
        }
    }

    /// Store prefix of all objects, or of those in one namespace.
    pub fn prefix(&self, ns: Option<&str>) -> String {
        match ns {
            Some(ns) if self.namespaced && !ns.is_empty() => format!("{}{ns}/", self.topic),
            _ => self.topic.to_owned(),
        }
    }

    /// Store topic, `/registry/<group or core>/<plural>/`.
    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// Whether the main resource has this verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.contains(&verb)
    }

    /// Whether objects are stored (as opposed to answered, like reviews).
    pub fn is_stored(&self) -> bool {
        self.has_verb("get")
    }

    /// A subresource by name, served or not.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Of a custom kind, what its definition says; `None` also once the definition is gone.
    pub fn served(&self) -> Option<std::sync::Arc<Served>> {
        self.custom?.get()
    }

    /// Whether there is a `/status` endpoint, so that the main one keeps the old status.
    pub fn has_status(&self) -> bool {
        self.subresource("status").is_some()
    }

    /// The kind whose form is stored: core Event for `events.k8s.io` Event, mostly itself.
    pub fn storage_kind(&'static self) -> &'static Kind {
        self.stored_as.unwrap_or(self)
    }
}

/// All served kinds, in discovery order (groups in priority order, resources by name).
pub fn all() -> &'static [&'static Kind] {
    SERVED
}

/// A served kind by its URL parts.
pub fn by_resource(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    SERVED.iter().copied().find(|k| k.plural == plural && k.group == group && k.version == version)
}

/// A kind by `apiVersion` and `kind` as objects carry them; bodies such as `Scale` included.
pub fn by_kind(api_version: &str, kind: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    SERVED
        .iter()
        .chain(BODIES)
        .copied()
        .find(|k| k.kind == kind && k.group == group && k.version == version)
}

/// A stored kind by the key of one of its objects.
pub fn by_key(key: &str) -> Option<&'static Kind> {
    SERVED
        .iter()
        .copied()
        .find(|k| k.is_stored() && k.stored_as.is_none() && key.starts_with(k.topic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_names() {
        for (kind, ns, name, key, resource) in [
            (POD, "default", "a", "/registry/core/pods/default/a", "pods"),
            (NODE, "", "n", "/registry/core/nodes/n", "nodes"),
            (
                DEPLOYMENT,
                "kube-system",
                "d",
                "/registry/apps/deployments/kube-system/d",
                "deployments.apps",
            ),
            (
                EVENTS_EVENT,
                "default",
                "e",
                "/registry/core/events/default/e",
                "events.events.k8s.io",
            ),
        ] {
            assert_eq!(kind.key(ns, name), key);
            assert_eq!(kind.group_resource(), resource);
        }
        assert_eq!(POD.prefix(Some("x")), "/registry/core/pods/x/");
        assert_eq!(POD.prefix(None), POD.topic());
    }

    /// One line per resource: `group/version plural singular Kind (short names) @categories
    /// /subresources [verbs]`, `°` for cluster scope, verbs only where they are not the eight.
    fn golden() -> String {
        let mut lines = String::new();
        for kind in all() {
            let scope = if kind.namespaced { "" } else { "°" };
            lines += &format!(
                "{} {}{scope} {} {}",
                kind.api_version(),
                kind.plural,
                kind.singular,
                kind.kind
            );
            if !kind.short_names.is_empty() {
                lines += &format!(" ({})", kind.short_names.join(","));
            }
            lines.extend(kind.categories.iter().map(|c| format!(" @{c}")));
            for sub in kind.subresources.iter().filter(|s| s.served) {
                let body = sub.body.map_or(String::new(), |b| format!("={}", b.kind));
                lines += &format!(" /{}{body}", sub.name);
            }
            if kind.verbs != STANDARD_VERBS {
                lines += &format!(" [{}]", kind.verbs.join(","));
            }
            lines.push('\n');
        }
        lines
    }

    #[test]
    fn discovery_is_golden() {
        let want = include_str!("golden.txt");
        for (found, wanted) in golden().lines().zip(want.lines()) {
            assert_eq!(found, wanted);
        }
        assert_eq!(golden().lines().count(), want.lines().count());
    }

    #[test]
    fn table_is_consistent() {
        for kind in all() {
            assert_eq!(by_resource(kind.group, kind.version, kind.plural), Some(*kind));
            assert_eq!(by_kind(&kind.api_version(), kind.kind), Some(*kind));
            assert_eq!(kind.list_kind, format!("{}List", kind.kind));
            assert!(kind.topic.starts_with("/registry/") && kind.topic.ends_with('/'));
            if kind.is_stored() {
                assert_eq!(by_key(&kind.key("ns", "x")), Some(kind.storage_kind()));
            }
        }
        assert_eq!(by_kind("autoscaling/v1", "Scale"), Some(SCALE));
        assert!(by_kind("apps/v1", "Nonsense").is_none());
    }
}
