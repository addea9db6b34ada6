//! The Priority and DefaultTolerationSeconds plugins.

use kabuki_api::{
    kind::{POD, PRIORITY_CLASS},
    status::Status,
    validate::FieldError,
};
use serde_json::{Value, json};

use super::super::{object::text, options::RequestInfo, view::View};

/// Classes every cluster has: name, value, description.
pub(crate) const SYSTEM_CLASSES: &[(&str, i64, &str)] = &[
    (
        "system-cluster-critical",
        2_000_000_000,
        "Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.",
    ),
    (
        "system-node-critical",
        2_000_001_000,
        "Used for system critical pods that must not be moved from their current node.",
    ),
];
/// Highest value of a class that is not the system's.
const USER_PRIORITY_MAX: i64 = 1_000_000_000;
/// Seconds a pod stays on a node that is not ready or not reachable.
const TOLERATION_SECONDS: i64 = 300;
/// Taints of such nodes.
const TOLERATED: &[&str] = &["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

struct Class {
    name: String,
    value: i64,
    preemption: String,
}

/// Priority: resolves the class of a pod.
pub(super) fn priority(view: &dyn View, pod: &mut Value) -> Result<(), Status> {
    let wanted = text(&pod["spec"], "priorityClassName").to_owned();
    let pod_name = text(&pod["metadata"], "name").to_owned();
    let class = if wanted.is_empty() {
        default_class(view)
    } else {
        match find_class(view, &wanted) {
            Some(class) => Some(class),
            None => {
                let message = format!("no PriorityClass with name {wanted} was found");
                return Err(Status::forbidden(POD, &pod_name, &message));
            }
        }
    };
    let class = class.unwrap_or(Class { name: String::new(), value: 0, preemption: String::new() });
    if let Some(given) = pod["spec"]["priority"].as_i64()
        && given != class.value
    {
        let message = format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller computed {} from the given PriorityClass name",
            class.value
        );
        return Err(Status::forbidden(POD, &pod_name, &message));
    }
    if !class.name.is_empty() {
        pod["spec"]["priorityClassName"] = class.name.into();
    }
    pod["spec"]["priority"] = class.value.into();
    let policy = if class.preemption.is_empty() {
        "PreemptLowerPriority"
    } else {
        class.preemption.as_str()
    };
    let given = text(&pod["spec"], "preemptionPolicy");
    if !given.is_empty() && given != policy {
        let message = format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission controller computed {policy} from the given PriorityClass name"
        );
        return Err(Status::forbidden(POD, &pod_name, &message));
    }
    pod["spec"]["preemptionPolicy"] = policy.into();
    Ok(())
}

fn find_class(view: &dyn View, name: &str) -> Option<Class> {
    if let Some((name, value, _)) = SYSTEM_CLASSES.iter().find(|(n, ..)| *n == name) {
        return Some(Class { name: (*name).into(), value: *value, preemption: String::new() });
    }
    view.get(PRIORITY_CLASS, "", name).map(|object| class_of(object.value()))
}

fn default_class(view: &dyn View) -> Option<Class> {
    view.list(PRIORITY_CLASS, None)
        .iter()
        .filter(|c| c.value()["globalDefault"].as_bool() == Some(true))
        .map(|c| class_of(c.value()))
        .min_by_key(|c| c.value)
}

fn class_of(value: &Value) -> Class {
    Class {
        name: text(&value["metadata"], "name").to_owned(),
        value: value["value"].as_i64().unwrap_or(0),
        preemption: text(value, "preemptionPolicy").to_owned(),
    }
}

/// A class of a user has a value below the system's.
pub(super) fn check_priority_class(info: &RequestInfo, class: &Value) -> Result<(), Status> {
    let name = text(&class["metadata"], "name");
    let value = class["value"].as_i64().unwrap_or(0);
    let system = SYSTEM_CLASSES.iter().any(|(n, v, _)| *n == name && *v == value);
    if value > USER_PRIORITY_MAX && !(system && info.user.name.starts_with("system:kabuki:")) {
        let error = FieldError::forbidden(
            "value",
            format!("maximum allowed value of a user defined priority is {USER_PRIORITY_MAX}"),
        );
        return Err(Status::invalid(PRIORITY_CLASS, name, &[error]));
    }
    Ok(())
}

