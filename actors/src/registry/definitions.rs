//! Which custom kinds there are: the CustomResourceDefinitions that are applied here, read again
//! whenever one changed. Who saw a definition in this member's state can use its kind there at once:
//! every look asks the store first whether the definitions are still those last read.

use std::{collections::BTreeMap, sync::Arc};

use kabuki_api::{
    crd,
    kind::{
        self, CUSTOM_RESOURCE_DEFINITION, Kind, ScalePaths, Served,
        custom::{self, Form},
    },
    status::Status,
};
use kabuki_raft::{Record, Revision};
use parking_lot::{Mutex, RwLock};
use serde_json::Value;

use super::{object::Object, store::Registry, strategy::strings};

/// One definition that is served.
#[derive(Debug)]
pub struct Definition {
    /// Revision of the definition this was read from.
    revision: Revision,
    key: Arc<str>,
    /// Its served versions, the one clients prefer first.
    kinds: Vec<&'static Kind>,
    /// Where the stored form is, served or not.
    stored: Option<&'static Kind>,
    /// Whether it is being deleted: nothing new is taken.
    terminating: bool,
    established: bool,
    names_accepted: bool,
    group: String,
    names: AcceptedNames,
}

/// The names a definition holds in its group.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AcceptedNames {
    /// Plural, singular and short names.
    pub resources: Vec<String>,
    /// Kind and kind of the list.
    pub kinds: Vec<String>,
}

impl AcceptedNames {
    fn of(names: &Value) -> Self {
        let given = |field: &str| names[field].as_str().filter(|n| !n.is_empty());
        let one =
            |fields: [&'static str; 2]| fields.into_iter().filter_map(given).map(str::to_owned);
        let mut resources: Vec<String> = one(["plural", "singular"]).collect();
        resources.extend(strings(&names["shortNames"]).into_iter().map(str::to_owned));
        Self { resources, kinds: one(["kind", "listKind"]).collect() }
    }
}

impl Definition {
    /// Its served versions, the one clients prefer first.
    pub fn kinds(&self) -> &[&'static Kind] {
        &self.kinds
    }

    /// The kind whose form is stored, which no client may be able to ask for.
    pub fn stored(&self) -> Option<&'static Kind> {
        self.stored
    }

    /// Whether it is being deleted: nothing new is taken.
    pub fn is_terminating(&self) -> bool {
        self.terminating
    }

    /// Its name, `plural.group`.
    pub fn name(&self) -> &str {
        self.key.rsplit('/').next().unwrap_or_default()
    }

    /// Whether its kind was ever served.
    pub fn is_established(&self) -> bool {
        self.established
    }

    /// Whether it has all the names it asks for.
    pub fn has_all_names(&self) -> bool {
        self.names_accepted
    }

    /// Its API group.
    pub fn group(&self) -> &str {
        &self.group
    }

    /// The names it holds in its group.
    pub fn names(&self) -> &AcceptedNames {
        &self.names
    }

    /// Revision and key of the definition: what a new object depends on.
    pub(super) fn origin(&self) -> (&Arc<str>, Revision) {
        (&self.key, self.revision)
    }
}

/// All definitions at one time, by name.
#[derive(Debug, Default)]
pub struct Definitions {
    revision: Revision,
    by_name: BTreeMap<String, Arc<Definition>>,
}

impl Definitions {
    /// The definitions in these records, as of a revision.
    pub(super) fn of_records(records: &[Arc<Record>], revision: Revision) -> Self {
        Self { revision, by_name: read(&Self::default(), records) }
    }

    /// The definitions that are served, by name (`plural.group`).
    pub fn all(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.by_name.values()
    }

    /// A definition by its name (`plural.group`).
    pub fn get(&self, name: &str) -> Option<&Arc<Definition>> {
        self.by_name.get(name)
    }

    /// The definition of a kind.
    pub fn of(&self, kind: &Kind) -> Option<&Arc<Definition>> {
        self.by_name.get(&format!("{}.{}", kind.plural, kind.group))
    }

