//! From the rows of [`super::roles`] to objects, and what to add to objects that lost something.

use kabuki_api::kind::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, ROLE, ROLE_BINDING};
use serde_json::{Value, json};

use super::{
    controller_roles::CONTROLLER_ROLES,
    namespace_roles::{NAMESPACE_BINDINGS, NAMESPACE_ROLES},
    roles::{AGGREGATED, BINDINGS, ROLES, RoleRow, RuleRow},
};
use crate::auth::Rule;

const API_GROUP: &str = "rbac.authorization.k8s.io";
const AUTOUPDATE: &str = "rbac.authorization.kubernetes.io/autoupdate";
/// Parts a rule is taken apart into when two sets of rules are compared.
const ATOMS_MAX: usize = 4_096;

/// All default roles and bindings: kind, namespace, object.
pub(super) fn objects() -> Vec<(&'static Kind, &'static str, Value)> {
    let mut out = vec![(CLUSTER_ROLE, "", cluster_admin())];
    for (name, added_to) in AGGREGATED {
        out.push((CLUSTER_ROLE, "", aggregated(name, added_to)));
    }
    for row in ROLES {
        let mut object = base(row.name, row.aggregates_to);
        object["rules"] = rules(row).into();
        out.push((CLUSTER_ROLE, "", object));
    }
    for (name, rows) in CONTROLLER_ROLES {
        let full = format!("system:controller:{name}");
        let mut object = base(&full, "");
        object["rules"] = rows.iter().map(rule).collect();
        out.push((CLUSTER_ROLE, "", object));
        let subjects = [("ServiceAccount", *name)];
        out.push((CLUSTER_ROLE_BINDING, "", binding(&full, "ClusterRole", &full, &subjects)));
    }
    for (name, subjects) in BINDINGS {
        out.push((CLUSTER_ROLE_BINDING, "", binding(name, "ClusterRole", name, subjects)));
    }
    for (ns, name, rows) in NAMESPACE_ROLES {
        let mut object = base(name, "");
        object["rules"] = rows.iter().map(rule).collect();
        out.push((ROLE, ns, object));
    }
    for (ns, name, role, subjects) in NAMESPACE_BINDINGS {
        out.push((ROLE_BINDING, ns, binding(name, "Role", role, subjects)));
    }
    out
}

fn base(name: &str, aggregates_to: &str) -> Value {
    let mut object = json!({"metadata": {"name": name,
        "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"},
        "annotations": {AUTOUPDATE: "true"}}});
    if !aggregates_to.is_empty() {
        let label = format!("rbac.authorization.k8s.io/aggregate-to-{aggregates_to}");
        object["metadata"]["labels"][label] = "true".into();
    }
    object
}