/// Only one class is the default.
pub(super) fn check_default_class(
    view: &dyn View,
    class: &Value,
    is_new: bool,
) -> Result<(), Status> {
    let name = text(&class["metadata"], "name");
    let other = default_class(view).filter(|own| is_new || own.name != name);
    match other {
        Some(other) if class["globalDefault"] == true => {
            let message = format!(
                "PriorityClass {} is already marked as default. Only one default can exist",
                other.name
            );
            Err(Status::forbidden(PRIORITY_CLASS, name, &message))
        }
        _ => Ok(()),
    }
}

/// DefaultTolerationSeconds: pods outlive a short absence of their node.
pub(super) fn default_tolerations(pod: &mut Value) {
    if !pod["spec"]["tolerations"].is_array() {
        pod["spec"]["tolerations"] = json!([]);
    }
    let Some(list) = pod["spec"]["tolerations"].as_array_mut() else { return };
    for key in TOLERATED {
        let tolerated = list.iter().any(|t| {
            let of = text(t, "key");
            let effect = text(t, "effect");
            (of == *key || of.is_empty()) && (effect == "NoExecute" || effect.is_empty())
        });
        if !tolerated {
            list.push(json!({"key": key, "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": TOLERATION_SECONDS}));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    #[test]
    fn priorities() {
        let view = MemView::new()
            .with(PRIORITY_CLASS, json!({"metadata": {"name": "high"}, "value": 1000}))
            .with(
                PRIORITY_CLASS,
                json!({"metadata": {"name": "base"}, "value": 5, "globalDefault": true,
                    "preemptionPolicy": "Never"}),
            );
        for (spec, want) in [
            (json!({"priorityClassName": "high"}), Ok((1000, "high", "PreemptLowerPriority"))),
            (json!({}), Ok((5, "base", "Never"))),
            (
                json!({"priorityClassName": "system-node-critical"}),
                Ok((2_000_001_000, "system-node-critical", "PreemptLowerPriority")),
            ),
            (
                json!({"priorityClassName": "x"}),
                Err("pods \"p\" is forbidden: no PriorityClass with name x was found"),
            ),
        ] {
            let mut pod = json!({"metadata": {"name": "p"}, "spec": spec});
            let got = priority(&view, &mut pod);
            match want {
                Ok((value, name, policy)) => {
                    got.unwrap();
                    assert_eq!(pod["spec"]["priority"], value);
                    assert_eq!(pod["spec"]["priorityClassName"], name);
                    assert_eq!(pod["spec"]["preemptionPolicy"], policy);
                }
                Err(message) => assert_eq!(got.unwrap_err().message, message),
            }
        }
        let mut given = json!({"metadata": {"name": "p"}, "spec": {"priority": 7}});
        assert_eq!(priority(&MemView::new(), &mut given).unwrap_err().code, 403);
    }

    #[test]
    fn there_is_one_default_class() {
        let class = |name: &str, default: bool| json!({"metadata": {"name": name}, "value": 5, "globalDefault": default});
        let view = MemView::new().with(PRIORITY_CLASS, class("base", true));
        let said = |name: &str, default: bool, is_new: bool| {
            let checked = check_default_class(&view, &class(name, default), is_new);
            checked.err().map(|status| status.message.clone())
        };
        assert_eq!(
            said("other", true, true).unwrap(),
            "priorityclasses.scheduling.k8s.io \"other\" is forbidden: PriorityClass base is already marked as default. Only one default can exist"
        );
        assert!(said("other", true, false).is_some());
        assert_eq!((said("base", true, false), said("other", false, true)), (None, None));
    }

    #[test]
    fn tolerations_are_added_once() {
        let mut pod = json!({"spec": {"tolerations": [
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}]}});
        default_tolerations(&mut pod);
        default_tolerations(&mut pod);
        let list = pod["spec"]["tolerations"].as_array().unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[0]["tolerationSeconds"], 2);
        assert_eq!(list[1]["key"], "node.kubernetes.io/unreachable");
    }
}
