//! What expressions see of a request.

use std::sync::{Arc, LazyLock};

use kabuki_api::{
    cel::{
        self, Authorizer as CelAuthorizer, Check, Decision, EvalError, Opaque, Policy, Type,
        Variables, namespace_type, request_type,
    },
    kind::{self, GroupVersionKind, Kind, NAMESPACE},
};
use serde_json::{Map, Value, json};

use super::super::{Attributes, Registry, gvk};
use crate::{
    auth::{Attributes as Asked, Authorizer, UserInfo},
    registry::{Object, View},
};

static REQUEST: LazyLock<Type> = LazyLock::new(request_type);
static NAMESPACE_OBJECT: LazyLock<Type> = LazyLock::new(namespace_type);

/// The request and its objects, in the form of one kind.
pub(super) struct Input {
    /// The kind they are in the form of.
    pub kind: &'static Kind,
    pub object: Value,
    pub old: Value,
    request: Value,
    namespace: Value,
    /// What `authorizer.requestResource` asks about.
    resource: cel::Attributes,
}

impl Input {
    /// What a request looks like as `kind`; `object` as it came.
    pub(super) fn new(
        view: &dyn View,
        attributes: &Attributes<'_>,
        kind: &'static Kind,
        object: &Value,
    ) -> Self {
        let seen = seen_as(attributes, kind);
        let namespaced = attributes.kind != NAMESPACE && !attributes.namespace.is_empty();
        let namespace = namespaced.then(|| view.get(NAMESPACE, "", attributes.namespace)).flatten();
        Self {
            kind,
            object: converted(attributes, kind, object, seen),
            old: attributes.old.map_or(Value::Null, |o| converted(attributes, kind, o, seen)),
            request: request(attributes, kind, seen),
            namespace: namespace.map_or(Value::Null, |n| n.value().clone()),
            resource: cel::Attributes {
                group: attributes.kind.group.to_owned(),
                resource: attributes.kind.plural.to_owned(),
                subresource: attributes.subresource.to_owned(),
                namespace: attributes.namespace.to_owned(),
                name: attributes.name.to_owned(),
                ..cel::Attributes::default()
            },
        }
    }

    /// The object back in the form it came in.
    pub(super) fn original(&self, attributes: &Attributes<'_>, mut object: Value) -> Value {
        if self.kind != attributes.kind {
            kind::to_storage_version(self.kind, &mut object);
            kind::to_version(attributes.kind, &mut object);
        }
        object
    }

    /// The variables of an evaluation of a policy with one parameter object.
    pub(super) fn variables<'a>(
        &'a self,
        policy: Option<&'a Policy>,
        params: Option<&'a Value>,
        authorizer: &'a dyn CelAuthorizer,
    ) -> Variables<'a> {
        let json = |value: &'a Value| cel::Value::from_json(value, &Type::Dyn);
        let check = |check| cel::Value::Opaque(Opaque::Check(Arc::new(check)));
        let mut out = Variables::new();
        out.set("object", json(&self.object));
        out.set("oldObject", json(&self.old));
        out.set("request", cel::Value::from_json(&self.request, &REQUEST));
        out.set("namespaceObject", cel::Value::from_json(&self.namespace, &NAMESPACE_OBJECT));
        out.set("params", params.map_or(cel::Value::Null, json));
        out.set("authorizer", check(Check::authorizer()));
        out.set("authorizer.requestResource", check(Check::resource(self.resource.clone())));
        out.set_authorizer(authorizer);
        for (name, program) in policy.into_iter().flat_map(Policy::variable_programs) {
            out.set_lazy(name, program);
        }
        out
    }
}

/// The kind of the body as the request is looked at: a subresource's is the same in every version.
fn seen_as(attributes: &Attributes<'_>, kind: &Kind) -> GroupVersionKind {
    let own = attributes.body == gvk(attributes.kind);
    if own { gvk(kind) } else { attributes.body }
}

fn converted(
    attributes: &Attributes<'_>,
    kind: &'static Kind,
    object: &Value,
    seen: GroupVersionKind,
) -> Value {
    if !object.is_object() {
        return Value::Null;
    }
    let mut out = object.clone();
    if kind != attributes.kind && attributes.body == gvk(attributes.kind) {
        kind::to_storage_version(attributes.kind, &mut out);
        kind::to_version(kind, &mut out);
    }
    let slash = if seen.group.is_empty() { "" } else { "/" };
    out["apiVersion"] = format!("{}{slash}{}", seen.group, seen.version).into();
    out["kind"] = seen.kind.into();
    out
}

/// A parameter object as expressions see it.
pub(super) fn param(object: &Object) -> Value {
    let mut out = object.value().clone();
    out["apiVersion"] = object.kind().api_version().into();
    out["kind"] = object.kind().kind.into();
    out
}

fn request(attributes: &Attributes<'_>, kind: &Kind, seen: GroupVersionKind) -> Value {
    let kind_value = |gvk: GroupVersionKind| json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind});
    let resource = |kind: &Kind| json!({"group": kind.group, "version": kind.version, "resource": kind.plural});
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    set("kind", kind_value(seen));
    set("resource", resource(kind));
    set("requestKind", kind_value(attributes.body));
    set("requestResource", resource(attributes.kind));
    for (field, value) in [
        ("subResource", attributes.subresource),
        ("requestSubResource", attributes.subresource),
        ("name", attributes.name),
        ("namespace", attributes.namespace),
    ] {
        if !value.is_empty() {
            set(field, value.into());
        }
    }
    set("operation", attributes.operation.name().into());
    set("userInfo", attributes.info.user.to_value());
    set("dryRun", attributes.dry_run().into());
    set("options", attributes.options());
    Value::Object(out)
}

/// Answers expressions' questions for the requester.
pub(super) struct Asker<'a> {
    authorizer: Authorizer,
    user: &'a UserInfo,
}

impl<'a> Asker<'a> {
    pub(super) fn new(registry: &Registry, user: &'a UserInfo) -> Self {
        Self { authorizer: Authorizer::new(registry.clone()), user }
    }
}

impl CelAuthorizer for Asker<'_> {
    fn check(&self, asked: &cel::Attributes) -> Decision {
        let account = asked.service_account.as_ref();
        let account = account.map(|(ns, name)| UserInfo::service_account(ns, name, ""));
        let user = account.as_ref().unwrap_or(self.user);
        let attributes = match &asked.path {
            Some(path) => Asked::path(&asked.verb, path),
            None => Asked {
                verb: &asked.verb,
                group: &asked.group,
                version: "*",
                resource: &asked.resource,
                subresource: &asked.subresource,
                namespace: &asked.namespace,
                name: &asked.name,
                path: "",
            },
        };
        let reason = self.authorizer.decide(user, &attributes);
        Decision { allowed: reason.is_some(), reason: reason.unwrap_or_default(), error: None }
    }
}

/// The error of one expression, as upstream words it.
pub(super) fn worded(expression: &str, error: &EvalError) -> String {
    match error {
        EvalError::Exhausted => error.to_string(),
        _ => format!("expression '{expression}' resulted in error: {error}"),
    }
}
