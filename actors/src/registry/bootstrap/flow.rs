//! The FlowSchemas and PriorityLevelConfigurations every cluster has
//! (kubernetes `apiserver/pkg/apis/flowcontrol/bootstrap/default.go`).

use kabuki_api::kind::{FLOW_SCHEMA, Kind, PRIORITY_LEVEL_CONFIGURATION};
use serde_json::{Value, json};

/// While it says `true`, the server keeps the object as it should be.
const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
const EVERYBODY: &[&str] = &["system:unauthenticated", "system:authenticated"];

/// FlowSchemas and PriorityLevelConfigurations that hold whether they are stored or not.
pub fn mandatory_flow() -> (Vec<Value>, Vec<Value>) {
    let schemas = vec![
        schema("exempt", "exempt", 1, None, all(&groups(&["system:masters"]))),
        schema("catch-all", "catch-all", 10_000, Some("ByUser"), all(&groups(EVERYBODY))),
    ];
    let exempt = json!({"type": "Exempt",
        "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let catch_all = json!({"type": "Limited", "limited": {"nominalConcurrencyShares": 5,
        "lendablePercent": 0, "limitResponse": {"type": "Reject"}}});
    (schemas, vec![level("exempt", &exempt), level("catch-all", &catch_all)])
}

/// All that are made when they are missing.
pub(super) fn objects() -> Vec<(&'static Kind, Value)> {
    let (schemas, levels) = mandatory_flow();
    let levels = levels.into_iter().chain(suggested_levels());
    let schemas = schemas.into_iter().chain(suggested_schemas());
    let levels = levels.map(|object| (PRIORITY_LEVEL_CONFIGURATION, object));
    levels.chain(schemas.map(|object| (FLOW_SCHEMA, object))).collect()
}

/// Name, shares, lendable percent, queues, hand size.
const LEVELS: &[(&str, u32, u32, u32, u32)] = &[
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
];
const QUEUE_LENGTH: u32 = 50;

fn suggested_levels() -> impl Iterator<Item = Value> {
    LEVELS.iter().map(|(name, shares, lendable, queues, hand)| {
        let queuing = json!({"queues": queues, "handSize": hand, "queueLengthLimit": QUEUE_LENGTH});
        let limited = json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable,
            "limitResponse": {"type": "Queue", "queuing": queuing}});
        level(name, &json!({"type": "Limited", "limited": limited}))
    })
}

