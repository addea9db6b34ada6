//! Where a pod may run: tolerations, affinity, spread.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::{
    FieldError,
    check::{Errors, each, items, label_selector, optional_one_of, text},
    container::weight,
};
use crate::name;

pub(super) fn pod_spec(out: &mut Errors, path: &str, spec: &Value) {
    tolerations(out, &format!("{path}.tolerations"), items(spec, "tolerations"));
    let affinity = &spec["affinity"];
    let path_of = |field: &str| format!("{path}.affinity.{field}");
    node_affinity(out, &path_of("nodeAffinity"), &affinity["nodeAffinity"]);
    for field in ["podAffinity", "podAntiAffinity"] {
        pod_affinity(out, &path_of(field), &affinity[field]);
    }
    spread(out, &format!("{path}.topologySpreadConstraints"), spec);
}

pub(super) fn tolerations(out: &mut Errors, path: &str, list: &[Value]) {
    const EFFECTS: &[&str] = &["NoSchedule", "PreferNoSchedule", "NoExecute"];
    for (i, toleration) in list.iter().enumerate() {
        let path = format!("{path}[{i}]");
        let key = text(toleration, "key");
        let operator = text(toleration, "operator");
        let at_operator = format!("{path}.operator");
        if !key.is_empty() {
            each(out, &format!("{path}.key"), &key.into(), name::qualified_name(key));
        } else if operator != "Exists" {
            out.push(FieldError::invalid(
                at_operator.clone(),
                operator,
                "operator must be Exists when `key` is empty, which means \"match all values and all keys\"",
            ));
        }
        let effect = text(toleration, "effect");
        if !toleration["tolerationSeconds"].is_null() && effect != "NoExecute" {
            out.push(FieldError::invalid(
                format!("{path}.effect"),
                effect,
                "effect must be 'NoExecute' when `tolerationSeconds` is set",
            ));
        }
        let value = text(toleration, "value");
        match operator {
            "Equal" | "" => each(out, &at_operator, &value.into(), name::label_value(value)),
            "Exists" if !value.is_empty() => out.push(FieldError::invalid(
                at_operator,
                toleration.clone(),
                "value must be empty when `operator` is 'Exists'",
            )),
            "Exists" => {}
            "Gt" | "Lt" if value.parse::<i64>().is_ok() => {}
            other => {
                out.push(FieldError::not_supported(at_operator, other, &["Equal", "Exists"]));
            }
        }
        optional_one_of(out, format!("{path}.effect"), &toleration["effect"], EFFECTS);
    }
}

fn node_affinity(out: &mut Errors, path: &str, affinity: &Value) {
    let required = &affinity["requiredDuringSchedulingIgnoredDuringExecution"];
    if !required.is_null() {
        let path =
            format!("{path}.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
        let terms = items(required, "nodeSelectorTerms");
        if terms.is_empty() {
            let detail = "must have at least one node selector term";
            out.push(FieldError::required(path.clone(), detail));
        }
        for (i, term) in terms.iter().enumerate() {
            node_term(out, &format!("{path}[{i}]"), term);
        }
    }
    let list = items(affinity, "preferredDuringSchedulingIgnoredDuringExecution");
    for (i, term) in list.iter().enumerate() {
        let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{i}]");
        weight(out, format!("{path}.weight"), &term["weight"]);
        node_term(out, &format!("{path}.preference"), &term["preference"]);
    }
}

