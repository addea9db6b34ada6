//! The HTTP face over TLS: documents, negotiation, objects, lists, watches, reviews, looking in.

mod api_support;
#[path = "api_http/apply.rs"]
mod apply;
#[path = "api_http/errors.rs"]
mod errors;
#[path = "api_http/flow.rs"]
mod flow;
#[path = "api_http/inside.rs"]
mod inside;
#[path = "api_http/openapi.rs"]
mod openapi;
#[path = "api_http/reading.rs"]
mod reading;
#[path = "api_http/watching.rs"]
mod watching;

use std::time::Duration;

use api_support::{Answer, Client, TestApi};
use serde_json::{Value, json};

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn map(name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": name}}, "data": {"k": "v"}})
}

async fn create(client: &Client, name: &str) -> Answer {
    let answer = client.post(MAPS, &map(name)).await;
    assert_eq!(answer.code, 201, "{}", answer.text);
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn documents() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let anonymous = api.anonymous();

    for path in ["/healthz", "/livez", "/readyz"] {
        let answer = anonymous.get(path).await;
        assert_eq!((answer.code, answer.text.as_str()), (200, "ok"), "{path}");
    }
    assert!(anonymous.get("/readyz?verbose").await.text.contains("[+]store ok\n"));
    assert_eq!(anonymous.get("/version").await.json()["minor"], "36");

    let refused = anonymous.get("/api/v1/namespaces/default/pods").await;
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.json()["message"],
        r#"pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" in the namespace "default""#
    );
    let request = anonymous.request("GET", "/version").header("authorization", "Bearer nonsense");
    assert_eq!(anonymous.send(request).await.code, 401);

    let unknown = admin.get("/nonsense").await;
    assert_eq!((unknown.code, unknown.text.as_str()), (404, "404 page not found\n"));
    let unknown = admin.get("/apis/apps/v1/nonsense").await;
    assert_eq!(unknown.json()["message"], "the server could not find the requested resource");

    assert_eq!(admin.get("/api").await.json()["versions"], json!(["v1"]));
    assert_eq!(admin.get("/apis/apps").await.json()["preferredVersion"]["version"], "v1");
    let accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    let aggregated = admin.get_as("/apis", accept).await;
    assert_eq!(
        aggregated.header("content-type"),
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    );
    let again = admin
        .request("GET", "/apis")
        .header("accept", accept)
        .header("if-none-match", aggregated.header("etag"));
    assert_eq!(admin.send(again).await.code, 304);

    let version = admin.get("/version").await;
    assert!(!version.header("audit-id").is_empty());
    assert_eq!(version.header("cache-control"), "no-cache, private");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn objects() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let one = format!("{MAPS}/a");

    let created = create(&admin, "a").await.json();
    assert_eq!((&created["kind"], &created["apiVersion"]), (&json!("ConfigMap"), &json!("v1")));
    let taken = admin.post(MAPS, &map("a")).await;
    assert_eq!((taken.code, &taken.json()["reason"]), (409, &json!("AlreadyExists")));

    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: from-yaml\ndata:\n  k: v\n";
    let request = admin.request("POST", MAPS).header("content-type", "application/yaml");
    assert_eq!(admin.send(request.body(yaml)).await.code, 201);
    let shown = admin.get_as(&format!("{MAPS}/from-yaml"), "application/yaml").await;
    assert!(shown.text.contains("kind: ConfigMap\n"), "{}", shown.text);

    let table = admin.get_as(&one, TABLE).await.json();
    let cells = &table["rows"][0]["cells"];
    assert_eq!((&cells[0], &cells[1]), (&json!("a"), &json!(1)));
    let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
    assert_eq!(admin.get_as(&one, partial).await.json()["kind"], "PartialObjectMetadata");
    assert_eq!(admin.get_as(&one, "application/cbor").await.code, 406);
    assert!(admin.get(&format!("{one}?pretty=true")).await.text.contains("\n  \"kind\""));

    let mut strict = map("s");
    strict["nonsense"] = 1.into();
    let refused = admin.post(&format!("{MAPS}?fieldValidation=Strict"), &strict).await;
    assert_eq!(refused.code, 400, "{}", refused.text);
    assert!(refused.text.contains("unknown field"), "{}", refused.text);
    let warned = admin.post(&format!("{MAPS}?dryRun=All"), &strict).await;
    assert_eq!(warned.code, 201, "{}", warned.text);
    assert_eq!(warned.header("warning"), r#"299 - "unknown field \"nonsense\"""#);
    assert_eq!(admin.get(&format!("{MAPS}/s")).await.code, 404, "a dry run stores nothing");
    assert_eq!(admin.post(&format!("{MAPS}?dryRun=x"), &strict).await.code, 422);

    let media = "application/merge-patch+json";
    let patched = admin.send_json("PATCH", &one, media, &json!({"data": {"n": "1"}})).await;
    assert_eq!(patched.json()["data"], json!({"k": "v", "n": "1"}));
    assert_eq!(admin.send_json("PATCH", &one, "text/plain", &json!({})).await.code, 415);
    assert_eq!(admin.send_json("POST", MAPS, "text/plain", &json!({})).await.code, 415);
    let huge = json!({"data": {"k": "x".repeat(3 * 1024 * 1024)}});
    let refused = admin.post(MAPS, &huge).await;
    assert_eq!((refused.code, &refused.json()["reason"]), (413, &json!("RequestEntityTooLarge")));
    assert_eq!(admin.send_json("PUT", MAPS, "application/json", &map("a")).await.code, 405);

    let mut stale = created.clone();
    stale["data"] = json!({});
    let conflict = admin.send_json("PUT", &one, "application/json", &stale).await;
    assert_eq!((conflict.code, &conflict.json()["reason"]), (409, &json!("Conflict")));
    let options = json!({"propagationPolicy": "Background"});
    let deleted = admin.send_json("DELETE", &one, "application/json", &options).await;
    assert_eq!((deleted.code, &deleted.json()["status"]), (200, &json!("Success")));
    assert_eq!(admin.get(&one).await.json()["message"], "configmaps \"a\" not found");
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists() {
    let api = TestApi::start().await;
    let admin = api.admin();
    for name in ["a", "b", "c"] {
        create(&admin, name).await;
    }
    let page = admin.get(&format!("{MAPS}?limit=2")).await.json();
    assert_eq!(
        (page["kind"].as_str(), page["items"].as_array().unwrap().len()),
        (Some("ConfigMapList"), 2)
    );
    assert!(page["items"][0].get("kind").is_none());
    assert_eq!(page["metadata"]["remainingItemCount"], 1);
    let token = page["metadata"]["continue"].as_str().unwrap();
    let rest = admin.get(&format!("{MAPS}?limit=2&continue={token}")).await.json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "c");
    assert_eq!(rest["metadata"]["resourceVersion"], page["metadata"]["resourceVersion"]);

    let selected = admin.get(&format!("{MAPS}?labelSelector=app%3Db")).await.json();
    assert_eq!(selected["items"].as_array().unwrap().len(), 1);
    let none = admin.get(&format!("{MAPS}?fieldSelector=metadata.name%3Dx")).await.json();
    assert_eq!(none["items"], json!([]));
    assert_eq!(admin.get(&format!("{MAPS}?labelSelector=a%20b%20c")).await.code, 400);

    let table = admin.get_as(&format!("{MAPS}?includeObject=None"), TABLE).await.json();
    assert_eq!(table["kind"], "Table");
    assert_eq!(table["rows"][2]["object"], Value::Null);
    let partial = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
    let partial = admin.get_as(MAPS, partial).await.json();
    assert_eq!(partial["items"][0]["metadata"]["name"], "a");

    for name in ["large-1", "large-2"] {
        let mut large = map(name);
        large["data"]["k"] = "x".repeat(100_000).into();
        assert_eq!(admin.post(MAPS, &large).await.code, 201);
    }
    let plain = admin.get(MAPS).await;
    assert_eq!(plain.json()["items"].as_array().unwrap().len(), 5);
    let request = admin.request("GET", MAPS).header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let mut unpacked = String::new();
    let packed = response.bytes().await.unwrap();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&packed[..]), &mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain.text);

    let gone = admin
        .send_json(
            "DELETE",
            &format!("{MAPS}?labelSelector=app%3Da"),
            "application/json",
            &json!({}),
        )
        .await;
    assert_eq!(gone.json()["items"].as_array().unwrap().len(), 1);
    api.stop().await;
}

