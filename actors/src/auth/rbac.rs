//! RBAC evaluated over a view: an index from subjects to the rules bound to them, rebuilt when a
//! role or binding changes.

use std::{collections::HashMap, sync::Arc};

use kabuki_api::{
    kind::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, ROLE, ROLE_BINDING},
    selector::LabelSelector,
};
use serde_json::Value;

use super::{attributes::Attributes, rules::Rule, user::UserInfo};
use crate::registry::{Object, View};

/// Levels of roles made of roles made of roles that are followed.
const AGGREGATION_DEPTH_MAX: usize = 4;

/// Rules somebody holds, and through which binding.
#[derive(Debug, Clone)]
struct Grant {
    rules: Arc<Vec<Rule>>,
    /// `ClusterRoleBinding "x" of ClusterRole "y" to User "z"`.
    reason: Arc<str>,
}

/// Grants by user and by group.
#[derive(Debug, Default)]
struct Holders {
    users: HashMap<String, Vec<Grant>>,
    groups: HashMap<String, Vec<Grant>>,
}

/// All bindings of a cluster, ready to be asked.
#[derive(Debug, Default)]
pub(super) struct Index {
    cluster: Holders,
    namespaces: HashMap<String, Holders>,
}

impl Index {
    /// Reads all roles and bindings.
    pub(super) fn build(view: &dyn View) -> Self {
        let mut roles: HashMap<String, Arc<Vec<Rule>>> = HashMap::new();
        let cluster_roles = view.list(CLUSTER_ROLE, None);
        for role in &cluster_roles {
            let rules = aggregate(role, &cluster_roles, AGGREGATION_DEPTH_MAX);
            roles.insert(role.key().to_owned(), Arc::new(rules));
        }
        for role in view.list(ROLE, None) {
            roles.insert(role.key().to_owned(), Arc::new(rules_of(role.value())));
        }
        let mut index = Self::default();
        for binding in view.list(CLUSTER_ROLE_BINDING, None) {
            index.cluster.add(&binding, &roles);
        }
        for binding in view.list(ROLE_BINDING, None) {
            let ns = binding.namespace().to_owned();
            index.namespaces.entry(ns).or_default().add(&binding, &roles);
        }
        index
    }

    /// The reason a request is allowed, or `None`.
    pub(super) fn allows(&self, user: &UserInfo, a: &Attributes<'_>) -> Option<Arc<str>> {
        self.grants(user, a.namespace)
            .find(|grant| grant.rules.iter().any(|rule| rule.allows(a)))
            .map(|grant| Arc::clone(&grant.reason))
    }

    /// All rules a user holds in a namespace (or, if empty, at the cluster scope).
    pub(super) fn rules<'a>(
        &'a self,
        user: &'a UserInfo,
        ns: &'a str,
    ) -> impl Iterator<Item = &'a Rule> {
        self.grants(user, ns).flat_map(|grant| grant.rules.iter())
    }

    fn grants<'a>(&'a self, user: &'a UserInfo, ns: &'a str) -> impl Iterator<Item = &'a Grant> {
        let namespace = self.namespaces.get(ns).filter(|_| !ns.is_empty());
        std::iter::once(&self.cluster).chain(namespace).flat_map(move |holders| {
            let users = holders.users.get(&user.name).into_iter().flatten();
            let groups = user.groups.iter().filter_map(|g| holders.groups.get(g)).flatten();
            users.chain(groups)
        })
    }
}

impl Holders {
    fn add(&mut self, binding: &Object, roles: &HashMap<String, Arc<Vec<Rule>>>) {
        let value = binding.value();
        let Some((kind, name)) = role_ref(value) else { return };
        let Some(rules) = roles.get(&kind.key(binding.namespace(), name)) else { return };
        let shown = if binding.namespace().is_empty() {
            format!("{} {:?}", binding.kind().kind, binding.name())
        } else {
            let full = format!("{}/{}", binding.name(), binding.namespace());
            format!("{} {full:?}", binding.kind().kind)
        };
        let Some(subjects) = value["subjects"].as_array() else { return };
        for subject in subjects {
            let name_of = subject["name"].as_str().unwrap_or_default();
            let subject_kind = subject["kind"].as_str().unwrap_or_default();
            let (holders, key, title) = match subject_kind {
                "User" => (&mut self.users, name_of.to_owned(), name_of.to_owned()),
                "Group" => (&mut self.groups, name_of.to_owned(), name_of.to_owned()),
                "ServiceAccount" => {
                    let ns = subject["namespace"].as_str().unwrap_or(binding.namespace());
                    let user = format!("system:serviceaccount:{ns}:{name_of}");
                    (&mut self.users, user, format!("{name_of}/{ns}"))
                }
                _ => continue,
            };
            let reason = format!("{shown} of {} {name:?} to {subject_kind} {title:?}", kind.kind);
            let grant = Grant { rules: Arc::clone(rules), reason: reason.into() };
            holders.entry(key).or_default().push(grant);
        }
    }
}

