//! Deletion: finalizers, grace, namespaces, collections.

use kabuki_api::kind::{CONFIG_MAP, NAMESPACE, POD};
use serde_json::json;

use super::*;

#[tokio::test]
async fn finalizers_hold_an_object_until_the_last_is_gone() {
    let c = cluster().await;
    let mut object = config("a", "1");
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    c.make(CONFIG_MAP, object).await;
    let options = DeleteOptions::background();
    let marked = c.delete(&internal(), CONFIG_MAP, "default", "a", &options).await.unwrap();
    assert!(!marked.gone && marked.answers_object() && marked.object.is_deleting());
    let again = c.delete(&internal(), CONFIG_MAP, "default", "a", &options).await.unwrap();
    assert_eq!(again.object.revision(), marked.object.revision());
    let mut more = marked.object.value().clone();
    more["metadata"]["finalizers"] = json!(["example.com/hold", "example.com/more"]);
    let refused = c.replace(CONFIG_MAP, more, Subresource::Main).await.unwrap_err();
    assert_eq!(refused.code, 422);
    let mut free = marked.object.value().clone();
    free["metadata"]["finalizers"] = json!([]);
    c.replace(CONFIG_MAP, free, Subresource::Main).await.unwrap();
    assert!(c.get(CONFIG_MAP, "default", "a").is_none());
}

#[tokio::test]
async fn pods_go_gracefully_and_by_uid() {
    let c = cluster().await;
    c.make(POD, pod("p")).await;
    let binding = json!({"target": {"name": "n"}});
    c.bind(&internal(), "default", "p", &binding).await.unwrap();
    let marked =
        c.delete(&internal(), POD, "default", "p", &DeleteOptions::background()).await.unwrap();
    assert!(!marked.gone);
    assert_eq!(marked.object.metadata()["deletionGracePeriodSeconds"], 30);
    let other = c.delete(&internal(), POD, "default", "p", &DeleteOptions::now("x")).await;
    assert_eq!(other.unwrap_err().code, 409);
    let uid = marked.object.uid().to_owned();
    let done = c.delete(&internal(), POD, "default", "p", &DeleteOptions::now(&uid)).await.unwrap();
    assert!(done.gone && done.answers_object());
    let missing = c.delete(&internal(), POD, "default", "p", &DeleteOptions::now(&uid)).await;
    assert_eq!(missing.unwrap_err().code, 404);
}

#[tokio::test]
async fn answers_of_immediate_deletes() {
    let c = cluster().await;
    c.config("a", "1").await;
    let done =
        c.delete(&internal(), CONFIG_MAP, "default", "a", &DeleteOptions::default()).await.unwrap();
    assert!(done.gone && !done.answers_object());
    let status = done.status();
    let details = status.details.as_ref().unwrap();
    assert_eq!((details.name.as_str(), details.kind.as_str()), ("a", "configmaps"));
    assert_eq!(details.uid, done.object.uid());
    let both = DeleteOptions {
        propagation: Some(Propagation::Orphan),
        orphan_dependents: Some(true),
        ..DeleteOptions::default()
    };
    let status = c.delete(&internal(), CONFIG_MAP, "default", "b", &both).await.unwrap_err();
    assert_eq!(status.code, 422);
}

#[tokio::test]
async fn namespaces_take_nothing_new_while_they_go() {
    let c = cluster().await;
    let ns = json!({"metadata": {"name": "x"}});
    c.create(&internal(), NAMESPACE, "", ns).await.unwrap();
    let options = DeleteOptions::background();
    let marked = c.delete(&internal(), NAMESPACE, "", "x", &options).await.unwrap();
    assert_eq!(marked.object.value()["status"]["phase"], "Terminating");
    let refused = c.create(&internal(), CONFIG_MAP, "x", config("a", "1")).await.unwrap_err();
    assert_eq!(refused.code, 403);
    assert_eq!(
        refused.message,
        "configmaps \"a\" is forbidden: unable to create new content in namespace x because it is being terminated"
    );
    let mut done = marked.object.value().clone();
    done["spec"]["finalizers"] = json!([]);
    c.update(&internal(), NAMESPACE, "", "x", done, Subresource::Finalize).await.unwrap();
    assert!(c.get(NAMESPACE, "", "x").is_none());
    let immortal = c.delete(&internal(), NAMESPACE, "", "default", &options).await.unwrap_err();
    assert_eq!(
        immortal.message,
        "namespaces \"default\" is forbidden: this namespace may not be deleted"
    );
}

#[tokio::test]
async fn collections() {
    let c = cluster().await;
    for (name, value) in [("a", "1"), ("b", "2"), ("c", "1")] {
        c.config(name, value).await;
    }
    let list = ListOptions { label_selector: "v=1".into(), ..ListOptions::in_namespace("default") };
    let options = DeleteOptions::background();
    let gone = c.delete_collection(&internal(), CONFIG_MAP, &options, &list).await.unwrap();
    assert_eq!(gone.len(), 2);
    assert_eq!(c.list(CONFIG_MAP, Some("default")).len(), 1);
}
