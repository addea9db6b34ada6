//! Which requests a policy or a binding is about (apiserver
//! `pkg/admission/plugin/policy/matching`).

use kabuki_api::{
    kind::{self, Kind, NAMESPACE},
    selector::LabelSelector,
};
use serde_json::Value;

use super::super::{Attributes, Operation};
use crate::registry::{View, object::text};

/// `matchConstraints` of a policy or `matchResources` of a binding.
#[derive(Debug)]
pub(super) struct Matcher {
    namespaces: Result<LabelSelector, String>,
    objects: Result<LabelSelector, String>,
    rules: Vec<Rule>,
    excluded: Vec<Rule>,
    exact: bool,
}

/// One rule with the names it is about.
#[derive(Debug)]
struct Rule {
    operations: Vec<String>,
    groups: Vec<String>,
    versions: Vec<String>,
    resources: Vec<String>,
    names: Vec<String>,
    scope: String,
}

fn strings(value: &Value) -> Vec<String> {
    let items = value.as_array().into_iter().flatten();
    items.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], value: &str) -> bool {
    list.iter().any(|v| v == "*" || v == value)
}

impl Rule {
    fn all(value: &Value) -> Vec<Self> {
        value.as_array().into_iter().flatten().map(Self::read).collect()
    }

    fn read(rule: &Value) -> Self {
        Self {
            operations: strings(&rule["operations"]),
            groups: strings(&rule["apiGroups"]),
            versions: strings(&rule["apiVersions"]),
            resources: strings(&rule["resources"]),
            names: strings(&rule["resourceNames"]),
            scope: text(rule, "scope").to_owned(),
        }
    }

    fn matches(&self, attributes: &Attributes<'_>, kind: &Kind) -> bool {
        let cluster = kind == NAMESPACE || attributes.namespace.is_empty();
        let scope = match self.scope.as_str() {
            "Namespaced" => !cluster,
            "Cluster" => cluster,
            _ => true,
        };
        scope
            && has(&self.operations, attributes.operation.name())
            && has(&self.groups, kind.group)
            && has(&self.versions, kind.version)
            && self.resources.iter().any(|r| {
                let (name, sub) = r.split_once('/').unwrap_or((r, ""));
                (name == "*" || name == kind.plural)
                    && (sub == "*" || sub == attributes.subresource)
            })
            && (self.names.is_empty() || self.names.iter().any(|n| n == attributes.name))
    }
}

impl Matcher {
    pub(super) fn read(resources: &Value) -> Self {
        let selector = |field: &str| {
            if resources[field].is_object() {
                LabelSelector::from_object(&resources[field]).map_err(|e| e.to_string())
            } else {
                Ok(LabelSelector::everything())
            }
        };
        Self {
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            rules: Rule::all(&resources["resourceRules"]),
            excluded: Rule::all(&resources["excludeResourceRules"]),
            exact: resources["matchPolicy"] == "Exact",
        }
    }

    /// The kind in whose form the request's object is looked at, if this is about it: the request's
    /// own, or another version of it. `unruled`: no rules mean every resource, as in bindings.
    ///
    /// # Errors
    /// Why that cannot be said: a bad selector, a missing namespace.
    pub(super) fn wanted(
        &self,
        view: &dyn View,
        attributes: &Attributes<'_>,
        object: &Value,
        unruled: bool,
    ) -> Result<Option<&'static Kind>, String> {
        let Some(kind) = self.ruled(attributes, unruled) else { return Ok(None) };
        let namespaces = self.namespaces.as_ref().map_err(Clone::clone)?;
        if !namespace_matches(view, namespaces, attributes, object)? {
            return Ok(None);
        }
        let objects = self.objects.as_ref().map_err(Clone::clone)?;
        let labels =
            |object: &Value| object.is_object() && objects.matches(&object["metadata"]["labels"]);
        let found = objects.is_everything() || labels(object) || attributes.old.is_some_and(labels);
        Ok(found.then_some(kind))
    }

    fn ruled(&self, attributes: &Attributes<'_>, unruled: bool) -> Option<&'static Kind> {
        let any = |rules: &[Rule]| {
            if rules.iter().any(|r| r.matches(attributes, attributes.kind)) {
                return Some(attributes.kind);
            }
            if self.exact || attributes.operation == Operation::Connect {
                return None;
            }
            equivalents(attributes).find(|kind| rules.iter().any(|r| r.matches(attributes, kind)))
        };
        if any(&self.excluded).is_some() {
            return None;
        }
        if unruled && self.rules.is_empty() {
            return Some(attributes.kind);
        }
        any(&self.rules)
    }
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
) -> Result<bool, String> {
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
        None => Err(format!("namespaces \"{name}\" not found")),
    }
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::POD;
    use serde_json::json;

    use super::*;
    use crate::registry::{MemView, RequestInfo};

    #[test]
    fn rules_selectors_and_exclusions() {
        let view = MemView::new()
            .with(NAMESPACE, json!({"metadata": {"name": "n", "labels": {"env": "prod"}}}));
        let info = RequestInfo::default();
        let attributes = Attributes::create(&info, POD, "n", "web");
        let pod = json!({"metadata": {"name": "web", "labels": {"app": "a"}}});
        let rule = |resources: &str| {
            json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                "resources": [resources]})
        };
        let named = |name: &str| {
            let mut rule = rule("pods");
            rule["resourceNames"] = json!([name]);
            rule
        };
        for (resources, wanted) in [
            (json!({"resourceRules": [rule("pods")]}), true),
            (json!({"resourceRules": [rule("services")]}), false),
            (json!({"resourceRules": [rule("pods/*")]}), true),
            (json!({"resourceRules": [named("web")]}), true),
            (json!({"resourceRules": [named("other")]}), false),
            (json!({"resourceRules": [rule("*")], "excludeResourceRules": [rule("pods")]}), false),
            (
                json!({"resourceRules": [rule("pods")], "namespaceSelector": {"matchLabels": {"env": "prod"}}}),
                true,
            ),
            (
                json!({"resourceRules": [rule("pods")], "namespaceSelector": {"matchLabels": {"env": "dev"}}}),
                false,
            ),
            (
                json!({"resourceRules": [rule("pods")], "objectSelector": {"matchLabels": {"app": "a"}}}),
                true,
            ),
            (
                json!({"resourceRules": [rule("pods")], "objectSelector": {"matchLabels": {"app": "b"}}}),
                false,
            ),
            (json!({}), false),
        ] {
            let matcher = Matcher::read(&resources);
            let found = matcher.wanted(&view, &attributes, &pod, false).unwrap();
            assert_eq!(found.is_some(), wanted, "{resources}");
        }
        let unruled = Matcher::read(&json!({}));
        assert!(unruled.wanted(&view, &attributes, &pod, true).unwrap().is_some());
    }
}
