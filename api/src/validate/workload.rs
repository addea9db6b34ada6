//! Deployments and ReplicaSets.

use serde_json::Value;

use super::{
    FieldError,
    check::{
        Errors, each, immutable, label_selector, not_negative, selector_matches, selects_all, text,
    },
    pod,
};
use crate::name;

pub(crate) fn deployment(out: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    common(out, spec);
    strategy(out, &spec["strategy"]);
    not_negative(out, "spec.revisionHistoryLimit".into(), &spec["revisionHistoryLimit"]);
    let deadline = &spec["progressDeadlineSeconds"];
    not_negative(out, "spec.progressDeadlineSeconds".into(), deadline);
    let ready = spec["minReadySeconds"].as_i64().unwrap_or(0);
    if deadline.as_i64().is_some_and(|d| d <= ready) {
        out.push(FieldError::invalid(
            "spec.progressDeadlineSeconds",
            deadline.clone(),
            "must be greater than minReadySeconds",
        ));
    }
}

pub(crate) fn replica_set(out: &mut Errors, object: &Value) {
    common(out, &object["spec"]);
}

pub(crate) fn update(out: &mut Errors, new: &Value, old: &Value) {
    immutable(out, "spec.selector", &new["spec"]["selector"], &old["spec"]["selector"]);
}

fn common(out: &mut Errors, spec: &Value) {
    not_negative(out, "spec.replicas".into(), &spec["replicas"]);
    not_negative(out, "spec.minReadySeconds".into(), &spec["minReadySeconds"]);
    let selector = &spec["selector"];
    if selector.is_null() {
        out.push(FieldError::required("spec.selector", ""));
    } else {
        label_selector(out, "spec.selector", selector);
        if selects_all(selector) {
            out.push(FieldError::invalid(
                "spec.selector",
                selector.clone(),
                "empty selector is invalid for deployment",
            ));
        }
    }
    let template = &spec["template"];
    if template.is_null() {
        out.push(FieldError::required("spec.template", ""));
        return;
    }
    let labels = &template["metadata"]["labels"];
    if !selector.is_null() && !selects_all(selector) && !selector_matches(selector, labels) {
        let shown =
            if labels.is_null() { Value::Object(serde_json::Map::new()) } else { labels.clone() };
        out.push(FieldError::invalid(
            "spec.template.metadata.labels",
            shown,
            "`selector` does not match template `labels`",
        ));
    }
    pod::template(out, "spec.template", template);
    let restart = text(&template["spec"], "restartPolicy");
    if matches!(restart, "OnFailure" | "Never") {
        out.push(FieldError::not_supported(
            "spec.template.spec.restartPolicy",
            restart,
            &["Always"],
        ));
    }
    if !template["spec"]["activeDeadlineSeconds"].is_null() {
        out.push(FieldError::forbidden(
            "spec.template.spec.activeDeadlineSeconds",
            "activeDeadlineSeconds in ReplicaSet is not Supported",
        ));
    }
}

fn strategy(out: &mut Errors, strategy: &Value) {
    const PATH: &str = "spec.strategy";
    let rolling = &strategy["rollingUpdate"];
    match text(strategy, "type") {
        "Recreate" if !rolling.is_null() => out.push(FieldError::forbidden(
            format!("{PATH}.rollingUpdate"),
            "may not be specified when strategy `type` is 'Recreate'",
        )),
        "Recreate" => {}
        "RollingUpdate" if rolling.is_null() => out.push(FieldError::required(
            format!("{PATH}.rollingUpdate"),
            "this should be defaulted and never be nil",
        )),
        "RollingUpdate" => rolling_update(out, rolling),
        other => out.push(FieldError::not_supported(
            format!("{PATH}.type"),
            other,
            &["Recreate", "RollingUpdate"],
        )),
    }
}

fn rolling_update(out: &mut Errors, rolling: &Value) {
    const PATH: &str = "spec.strategy.rollingUpdate";
    let unavailable = amount(out, &format!("{PATH}.maxUnavailable"), &rolling["maxUnavailable"]);
    let surge = amount(out, &format!("{PATH}.maxSurge"), &rolling["maxSurge"]);
    if unavailable == Some(0) && surge == Some(0) {
        out.push(FieldError::invalid(
            format!("{PATH}.maxUnavailable"),
            rolling["maxUnavailable"].clone(),
            "may not be 0 when `maxSurge` is 0",
        ));
    }
    let percent = rolling["maxUnavailable"].as_str().and_then(|s| s.strip_suffix('%'));
    if percent.and_then(|p| p.parse::<i64>().ok()).is_some_and(|p| p > 100) {
        out.push(FieldError::invalid(
            format!("{PATH}.maxUnavailable"),
            rolling["maxUnavailable"].clone(),
            "must not be greater than 100%",
        ));
    }
}

/// A count or a percentage; answers its number.
pub(super) fn amount(out: &mut Errors, path: &str, value: &Value) -> Option<i64> {
    match value {
        Value::String(s) => {
            let number = s.strip_suffix('%').and_then(|p| p.parse::<u32>().ok());
            if number.is_none() {
                each(out, path, value, vec![
                    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')".to_owned(),
                ]);
            }
            number.map(i64::from)
        }
        Value::Number(n) => {
            not_negative(out, path.to_owned(), value);
            n.as_i64()
        }
        _ => Some(0),
    }
}

/// The scale subresource of both.
pub(crate) fn scale(out: &mut Errors, object: &Value) {
    not_negative(out, "spec.replicas".into(), &object["spec"]["replicas"]);
    let own = text(&object["metadata"], "name");
    each(out, "metadata.name", &own.into(), name::dns1123_subdomain(own));
}
