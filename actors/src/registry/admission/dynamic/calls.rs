//! Where the registry's writes ask dynamic admission.

use std::borrow::Cow;

use kabuki_api::{
    decode::Duplicates,
    defaults,
    kind::{self, GroupVersionKind, Kind, SCALE},
    status::Status,
};
use serde_json::Value;

use super::{
    super::super::{
        object::{Object, text},
        options::{DeleteOptions, FieldValidation, RequestInfo, Subresource},
        scale, strategy,
    },
    Attributes, Operation, Registry, Rounds, gvk, mutate, mutators_idle, validate, validators_idle,
};

/// What a new object gets only after mutating admission (upstream's `BeforeCreate` comes later), so
/// that plugins see it as the client sent it.
const GIVEN_LATER: &[&str] = &["uid", "creationTimestamp", "generation"];

impl Registry {
    /// Mutating admission of a new object that has its defaults. `generated`: its name is a
    /// generated one, which plugins do not see yet.
    pub(in crate::registry) async fn mutate_new(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        object: &mut Value,
        generated: bool,
    ) -> Result<(), Status> {
        if info.admitted || mutators_idle(self) {
            return Ok(());
        }
        let name = text(&object["metadata"], "name").to_owned();
        let shown = if generated { "" } else { name.as_str() };
        let attributes = Attributes::create(info, kind, ns, shown);
        let mut seen = object.clone();
        hide(&mut seen, generated);
        let mut rounds = Rounds::default();
        if !mutate(self, &attributes, &mut seen, &mut rounds).await? {
            return Ok(());
        }
        // The built-in plugins see what was added, and who wants to sees what they made of that.
        reveal(kind, &mut seen, object);
        super::super::on_create(self, info, kind, &mut seen)?;
        hide(&mut seen, generated);
        if rounds.begin_second(&seen) {
            mutate(self, &attributes, &mut seen, &mut rounds).await?;
        }
        reveal(kind, &mut seen, object);
        strategy::address(kind, ns, None, &mut seen)?;
        *object = seen;
        Ok(())
    }

    /// Validating admission of a new object that is ready to be stored.
    pub(in crate::registry) async fn validate_new(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        object: &Value,
    ) -> Result<(), Status> {
        if info.admitted || validators_idle(self) {
            return Ok(());
        }
        let name = text(&object["metadata"], "name");
        validate(self, &Attributes::create(info, kind, ns, name), object).await
    }

    /// Mutating admission of a change that was prepared by [`strategy::before_update`].
    pub(in crate::registry) async fn mutate_change(
        &self,
        info: &RequestInfo,
        old: &Object,
        object: &mut Value,
        sub: Subresource,
    ) -> Result<(), Status> {
        // A binding was admitted as the body it came in.
        if info.admitted || sub == Subresource::Binding || mutators_idle(self) {
            return Ok(());
        }
        let kind = old.kind();
        let change = Change::of(info, old, sub);
        if change.is_scale() {
            let mut scale = scale::scale_value(kind, object);
            if self.mutate_twice(&change.attributes(info, old), &mut scale).await? {
                scale::set_wanted(kind, object, scale::replicas_of(old.name(), &scale)?);
                strategy::before_update(kind, old.value(), object, sub)?;
            }
            return Ok(());
        }
        if self.mutate_twice(&change.attributes(info, old), object).await? {
            strategy::address(kind, old.namespace(), Some(old.name()), object)?;
            strategy::before_update(kind, old.value(), object, sub)?;
        }
        Ok(())
    }

    /// Validating admission of a change that is ready to be stored.
    pub(in crate::registry) async fn validate_change(
        &self,
        info: &RequestInfo,
        old: &Object,
        object: &Value,
        sub: Subresource,
    ) -> Result<(), Status> {
        if info.admitted || sub == Subresource::Binding || validators_idle(self) {
            return Ok(());
        }
        let change = Change::of(info, old, sub);
        let attributes = change.attributes(info, old);
        if change.is_scale() {
            return validate(self, &attributes, &scale::scale_value(old.kind(), object)).await;
        }
        validate(self, &attributes, object).await
    }

    /// Both phases for an object that is about to be deleted: there is nothing to mutate.
    pub(in crate::registry) async fn admit_delete(
        &self,
        info: &RequestInfo,
        object: &Object,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        if info.admitted || (mutators_idle(self) && validators_idle(self)) {
            return Ok(());
        }
        let of = Attributes::of(Operation::Delete, info, object);
        let attributes = Attributes { delete: Some(options), ..of };
        self.mutate_twice(&attributes, &mut Value::Null).await?;
        validate(self, &attributes, &Value::Null).await
    }

