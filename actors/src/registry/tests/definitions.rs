//! Custom kinds as the registry serves them.

use kabuki_api::kind::CUSTOM_RESOURCE_DEFINITION;

use super::*;

const NAME: &str = "acts.tests.example.com";

fn definition(versions: &[(&str, bool)]) -> Value {
    let versions: Vec<Value> = versions
        .iter()
        .map(|(name, storage)| {
            json!({"name": name, "served": true, "storage": storage, "schema":
                {"openAPIV3Schema": {"type": "object", "properties": {"spec": {"type": "object",
                    "properties": {"n": {"type": "integer"}}}}}}})
        })
        .collect();
    json!({"metadata": {"name": NAME}, "spec": {"group": "tests.example.com", "scope": "Cluster",
        "names": {"plural": "acts", "kind": "Act"}, "versions": versions}})
}

/// What the controller does with a definition without conflicts.
async fn establish(registry: &Registry) {
    let kind = CUSTOM_RESOURCE_DEFINITION;
    registry
        .update_with_retry(kind, "", NAME, Subresource::Status, |value| {
            value["status"]["acceptedNames"] = value["spec"]["names"].clone();
            for name in ["NamesAccepted", "Established"] {
                let condition = Condition { name, is: true, reason: "Test", message: "" };
                set_condition(&mut value["status"], &condition, "2026-01-01T00:00:00Z");
            }
            true
        })
        .await
        .unwrap();
}

async fn define(registry: &Registry, object: Value) {
    registry.create(&internal(), CUSTOM_RESOURCE_DEFINITION, "", object).await.unwrap();
    establish(registry).await;
}

async fn resource(registry: &Registry, version: &str) -> Result<&'static Kind, Status> {
    registry.resource("tests.example.com", version, "acts").await
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_follow_their_definition_on_every_member() {
    let (members, _dir) = super::quorum::quorum().await;
    assert_eq!(resource(&members[2], "v1").await.unwrap_err().code, 404);
    define(&members[0], definition(&[("v1", true)])).await;
    for member in &members {
        let kind = resource(member, "v1").await.unwrap();
        let name = format!("on-{}", member.store().status().member_id);
        let act = json!({"metadata": {"name": name}, "spec": {"n": 1, "m": 2}});
        let created = member.create(&internal(), kind, "", act).await.unwrap();
        assert_eq!(created.object.value()["spec"], json!({"n": 1}), "unknown fields are dropped");
    }
    let kind = resource(&members[1], "v1").await.unwrap();
    let mut watch = members[1].watch(kind, &WatchOptions::default()).await.unwrap();
    assert_eq!(watch.next().await.unwrap().len(), 3);

    // Another version, another field, and a default for what is stored already.
    members[2]
        .update_with_retry(CUSTOM_RESOURCE_DEFINITION, "", NAME, Subresource::Main, |value| {
            let mut versions =
                definition(&[("v1", false), ("v2", true)])["spec"]["versions"].take();
            for version in versions.as_array_mut().unwrap() {
                version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["d"] =
                    json!({"type": "string", "default": "x"});
            }
            value["spec"]["versions"] = versions;
            true
        })
        .await
        .unwrap();
    members[0].barrier().await.unwrap();
    let kind = resource(&members[0], "v2").await.unwrap();
    let act = members[0].get_consistent(kind, "", "on-1", "").await.unwrap();
    assert_eq!(act.value()["apiVersion"], "tests.example.com/v2");
    assert_eq!(act.value()["spec"], json!({"n": 1, "d": "x"}));
    let stored = members[0].get(CUSTOM_RESOURCE_DEFINITION, "", NAME).unwrap();
    assert_eq!(stored.value()["status"]["storedVersions"], json!(["v1", "v2"]));

    // Its end is the end of creates and of watches.
    let options = DeleteOptions::background();
    let kind_of = CUSTOM_RESOURCE_DEFINITION;
    members[0].delete(&internal(), kind_of, "", NAME, &options).await.unwrap();
    let late = json!({"metadata": {"name": "late"}});
    let late = members[0].create(&internal(), kind, "", late).await;
    assert_eq!(late.unwrap_err().code, 405);
    members[0]
        .update_with_retry(kind_of, "", NAME, Subresource::Main, |value| {
            value["metadata"]["finalizers"] = json!([]);
            true
        })
        .await
        .unwrap();
    while !watch.next().await.unwrap().is_empty() {}
    for member in &members {
        member.barrier().await.unwrap();
        assert_eq!(resource(member, "v2").await.unwrap_err().code, 404);
    }
    assert!(kind.served().is_none());
}
