//! Which requests a webhook is asked about (apiserver `pkg/admission/plugin/webhook/predicates`).

use kabuki_api::{
    kind::{self, Kind, NAMESPACE},
    selector::LabelSelector,
    status::Status,
};
use serde_json::Value;

use super::{
    super::{Attributes, Operation},
    hook::Hook,
};
use crate::registry::View;

/// One `RuleWithOperations`.
#[derive(Debug, Default)]
pub(super) struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    scope: String,
}

/// A resource of a request, as rules name it.
#[derive(Debug, Clone, Copy)]
struct Resource<'a> {
    kind: &'static Kind,
    subresource: &'a str,
    /// The request's, not the kind's: a list across namespaces has none.
    namespace: &'a str,
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], value: &str) -> bool {
    list.iter().any(|v| v == "*" || v == value)
}

impl Rule {
    pub(super) fn read(rule: &Value) -> Self {
        Self {
            operations: strings(&rule["operations"]),
            groups: strings(&rule["apiGroups"]),
            versions: strings(&rule["apiVersions"]),
            resources: strings(&rule["resources"]),
            scope: rule["scope"].as_str().unwrap_or("*").to_owned(),
        }
    }

    fn matches(&self, operation: Operation, resource: Resource<'_>) -> bool {
        let kind = resource.kind;
        let cluster = kind == NAMESPACE || resource.namespace.is_empty();
        let scope = match self.scope.as_str() {
            "Namespaced" => !cluster,
            "Cluster" => cluster,
            _ => true,
        };
        scope
            && has(&self.operations, operation.name())
            && has(&self.groups, kind.group)
            && has(&self.versions, kind.version)
            && self.resources.iter().any(|r| {
                let (name, sub) = r.split_once('/').unwrap_or((r, ""));
                (name == "*" || name == kind.plural) && (sub == "*" || sub == resource.subresource)
            })
    }
}

/// The kind a webhook wants to see the request's object as, if it is to be asked: the request's own,
/// or one that is stored in the same place.
///
/// # Errors
/// 404 without the request's namespace, 500 for a selector that cannot be read.
pub(super) fn wanted(
    view: &dyn View,
    hook: &Hook,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<Option<&'static Kind>, Status> {
    let Some(kind) = matched(hook, attributes) else { return Ok(None) };
    let unreadable = |error: &String| Status::internal(format!("{}: {error}", hook.name));
    let namespaces = hook.namespaces.as_ref().map_err(unreadable)?;
    if !namespace_matches(view, namespaces, attributes, object)? {
        return Ok(None);
    }
    let objects = hook.objects.as_ref().map_err(unreadable)?;
    let labels =
        |object: &Value| object.is_object() && objects.matches(&object["metadata"]["labels"]);
    let found = objects.is_everything() || labels(object) || attributes.old.is_some_and(labels);
    Ok(found.then_some(kind))
}

fn matched(hook: &Hook, attributes: &Attributes<'_>) -> Option<&'static Kind> {
    let matches = |kind| {
        let Attributes { subresource, namespace, operation, .. } = *attributes;
        let resource = Resource { kind, subresource, namespace };
        hook.rules.iter().any(|rule| rule.matches(operation, resource))
    };
    if matches(attributes.kind) {
        return Some(attributes.kind);
    }
    if hook.exact || attributes.operation == Operation::Connect {
        return None;
    }
    equivalents(attributes).find(|kind| matches(kind))
}

/// Other versions and groups the same objects are served in.
fn equivalents(attributes: &Attributes<'_>) -> impl Iterator<Item = &'static Kind> {
    let (own, subresource) = (attributes.kind, attributes.subresource.to_owned());
    kind::all().iter().copied().filter(move |kind| {
        kind.topic == own.topic
            && *kind != own
            && (subresource.is_empty() || kind.subresource(&subresource).is_some())
    })
}

fn namespace_matches(
    view: &dyn View,
    selector: &LabelSelector,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<bool, Status> {
    let of_namespace = attributes.kind == NAMESPACE;
    if selector.is_everything() || (attributes.namespace.is_empty() && !of_namespace) {
        return Ok(true);
    }
    let written = matches!(attributes.operation, Operation::Create | Operation::Update);
    if of_namespace && attributes.subresource.is_empty() && written {
        return Ok(selector.matches(&object["metadata"]["labels"]));
    }
    let name = if attributes.namespace.is_empty() { attributes.name } else { attributes.namespace };
    match view.get(NAMESPACE, "", name) {
        Some(namespace) => Ok(selector.matches(namespace.labels())),
        None => Err(Status::not_found(NAMESPACE, name)),
    }
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::{DEPLOYMENT, NODE, POD};
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_have_wildcards_and_scopes() {
        let resource = |kind, subresource, namespace| Resource { kind, subresource, namespace };
        let pod = resource(POD, "", "n");
        let exec = resource(POD, "exec", "n");
        let node = resource(NODE, "", "");
        let namespace = resource(NAMESPACE, "", "n");
        for (groups, resources, scope, of, want) in [
            ("", "pods", "*", pod, true),
            ("", "pods", "*", exec, false),
            ("", "pods/*", "*", exec, true),
            // As upstream, a wildcard is no subresource as well.
            ("", "pods/*", "*", pod, true),
            ("", "*", "*", pod, true),
            ("", "*", "*", exec, false),
            ("*", "*/*", "*", exec, true),
            ("*", "*/exec", "*", exec, true),
            ("apps", "*", "*", pod, false),
            ("apps", "deployments", "*", resource(DEPLOYMENT, "", "n"), true),
            ("*", "*", "Cluster", pod, false),
            ("*", "*", "Cluster", node, true),
            ("*", "*", "Namespaced", node, false),
            ("*", "*", "Namespaced", namespace, false),
            ("*", "*", "Cluster", namespace, true),
        ] {
            let rule = Rule::read(&json!({"operations": ["CREATE"], "apiGroups": [groups],
                "apiVersions": ["v1"], "resources": [resources], "scope": scope}));
            assert_eq!(rule.matches(Operation::Create, of), want, "{groups} {resources} {scope}");
            assert!(!rule.matches(Operation::Update, of));
        }
    }
}