    /// A custom kind by its URL parts.
    pub fn by_resource(&self, group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
        let definition = self.by_name.get(&format!("{plural}.{group}"))?;
        definition.kinds.iter().copied().find(|kind| kind.version == version)
    }

    /// A custom kind by what objects say of themselves.
    pub fn by_kind(&self, api_version: &str, name: &str) -> Option<&'static Kind> {
        let (group, version) = api_version.split_once('/')?;
        let kinds = self.all().flat_map(|definition| &definition.kinds);
        kinds.copied().find(|k| k.kind == name && k.group == group && k.version == version)
    }

    /// The kinds objects are stored as, one for each definition.
    pub fn stored(&self) -> impl Iterator<Item = &'static Kind> {
        self.all().filter_map(|definition| definition.stored)
    }

    /// Revision of the state these are the definitions of.
    pub fn revision(&self) -> Revision {
        self.revision
    }
}

/// The definitions last read.
#[derive(Default)]
pub(super) struct DefinitionCache {
    current: RwLock<Arc<Definitions>>,
    /// Held while they are read again, so that no schema is compiled twice.
    reading: Mutex<()>,
}

impl Registry {
    /// The custom kinds of the state that is applied here.
    pub fn definitions(&self) -> Arc<Definitions> {
        let topic = CUSTOM_RESOURCE_DEFINITION.topic();
        let revision = self.store().topic_revision(topic);
        let cache = self.definition_cache();
        let current = || {
            let current = cache.current.read();
            (current.revision >= revision).then(|| Arc::clone(&current))
        };
        if let Some(current) = current() {
            return current;
        }
        let _reading = cache.reading.lock();
        if let Some(current) = current() {
            return current;
        }
        let before = Arc::clone(&cache.current.read());
        // Read after the revision was taken: the definitions are at least as new as it says.
        let records = self.store().list(topic, None, 0).records;
        let now = Arc::new(Definitions { revision, by_name: read(&before, &records) });
        close(&before, &now);
        *cache.current.write() = Arc::clone(&now);
        now
    }

    /// A kind by its URL parts, built in or custom, if it is known here.
    pub fn known_resource(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<&'static Kind> {
        let built_in = kind::by_resource(group, version, plural);
        let custom = || self.definitions().by_resource(group, version, plural);
        built_in.or_else(|| may_be_custom(group).then(custom).flatten())
    }

    /// A kind by its URL parts, built in or custom. What is not known here may just not be applied
    /// on this member yet.
    ///
    /// # Errors
    /// 404; 503 when a quorum cannot be asked.
    pub async fn resource(
        &self,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Result<&'static Kind, Status> {
        if let Some(kind) = self.known_resource(group, version, plural) {
            return Ok(kind);
        }
        if !may_be_custom(group) {
            return Err(Status::unknown_resource());
        }
        self.barrier().await?;
        let found = self.definitions().by_resource(group, version, plural);
        found.ok_or_else(Status::unknown_resource)
    }
}

/// The groups of definitions have a dot.
fn may_be_custom(group: &str) -> bool {
    group.contains('.')
}

fn read(before: &Definitions, records: &[Arc<Record>]) -> BTreeMap<String, Arc<Definition>> {
    let mut out = BTreeMap::new();
    for record in records {
        let name = record.key.rsplit('/').next().unwrap_or_default();
        let known = before.by_name.get(name).filter(|d| d.revision == record.mod_revision);
        let definition = match known {
            Some(known) => Arc::clone(known),
            None => {
                let object = Object::new(CUSTOM_RESOURCE_DEFINITION, Arc::clone(record));
                Arc::new(read_one(record, &object.detached()))
            }
        };
        out.insert(name.to_owned(), definition);
    }
    out
}

/// Empties the slots of versions that are gone.
fn close(before: &Definitions, now: &Definitions) {
    for kind in before.all().flat_map(|d| d.kinds.iter().chain(&d.stored)) {
        let stays =
            now.of(kind).is_some_and(|d| d.kinds.iter().chain(&d.stored).any(|k| k == kind));
        if let (false, Some(slot)) = (stays, kind.custom) {
            slot.set(None);
        }
    }
}

