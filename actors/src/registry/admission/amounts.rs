//! Amounts of resources: what containers and whole pods request and may use (k8s
//! `k8s.io/component-helpers/resource/helpers.go`, `k8s.io/apiserver/pkg/quota/v1/resources.go`).

use std::collections::BTreeMap;

use kabuki_api::quantity::Quantity;
use serde_json::{Map, Value};

use super::super::object::text;

/// Amounts by resource, ordered by name.
pub(crate) type Amounts = BTreeMap<String, Quantity>;

/// The amounts of a resource list; what is no amount is left out.
pub(crate) fn read(list: &Value) -> Amounts {
    list.as_object().into_iter().flatten().filter_map(|(k, v)| Some((k.clone(), one(v)?))).collect()
}

/// One amount.
pub(crate) fn one(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.as_str()?).ok()
}

/// A resource list as the API writes it.
pub(crate) fn write(amounts: &Amounts) -> Value {
    let pairs = amounts.iter().map(|(name, amount)| (name.clone(), amount.to_string().into()));
    Value::Object(pairs.collect::<Map<String, Value>>())
}

/// Adds `more` to `sum`.
pub(crate) fn add(sum: &mut Amounts, more: &Amounts) {
    for (name, amount) in more {
        let total = sum.get(name).map_or(*amount, |had| *had + *amount);
        sum.insert(name.clone(), total);
    }
}

fn raise(most: &mut Amounts, other: &Amounts) {
    for (name, amount) in other {
        if most.get(name).is_none_or(|had| had < amount) {
            most.insert(name.clone(), *amount);
        }
    }
}

/// The items of a list, none where there is no list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The containers of a pod's list.
pub(crate) fn containers<'a>(pod: &'a Value, of: &str) -> &'a [Value] {
    list(&pod["spec"][of])
}

/// Whether the pod as a whole says what it requests or may use.
pub(crate) fn at_pod_level(pod: &Value) -> bool {
    ["requests", "limits"].iter().any(|list| {
        let own = pod["spec"]["resources"][*list].as_object();
        own.is_some_and(|own| own.keys().any(|name| counts_for_pods(name)))
    })
}

/// Resources a pod can state as a whole.
fn counts_for_pods(name: &str) -> bool {
    matches!(name, "cpu" | "memory") || name.starts_with("hugepages-")
}

/// What a pod requests (`list` is `requests`) or may use (`limits`) without its overhead: all its
/// containers and sidecars together, or what its init containers need meanwhile, if that is more.
pub(crate) fn of_pod(pod: &Value, list: &str) -> Amounts {
    let own = |container: &Value| read(&container["resources"][list]);
    let mut total = Amounts::new();
    for container in containers(pod, "containers") {
        add(&mut total, &own(container));
    }
    let (mut sidecars, mut starting) = (Amounts::new(), Amounts::new());
    for container in containers(pod, "initContainers") {
        let mut needs = own(container);
        if text(container, "restartPolicy") == "Always" {
            add(&mut total, &needs);
            add(&mut sidecars, &needs);
            raise(&mut starting, &sidecars);
        } else {
            add(&mut needs, &sidecars);
            raise(&mut starting, &needs);
        }
    }
    raise(&mut total, &starting);
    for (name, amount) in read(&pod["spec"]["resources"][list]) {
        if counts_for_pods(&name) {
            total.insert(name, amount);
        }
    }
    total
}

/// [`of_pod`] with the overhead of its runtime class, which raises only limits there are.
pub(crate) fn of_pod_with_overhead(pod: &Value, list: &str) -> Amounts {
    let mut total = of_pod(pod, list);
    let mut overhead = read(&pod["spec"]["overhead"]);
    if list == "limits" {
        overhead.retain(|name, _| total.contains_key(name));
    }
    add(&mut total, &overhead);
    total
}

/// The text of several errors (`utilerrors.NewAggregate`): each once, in brackets unless alone.
pub(crate) fn aggregate(errors: &[String]) -> String {
    let mut said: Vec<&str> = Vec::new();
    for error in errors {
        if !said.contains(&error.as_str()) {
            said.push(error);
        }
    }
    match said.as_slice() {
        [one] => (*one).to_owned(),
        all => format!("[{}]", all.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_needs_its_containers_or_what_starts_it() {
        let of = |cpu: &str| json!({"resources": {"requests": {"cpu": cpu}}});
        let sidecar = |cpu: &str| {
            let mut own = of(cpu);
            own["restartPolicy"] = "Always".into();
            own
        };
        for (init, want) in [
            (json!([]), "3"),
            (json!([of("2")]), "3"),
            (json!([of("5")]), "5"),
            (json!([sidecar("1"), of("5")]), "6"),
            (json!([of("5"), sidecar("1")]), "5"),
            (json!([sidecar("1"), sidecar("1")]), "5"),
        ] {
            let pod = json!({"spec": {"containers": [of("1"), of("2")], "initContainers": init,
                "overhead": {"cpu": "100m"}}});
            assert_eq!(of_pod(&pod, "requests")["cpu"].to_string(), want, "{init}");
            assert!(of_pod_with_overhead(&pod, "limits").is_empty());
        }
        let mut pod = json!({"spec": {"containers": [of("1")], "overhead": {"cpu": "100m"}}});
        assert_eq!(of_pod_with_overhead(&pod, "requests")["cpu"].to_string(), "1100m");
        pod["spec"]["resources"] = json!({"requests": {"cpu": "4"}});
        assert_eq!(of_pod(&pod, "requests")["cpu"].to_string(), "4");
    }

    #[test]
    fn errors_are_said_once() {
        let texts =
            |all: &[&str]| aggregate(&all.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>());
        assert_eq!(texts(&["a"]), "a");
        assert_eq!(texts(&["a", "b", "a"]), "[a, b]");
    }
}
