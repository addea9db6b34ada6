//! The OpenAPI documents over HTTP.

use std::io::Read;

use serde_json::{Value, json};

use super::api_support::{Answer, Client, TestApi};

const PROTOBUF: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

async fn not_modified(client: &Client, path: &str, accept: &str, etag: &str) -> Answer {
    let request = client.request("GET", path).header("accept", accept);
    client.send(request.header("if-none-match", etag)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_v3_is_indexed_by_hash_and_immutable() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let index = admin.get("/openapi/v3").await.json();
    let url = |index: &Value, name: &str| {
        index["paths"][name]["serverRelativeURL"].as_str().unwrap_or_default().to_owned()
    };

    // Every group version of discovery has its document.
    let groups = admin.get("/apis").await.json();
    for group in groups["groups"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let name = format!("apis/{}", version["groupVersion"].as_str().unwrap());
            assert!(!url(&index, &name).is_empty(), "{name}");
        }
    }
    let apps = url(&index, "apis/apps/v1");
    let (path, hash) = apps.split_once("?hash=").unwrap();
    assert_eq!((path, hash.len()), ("/openapi/v3/apis/apps/v1", 128));

    let hashed = admin.get(&apps).await;
    assert_eq!(hashed.code, 200);
    assert_eq!(hashed.header("cache-control"), "public, immutable");
    assert!(hashed.header("expires").ends_with(" GMT"), "{}", hashed.header("expires"));
    assert_eq!(hashed.header("etag"), format!("\"{hash}\""));
    let document = hashed.json();
    assert_eq!(document["openapi"], "3.0.0");
    let patch =
        &document["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"];
    assert_eq!(
        patch["x-kubernetes-group-version-kind"],
        json!({"group": "apps", "version": "v1", "kind": "Deployment"})
    );
    let parameters = patch["parameters"].as_array().unwrap();
    assert!(parameters.iter().any(|p| p["name"] == "fieldValidation"), "{parameters:?}");

    let plain = admin.get(path).await;
    assert_eq!((plain.code, plain.header("cache-control")), (200, "no-cache, private"));
    assert_eq!(plain.text, hashed.text);
    let again = not_modified(&admin, path, "*/*", hashed.header("etag")).await;
    assert_eq!((again.code, again.text.as_str()), (304, ""));

    let stale = format!("{path}?hash=00");
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let moved = api.http_with(client).get(&stale).await;
    assert_eq!((moved.code, moved.header("location")), (301, apps.as_str()));

    assert_eq!(admin.get("/openapi/v3/apis/nope/v1").await.code, 404);
    assert_eq!(admin.get_as(path, "application/cbor").await.code, 406);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_is_compressed_on_request() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let path = "/openapi/v3/api/v1";
    let plain = admin.get(path).await;
    let request = admin.request("GET", path).header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.len() * 4 < plain.text.len(), "{} of {}", bytes.len(), plain.text.len());
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_ref()).read_to_string(&mut text).unwrap();
    assert!(text == plain.text);
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openapi_v2_comes_as_json_and_as_protobuf() {
    let api = TestApi::start().await;
    let admin = api.admin();
    let json = admin.get("/openapi/v2").await;
    assert_eq!(json.header("content-type"), "application/json");
    let document = json.json();
    assert_eq!(document["swagger"], "2.0");
    let containers =
        &document["definitions"]["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"];
    assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");

    let response = admin.request("GET", "/openapi/v2").header("accept", PROTOBUF).send().await;
    let response = response.unwrap();
    assert_eq!(
        response.headers()["content-type"],
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    );
    let etag = response.headers()["etag"].to_str().unwrap().to_owned();
    let bytes = response.bytes().await.unwrap();
    assert!(bytes.starts_with(b"\x0a\x032.0"), "field 1 is the version");
    assert_ne!(etag, json.header("etag"), "each form has its own");
    assert_eq!(not_modified(&admin, "/openapi/v2", PROTOBUF, &etag).await.code, 304);
    assert_eq!(not_modified(&admin, "/openapi/v2", "*/*", json.header("etag")).await.code, 304);
    assert_eq!(not_modified(&admin, "/openapi/v2", "*/*", &etag).await.code, 200);
    assert_eq!(admin.get_as("/openapi/v2", "text/html").await.code, 406);
    api.stop().await;
}
