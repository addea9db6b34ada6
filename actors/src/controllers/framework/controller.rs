//! What a controller is.

use std::{sync::Arc, time::Duration};

use kabuki_api::{kind::Kind, status::Status};

use super::command::{ObjectRef, Plan};
use crate::{
    controllers::model::Time,
    registry::{Object, View},
};

/// What a controller works on: one object, or whatever it names so.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Key {
    /// Only for controllers that work on several kinds: the plural and group are in the kind's key
    /// prefix, so that keys sort and print well.
    pub topic: &'static str,
    pub namespace: String,
    pub name: String,
}

impl Key {
    /// An object of the controller's own kind.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { topic: "", namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// The object of a change.
    pub fn of(object: &Object) -> Self {
        Self::new(object.namespace(), object.name())
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (topic, namespace, name) = (self.topic, &self.namespace, &self.name);
        match namespace.is_empty() {
            true => write!(f, "{topic}{name}"),
            false => write!(f, "{topic}{namespace}/{name}"),
        }
    }
}

/// One change of one object.
#[derive(Debug, Clone)]
pub struct Change {
    /// The object as it is now, or its last state when `gone`.
    pub object: Arc<Object>,
    /// The object before; absent for new objects and for the state at the start of a watch.
    pub previous: Option<Arc<Object>>,
    /// Whether it was removed.
    pub gone: bool,
}

impl Change {
    /// The kind of the object.
    pub fn kind(&self) -> &'static Kind {
        self.object.kind()
    }
}

/// Why a decision could not be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ReconcileError {
    /// A stored object does not fit the fields controllers read.
    #[error("{0}; correct or delete the object")]
    Undecodable(String),
    /// The object asks for something that cannot be.
    #[error("{0}")]
    Invalid(String),
}

/// Kinds of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Update,
    Delete,
}

/// A command that was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What was tried, [`super::Command::describe`].
    pub what: String,
    /// What was tried, in a word.
    pub verb: Verb,
    /// The refused object of a create or update.
    pub name: String,
    /// The answer.
    pub status: Status,
}

/// A decision and what it depends on. State, if any, is only what a decision remembers from earlier
/// changes, and can be lost at any time.
pub(crate) trait Controller: Clone + Send + Unpin + 'static {
    /// Upstream's name of the controller, source of its events.
    const NAME: &'static str;
    /// Most keys whose commands are under way at once.
    const WORKERS: usize = 16;

    /// Kinds whose changes matter, the controller's own first.
    fn watches(&self) -> Vec<&'static Kind>;

    /// Custom kinds whose changes matter, too. They come and go: this is asked again whenever a
    /// definition changed, for controllers that watch those.
    fn custom(&self, _view: &dyn View) -> Vec<&'static Kind> {
        Vec::new()
    }

    /// The keys a change concerns: by default the object's own, while it is there.
    fn keys(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if !change.gone {
            out.push(Key::of(&change.object));
        }
    }

    /// The keys an object concerns that was there at the start. Fewer than those of a change where
    /// other objects of the state bring the same keys.
    fn keys_at_start(&mut self, view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        self.keys(view, change, out);
    }

    /// The state of a kind is about to be reported anew; forget what was remembered of it.
    fn forget(&mut self, _kind: &'static Kind) {}

    /// Keys to work on once at the start, besides those of the initial state.
    fn initial(&self) -> Vec<Key> {
        Vec::new()
    }

    /// All keys anything can have to be done for, when changes were lost.
    fn resync(&mut self, view: &dyn View, out: &mut Vec<Key>) {
        out.extend(self.initial());
        for kind in self.watches() {
            for object in view.list(kind, None) {
                let change = Change { object, previous: None, gone: false };
                self.keys_at_start(view, &change, out);
            }
        }
    }

    /// The object of a key, to say something about it.
    fn subject(&self, view: &dyn View, key: &Key) -> Option<ObjectRef> {
        let own = self.watches().into_iter().next()?;
        view.get(own, &key.namespace, &key.name).map(|object| ObjectRef::to(&object))
    }

    /// Decides. `now` is the wall clock; `view` is newer than every change reported before.
    fn reconcile(&mut self, view: &dyn View, key: &Key, now: Time) -> Result<Plan, ReconcileError>;

    /// What to do (conditions, events) when a command of the plan was refused other than by a
    /// conflict. The key is tried again in any case.
    fn refused(&mut self, _view: &dyn View, _key: &Key, _now: Time, _failure: &Failure) -> Plan {
        Plan::done()
    }
}

/// First retry after a failure.
pub(crate) const BACKOFF_MIN: Duration = Duration::from_millis(5);
/// Longest wait between retries.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// Longest wait between retries where the object is not to blame: others write it, too, or the store
/// was out of reach.
pub(crate) const BLAMELESS_MAX: Duration = Duration::from_secs(5);
/// Panics after which an object is quarantined.
pub(crate) const MAX_PANICS: u32 = 3;
/// Failures in a row after which an object is quarantined.
pub(crate) const MAX_FAILURES: u32 = 20;
/// How long a quarantined object is left alone, whatever happens to it.
pub(crate) const QUARANTINE: Duration = Duration::from_secs(300);
