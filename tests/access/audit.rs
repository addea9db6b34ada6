//! `--audit-policy-file` and `--audit-log-path` (kube-apiserver's log backend).

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    server::{Server, refused},
    support::eventually,
};

const FLAGS: [&str; 2] = ["--audit-policy-file=DIR/policy.yaml", "--audit-log-path=DIR/audit.log"];
const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
- level: None
  users: ["system:anonymous"]
- level: None
  nonResourceURLs: ["/readyz*"]
- level: RequestResponse
  resources: [{group: "", resources: [configmaps]}]
- level: Request
  omitStages: [RequestReceived]
  resources: [{group: "", resources: [serviceaccounts]}]
- level: Metadata
  omitStages: [RequestReceived]
"#;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn with_policy(text: &'static str) -> impl FnOnce(&std::path::Path) {
    move |dir| std::fs::write(dir.join("policy.yaml"), text).expect("policy")
}

/// The events of one request, once there are as many as wanted.
fn events(server: &Server, id: &str, count: usize) -> Vec<Value> {
    eventually("the events are written", Duration::from_secs(10), || {
        let text = std::fs::read_to_string(server.path("audit.log")).map_err(|e| e.to_string())?;
        let lines = text.lines().map(|l| serde_json::from_str::<Value>(l).expect(l));
        let found: Vec<Value> = lines.filter(|e| e["auditID"] == id).collect();
        if found.len() >= count { Ok(found) } else { Err(format!("{found:?}")) }
    })
}

#[test]
fn requests_are_recorded_as_the_policy_says() {
    let mut server = Server::start(with_policy(POLICY), &FLAGS);
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"},
        "data": {"k": "v"}});
    let created =
        server.send("POST", MAPS, &[("audit-id", "mine"), ("user-agent", "t/1")], Some(&map));
    assert_eq!((created.code, created.audit_id.as_str()), (201, "mine"));
    let seen = events(&server, "mine", 2);
    let stages: Vec<_> = seen.iter().map(|e| e["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["RequestReceived", "ResponseComplete"]);
    let event = &seen[1];
    assert_eq!(
        (&event["kind"], &event["apiVersion"]),
        (&json!("Event"), &json!("audit.k8s.io/v1"))
    );
    assert_eq!(event["level"], "RequestResponse");
    assert_eq!(event["verb"], "create");
    assert_eq!(event["requestURI"], MAPS);
    assert_eq!(event["user"]["username"], "kubernetes-admin");
    assert_eq!(event["sourceIPs"], json!(["127.0.0.1"]));
    assert_eq!(event["userAgent"], "t/1");
    assert_eq!(
        event["objectRef"],
        json!({"resource": "configmaps", "namespace": "default", "name": "m", "apiVersion": "v1"})
    );
    assert_eq!(event["responseStatus"], json!({"metadata": {}, "code": 201}));
    assert_eq!(event["requestObject"]["data"], json!({"k": "v"}));
    assert_eq!(event["responseObject"]["metadata"]["uid"], created.body["metadata"]["uid"]);
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "allow");
    assert_eq!(event["annotations"]["authorization.k8s.io/reason"], "");

    // A secret's content is nobody's business at this level.
    let secret = json!({"metadata": {"name": "s"}, "stringData": {"k": "hidden"}});
    let created = server.post("/api/v1/namespaces/default/secrets", &secret);
    let seen = events(&server, &created.audit_id, 1);
    assert_eq!((seen.len(), &seen[0]["objectRef"]["name"]), (1, &json!("s")));
    assert!(!seen[0].to_string().contains("hidden"), "{}", seen[0]);

    let deleted = server.send("DELETE", &format!("{MAPS}/m"), &[], None);
    let seen = events(&server, &deleted.audit_id, 2);
    assert_eq!(seen[1]["responseStatus"]["status"], "Success");

    // A watch has a beginning and an end.
    let watch = server.get(&format!("{MAPS}?watch=true&timeoutSeconds=1&resourceVersion=0"));
    let seen = events(&server, &watch.audit_id, 3);
    let stages: Vec<_> = seen.iter().map(|e| e["stage"].as_str().unwrap()).collect();
    assert_eq!(stages, ["RequestReceived", "ResponseStarted", "ResponseComplete"]);
    assert!(seen[2].get("responseObject").is_none());

    impersonation(&server);
    server.stop();
}