/// Reads a definition and puts what it says of its versions into their slots.
fn read_one(record: &Record, definition: &Value) -> Definition {
    let (spec, status) = (&definition["spec"], &definition["status"]);
    let is = |wanted: &str| {
        let conditions = status["conditions"].as_array();
        conditions
            .is_some_and(|all| all.iter().any(|c| c["type"] == wanted && c["status"] == "True"))
    };
    let mut out = Definition {
        revision: record.mod_revision,
        key: Arc::clone(&record.key),
        kinds: Vec::new(),
        stored: None,
        group: spec["group"].as_str().unwrap_or_default().to_owned(),
        names: AcceptedNames::of(&status["acceptedNames"]),
        established: is("Established"),
        names_accepted: is("NamesAccepted"),
        terminating: is("Terminating") || definition["metadata"]["deletionTimestamp"].is_string(),
    };
    if !out.established {
        return out;
    }
    let versions = spec["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let stored = versions.iter().find(|v| v["storage"] == true).map(|v| v["name"].clone());
    let stored = stored.as_ref().and_then(Value::as_str).unwrap_or_default();
    // The stored one first: the others refer to it.
    let (first, others): (Vec<_>, Vec<_>) = versions.iter().partition(|v| v["name"] == stored);
    for version in first.into_iter().chain(others) {
        let name = version["name"].as_str().unwrap_or_default();
        if version["served"] != true && name != stored {
            continue;
        }
        let form = form(spec, &status["acceptedNames"], version, stored);
        match open(&form, version, out.stored) {
            Ok(kind) => {
                if name == stored {
                    out.stored = Some(kind);
                }
                if version["served"] == true {
                    out.kinds.push(kind);
                }
            }
            Err(error) => {
                tracing::error!(
                    key = &*record.key,
                    version = name,
                    error,
                    "a custom kind cannot be served"
                );
            }
        }
    }
    out.kinds.sort_by(|a, b| custom::by_priority(a.version, b.version));
    out
}

/// Makes the row of a version and fills its slot.
fn open(
    form: &Form,
    version: &Value,
    stored: Option<&'static Kind>,
) -> Result<&'static Kind, &'static str> {
    if stored.is_none() && !form.stored_version.is_empty() {
        return Err("the version that is stored cannot be served");
    }
    let served = served(form, version)?;
    let kind = custom::row(form, stored)
        .ok_or("too many custom kinds in the life of this process: start it again")?;
    if let Some(slot) = kind.custom {
        slot.set(Some(Arc::new(served)));
    }
    Ok(kind)
}

fn form(spec: &Value, names: &Value, version: &Value, stored: &str) -> Form {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = |value: &Value| strings(value).into_iter().map(str::to_owned).collect();
    let name = text(&version["name"]);
    let fields = version["selectableFields"].as_array().map(Vec::as_slice).unwrap_or_default();
    Form {
        group: text(&spec["group"]),
        kind: text(&names["kind"]),
        list_kind: text(&names["listKind"]),
        plural: text(&names["plural"]),
        singular: text(&names["singular"]),
        short_names: list(&names["shortNames"]),
        categories: list(&names["categories"]),
        namespaced: spec["scope"] == "Namespaced",
        status: version["subresources"]["status"].is_object(),
        scale: version["subresources"]["scale"].is_object(),
        selectable: fields
            .iter()
            .filter_map(|f| f["jsonPath"].as_str())
            .map(|path| path.trim_start_matches('.').to_owned())
            .collect(),
        stored_version: if name == stored { String::new() } else { stored.to_owned() },
        version: name,
    }
}

fn served(form: &Form, version: &Value) -> Result<Served, &'static str> {
    let schema = &version["schema"]["openAPIV3Schema"];
    let schema = crd::Schema::compile(schema).map_err(|_| "its schema cannot be compiled")?;
    let deprecated = version["deprecated"] == true;
    let warning = deprecated.then(|| match version["deprecationWarning"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("{}/{} {} is deprecated", form.group, form.version, form.kind),
    });
    Ok(Served {
        schema,
        columns: crd::columns(version),
        scale: ScalePaths::of(&version["subresources"]["scale"]),
        warning,
    })
}
