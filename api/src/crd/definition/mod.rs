//! What a CustomResourceDefinition itself must look like
//! (`pkg/apis/apiextensions/validation/validation.go`), and its defaults.
//!
//! Upstream checks the internal form, in which what all versions have in common stands once, above
//! them: the paths of errors are `spec.validation…` then, and `spec.versions[0].schema…` only where
//! versions differ. They are the same here.

mod complete;
mod conversion;
mod defaults;
mod fields;
mod names;
mod rules;
mod schema;
mod structural;
mod version;

#[cfg(test)]
mod tests;

pub(super) use fields::resolve;
use serde_json::{Value, json};

use super::FAULTS_MAX;
use crate::{
    name,
    validate::{FieldError, immutable},
};

type Errors = Vec<FieldError>;

/// Annotation that a definition in a group of the community must have.
const APPROVED: &str = "api-approved.kubernetes.io";
const PROPOSAL: &str = "https://github.com/kubernetes/enhancements/pull/1111";

/// Sets the defaults of a definition; twice is as once.
pub fn default_definition(definition: &mut Value) {
    let Some(spec) = definition.get_mut("spec").filter(|spec| spec.is_object()) else { return };
    let kind = spec["names"]["kind"].as_str().unwrap_or_default().to_owned();
    if !kind.is_empty() && spec["names"].is_object() {
        let names = &mut spec["names"];
        if names["singular"].as_str().unwrap_or_default().is_empty() {
            names["singular"] = kind.to_lowercase().into();
        }
        if names["listKind"].as_str().unwrap_or_default().is_empty() {
            names["listKind"] = format!("{kind}List").into();
        }
    }
    if spec["conversion"].is_null() {
        spec["conversion"] = json!({"strategy": "None"});
    }
    let service = spec.pointer_mut("/conversion/webhook/clientConfig/service");
    if let Some(service) = service.filter(|service| service.is_object())
        && service["port"].is_null()
    {
        service["port"] = 443.into();
    }
}

/// Everything wrong with a definition that has its defaults, new or changed. Its metadata is checked
/// elsewhere, but for its name, which the spec determines.
pub fn validate_definition(new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut out = Vec::new();
    let spec = &new["spec"];
    let own = text(&new["metadata"], "name");
    if old.is_none() && own != format!("{}.{}", text(&spec["names"], "plural"), text(spec, "group"))
    {
        let detail = "must be spec.names.plural+\".\"+spec.group";
        out.push(FieldError::invalid("metadata.name", own, detail));
    }
    spec_rules(&mut out, spec, old.map(|old| &old["spec"]));
    if let Some(old) = old {
        changes(&mut out, new, old);
    }
    let status = &new["status"];
    names::check(&mut out, &status["acceptedNames"], "status.acceptedNames");
    if old.is_some() || present(status, "storedVersions").is_some() {
        stored_versions(&mut out, &status["storedVersions"], &spec["versions"]);
    }
    approval(&mut out, new, old);
    let preserves = |d: &Value| d["spec"]["preserveUnknownFields"] == true;
    if preserves(new) && !old.is_some_and(preserves) {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        out.push(FieldError::invalid("spec.preserveUnknownFields", true, detail));
    }
    out.truncate(FAULTS_MAX);
    out
}

/// A text field, empty if absent.
fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_default()
}

/// A field that is there and not null.
fn present<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.get(key).filter(|value| !value.is_null())
}

/// The items of a list, none if it is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn spec_rules(out: &mut Errors, spec: &Value, old: Option<&Value>) {
    let group = text(spec, "group");
    let faults = name::dns1123_subdomain(group);
    if group.is_empty() {
        out.push(FieldError::required("spec.group", ""));
    } else if !faults.is_empty() {
        out.push(FieldError::invalid("spec.group", group, faults.join(",")));
    } else if !group.contains('.') {
        let detail = "should be a domain with at least one dot";
        out.push(FieldError::invalid("spec.group", group, detail));
    }
    one_of(out, "spec.scope", text(spec, "scope"), &["Cluster", "Namespaced"]);
    version::check_all(out, spec, old);
    for name in ["plural", "singular", "kind", "listKind"] {
        if text(&spec["names"], name).is_empty() {
            out.push(FieldError::required(format!("spec.names.{name}"), ""));
        }
    }
    names::check(out, &spec["names"], "spec.names");
    version::check_common(out, spec, old);
    conversion::check(out, spec, old);
}

