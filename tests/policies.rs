//! Admission policies over HTTP: what they deny, warn of, note and change, and when.

mod api_support;

use api_support::{Answer, Client, TestApi};
use kabuki_actors::registry::{Notes, RequestInfo};
use kabuki_api::kind;
use serde_json::{Value, json};

const ADMISSION: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// A validating policy about ConfigMaps with one validation, and what `change` makes of it.
fn validating(name: &str, expression: &str, change: impl FnOnce(&mut Value)) -> Value {
    let mut policy = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "matchConstraints": {"resourceRules": [rule()]},
            "validations": [{"expression": expression}]}});
    change(&mut policy["spec"]);
    policy
}

fn mutating(name: &str, mutation: &Value, change: impl FnOnce(&mut Value)) -> Value {
    let mut policy = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "matchConstraints": {"resourceRules": [rule()]}, "reinvocationPolicy": "Never",
            "mutations": [mutation]}});
    change(&mut policy["spec"]);
    policy
}

fn rule() -> Value {
    json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"]})
}

fn binding(policy: &Value, spec: &Value) -> Value {
    let mut binding = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": format!("{}Binding", policy["kind"].as_str().unwrap()),
        "metadata": {"name": policy["metadata"]["name"]}, "spec": spec});
    binding["spec"]["policyName"] = policy["metadata"]["name"].clone();
    binding
}

fn resource(kind: &Value) -> String {
    let plural = match kind.as_str().unwrap() {
        "ValidatingAdmissionPolicy" => "validatingadmissionpolicies",
        "ValidatingAdmissionPolicyBinding" => "validatingadmissionpolicybindings",
        "MutatingAdmissionPolicy" => "mutatingadmissionpolicies",
        _ => "mutatingadmissionpolicybindings",
    };
    format!("{ADMISSION}/{plural}")
}

async fn put(client: &Client, object: &Value) {
    let answer = client.post(&resource(&object["kind"]), object).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
}

/// Installs a policy with its binding.
async fn install(client: &Client, policy: &Value, spec: &Value) {
    put(client, policy).await;
    put(client, &binding(policy, spec)).await;
}

async fn remove(client: &Client, policy: &Value) {
    let name = policy["metadata"]["name"].as_str().unwrap();
    let path = format!("{}/{name}", resource(&policy["kind"]));
    assert_eq!(delete_at(client, &path).await.code, 200);
}

fn map(name: &str, value: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": name}}, "data": {"k": value}})
}

async fn create(client: &Client, name: &str, value: &str) -> Answer {
    client.post(MAPS, &map(name, value)).await
}

async fn put_at(client: &Client, path: &str, body: &Value) -> Answer {
    client.send_json("PUT", path, "application/json", body).await
}

async fn patch_at(client: &Client, path: &str, body: &Value) -> Answer {
    client.send_json("PATCH", path, "application/merge-patch+json", body).await
}

async fn delete_at(client: &Client, path: &str) -> Answer {
    client.send(client.request("DELETE", path)).await
}

