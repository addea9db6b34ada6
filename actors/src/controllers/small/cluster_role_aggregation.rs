//! Fills ClusterRoles that are made of others (upstream: `pkg/controller/clusterroleaggregation`).

use kabuki_api::{
    kind::{CLUSTER_ROLE, Kind},
    selector::LabelSelector,
};
use serde_json::Value;

use crate::{
    controllers::{
        framework::{Change, Command, Controller, Key, Plan, ReconcileError},
        model::Time,
    },
    registry::{Object, View},
};

/// Gives every role with an aggregation rule the rules of the roles it selects, and no others.
#[derive(Debug, Clone, Default)]
pub(crate) struct ClusterRoleAggregation;

fn selectors(role: &Value) -> Option<&Vec<Value>> {
    role["aggregationRule"]["clusterRoleSelectors"].as_array()
}

/// The rules a role should have; `None` if it is not made of others.
fn wanted(view: &dyn View, role: &Object) -> Option<Value> {
    let selectors: Vec<LabelSelector> = selectors(role.value())?
        .iter()
        .filter_map(|selector| LabelSelector::from_object(selector).ok())
        .collect();
    // By selector and then by name, as upstream does, so that the outcome is always the same.
    let mut rules: Vec<Value> = Vec::new();
    let mut all = view.list(CLUSTER_ROLE, None);
    all.sort_by(|a, b| a.name().cmp(b.name()));
    for selector in &selectors {
        let parts = all.iter().filter(|other| other.name() != role.name());
        for other in parts.filter(|other| selector.matches(other.labels())) {
            for rule in other.value()["rules"].as_array().into_iter().flatten() {
                if !rules.contains(rule) {
                    rules.push(rule.clone());
                }
            }
        }
    }
    Some(rules.into())
}

impl Controller for ClusterRoleAggregation {
    const NAME: &'static str = "clusterrole-aggregation-controller";

    fn watches(&self) -> Vec<&'static Kind> {
        vec![CLUSTER_ROLE]
    }

    fn keys(&mut self, view: &dyn View, _change: &Change, out: &mut Vec<Key>) {
        // Any role may be, or may have been, a part of any of them; there are few.
        let all = view.list(CLUSTER_ROLE, None);
        let made_of_others = all.iter().filter(|role| selectors(role.value()).is_some());
        out.extend(made_of_others.map(|role| Key::of(role)));
    }

    fn keys_at_start(&mut self, _view: &dyn View, change: &Change, out: &mut Vec<Key>) {
        if selectors(change.object.value()).is_some() {
            out.push(Key::of(&change.object));
        }
    }

    fn reconcile(
        &mut self,
        view: &dyn View,
        key: &Key,
        _now: Time,
    ) -> Result<Plan, ReconcileError> {
        let Some(role) = view.get(CLUSTER_ROLE, "", &key.name) else { return Ok(Plan::done()) };
        let Some(rules) = wanted(view, &role) else { return Ok(Plan::done()) };
        let same = role.value()["rules"] == rules
            || (role.value()["rules"].is_null() && rules == Value::Array(Vec::new()));
        if same || role.is_deleting() {
            return Ok(Plan::done());
        }
        let mut value = role.value().clone();
        value["rules"] = rules;
        Ok(Plan::one(Command::update(&role, value)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::registry::MemView;

    fn role(name: &str, label: &str, verb: &str) -> Value {
        json!({"metadata": {"name": name, "labels": {label: "true"}},
            "rules": [{"verbs": [verb], "apiGroups": [""], "resources": ["pods"]}]})
    }

    fn sum() -> Value {
        json!({"metadata": {"name": "sum", "labels": {"a": "true"}}, "rules": [],
            "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "true"}}]}})
    }

    fn decided(view: &MemView, name: &str) -> Option<Value> {
        let plan = ClusterRoleAggregation.reconcile(view, &Key::new("", name), Time::default());
        match plan.unwrap().commands().as_slice() {
            [] => None,
            [Command::Update { object, .. }] => Some(object["rules"].clone()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_role_gets_the_rules_of_those_it_selects_and_loses_others() {
        let view = MemView::new()
            .with(CLUSTER_ROLE, sum())
            .with(CLUSTER_ROLE, role("z", "a", "get"))
            .with(CLUSTER_ROLE, role("b", "a", "list"))
            .with(CLUSTER_ROLE, role("c", "a", "get"))
            .with(CLUSTER_ROLE, role("d", "other", "delete"));
        let verbs = |rules: &Value| -> Vec<Value> {
            rules.as_array().unwrap().iter().map(|r| r["verbs"][0].clone()).collect()
        };
        assert_eq!(verbs(&decided(&view, "sum").unwrap()), ["list", "get"]);
        assert!(decided(&view, "z").is_none(), "it is not made of others");
        let mut full = sum();
        full["rules"] = json!([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]);
        let view = MemView::new().with(CLUSTER_ROLE, full);
        assert_eq!(decided(&view, "sum").unwrap(), json!([]));
        let view = MemView::new().with(CLUSTER_ROLE, sum());
        assert!(decided(&view, "sum").is_none());
    }

    #[test]
    fn every_change_of_a_role_is_a_reason_to_look_at_the_sums() {
        let part = role("z", "a", "get");
        let view = MemView::new().with(CLUSTER_ROLE, sum()).with(CLUSTER_ROLE, part.clone());
        let object = view.get(CLUSTER_ROLE, "", "z").unwrap();
        let mut keys = Vec::new();
        let change = Change { object, previous: None, gone: true };
        ClusterRoleAggregation.keys(&view, &change, &mut keys);
        assert_eq!(keys, [Key::new("", "sum")]);
    }
}
