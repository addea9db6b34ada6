//! Columns and rows of ingresses, network policies and disruption budgets.

use serde_json::Value;
use time::OffsetDateTime;

use super::{
    Row, age,
    columns::{AGE, Column, NAME, number, text as column},
    field::{NONE, at, int, items, opt_text, selector, shortened, text, text_or},
};

/// Hosts shown before ` + N more...`.
const HOSTS_SHOWN: usize = 3;
const DEFAULT_CLASS: &str = "/metadata/annotations/ingressclass.kubernetes.io~1is-default-class";

pub(crate) const INGRESSES: &[Column] = &[
    NAME,
    column("Class", "Its ingress class."),
    column("Hosts", "Names it answers to."),
    column("Address", "Addresses it is reached at."),
    column("Ports", "Ports it is reached at."),
    AGE,
];

/// `networking.k8s.io/v1` Ingress.
pub(crate) fn ingress(object: &Value, now: OffsetDateTime) -> Row {
    let hosts: Vec<String> = items(object, "/spec/rules")
        .iter()
        .filter_map(|r| opt_text(r, "/host").map(str::to_owned))
        .collect();
    let addresses: Vec<&str> = items(object, "/status/loadBalancer/ingress")
        .iter()
        .filter_map(|i| opt_text(i, "/ip").or(opt_text(i, "/hostname")))
        .collect();
    let ports = if items(object, "/spec/tls").is_empty() { "80" } else { "80, 443" };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        text_or(object, "/spec/ingressClassName", NONE).into(),
        shortened(&hosts, HOSTS_SHOWN, "*").into(),
        addresses.join(",").into(),
        ports.into(),
        age(object, now),
    ])
}

pub(crate) const INGRESS_CLASSES: &[Column] = &[
    NAME,
    column("Controller", "Who serves it."),
    column("Parameters", "Where its parameters are."),
    AGE,
];

/// `networking.k8s.io/v1` IngressClass.
pub(crate) fn ingress_class(object: &Value, now: OffsetDateTime) -> Row {
    let mut name = text(object, "/metadata/name").to_owned();
    if text(object, DEFAULT_CLASS) == "true" {
        name.push_str(" (default)");
    }
    let parameters = match at(object, "/spec/parameters") {
        None => NONE.to_owned(),
        Some(own) => {
            let group = opt_text(own, "/apiGroup").map_or(String::new(), |g| format!(".{g}"));
            format!("{}{group}/{}", text(own, "/kind"), text(own, "/name"))
        }
    };
    Row::new(vec![
        name.into(),
        text(object, "/spec/controller").into(),
        parameters.into(),
        age(object, now),
    ])
}

pub(crate) const NETWORK_POLICIES: &[Column] =
    &[NAME, column("Pod-Selector", "Labels of the pods it is for."), AGE];

/// `networking.k8s.io/v1` NetworkPolicy.
pub(crate) fn network_policy(object: &Value, now: OffsetDateTime) -> Row {
    Row::new(vec![
        text(object, "/metadata/name").into(),
        selector(object, "/spec/podSelector").into(),
        age(object, now),
    ])
}

pub(crate) const DISRUPTION_BUDGETS: &[Column] = &[
    NAME,
    column("Min Available", "Pods that must stay."),
    column("Max Unavailable", "Pods that may be away."),
    number("Allowed Disruptions", "Pods that may be evicted now."),
    AGE,
];

/// `policy/v1` PodDisruptionBudget.
pub(crate) fn disruption_budget(object: &Value, now: OffsetDateTime) -> Row {
    let amount = |pointer: &str| match at(object, pointer) {
        None => "N/A".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(number) => number.to_string(),
    };
    Row::new(vec![
        text(object, "/metadata/name").into(),
        amount("/spec/minAvailable").into(),
        amount("/spec/maxUnavailable").into(),
        int(object, "/status/disruptionsAllowed").into(),
        age(object, now),
    ])
}
