//! Watching: renderings, expiry, the initial events, WebSocket.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{MAPS, TABLE, api_support::TestApi, create, events, summary};

const PARTIAL: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const INITIAL: &str =
    "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";

#[tokio::test(flavor = "multi_thread")]
async fn watches_come_as_tables_and_metadata() {
    let api = TestApi::start().await;
    let admin = api.admin();
    create(&admin, "a").await;
    create(&admin, "b").await;
    let watch = |accept: &'static str| {
        admin.request("GET", &format!("{MAPS}?watch=1&{INITIAL}")).header("accept", accept).send()
    };
    let tables = events(watch(TABLE).await.unwrap(), 3).await;
    assert_eq!(tables[0]["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(tables[1]["object"]["columnDefinitions"], json!([]), "the first says them");
    assert_eq!(tables[1]["object"]["rows"][0]["cells"][0], "b");
    let metadata = &tables[2]["object"]["rows"][0]["object"]["metadata"];
    assert_eq!(tables[2]["type"], "BOOKMARK");
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");

    let partial = events(watch(PARTIAL).await.unwrap(), 3).await;
    for event in &partial {
        assert_eq!(event["object"]["kind"], "PartialObjectMetadata");
        assert!(event["object"].get("data").is_none());
    }
    assert_eq!(partial[0]["object"]["metadata"]["name"], "a");
    let metadata = &partial[2]["object"]["metadata"];
    assert_eq!(metadata["annotations"]["k8s.io/initial-events-end"], "true");
    assert!(metadata["resourceVersion"].is_string());
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_of_compacted_revisions_are_told_410_in_the_stream() {
    let api = TestApi::start().await;
    let admin = api.admin();
    create(&admin, "a").await;
    create(&admin, "b").await;
    api.store.compact(api.store.revision()).await.unwrap();
    let path = format!("{MAPS}?watch=true&resourceVersion=1");
    let response = admin.request("GET", &path).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let seen = events(response, 2).await;
    assert_eq!(seen.len(), 1, "the stream ends");
    let status = &seen[0]["object"];
    assert_eq!((&seen[0]["type"], &status["code"]), (&json!("ERROR"), &json!(410)));
    assert_eq!(status["reason"], "Expired");
    assert!(status["message"].as_str().unwrap().starts_with("too old resource version: 1 ("));
    api.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_end_at_their_timeout_and_are_never_compressed() {
    let api = TestApi::start().await;
    let admin = api.admin();
    create(&admin, "a").await;
    let path = format!("{MAPS}?watch=true&timeoutSeconds=1");
    let request = admin.request("GET", &path).header("accept-encoding", "gzip");
    let response = request.send().await.unwrap();
    assert!(response.headers().get("content-encoding").is_none());
    assert_eq!(response.headers()["content-type"], "application/json");
    let added = ("ADDED".to_owned(), "a".to_owned());
    assert_eq!(summary(&events(response, 9).await), [added], "and then it ends");
    let old =
        admin.request("GET", "/api/v1/watch/namespaces/default/configmaps/a?timeoutSeconds=1");
    assert_eq!(events(old.send().await.unwrap(), 9).await.len(), 1);
    api.stop().await;
}

/// Reads one frame of a server: opcode and payload.
async fn frame(socket: &mut reqwest::Upgraded) -> (u8, Vec<u8>) {
    let first = socket.read_u8().await.unwrap();
    let length = match socket.read_u8().await.unwrap() {
        126 => usize::from(socket.read_u16().await.unwrap()),
        127 => usize::try_from(socket.read_u64().await.unwrap()).unwrap(),
        short => usize::from(short),
    };
    let mut payload = vec![0; length];
    socket.read_exact(&mut payload).await.unwrap();
    (first & 0x0f, payload)
}

#[tokio::test(flavor = "multi_thread")]
async fn watches_go_over_websocket() {
    let api = TestApi::start().await;
    let admin = api.admin();
    create(&admin, "a").await;
    let path = format!("{MAPS}?watch=true");
    let request = admin
        .request("GET", &path)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 101);
    assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    let mut socket = response.upgrade().await.unwrap();
    let work = async {
        let (opcode, text) = frame(&mut socket).await;
        let event: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!((opcode, &event["type"]), (1, &json!("ADDED")));
        assert_eq!(event["object"]["metadata"]["name"], "a");
        create(&admin, "b").await;
        let (_, text) = frame(&mut socket).await;
        let event: Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(event["object"]["metadata"]["name"], "b");
        // A ping without mask bits to speak of, and a goodbye.
        socket.write_all(&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i']).await.unwrap();
        assert_eq!(frame(&mut socket).await, (10, b"hi".to_vec()));
        socket.write_all(&[0x88, 0x80, 0, 0, 0, 0]).await.unwrap();
        assert_eq!(frame(&mut socket).await, (8, 1000_u16.to_be_bytes().to_vec()));
        assert_eq!(socket.read(&mut [0]).await.unwrap_or(0), 0, "closed");
    };
    tokio::time::timeout(Duration::from_secs(20), work).await.unwrap();
    api.stop().await;
}
