//! One stored object at one revision, in the forms its readers need: bytes, JSON value, typed.

use std::{
    any::{Any, TypeId},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use kabuki_api::{
    kind::{self, CONFIG_MAP, CUSTOM_RESOURCE_DEFINITION, EVENT, Kind, LEASE, SECRET},
    selector::{FieldSelector, LabelSelector},
    status::Status,
};
use kabuki_raft::{Record, Revision};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::canonical::{self, PREFIX};

/// Kinds of which there are many and whose content nobody here reads: they are not kept decoded.
static BULK_KINDS: &[&Kind] = &[CONFIG_MAP, SECRET, EVENT, LEASE, CUSTOM_RESOURCE_DEFINITION];

/// An object at one revision. Cheap to make: nothing is decoded before it is asked for, and what is
/// decoded is attached to the [`Record`], so that all readers of that revision share it.
///
/// Reading bytes ([`Object::write_json`], [`Object::encoded`], name, namespace, revision) never
/// decodes and leaves nothing attached; that keeps kinds that nobody reads decoded small.
pub struct Object {
    kind: &'static Kind,
    record: Arc<Record>,
    body: OnceLock<Arc<Body>>,
}

/// What is attached to a record once somebody reads it decoded.
#[derive(Default)]
struct Body {
    value: OnceLock<Value>,
    typed: OnceLock<(TypeId, Arc<dyn Any + Send + Sync>)>,
}

/// Which identification an encoded object carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeMeta {
    /// `kind` and `apiVersion`: objects that stand alone, and watch events.
    Full,
    /// Neither: items of a list.
    Item,
}

impl Object {
    /// Wraps a record of `kind`.
    pub fn new(kind: &'static Kind, record: Arc<Record>) -> Self {
        Self { kind, record, body: OnceLock::new() }
    }

    /// Builds an object that is not (or not yet) in the store: answers of dry runs, tests.
    /// `value` may carry `apiVersion`, `kind` and `metadata.resourceVersion`; they are ignored.
    pub fn from_value(kind: &'static Kind, value: &Value, revision: Revision) -> Self {
        let mut stored = value.clone();
        kind::to_storage_version(kind, &mut stored);
        let meta = &stored["metadata"];
        let key = kind.key(text(meta, "namespace"), text(meta, "name"));
        let managed = meta.get("managedFields").map(Value::to_string);
        let bytes = canonical::encode(&stored, managed.as_deref());
        let record = Record::new(key.into(), bytes, revision, revision);
        Self::new(kind, Arc::new(record))
    }

    /// The same value at another revision: what a watcher sees when an object stops matching.
    pub(crate) fn at_revision(&self, revision: Revision) -> Self {
        let record = Record::new(
            Arc::clone(&self.record.key),
            self.record.value.clone(),
            self.record.create_revision,
            revision,
        );
        Self::new(self.kind, Arc::new(record))
    }