fn deny() -> Value {
    json!({"validationActions": ["Deny"]})
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_deny_warn_and_note() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let policy = validating("p", "object.data.k == variables.wanted", |spec| {
        spec["variables"] = json!([{"name": "wanted", "expression": "'good'"}]);
        spec["validations"][0]["messageExpression"] =
            "'k is ' + object.data.k + ', not ' + variables.wanted".into();
        spec["auditAnnotations"] =
            json!([{"key": "k", "valueExpression": "string(object.data.k)"}]);
    });
    install(&admin, &policy, &deny()).await;
    assert_eq!(create(&admin, "fine", "good").await.code, 201);
    let refused = create(&admin, "bad", "x").await;
    let text = "ValidatingAdmissionPolicy 'p' with binding 'p' denied request: k is x, not good";
    let status = refused.json();
    assert_eq!(refused.code, 422, "{status}");
    assert_eq!(status["reason"], "Invalid");
    assert_eq!(status["message"], format!("configmaps \"bad\" is forbidden: {text}"));
    assert_eq!(status["details"]["causes"], json!([{"message": text}]));
    let mut changed = map("fine", "worse");
    changed["data"]["k"] = "worse".into();
    assert_eq!(put_at(&admin, &format!("{MAPS}/fine"), &changed).await.code, 422);

    let place = format!("{}/p", resource(&json!("ValidatingAdmissionPolicyBinding")));
    let actions = json!({"spec": {"validationActions": ["Warn", "Audit"]}});
    assert_eq!(patch_at(&admin, &place, &actions).await.code, 200);
    let warned = create(&admin, "warned", "x").await;
    assert_eq!(warned.code, 201, "{}", warned.text);
    assert_eq!(
        warned.header("warning"),
        "299 - \"Validation failed for ValidatingAdmissionPolicy 'p' with binding 'p': k is x, not good\""
    );
    let info = RequestInfo { notes: Notes::open(), ..RequestInfo::internal("test") };
    api.registry.create(&info, kind::CONFIG_MAP, "default", map("noted", "y")).await.unwrap();
    let (_, annotations) = info.notes.take();
    assert_eq!(annotations["p/k"], "y");
    let noted: Value =
        serde_json::from_str(&annotations["validation.policy.admission.k8s.io/validation_failure"])
            .unwrap();
    assert_eq!(
        noted,
        json!([{"message": "k is y, not good", "policy": "p", "binding": "p",
            "expressionIndex": 0, "validationActions": ["Warn", "Audit"]}])
    );

    remove(&admin, &policy).await;
    let free = create(&admin, "free", "x").await;
    assert_eq!((free.code, free.header("warning")), (201, ""));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_and_conditions() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let failing = validating("failing", "object.data.gone == 'x'", |_| {});
    install(&admin, &failing, &deny()).await;
    let refused = create(&admin, "a", "x").await;
    assert_eq!(refused.code, 422);
    assert_eq!(
        refused.json()["message"],
        "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy 'failing' with binding 'failing' \
         denied request: expression 'object.data.gone == 'x'' resulted in error: no such key: gone"
    );
    let place = format!("{}/failing", resource(&json!("ValidatingAdmissionPolicy")));
    let ignore = json!({"spec": {"failurePolicy": "Ignore"}});
    assert_eq!(patch_at(&admin, &place, &ignore).await.code, 200);
    assert_eq!(create(&admin, "a", "x").await.code, 201);
    remove(&admin, &failing).await;

    let conditional = validating("conditional", "false", |spec| {
        spec["validations"][0]["message"] = "never".into();
        spec["validations"][0]["reason"] = "Forbidden".into();
        spec["matchConditions"] = json!([
            {"name": "named", "expression": "request.name.startsWith('no-')"},
            {"name": "who", "expression": "request.userInfo.username == 'kubernetes-admin'"},
            {"name": "may", "expression":
                "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()"}
        ]);
    });
    install(&admin, &conditional, &deny()).await;
    assert_eq!(create(&admin, "yes", "x").await.code, 201);
    let refused = create(&admin, "no-b", "x").await;
    assert_eq!((refused.code, &refused.json()["reason"]), (403, &json!("Forbidden")));
    remove(&admin, &conditional).await;

    let bad = validating("bad", "object.x ==", |_| {});
    let refused = admin.post(&resource(&bad["kind"]), &bad).await;
    assert_eq!(refused.code, 422);
    assert_eq!(refused.json()["details"]["causes"][0]["field"], "spec.validations[0].expression");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bindings_choose_and_give_parameters() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let policy = validating("limit", "size(object.data.k) <= int(params.data.max)", |spec| {
        spec["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        spec["validations"][0]["messageExpression"] =
            "'longer than ' + params.data.max + ' of ' + params.metadata.name".into();
    });
    let mut limits = map("limits", "");
    limits["data"] = json!({"max": "3"});
    assert_eq!(admin.post(MAPS, &limits).await.code, 201);
    let spec = json!({"validationActions": ["Deny"],
        "paramRef": {"name": "limits", "namespace": "default", "parameterNotFoundAction": "Deny"},
        "matchResources": {"objectSelector": {"matchLabels": {"app": "chosen"}}}});
    install(&admin, &policy, &spec).await;
    assert_eq!(create(&admin, "other", "long enough").await.code, 201);
    let refused = create(&admin, "chosen", "long enough").await;
    assert_eq!(refused.code, 422, "{}", refused.text);
    assert!(refused.text.contains("longer than 3 of limits"), "{}", refused.text);
    assert_eq!(create(&admin, "chosen", "abc").await.code, 201);

    assert_eq!(delete_at(&admin, &format!("{MAPS}/limits")).await.code, 200);
    let refused = put_at(&admin, &format!("{MAPS}/chosen"), &map("chosen", "abcd")).await;
    assert!(
        refused.text.contains(
            "failed to configure binding: no params found for policy binding with `Deny` \
             parameterNotFoundAction"
        ),
        "{}",
        refused.text
    );
    let place = format!("{}/limit", resource(&json!("ValidatingAdmissionPolicyBinding")));
    let allow = json!({"spec": {"paramRef": {"parameterNotFoundAction": "Allow"}}});
    assert_eq!(patch_at(&admin, &place, &allow).await.code, 200);
    assert_eq!(put_at(&admin, &format!("{MAPS}/chosen"), &map("chosen", "abcd")).await.code, 200);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_change_objects() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let apply = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression":
        "Object{metadata: Object.metadata{labels: {'by': 'policy'}}, data: {'size': string(size(object.data))}}"}});
    let labels = mutating("labels", &apply, |spec| spec["reinvocationPolicy"] = "IfNeeded".into());
    install(&admin, &labels, &json!({})).await;
    let made = create(&admin, "a", "x").await;
    assert_eq!(made.code, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(made["metadata"]["labels"], json!({"app": "a", "by": "policy"}));
    assert_eq!(made["data"], json!({"k": "x", "size": "1"}));

    let patch = json!({"patchType": "JSONPatch", "jsonPatch": {"expression":
        "[JSONPatch{op: 'add', path: '/metadata/annotations', value: {'a/b': request.operation}}, \
          JSONPatch{op: 'add', path: '/metadata/annotations/' + jsonpatch.escapeKey('a/c'), value: 'z'}, \
          JSONPatch{op: 'add', path: '/data/y', value: 'z'}]"}});
    let annotations = mutating("patches", &patch, |_| {});
    install(&admin, &annotations, &json!({})).await;
    let made = create(&admin, "b", "x").await;
    assert_eq!(made.code, 201, "{}", made.text);
    let made = made.json();
    assert_eq!(made["metadata"]["annotations"], json!({"a/b": "CREATE", "a/c": "z"}));
    // Asked again, because what came after it changed the object: now it counts three.
    assert_eq!(made["data"], json!({"k": "x", "y": "z", "size": "3"}));
    remove(&admin, &annotations).await;

    let broken = json!({"patchType": "JSONPatch", "jsonPatch": {"expression":
        "[JSONPatch{op: 'test', path: '/data/k', value: object.data.gone}]"}});
    let broken = mutating("broken", &broken, |_| {});
    install(&admin, &broken, &json!({})).await;
    let refused = create(&admin, "c", "x").await;
    assert_eq!((refused.code, &refused.json()["reason"]), (403, &json!("Invalid")));
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .starts_with("policy 'broken' with binding 'broken' denied request: "),
        "{}",
        refused.text
    );
    assert!(refused.text.contains("no such key: gone"), "{}", refused.text);
    remove(&admin, &broken).await;
    remove(&admin, &labels).await;
    let plain = create(&admin, "d", "x").await.json();
    assert_eq!(plain["metadata"]["labels"], json!({"app": "d"}));

    let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
    put(&admin, &labels).await;
    let shown = admin.get_as(&resource(&labels["kind"]), table).await.json();
    assert_eq!(
        shown["rows"][0]["cells"].as_array().unwrap()[..3],
        [json!("labels"), json!(1), json!("<unset>")]
    );
    api.stop().await;
}
