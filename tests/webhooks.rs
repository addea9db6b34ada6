//! Admission webhooks, with the real binary and a real HTTPS server that is asked.

mod support;

#[path = "webhooks/hook.rs"]
mod hook;
#[path = "webhooks/scope.rs"]
mod scope;
#[path = "access/server.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod server;

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};

use self::{
    hook::{Webhook, allow, deny, patch},
    server::{Answer, Server},
};

const CONFIGURATIONS: &str = "/apis/admissionregistration.k8s.io/v1";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const POLICY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Request\n  \
    resources: [{group: '', resources: [configmaps]}]\n- level: Metadata\n";

/// What the webhook of these tests does, by path.
fn behave(path: &str, review: &Value) -> Result<Value, u16> {
    let object = &review["request"]["object"];
    let label = |key: &str| json!([{"op": "add", "path": format!("/data/{key}"), "value": "yes"}]);
    Ok(match path {
        "/mutate" => patch(review, &label("mutated")),
        "/second" => patch(review, &label("second")),
        // Marks how often it saw the object.
        "/count" => {
            let count = object["data"]["count"].as_str().map_or(0, |n| n.parse().unwrap_or(0)) + 1;
            let operation =
                json!([{"op": "add", "path": "/data/count", "value": count.to_string()}]);
            patch(review, &operation)
        }
        "/unknown-field" => patch(review, &json!([{"op": "add", "path": "/nonsense", "value": 1}])),
        "/broken" => patch(review, &json!([{"op": "replace", "path": "/not/there", "value": 1}])),
        "/deny" => deny(review, json!({"message": "not here", "code": 403, "reason": "Forbidden"})),
        "/deny-silently" => deny(review, Value::Null),
        "/warn" => {
            let mut answer = allow(review);
            answer["response"]["warnings"] = json!(["mind the gap"]);
            answer["response"]["auditAnnotations"] = json!({"why": "because"});
            answer
        }
        "/slow" => {
            std::thread::sleep(Duration::from_secs(3));
            allow(review)
        }
        "/error" => return Err(500),
        "/other-uid" => {
            let mut answer = allow(review);
            answer["response"]["uid"] = "other".into();
            answer
        }
        _ => allow(review),
    })
}

struct Stage {
    server: Server,
    hook: Webhook,
}

impl Stage {
    fn start() -> Self {
        let policy = |dir: &std::path::Path| {
            std::fs::write(dir.join("policy.yaml"), POLICY).expect("policy");
        };
        let flags = ["--audit-policy-file=DIR/policy.yaml", "--audit-log-path=DIR/audit.log"];
        let server = Server::start(policy, &flags);
        let hook = Webhook::start(&["127.0.0.1", "hook.default.svc"], Arc::new(behave));
        Self { server, hook }
    }

    /// Configures webhooks of one phase; `changes` are laid over the usual fields of each.
    fn configure(&self, phase: &str, webhooks: &[(&str, Value)]) {
        let hooks: Vec<Value> = webhooks
            .iter()
            .enumerate()
            .map(|(i, (path, changes))| {
                let mut hook = json!({"name": format!("h{i}.example.com"), "sideEffects": "None",
                    "admissionReviewVersions": ["v1"], "clientConfig": self.hook.by_url(path),
                    "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""],
                        "apiVersions": ["v1"], "resources": ["configmaps"]}]});
                for (field, value) in changes.as_object().expect("changes") {
                    hook[field] = value.clone();
                }
                hook
            })
            .collect();
        let plural = format!("{CONFIGURATIONS}/{phase}webhookconfigurations");
        let object = json!({"metadata": {"name": "hooks"}, "webhooks": hooks});
        let _ = self.server.send("DELETE", &format!("{plural}/hooks"), &[], None);
        let made = self.server.post(&plural, &object);
        assert_eq!(made.code, 201, "{made:?}");
        self.hook.seen();
    }

    fn remove(&self) {
        for phase in ["mutating", "validating"] {
            let path = format!("{CONFIGURATIONS}/{phase}webhookconfigurations/hooks");
            let gone = self.server.send("DELETE", &path, &[], None);
            assert!(gone.code == 200 || gone.code == 404, "{gone:?}");
        }
        self.hook.seen();
    }

    fn map(&self, name: &str) -> Answer {
        self.server.post(MAPS, &json!({"metadata": {"name": name}, "data": {"k": "v"}}))
    }

    fn refusal(&self, name: &str) -> (u64, String) {
        let answer = self.map(name);
        let code = u64::from(answer.code);
        (code, answer.body["message"].as_str().unwrap_or_default().to_owned())
    }
}

