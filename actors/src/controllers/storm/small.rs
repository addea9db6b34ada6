//! Namespaces with what is in them, join tokens, events.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use kabuki_api::kind::{CONFIG_MAP, EVENT, NAMESPACE, POD, SECRET, SERVICE, SERVICE_ACCOUNT};
use rand::{RngExt, rngs::StdRng};
use serde_json::{Value, json};

use super::{Scenario, World, cluster::now, history::History, storm};
use crate::{
    controllers::model::Time,
    registry::{DeleteOptions, Subresource},
};

const ROOT_CA: &str = "kube-root-ca.crt";

/// Namespaces that are made, filled, robbed of what they must have, and deleted.
#[derive(Default)]
struct Namespaces {
    made: u32,
    stay: BTreeSet<String>,
    gone: BTreeSet<String>,
    /// Tokens and whether they live beyond the test.
    tokens: BTreeMap<String, bool>,
}

fn after(seconds: u64) -> String {
    let at = std::time::UNIX_EPOCH
        + Duration::from_secs(u64::try_from(now().secs()).unwrap_or(0) + seconds);
    Time::from(at).rfc3339()
}

impl Namespaces {
    async fn add(&mut self, world: &World) {
        self.made += 1;
        let name = format!("ns{}", self.made);
        world.create(NAMESPACE, "", json!({"metadata": {"name": name}})).await;
        let meta = json!({"metadata": {"name": "x"}});
        world.create(CONFIG_MAP, &name, meta.clone()).await;
        world.create(SECRET, &name, meta).await;
        let pod = json!({"metadata": {"name": "p"}, "spec": {"terminationGracePeriodSeconds": 1,
            "containers": [{"name": "c", "image": "i"}]}});
        world.create(POD, &name, pod).await;
        let service = json!({"metadata": {"name": "s"},
            "spec": {"selector": {"app": "x"}, "ports": [{"port": 80}]}});
        world.create(SERVICE, &name, service).await;
        self.stay.insert(name);
    }

    async fn token(&mut self, world: &World, seconds: u64) {
        self.made += 1;
        let name = format!("bootstrap-token-t{}", self.made);
        let data = json!({"expiration": BASE64_STANDARD.encode(after(seconds))});
        let token = json!({"metadata": {"name": name}, "type": "bootstrap.kubernetes.io/token",
            "data": data});
        world.create(SECRET, "kube-system", token).await;
        self.tokens.insert(name, seconds > 3_600);
    }
}

impl Scenario for Namespaces {
    async fn begin(&mut self, world: &World) {
        for _ in 0..3 {
            self.add(world).await;
        }
    }

    async fn step(&mut self, world: &World, rng: &mut StdRng) {
        let some = self.stay.iter().nth(rng.random_range(0..self.stay.len().max(1))).cloned();
        match (rng.random_range(0..5), some) {
            (0, _) => self.add(world).await,
            (1, Some(name)) => {
                let Some(namespace) = world.object(NAMESPACE, "", &name) else { return };
                self.stay.remove(&name);
                self.gone.insert(name);
                world.delete(&namespace, DeleteOptions::default()).await;
            }
            (2, Some(name)) => {
                for (kind, name, ns) in
                    [(SERVICE_ACCOUNT, "default", &name), (CONFIG_MAP, ROOT_CA, &name)]
                {
                    if let Some(object) = world.object(kind, ns, name) {
                        world.delete(&object, DeleteOptions::background()).await;
                    }
                }
            }
            (3, Some(name)) => {
                let forge = |v: &mut Value| v["data"]["ca.crt"] = "forged".into();
                world.change(CONFIG_MAP, &name, ROOT_CA, Subresource::Main, forge).await;
            }
            _ => {
                let seconds = if rng.random_bool(0.5) { 30 } else { 86_400 };
                self.token(world, seconds).await;
            }
        }
    }

    fn settled(&self, world: &World) -> Result<(), String> {
        for name in &self.stay {
            let has = |kind, object: &str| world.object(kind, name, object);
            let account = has(SERVICE_ACCOUNT, "default").is_some();
            let ca = has(CONFIG_MAP, ROOT_CA).is_some_and(|m| m.value()["data"]["ca.crt"] == "CA");
            let things = [(CONFIG_MAP, "x"), (SECRET, "x"), (POD, "p"), (SERVICE, "s")];
            let all = things.into_iter().all(|(kind, object)| has(kind, object).is_some());
            if !account || !ca || !all {
                return Err(format!("{name}: account {account}, CA {ca}, its own {all}"));
            }
        }
        for name in &self.gone {
            if world.object(NAMESPACE, "", name).is_some() {
                return Err(format!("{name} is not gone"));
            }
            for kind in [CONFIG_MAP, SECRET, POD, SERVICE, SERVICE_ACCOUNT, EVENT] {
                if let Some(left) = world.objects(kind, Some(name)).first() {
                    return Err(format!("{} outlived its namespace", left.key()));
                }
            }
        }
        for (name, lives) in &self.tokens {
            if world.object(SECRET, "kube-system", name).is_some() != *lives {
                return Err(format!("token {name} lives: {}", !lives));
            }
        }
        Ok(())
    }

    fn check(&self, _world: &World, _history: &History) -> Result<(), String> {
        Ok(())
    }
}

#[test]
fn namespaces_have_what_they_must_and_leave_nothing() {
    storm(Namespaces::default);
}
