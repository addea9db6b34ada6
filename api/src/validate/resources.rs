//! Resource requests and limits.

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, entries},
};
use crate::{name, quantity::Quantity};

/// Resources of containers that are not namespaced names.
const STANDARD: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// Resources that quotas count and containers have not.
const QUOTA: &[&str] = &[
    "configmaps",
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
    "requests.storage",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
    "storage",
];

/// Resources that are numbers of objects.
const COUNTED: &[&str] = &[
    "configmaps",
    "persistentvolumeclaims",
    "pods",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "services",
    "services.loadbalancers",
    "services.nodeports",
];

pub(super) fn quantity(value: &Value) -> Option<Quantity> {
    Quantity::parse(value.as_str()?).ok()
}

/// Whether more can be promised than there is: everything but extended resources and huge pages.
pub(super) fn overcommits(name: &str) -> bool {
    !name.starts_with("hugepages-") && (!name.contains('/') || name.contains("kubernetes.io/"))
}

pub(super) fn requirements(out: &mut Errors, path: &str, resources: &Value) {
    let (limits, requests) = (format!("{path}.limits"), format!("{path}.requests"));
    for (list, path) in [("limits", &limits), ("requests", &requests)] {
        for (resource, value) in entries(resources, list) {
            let path = format!("{path}[{resource}]");
            container_resource(out, &path, resource);
            amount(out, &path, resource, value);
        }
    }
    for (resource, value) in entries(resources, "requests") {
        let limit = &resources["limits"][resource.as_str()];
        let Some(request) = quantity(value) else { continue };
        let detail = match quantity(limit) {
            Some(limit) if overcommits(resource) => (request > limit)
                .then(|| format!("must be less than or equal to {resource} limit of {limit}")),
            Some(limit) => {
                (request != limit).then(|| format!("must be equal to {resource} limit of {limit}"))
            }
            None => {
                if !overcommits(resource) {
                    let detail = "Limit must be set for non overcommitable resources";
                    out.push(FieldError::required(&limits, detail));
                }
                None
            }
        };
        if let Some(detail) = detail {
            out.push(FieldError::invalid(&requests, value.clone(), detail));
        }
    }
}

pub(super) fn container_resource(out: &mut Errors, path: &str, resource: &str) {
    let messages = name::qualified_name(resource);
    if !messages.is_empty() {
        each(out, path, &resource.into(), messages);
    } else if !resource.contains('/')
        && !STANDARD.contains(&resource)
        && !resource.starts_with("hugepages-")
    {
        // Two rules upstream, of which the first knows the resources of quotas too.
        any_resource(out, path, resource);
        out.push(FieldError::invalid(path, resource, "must be a standard resource for containers"));
    }
}

/// A resource of anything: a name that is known, or one with a domain.
pub(super) fn any_resource(out: &mut Errors, path: &str, resource: &str) {
    let messages = name::qualified_name(resource);
    if !messages.is_empty() {
        each(out, path, &resource.into(), messages);
    } else if !resource.contains('/') && !is_standard(resource) {
        let detail = "must be a standard resource type or fully qualified";
        out.push(FieldError::invalid(path, resource, detail));
    }
}

/// A resource a quota may limit.
pub(super) fn quota_resource(out: &mut Errors, path: &str, resource: &str) {
    any_resource(out, path, resource);
    if !resource.contains('/') && !is_standard_of_quotas(resource) {
        let detail = "must be a standard resource for quota";
        out.push(FieldError::invalid(path, resource, detail));
    }
}

fn is_standard(resource: &str) -> bool {
    resource == "storage" || is_standard_of_quotas(resource)
}

/// Whether a quota knows the resource by this name, without a domain.
pub(super) fn is_standard_of_quotas(resource: &str) -> bool {
    STANDARD.contains(&resource)
        || (QUOTA.contains(&resource) && resource != "storage")
        || resource.starts_with("hugepages-")
        || resource.starts_with("requests.hugepages-")
}

/// An amount of a resource in a quota: not negative, and whole where things are counted.
pub(super) fn quota_amount(out: &mut Errors, path: &str, resource: &str, value: &Value) {
    let Some(amount) = quantity(value) else { return };
    if amount.is_negative() {
        let detail = "must be greater than or equal to 0";
        out.push(FieldError::invalid(path, value.clone(), detail));
    }
    let counted = COUNTED.contains(&resource) || !overcommits(resource);
    if counted && amount.milli_value() % 1000 != 0 {
        out.push(FieldError::invalid(path, value.clone(), "must be an integer"));
    }
}

fn amount(out: &mut Errors, path: &str, resource: &str, value: &Value) {
    let Some(amount) = quantity(value) else { return };
    if amount.is_negative() {
        let detail = "must be greater than or equal to 0";
        out.push(FieldError::invalid(path, value.clone(), detail));
    }
    if !overcommits(resource) && !amount.is_integer() {
        out.push(FieldError::invalid(path, value.clone(), "must be an integer"));
    }
}