/// A text that must be there and be one of a set.
fn one_of(out: &mut Errors, path: &str, value: &str, set: &[&str]) {
    if value.is_empty() {
        out.push(FieldError::required(path, ""));
    } else if !set.contains(&value) {
        out.push(FieldError::not_supported(path, value, set));
    }
}

/// What may not change: what the stored objects depend on, once there may be some.
fn changes(out: &mut Errors, new: &Value, old: &Value) {
    let conditions = list(&old["status"]["conditions"]).iter();
    let established = conditions
        .filter(|c| text(c, "type") == "Established")
        .any(|c| text(c, "status") == "True");
    let (new, old) = (&new["spec"], &old["spec"]);
    if established {
        immutable(out, "spec.scope", &new["scope"], &old["scope"]);
        immutable(out, "spec.names.kind", &new["names"]["kind"], &old["names"]["kind"]);
    }
    immutable(out, "spec.group", &new["group"], &old["group"]);
    immutable(out, "spec.names.plural", &new["names"]["plural"], &old["names"]["plural"]);
}

fn stored_versions(out: &mut Errors, stored: &Value, versions: &Value) {
    const PATH: &str = "status.storedVersions";
    let names: Vec<&str> = list(stored).iter().filter_map(Value::as_str).collect();
    if names.is_empty() {
        let detail = "must have at least one stored version";
        out.push(FieldError::invalid(PATH, stored.clone(), detail));
        return;
    }
    let versions = list(versions);
    for version in versions.iter().filter(|v| v["storage"] == true) {
        let name = text(version, "name");
        if !names.contains(&name) {
            let detail = format!("must have the storage version {name}");
            out.push(FieldError::invalid(PATH, stored.clone(), detail));
        }
    }
    for (i, name) in names.iter().enumerate() {
        if !versions.iter().any(|v| text(v, "name") == *name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            out.push(FieldError::invalid(format!("{PATH}[{i}]"), *name, detail));
        }
    }
}

/// How a definition stands with the owners of its group.
#[derive(PartialEq, Eq)]
enum Approval {
    Given,
    Missing,
    Nonsense,
}

fn approval_of(definition: &Value) -> Approval {
    match text(&definition["metadata"]["annotations"], APPROVED) {
        "" => Approval::Missing,
        text if text.starts_with("unapproved") => Approval::Given,
        text => match text.split_once("://") {
            Some((scheme, rest)) if !scheme.is_empty() && !rest.is_empty() => Approval::Given,
            _ => Approval::Nonsense,
        },
    }
}

fn approval(out: &mut Errors, new: &Value, old: Option<&Value>) {
    let group = text(&new["spec"], "group");
    let protected = ["k8s.io", "kubernetes.io"].iter().any(|domain| {
        group.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    let state = approval_of(new);
    if !protected || old.is_some_and(|old| approval_of(old) == state) {
        return;
    }
    let path = format!("metadata.annotations[{APPROVED}]");
    match state {
        Approval::Given => {}
        Approval::Missing => {
            let detail = format!(
                "protected groups must have approval annotation \"{APPROVED}\", see {PROPOSAL}"
            );
            out.push(FieldError::required(path, detail));
        }
        Approval::Nonsense => {
            let detail = format!(
                "protected groups must have approval annotation \"{APPROVED}\" with either a URL or a reason starting with \"unapproved\", see {PROPOSAL}"
            );
            let given = text(&new["metadata"]["annotations"], APPROVED);
            out.push(FieldError::invalid(path, given, detail));
        }
    }
}
