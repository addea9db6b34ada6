//! Roles and bindings.

use serde_json::Value;

use super::{
    FieldError,
    check::{Errors, each, items, label_selector, text},
};
use crate::name;

const GROUP: &str = "rbac.authorization.k8s.io";

pub(crate) fn role(out: &mut Errors, object: &Value, namespaced: bool) {
    for (i, rule) in items(object, "rules").iter().enumerate() {
        let path = format!("rules[{i}]");
        if items(rule, "verbs").is_empty() {
            out.push(FieldError::required(
                format!("{path}.verbs"),
                "verbs must contain at least one value",
            ));
        }
        let groups = items(rule, "apiGroups");
        let resources = items(rule, "resources");
        let paths = items(rule, "nonResourceURLs");
        if !paths.is_empty() {
            let refused = if namespaced {
                "namespaced rules cannot apply to non-resource URLs"
            } else if !groups.is_empty()
                || !resources.is_empty()
                || !items(rule, "resourceNames").is_empty()
            {
                "rules cannot apply to both regular resources and non-resource URLs"
            } else {
                continue;
            };
            out.push(FieldError::invalid(
                format!("{path}.nonResourceURLs"),
                rule["nonResourceURLs"].clone(),
                refused,
            ));
            continue;
        }
        if groups.is_empty() {
            out.push(FieldError::required(
                format!("{path}.apiGroups"),
                "resource rules must supply at least one api group",
            ));
        }
        if resources.is_empty() {
            out.push(FieldError::required(
                format!("{path}.resources"),
                "resource rules must supply at least one resource",
            ));
        }
    }
    let aggregation = &object["aggregationRule"];
    if !aggregation.is_null() {
        let selectors = items(aggregation, "clusterRoleSelectors");
        if selectors.is_empty() {
            out.push(FieldError::required(
                "aggregationRule.clusterRoleSelectors",
                "at least one clusterRoleSelector required if aggregationRule is non-nil",
            ));
        }
        for (i, selector) in selectors.iter().enumerate() {
            let path = format!("aggregationRule.clusterRoleSelectors[{i}]");
            label_selector(out, &path, selector);
        }
    }
}

pub(crate) fn binding(out: &mut Errors, object: &Value, namespaced: bool) {
    let role = &object["roleRef"];
    let group = text(role, "apiGroup");
    if group != GROUP {
        out.push(FieldError::not_supported("roleRef.apiGroup", group, &[GROUP]));
    }
    let kinds: &[&str] = if namespaced { &["Role", "ClusterRole"] } else { &["ClusterRole"] };
    let kind = text(role, "kind");
    if !kinds.contains(&kind) {
        out.push(FieldError::not_supported("roleRef.kind", kind, kinds));
    }
    let own = text(role, "name");
    if own.is_empty() {
        out.push(FieldError::required("roleRef.name", ""));
    } else {
        each(out, "roleRef.name", &own.into(), name::path_segment(own));
    }
    for (i, item) in items(object, "subjects").iter().enumerate() {
        subject(out, &format!("subjects[{i}]"), item);
    }
}

fn subject(out: &mut Errors, path: &str, subject: &Value) {
    let own = text(subject, "name");
    if own.is_empty() {
        out.push(FieldError::required(format!("{path}.name"), ""));
    }
    let group = text(subject, "apiGroup");
    let at_group = format!("{path}.apiGroup");
    match text(subject, "kind") {
        "ServiceAccount" => {
            if !own.is_empty() {
                let path = format!("{path}.name");
                each(out, &path, &own.into(), name::dns1123_subdomain(own));
            }
            if !group.is_empty() {
                out.push(FieldError::not_supported(at_group, group, &[""]));
            }
            if text(subject, "namespace").is_empty() {
                out.push(FieldError::required(format!("{path}.namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != GROUP {
                out.push(FieldError::not_supported(at_group, group, &[GROUP]));
            }
        }
        other => out.push(FieldError::not_supported(
            format!("{path}.kind"),
            other,
            &["ServiceAccount", "User", "Group"],
        )),
    }
}

pub(crate) fn binding_update(out: &mut Errors, new: &Value, old: &Value) {
    if new["roleRef"] != old["roleRef"] {
        let role = new["roleRef"].clone();
        out.push(FieldError::invalid("roleRef", role, "cannot change roleRef"));
    }
}
