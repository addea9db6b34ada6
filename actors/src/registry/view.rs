//! Reading objects from memory: what controllers, the scheduler and admission decide on.

use std::{collections::BTreeMap, sync::Arc};

use kabuki_api::kind::{CUSTOM_RESOURCE_DEFINITION, Kind};
use serde_json::Value;

use super::{definitions::Definitions, object::Object};

/// A consistent-enough picture of the cluster in memory. Reads never wait and never fail; they may
/// lag behind the leader by what has not been applied here yet.
pub trait View: Send + Sync {
    /// One object; `ns` is ignored for cluster-scoped kinds.
    fn get(&self, kind: &'static Kind, ns: &str, name: &str) -> Option<Arc<Object>>;
    /// All objects of a kind, or of one namespace, ordered by namespace and name.
    fn list(&self, kind: &'static Kind, ns: Option<&str>) -> Vec<Arc<Object>>;
    /// The custom kinds.
    fn definitions(&self) -> Arc<Definitions>;
}

/// A view made of values, for tests of pure decisions.
#[derive(Default, Clone)]
pub struct MemView {
    objects: BTreeMap<String, Arc<Object>>,
    revision: u64,
}

impl MemView {
    /// An empty view.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces an object; every call takes the next revision.
    #[must_use]
    pub fn with(mut self, kind: &'static Kind, value: Value) -> Self {
        self.put(kind, value);
        self
    }

    /// Adds or replaces an object and returns it.
    pub fn put(&mut self, kind: &'static Kind, value: Value) -> Arc<Object> {
        self.revision += 1;
        let object = Arc::new(Object::from_value(kind, &value, self.revision));
        self.objects.insert(object.key().to_owned(), Arc::clone(&object));
        object
    }

    /// Removes an object.
    pub fn remove(&mut self, kind: &'static Kind, ns: &str, name: &str) {
        let key = kind.key(ns, name);
        self.objects.remove(&key);
    }
}

impl View for MemView {
    fn get(&self, kind: &'static Kind, ns: &str, name: &str) -> Option<Arc<Object>> {
        self.objects.get(&kind.key(ns, name)).cloned()
    }

    fn list(&self, kind: &'static Kind, ns: Option<&str>) -> Vec<Arc<Object>> {
        let prefix = kind.prefix(ns);
        self.objects
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .map(|(_, object)| Arc::clone(object))
            .collect()
    }

    fn definitions(&self) -> Arc<Definitions> {
        let definitions = self.list(CUSTOM_RESOURCE_DEFINITION, None);
        let records: Vec<_> = definitions.iter().map(|d| Arc::clone(d.record())).collect();
        Arc::new(Definitions::of_records(&records, self.revision))
    }
}
