//! Kinds that CustomResourceDefinitions make while the server runs.
//!
//! Everything here works with `&'static Kind`. So a row is made once for everything about a kind that
//! its row says, leaked, and used again whenever the same comes back; what a definition may change
//! often, its schema above all, is beside the row in a [`Slot`], which all rows of one resource and
//! version share.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock},
};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::served::Served;
use super::{Kind, NameRule, STANDARD_VERBS, subresource};

/// Rows made at most in the life of a process, about a kilobyte each. Only a definition with names,
/// versions or subresources that were never seen before takes one.
pub const MAX_ROWS: usize = 8_192;

/// What a row says about a custom kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Form {
    /// API group.
    pub group: String,
    /// Version.
    pub version: String,
    /// The kind.
    pub kind: String,
    /// Kind of the list.
    pub list_kind: String,
    /// Resource name in URLs.
    pub plural: String,
    /// Singular resource name.
    pub singular: String,
    /// Short names.
    pub short_names: Vec<String>,
    /// Categories.
    pub categories: Vec<String>,
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// Whether there is `/status`.
    pub status: bool,
    /// Whether there is `/scale`.
    pub scale: bool,
    /// Fields it can be selected by, as field selectors name them.
    pub selectable: Vec<String>,
    /// The version that is stored, if it is another one.
    pub stored_version: String,
}

/// What the definition of a custom kind says now; empty once there is none.
#[derive(Default)]
pub struct Slot(RwLock<Option<Arc<Served>>>);

impl Slot {
    /// What the definition says now.
    pub fn get(&self) -> Option<Arc<Served>> {
        self.0.read().clone()
    }

    /// Replaces it.
    pub fn set(&self, served: Option<Arc<Served>>) {
        *self.0.write() = served;
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slot")
    }
}

#[derive(Default)]
struct Rows {
    rows: HashMap<Form, &'static Kind>,
    /// By group, version and plural.
    slots: HashMap<[String; 3], &'static Slot>,
}

static ROWS: LazyLock<Mutex<Rows>> = LazyLock::new(Mutex::default);

/// The row of a form; `None` when [`MAX_ROWS`] were made: the process must be started again.
/// `stored_as` is the row of [`Form::stored_version`].
pub fn row(form: &Form, stored_as: Option<&'static Kind>) -> Option<&'static Kind> {
    let mut rows = ROWS.lock();
    if let Some(known) = rows.rows.get(form) {
        return Some(known);
    }
    if rows.rows.len() >= MAX_ROWS {
        return None;
    }
    let id = [form.group.clone(), form.version.clone(), form.plural.clone()];
    let slot: &'static Slot = rows.slots.entry(id).or_insert_with(|| Box::leak(Box::default()));
    let kind: &'static Kind = Box::leak(Box::new(made(form, stored_as, slot)));
    rows.rows.insert(form.clone(), kind);
    Some(kind)
}

fn leak(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}

fn leak_all(texts: &[String]) -> &'static [&'static str] {
    Box::leak(texts.iter().map(|t| leak(t)).collect())
}

fn made(form: &Form, stored_as: Option<&'static Kind>, slot: &'static Slot) -> Kind {
    Kind {
        group: leak(&form.group),
        version: leak(&form.version),
        kind: leak(&form.kind),
        list_kind: leak(&form.list_kind),
        plural: leak(&form.plural),
        singular: leak(&form.singular),
        short_names: leak_all(&form.short_names),
        categories: leak_all(&form.categories),
        namespaced: form.namespaced,
        verbs: STANDARD_VERBS,
        subresources: subresource::of_custom(form.status, form.scale),
        stored_as,
        generation: true,
        unconditional_update: false,
        create_on_update: false,
        graceful: false,
        delete_returns_object: false,
        delete_orphans: false,
        name_rule: NameRule::Subdomain,
        topic: leak(&format!("/registry/{}/{}/", form.group, form.plural)),
        message: "",
        defaults: |_| {},
        prepare: |_| {},
        prepare_change: |_, _| {},
        first_status: |_| Value::Null,
        check: |_, _| {},
        check_new: |_, _| {},
        check_change: |_, _, _| {},
        selectable: leak_all(&form.selectable),
        columns: &[],
        row: |_, _| crate::table::Row { cells: Vec::new(), conditions: None },
        custom: Some(slot),
    }
}

/// The order in which clients prefer versions: `v2`, `v1`, `v2beta1`, `v1beta1`, `v1alpha1`, and
/// then all others by name (apimachinery `pkg/version/helpers.go`).
pub fn by_priority(a: &str, b: &str) -> std::cmp::Ordering {
    match (parsed(a), parsed(b)) {
        (Some(x), Some(y)) => y.cmp(&x),
        (Some(_), None) => std::cmp::Ordering::Less,
        (None, Some(_)) => std::cmp::Ordering::Greater,
        (None, None) => a.cmp(b),
    }
}

/// `v2beta3` as (1, 2, 3): stability, major, minor.
fn parsed(version: &str) -> Option<(u8, u64, u64)> {
    let rest = version.strip_prefix('v')?;
    let number = |text: &str| {
        let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
        if plain { text.parse::<u64>().ok() } else { None }
    };
    for (word, stability) in [("alpha", 0), ("beta", 1)] {
        if let Some((major, minor)) = rest.split_once(word) {
            return Some((stability, number(major)?, number(minor)?));
        }
    }
    Some((2, number(rest)?, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(version: &str, stored: &str) -> Form {
        Form {
            group: "rows.example.com".into(),
            version: version.into(),
            kind: "Row".into(),
            list_kind: "RowList".into(),
            plural: "rows".into(),
            singular: "row".into(),
            namespaced: true,
            stored_version: stored.into(),
            ..Form::default()
        }
    }

    #[test]
    fn a_row_is_made_once_and_slots_are_shared() {
        let stored = row(&form("v1", ""), None).unwrap();
        assert!(std::ptr::eq(stored, row(&form("v1", ""), None).unwrap()));
        let older = row(&form("v1beta1", "v1"), Some(stored)).unwrap();
        assert_eq!(older.storage_kind(), stored);
        assert_eq!(older.key("ns", "x"), "/registry/rows.example.com/rows/ns/x");
        let scaled = row(&Form { scale: true, ..form("v1", "") }, None).unwrap();
        assert!(!std::ptr::eq(scaled, stored) && scaled == stored);
        assert!(std::ptr::eq(scaled.custom.unwrap(), stored.custom.unwrap()));
        assert!(scaled.subresource("scale").is_some() && !scaled.has_status());
    }

    #[test]
    fn versions_are_in_the_order_clients_prefer() {
        let mut versions =
            ["v1alpha1", "foo1", "v1", "v10", "v1beta2", "v2", "v12beta1", "bar", "v01"];
        versions.sort_by(|a, b| by_priority(a, b));
        assert_eq!(
            versions,
            ["v10", "v2", "v1", "v12beta1", "v1beta2", "v1alpha1", "bar", "foo1", "v01"]
        );
    }
}
