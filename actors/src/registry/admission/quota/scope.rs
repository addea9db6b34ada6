//! Which objects a quota is about (k8s `pkg/quota/v1/evaluator/core`, `generic.Matches`).

use kabuki_api::{
    defaults,
    kind::{Kind, PERSISTENT_VOLUME_CLAIM, POD},
};
use serde_json::Value;

use super::super::super::{object::text, strategy::strings};

/// Whether a quota has scopes: then it is about pods and claims only.
pub(crate) fn is_scoped(spec: &Value) -> bool {
    requirements(spec).next().is_some()
}

/// Scope, operator and values of each requirement.
fn requirements(spec: &Value) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
    let plain = strings(&spec["scopes"]).into_iter().map(|scope| (scope, "Exists", Vec::new()));
    let expressions = spec["scopeSelector"]["matchExpressions"].as_array().into_iter().flatten();
    plain.chain(
        expressions.map(|e| (text(e, "scopeName"), text(e, "operator"), strings(&e["values"]))),
    )
}

/// Whether an object is in all scopes of a quota.
pub(crate) fn in_scope(spec: &Value, kind: &'static Kind, object: &Value) -> bool {
    requirements(spec).all(|(scope, operator, values)| {
        if kind == POD {
            of_pod(object, scope, operator, &values)
        } else {
            kind == PERSISTENT_VOLUME_CLAIM
                && scope == "VolumeAttributesClass"
                && of_claim(object, operator, &values)
        }
    })
}

fn of_pod(pod: &Value, scope: &str, operator: &str, values: &[&str]) -> bool {
    let spec = &pod["spec"];
    match scope {
        "Terminating" => is_terminating(pod),
        "NotTerminating" => !is_terminating(pod),
        "BestEffort" => defaults::qos_class(spec) == "BestEffort",
        "NotBestEffort" => defaults::qos_class(spec) != "BestEffort",
        "PriorityClass" => {
            let class = text(spec, "priorityClassName");
            selects(operator, values, Some(class).filter(|class| !class.is_empty()))
        }
        "CrossNamespacePodAffinity" => looks_elsewhere(spec),
        _ => false,
    }
}

/// Whether the pod ends by itself after a time.
pub(super) fn is_terminating(pod: &Value) -> bool {
    pod["spec"]["activeDeadlineSeconds"].as_i64().is_some_and(|seconds| seconds >= 0)
}

fn looks_elsewhere(spec: &Value) -> bool {
    let elsewhere = |term: &Value| {
        term["namespaces"].as_array().is_some_and(|list| !list.is_empty())
            || term["namespaceSelector"].is_object()
    };
    let terms = |list: &Value| list.as_array().cloned().unwrap_or_default();
    ["podAffinity", "podAntiAffinity"].iter().any(|which| {
        let own = &spec["affinity"][*which];
        terms(&own["requiredDuringSchedulingIgnoredDuringExecution"]).iter().any(elsewhere)
            || terms(&own["preferredDuringSchedulingIgnoredDuringExecution"])
                .iter()
                .any(|weighted| elsewhere(&weighted["podAffinityTerm"]))
    })
}

/// A claim is of every attributes class it has, had, or is to get.
fn of_claim(claim: &Value, operator: &str, values: &[&str]) -> bool {
    let names = [
        text(&claim["spec"], "volumeAttributesClassName"),
        text(&claim["status"], "currentVolumeAttributesClassName"),
        text(&claim["status"]["modifyVolumeStatus"], "targetVolumeAttributesClassName"),
    ];
    let mut named = names.into_iter().filter(|name| !name.is_empty()).peekable();
    if named.peek().is_none() {
        return selects(operator, values, None);
    }
    named.any(|name| selects(operator, values, Some(name)))
}

fn selects(operator: &str, values: &[&str], name: Option<&str>) -> bool {
    match operator {
        "Exists" => name.is_some(),
        "DoesNotExist" => name.is_none(),
        "In" => name.is_some_and(|name| values.contains(&name)),
        "NotIn" => name.is_none_or(|name| !values.contains(&name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::CONFIG_MAP;
    use serde_json::json;

    use super::*;

    #[test]
    fn pods() {
        let plain = json!({"spec": {"containers": [{"name": "c"}]}});
        let mut busy = json!({"spec": {"activeDeadlineSeconds": 5, "priorityClassName": "high",
            "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]}});
        busy["spec"]["affinity"] = json!({"podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "podAffinityTerm": {"topologyKey": "k", "namespaceSelector": {}}}]}});
        let class = |operator: &str, values: Value| {
            json!({"scopeSelector": {"matchExpressions": [
                {"scopeName": "PriorityClass", "operator": operator, "values": values}]}})
        };
        for (spec, of_plain, of_busy) in [
            (json!({}), true, true),
            (json!({"scopes": ["Terminating"]}), false, true),
            (json!({"scopes": ["NotTerminating"]}), true, false),
            (json!({"scopes": ["BestEffort"]}), true, false),
            (json!({"scopes": ["NotBestEffort", "Terminating"]}), false, true),
            (json!({"scopes": ["CrossNamespacePodAffinity"]}), false, true),
            (json!({"scopes": ["PriorityClass"]}), false, true),
            (class("In", json!(["high"])), false, true),
            (class("NotIn", json!(["high"])), true, false),
            (class("DoesNotExist", json!([])), true, false),
        ] {
            assert_eq!(in_scope(&spec, POD, &plain), of_plain, "{spec}");
            assert_eq!(in_scope(&spec, POD, &busy), of_busy, "{spec}");
        }
    }

    #[test]
    fn other_kinds_have_no_scopes_but_claims() {
        let spec = json!({"scopeSelector": {"matchExpressions": [
            {"scopeName": "VolumeAttributesClass", "operator": "In", "values": ["gold"]}]}});
        let claim = json!({"spec": {"volumeAttributesClassName": "silver"},
            "status": {"currentVolumeAttributesClassName": "gold"}});
        assert!(in_scope(&spec, PERSISTENT_VOLUME_CLAIM, &claim));
        assert!(!in_scope(&spec, PERSISTENT_VOLUME_CLAIM, &json!({"spec": {}})));
        assert!(!in_scope(&spec, CONFIG_MAP, &claim) && !in_scope(&spec, POD, &claim));
        assert!(is_scoped(&spec) && !is_scoped(&json!({"hard": {}})));
    }
}
