//! RuntimeClass: pods get the overhead and the nodes of their class (k8s
//! `plugin/pkg/admission/runtimeclass/admission.go`, `pkg/util/tolerations`).

use std::sync::Arc;

use kabuki_api::{
    kind::{POD, RUNTIME_CLASS},
    status::Status,
};
use serde_json::{Value, json};

use super::{
    super::{
        object::{Object, text},
        view::View,
    },
    amounts::{list, read},
};

const OTHER_OVERHEAD: &str =
    "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead";

fn refuse(pod: &Value, message: &str) -> Status {
    Status::forbidden(POD, text(&pod["metadata"], "name"), message)
}

/// The class of a pod that names one.
fn class(view: &dyn View, pod: &Value) -> Result<Option<Arc<Object>>, Status> {
    let Some(name) = pod["spec"]["runtimeClassName"].as_str() else { return Ok(None) };
    match view.get(RUNTIME_CLASS, "", name) {
        Some(class) => Ok(Some(class)),
        None => Err(refuse(pod, &format!("pod rejected: RuntimeClass {name:?} not found"))),
    }
}

/// Gives a new pod what its class says.
pub(super) fn mutate(view: &dyn View, pod: &mut Value) -> Result<(), Status> {
    let Some(class) = class(view, pod)? else { return Ok(()) };
    let overhead = &class.value()["overhead"];
    if overhead.is_object() {
        let fixed = &overhead["podFixed"];
        let own = read(&pod["spec"]["overhead"]);
        if !own.is_empty() && own != read(fixed) {
            return Err(refuse(pod, OTHER_OVERHEAD));
        }
        if fixed.is_object() {
            pod["spec"]["overhead"] = fixed.clone();
        }
    }
    let scheduling = &class.value()["scheduling"];
    if scheduling.is_object() {
        place(pod, scheduling)?;
    }
    Ok(())
}

fn place(pod: &mut Value, scheduling: &Value) -> Result<(), Status> {
    for (key, wanted) in scheduling["nodeSelector"].as_object().into_iter().flatten() {
        let own = &pod["spec"]["nodeSelector"][key.as_str()];
        if own.is_string() && own != wanted {
            let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let message = format!(
                "conflict: runtimeClass.scheduling.nodeSelector[{key}] = {}; pod.spec.nodeSelector[{key}] = {}",
                shown(wanted),
                shown(own)
            );
            return Err(refuse(pod, &message));
        }
        let selector = &mut pod["spec"]["nodeSelector"];
        if !selector.is_object() {
            *selector = json!({});
        }
        selector[key.as_str()] = wanted.clone();
    }
    let more = list(&scheduling["tolerations"]);
    if !more.is_empty() {
        let merged = merge(list(&pod["spec"]["tolerations"]), more);
        pod["spec"]["tolerations"] = merged.into();
    }
    Ok(())
}

/// All tolerations, without those others include.
fn merge(first: &[Value], second: &[Value]) -> Vec<Value> {
    let all: Vec<&Value> = first.iter().chain(second).collect();
    let mut merged: Vec<Value> = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let later = all.iter().skip(i + 1);
        let redundant = merged.iter().any(|other| includes(other, one))
            || later.into_iter().any(|other| other != one && includes(other, one));
        if !redundant {
            merged.push((*one).clone());
        }
    }
    merged
}

/// Whether `wide` tolerates all that `one` does.
fn includes(wide: &Value, one: &Value) -> bool {
    if wide == one {
        return true;
    }
    let of = |toleration: &Value, field: &str| text(toleration, field).to_owned();
    let any_key = of(wide, "key").is_empty() && of(wide, "operator") == "Exists";
    if of(one, "key") != of(wide, "key") && !any_key {
        return false;
    }
    if of(one, "effect") != of(wide, "effect") && !of(wide, "effect").is_empty() {
        return false;
    }
    if of(wide, "effect") == "NoExecute"
        && let Some(most) = wide["tolerationSeconds"].as_i64()
        && one["tolerationSeconds"].as_i64().is_none_or(|own| own > most)
    {
        return false;
    }
    match of(wide, "operator").as_str() {
        "Exists" => true,
        "Equal" | "" => of(one, "operator") == "Equal" && of(one, "value") == of(wide, "value"),
        _ => false,
    }
}

/// Refuses an overhead that is not the class's.
pub(super) fn validate(view: &dyn View, pod: &Value) -> Result<(), Status> {
    let own = read(&pod["spec"]["overhead"]);
    if own.is_empty() {
        return Ok(());
    }
    let class = class(view, pod)?;
    match class.as_ref().map(|class| &class.value()["overhead"]).filter(|o| o.is_object()) {
        Some(overhead) if read(&overhead["podFixed"]) == own => Ok(()),
        Some(_) => Err(refuse(pod, OTHER_OVERHEAD)),
        None => Err(refuse(
            pod,
            "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    fn view() -> MemView {
        MemView::new().with(
            RUNTIME_CLASS,
            json!({"metadata": {"name": "vm"}, "handler": "vm", "overhead": {"podFixed": {"cpu": "100m"}},
                "scheduling": {"nodeSelector": {"vm": "yes"},
                    "tolerations": [{"key": "vm", "operator": "Exists"}]}}),
        )
    }

    fn said(spec: Value) -> Result<Value, String> {
        let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
        mutate(&view(), &mut pod)
            .and_then(|()| validate(&view(), &pod))
            .map(|()| pod["spec"].clone())
            .map_err(|status| status.message.clone())
    }

    #[test]
    fn a_class_gives_overhead_and_place() {
        let spec = said(json!({"runtimeClassName": "vm", "nodeSelector": {"a": "b"},
            "tolerations": [{"key": "vm", "operator": "Exists", "effect": "NoSchedule"}]}));
        assert_eq!(
            spec.unwrap(),
            json!({"runtimeClassName": "vm", "nodeSelector": {"a": "b", "vm": "yes"},
                "overhead": {"cpu": "100m"}, "tolerations": [{"key": "vm", "operator": "Exists"}]})
        );
        assert_eq!(said(json!({})), Ok(json!({})));
    }

    #[test]
    fn upstreams_words() {
        for (spec, want) in [
            (json!({"runtimeClassName": "x"}), "pod rejected: RuntimeClass \"x\" not found"),
            (json!({"runtimeClassName": "vm", "overhead": {"cpu": "1"}}), OTHER_OVERHEAD),
            (
                json!({"overhead": {"cpu": "1"}}),
                "pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead",
            ),
            (
                json!({"runtimeClassName": "vm", "nodeSelector": {"vm": "no"}}),
                "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no",
            ),
        ] {
            assert_eq!(said(spec).unwrap_err(), format!("pods \"p\" is forbidden: {want}"));
        }
    }

    #[test]
    fn tolerations_are_merged() {
        let exists = json!({"key": "a", "operator": "Exists"});
        let equal = json!({"key": "a", "operator": "Equal", "value": "v", "effect": "NoExecute"});
        let all = json!({"operator": "Exists"});
        let short = json!({"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5});
        let merged = |a: &[&Value], b: &[&Value]| {
            let own = |list: &[&Value]| list.iter().map(|v| (*v).clone()).collect::<Vec<_>>();
            merge(&own(a), &own(b))
        };
        assert_eq!(merged(&[&equal], &[&exists]), vec![exists.clone()]);
        assert_eq!(merged(&[&exists], &[&equal, &all]), vec![all.clone()]);
        assert_eq!(merged(&[&equal], &[&short]), [equal.clone(), short.clone()]);
        assert_eq!(merged(&[&short], &[&short]), [short]);
    }
}
