//! What users do meanwhile, and a ledger of what was acknowledged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use serde_json::{Value, json};

use super::api::{Api, STEP, pod};
use crate::support::eventually;

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";

/// What was acknowledged.
#[derive(Default)]
pub struct Ledger {
    rounds: u32,
    /// Name and value.
    maps: BTreeMap<String, String>,
    pods: BTreeSet<String>,
    services: BTreeSet<String>,
    size: i64,
}

/// Creates, changes and deletes until told to stop.
pub fn run(api: &Api, stop: &AtomicBool) -> Ledger {
    let mut ledger = Ledger { size: 1, ..Ledger::default() };
    let set = json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "churn"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "churn"}},
            "template": {"metadata": {"labels": {"app": "churn"}}, "spec": pod(&["sleep", "3600"])}}});
    api.create(SETS, &set);
    while !stop.load(Ordering::Relaxed) {
        ledger.round(api);
        // A load that leaves room for the others on two cores.
        std::thread::sleep(Duration::from_millis(20));
    }
    ledger
}

impl Ledger {
    fn round(&mut self, api: &Api) {
        self.rounds += 1;
        let n = self.rounds;
        let (map, value) = (format!("load-{n}"), format!("v{n}"));
        let object = json!({"metadata": {"name": map}, "data": {"v": "first"}});
        api.create(MAPS, &object);
        api.insist("PATCH", &format!("{MAPS}/{map}"), &json!({"data": {"v": value}}), "");
        self.maps.insert(map, value);
        if let Some(old) = n.checked_sub(20).map(|n| format!("load-{n}"))
            && self.maps.contains_key(&old)
        {
            api.delete(&format!("{MAPS}/{old}"));
            self.maps.remove(&old);
        }
        match n % 4 {
            0 => self.come_and_go(api, n),
            2 => {
                self.size = i64::from(n / 4 % 4);
                let size = json!({"spec": {"replicas": self.size}});
                api.insist("PATCH", &format!("{SETS}/churn"), &size, "");
            }
            _ => {}
        }
    }

    fn come_and_go(&mut self, api: &Api, n: u32) {
        let name = format!("load-{n}");
        let mut spec = pod(&["true"]);
        spec["restartPolicy"] = "Never".into();
        api.create(
            PODS,
            &json!({"metadata": {"name": name, "labels": {"load": "yes"}}, "spec": spec}),
        );
        self.pods.insert(name.clone());
        let ports = json!([{"port": 80}]);
        let spec = json!({"selector": {"app": "web"}, "ports": ports});
        api.create(SERVICES, &json!({"metadata": {"name": name}, "spec": spec}));
        self.services.insert(name);
        if let Some(old) = n.checked_sub(12).map(|n| format!("load-{n}"))
            && self.services.remove(&old)
        {
            api.delete(&format!("{SERVICES}/{old}"));
            api.delete(&format!("{PODS}/{old}?gracePeriodSeconds=0"));
            self.pods.remove(&old);
        }
    }

    /// Everything acknowledged is there and was acted on, and nothing else.
    pub fn verify(&self, api: &Api) {
        let names = |path: &str, prefix: &str| -> BTreeSet<String> {
            let items = api.list(path).into_iter();
            let names = items.filter_map(|o| o["metadata"]["name"].as_str().map(str::to_owned));
            names.filter(|n| n.starts_with(prefix)).collect()
        };
        for member in 0..api.cluster.members.len() {
            let list = eventually("maps", STEP, || api.json_at(member, MAPS));
            let there: BTreeMap<String, String> = list["items"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|o| o["data"]["v"].is_string())
                .map(|o| (text(&o["metadata"]["name"]), text(&o["data"]["v"])))
                .collect();
            assert_eq!(there, self.maps, "ConfigMaps as member {member} has them");
        }
        assert_eq!(names(SERVICES, "load-"), self.services);
        eventually("pods were run, or are gone", STEP, || {
            let pods = api.list(&format!("{PODS}?labelSelector=load%3Dyes"));
            let there: BTreeSet<_> = pods.iter().map(|p| text(&p["metadata"]["name"])).collect();
            let waits = pods.iter().find(|p| p["status"]["phase"] != "Succeeded");
            match waits {
                Some(pod) => Err(format!("{} {}", pod["metadata"]["name"], pod["status"])),
                None if there == self.pods => Ok(()),
                None => Err(format!("{there:?}, not {:?}", self.pods)),
            }
        });
        eventually("the ReplicaSet has what it was asked for", STEP, || {
            let pods = api.list(&format!("{PODS}?labelSelector=app%3Dchurn"));
            let phases: Vec<_> = pods.iter().map(|p| p["status"]["phase"].clone()).collect();
            let running = phases.iter().filter(|p| **p == "Running").count();
            let wanted = usize::try_from(self.size).expect("size");
            let right = running == wanted && phases.len() == wanted;
            if right { Ok(()) } else { Err(format!("{phases:?}, not {wanted}")) }
        });
        eventually("services have their endpoints", STEP, || {
            let slices = api.list(SLICES);
            let mut ready: BTreeMap<String, usize> = BTreeMap::new();
            for slice in &slices {
                let service = text(&slice["metadata"]["labels"]["kubernetes.io/service-name"]);
                let count = slice["endpoints"].as_array().map_or(0, Vec::len);
                *ready.entry(service).or_default() += count;
            }
            ready.retain(|name, _| name.starts_with("load-"));
            let wanted: BTreeMap<_, _> = self.services.iter().map(|n| (n.clone(), 4)).collect();
            if ready == wanted { Ok(()) } else { Err(format!("{ready:?}")) }
        });
    }
}

impl std::fmt::Display for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rounds of load", self.rounds)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