#[test]
fn webhooks_are_asked() {
    let mut stage = Stage::start();
    configurations(&stage);
    mutation(&stage);
    reviews(&stage);
    refusals(&stage);
    failures(&stage);
    second_round(&stage);
    selectors(&stage);
    conditions(&stage);
    scope::dry_runs(&stage);
    scope::services(&stage);
    scope::subresources(&stage);
    stage.server.stop();
}

/// Defaults, checks and the table.
fn configurations(stage: &Stage) {
    stage.configure("validating", &[("/allow", json!({}))]);
    let path = format!("{CONFIGURATIONS}/validatingwebhookconfigurations");
    let stored = stage.server.get(&format!("{path}/hooks")).body;
    let hook = &stored["webhooks"][0];
    assert_eq!(
        (&hook["failurePolicy"], &hook["matchPolicy"], &hook["timeoutSeconds"]),
        (&json!("Fail"), &json!("Equivalent"), &json!(10))
    );
    assert_eq!((&hook["rules"][0]["scope"], &hook["objectSelector"]), (&json!("*"), &json!({})));
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    let table = stage.server.send("GET", &path, &table, None).body;
    let columns: Vec<_> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|c| &c["name"]).collect();
    assert_eq!(columns, ["Name", "Webhooks", "Age"]);
    assert_eq!(table["rows"][0]["cells"][1], 1);
    let bad = json!({"metadata": {"name": "bad"}, "webhooks": [{"name": "x", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://example.com"}}]});
    let bad = stage.server.post(&path, &bad);
    assert_eq!(bad.code, 422);
    assert_eq!(
        bad.body["message"],
        "ValidatingWebhookConfiguration.admissionregistration.k8s.io \"bad\" is invalid: \
         webhooks[0].name: Invalid value: \"x\": should be a domain with at least three segments \
         separated by dots"
    );
    stage.remove();
}

fn mutation(stage: &Stage) {
    stage.configure("mutating", &[("/mutate", json!({})), ("/unknown-field", json!({}))]);
    let made = stage.map("mutated");
    assert_eq!(made.body["data"], json!({"k": "v", "mutated": "yes"}), "{made:?}");
    assert!(made.body.get("nonsense").is_none());
    // What a webhook sets belongs to nobody.
    assert!(!made.body["metadata"]["managedFields"].to_string().contains("f:mutated"));
    let path = format!("{MAPS}/mutated");
    let merge = [("content-type", "application/merge-patch+json")];
    let patched =
        stage.server.send("PATCH", &path, &merge, Some(&json!({"data": {"mutated": null}})));
    assert_eq!(patched.body["data"]["mutated"], "yes");
    let generated =
        stage.server.post(MAPS, &json!({"metadata": {"generateName": "g-"}, "data": {"k": "v"}}));
    assert_eq!(generated.code, 201, "{generated:?}");
    let seen = stage.hook.seen();
    let last = seen.iter().rfind(|r| r["path"] == "/mutate?timeout=10s").expect("review");
    assert!(last["request"].get("name").is_none(), "{last}");
    assert!(last["request"]["object"]["metadata"].get("uid").is_none(), "{last}");
    stage.configure("mutating", &[("/broken", json!({}))]);
    let (code, text) = stage.refusal("broken");
    assert!(code == 500 && text.starts_with("Internal error occurred: "), "{text}");
    stage.remove();
}

/// What a webhook is told.
fn reviews(stage: &Stage) {
    let everything = json!({"rules": [{"operations": ["*"], "apiGroups": ["*"],
        "apiVersions": ["*"], "resources": ["configmaps"]}]});
    stage.configure("validating", &[("/warn", everything)]);
    let answer = stage.server.send(
        "POST",
        &format!("{MAPS}?fieldManager=me"),
        &[("audit-id", "told")],
        Some(&json!({"metadata": {"name": "told"}})),
    );
    assert_eq!(answer.code, 201);
    assert_eq!(answer.warnings, [r#"299 - "mind the gap""#]);
    let gone = stage.server.send("DELETE", &format!("{MAPS}/told"), &[], None);
    assert_eq!((gone.code, gone.warnings.len()), (200, 1));
    let seen = stage.hook.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let request = &seen[0]["request"];
    assert_eq!(
        (&seen[0]["kind"], &seen[0]["apiVersion"]),
        (&json!("AdmissionReview"), &json!("admission.k8s.io/v1"))
    );
    assert_eq!(request["kind"], json!({"group": "", "version": "v1", "kind": "ConfigMap"}));
    assert_eq!(
        request["resource"],
        json!({"group": "", "version": "v1", "resource": "configmaps"})
    );
    assert_eq!(
        (&request["requestKind"], &request["requestResource"]),
        (&request["kind"], &request["resource"])
    );
    assert_eq!((&request["operation"], &request["dryRun"]), (&json!("CREATE"), &json!(false)));
    assert_eq!((&request["name"], &request["namespace"]), (&json!("told"), &json!("default")));
    assert_eq!(request["userInfo"]["username"], "kubernetes-admin");
    assert_eq!(request["options"]["fieldManager"], "me");
    assert!(request["oldObject"].is_null() && request["object"]["metadata"]["uid"].is_string());
    let deleted = &seen[1]["request"];
    assert!(deleted["object"].is_null());
    assert_eq!(
        (&deleted["operation"], &deleted["oldObject"]["metadata"]["name"]),
        (&json!("DELETE"), &json!("told"))
    );
    let log = std::fs::read_to_string(stage.server.path("audit.log")).expect("audit log");
    let event = log.lines().rfind(|l| l.contains(r#""auditID":"told""#)).expect("event");
    assert!(event.contains(r#""h0.example.com/why":"because""#), "{event}");
    stage.remove();
}

fn refusals(stage: &Stage) {
    stage.configure("validating", &[("/deny", json!({}))]);
    let refused = stage.map("denied");
    assert_eq!((refused.code, &refused.body["reason"]), (403, &json!("Forbidden")));
    assert_eq!(
        refused.body["message"],
        r#"admission webhook "h0.example.com" denied the request: not here"#
    );
    assert_eq!(stage.server.get(&format!("{MAPS}/denied")).code, 404);
    stage.configure("validating", &[("/deny-silently", json!({}))]);
    assert_eq!(
        stage.refusal("denied"),
        (
            400,
            r#"admission webhook "h0.example.com" denied the request without explanation"#
                .to_owned()
        )
    );
    // A bad configuration of admission can always be removed.
    let all = json!({"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"],
        "resources": ["*/*"]}]});
    stage.configure("validating", &[("/deny", all)]);
    assert_eq!(stage.map("denied").code, 403);
    stage.remove();
}

fn failures(stage: &Stage) {
    let url = |path: &str| format!("https://127.0.0.1:{}{path}", stage.hook.port);
    let ignore = json!({"failurePolicy": "Ignore"});
    let failed = r#"Internal error occurred: failed calling webhook "h0.example.com": "#;
    for (path, timeout, want) in [
        ("/slow", 1, format!(r#"failed to call webhook: Post "{}?timeout=1s": context deadline exceeded"#, url("/slow"))),
        ("/error", 10, r#"failed to call webhook: an error on the server ("boom") has prevented the request from succeeding"#.to_owned()),
    ] {
        let limited = json!({"timeoutSeconds": timeout});
        stage.configure("validating", &[(path, limited.clone())]);
        assert_eq!(stage.refusal("failed"), (500, format!("{failed}{want}")));
        let mut open = ignore.clone();
        open["timeoutSeconds"] = timeout.into();
        stage.configure("mutating", &[(path, open.clone())]);
        stage.configure("validating", &[(path, open)]);
        let name = format!("open{}", path.replace('/', "-"));
        assert_eq!(stage.map(&name).code, 201);
        stage.remove();
    }
    stage.configure("validating", &[("/other-uid", json!({}))]);
    let (code, text) = stage.refusal("failed");
    assert!(
        code == 500
            && text.starts_with(&format!(
                "{failed}received invalid webhook response: expected response.uid="
            )),
        "{text}"
    );
    let stranger = Webhook::start(&["127.0.0.1"], Arc::new(behave));
    let mut config = stage.hook.by_url("/allow");
    config["caBundle"] = stranger.ca_bundle.as_str().into();
    stage.configure("validating", &[("/allow", json!({"clientConfig": config}))]);
    let untrusted = format!(
        r#"{failed}failed to call webhook: Post "{}?timeout=10s": tls: failed to verify certificate: x509: certificate signed by unknown authority"#,
        url("/allow")
    );
    assert_eq!(stage.refusal("failed"), (500, untrusted));
    stage.remove();
}

fn second_round(stage: &Stage) {
    let again = json!({"reinvocationPolicy": "IfNeeded"});
    stage.configure(
        "mutating",
        &[("/count", again.clone()), ("/second", json!({})), ("/count", json!({}))],
    );
    let made = stage.map("rounds");
    // First, third, and the first again, because others changed the object after it.
    assert_eq!(made.body["data"]["count"], "3", "{made:?}");
    stage.configure("mutating", &[("/second", json!({})), ("/count", again)]);
    assert_eq!(stage.map("no-rounds").body["data"]["count"], "1");
    stage.remove();
}

fn selectors(stage: &Stage) {
    let labelled = |name: &str, labels: Value| {
        stage.server.post(MAPS, &json!({"metadata": {"name": name, "labels": labels}}))
    };
    let selector = json!({"matchLabels": {"watched": "yes"}});
    stage.configure("validating", &[("/deny", json!({"objectSelector": selector}))]);
    assert_eq!(labelled("unwatched", json!({})).code, 201);
    assert_eq!(labelled("watched", json!({"watched": "yes"})).code, 403);
    stage.configure("validating", &[("/deny", json!({"namespaceSelector": selector}))]);
    assert_eq!(stage.map("free").code, 201);
    let namespace = json!({"metadata": {"name": "watched", "labels": {"watched": "yes"}}});
    assert_eq!(stage.server.post("/api/v1/namespaces", &namespace).code, 201);
    let inside = json!({"metadata": {"name": "x"}});
    assert_eq!(stage.server.post("/api/v1/namespaces/watched/configmaps", &inside).code, 403);
    stage.remove();
}

fn conditions(stage: &Stage) {
    let when = |expression: &str| {
        json!({"matchConditions": [
        {"name": "not-nodes", "expression": "!('system:nodes' in request.userInfo.groups)"},
        {"name": "it", "expression": expression}]})
    };
    let ours = when("object.metadata.name.startsWith('ours-')");
    stage.configure("validating", &[("/deny", ours.clone())]);
    assert_eq!(stage.map("theirs").code, 201);
    assert_eq!(stage.map("ours-1").code, 403);
    stage.configure("mutating", &[("/mutate", ours)]);
    stage.configure("validating", &[("/allow", json!({}))]);
    assert_eq!(stage.map("ours-2").body["data"]["mutated"], "yes");
    assert!(stage.map("theirs-2").body["data"]["mutated"].is_null());
    let who =
        "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()";
    stage.configure("validating", &[("/deny", when(who))]);
    assert_eq!(stage.map("by-the-administrator").code, 403);
    // A condition that fails is as a webhook that does.
    let mut failing = when("object.metadata.labels.missing == 'x'");
    stage.configure("validating", &[("/allow", failing.clone())]);
    let (code, text) = stage.refusal("failing");
    assert!(code == 403 && text.contains("no such key"), "{text}");
    failing["failurePolicy"] = "Ignore".into();
    stage.configure("mutating", &[("/mutate", failing.clone())]);
    stage.configure("validating", &[("/deny", failing)]);
    assert!(stage.map("left-out").body["data"]["mutated"].is_null());
    stage.remove();
}
