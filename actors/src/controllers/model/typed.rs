//! An object together with its decoded form.

use std::sync::Arc;

use kabuki_api::kind::Kind;
use serde::de::DeserializeOwned;

use crate::{
    controllers::framework::ReconcileError,
    registry::{Object, View},
};

/// The full object, for writing, and the small form, for reading.
#[derive(Clone)]
pub struct Typed<T> {
    /// The object in the store.
    pub object: Arc<Object>,
    form: Arc<T>,
}

impl<T: DeserializeOwned + Send + Sync + 'static> Typed<T> {
    /// Decodes an object, or takes the form somebody decoded before.
    pub fn of(object: Arc<Object>) -> Result<Self, ReconcileError> {
        let form = object.typed::<T>().map_err(|e| ReconcileError::Undecodable(e.to_string()))?;
        Ok(Self { object, form })
    }
}

impl<T> std::ops::Deref for Typed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.form
    }
}

/// One object.
pub fn get<T: DeserializeOwned + Send + Sync + 'static>(
    view: &dyn View,
    kind: &'static Kind,
    ns: &str,
    name: &str,
) -> Result<Option<Typed<T>>, ReconcileError> {
    view.get(kind, ns, name).map(Typed::of).transpose()
}

/// All objects of a kind or namespace. One that cannot be decoded fails the whole list: a
/// controller that overlooks a pod would create another one, forever.
pub fn list<T: DeserializeOwned + Send + Sync + 'static>(
    view: &dyn View,
    kind: &'static Kind,
    ns: Option<&str>,
) -> Result<Vec<Typed<T>>, ReconcileError> {
    view.list(kind, ns).into_iter().map(Typed::of).collect()
}