fn node_term(out: &mut Errors, path: &str, term: &Value) {
    for (i, expression) in items(term, "matchExpressions").iter().enumerate() {
        let path = format!("{path}.matchExpressions[{i}]");
        let values = items(expression, "values");
        match text(expression, "operator") {
            "In" | "NotIn" if values.is_empty() => out.push(FieldError::required(
                format!("{path}.values"),
                "must be specified when `operator` is 'In' or 'NotIn'",
            )),
            "Exists" | "DoesNotExist" if !values.is_empty() => out.push(FieldError::forbidden(
                format!("{path}.values"),
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            )),
            "Gt" | "Lt" if values.len() != 1 => out.push(FieldError::required(
                format!("{path}.values"),
                "must be specified single value when `operator` is 'Lt' or 'Gt'",
            )),
            "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
            other => out.push(FieldError::invalid(
                format!("{path}.operator"),
                other,
                "not a valid selector operator",
            )),
        }
        let key = text(expression, "key");
        each(out, &format!("{path}.key"), &key.into(), name::qualified_name(key));
    }
    for (i, field) in items(term, "matchFields").iter().enumerate() {
        let path = format!("{path}.matchFields[{i}]");
        let operator = text(field, "operator");
        if !matches!(operator, "In" | "NotIn") {
            let detail = "not a valid selector operator";
            out.push(FieldError::invalid(format!("{path}.operator"), operator, detail));
        } else if items(field, "values").len() != 1 {
            out.push(FieldError::required(
                format!("{path}.values"),
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
            ));
        }
        if text(field, "key") != "metadata.name" {
            let detail = "not a valid field selector key";
            out.push(FieldError::invalid(format!("{path}.key"), text(field, "key"), detail));
        }
    }
}

fn pod_affinity(out: &mut Errors, path: &str, affinity: &Value) {
    let list = items(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
    for (i, term) in list.iter().enumerate() {
        let path = format!("{path}.requiredDuringSchedulingIgnoredDuringExecution[{i}]");
        pod_term(out, &path, term);
    }
    let list = items(affinity, "preferredDuringSchedulingIgnoredDuringExecution");
    for (i, term) in list.iter().enumerate() {
        let path = format!("{path}.preferredDuringSchedulingIgnoredDuringExecution[{i}]");
        weight(out, format!("{path}.weight"), &term["weight"]);
        pod_term(out, &format!("{path}.podAffinityTerm"), &term["podAffinityTerm"]);
    }
}

fn pod_term(out: &mut Errors, path: &str, term: &Value) {
    label_selector(out, &format!("{path}.labelSelector"), &term["labelSelector"]);
    label_selector(out, &format!("{path}.namespaceSelector"), &term["namespaceSelector"]);
    for namespace in items(term, "namespaces") {
        let messages = name::dns1123_label(namespace.as_str().unwrap_or(""));
        each(out, &format!("{path}.namespace"), namespace, messages);
    }
    topology_key(out, &format!("{path}.topologyKey"), text(term, "topologyKey"));
}

fn topology_key(out: &mut Errors, path: &str, key: &str) {
    if key.is_empty() {
        out.push(FieldError::required(path, "can not be empty"));
    } else {
        each(out, path, &key.into(), name::qualified_name(key));
    }
}

fn spread(out: &mut Errors, path: &str, spec: &Value) {
    let mut seen = HashSet::new();
    for (i, item) in items(spec, "topologySpreadConstraints").iter().enumerate() {
        let path = format!("{path}[{i}]");
        for field in ["maxSkew", "minDomains"] {
            let value = &item[field];
            if value.as_i64().is_some_and(|n| n <= 0) {
                let path = format!("{path}.{field}");
                out.push(FieldError::invalid(path, value.clone(), "must be greater than zero"));
            }
        }
        let (key, when) = (text(item, "topologyKey"), text(item, "whenUnsatisfiable"));
        topology_key(out, &format!("{path}.topologyKey"), key);
        if !matches!(when, "DoNotSchedule" | "ScheduleAnyway") {
            out.push(FieldError::not_supported(
                format!("{path}.whenUnsatisfiable"),
                when,
                &["DoNotSchedule", "ScheduleAnyway"],
            ));
        }
        if !seen.insert((key, when)) {
            out.push(FieldError::duplicate(
                format!("{path}.{{topologyKey, whenUnsatisfiable}}"),
                json!(format!("{{{key}, {when}}}")),
            ));
        }
        label_selector(out, &format!("{path}.labelSelector"), &item["labelSelector"]);
    }
}
