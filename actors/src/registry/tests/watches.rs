//! Watches: initial state, transitions, bookmarks, expiry.

use kabuki_api::kind::CONFIG_MAP;
use serde_json::json;

use super::*;

/// (type, name) of the next `count` events.
async fn next(watch: &mut ObjectWatch, count: usize) -> Vec<(String, String)> {
    let mut out = Vec::new();
    while out.len() < count {
        for event in watch.next().await.unwrap() {
            let name = event.object().map_or("", |o| o.name()).to_owned();
            out.push((event.type_name().to_owned(), name));
        }
    }
    out
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

fn options(version: &str, labels: &str) -> WatchOptions {
    WatchOptions {
        namespace: Some("default".into()),
        resource_version: version.into(),
        label_selector: labels.into(),
        ..WatchOptions::default()
    }
}

#[tokio::test]
async fn initial_state_then_changes() {
    let c = cluster().await;
    let first = c.config("a", "1").await;
    let mut all = c.watch(CONFIG_MAP, &options("", "")).await.unwrap();
    let mut later = c.watch(CONFIG_MAP, &options(&first.revision().to_string(), "")).await.unwrap();
    c.replace(CONFIG_MAP, config("a", "2"), Subresource::Main).await.unwrap();
    c.config("b", "1").await;
    c.delete(&internal(), CONFIG_MAP, "default", "a", &DeleteOptions::background()).await.unwrap();
    let changes = pairs(&[("MODIFIED", "a"), ("ADDED", "b"), ("DELETED", "a")]);
    assert_eq!(next(&mut later, 3).await, changes);
    assert_eq!(next(&mut all, 4).await, [pairs(&[("ADDED", "a")]), changes].concat());
    let Some(WatchEvent::Bookmark { revision, .. }) = all.bookmark() else { panic!("no bookmark") };
    assert_eq!(revision, c.store().revision());
}

#[tokio::test]
async fn selectors_turn_changes_into_arrivals_and_departures() {
    let c = cluster().await;
    c.config("a", "1").await;
    let mut ones = c.watch(CONFIG_MAP, &options("0", "v=1")).await.unwrap();
    assert_eq!(next(&mut ones, 1).await, pairs(&[("ADDED", "a")]));
    c.replace(CONFIG_MAP, config("a", "2"), Subresource::Main).await.unwrap();
    let revision = c.store().revision();
    let events = ones.next().await.unwrap();
    let [WatchEvent::Deleted(gone)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!((gone.revision(), gone.value()["data"]["v"].as_str()), (revision, Some("1")));
    c.config("other", "2").await;
    c.replace(CONFIG_MAP, config("a", "1"), Subresource::Main).await.unwrap();
    assert_eq!(next(&mut ones, 1).await, pairs(&[("ADDED", "a")]));
    c.delete(&internal(), CONFIG_MAP, "default", "a", &DeleteOptions::background()).await.unwrap();
    let events = ones.next().await.unwrap();
    let [WatchEvent::Deleted(gone)] = events.as_slice() else { panic!("{events:?}") };
    assert_eq!(gone.revision(), c.store().revision());
}

#[tokio::test]
async fn streaming_lists_end_with_a_bookmark() {
    let c = cluster().await;
    c.config("a", "1").await;
    let mut wanted = options("", "");
    wanted.send_initial_events = Some(true);
    wanted.allow_bookmarks = true;
    assert_eq!(c.watch(CONFIG_MAP, &wanted).await.err().unwrap().code, 422);
    wanted.resource_version_match = "NotOlderThan".into();
    let mut watch = c.watch(CONFIG_MAP, &wanted).await.unwrap();
    assert!(watch.bookmark().is_none());
    assert_eq!(next(&mut watch, 1).await, pairs(&[("ADDED", "a")]));
    let events = watch.next().await.unwrap();
    let mut line = Vec::new();
    events[0].write_json(CONFIG_MAP, &mut line);
    let json: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(
        json,
        json!({"type": "BOOKMARK", "object": {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {
            "resourceVersion": c.store().revision().to_string(),
            "annotations": {"k8s.io/initial-events-end": "true"}}}})
    );
    c.config("b", "1").await;
    assert_eq!(next(&mut watch, 1).await, pairs(&[("ADDED", "b")]));
}

#[tokio::test]
async fn compacted_history_is_said_to_be_gone() {
    let c = cluster().await;
    let first = c.config("a", "1").await.revision();
    c.config("b", "1").await;
    c.store().compact(c.store().revision()).await.unwrap();
    let status = c.watch(CONFIG_MAP, &options(&first.to_string(), "")).await.err().unwrap();
    assert_eq!((status.code, status.reason.as_str()), (410, "Expired"));
    assert!(status.message.starts_with(&format!("too old resource version: {first} (")));
}