/// Reads lines of a watch until `count` events came or it ended.
async fn events(mut response: reqwest::Response, count: usize) -> Vec<Value> {
    let mut text = String::new();
    let mut events = Vec::new();
    while events.len() < count {
        let Some(chunk) = response.chunk().await.unwrap() else { break };
        text.push_str(std::str::from_utf8(&chunk).unwrap());
        while let Some((line, rest)) = text.split_once('\n') {
            events.push(serde_json::from_str(line).unwrap());
            text = rest.to_owned();
        }
    }
    events
}

fn summary(events: &[Value]) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    events.iter().map(|e| (text(&e["type"]), text(&e["object"]["metadata"]["name"]))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn watches() {
    let api = TestApi::start().await;
    let admin = api.admin();
    create(&admin, "a").await;
    let revision =
        admin.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let watch = |query: String, accept: &'static str| {
        admin.request("GET", &format!("{MAPS}?watch=true&{query}")).header("accept", accept).send()
    };
    let live = watch(format!("resourceVersion={revision}"), "application/json").await.unwrap();
    create(&admin, "b").await;
    let media = "application/merge-patch+json";
    admin.send_json("PATCH", &format!("{MAPS}/b"), media, &json!({"data": {"x": "y"}})).await;
    admin.send(admin.request("DELETE", &format!("{MAPS}/b"))).await;
    let seen = events(live, 3).await;
    let b = |kind: &str| (kind.to_owned(), "b".to_owned());
    assert_eq!(summary(&seen), [b("ADDED"), b("MODIFIED"), b("DELETED")]);
    let versions: Vec<u64> = seen
        .iter()
        .map(|e| e["object"]["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap())
        .collect();
    assert!(versions.is_sorted() && versions[0] > revision.parse().unwrap());

    let from_start =
        watch("timeoutSeconds=3&allowWatchBookmarks=true".into(), TABLE).await.unwrap();
    let seen = events(from_start, 2).await;
    assert_eq!(seen[0]["object"]["rows"][0]["cells"][0], "a");
    assert_eq!(seen[1]["type"], "BOOKMARK", "before the end");
    assert_eq!(seen[1]["object"]["columnDefinitions"], json!([]));

    let query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
    let streamed = events(watch(query.into(), "application/json").await.unwrap(), 2).await;
    assert_eq!(
        streamed[1]["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"],
        "true"
    );
    let refused = watch("sendInitialEvents=true".into(), "application/json").await.unwrap();
    assert_eq!(refused.status().as_u16(), 422);

    let selected =
        watch("labelSelector=app%3Dz&timeoutSeconds=5".into(), "application/json").await.unwrap();
    let relabel = json!({"metadata": {"labels": {"app": "z"}}});
    admin.send_json("PATCH", &format!("{MAPS}/a"), media, &relabel).await;
    let relabel = json!({"metadata": {"labels": {"app": "q"}}});
    admin.send_json("PATCH", &format!("{MAPS}/a"), media, &relabel).await;
    let a = |kind: &str| (kind.to_owned(), "a".to_owned());
    assert_eq!(summary(&events(selected, 2).await), [a("ADDED"), a("DELETED")]);
    let begun = std::time::Instant::now();
    api.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10), "a stop does not wait for watches");
}

