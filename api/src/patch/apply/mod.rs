//! Server-side apply and the ownership of fields. Behaviour of structured-merge-diff
//! `merge/update.go` and apimachinery `pkg/util/managedfields`.
//!
//! Objects are JSON values without `metadata.managedFields`; that goes beside them, in its stored
//! form (compact JSON), so that nobody who does not ask for it reads it.

mod compare;
mod conflict;
mod field_set;
mod fresh;
mod last_applied;
mod managers;
mod merging;
mod topology;
mod types;

#[cfg(test)]
mod custom_tests;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

use self::{
    compare::{compare, field_set},
    conflict::Conflict,
    field_set::FieldSet,
    managers::{Entry, Managers},
    topology::Place,
};
use crate::{crd::Schema, kind::Kind, schema, status::Status};

/// The manager of what an object held before anybody applied to it.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";
/// The name of a manager that has none.
const UNKNOWN: &str = "unknown";
/// Metadata nobody owns: it names the object, or the server writes it.
const UNOWNED_METADATA: &[&str] = &[
    "name",
    "namespace",
    "creationTimestamp",
    "selfLink",
    "uid",
    "clusterName",
    "generation",
    "managedFields",
    "resourceVersion",
];

/// Who writes, and what its write may change.
#[derive(Debug, Clone, Copy)]
pub struct Writer<'a> {
    /// The kind of the object.
    pub kind: &'static Kind,
    /// Name of the manager.
    pub manager: &'a str,
    /// Subresource written through; empty for the object itself.
    pub subresource: &'a str,
    /// The time now, RFC 3339 in whole seconds.
    pub now: &'a str,
    /// Of a custom kind, what its definition says of its objects.
    pub schema: Option<&'a Schema>,
}

/// What a write says about the owners beside its fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Owners {
    /// Nothing: they stay, but for what the write changes.
    #[default]
    Live,
    /// Nobody owns anything any more: `managedFields: []` or `[{}]`.
    Reset,
    /// These entries instead.
    Given(Value),
}

impl Owners {
    /// Takes `metadata.managedFields` out of an object somebody sent.
    pub fn take(object: &mut Value) -> Self {
        let meta = object.get_mut("metadata").and_then(Value::as_object_mut);
        match meta.and_then(|meta| meta.remove("managedFields")) {
            Some(Value::Array(list)) => match list.as_slice() {
                [] => Self::Reset,
                [Value::Object(only)] if only.is_empty() => Self::Reset,
                _ => Self::Given(Value::Array(list)),
            },
            _ => Self::Live,
        }
    }
}