fn cluster_admin() -> Value {
    let mut object = base("cluster-admin", "");
    object["rules"] = json!([
        {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
        {"verbs": ["*"], "nonResourceURLs": ["*"]},
    ]);
    object
}

/// A role made of others, with their rules filled in.
fn aggregated(name: &str, added_to: &str) -> Value {
    let mut object = base(name, added_to);
    let label = format!("rbac.authorization.k8s.io/aggregate-to-{name}");
    object["aggregationRule"] = json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
    object["rules"] = aggregated_rules(name).into();
    object
}

fn aggregated_rules(name: &str) -> Vec<Value> {
    let own = ROLES.iter().filter(|row| row.aggregates_to == name).flat_map(rules);
    let inner = AGGREGATED.iter().filter(|(_, to)| *to == name);
    own.chain(inner.flat_map(|(inner, _)| aggregated_rules(inner))).collect()
}

fn rules(row: &RoleRow) -> Vec<Value> {
    let mut out: Vec<Value> = row.rules.iter().map(rule).collect();
    if !row.paths.is_empty() {
        out.push(json!({"verbs": ["get"], "nonResourceURLs": words(row.paths)}));
    }
    out
}

fn rule((groups, resources, names, verbs): &RuleRow) -> Value {
    let groups: Vec<_> =
        words(groups).into_iter().map(|g| if g == "core" { "" } else { g }).collect();
    let mut rule =
        json!({"verbs": words(verbs), "apiGroups": groups, "resources": words(resources)});
    if !names.is_empty() {
        rule["resourceNames"] = json!(words(names));
    }
    rule
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').filter(|w| !w.is_empty()).collect()
}

fn binding(name: &str, role_kind: &str, role: &str, subjects: &[(&str, &str)]) -> Value {
    let mut object = base(name, "");
    object["roleRef"] = json!({"apiGroup": API_GROUP, "kind": role_kind, "name": role});
    if !subjects.is_empty() {
        object["subjects"] = subjects.iter().map(|(kind, name)| subject(kind, name)).collect();
    }
    object
}

fn subject(kind: &str, name: &str) -> Value {
    if kind == "ServiceAccount" {
        json!({"kind": kind, "name": name, "namespace": "kube-system"})
    } else {
        json!({"kind": kind, "apiGroup": API_GROUP, "name": name})
    }
}

/// Adds to `live` the rules or subjects of `wanted` that it does not have. `false`: nothing is
/// missing, or the object says it wants no updates. What somebody added stays.
pub(super) fn complete(live: &mut Value, wanted: &Value) -> bool {
    if live["metadata"]["annotations"][AUTOUPDATE] == "false" {
        return false;
    }
    let added: (&str, Vec<Value>) = if wanted["rules"].is_array() {
        let have: Vec<Rule> = items(&live["rules"]).filter_map(parse).collect();
        let lost = items(&wanted["rules"]).filter(|rule| {
            let atoms = parse(rule).map(|r| r.atoms(ATOMS_MAX)).unwrap_or_default();
            atoms.iter().any(|atom| !have.iter().any(|rule| rule.covers(atom)))
        });
        ("rules", lost.cloned().collect())
    } else {
        let have: Vec<&Value> = items(&live["subjects"]).collect();
        let same = |a: &Value, b: &Value| {
            a["kind"] == b["kind"] && a["name"] == b["name"] && a["namespace"] == b["namespace"]
        };
        let lost = items(&wanted["subjects"]).filter(|s| !have.iter().any(|h| same(h, s)));
        ("subjects", lost.cloned().collect())
    };
    let (field, lost) = added;
    if lost.is_empty() {
        return false;
    }
    if !live[field].is_array() {
        live[field] = json!([]);
    }
    if let Some(list) = live[field].as_array_mut() {
        list.extend(lost);
    }
    true
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn parse(rule: &Value) -> Option<Rule> {
    serde_json::from_value(rule.clone()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_aggregating_roles_hold_what_they_aggregate() {
        let view = aggregated_rules("view");
        let edit = aggregated_rules("edit");
        let admin = aggregated_rules("admin");
        assert_eq!(view.len(), 10);
        assert_eq!(edit.len(), 13 + view.len());
        assert_eq!(admin.len(), 2 + edit.len());
    }

    #[test]
    fn names_are_unique_and_bindings_have_roles() {
        let objects = objects();
        let mut keys: Vec<_> = objects
            .iter()
            .map(|(kind, ns, o)| kind.key(ns, o["metadata"]["name"].as_str().unwrap()))
            .collect();
        for (_, ns, object) in &objects {
            if let Some(role) = object["roleRef"]["name"].as_str() {
                let kind = if object["roleRef"]["kind"] == "Role" { ROLE } else { CLUSTER_ROLE };
                assert!(keys.contains(&kind.key(ns, role)), "{role}");
            }
        }
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }

    #[test]
    fn what_was_lost_comes_back_and_what_was_added_stays() {
        let wanted = aggregated("view", "edit");
        let mut live = wanted.clone();
        assert!(!complete(&mut live, &wanted));
        live["rules"] = json!([{"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]}]);
        assert!(complete(&mut live, &wanted));
        assert_eq!(live["rules"].as_array().unwrap().len(), 11);
        live["metadata"]["annotations"][AUTOUPDATE] = "false".into();
        live["rules"] = json!([]);
        assert!(!complete(&mut live, &wanted));
        let wanted = binding("b", "ClusterRole", "r", &[("User", "x")]);
        let mut live = binding("b", "ClusterRole", "r", &[("Group", "y")]);
        assert!(complete(&mut live, &wanted));
        assert_eq!(live["subjects"].as_array().unwrap().len(), 2);
    }
}
