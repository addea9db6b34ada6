//! What a decision may ask for, as plain data.

use std::time::Duration;

use kabuki_api::kind::Kind;
use serde_json::{Value, json};

use crate::{
    controllers::model::OwnerReference,
    registry::{DeleteOptions, Object, Subresource},
};

/// An object an event or an owner reference points to.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectRef {
    pub kind: &'static Kind,
    pub namespace: String,
    pub name: String,
    pub uid: String,
}

impl ObjectRef {
    /// Points to an object of the store.
    pub fn to(object: &Object) -> Self {
        Self {
            kind: object.kind(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: object.uid().to_owned(),
        }
    }

    /// As the managing owner of a dependent.
    pub fn as_controller(&self) -> OwnerReference {
        OwnerReference {
            api_version: self.kind.api_version(),
            kind: self.kind.kind.to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: true,
            block_owner_deletion: true,
        }
    }
}

/// `type` of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    Normal,
    Warning,
}

impl EventKind {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// An event to record.
#[derive(Debug, Clone, PartialEq)]
pub struct Note {
    pub on: ObjectRef,
    pub kind: EventKind,
    pub reason: &'static str,
    pub message: String,
}

impl Note {
    /// An event of type Normal.
    pub fn normal(on: ObjectRef, reason: &'static str, message: impl Into<String>) -> Self {
        Self { on, kind: EventKind::Normal, reason, message: message.into() }
    }

    /// An event of type Warning.
    pub fn warning(on: ObjectRef, reason: &'static str, message: impl Into<String>) -> Self {
        Self { on, kind: EventKind::Warning, reason, message: message.into() }
    }
}

/// An event that is recorded when its command succeeded; `prefix` is followed by the object's name,
/// which for generated names is not known before.
#[derive(Debug, Clone, PartialEq)]
pub struct Announce {
    pub on: ObjectRef,
    pub reason: &'static str,
    pub prefix: &'static str,
}

/// One thing to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Creates an object.
    Create {
        kind: &'static Kind,
        namespace: String,
        object: Value,
        /// Whether an object of that name being there already is success.
        exists_ok: bool,
        announce: Option<Announce>,
    },
    /// Replaces an object (or one subresource). The value carries the `resourceVersion` the decision
    /// was made on, so a concurrent change makes it fail and the decision is made again.
    Update {
        kind: &'static Kind,
        namespace: String,
        name: String,
        object: Value,
        subresource: Subresource,
    },
    /// Deletes an object; one that is gone already is success.
    Delete {
        kind: &'static Kind,
        namespace: String,
        name: String,
        options: DeleteOptions,
        announce: Option<Announce>,
    },
    /// Records an event, in the background.
    Record(Note),
}

impl Command {
    /// Creates an object; its namespace is read from the value.
    pub fn create(kind: &'static Kind, object: Value) -> Self {
        let namespace = object["metadata"]["namespace"].as_str().unwrap_or_default().to_owned();
        Self::Create { kind, namespace, object, exists_ok: false, announce: None }
    }

    /// Replaces the main part of `object` by `value`.
    pub fn update(object: &Object, value: Value) -> Self {
        Self::write(object, value, Subresource::Main)
    }

    /// Replaces the status of `object` by that of `value`.
    pub fn update_status(object: &Object, value: Value) -> Self {
        Self::write(object, value, Subresource::Status)
    }

    /// Replaces one part of `object`.
    pub fn write(object: &Object, value: Value, subresource: Subresource) -> Self {
        Self::Update {
            kind: object.kind(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            object: value,
            subresource,
        }
    }

    /// Deletes exactly this object (uid precondition), dependents in the background.
    pub fn delete(object: &Object) -> Self {
        let options =
            DeleteOptions { uid: Some(object.uid().to_owned()), ..DeleteOptions::background() };
        Self::delete_with(object, options)
    }

    /// Deletes with given options.
    pub fn delete_with(object: &Object, options: DeleteOptions) -> Self {
        Self::Delete {
            kind: object.kind(),
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            options,
            announce: None,
        }
    }

    /// Adds an event for the case of success.
    #[must_use]
    pub fn announced(mut self, event: Announce) -> Self {
        if let Self::Create { announce, .. } | Self::Delete { announce, .. } = &mut self {
            *announce = Some(event);
        }
        self
    }

    /// For messages: what it does to what.
    pub fn describe(&self) -> String {
        match self {
            Self::Create { kind, namespace, object, .. } => {
                let meta = &object["metadata"];
                let name = meta["name"].as_str().or(meta["generateName"].as_str()).unwrap_or("?");
                format!("create {} {namespace}/{name}", kind.plural)
            }
            Self::Update { kind, namespace, name, subresource, .. } => {
                format!("update {} {namespace}/{name} ({subresource:?})", kind.plural)
            }
            Self::Delete { kind, namespace, name, .. } => {
                format!("delete {} {namespace}/{name}", kind.plural)
            }
            Self::Record(note) => format!("record {}", note.reason),
        }
    }
}

/// The outcome of one decision.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Carried out in order; commands of one stage run side by side. The first stage with a failure
    /// is the last one that runs.
    pub stages: Vec<Vec<Command>>,
    /// When to look again even if nothing changes.
    pub requeue: Option<Duration>,
}

impl Plan {
    /// Nothing to do.
    pub fn done() -> Self {
        Self::default()
    }

    /// One command.
    pub fn one(command: Command) -> Self {
        Self { stages: vec![vec![command]], requeue: None }
    }

    /// Adds a stage of one command.
    pub fn then(&mut self, command: Command) {
        self.stages.push(vec![command]);
    }

    /// Adds commands that run side by side.
    pub fn then_all(&mut self, commands: Vec<Command>) {
        if !commands.is_empty() {
            self.stages.push(commands);
        }
    }

    /// Asks to look again after a time; the earliest wins.
    pub fn requeue_after(&mut self, delay: Duration) {
        self.requeue = Some(self.requeue.map_or(delay, |d| d.min(delay)));
    }

    /// All commands in order, for tests.
    #[cfg(test)]
    pub fn commands(&self) -> Vec<&Command> {
        self.stages.iter().flatten().collect()
    }
}

/// An event as the API stores it.
pub fn event_body(note: &Note, component: &str, name: &str, now: &str, count: u32) -> Value {
    let namespace = if note.on.namespace.is_empty() { "default" } else { &note.on.namespace };
    json!({
        "metadata": {"name": name, "namespace": namespace},
        "involvedObject": {
            "apiVersion": note.on.kind.api_version(), "kind": note.on.kind.kind,
            "namespace": note.on.namespace, "name": note.on.name, "uid": note.on.uid,
        },
        "reason": note.reason,
        "message": note.message,
        "type": note.kind.as_str(),
        "source": {"component": component},
        "reportingComponent": component,
        "reportingInstance": "",
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": count,
    })
}
