//! Laws of server-side apply and strategic merge, on random objects.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use serde_json::{Map, Value, json};

use super::{compare::compare, *};
use crate::{kind::DEPLOYMENT, patch::strategic_merge, schema};

/// Random objects each law is tried on.
const ROUNDS: u64 = 400;

fn writer(manager: &'static str) -> Writer<'static> {
    Writer { kind: DEPLOYMENT, manager, subresource: "", now: "2024-01-02T03:04:05Z", schema: None }
}

fn pick(rng: &mut StdRng, list: &[&str]) -> String {
    list[rng.random_range(0..list.len())].to_owned()
}

/// A map of some of the keys, with one of two values each.
fn map(rng: &mut StdRng, keys: &[&str]) -> Value {
    let mut out = Map::new();
    for key in keys {
        if rng.random_bool(0.4) {
            out.insert((*key).to_owned(), pick(rng, &["1", "2"]).into());
        }
    }
    Value::Object(out)
}

fn put(rng: &mut StdRng, object: &mut Value, name: &str, value: Value) {
    let empty =
        value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty);
    if !empty && rng.random_bool(0.5) {
        object[name] = value;
    }
}

fn items(
    rng: &mut StdRng,
    keys: &[&str],
    mut make: impl FnMut(&mut StdRng, &str) -> Value,
) -> Value {
    let mut out: Vec<Value> = Vec::new();
    for key in keys {
        if rng.random_bool(0.4) {
            let item = make(rng, key);
            out.insert(rng.random_range(0..=out.len()), item);
        }
    }
    out.into()
}

fn container(rng: &mut StdRng, name: &str) -> Value {
    let mut out = json!({"name": name});
    let image = pick(rng, &["i:1", "i:2"]);
    put(rng, &mut out, "image", image.into());
    let args = json!([pick(rng, &["x", "y"]), pick(rng, &["x", "y"])]);
    put(rng, &mut out, "args", args);
    let env = items(
        rng,
        &["A", "B", "C"],
        |rng, name| json!({"name": name, "value": pick(rng, &["1", "2"])}),
    );
    put(rng, &mut out, "env", env);
    let ports = items(
        rng,
        &["TCP", "UDP"],
        |rng, protocol| json!({"containerPort": 80, "protocol": protocol, "name": pick(rng, &["a", "b"])}),
    );
    put(rng, &mut out, "ports", ports);
    let limits = json!({"limits": map(rng, &["cpu", "memory"])});
    put(rng, &mut out, "resources", limits);
    out
}

fn object(rng: &mut StdRng) -> Value {
    let mut meta = json!({"name": "d", "namespace": "n"});
    let labels = map(rng, &["a", "b", "c"]);
    put(rng, &mut meta, "labels", labels);
    let finalizers = items(rng, &["x/a", "x/b"], |_, name| name.into());
    put(rng, &mut meta, "finalizers", finalizers);
    let mut pod = json!({});
    let containers = items(rng, &["a", "b", "c"], container);
    put(rng, &mut pod, "containers", containers);
    let selector = map(rng, &["k"]);
    put(rng, &mut pod, "nodeSelector", selector);
    let hosts = pick(rng, &["x", "y"]);
    put(rng, &mut pod, "hostname", hosts.into());
    let mut spec = json!({});
    let replicas = rng.random_range(1..3);
    put(rng, &mut spec, "replicas", replicas.into());
    put(rng, &mut spec, "paused", true.into());
    put(rng, &mut spec, "template", json!({"spec": pod}));
    let mut out = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta});
    put(rng, &mut out, "spec", spec);
    out
}

/// What is left when nulls and what holds nothing is dropped: both read the same from outside.
fn tidy(value: &Value) -> Value {
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name.clone(), tidy(value)))
            .filter(|(_, v)| !v.is_null() && v.as_object().is_none_or(|m| !m.is_empty()))
            .collect(),
        Value::Array(items) => items.iter().map(tidy).collect(),
        other => other.clone(),
    }
}

/// Whether both hold the same, the order of keyed items aside.
fn same(a: &Value, b: &Value) -> bool {
    compare(topology::root(DEPLOYMENT, None), Some(&tidy(a)), Some(&tidy(b))).is_empty()
}

fn each(mut law: impl FnMut(u64, &mut StdRng)) {
    for seed in 0..ROUNDS {
        law(seed, &mut StdRng::seed_from_u64(seed));
    }
}

/// An object made by somebody else, and its owners.
fn made(rng: &mut StdRng) -> Applied {
    let object = object(rng);
    let managed = writer("maker").create(&object, &Owners::Live);
    Applied { object, managed }
}

fn apply(
    live: &Applied,
    manager: &'static str,
    config: &Value,
    force: bool,
) -> Result<Applied, Status> {
    let mut done =
        writer(manager).apply(Some(&live.object), live.managed.as_deref(), config, force)?;
    done.object = tidy(&done.object);
    Ok(done)
}

fn name_only() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "namespace": "n"}})
}

#[test]
fn a_new_object_is_owned_as_if_compared_with_nothing() {
    each(|seed, rng| {
        let object = object(rng);
        let w = writer("maker");
        let slow = w.after_update(Managers::default(), &json!({}), &object).write();
        assert_eq!(w.create(&object, &Owners::Live), slow, "seed {seed}: {object}");
    });
}