    /// Both phases for a body that is answered or acted on and not stored: a review, a Binding, an
    /// Eviction, a TokenRequest. `sub` is empty for resources of their own.
    ///
    /// # Errors
    /// What a plugin refuses with; 500 when one that must be asked cannot be.
    pub async fn admit_body<'a>(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        (ns, name, sub): (&str, &str, &str),
        body_kind: &'static Kind,
        body: &'a Value,
    ) -> Result<Cow<'a, Value>, Status> {
        if info.admitted || (mutators_idle(self) && validators_idle(self)) {
            return Ok(Cow::Borrowed(body));
        }
        let mut body = body.clone();
        body["kind"] = body_kind.kind.into();
        body["apiVersion"] = body_kind.api_version().into();
        let create = Attributes::create(info, kind, ns, name);
        let attributes = Attributes { subresource: sub, body: gvk(body_kind), ..create };
        self.mutate_twice(&attributes, &mut body).await?;
        validate(self, &attributes, &body).await?;
        Ok(Cow::Owned(body))
    }

    /// Both phases for a stream to a pod, service or node: `exec`, `attach`, `portforward`, `proxy`.
    /// `options` are those of the stream, such as `PodExecOptions`, without `kind` and `apiVersion`.
    /// To be asked after authorization, before the stream is answered.
    ///
    /// # Errors
    /// As [`Registry::admit_body`].
    pub async fn admit_connect(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        (ns, name, sub): (&str, &str, &str),
        mut options: Value,
    ) -> Result<(), Status> {
        if info.admitted || (mutators_idle(self) && validators_idle(self)) {
            return Ok(());
        }
        let body = body_of(kind, sub);
        options["kind"] = body.kind.into();
        options["apiVersion"] = body.version.into();
        let create = Attributes::create(info, kind, ns, name);
        let attributes =
            Attributes { operation: Operation::Connect, subresource: sub, body, ..create };
        self.mutate_twice(&attributes, &mut options).await?;
        validate(self, &attributes, &options).await
    }
}

impl Registry {
    /// Mutating admission with its second round; answers whether the object changed.
    async fn mutate_twice(
        &self,
        attributes: &Attributes<'_>,
        object: &mut Value,
    ) -> Result<bool, Status> {
        let mut rounds = Rounds::default();
        let mut changed = mutate(self, attributes, object, &mut rounds).await?;
        if changed && rounds.begin_second(object) {
            changed |= mutate(self, attributes, object, &mut rounds).await?;
        }
        Ok(changed)
    }
}

/// Takes away what a new object gets later.
fn hide(object: &mut Value, generated: bool) {
    let Some(meta) = object["metadata"].as_object_mut() else { return };
    for field in GIVEN_LATER {
        meta.remove(*field);
    }
    if generated {
        meta.remove("name");
    }
}

/// Gives a new object what `had` has and plugins do not decide: what [`hide`] took away, its name,
/// and its status, which its strategy sets.
fn reveal(kind: &'static Kind, object: &mut Value, had: &Value) {
    if !object["metadata"].is_object() {
        object["metadata"] = Value::Object(serde_json::Map::new());
    }
    for field in GIVEN_LATER.iter().chain(&["name"]) {
        let value = &had["metadata"][*field];
        if !value.is_null() {
            object["metadata"][*field] = value.clone();
        }
    }
    if let Some(map) = object.as_object_mut()
        && kind.has_status()
    {
        map.remove("status");
        if let Some(status) = had.get("status") {
            map.insert("status".to_owned(), status.clone());
        }
    }
}

/// A change as its endpoint shows it.
struct Change {
    subresource: &'static str,
    body: GroupVersionKind,
    /// The stored object in the form of `body`, where that is not the object itself.
    old: Option<Value>,
}

impl Change {
    fn of(info: &RequestInfo, old: &Object, sub: Subresource) -> Self {
        let subresource = match sub {
            Subresource::Status => "status",
            Subresource::Finalize => "finalize",
            Subresource::Approval => "approval",
            Subresource::Binding => "binding",
            Subresource::Main => info.through,
        };
        let mut change = Self { subresource, body: body_of(old.kind(), subresource), old: None };
        if change.is_scale() {
            change.old = Some(scale::scale_value(old.kind(), old.value()));
        }
        change
    }

    fn is_scale(&self) -> bool {
        self.subresource == "scale" && self.body.kind == SCALE.kind
    }

    fn attributes<'a>(&'a self, info: &'a RequestInfo, old: &'a Object) -> Attributes<'a> {
        let of = Attributes::of(Operation::Update, info, old);
        Attributes {
            subresource: self.subresource,
            body: self.body,
            old: self.old.as_ref().or(of.old),
            old_managed: of.old_managed.filter(|_| self.old.is_none()),
            ..of
        }
    }
}

fn body_of(kind: &'static Kind, subresource: &str) -> GroupVersionKind {
    kind.subresource(subresource).and_then(|s| s.body).unwrap_or_else(|| gvk(kind))
}

/// What a plugin made of an object is read like a client's and gets its defaults, but nobody is told
/// of fields it made up.
///
/// # Errors
/// 400 for what is no object of its kind.
pub(super) fn normalise(attributes: &Attributes<'_>, object: &mut Value) -> Result<(), Status> {
    let body = attributes.body;
    let kind = if body == gvk(attributes.kind) {
        attributes.kind
    } else {
        let api_version = object["apiVersion"].as_str().unwrap_or_default().to_owned();
        // The options of a stream have no schema here, and nobody reads what a plugin made of them.
        let Some(kind) = kind::by_kind(&api_version, body.kind) else { return Ok(()) };
        kind
    };
    let quiet = RequestInfo {
        user: attributes.info.user.clone(),
        field_validation: FieldValidation::Ignore,
        duplicates: Duplicates::default(),
        ..RequestInfo::default()
    };
    strategy::accept(&quiet, kind, object, &mut Vec::new())?;
    defaults::apply(kind, object);
    Ok(())
}
