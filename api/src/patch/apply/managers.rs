//! `metadata.managedFields`: who owns which fields. Behaviour of apimachinery
//! `pkg/util/managedfields/internal/{managedfields,capmanagers,stripmeta}.go`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::field_set::{FieldSet, write_text};

/// Most entries of managers that update; the oldest beyond it become one.
pub(super) const UPDATERS_MAX: usize = 10;
/// The manager the oldest entries become.
const ANCIENT: &str = "ancient-changes";

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) manager: String,
    /// Whether the manager applies, else it updates.
    pub(super) applies: bool,
    pub(super) api_version: String,
    pub(super) subresource: String,
    /// RFC 3339, whole seconds; empty when unknown.
    pub(super) time: String,
    pub(super) fields: FieldSet,
}

impl Entry {
    /// Whether both are the same manager doing the same. One that applies is the same in every
    /// version.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.manager == other.manager
            && self.applies == other.applies
            && self.subresource == other.subresource
            && (self.applies || self.api_version == other.api_version)
    }

    /// As conflicts name it: `"m" with subresource "scale" using apps/v1`.
    pub(super) fn shown(&self) -> String {
        let mut out = crate::text::quote(&self.manager);
        if !self.subresource.is_empty() {
            out.push_str(&format!(" with subresource {}", crate::text::quote(&self.subresource)));
        }
        if !self.applies {
            out.push_str(&format!(" using {}", self.api_version));
        }
        out
    }

    fn read(value: &Value) -> Option<Self> {
        let map = value.as_object()?;
        let text = |name: &str| match map.get(name) {
            None | Some(Value::Null) => Some(String::new()),
            Some(Value::String(text)) => Some(text.clone()),
            Some(_) => None,
        };
        let applies = match text("operation")?.as_str() {
            "Apply" => true,
            "Update" => false,
            _ => return None,
        };
        if text("fieldsType")? != "FieldsV1" {
            return None;
        }
        Some(Self {
            manager: text("manager")?,
            applies,
            api_version: text("apiVersion")?,
            subresource: text("subresource")?,
            time: text("time")?,
            fields: FieldSet::read(map.get("fieldsV1").unwrap_or(&Value::Object(Map::new())))?,
        })
    }

    fn write(&self, out: &mut String) {
        begin(out, &self.api_version);
        self.fields.write(out);
        finish(out, &self.manager, self.applies, &self.subresource, &self.time);
    }

    fn order(&self, other: &Self) -> Ordering {
        other
            .applies
            .cmp(&self.applies)
            .then_with(|| self.time.cmp(&other.time))
            .then_with(|| self.manager.cmp(&other.manager))
            .then_with(|| self.api_version.cmp(&other.api_version))
            .then_with(|| self.subresource.cmp(&other.subresource))
    }
}

/// Appends an entry up to its `fieldsV1`.
pub(super) fn begin(out: &mut String, api_version: &str) {
    out.push_str("{\"apiVersion\":");
    write_text(out, "", api_version);
    out.push_str(",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
}

/// Appends an entry after its `fieldsV1`.
pub(super) fn finish(
    out: &mut String,
    manager: &str,
    applies: bool,
    subresource: &str,
    time: &str,
) {
    out.push_str(",\"manager\":");
    write_text(out, "", manager);
    out.push_str(if applies { ",\"operation\":\"Apply\"" } else { ",\"operation\":\"Update\"" });
    if !subresource.is_empty() {
        out.push_str(",\"subresource\":");
        write_text(out, "", subresource);
    }
    if !time.is_empty() {
        out.push_str(",\"time\":");
        write_text(out, "", time);
    }
    out.push('}');
}

/// All entries of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Managers(pub(super) Vec<Entry>);

impl Managers {
    /// Reads the stored form; what cannot be read counts as nothing.
    pub(super) fn of_stored(json: Option<&str>) -> Self {
        json.and_then(|json| serde_json::from_str(json).ok())
            .and_then(|value| Self::read(&value))
            .unwrap_or_default()
    }

    /// Reads the entries of an object; `None` when one of them is malformed.
    pub(super) fn read(value: &Value) -> Option<Self> {
        let mut out = Self::default();
        for entry in value.as_array()? {
            let entry = Entry::read(entry)?;
            match out.0.iter_mut().find(|had| had.is_same(&entry)) {
                Some(had) => *had = entry,
                None => out.0.push(entry),
            }
        }
        Some(out)
    }

    /// The stored form: compact JSON, sorted; `None` without entries.
    pub(super) fn write(mut self) -> Option<String> {
        self.0.retain(|entry| !entry.fields.is_empty());
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_by(Entry::order);
        let mut out = String::with_capacity(512);
        for entry in &self.0 {
            out.push(if out.is_empty() { '[' } else { ',' });
            entry.write(&mut out);
        }
        out.push(']');
        Some(out)
    }

    pub(super) fn find(&self, entry: &Entry) -> Option<&Entry> {
        self.0.iter().find(|had| had.is_same(entry))
    }

    /// Puts an entry in the place of the one of the same manager.
    pub(super) fn put(&mut self, entry: Entry) {
        self.0.retain(|had| !had.is_same(&entry));
        if !entry.fields.is_empty() {
            self.0.push(entry);
        }
    }

    /// Takes fields from everybody but one.
    pub(super) fn take(&mut self, fields: &FieldSet, but: Option<&Entry>) {
        for entry in &mut self.0 {
            if !but.is_some_and(|but| entry.is_same(but)) {
                entry.fields.subtract(fields);
            }
        }
        self.0.retain(|entry| !entry.fields.is_empty());
    }

    /// Everything anybody owns.
    pub(super) fn union(&self) -> FieldSet {
        let mut all = FieldSet::default();
        for entry in &self.0 {
            all.extend(entry.fields.clone());
        }
        all
    }

    /// Merges the oldest updating managers into one per version until there are few enough.
    pub(super) fn cap(&mut self) {
        let mut updaters: Vec<Entry> = self.0.iter().filter(|e| !e.applies).cloned().collect();
        let mut excess = updaters.len().saturating_sub(UPDATERS_MAX);
        if excess == 0 {
            return;
        }
        updaters.sort_by(Entry::order);
        let mut first_of: Vec<Entry> = Vec::new();
        for old in updaters {
            if excess == 0 {
                return;
            }
            let Some(first) = first_of.iter().find(|f| f.api_version == old.api_version) else {
                first_of.push(old);
                continue;
            };
            let mut bucket = Entry {
                manager: ANCIENT.to_owned(),
                subresource: String::new(),
                time: old.time.clone(),
                ..first.clone()
            };
            if let Some(had) = self.find(&bucket) {
                bucket.fields = had.fields.clone();
            } else {
                let first = first.clone();
                self.0.retain(|e| !e.is_same(&first));
            }
            bucket.fields.extend(old.fields.clone());
            if !old.is_same(&bucket) {
                self.0.retain(|e| !e.is_same(&old));
                excess -= 1;
            }
            self.put(bucket);
        }
    }

    /// Whether both say the same, times aside.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
            && self.0.iter().all(|entry| {
                other.find(entry).is_some_and(|had| {
                    had.fields == entry.fields && had.api_version == entry.api_version
                })
            })
    }
}
