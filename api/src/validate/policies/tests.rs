use serde_json::{Value, json};

use super::*;
use crate::{defaults, validate};

fn policy(change: impl FnOnce(&mut Value)) -> Value {
    let mut policy = json!({"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["deployments"]}]},
        "variables": [{"name": "n", "expression": "object.spec.replicas"}],
        "validations": [{"expression": "variables.n <= 5"}]}});
    change(&mut policy);
    defaults::policies::policy(&mut policy);
    policy
}

fn found(check: fn(&mut Errors, &Value), object: &Value) -> Vec<String> {
    let mut out = Vec::new();
    check(&mut out, object);
    out.iter().map(validate::FieldError::to_string).collect()
}

#[test]
fn validating_policies() {
    assert_eq!(found(validating, &policy(|_| {})), Vec::<String>::new());
    let one = |change: fn(&mut Value)| found(validating, &policy(change));
    for (change, want) in [
        (
            (|p| p["spec"]["validations"][0]["expression"] = "object.x ==".into())
                as fn(&mut Value),
            "spec.validations[0].expression: Invalid value: \"object.x ==\": compilation failed: ERROR: <input>:1:12: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | object.x ==\n | ...........^",
        ),
        (
            |p| p["spec"]["validations"][0]["expression"] = "1 + 1".into(),
            "spec.validations[0].expression: Invalid value: \"1 + 1\": must evaluate to bool but got int",
        ),
        (
            |p| p["spec"]["validations"][0]["expression"] = "params.x == 1".into(),
            "spec.validations[0].expression: Invalid value: \"params.x == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.x == 1\n | ^",
        ),
        (
            |p| p["spec"]["validations"][0]["reason"] = "Nope".into(),
            "spec.validations[0].reason: Unsupported value: \"Nope\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\", \"Unauthorized\"",
        ),
        (
            |p| p["spec"]["validations"][0]["message"] = "a\nb".into(),
            "spec.validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks",
        ),
        (
            |p| p["spec"]["failurePolicy"] = "Maybe".into(),
            "spec.failurePolicy: Unsupported value: \"Maybe\": supported values: \"Fail\", \"Ignore\"",
        ),
        (
            |p| p["spec"]["matchConstraints"]["resourceRules"] = json!([]),
            "spec.matchConstraints.resourceRules: Required value",
        ),
        (
            |p| p["spec"]["variables"][0]["name"] = "in".into(),
            "spec.variables[0].name: Invalid value: \"in\": name is not a valid CEL identifier",
        ),
    ] {
        assert_eq!(one(change).first().map(String::as_str), Some(want));
    }
    let nothing = one(|p| p["spec"]["validations"] = json!([]));
    assert_eq!(
        nothing,
        [
            format!("spec.validations: Required value: {ONE_ITEM}"),
            format!("spec.auditAnnotations: Required value: {ONE_ITEM}"),
        ]
    );
}

#[test]
fn bindings() {
    let binding = |spec: Value| found(validating_binding, &json!({"spec": spec}));
    let fine = json!({"policyName": "p", "validationActions": ["Deny", "Audit"],
        "paramRef": {"name": "x", "parameterNotFoundAction": "Deny"}});
    assert_eq!(binding(fine), Vec::<String>::new());
    assert_eq!(
        binding(json!({"policyName": "p", "validationActions": ["Deny", "Warn"]})),
        [format!("spec.validationActions: Invalid value: [\"Deny\",\"Warn\"]: {DENY_AND_WARN}")]
    );
    assert_eq!(
        binding(json!({"policyName": "p", "paramRef": {"name": "x"}})),
        [
            "spec.paramRef.parameterNotFoundAction: Required value",
            "spec.validationActions: Required value: at least one validation action is required",
        ]
    );
}

#[test]
fn mutating_policies() {
    let mutating_policy = |mutations: Value| {
        policy(|p| {
            p["kind"] = "MutatingAdmissionPolicy".into();
            p["spec"]["reinvocationPolicy"] = "Never".into();
            p["spec"]["mutations"] = mutations;
        })
    };
    let apply = |expression: &str| json!([{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}]);
    let check = |mutations| found(mutating, &mutating_policy(mutations));
    assert_eq!(check(apply("Object{spec: Object.spec{replicas: 1}}")), Vec::<String>::new());
    assert_eq!(
        check(json!([{"patchType": "JSONPatch", "jsonPatch": {"expression":
            "[JSONPatch{op: 'add', path: '/spec/replicas', value: 1}]"}}])),
        Vec::<String>::new()
    );
    assert_eq!(
        check(apply("1")),
        [
            "spec.mutations[0].applyConfiguration.expression: Invalid value: \"1\": must evaluate to Object but got int"
        ]
    );
    assert_eq!(
        check(json!([])),
        ["spec.mutations: Required value: mutations must contain at least one item"]
    );
    assert_eq!(
        check(json!([{"patchType": "JSONPatch"}])),
        [
            "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch"
        ]
    );
}
