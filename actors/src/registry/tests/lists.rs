//! Gets and lists: revisions, pages, selectors.

use kabuki_api::kind::{CONFIG_MAP, POD};
use serde_json::json;

use super::*;

fn limited(limit: usize, token: &str) -> ListOptions {
    ListOptions { limit, continue_token: token.into(), ..ListOptions::in_namespace("default") }
}

fn names(list: &ListResult) -> Vec<String> {
    list.items.iter().map(|o| o.name().to_owned()).collect()
}

#[tokio::test]
async fn pages_show_one_revision() {
    let c = cluster().await;
    for name in ["a", "b", "d", "e"] {
        c.config(name, "1").await;
    }
    let first = c.list_consistent(CONFIG_MAP, &limited(2, "")).await.unwrap();
    assert_eq!(names(&first), ["a", "b"]);
    assert_eq!(first.remaining, Some(2));
    c.config("c", "1").await;
    let second = c.list_consistent(CONFIG_MAP, &limited(2, &first.continue_token)).await.unwrap();
    assert_eq!(names(&second), ["d", "e"]);
    assert_eq!(second.revision, first.revision);
    assert!(second.continue_token.is_empty());
    c.store().compact(c.store().revision()).await.unwrap();
    let expired =
        c.list_consistent(CONFIG_MAP, &limited(2, &first.continue_token)).await.unwrap_err();
    assert_eq!((expired.code, expired.reason.as_str()), (410, "Expired"));
    let on = limited(2, &expired.metadata.continue_);
    assert_eq!(names(&c.list_consistent(CONFIG_MAP, &on).await.unwrap()), ["c", "d"]);
}

#[tokio::test]
async fn revisions_that_are_asked_for() {
    let c = cluster().await;
    let first = c.config("a", "1").await;
    c.config("b", "1").await;
    let mut options = ListOptions::in_namespace("default");
    options.resource_version = first.revision().to_string();
    options.resource_version_match = "Exact".into();
    let exact = c.list_consistent(CONFIG_MAP, &options).await.unwrap();
    assert_eq!((names(&exact).len(), exact.revision), (1, first.revision()));
    options.resource_version_match = "NotOlderThan".into();
    assert_eq!(c.list_consistent(CONFIG_MAP, &options).await.unwrap().items.len(), 2);
    let ahead = (c.store().revision() + 100).to_string();
    // On real time: the store's threads are real, and a paused clock would leap over their answer.
    let status = c.get_consistent(CONFIG_MAP, "default", "a", &ahead).await.unwrap_err();
    assert!(status.message.starts_with("Timeout: Too large resource version: "), "{status}");
    assert_eq!((status.code, status.retry_after()), (504, Some(1)));
    let missing = c.get_consistent(CONFIG_MAP, "default", "x", "").await.unwrap_err();
    assert_eq!(missing.message, "configmaps \"x\" not found");
}

#[tokio::test]
async fn selectors() {
    let c = cluster().await;
    for (name, value) in [("a", "1"), ("b", "2"), ("c", "1"), ("d", "1")] {
        c.config(name, value).await;
    }
    let select = |labels: &str, fields: &str, limit| ListOptions {
        label_selector: labels.into(),
        field_selector: fields.into(),
        limit,
        ..ListOptions::in_namespace("default")
    };
    let ones = c.list_consistent(CONFIG_MAP, &select("v=1", "", 0)).await.unwrap();
    assert_eq!(names(&ones), ["a", "c", "d"]);
    let page = c.list_consistent(CONFIG_MAP, &select("v=1", "", 2)).await.unwrap();
    assert_eq!((names(&page), page.remaining), (vec!["a".to_owned(), "c".to_owned()], None));
    let mut rest = select("v=1", "", 2);
    rest.continue_token = page.continue_token;
    assert_eq!(names(&c.list_consistent(CONFIG_MAP, &rest).await.unwrap()), ["d"]);
    let named = c.list_consistent(CONFIG_MAP, &select("", "metadata.name=b", 0)).await.unwrap();
    assert_eq!(names(&named), ["b"]);
    c.make(POD, pod("p")).await;
    let pending = select("", "spec.nodeName=,status.phase=Pending", 0);
    assert_eq!(names(&c.list_consistent(POD, &pending).await.unwrap()), ["p"]);
    for (labels, fields) in [("a in", ""), ("", "spec.foo=1")] {
        let status = c.list_consistent(CONFIG_MAP, &select(labels, fields, 0)).await.unwrap_err();
        assert_eq!(status.code, 400);
    }
}

#[tokio::test]
async fn a_list_is_copied_not_decoded() {
    let c = cluster().await;
    let empty = c.list_consistent(CONFIG_MAP, &ListOptions::in_namespace("default")).await.unwrap();
    let json: Value = serde_json::from_slice(&empty.encoded()).unwrap();
    assert_eq!(json["items"], json!([]));
    for i in 0..300 {
        let object =
            json!({"metadata": {"name": format!("c{i:03}")}, "data": {"v": "x".repeat(2_000)}});
        c.make(CONFIG_MAP, object).await;
    }
    let list = c.list_consistent(CONFIG_MAP, &ListOptions::in_namespace("default")).await.unwrap();
    let revision = list.revision.to_string();
    let items = list.items.clone();
    assert!(list.clone().chunks().count() > 1);
    let json: Value = serde_json::from_slice(&list.encoded()).unwrap();
    assert_eq!(json["kind"], "ConfigMapList");
    assert_eq!(json["metadata"]["resourceVersion"], revision.as_str());
    assert_eq!(json["items"].as_array().unwrap().len(), 300);
    assert_eq!(json["items"][7]["metadata"]["resourceVersion"], items[7].revision().to_string());
    assert!(json["items"][7]["kind"].is_null());
}
