//! Getting and listing: renderings, versions, pages, and what is refused.

use serde_json::json;

use super::{MAPS, TABLE, api_support::TestApi, create};

const META: &str = "g=meta.k8s.io";

#[tokio::test(flavor = "multi_thread")]
async fn objects_and_lists_come_as_tables_and_metadata() {
    let api = TestApi::start().await;
    let admin = api.admin();
    create(&admin, "a").await;
    let one = format!("{MAPS}/a");
    for version in ["v1", "v1beta1"] {
        let accept = format!("application/json;as=Table;v={version};{META}");
        let want = format!("meta.k8s.io/{version}");
        for path in [one.as_str(), MAPS] {
            let table = admin.get_as(path, &accept).await.json();
            assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!(want)));
            assert_eq!(table["columnDefinitions"][0]["name"], "Name");
            assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
        }
        let accept = format!("application/json;as=PartialObjectMetadata;v={version};{META}");
        let partial = admin.get_as(&one, &accept).await.json();
        assert_eq!(partial["kind"], "PartialObjectMetadata");
        assert_eq!((&partial["metadata"]["name"], partial.get("data")), (&json!("a"), None));
        assert_eq!(admin.get_as(MAPS, &accept).await.code, 406);
        let accept = format!("application/json;as=PartialObjectMetadataList;v={version};{META}");
        let partial = admin.get_as(MAPS, &accept).await.json();
        assert_eq!(partial["kind"], "PartialObjectMetadataList");
        assert!(partial["metadata"]["resourceVersion"].is_string());
        assert_eq!(admin.get_as(&one, &accept).await.code, 406);
    }
    let whole = admin.get_as(&format!("{MAPS}?includeObject=Object"), TABLE).await.json();
    assert_eq!(whole["rows"][0]["object"]["data"], json!({"k": "v"}));
    let accept = format!("application/json;as=Table;v=v1;{META},application/json");
    let none = admin.get_as(&format!("{MAPS}?labelSelector=x"), &accept).await.json();
    assert_eq!((&none["kind"], &none["rows"]), (&json!("Table"), &json!([])));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_exact_or_not_older_than() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let old = create(&admin, "a").await.json();
    let old = old["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    create(&admin, "b").await;
    let list = |query: String| {
        let admin = &admin;
        async move { admin.get(&format!("{MAPS}?{query}")).await }
    };
    let exact = list(format!("resourceVersion={old}&resourceVersionMatch=Exact")).await.json();
    assert_eq!(exact["metadata"]["resourceVersion"], *old);
    assert_eq!(exact["items"].as_array().unwrap().len(), 1);
    for query in [
        format!("resourceVersion={old}&resourceVersionMatch=NotOlderThan"),
        format!("resourceVersion={old}"),
        "resourceVersion=0".to_owned(),
        String::new(),
    ] {
        let found = list(query.clone()).await.json();
        assert_eq!(found["items"].as_array().unwrap().len(), 2, "{query}");
    }
    let ahead = list("resourceVersion=99999999".into()).await;
    let status = ahead.json();
    assert_eq!((ahead.code, &status["reason"]), (504, &json!("Timeout")));
    assert_eq!(status["details"]["retryAfterSeconds"], 1);
    assert_eq!(status["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    for (query, text) in [
        ("resourceVersionMatch=Exact", "is forbidden unless resourceVersion is provided"),
        ("resourceVersion=0&resourceVersionMatch=Exact", "is forbidden for resourceVersion"),
        ("resourceVersion=1&resourceVersionMatch=Newest", "Unsupported value"),
        ("sendInitialEvents=true", "sendInitialEvents is forbidden for list"),
    ] {
        let refused = list(query.to_owned()).await;
        assert_eq!(refused.code, 422, "{query}: {}", refused.text);
        assert!(refused.text.contains(text), "{query}: {}", refused.text);
        assert_eq!(refused.json()["details"]["kind"], "ListOptions");
    }
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_expire_and_go_on_inconsistently() {
    let api = TestApi::start().await;
    let admin = api.admin();
    for name in ["a", "b", "d"] {
        create(&admin, name).await;
    }
    let first = admin.get(&format!("{MAPS}?limit=2")).await.json();
    let token = first["metadata"]["continue"].as_str().unwrap();
    create(&admin, "c").await;
    api.store.compact(api.store.revision()).await.unwrap();
    let expired = admin.get(&format!("{MAPS}?limit=2&continue={token}")).await;
    let status = expired.json();
    assert_eq!((expired.code, &status["reason"]), (410, &json!("Expired")));
    let message = status["message"].as_str().unwrap();
    assert!(message.starts_with("The provided continue parameter is too old"), "{message}");
    let token = status["metadata"]["continue"].as_str().unwrap();
    let rest = admin.get(&format!("{MAPS}?limit=5&continue={token}")).await.json();
    assert_eq!(rest["items"][0]["metadata"]["name"], "c", "what came since is there");
    assert_eq!(rest["items"].as_array().unwrap().len(), 2);
    let gone = admin.get(&format!("{MAPS}?resourceVersion=1&resourceVersionMatch=Exact")).await;
    assert_eq!((gone.code, &gone.json()["reason"]), (410, &json!("Expired")));
    assert_eq!(admin.get(&format!("{MAPS}?limit=2&continue=%3F")).await.code, 400);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_types_that_cannot_be_served_are_406_and_415() {
    let api = TestApi::start().await;
    let admin = api.admin();
    create(&admin, "a").await;
    let types = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
    let refused = admin.get_as(MAPS, "application/cbor").await;
    let want = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("only the following media types are accepted: {types}"),
        "reason": "NotAcceptable", "code": 406});
    assert_eq!((refused.code, refused.json()), (406, want));
    let refused = admin.send_json("POST", MAPS, "application/cbor", &json!({})).await;
    let text = "the body of the request was in an unknown format - accepted media types include";
    let want = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": format!("{text}: {types}"), "reason": "UnsupportedMediaType", "code": 415});
    assert_eq!((refused.code, refused.json()), (415, want));
    let refused = admin.send_json("PATCH", &format!("{MAPS}/a"), "text/plain", &json!({})).await;
    assert_eq!(refused.code, 415);
    let patches = "application/json-patch+json, application/merge-patch+json, \
        application/strategic-merge-patch+json, application/apply-patch+yaml";
    assert!(refused.text.contains(patches), "{}", refused.text);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn discovery_is_aggregated_with_etags_and_legacy() {
    let api = TestApi::start().await;
    let admin = api.admin();
    for path in ["/api", "/apis"] {
        let mut tags = Vec::new();
        for version in ["v2", "v2beta1"] {
            let media = format!(
                "application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
            );
            let answer = admin.get_as(path, &format!("{media},application/json")).await;
            assert_eq!(answer.header("content-type"), media);
            assert_eq!(
                (answer.header("vary"), answer.header("cache-control")),
                ("Accept", "public")
            );
            let document = answer.json();
            assert_eq!(document["apiVersion"], format!("apidiscovery.k8s.io/{version}"));
            for group in document["items"].as_array().unwrap() {
                assert_eq!(group["metadata"].get("name").is_none(), path == "/api");
                assert_eq!(group["versions"][0]["freshness"], "Current");
            }
            let etag = answer.header("etag").to_owned();
            let again = admin.request("GET", path).header("accept", &media);
            let again = admin.send(again.header("if-none-match", &etag)).await;
            assert_eq!((again.code, again.header("etag")), (304, etag.as_str()));
            tags.push(etag);
        }
        assert_ne!(tags[0], tags[1]);
        let kind = if path == "/api" { "APIVersions" } else { "APIGroupList" };
        assert_eq!(admin.get(path).await.json()["kind"], kind);
        let yaml = admin.get_as(path, "application/yaml").await;
        assert!(yaml.text.contains(&format!("kind: {kind}\n")), "{}", yaml.text);
    }
    // The old form and the aggregated one name the same resources.
    let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let apps = admin.get_as("/apis", v2).await.json();
    let apps = apps["items"].as_array().unwrap().iter().find(|g| g["metadata"]["name"] == "apps");
    let mut aggregated: Vec<String> = Vec::new();
    for resource in apps.unwrap()["versions"][0]["resources"].as_array().unwrap() {
        let name = resource["resource"].as_str().unwrap();
        aggregated.push(name.to_owned());
        for sub in resource["subresources"].as_array().into_iter().flatten() {
            aggregated.push(format!("{name}/{}", sub["subresource"].as_str().unwrap()));
        }
    }
    let legacy = admin.get("/apis/apps/v1").await.json();
    let legacy = legacy["resources"].as_array().unwrap().iter();
    let legacy: Vec<_> = legacy.map(|r| r["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!(aggregated, legacy);
    api.stop().await;
}