fn suggested_schemas() -> Vec<Value> {
    let (user, namespace) = (Some("ByUser"), Some("ByNamespace"));
    let leases =
        json!([resources(&["get", "create", "update"], "coordination.k8s.io", &["leases"], false)]);
    let nodes = json!([
        resources(&["*"], "", &["nodes", "nodes/status"], true),
        resources(&["*"], "coordination.k8s.io", &["leases"], false)
    ]);
    let get = &["get", "create", "update"];
    let endpoints = json!([resources(get, "", &["endpoints"], false)]);
    let probes = json!([{"subjects": groups(EVERYBODY), "nonResourceRules": [
        {"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}]}]);
    let components = ["system:kube-controller-manager", "system:kube-scheduler"];
    let mut electing = users(&components);
    electing.push(account("*"));
    let mut endpoint_makers = users(&components[..1]);
    endpoint_makers
        .extend(["endpoint-controller", "endpointslicemirroring-controller"].map(account));
    let some =
        |subjects: &[Value], rules: &Value| json!([{"subjects": subjects, "resourceRules": rules}]);
    let nodes_group = groups(&["system:nodes"]);
    vec![
        schema("probes", "exempt", 2, None, probes),
        schema("system-leader-election", "leader-election", 100, user, some(&electing, &leases)),
        schema(
            "endpoint-controller",
            "workload-high",
            150,
            user,
            some(&endpoint_makers, &endpoints),
        ),
        schema(
            "workload-leader-election",
            "leader-election",
            200,
            user,
            some(&[account("*")], &leases),
        ),
        schema("system-node-high", "node-high", 400, user, some(&nodes_group, &nodes)),
        schema("system-nodes", "system", 500, user, all(&nodes_group)),
        schema(
            "kube-controller-manager",
            "workload-high",
            800,
            namespace,
            all(&users(&components[..1])),
        ),
        schema("kube-scheduler", "workload-high", 800, namespace, all(&users(&components[1..]))),
        schema(
            "kube-system-service-accounts",
            "workload-high",
            900,
            namespace,
            all(&[account("*")]),
        ),
        schema(
            "service-accounts",
            "workload-low",
            9_000,
            user,
            all(&groups(&["system:serviceaccounts"])),
        ),
        schema("global-default", "global-default", 9_900, user, all(&groups(EVERYBODY))),
    ]
}

fn named(name: &str, kind: &'static Kind, spec: Value) -> Value {
    json!({"apiVersion": kind.api_version(), "kind": kind.kind, "spec": spec,
        "metadata": {"name": name, "annotations": {AUTOUPDATE: "true"}}})
}

fn level(name: &str, spec: &Value) -> Value {
    named(name, PRIORITY_LEVEL_CONFIGURATION, spec.clone())
}

fn schema(name: &str, level: &str, precedence: u32, by: Option<&str>, rules: Value) -> Value {
    let mut spec = json!({"matchingPrecedence": precedence, "rules": rules,
        "priorityLevelConfiguration": {"name": level}});
    if let Some(by) = by {
        spec["distinguisherMethod"] = json!({"type": by});
    }
    named(name, FLOW_SCHEMA, spec)
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

fn users(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "User", "user": {"name": name}})).collect()
}

fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount",
        "serviceAccount": {"namespace": "kube-system", "name": name}})
}

fn resources(verbs: &[&str], group: &str, names: &[&str], cluster: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": names,
        "namespaces": ["*"]});
    if cluster {
        rule["clusterScope"] = true.into();
    }
    rule
}

/// Everything these subjects ask for.
fn all(subjects: &[Value]) -> Value {
    json!([{"subjects": subjects, "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}]}])
}

/// Whether a stored object is to be put back to what it should be: its specification differs, and
/// nobody took it over.
pub(super) fn is_stale(live: &Value, wanted: &Value) -> bool {
    let own = live["metadata"]["annotations"][AUTOUPDATE] == "true";
    let name = wanted["metadata"]["name"].as_str();
    let mandatory = wanted["kind"] == "FlowSchema" && matches!(name, Some("exempt" | "catch-all"));
    (own || mandatory) && !same(&live["spec"], &wanted["spec"])
}

/// Whether everything wanted is there; defaults may stand beside it.
fn same(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            wanted.iter().all(|(name, value)| live.get(name).is_some_and(|l| same(l, value)))
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(l, w)| same(l, w))
        }
        (live, wanted) => live == wanted,
    }
}

#[cfg(test)]
mod tests {
    use kabuki_api::validate;

    use super::*;

    #[test]
    fn all_of_them_are_valid_and_known_again() {
        let all = objects();
        assert_eq!(all.len(), 21);
        for (kind, wanted) in all {
            let mut object = wanted.clone();
            (kind.defaults)(&mut object);
            let errors = validate::create(kind, &object);
            assert!(errors.is_empty(), "{wanted}: {errors:?}");
            assert!(!is_stale(&object, &wanted), "{wanted}");
            object["spec"]["matchingPrecedence"] = 77.into();
            object["spec"]["type"] = "Other".into();
            assert!(is_stale(&object, &wanted));
            object["metadata"]["annotations"] = json!({});
            let (name, kind) = (wanted["metadata"]["name"].as_str().unwrap(), &wanted["kind"]);
            let mandatory = ["exempt", "catch-all"].contains(&name) && kind == "FlowSchema";
            assert_eq!(is_stale(&object, &wanted), mandatory);
        }
    }
}