#[tokio::test(flavor = "multi_thread")]
async fn reviews_and_tokens() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}});
    assert_eq!(admin.post(reviews, &review).await.json()["status"]["allowed"], true);
    let request = admin.request("POST", reviews).header("accept", TABLE).json(&review);
    assert_eq!(admin.send(request).await.code, 406);

    let path = "/api/v1/namespaces/default/serviceaccounts/default/token";
    let request =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let token =
        admin.post(path, &request).await.json()["status"]["token"].as_str().unwrap().to_owned();
    let anonymous = api.anonymous();
    let with = |method: &str, path: &str| anonymous.request(method, path).bearer_auth(&token);
    let me = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"});
    let path = "/apis/authentication.k8s.io/v1/selfsubjectreviews";
    let answer = anonymous.send(with("POST", path).json(&me)).await;
    assert_eq!(
        answer.json()["status"]["userInfo"]["username"],
        "system:serviceaccount:default:default"
    );
    assert_eq!(anonymous.send(with("GET", MAPS)).await.code, 403);
    let request = with("GET", MAPS).header("impersonate-user", "x");
    assert_eq!(anonymous.send(request).await.code, 403);
    let request = admin.request("GET", MAPS).header("impersonate-user", "x");
    assert!(admin.send(request).await.text.contains(r#"User \"x\" cannot list"#));
    api.stop().await;
}
