//! What must be as before after all bad input: readiness, writes, objects, memory, actors, tokens.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::case::Door;

/// How much larger the process may have become, KiB. A body of 3 MiB as a tree takes some tens of
/// MiB while it is read, and the allocator keeps pages for a while.
const GROWTH_MAX_KIB: u64 = 200 * 1024;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";
/// Lists whose objects no case may change.
const LISTS: [&str; 4] = [
    "/api/v1/namespaces",
    "/api/v1/namespaces/default/configmaps",
    "/api/v1/services",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
];

/// The cluster before the cases.
pub struct Before {
    rss_kib: u64,
    objects: BTreeMap<String, String>,
}

impl Before {
    /// Looks, after making an object that must survive.
    pub fn look(door: &Door<'_>) -> Self {
        let keep = json!({"metadata": {"name": "keep"}, "data": {"k": "v"}});
        let made = door.post(MAPS, &keep);
        assert_eq!(made.code, 201, "{}", made.text);
        Self { rss_kib: rss_kib(door), objects: objects(door) }
    }

    /// What is not as it should be.
    pub fn harm(&self, door: &Door<'_>) -> Vec<String> {
        let mut harm = Vec::new();
        let ready = door.get("/readyz");
        if (ready.code, ready.text.as_str()) != (200, "ok") {
            harm.push(format!("readyz: {} {}", ready.code, ready.text));
        }
        let made = door.post(MAPS, &json!({"metadata": {"name": "afterwards"}}));
        if made.code != 201 {
            harm.push(format!("a normal write: {} {}", made.code, made.text));
        }
        let now = objects(door);
        for (name, version) in &self.objects {
            if now.get(name) != Some(version) {
                harm.push(format!("{name} was {version}, is {:?}", now.get(name)));
            }
        }
        let rss = rss_kib(door);
        println!("resident memory: {} KiB before, {rss} KiB after", self.rss_kib);
        if rss > self.rss_kib + GROWTH_MAX_KIB {
            harm.push(format!("memory grew from {} to {rss} KiB", self.rss_kib));
        }
        let log = door.member().process.tail(usize::MAX);
        let alarming = |l: &&str| l.contains("panicked") || l.contains(" ERROR ");
        harm.extend(log.lines().filter(alarming).map(String::from));
        let actors = door.get("/debug/actors").json();
        panics(&actors, &mut harm);
        harm
    }
}

fn objects(door: &Door<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for path in LISTS {
        for item in door.get(path).json()["items"].as_array().into_iter().flatten() {
            let meta = &item["metadata"];
            let name = format!("{path} {} {}", meta["namespace"], meta["name"]);
            found.insert(name, meta["resourceVersion"].to_string());
        }
    }
    assert!(found.len() > 10, "{found:?}");
    found
}

fn rss_kib(door: &Door<'_>) -> u64 {
    // The process is nsenter's child or nsenter itself, which executes in place.
    let path = format!("/proc/{}/status", door.member().process.pid());
    let text = std::fs::read_to_string(path).expect("status");
    let line = text.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).expect("number")
}

/// Every actor that was restarted or panicked.
fn panics(value: &Value, harm: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                let restarted = key == "restarts" && inner.as_u64().is_some_and(|n| n > 0);
                let panicked = key == "panics" && inner.as_array().is_some_and(|p| !p.is_empty());
                if restarted || panicked {
                    harm.push(format!("{}: {key} {inner}", map.get("path").unwrap_or(value)));
                }
                panics(inner, harm);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| panics(item, harm)),
        _ => {}
    }
}
