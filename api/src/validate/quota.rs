//! Resource quotas (k8s pkg/apis/core/validation/validation.go `ValidateResourceQuota`).

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, IMMUTABLE, entries, items, text},
    resources::{is_standard_of_quotas, quota_amount, quota_resource},
};

/// Every scope there is.
const SCOPES: &[&str] = &[
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
/// Scopes a selector may only ask to exist.
const BARE_SCOPES: &[&str] =
    &["BestEffort", "CrossNamespacePodAffinity", "NotBestEffort", "NotTerminating", "Terminating"];
/// Scopes that exclude each other.
const CONFLICTS: [[&str; 2]; 2] =
    [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];
/// Resources of pods that scopes other than BestEffort select by.
const COMPUTE: &[&str] =
    &["cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"];
const NOT_FOR_RESOURCE: &str = "unsupported scope applied to resource";
const MUST_EXIST: &str = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";

pub(crate) fn quota(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    amounts(out, "spec.hard", spec, "hard");
    scopes(out, spec);
    selector(out, spec);
    for list in ["hard", "used"] {
        amounts(out, &format!("status.{list}"), &object["status"], list);
    }
}

fn amounts(out: &mut Errors, path: &str, holder: &Value, list: &str) {
    for (resource, amount) in entries(holder, list) {
        let path = format!("{path}[{resource}]");
        quota_resource(out, &path, resource);
        quota_amount(out, &path, resource, amount);
    }
}

/// The limited resources that a scope cannot select by.
fn misplaced(spec: &Value, scope: &str) -> usize {
    entries(spec, "hard")
        .filter(|(resource, _)| is_standard_of_quotas(resource) && !applies(scope, resource))
        .count()
}

fn applies(scope: &str, resource: &str) -> bool {
    match scope {
        "BestEffort" => resource == "pods",
        "VolumeAttributesClass" => {
            matches!(resource, "persistentvolumeclaims" | "requests.storage")
        }
        known if SCOPES.contains(&known) => resource == "pods" || COMPUTE.contains(&resource),
        _ => true,
    }
}

fn scopes(out: &mut Errors, spec: &Value) {
    const PATH: &str = "spec.scopes";
    let all = &spec["scopes"];
    let names: Vec<&str> = items(spec, "scopes").iter().filter_map(Value::as_str).collect();
    for scope in &names {
        if !SCOPES.contains(scope) {
            out.push(FieldError::invalid(PATH, all.clone(), "unsupported scope"));
        }
        for _ in 0..misplaced(spec, scope) {
            out.push(FieldError::invalid(PATH, all.clone(), NOT_FOR_RESOURCE));
        }
    }
    conflicts(out, PATH, all, &names);
}

fn conflicts(out: &mut Errors, path: &str, value: &Value, names: &[&str]) {
    for pair in CONFLICTS {
        if pair.iter().all(|scope| names.contains(scope)) {
            out.push(FieldError::invalid(path, value.clone(), "conflicting scopes"));
        }
    }
}

fn selector(out: &mut Errors, spec: &Value) {
    const PATH: &str = "spec.scopeSelector.matchExpressions";
    let whole = &spec["scopeSelector"];
    let mut names = Vec::new();
    for requirement in items(whole, "matchExpressions") {
        let (scope, operator) = (text(requirement, "scopeName"), text(requirement, "operator"));
        if !SCOPES.contains(&scope) {
            let path = format!("{PATH}.scopeName");
            out.push(FieldError::invalid(path, scope, "unsupported scope"));
        }
        for _ in 0..misplaced(spec, scope) {
            out.push(FieldError::invalid(PATH, whole.clone(), NOT_FOR_RESOURCE));
        }
        if BARE_SCOPES.contains(&scope) && operator != "Exists" {
            out.push(FieldError::invalid(format!("{PATH}.operator"), operator, MUST_EXIST));
        }
        let values = &requirement["values"];
        let given = items(requirement, "values").len();
        match operator {
            "In" | "NotIn" if given == 0 => out.push(FieldError::required(
                format!("{PATH}.values"),
                "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector",
            )),
            "Exists" | "DoesNotExist" if given != 0 => out.push(FieldError::invalid(
                format!("{PATH}.values"),
                values.clone(),
                "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => out.push(FieldError::invalid(
                format!("{PATH}.operator"),
                other,
                "not a valid selector operator",
            )),
        }
        names.push(scope);
    }
    conflicts(out, PATH, whole, &names);
}

pub(crate) fn quota_change(out: &mut Errors, new: &Value, old: &Value) {
    let sorted = |object: &Value| -> Vec<String> {
        let scopes = items(&object["spec"], "scopes").iter().filter_map(Value::as_str);
        let mut scopes: Vec<String> = scopes.map(str::to_owned).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    };
    if sorted(new) != sorted(old) {
        out.push(FieldError::invalid("spec.scopes", new["spec"]["scopes"].clone(), IMMUTABLE));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn errors(spec: Value) -> Vec<String> {
        let mut out = Vec::new();
        quota(&mut out, &json!({"spec": spec, "status": {}}));
        out.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_a_quota_may_limit() {
        let good = json!({"hard": {"cpu": "1", "requests.nvidia.com/gpu": "1", "pods": "2",
            "count/deployments.apps": "1", "gold.storageclass.storage.k8s.io/requests.storage": "1Gi",
            "hugepages-2Mi": "1Gi", "requests.hugepages-2Mi": "1Gi", "services.nodeports": "0"}});
        assert_eq!(errors(good), [] as [&str; 0]);
        for (hard, want) in [
            (
                json!({"cores": "1"}),
                vec![
                    "spec.hard[cores]: Invalid value: \"cores\": must be a standard resource type or fully qualified",
                    "spec.hard[cores]: Invalid value: \"cores\": must be a standard resource for quota",
                ],
            ),
            (
                json!({"storage": "1"}),
                vec![
                    "spec.hard[storage]: Invalid value: \"storage\": must be a standard resource for quota",
                ],
            ),
            (
                json!({"pods": "500m"}),
                vec!["spec.hard[pods]: Invalid value: \"500m\": must be an integer"],
            ),
            (
                json!({"cpu": "-1"}),
                vec!["spec.hard[cpu]: Invalid value: \"-1\": must be greater than or equal to 0"],
            ),
        ] {
            assert_eq!(errors(json!({"hard": hard})), want);
        }
    }

    #[test]
    fn scopes_fit_each_other_and_the_resources() {
        let both =
            errors(json!({"hard": {"pods": "1"}, "scopes": ["Terminating", "NotTerminating"]}));
        assert_eq!(
            both,
            [
                "spec.scopes: Invalid value: [\"Terminating\",\"NotTerminating\"]: conflicting scopes"
            ]
        );
        let compute = errors(json!({"hard": {"cpu": "1"}, "scopes": ["BestEffort"]}));
        assert_eq!(
            compute,
            ["spec.scopes: Invalid value: [\"BestEffort\"]: unsupported scope applied to resource"]
        );
        let unknown = errors(json!({"hard": {"pods": "1"}, "scopes": ["Other"]}));
        assert_eq!(unknown, ["spec.scopes: Invalid value: [\"Other\"]: unsupported scope"]);
        let expression = |e: Value| {
            errors(json!({"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": [e]}}))
        };
        let class = json!({"scopeName": "PriorityClass", "operator": "In", "values": ["high"]});
        assert_eq!(expression(class), [] as [&str; 0]);
        let path = "spec.scopeSelector.matchExpressions";
        assert_eq!(
            expression(json!({"scopeName": "BestEffort", "operator": "In", "values": ["x"]})),
            [format!("{path}.operator: Invalid value: \"In\": {MUST_EXIST}")]
        );
        assert_eq!(
            expression(json!({"scopeName": "PriorityClass", "operator": "In"})),
            [format!(
                "{path}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
            )]
        );
        let mut out = Vec::new();
        let with = |scopes: Value| json!({"spec": {"scopes": scopes}});
        quota_change(&mut out, &with(json!(["BestEffort"])), &with(json!(["NotBestEffort"])));
        assert_eq!(
            out[0].to_string(),
            "spec.scopes: Invalid value: [\"BestEffort\"]: field is immutable"
        );
    }
}