#[test]
fn applying_twice_is_applying_once_and_the_configured_values_are_there() {
    each(|seed, rng| {
        let (live, config) = (made(rng), object(rng));
        let once = apply(&live, "me", &config, true).unwrap();
        let twice = apply(&once, "me", &config, false).unwrap();
        assert_eq!(twice, once, "seed {seed}");
        let root = topology::root(DEPLOYMENT, None);
        let laid = merging::merge(root, Some(&once.object), Some(&config)).unwrap();
        assert!(same(&laid, &once.object), "seed {seed}: {config} is not in {}", once.object);
    });
}

#[test]
fn what_others_own_is_kept_and_comes_back_whole() {
    let mut tried = 0;
    each(|seed, rng| {
        let (live, config) = (made(rng), object(rng));
        let Ok(done) = apply(&live, "me", &config, false) else { return };
        tried += 1;
        let left = apply(&done, "me", &name_only(), false).unwrap();
        assert!(
            same(&left.object, &live.object),
            "seed {seed}: {} was {}, applied {config}",
            left.object,
            live.object
        );
        assert!(same_owners(left.managed.as_deref(), live.managed.as_deref()), "seed {seed}");
    });
    assert!(tried > 20, "{tried} objects without conflict");
}

#[test]
fn the_order_of_two_appliers_that_do_not_meet_does_not_matter() {
    let mut tried = 0;
    each(|seed, rng| {
        let (live, a, b) = (made(rng), object(rng), object(rng));
        let in_order = |first: (&'static str, &Value), second: (&'static str, &Value)| {
            let one = apply(&live, first.0, first.1, false).ok()?;
            apply(&one, second.0, second.1, false).ok()
        };
        let (ab, ba) = (in_order(("a", &a), ("b", &b)), in_order(("b", &b), ("a", &a)));
        assert_eq!(ab.is_some(), ba.is_some(), "seed {seed}");
        let (Some(ab), Some(ba)) = (ab, ba) else { return };
        tried += 1;
        assert!(same(&ab.object, &ba.object), "seed {seed}: {} {}", ab.object, ba.object);
        assert!(same_owners(ab.managed.as_deref(), ba.managed.as_deref()), "seed {seed}");
    });
    assert!(tried > 5, "{tried} pairs without conflict");
}

/// The strategic merge patch from one object to another, as a client computes it.
fn difference(
    message: Option<&str>,
    from: &Map<String, Value>,
    to: &Map<String, Value>,
) -> Map<String, Value> {
    let mut patch = Map::new();
    for name in from.keys().filter(|name| !to.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    for (name, wanted) in to {
        let had = from.get(name);
        if had == Some(wanted) {
            continue;
        }
        let info = message.and_then(|m| schema::field(m, name));
        let inner = info.and_then(|i| i.message);
        match (had, wanted, info) {
            (Some(Value::Object(had)), Value::Object(wanted), _) => {
                patch.insert(name.clone(), difference(inner, had, wanted).into());
            }
            (Some(Value::Array(had)), Value::Array(wanted), Some(info)) if info.merge => {
                list_difference(&mut patch, name, info, had, wanted);
            }
            _ => {
                patch.insert(name.clone(), wanted.clone());
            }
        }
    }
    patch
}

fn list_difference(
    patch: &mut Map<String, Value>,
    name: &str,
    info: schema::FieldInfo,
    had: &[Value],
    wanted: &[Value],
) {
    let Some(key) = info.merge_key else {
        let gone: Vec<_> = had.iter().filter(|v| !wanted.contains(v)).cloned().collect();
        patch.insert(format!("$deleteFromPrimitiveList/{name}"), gone.into());
        patch.insert(format!("$setElementOrder/{name}"), wanted.to_vec().into());
        patch.insert(name.to_owned(), wanted.to_vec().into());
        return;
    };
    let find = |list: &[Value], item: &Value| list.iter().find(|v| v[key] == item[key]).cloned();
    let mut changes = Vec::new();
    for item in had.iter().filter(|item| find(wanted, item).is_none()) {
        changes.push(json!({key: item[key], "$patch": "delete"}));
    }
    for item in wanted {
        let before = find(had, item).unwrap_or_else(|| json!({}));
        let (before, after) = (before.as_object().unwrap(), item.as_object().unwrap());
        let mut change = difference(info.message, before, after);
        change.insert(key.to_owned(), item[key].clone());
        changes.push(change.into());
    }
    let order: Vec<_> = wanted.iter().map(|item| json!({key: item[key]})).collect();
    patch.insert(format!("$setElementOrder/{name}"), order.into());
    patch.insert(name.to_owned(), changes.into());
}

/// Ports of one number have one merge key whatever their protocol, so objects here have one port.
fn one_port(mut object: Value) -> Value {
    let containers = object.pointer_mut("/spec/template/spec/containers");
    for container in containers.and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(ports) = container.get_mut("ports").and_then(Value::as_array_mut) {
            ports.truncate(1);
        }
    }
    object
}

#[test]
fn a_strategic_difference_leads_to_its_target() {
    each(|seed, rng| {
        let (from, to) = (one_port(object(rng)), one_port(object(rng)));
        let patch = difference(
            Some(DEPLOYMENT.message),
            from.as_object().unwrap(),
            to.as_object().unwrap(),
        );
        let patch = Value::Object(patch);
        let got = strategic_merge(DEPLOYMENT.message, &from, &patch).unwrap();
        assert_eq!(got, to, "seed {seed}: {from} with {patch}");
        let twice = strategic_merge(DEPLOYMENT.message, &got, &patch).unwrap();
        assert_eq!(twice, to, "seed {seed}: a second time");
    });
}