impl Writer<'_> {
    fn entry(&self, applies: bool, fields: FieldSet) -> Entry {
        let name = if self.manager.is_empty() { UNKNOWN } else { self.manager };
        Entry {
            manager: name.to_owned(),
            applies,
            api_version: self.kind.api_version(),
            subresource: self.subresource.to_owned(),
            time: self.now.to_owned(),
            fields,
        }
    }

    /// Whether a field of the root (one name) or of the metadata (two) is nobody's in this write.
    fn is_unowned(&self, path: &[&str]) -> bool {
        match path {
            ["apiVersion" | "kind"] => true,
            ["metadata", name] => UNOWNED_METADATA.contains(name) || self.is_reset_metadata(name),
            ["metadata"] => false,
            ["status"] => !self.writes_status() && self.kind.has_status(),
            [_] => self.writes_status(),
            _ => false,
        }
    }

    /// Metadata that a write of the status does not change.
    fn is_reset_metadata(&self, name: &str) -> bool {
        if self.kind.custom.is_some() {
            return self.subresource == "status";
        }
        let kept: &[&str] = match self.kind.kind {
            "Pod" => &["deletionTimestamp", "ownerReferences"],
            "Deployment" => &["labels"],
            _ => &[],
        };
        self.subresource == "status" && kept.contains(&name)
    }

    /// The approval of a CertificateSigningRequest is a part of its status.
    fn writes_status(&self) -> bool {
        matches!(self.subresource, "status" | "approval")
    }

    /// Takes out what is nobody's.
    fn owned(&self, mut fields: FieldSet) -> FieldSet {
        let mut metadata = fields.field("metadata").cloned().unwrap_or_default();
        metadata.member = false;
        metadata.retain_fields(|name| !self.is_unowned(&["metadata", name]));
        fields.drop_field("metadata");
        fields.retain_fields(|name| !self.is_unowned(&[name]));
        fields.attach(field_set::Element::field("metadata"), metadata);
        fields
    }

    fn root(&self) -> Place<'_> {
        topology::root(self.kind, self.schema)
    }

    /// `managedFields` of an object that is being created.
    pub fn create(&self, object: &Value, owners: &Owners) -> Option<String> {
        if let Owners::Given(given) = owners
            && let Some(given) = Managers::read(given).filter(|m| !m.0.is_empty())
        {
            let empty = Value::Object(Map::new());
            return self.after_update(given, &empty, object).write();
        }
        let mut out = String::with_capacity(512);
        out.push('[');
        managers::begin(&mut out, &self.kind.api_version());
        let skip = |path: &[&str]| {
            // The finalizer of a namespace is the server's.
            self.is_unowned(path) || (self.kind == crate::kind::NAMESPACE && *path == ["spec"])
        };
        if !fresh::write(self.root(), object, &skip, &mut out) {
            return None;
        }
        let name = if self.manager.is_empty() { UNKNOWN } else { self.manager };
        managers::finish(&mut out, name, false, self.subresource, self.now);
        out.push(']');
        Some(out)
    }

    /// `managedFields` after an update, a patch or a write of a subresource. `managed` is what the
    /// live object has.
    pub fn update(
        &self,
        live: &Value,
        managed: Option<&str>,
        new: &Value,
        owners: &Owners,
    ) -> Option<String> {
        let given = match owners {
            // Through a subresource nobody else's entries are written.
            Owners::Live => None,
            _ if !self.subresource.is_empty() => None,
            Owners::Reset => return None,
            Owners::Given(given) => Managers::read(given).filter(|m| !m.0.is_empty()),
        };
        let is_given = given.is_some();
        let managers = match given {
            Some(given) => given,
            // Who is not tracked from the start is not tracked before the first apply.
            None if managed.is_none() => return None,
            None => Managers::of_stored(managed),
        };
        let difference = compare(self.root(), Some(live), Some(new));
        if difference.is_empty() && !is_given {
            return managed.map(str::to_owned);
        }
        self.absorb(managers, &difference).write()
    }

    fn after_update(&self, managers: Managers, live: &Value, new: &Value) -> Managers {
        self.absorb(managers, &compare(self.root(), Some(live), Some(new)))
    }

    /// The writer owns what it changed, and nobody owns what it removed.
    fn absorb(&self, mut managers: Managers, difference: &compare::Difference) -> Managers {
        let set = self.owned(difference.set());
        managers.take(&difference.removed, None);
        managers.take(&difference.added, None);
        managers.take(&difference.modified, None);
        if !set.is_empty() {
            let mut entry = self.entry(false, set);
            if let Some(had) = managers.find(&entry) {
                entry.fields.extend(had.fields.clone());
            }
            managers.put(entry);
        }
        managers.cap();
        managers
    }

    /// Applies a configuration to an object, or to nothing.
    ///
    /// # Errors
    /// 400 for a configuration of another kind or with `managedFields`; 409 for fields that others
    /// own with another value, unless `force`; 500, as upstream, for one that does not fit the
    /// schema.
    pub fn apply(
        &self,
        live: Option<&Value>,
        managed: Option<&str>,
        config: &Value,
        force: bool,
    ) -> Result<Applied, Status> {
        self.check(config)?;
        let empty = Value::Object(Map::new());
        let base = live.unwrap_or(&empty);
        let mut managers = Managers::of_stored(managed);
        if managers.0.is_empty() {
            let before = Self { manager: BEFORE_FIRST_APPLY, ..*self };
            managers = before.after_update(managers, &empty, base);
        }
        let applied = self.lay(base, managers.clone(), config, force);
        let applied = match applied {
            Err(conflicts) if self.manager == last_applied::MANAGER => {
                let left = last_applied::unexplained(self, base, conflicts);
                if left.is_empty() { self.lay(base, managers, config, true) } else { Err(left) }
            }
            other => other,
        };
        let (object, managers) = applied.map_err(|found| conflict::status(&found))?;
        let object = match object {
            Some(object) if self.manager == last_applied::MANAGER => {
                last_applied::synced(object, config)
            }
            Some(object) => object,
            None => base.clone(),
        };
        Ok(Applied { object, managed: managers.write() })
    }

    fn check(&self, config: &Value) -> Result<(), Status> {
        let text = |name: &str| config[name].as_str().unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        if api_version != self.kind.api_version() || kind != self.kind.kind {
            let slash = if api_version.contains('/') { "" } else { "/" };
            return Err(Status::bad_request(format!(
                "invalid object type: {slash}{api_version}, Kind={kind}"
            )));
        }
        if !config["metadata"]["managedFields"].is_null() {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let mut faults = merging::faults(self.root(), config);
        types::faults(self.kind, self.schema, config, merging::FAULTS_MAX, &mut faults);
        let text = match faults.as_slice() {
            // What is left is the decoder's: an integer with a fraction, a time that is none.
            [] => return schema::check_types(self.kind, config),
            [one] => one.clone(),
            many => format!("errors:\n  {}", many.join("\n  ")),
        };
        let (group, version) = (self.kind.group, self.kind.version);
        let meta = |name: &str| config["metadata"][name].as_str().unwrap_or_default();
        let name = format!("{}/{}", meta("namespace"), meta("name"));
        Err(Status::failure(
            500,
            "",
            format!(
                "failed to create typed patch object ({name}; {group}/{version}, Kind={kind}): {text}"
            ),
        ))
    }

    /// Merges, prunes and settles who owns what. No object: nothing changes.
    fn lay(
        &self,
        live: &Value,
        mut managers: Managers,
        config: &Value,
        force: bool,
    ) -> Result<(Option<Value>, Managers), Vec<Conflict>> {
        let root = self.root();
        let merged = merging::merge(root, Some(live), Some(config)).unwrap_or_default();
        let applied = field_set(root, config);
        let mut entry = self.entry(true, self.owned(applied.clone()));
        let last = managers.find(&entry).cloned();
        managers.put(entry.clone());
        let pruned = match &last {
            Some(last) => {
                // The name counts here: it keeps the metadata when nothing else of it is owned.
                let mut owned = managers.union();
                owned.extend(applied);
                prune(root, &merged, &owned, &last.fields)
            }
            None => merged,
        };
        let difference = compare(root, Some(live), Some(&pruned));
        let taken = self.owned(difference.set());
        let conflicts = conflict::find(&managers, &entry, &taken);
        if !conflicts.is_empty() && !force {
            return Err(conflicts);
        }
        managers.take(&taken, Some(&entry));
        managers.take(&difference.removed, Some(&entry));
        let is_noop = difference.is_empty();
        if is_noop
            && let Some(last) = last
            && last.fields == entry.fields
            && last.api_version == entry.api_version
        {
            // Nothing changes, so the time does not either.
            entry.time = last.time;
            managers.put(entry);
        }
        Ok((if is_noop { None } else { Some(pruned) }, managers))
    }
}

