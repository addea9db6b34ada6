//! The ReplicaSets of one Deployment, while a decision changes them.

use serde_json::Value;

use crate::controllers::{
    framework::Command,
    model::{ReplicaSet, Typed},
};

/// A ReplicaSet with the changes decided so far. They become one write.
pub(super) struct Set {
    form: Typed<ReplicaSet>,
    /// `spec.replicas` as decided so far.
    pub replicas: i64,
    value: Option<Value>,
    /// Whether a decided delete makes other changes pointless.
    pub deleted: bool,
}

impl std::ops::Deref for Set {
    type Target = ReplicaSet;

    fn deref(&self) -> &ReplicaSet {
        &self.form
    }
}

impl Set {
    pub fn new(form: Typed<ReplicaSet>) -> Self {
        Self { replicas: form.spec.replicas, form, value: None, deleted: false }
    }

    /// The value to write.
    pub fn edit(&mut self) -> &mut Value {
        self.value.get_or_insert_with(|| self.form.object.value().clone())
    }

    /// An annotation as decided so far.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        let value = self.value.as_ref().unwrap_or_else(|| self.form.object.value());
        value["metadata"]["annotations"][name].as_str()
    }

    /// Sets an annotation unless it says that already.
    pub fn annotate(&mut self, name: &str, text: &str) {
        if self.annotation(name) != Some(text) {
            self.edit()["metadata"]["annotations"][name] = text.into();
        }
    }

    /// Decides a number of pods.
    pub fn set_replicas(&mut self, replicas: i64) {
        if self.replicas != replicas {
            self.replicas = replicas;
            self.edit()["spec"]["replicas"] = replicas.into();
        }
    }

    /// The write, if anything changed.
    pub fn command(&self) -> Option<Command> {
        if self.deleted {
            return Some(Command::delete(&self.form.object));
        }
        let value = self.value.as_ref()?;
        (value != self.form.object.value())
            .then(|| Command::update(&self.form.object, value.clone()))
    }
}

/// Sum of what ReplicaSets are asked for.
pub(super) fn asked(sets: &[Set]) -> i64 {
    sets.iter().map(|set| set.replicas).sum()
}

/// Sum over a number of the status.
pub(super) fn counted(sets: &[Set], of: impl Fn(&ReplicaSet) -> i64) -> i64 {
    sets.iter().map(|set| of(set)).sum()
}