fn impersonation(server: &Server) {
    let path = "/api/v1/namespaces/default/secrets";
    let refused = server.send("GET", path, &[("impersonate-user", "jane")], None);
    assert_eq!(refused.code, 403);
    let seen = &events(server, &refused.audit_id, 1)[0];
    assert_eq!(seen["user"]["username"], "kubernetes-admin");
    assert_eq!(
        seen["impersonatedUser"],
        json!({"username": "jane", "groups": ["system:authenticated"]})
    );
    assert_eq!(seen["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!(seen["responseStatus"]["code"], 403);
    assert_eq!(seen["responseStatus"]["reason"], "Forbidden");

    let me = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let headers = [
        ("impersonate-user", "system:serviceaccount:default:robot"),
        ("impersonate-extra-scopes%2Fx", "view"),
        ("impersonate-uid", "7"),
    ];
    let reviews = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = server.send("POST", reviews, &headers, Some(&me));
    assert_eq!(
        answer.body["status"]["userInfo"],
        json!({"username": "system:serviceaccount:default:robot", "uid": "7",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"],
            "extra": {"scopes/x": ["view"]}})
    );

    // One who may impersonate robots, and nobody else.
    let role = json!({"metadata": {"name": "imp"}, "rules": [
        {"apiGroups": [""], "resources": ["users"], "resourceNames": ["robot"], "verbs": ["impersonate"]}]});
    let roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    assert_eq!(server.post(roles, &role).code, 201);
    let binding = json!({"metadata": {"name": "imp"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "imp"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "default"}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
    assert_eq!(server.post(bindings, &binding).code, 201);
    let account = json!({"metadata": {"name": "default"}});
    // The service-account controller may have been faster.
    server.post("/api/v1/namespaces/default/serviceaccounts", &account);
    let token =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token = server.post("/api/v1/namespaces/default/serviceaccounts/default/token", &token);
    let token = format!("Bearer {}", token.body["status"]["token"].as_str().expect("token"));
    let ask = |headers: &[(&str, &str)]| {
        let mut all = vec![("authorization", token.as_str())];
        all.extend_from_slice(headers);
        server.send_anonymously("POST", reviews, &all, Some(&me))
    };
    let who = ask(&[("impersonate-user", "robot")]);
    assert_eq!(who.body["status"]["userInfo"]["username"], "robot", "{who:?}");
    let other = ask(&[("impersonate-user", "jane")]);
    assert_eq!(
        other.body["message"],
        "users \"jane\" is forbidden: User \"system:serviceaccount:default:default\" cannot \
         impersonate resource \"users\" in API group \"\" at the cluster scope"
    );
    let group = ask(&[("impersonate-user", "robot"), ("impersonate-group", "g")]);
    assert_eq!((group.code, &group.body["details"]["kind"]), (403, &json!("groups")));
    assert_eq!(ask(&[("impersonate-group", "g")]).code, 400);

    let bad = server.send_anonymously("GET", MAPS, &[("authorization", "Bearer x.y.z")], None);
    assert_eq!(bad.code, 401);
    let seen = events(server, &bad.audit_id, 1);
    assert_eq!((seen.len(), &seen[0]["stage"]), (1, &json!("ResponseStarted")));
    let said = &seen[0]["responseStatus"]["message"];
    assert_eq!(said, "Authentication failed, attempted: bearer");
}

#[test]
fn bad_policies_and_paths_are_refused_at_start() {
    let bad = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: [{level: Everything}]\n";
    let said = refused(with_policy(bad), &FLAGS);
    assert!(said.contains("policy.yaml: rules[0].level: Unsupported value"), "{said}");
    let said = refused(|_| (), &FLAGS);
    assert!(said.contains("cannot read the audit policy"), "{said}");
    let flags = [FLAGS[0], "--audit-log-path=/dev/null/audit.log"];
    let said = refused(with_policy(POLICY), &flags);
    assert!(said.contains("cannot write the audit log /dev/null/audit.log"), "{said}");
}