/// What an apply makes of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The object, without defaults and not yet canonical.
    pub object: Value,
    /// Its `managedFields`, in stored form.
    pub managed: Option<String>,
}

/// Takes out of `merged` what the manager applied last time (`last`), does not apply any more, and
/// nobody else owns.
fn prune(root: Place<'_>, merged: &Value, owned: &FieldSet, last: &FieldSet) -> Value {
    let with_structs = |set: &FieldSet| set.with_structs(root);
    let last = with_structs(last);
    let all = with_structs(&field_set(root, merged));
    let pruned = merging::remove(root, merged, &last);
    // Back comes what somebody owns…
    let mut gone = all.clone();
    let mut kept = with_structs(&field_set(root, &pruned));
    kept.extend(with_structs(owned));
    gone.subtract(&kept);
    let pruned = merging::remove(root, merged, &gone);
    // …and what went only because something around it did.
    let mut gone = all;
    gone.subtract(&with_structs(&field_set(root, &pruned)));
    merging::remove(root, merged, &gone.common(&last))
}

/// Lays a configuration over an object, whoever owns what: what `Object{}` of
/// a mutating admission policy does.
///
/// # Errors
/// What in the configuration does not fit the schema.
pub fn lay_over(kind: &'static Kind, live: &Value, config: &Value) -> Result<Value, String> {
    let served = kind.served();
    let schema = served.as_ref().map(|s| &s.schema);
    let root = topology::root(kind, schema);
    let mut faults = merging::faults(root, config);
    types::faults(kind, schema, config, merging::FAULTS_MAX, &mut faults);
    match faults.as_slice() {
        [] => Ok(merging::merge(root, Some(live), Some(config)).unwrap_or_else(|| live.clone())),
        [one] => Err(one.clone()),
        many => Err(format!("errors:\n  {}", many.join("\n  "))),
    }
}

/// Whether two stored forms of `managedFields` say the same, times aside.
pub fn same_owners(a: Option<&str>, b: Option<&str>) -> bool {
    a == b || Managers::of_stored(a).is_same(&Managers::of_stored(b))
}
