//! Admission that objects of the cluster configure, and that may have to ask somebody else: the one
//! asynchronous stage of a write (apiserver `pkg/admission/chain.go`).
//!
//! Every write passes here twice, at the same places as upstream: [`mutate`] after the built-in
//! plugins changed the object and before it is validated, [`validate`] after it was validated, with
//! the object exactly as it would be stored. Both are asked again when a write is decided again
//! because something it was decided on changed. Order, as upstream's `AllOrderedPlugins`:
//!
//! 1. built-in mutators ([`super::on_create`], [`super::on_update`])
//! 2. MutatingAdmissionPolicy: belongs in [`mutate`], before the webhooks
//! 3. mutating webhooks
//! 4. validation of the object
//! 5. ValidatingAdmissionPolicy: belongs in [`validate`], before the webhooks
//! 6. validating webhooks
//! 7. ResourceQuota
//!
//! A plugin is a module beside this one with a `mutate` or `validate` of the same signature. Where
//! nothing is configured it must return without waiting and without copying: this runs for every
//! write of every member. It reads its configuration from the applied state ([`Registry`] is a
//! [`super::super::View`]) and keeps what it compiled under the `topic_revision` it was read at.
//! What it wants to say beside its verdict goes to [`Attributes::notes`].
//!
//! `calls` is where the registry calls; nothing here is called while a lock is held.

mod calls;
mod exempt;
mod notes;
mod policies;
mod webhooks;

pub use notes::Notes;
pub(in crate::registry) use policies::Policies;
pub(in crate::registry) use webhooks::Webhooks;

use kabuki_api::{
    kind::{GroupVersionKind, Kind},
    status::Status,
};
use serde_json::{Value, json};

use self::webhooks::Rounds;
use super::super::{
    object::Object,
    options::{DeleteOptions, RequestInfo},
    store::Registry,
};

/// What a request does, in the words of `AdmissionReview`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A new object, or a body posted to a subresource such as `binding`.
    Create,
    /// A changed object.
    Update,
    /// A deleted object.
    Delete,
    /// A stream: `exec`, `attach`, `portforward`, `proxy`.
    Connect,
}

impl Operation {
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Connect => "CONNECT",
        }
    }
}

/// One write, as admission sees it, without the new object.
#[derive(Debug, Clone, Copy)]
pub struct Attributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// The resource the request names, in the version it was asked in.
    pub kind: &'static Kind,
    /// The subresource the request names; empty for the object itself.
    pub subresource: &'a str,
    /// Kind of the new object: `kind`'s, or that of the subresource's body, such as `Scale`.
    pub body: GroupVersionKind,
    /// The namespace; of a Namespace that exists, its own name.
    pub namespace: &'a str,
    /// The name; empty while a new object waits for a generated one.
    pub name: &'a str,
    /// The object as it is stored now (in the form of `body`); absent for what is new.
    pub old: Option<&'a Value>,
    /// JSON of the stored object's `metadata.managedFields`.
    pub old_managed: Option<&'a str>,
    /// The options of a delete.
    pub delete: Option<&'a DeleteOptions>,
    /// Who asks, and with which options.
    pub info: &'a RequestInfo,
}

impl<'a> Attributes<'a> {
    /// A new object of `kind`.
    pub(in crate::registry) fn create(
        info: &'a RequestInfo,
        kind: &'static Kind,
        namespace: &'a str,
        name: &'a str,
    ) -> Self {
        Self {
            operation: Operation::Create,
            kind,
            subresource: "",
            body: gvk(kind),
            namespace: if kind.namespaced { namespace } else { "" },
            name,
            old: None,
            old_managed: None,
            delete: None,
            info,
        }
    }

    /// Something done to `object`, which exists.
    pub(in crate::registry) fn of(
        operation: Operation,
        info: &'a RequestInfo,
        object: &'a Object,
    ) -> Self {
        let kind = object.kind();
        let is_namespace = kind == kabuki_api::kind::NAMESPACE;
        Self {
            operation,
            namespace: if is_namespace { object.name() } else { object.namespace() },
            old: Some(object.value()),
            old_managed: object.managed(),
            ..Self::create(info, kind, "", object.name())
        }
    }

    /// Whether nothing will be stored.
    pub fn dry_run(&self) -> bool {
        self.info.dry_run || self.delete.is_some_and(|options| options.dry_run)
    }

    /// What the audit log and the client are told beside the answer.
    pub fn notes(&self) -> &'a Notes {
        &self.info.notes
    }

    /// `pods` or `pods/status`.
    pub fn resource(&self) -> String {
        if self.subresource.is_empty() {
            return self.kind.plural.to_owned();
        }
        format!("{}/{}", self.kind.plural, self.subresource)
    }

    /// The request's `CreateOptions`, `UpdateOptions` or `DeleteOptions`; `Null` for a stream.
    pub fn options(&self) -> Value {
        let kind = match self.operation {
            Operation::Create => "CreateOptions",
            Operation::Update => "UpdateOptions",
            Operation::Delete => "DeleteOptions",
            Operation::Connect => return Value::Null,
        };
        let mut options = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
        if self.dry_run() {
            options["dryRun"] = json!(["All"]);
        }
        let Some(delete) = self.delete else {
            if !self.info.field_manager.is_empty() {
                options["fieldManager"] = self.info.field_manager.as_str().into();
            }
            if let Some(validation) = self.info.field_validation.name() {
                options["fieldValidation"] = validation.into();
            }
            return options;
        };
        delete.describe(&mut options);
        options
    }
}

pub(super) fn gvk(kind: &Kind) -> GroupVersionKind {
    GroupVersionKind { group: kind.group, version: kind.version, kind: kind.kind }
}

/// Whether [`mutate`] would return at once for everything.
fn mutators_idle(registry: &Registry) -> bool {
    policies::mutators_idle(registry) && webhooks::mutators_idle(registry)
}

/// Whether [`validate`] would return at once for everything.
fn validators_idle(registry: &Registry) -> bool {
    policies::validators_idle(registry) && webhooks::validators_idle(registry)
}

/// Lets the mutating plugins change `object` (`Null` for a delete); answers whether they did. Each
/// leaves it with its defaults; it is not checked yet. `rounds` remembers who wants to be asked
/// again after a change.
///
/// # Errors
/// What a plugin refuses with; 500 when one that must be asked cannot be.
async fn mutate(
    registry: &Registry,
    attributes: &Attributes<'_>,
    object: &mut Value,
    rounds: &mut Rounds,
) -> Result<bool, Status> {
    if exempt::is_exempt(attributes.kind) {
        return Ok(false);
    }
    // Boxed: every write carries the room for this, and hardly one uses it.
    let mut changed = false;
    if !policies::mutators_idle(registry) {
        changed =
            Box::pin(policies::mutate(registry, attributes, object, rounds.is_second())).await?;
    }
    if !webhooks::mutators_idle(registry) {
        changed |= Box::pin(webhooks::mutate(registry, attributes, object, rounds)).await?;
    }
    Ok(changed)
}

/// Asks the validating plugins about `object` as it would be stored (`Null` for a delete).
///
/// # Errors
/// As [`mutate`].
async fn validate(
    registry: &Registry,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Status> {
    if exempt::is_exempt(attributes.kind) {
        return Ok(());
    }
    if !policies::validators_idle(registry) {
        Box::pin(policies::validate(registry, attributes, object)).await?;
    }
    Box::pin(webhooks::validate(registry, attributes, object)).await
}