    /// The kind, which also says the version the value is served in.
    pub fn kind(&self) -> &'static Kind {
        self.kind
    }

    /// The record in the store.
    pub fn record(&self) -> &Arc<Record> {
        &self.record
    }

    /// The store key.
    pub fn key(&self) -> &str {
        &self.record.key
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        self.record.key.rsplit('/').next().unwrap_or_default()
    }

    /// `metadata.namespace`; empty for cluster-scoped kinds.
    pub fn namespace(&self) -> &str {
        if !self.kind.namespaced {
            return "";
        }
        self.record.key.rsplit('/').nth(1).unwrap_or_default()
    }

    /// The revision of the last write, `metadata.resourceVersion`.
    pub fn revision(&self) -> Revision {
        self.record.mod_revision
    }

    /// Whether the stored bytes are an object: those nobody here has the key of are not. Such an
    /// object has its name and nothing else.
    pub fn is_readable(&self) -> bool {
        self.record.value.starts_with(PREFIX)
    }

    /// Refuses an object whose stored bytes cannot be read (apiserver `pkg/storage/errors.go`).
    ///
    /// # Errors
    /// 500.
    pub(crate) fn check_readable(&self) -> Result<(), Status> {
        if self.is_readable() {
            return Ok(());
        }
        Err(Status::internal(format!(
            "unable to transform key {:?}: no matching key was found: add the key it was encrypted \
             with to --encryption-provider-config of this member",
            self.key()
        )))
    }

    /// The whole object with `apiVersion`, `kind` and `metadata.resourceVersion`, without
    /// `metadata.managedFields` (see [`Object::managed`]); decoded once per revision and shared.
    pub fn value(&self) -> &Value {
        self.body().value.get_or_init(|| self.decode())
    }

    /// The JSON of `metadata.managedFields`, if the fields have owners.
    pub fn managed(&self) -> Option<&str> {
        canonical::managed(&self.record.value)
    }

    /// `metadata` of [`Object::value`].
    pub fn metadata(&self) -> &Value {
        &self.value()["metadata"]
    }

    /// `metadata.uid`.
    pub fn uid(&self) -> &str {
        text(self.metadata(), "uid")
    }

    /// `metadata.labels`, `Null` without labels.
    pub fn labels(&self) -> &Value {
        &self.metadata()["labels"]
    }

    /// One annotation.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.metadata()["annotations"][name].as_str()
    }

    /// Whether `metadata.deletionTimestamp` is set.
    pub fn is_deleting(&self) -> bool {
        self.metadata()["deletionTimestamp"].is_string()
    }

    /// The object as a type of k8s-openapi (or any other), without `managedFields`; decoded once per
    /// revision and shared.
    /// A second type for the same object is decoded on every call.
    ///
    /// # Errors
    /// 500 when the stored object does not fit the type.
    pub fn typed<T: DeserializeOwned + Send + Sync + 'static>(&self) -> Result<Arc<T>, Status> {
        let body = self.body();
        if let Some((id, shared)) = body.typed.get()
            && *id == TypeId::of::<T>()
            && let Ok(typed) = Arc::clone(shared).downcast::<T>()
        {
            return Ok(typed);
        }
        let typed: T = serde_json::from_slice(&self.encoded())
            .map_err(|e| Status::internal(format!("cannot decode {}: {e}", self.key())))?;
        let typed = Arc::new(typed);
        let shared: Arc<dyn Any + Send + Sync> = typed.clone();
        let _ = body.typed.set((TypeId::of::<T>(), shared));
        Ok(typed)
    }

    /// The object as JSON with `kind`, `apiVersion` and `metadata.resourceVersion`.
    pub fn encoded(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.record.value.len() + 96);
        self.write_json(&mut out, TypeMeta::Full);
        out.into()
    }

    /// Appends the object as JSON. A copy of the stored bytes with a few words spliced in, except
    /// for kinds served in another form than the stored one.
    pub fn write_json(&self, out: &mut Vec<u8>, type_meta: TypeMeta) {
        if self.is_converted() {
            return self.write_converted(out, type_meta);
        }
        out.push(b'{');
        if type_meta == TypeMeta::Full {
            canonical::write_type(out, self.kind);
            out.push(b',');
        }
        self.write_spliced(&self.record.value, out);
    }

    /// Whether what readers see is made from the stored bytes rather than copied: another version,
    /// or a custom kind, whose definition may have changed since the object was written.
    fn is_converted(&self) -> bool {
        self.kind.custom.is_some() || self.kind != self.kind.storage_kind()
    }

    /// [`Object::value`], decoded for the caller alone: nothing is left attached.
    pub(crate) fn detached(&self) -> Value {
        let decoded = self.body.get().and_then(|body| body.value.get());
        decoded.map_or_else(|| self.decode(), Value::clone)
    }

    fn write_spliced(&self, stored: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&PREFIX[1..]);
        // What a dry run would have created has no revision.
        if self.record.mod_revision > 0 {
            out.extend_from_slice(b"\"resourceVersion\":\"");
            out.extend_from_slice(self.record.mod_revision.to_string().as_bytes());
            out.extend_from_slice(b"\",");
        }
        if !self.is_readable() {
            let name = Value::from(self.name());
            let namespace = Value::from(self.namespace());
            out.extend_from_slice(
                format!("\"name\":{name},\"namespace\":{namespace}}}}}").as_bytes(),
            );
            return;
        }
        out.extend_from_slice(stored.get(PREFIX.len()..).unwrap_or(b"}}"));
    }

    fn write_converted(&self, out: &mut Vec<u8>, type_meta: TypeMeta) {
        let mut value = self.detached();
        if let Some(managed) = self.managed() {
            value["metadata"]["managedFields"] = serde_json::from_str(managed).unwrap_or_default();
        }
        // Upstream, lists of custom resources are lists of whole objects.
        if type_meta == TypeMeta::Item
            && self.kind.custom.is_none()
            && let Some(map) = value.as_object_mut()
        {
            map.remove("kind");
            map.remove("apiVersion");
        }
        out.extend_from_slice(value.to_string().as_bytes());
    }

    /// Whether the labels match. Leaves a decoded form behind only for kinds that controllers read
    /// decoded anyway; a selector over 50,000 ConfigMaps must not keep 50,000 values.
    pub fn matches_labels(&self, selector: &LabelSelector) -> bool {
        match self.decoded() {
            Some(value) => selector.matches(&value["metadata"]["labels"]),
            None => selector.matches(&self.peek_metadata("labels")),
        }
    }

    /// Whether the fields match; leaves a decoded form behind as [`Object::matches_labels`] does.
    pub fn matches_fields(&self, selector: &FieldSelector) -> bool {
        match self.decoded() {
            Some(value) => selector.matches(self.kind, value),
            None => selector.matches(self.kind, &self.decode()),
        }
    }

    /// One field of the metadata without attaching a decoded form to the record: for readers that
    /// look at every object of every kind, such as the garbage collector.
    pub fn peek_metadata(&self, field: &str) -> Value {
        if let Some(value) = self.decoded() {
            return value["metadata"][field].clone();
        }
        canonical::metadata(&self.record.value).get_mut(field).map_or(Value::Null, Value::take)
    }

    /// All metadata without attaching a decoded form to the record (no `resourceVersion`).
    pub fn peek_all_metadata(&self) -> Map<String, Value> {
        canonical::metadata(&self.record.value)
    }

    /// The decoded form where it exists, or where making it costs nothing that is not spent anyway.
    fn decoded(&self) -> Option<&Value> {
        if self.kind.custom.is_none() && !BULK_KINDS.contains(&self.kind.storage_kind()) {
            return Some(self.value());
        }
        if let Some(body) = self.body.get() {
            return body.value.get();
        }
        if self.is_converted() {
            return None;
        }
        let attached = self.record.attached::<Body>()?;
        self.body.get_or_init(|| attached).value.get()
    }

    fn body(&self) -> &Body {
        self.body.get_or_init(|| {
            if !self.is_converted() {
                self.record.ext(|_| Body::default())
            } else {
                // The record's one attachment belongs to the stored form, for ever.
                Arc::default()
            }
        })
    }

    fn decode(&self) -> Value {
        let mut bytes = Vec::with_capacity(self.record.value.len() + 96);
        let stored = self.kind.storage_kind();
        bytes.push(b'{');
        canonical::write_type(&mut bytes, stored);
        bytes.push(b',');
        self.write_spliced(&canonical::without_managed(&self.record.value), &mut bytes);
        match serde_json::from_slice(&bytes) {
            Ok(mut value) => {
                kind::to_version(self.kind, &mut value);
                if let Some(served) = self.kind.served() {
                    served.refresh(&mut value);
                }
                value
            }
            Err(error) => {
                // Only our own encoder writes values, so this is damage, not input.
                tracing::error!(key = self.key(), %error, "stored object is not JSON");
                Value::Null
            }
        }
    }
}

impl std::fmt::Debug for Object {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.key(), self.revision())
    }
}

impl PartialEq for Object {
    fn eq(&self, other: &Self) -> bool {
        self.record.key == other.record.key && self.revision() == other.revision()
    }
}

/// A string field, empty when absent.
pub(crate) fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}
