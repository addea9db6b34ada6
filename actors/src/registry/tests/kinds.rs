//! What the server adds to new objects of kinds whose controllers make pods, and how they are deleted.

use kabuki_api::kind::{
    DAEMON_SET, HORIZONTAL_POD_AUTOSCALER, HORIZONTAL_POD_AUTOSCALER_V1, JOB, POD,
    POD_DISRUPTION_BUDGET, REPLICATION_CONTROLLER,
};
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

#[tokio::test]
async fn both_versions_of_autoscalers_are_one_object() {
    let c = cluster().await;
    let given = json!({"metadata": {"name": "h", "namespace": "default"}, "spec": {"maxReplicas": 3,
        "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "targetCPUUtilizationPercentage": 60}});
    let made = c.make(HORIZONTAL_POD_AUTOSCALER_V1, given).await;
    assert_eq!(made.value()["apiVersion"], "autoscaling/v1");
    let v2 = c.get(HORIZONTAL_POD_AUTOSCALER, "default", "h").unwrap();
    let target = &v2.value()["spec"]["metrics"][0]["resource"]["target"];
    assert_eq!(target, &json!({"type": "Utilization", "averageUtilization": 60}));
    assert_eq!(v2.value()["metadata"].get("annotations"), None);
    let mut change = v2.value().clone();
    change["spec"]["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 0}});
    c.replace(HORIZONTAL_POD_AUTOSCALER, change, Subresource::Main).await.unwrap();
    let v1 = c.get(HORIZONTAL_POD_AUTOSCALER_V1, "default", "h").unwrap();
    assert_eq!(v1.value()["spec"]["targetCPUUtilizationPercentage"], 60);
    let unchanged = c.replace(HORIZONTAL_POD_AUTOSCALER_V1, v1.value().clone(), Subresource::Main);
    let unchanged = unchanged.await.unwrap().object;
    assert_eq!(unchanged.revision(), v1.revision(), "what v1 has no fields for is not lost");
}

/// Three ready pods and a budget over them.
async fn guarded(c: &Fixture, budget: Value) {
    for name in ["a", "b", "c"] {
        let mut given = pod(name);
        given["metadata"]["labels"] = json!({"app": "x"});
        given["spec"]["nodeName"] = "n".into();
        c.make(POD, given).await;
        let ready = |value: &mut Value| {
            value["status"]["phase"] = "Running".into();
            value["status"]["conditions"] = json!([{"type": "Ready", "status": "True"}]);
            true
        };
        c.update_with_retry(POD, "default", name, Subresource::Status, ready).await.unwrap();
    }
    let mut spec = budget;
    spec["selector"] = json!({"matchLabels": {"app": "x"}});
    let given = json!({"metadata": {"name": "g", "namespace": "default"}, "spec": spec});
    c.make(POD_DISRUPTION_BUDGET, given).await;
}

#[tokio::test]
async fn evictions_spend_the_budget() {
    for budget in [json!({"minAvailable": 2}), json!({"maxUnavailable": "30%"})] {
        let c = cluster().await;
        guarded(&c, budget.clone()).await;
        let evict = async |name: &str| {
            c.evict(&internal(), "default", name, &json!({"metadata": {"name": name}})).await
        };
        evict("a").await.unwrap();
        let status = evict("b").await.unwrap_err();
        assert_eq!(status.code, 429, "{budget}");
        assert_eq!(
            status.message,
            "Cannot evict pod as it would violate the pod's disruption budget."
        );
        let causes = &status.details.as_ref().unwrap().causes;
        assert_eq!(
            causes[0].message,
            "The disruption budget g needs 2 healthy pods and has 2 currently"
        );
        let budget = c.get(POD_DISRUPTION_BUDGET, "default", "g").unwrap();
        let written = &budget.value()["status"];
        assert_eq!(
            (&written["disruptionsAllowed"], &written["desiredHealthy"]),
            (&json!(0), &json!(2))
        );
        let second = json!({"metadata": {"name": "h", "namespace": "default"},
            "spec": {"minAvailable": 0, "selector": {}}});
        c.make(POD_DISRUPTION_BUDGET, second).await;
        assert_eq!(evict("b").await.unwrap_err().code, 500, "two budgets");
    }
}
