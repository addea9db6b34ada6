//! What the server adds to new objects of kinds whose controllers make pods, and how they are deleted.

use kabuki_api::kind::{DAEMON_SET, JOB, REPLICATION_CONTROLLER};
use serde_json::json;

use super::*;

fn template() -> Value {
    json!({"metadata": {"labels": {"a": "b"}},
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}})
}

#[tokio::test]
async fn a_job_gets_a_selector_of_its_own_also_with_a_generated_name() {
    let c = cluster().await;
    let given = json!({"metadata": {"generateName": "j-", "namespace": "default"},
        "spec": {"template": template()}});
    let job = c.make(JOB, given).await;
    let value = job.value();
    let labels = &value["spec"]["template"]["metadata"]["labels"];
    assert_eq!(labels["batch.kubernetes.io/job-name"], job.name());
    assert_eq!(labels["controller-uid"], job.uid());
    let selector = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": job.uid()}});
    assert_eq!(value["spec"]["selector"], selector);
    assert_eq!(value["status"], json!({}));
}

#[tokio::test]
async fn a_daemon_set_counts_changes_of_its_template() {
    let c = cluster().await;
    let mut pods = template();
    pods["spec"]["restartPolicy"] = "Always".into();
    let given = json!({"metadata": {"name": "d", "namespace": "default"},
        "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": pods}});
    let made = c.make(DAEMON_SET, given).await;
    let counted = |object: &Object| {
        let annotations = &object.value()["metadata"]["annotations"];
        annotations["deprecated.daemonset.template.generation"].as_str().map(str::to_owned)
    };
    assert_eq!(counted(&made).as_deref(), Some("1"));
    assert_eq!(made.value()["status"]["numberReady"], 0, "upstream writes zeros here");
    let mut change = made.value().clone();
    change["spec"]["template"]["spec"]["containers"][0]["image"] = "i:2".into();
    let changed = c.replace(DAEMON_SET, change, Subresource::Main).await.unwrap().object;
    assert_eq!(counted(&changed).as_deref(), Some("2"));
    assert_eq!(changed.value()["metadata"]["generation"], 2);
}

#[tokio::test]
async fn a_replication_controller_scales_and_leaves_its_pods() {
    let c = cluster().await;
    let mut pods = template();
    pods["spec"]["restartPolicy"] = "Always".into();
    let given =
        json!({"metadata": {"name": "r", "namespace": "default"}, "spec": {"template": pods}});
    c.make(REPLICATION_CONTROLLER, given).await;
    let scale = c.scale(REPLICATION_CONTROLLER, "default", "r").await.unwrap();
    assert_eq!(
        (&scale["spec"]["replicas"], &scale["status"]["selector"]),
        (&json!(1), &json!("a=b"))
    );
    let options = DeleteOptions::default();
    let deleted = c.delete(&internal(), REPLICATION_CONTROLLER, "default", "r", &options).await;
    let deleted = deleted.unwrap();
    assert!(!deleted.gone, "it waits until its pods are orphans");
    assert_eq!(deleted.object.value()["metadata"]["finalizers"], json!(["orphan"]));
}
