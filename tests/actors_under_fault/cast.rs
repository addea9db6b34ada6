//! The actors of all machines: panics, a flood, and how they are afterwards.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::api::{Api, STEP};
use crate::support::eventually;

/// One actor in so many panics twice in a row. More would be more restarts of control actors in a
/// minute than their supervisor allows.
const TWICE: usize = 6;

/// A machine, and the member that is asked about it.
#[derive(Debug, Clone)]
struct Place {
    member: usize,
    name: String,
}

impl Place {
    fn url(&self, rest: &str) -> String {
        format!("/debug/actors{rest}?node={}", self.name)
    }
}

/// Every machine, asked about at another one.
fn places(api: &Api) -> Vec<Place> {
    let machines = api.cluster.members.iter().chain(&api.cluster.nodes).enumerate();
    let of = |(number, machine): (usize, &crate::support::cluster::Machine)| Place {
        member: (number + 1) % api.cluster.members.len(),
        name: machine.host.name.clone(),
    };
    machines.map(of).collect()
}

/// Actors by path. Those of pods that come and go are left out: the next moment they may be gone.
fn actors(api: &Api, place: &Place) -> BTreeMap<String, Value> {
    let tree = eventually("the tree", STEP, || api.json_at(place.member, &place.url("")));
    let mut found = BTreeMap::new();
    collect(&tree, &mut found);
    found.retain(|path, _| !path.contains("/load-") && !path.contains("/churn-"));
    found
}

fn collect(value: &Value, found: &mut BTreeMap<String, Value>) {
    if value.get("incarnation").is_some()
        && let Some(path) = value["path"].as_str()
    {
        found.insert(path.to_owned(), value.clone());
    }
    match value {
        Value::Object(map) => map.values().for_each(|v| collect(v, found)),
        Value::Array(items) => items.iter().for_each(|v| collect(v, found)),
        _ => {}
    }
}

/// Every actor of every machine panics, some of them twice.
pub fn panic_all(api: &Api) {
    let mut panics = 0;
    for place in places(api) {
        let cast = actors(api, &place);
        assert!(!cast.is_empty(), "{place:?} shows no actors");
        for (number, path) in cast.keys().enumerate() {
            let times = if number % TWICE == 0 { 2 } else { 1 };
            for _ in 0..times {
                panic_one(api, &place, path);
                panics += 1;
            }
        }
        println!("{place:?}: {} actors", cast.len());
    }
    println!("{panics} panics");
}

/// The panic is ordered, and the restart can be seen with its panic. An actor whose supervisor fell
/// before it may be away for a moment.
fn panic_one(api: &Api, place: &Place, path: &str) {
    let life = |value: &Value| value["incarnation"].as_u64();
    let show = || api.json_at(place.member, &place.url(path));
    let before = eventually(&format!("{path} of {place:?} takes the order"), STEP, || {
        let before = life(&show()?);
        let order = place.url(&format!("{path}/panic"));
        api.at(place.member, "POST", &order, "{}").map(|_| before)
    });
    eventually(&format!("{path} of {place:?} was restarted"), STEP, || {
        let now = show()?;
        let records = now["panics"].to_string();
        if life(&now) != before && records.contains("panic injected") {
            Ok(())
        } else {
            let (state, now) = (&now["state"], life(&now));
            Err(format!("{state}, life {now:?}, before {before:?}, panics {records}"))
        }
    });
}

/// An actor that hears of every change does not read for a while, and much changes.
pub fn flood(api: &Api) {
    const MAPS: &str = "/api/v1/namespaces/flood/configmaps";
    const CHANGES: usize = 600;
    api.create("/api/v1/namespaces", &json!({"metadata": {"name": "flood"}}));
    let place = places(api)
        .into_iter()
        .find(|place| actors(api, place).keys().any(|path| path.ends_with("/garbage-collector")))
        .expect("a leader");
    let path = actors(api, &place)
        .into_keys()
        .find(|path| path.ends_with("/garbage-collector"))
        .expect("garbage collector");
    api.create(MAPS, &json!({"metadata": {"name": "owner"}}));
    let owner = eventually("owner", STEP, || api.json_at(0, &format!("{MAPS}/owner")));
    let reference = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner",
        "uid": owner["metadata"]["uid"]}]);
    let order = |order: &str| {
        let url = place.url(&format!("{path}/{order}"));
        eventually(order, STEP, || api.at(place.member, "POST", &url, "{}"));
    };
    order("pause");
    std::thread::scope(|scope| {
        for lane in 0..6 {
            let reference = &reference;
            scope.spawn(move || {
                for n in 0..CHANGES / 6 {
                    let name = format!("m{lane}-{n}");
                    let meta = json!({"name": name, "ownerReferences": reference});
                    api.create(MAPS, &json!({"metadata": meta}));
                }
            });
        }
    });
    let mailbox = actors(api, &place)[&path]["mailbox"].clone();
    println!("mailbox of a paused actor after {CHANGES} changes: {mailbox}");
    assert!(mailbox["depth"].as_u64() > Some(0), "it was paused: {mailbox}");
    assert!(mailbox["depth"].as_u64() <= mailbox["limit"].as_u64(), "beyond its limit: {mailbox}");
    api.delete(&format!("{MAPS}/owner"));
    order("resume");
    eventually("what was owned is collected", STEP * 2, || {
        let left = api.list(MAPS).len();
        // The namespace has a ConfigMap of its own.
        if left == 1 { Ok(()) } else { Err(format!("{left} left")) }
    });
}

/// Actors on the way of every pod read their mail only now and then, as slow handlers would.
pub fn slow_down(api: &Api) {
    let slow = ["/scheduler", "/replicaset", "/endpointslice"];
    let find = || {
        places(api).into_iter().find_map(|place| {
            let cast = actors(api, &place);
            let path = |name: &&str| cast.keys().find(|path| path.ends_with(*name)).cloned();
            let found: Vec<String> = slow.iter().filter_map(path).collect();
            (found.len() == slow.len()).then_some((place, found))
        })
    };
    let (place, paths) = find().expect("a leader");
    for _ in 0..12 {
        for order in ["pause", "resume"] {
            for path in &paths {
                let url = place.url(&format!("{path}/{order}"));
                eventually(order, STEP, || api.at(place.member, "POST", &url, "{}"));
            }
            if order == "pause" {
                std::thread::sleep(std::time::Duration::from_millis(250));
            }
        }
    }
}

/// All mail is read, and nobody waits for a restart.
pub fn rests(api: &Api) {
    for place in places(api) {
        eventually(&format!("the actors of {place:?} rest"), STEP * 2, || {
            let cast = actors(api, &place);
            // Mail comes and goes: what stays is found again at the next look.
            let busy = cast.iter().find(|(_, actor)| {
                actor["mailbox"]["depth"].as_u64() != Some(0)
                    || actor["state"].as_str().is_some_and(|s| s.eq_ignore_ascii_case("backingOff"))
            });
            busy.map_or(Ok(()), |(path, actor)| {
                Err(format!("{path}: {} {}", actor["state"], actor["mailbox"]))
            })
        });
    }
}
