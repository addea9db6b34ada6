//! Errors that stay: how often they are met, and that the rest goes on.

use std::time::Duration;

use kabuki_api::kind::{EVENT, POD, REPLICA_SET};
use serde_json::json;

use super::{World, cluster};
use crate::{controllers::framework::BLAMELESS_MAX, registry::View};

fn replica_set(name: &str, image: &str) -> serde_json::Value {
    json!({"metadata": {"name": name}, "spec": {"replicas": 3,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": {"app": name}},
            "spec": {"containers": [{"name": "c", "image": image}]}}}})
}

fn pods(world: &World, app: &str) -> usize {
    world.users.list(POD, None).iter().filter(|p| p.labels()["app"] == app).count()
}

#[test]
fn what_the_store_never_takes_is_tried_at_the_pace_of_the_back_off() {
    cluster::run(1, &["n1"], |world| async move {
        world.door.bar(Some("/pods/default/bad-"));
        world.create(REPLICA_SET, "default", replica_set("bad", "i")).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let before = world.door.barred_attempts();
        assert!(before > 0);
        let time = BLAMELESS_MAX * 100;
        world.create(REPLICA_SET, "default", replica_set("good", "i")).await;
        let begun = tokio::time::Instant::now();
        let good = || if pods(&world, "good") == 3 { Ok(()) } else { Err("no pods".into()) };
        world.until(Duration::from_secs(10), 1, good).await;
        tokio::time::sleep(time.saturating_sub(begun.elapsed())).await;
        let tried = world.door.barred_attempts() - before;
        assert!((90..=110).contains(&tried), "{tried} attempts in {time:?}");
        world.door.bar(None);
        let healed = || if pods(&world, "bad") == 3 { Ok(()) } else { Err("no pods".into()) };
        world.until(BLAMELESS_MAX * 2, 1, healed).await;
    });
}

#[test]
fn an_outage_is_waited_for_in_peace_and_ends_at_once() {
    cluster::run(1, &["n1"], |world| async move {
        for number in 0..20 {
            let set = replica_set(&format!("s{number}"), "i");
            world.create(REPLICA_SET, "default", set).await;
        }
        // Everything is out of reach, with 20 objects waiting.
        world.door.bar(Some("/"));
        let before = world.door.attempts();
        let time = Duration::from_secs(600);
        tokio::time::sleep(time).await;
        let tried = world.door.attempts() - before;
        let actors = world.kit.kernel().tree().actors().len() as u64;
        // Each actor asks once a second, whatever the number of its objects.
        assert!(tried <= (time.as_secs() + 60) * actors, "{tried} attempts of {actors} actors");
        world.door.bar(None);
        let all = || {
            let short = (0..20).find(|n| pods(&world, &format!("s{n}")) != 3);
            short.map_or(Ok(()), |n| Err(format!("s{n} has no pods")))
        };
        world.until(BLAMELESS_MAX * 2, 1, all).await;
    });
}

#[test]
fn an_object_that_is_always_refused_is_told_so_and_set_aside() {
    cluster::run(1, &["n1"], |world| async move {
        let mut set = replica_set("bad", "i");
        // Admission refuses every pod of it.
        set["spec"]["template"]["spec"]["priorityClassName"] = "no-such-class".into();
        world.create(REPLICA_SET, "default", set).await;
        world.create(REPLICA_SET, "default", replica_set("good", "i")).await;
        let good = || if pods(&world, "good") == 3 { Ok(()) } else { Err("no pods".into()) };
        world.until(Duration::from_secs(10), 1, good).await;
        tokio::time::sleep(Duration::from_secs(1_200)).await;
        let said = |reason: &str| {
            let events = world.users.list(EVENT, Some("default"));
            events.iter().any(|e| {
                e.value()["reason"] == reason && e.value()["involvedObject"]["name"] == "bad"
            })
        };
        assert!(said("FailedCreate") && said("SetAside"));
        let actors = world.kit.kernel().tree();
        let path = actors.actors().into_iter().find(|a| a.path.ends_with("/replicaset")).unwrap();
        let seen = world.kit.kernel().inspect(&path.path).await.unwrap().state;
        assert_eq!(seen["queue"]["failing"][0]["quarantined"], true, "{seen}");
        // Twenty attempts up to the quarantine, then one in five minutes.
        assert!(seen["refused"].as_u64().unwrap() <= 24, "{seen}");
    });
}