/// The rules of a ClusterRole with those of the roles its aggregation rule selects, so that a role
/// labelled a moment ago counts at once.
fn aggregate(role: &Arc<Object>, all: &[Arc<Object>], depth: usize) -> Vec<Rule> {
    let mut rules = rules_of(role.value());
    let selectors = role.value()["aggregationRule"]["clusterRoleSelectors"].as_array();
    let Some(selectors) = selectors.filter(|_| depth > 0) else { return rules };
    let selectors: Vec<_> =
        selectors.iter().filter_map(|s| LabelSelector::from_object(s).ok()).collect();
    for other in all.iter().filter(|other| other.key() != role.key()) {
        if selectors.iter().any(|s| s.matches(other.labels())) {
            for rule in aggregate(other, all, depth - 1) {
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    rules
}

/// Kind and name of a binding's role.
pub(super) fn role_ref(binding: &Value) -> Option<(&'static Kind, &str)> {
    let name = binding["roleRef"]["name"].as_str()?;
    match binding["roleRef"]["kind"].as_str()? {
        "ClusterRole" => Some((CLUSTER_ROLE, name)),
        "Role" => Some((ROLE, name)),
        _ => None,
    }
}

/// The rules a role grants now, those it is to be filled with included.
pub(super) fn granted(view: &dyn View, role: &Arc<Object>) -> Vec<Rule> {
    if role.value()["aggregationRule"].is_object() {
        return aggregate(role, &view.list(CLUSTER_ROLE, None), AGGREGATION_DEPTH_MAX);
    }
    rules_of(role.value())
}

/// The rules of a role.
pub(super) fn rules_of(role: &Value) -> Vec<Rule> {
    let Some(list) = role["rules"].as_array() else { return Vec::new() };
    list.iter().filter_map(|rule| serde_json::from_value(rule.clone()).ok()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    fn view() -> MemView {
        let rule = |verb: &str, resource: &str| json!([{"verbs": [verb], "apiGroups": [""], "resources": [resource]}]);
        MemView::new()
            .with(CLUSTER_ROLE, json!({"metadata": {"name": "reader"}, "rules": rule("get", "pods")}))
            .with(ROLE, json!({"metadata": {"name": "local", "namespace": "d"}, "rules": rule("list", "secrets")}))
            .with(CLUSTER_ROLE_BINDING, json!({"metadata": {"name": "all"},
                "roleRef": {"kind": "ClusterRole", "name": "reader"},
                "subjects": [{"kind": "Group", "name": "team"}]}))
            .with(ROLE_BINDING, json!({"metadata": {"name": "one", "namespace": "d"},
                "roleRef": {"kind": "Role", "name": "local"},
                "subjects": [{"kind": "User", "name": "jane"},
                    {"kind": "ServiceAccount", "name": "robot", "namespace": "e"}]}))
            .with(ROLE_BINDING, json!({"metadata": {"name": "dangling", "namespace": "d"},
                "roleRef": {"kind": "Role", "name": "missing"},
                "subjects": [{"kind": "User", "name": "jane"}]}))
    }

    #[test]
    fn bindings_grant_where_they_are() {
        let index = Index::build(&view());
        let user = |name: &str, groups: &[&str]| UserInfo {
            name: name.into(),
            groups: groups.iter().map(|g| (*g).to_owned()).collect(),
            ..UserInfo::default()
        };
        for (user, verb, resource, ns, want) in [
            (user("x", &["team"]), "get", "pods", "d", true),
            (user("x", &["team"]), "get", "pods", "", true),
            (user("x", &[]), "get", "pods", "", false),
            (user("jane", &[]), "list", "secrets", "d", true),
            (user("jane", &[]), "list", "secrets", "e", false),
            (user("jane", &[]), "list", "secrets", "", false),
            (user("system:serviceaccount:e:robot", &[]), "list", "secrets", "d", true),
        ] {
            let a = Attributes { verb, resource, namespace: ns, ..Attributes::default() };
            assert_eq!(index.allows(&user, &a).is_some(), want, "{user:?} {a:?}");
        }
        let a = Attributes { verb: "get", resource: "pods", ..Attributes::default() };
        let reason = index.allows(&user("x", &["team"]), &a).unwrap();
        assert_eq!(
            &*reason,
            "ClusterRoleBinding \"all\" of ClusterRole \"reader\" to Group \"team\""
        );
    }
}
