//! Which requests reach a webhook, and by which way: dry runs, Services, subresources, versions.

use serde_json::json;

use super::{MAPS, Stage};

pub fn dry_runs(stage: &Stage) {
    stage.configure("mutating", &[("/mutate", json!({}))]);
    let path = format!("{MAPS}?dryRun=All");
    let dry = stage.server.post(&path, &json!({"metadata": {"name": "dry"}, "data": {"k": "v"}}));
    assert_eq!((dry.code, &dry.body["data"]["mutated"]), (201, &json!("yes")));
    assert_eq!(stage.hook.seen()[0]["request"]["dryRun"], true);
    assert_eq!(stage.server.get(&format!("{MAPS}/dry")).code, 404);
    stage.remove();
}

pub fn services(stage: &Stage) {
    let service = json!({"clientConfig": stage.hook.by_service("/deny")});
    stage.configure("validating", &[("", service)]);
    let shown = format!("https://hook.default.svc:{}/deny?timeout=10s", stage.hook.port);
    assert_eq!(
        stage.refusal("served"),
        (
            500,
            format!(
                r#"Internal error occurred: failed calling webhook "h0.example.com": failed to call webhook: Post "{shown}": service "hook" not found"#
            )
        )
    );
    let external = json!({"metadata": {"name": "hook"},
        "spec": {"type": "ExternalName", "externalName": "localhost"}});
    let made = stage.server.post("/api/v1/namespaces/default/services", &external);
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(
        stage.refusal("served"),
        (403, r#"admission webhook "h0.example.com" denied the request: not here"#.to_owned())
    );
    let seen = stage.hook.seen();
    let head = seen[0]["head"].as_str().expect("head").to_lowercase();
    assert!(head.contains(&format!("host: hook.default.svc:{}", stage.hook.port)), "{head}");
    assert!(head.contains("user-agent: kube-apiserver-admission"), "{head}");
    stage.remove();
}

/// Subresources are asked about under their own name and with their own body, and versions that
/// share storage are one resource.
pub fn subresources(stage: &Stage) {
    let rule = |group: &str, resources: &[&str]| {
        json!({"rules": [{"operations": ["*"],
        "apiGroups": [group], "apiVersions": ["v1"], "resources": resources}]})
    };
    let deployment = json!({"metadata": {"name": "d"}, "spec": {"replicas": 1,
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
            "spec": {"containers": [{"name": "c", "image": "i"}]}}}});
    let path = "/apis/apps/v1/namespaces/default/deployments";
    assert_eq!(stage.server.post(path, &deployment).code, 201);
    stage.configure("validating", &[("/deny", rule("apps", &["deployments/scale"]))]);
    let merge = [("content-type", "application/merge-patch+json")];
    let scale = json!({"spec": {"replicas": 0}});
    let scaled = stage.server.send("PATCH", &format!("{path}/d/scale"), &merge, Some(&scale));
    assert_eq!(scaled.code, 403, "{scaled:?}");
    let request = &stage.hook.seen()[0]["request"];
    assert_eq!(request["kind"], json!({"group": "autoscaling", "version": "v1", "kind": "Scale"}));
    assert_eq!(
        (&request["subResource"], &request["resource"]["resource"]),
        (&json!("scale"), &json!("deployments"))
    );
    assert_eq!(
        (&request["object"]["spec"], &request["oldObject"]["spec"]["replicas"]),
        (&json!({}), &json!(1))
    );
    // Changed as a whole it is another request.
    let changed = stage.server.send("PATCH", &format!("{path}/d"), &merge, Some(&scale));
    assert_eq!(changed.code, 200, "{changed:?}");

    stage.configure("validating", &[("/deny", rule("autoscaling", &["*"]))]);
    let scaler = json!({"metadata": {"name": "a"}, "spec": {"maxReplicas": 2,
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}});
    let made = stage
        .server
        .post("/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers", &scaler);
    assert_eq!(made.code, 403, "{made:?}");
    let request = &stage.hook.seen()[0]["request"];
    assert_eq!(
        (&request["kind"]["version"], &request["requestKind"]["version"]),
        (&json!("v1"), &json!("v2"))
    );
    assert_eq!(request["object"]["apiVersion"], "autoscaling/v1");
    stage.remove();
}
