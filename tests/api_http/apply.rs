//! Server-side apply and the owners of fields, over HTTP.

use serde_json::{Value, json};

use crate::api_support::{Answer, Client, TestApi};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";

async fn apply(client: &Client, path: &str, body: &Value) -> Answer {
    client.send_json("PATCH", path, "application/apply-patch+yaml", body).await
}

fn map(data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": data})
}

fn deployment(replicas: Option<i64>, image: &str) -> Value {
    let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "d", "labels": {"app": "d"}},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
            "metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": image,
                "ports": [{"containerPort": 80}]}]}}}});
    if let Some(replicas) = replicas {
        object["spec"]["replicas"] = replicas.into();
    }
    object
}

fn owner<'a>(object: &'a Value, manager: &str, subresource: &str) -> &'a Value {
    let entries = object["metadata"]["managedFields"].as_array().unwrap();
    let found = entries.iter().find(|e| {
        e["manager"] == manager && e["subresource"].as_str().unwrap_or_default() == subresource
    });
    found.unwrap_or_else(|| panic!("{manager} owns nothing in {object:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_creates_updates_conflicts_and_forces() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let me = format!("{MAPS}/a?fieldManager=me");

    let created = apply(&admin, &me, &map(json!({"x": "1", "y": "1"}))).await;
    assert_eq!(created.code, 201, "{}", created.text);
    let first = created.json();
    let entry = owner(&first, "me", "");
    assert_eq!(
        (&entry["operation"], &entry["fieldsV1"], &entry["apiVersion"], &entry["fieldsType"]),
        (
            &json!("Apply"),
            &json!({"f:data": {"f:x": {}, "f:y": {}}}),
            &json!("v1"),
            &json!("FieldsV1")
        )
    );
    let again = apply(&admin, &me, &map(json!({"x": "1", "y": "1"}))).await;
    assert_eq!((again.code, again.json()), (200, first.clone()), "nothing was written");

    let other = format!("{MAPS}/a?fieldManager=other");
    let refused = apply(&admin, &other, &map(json!({"x": "2"}))).await;
    assert_eq!(refused.code, 409);
    let status = refused.json();
    assert_eq!(status["message"], "Apply failed with 1 conflict: conflict with \"me\": .data.x");
    assert_eq!(
        status["details"]["causes"],
        json!([{"reason": "FieldManagerConflict", "message": "conflict with \"me\"", "field": ".data.x"}])
    );
    let dry =
        apply(&admin, &format!("{other}&force=true&dryRun=All"), &map(json!({"x": "2"}))).await;
    assert_eq!((dry.code, &dry.json()["data"]["x"]), (200, &json!("2")));
    assert_eq!(admin.get(&format!("{MAPS}/a")).await.json(), first);
    let forced = apply(&admin, &format!("{other}&force=true"), &map(json!({"x": "2"}))).await;
    let forced = forced.json();
    assert_eq!(owner(&forced, "me", "")["fieldsV1"], json!({"f:data": {"f:y": {}}}));
    assert_eq!(owner(&forced, "other", "")["fieldsV1"], json!({"f:data": {"f:x": {}}}));

    // What its applier drops goes; a merge patch is an update of whoever sends it.
    let merge = "application/merge-patch+json";
    let z = json!({"data": {"z": "1"}});
    let request = admin.request("PATCH", &format!("{MAPS}/a")).header("content-type", merge);
    let patched =
        admin.send(request.header("user-agent", "tool/1.0 (x)").body(z.to_string())).await;
    assert_eq!(owner(&patched.json(), "tool", "")["operation"], "Update");
    let dropped = apply(&admin, &other, &map(json!(null))).await.json();
    assert_eq!(dropped["data"], json!({"y": "1", "z": "1"}));

    // An optimistic lock in the configuration, and a uid nobody has.
    let mut locked = map(json!({"x": "3"}));
    locked["metadata"]["resourceVersion"] = "1".into();
    assert_eq!(apply(&admin, &other, &locked).await.code, 409);
    let mut missing = map(json!({}));
    missing["metadata"] = json!({"name": "none", "uid": "u"});
    let answer = apply(&admin, &format!("{MAPS}/none?fieldManager=me"), &missing).await;
    assert_eq!(answer.code, 409);
    assert!(
        answer.text.contains("uid mismatch: the provided object specified uid u"),
        "{}",
        answer.text
    );

    let reset = json!([{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}]);
    let cleared =
        admin.send_json("PATCH", &format!("{MAPS}/a"), "application/json-patch+json", &reset).await;
    assert!(cleared.json()["metadata"]["managedFields"].is_null(), "{}", cleared.text);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn apply_refuses_what_upstream_refuses() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let me = format!("{MAPS}/a?fieldManager=me");
    let nobody = apply(&admin, &format!("{MAPS}/a"), &map(json!({}))).await;
    assert_eq!(nobody.code, 422);
    assert_eq!(
        nobody.json()["message"],
        "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for apply patch"
    );
    let merge = "application/merge-patch+json";
    let force = admin.send_json("PATCH", &format!("{me}&force=true"), merge, &json!({})).await;
    assert_eq!(force.code, 422);
    assert!(force.text.contains("may not be specified for non-apply patch"), "{}", force.text);
    let cbor = admin.send_json("PATCH", &me, "application/apply-patch+cbor", &json!({})).await;
    assert_eq!((cbor.code, &cbor.json()["reason"]), (415, &json!("UnsupportedMediaType")));

    let mut owned = map(json!({}));
    owned["metadata"]["managedFields"] = json!([]);
    for (body, code, message) in [
        (owned, 400, "metadata.managedFields must be nil"),
        (
            json!({"apiVersion": "v1", "kind": "Secret"}),
            400,
            "invalid object type: /v1, Kind=Secret",
        ),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "foo": 1}),
            500,
            "failed to create typed patch object (/a; /v1, Kind=ConfigMap): .foo: field not declared in schema",
        ),
    ] {
        let answer = apply(&admin, &me, &body).await;
        assert_eq!((answer.code, answer.json()["message"].as_str()), (code, Some(message)));
    }
    // YAML with a key twice: refused when strict, else a warning.
    let text =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {x: '1'}\ndata: {x: '2'}\n";
    let send = |path: String| {
        let request = admin.request("PATCH", &path);
        admin.send(request.header("content-type", "application/apply-patch+yaml").body(text))
    };
    assert_eq!(send(format!("{me}&fieldValidation=Strict")).await.code, 400);
    let warned = send(me.clone()).await;
    assert_eq!(warned.code, 201);
    assert!(warned.header("warning").contains("data"), "{:?}", warned.headers);

    // Who may patch only cannot create.
    let patcher = api.client("patcher", &[]);
    let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "p"},
        "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["patch"]}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default";
    assert_eq!(admin.post(&format!("{rbac}/roles"), &role).await.code, 201);
    let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
        "metadata": {"name": "p"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "p"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "patcher"}]});
    assert_eq!(admin.post(&format!("{rbac}/rolebindings"), &binding).await.code, 201);
    assert_eq!(apply(&patcher, &format!("{me}2"), &map(json!({"y": "1"}))).await.code, 200);
    let mut new = map(json!({}));
    new["metadata"]["name"] = "new".into();
    let refused = apply(&patcher, &format!("{MAPS}/new?fieldManager=p"), &new).await;
    assert_eq!(refused.code, 403);
    assert!(refused.text.contains("cannot create resource"), "{}", refused.text);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deployments_their_status_and_their_scale_have_owners() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let path = format!("{DEPLOYMENTS}/d");
    let me = format!("{path}?fieldManager=me");
    let created = apply(&admin, &me, &deployment(Some(2), "i:1")).await;
    assert_eq!(created.code, 201, "{}", created.text);
    let object = created.json();
    let container = "k:{\"name\":\"c\"}";
    assert_eq!(
        owner(&object, "me", "")["fieldsV1"]["f:spec"],
        json!({"f:replicas": {}, "f:selector": {}, "f:template": {
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:containers": {container: {".": {}, "f:image": {}, "f:name": {},
                "f:ports": {"k:{\"containerPort\":80,\"protocol\":\"TCP\"}":
                    {".": {}, "f:containerPort": {}}}}}}}})
    );

    // Through scale the replicas change hands, and an apply of another number is a conflict.
    let scale = json!({"apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {"name": "d", "namespace": "default"}, "spec": {"replicas": 4}});
    let path_of_scale = format!("{path}/scale?fieldManager=scaler");
    assert_eq!(admin.send_json("PUT", &path_of_scale, "application/json", &scale).await.code, 200);
    let object = admin.get(&path).await.json();
    assert_eq!(
        owner(&object, "scaler", "scale")["fieldsV1"],
        json!({"f:spec": {"f:replicas": {}}})
    );
    let refused = apply(&admin, &me, &deployment(Some(2), "i:1")).await.json();
    assert_eq!(
        refused["message"],
        "Apply failed with 1 conflict: conflict with \"scaler\" with subresource \"scale\" using apps/v1: .spec.replicas"
    );
    // Who gives up the replicas leaves them as they are.
    let given_up = apply(&admin, &me, &deployment(None, "i:2")).await;
    assert_eq!((given_up.code, &given_up.json()["spec"]["replicas"]), (200, &json!(4)));
    let forced = apply(&admin, &format!("{path}/scale?fieldManager=me&force=true"), &scale).await;
    assert_eq!(forced.code, 200, "{}", forced.text);
    let object = admin.get(&path).await.json();
    assert_eq!(owner(&object, "me", "scale")["operation"], "Apply");

    let status = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"},
        "spec": {"replicas": 9}, "status": {"replicas": 4, "conditions":
            [{"type": "Available", "status": "True"}]}});
    let written = apply(&admin, &format!("{path}/status?fieldManager=me"), &status).await;
    assert_eq!(written.code, 200, "{}", written.text);
    let object = written.json();
    assert_eq!(
        (&object["spec"]["replicas"], &object["status"]["replicas"]),
        (&json!(4), &json!(4))
    );
    let fields = &owner(&object, "me", "status")["fieldsV1"];
    assert!(fields["f:spec"].is_null() && fields["f:status"]["f:replicas"].is_object(), "{fields}");
    let missing = apply(&admin, &format!("{DEPLOYMENTS}/x/status?fieldManager=me"), &status).await;
    assert_eq!(missing.code, 404);

    // A no-op update of everything changes nothing.
    let object = admin.get(&path).await.json();
    let put = admin.send_json("PUT", &path, "application/json", &object).await;
    assert_eq!(put.json(), object);
    api.stop().await;
}
