//! Versions: names, storage, deprecation, and what each has or all have in common: schema,
//! subresources, columns, selectable fields.

use serde_json::Value;

use super::{Errors, fields, list, present, schema, text};
use crate::{name, validate::FieldError};

/// Longest deprecation warning, bytes.
const WARNING_BYTES_MAX: usize = 256;
/// Types of columns, as messages list them.
const COLUMN_TYPES: &[&str] = &["boolean", "date", "integer", "number", "string"];
/// Formats of columns, as messages list them.
const COLUMN_FORMATS: &[&str] =
    &["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];

/// Whether all versions say the same of a field, so that it stands above them.
fn is_common(spec: &Value, field: &str) -> bool {
    let versions = list(&spec["versions"]);
    let Some((first, rest)) = versions.split_first() else { return false };
    rest.iter().all(|other| other[field] == first[field])
}

fn has_status(version: &Value) -> bool {
    present(&version["subresources"], "status").is_some()
}

/// Checks every version, without what all have in common.
pub(super) fn check_all(out: &mut Errors, spec: &Value, old: Option<&Value>) {
    let versions = list(&spec["versions"]);
    let had_all = old.is_none_or(|old| list(&old["versions"]).iter().all(has_schema));
    for (i, version) in versions.iter().enumerate() {
        // A definition from before schemas were asked for may go on without.
        if !has_schema(version) && (had_all || version["served"] == true) {
            let path = format!("spec.versions[{i}].schema.openAPIV3Schema");
            let detail = if had_all {
                "schemas are required"
            } else {
                "because otherwise all fields are pruned"
            };
            out.push(FieldError::required(path, detail));
        }
    }
    let mut names: Vec<&str> = Vec::with_capacity(versions.len());
    for (i, version) in versions.iter().enumerate() {
        let own = text(version, "name");
        names.push(own);
        let path = format!("spec.versions[{i}]");
        let faults = name::dns1035_label(own);
        if !faults.is_empty() {
            out.push(FieldError::invalid(format!("{path}.name"), own, faults.join(",")));
        }
        deprecation(out, version, &path);
        for part in PARTS {
            if !is_common(spec, part.field) {
                (part.check)(out, version, version, &format!("{path}.{}", part.own), old);
            }
        }
    }
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    if names.len() != count {
        let detail = "must contain unique version names";
        out.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
    }
    if versions.iter().filter(|v| v["storage"] == true).count() != 1 {
        let detail = "must have exactly one version marked as storage version";
        out.push(FieldError::invalid("spec.versions", spec["versions"].clone(), detail));
    }
}

fn has_schema(version: &Value) -> bool {
    present(&version["schema"], "openAPIV3Schema").is_some()
}

/// Checks what all versions have in common.
pub(super) fn check_common(out: &mut Errors, spec: &Value, old: Option<&Value>) {
    let versions = list(&spec["versions"]);
    let Some(first) = versions.first() else { return };
    // The schema must suit every version that has a status.
    let strictest = versions.iter().find(|v| has_status(v)).unwrap_or(first);
    for part in PARTS {
        if is_common(spec, part.field) {
            (part.check)(out, first, strictest, &format!("spec.{}", part.common), old);
        }
    }
}

/// A part of a version: `(errors, version, version that says whether there is a status, path, old
/// spec)`.
type Check = fn(&mut Errors, &Value, &Value, &str, Option<&Value>);

struct Part {
    field: &'static str,
    /// Its name in a version, in upstream's internal form.
    own: &'static str,
    /// Its name above the versions.
    common: &'static str,
    check: Check,
}

const PARTS: &[Part] = &[
    Part { field: "schema", own: "schema", common: "validation", check: check_schema },
    Part {
        field: "subresources",
        own: "subresources",
        common: "subresources",
        check: |out, version, _, path, _| subresources(out, &version["subresources"], path),
    },
    Part {
        field: "additionalPrinterColumns",
        own: "additionalPrinterColumns",
        common: "additionalPrinterColumns",
        check: |out, version, _, path, _| {
            for (i, column) in list(&version["additionalPrinterColumns"]).iter().enumerate() {
                check_column(out, column, &format!("{path}[{i}]"));
            }
        },
    },
    Part {
        field: "selectableFields",
        own: "selectableFields",
        common: "selectableFields",
        check: |out, version, _, path, _| fields::selectable(out, version, path),
    },
];

fn check_schema(
    out: &mut Errors,
    version: &Value,
    status: &Value,
    path: &str,
    old: Option<&Value>,
) {
    let Some(root) = present(&version["schema"], "openAPIV3Schema") else { return };
    let versions = old.map(|old| list(&old["versions"])).unwrap_or_default();
    let twin = versions.iter().find(|v| v["name"] == version["name"]);
    let before = twin.map(|v| &v["schema"]["openAPIV3Schema"]);
    schema::check(out, root, &format!("{path}.openAPIV3Schema"), has_status(status), before);
}

fn deprecation(out: &mut Errors, version: &Value, path: &str) {
    let Some(warning) = version["deprecationWarning"].as_str() else { return };
    let mut say = |detail: String| {
        out.push(FieldError::invalid(format!("{path}.deprecationWarning"), warning, detail));
    };
    if version["deprecated"] != true {
        say("can only be set for deprecated versions".into());
        return;
    }
    if warning.len() > WARNING_BYTES_MAX {
        say(format!("must be <= {WARNING_BYTES_MAX} characters long"));
    }
    if warning.is_empty() {
        say("must not be an empty string".into());
    }
    let hidden = |c: char| c.is_control() || (c.is_whitespace() && c != ' ');
    if let Some((at, _)) = warning.char_indices().find(|(_, c)| hidden(*c)) {
        say(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
}

fn subresources(out: &mut Errors, subresources: &Value, path: &str) {
    let Some(scale) = present(subresources, "scale") else { return };
    for (field, roots, place) in [
        ("specReplicasPath", &[".spec."][..], "should be a json path under .spec"),
        ("statusReplicasPath", &[".status."], "should be a json path under .status"),
        (
            "labelSelectorPath",
            &[".spec.", ".status."],
            "should be a json path under either .spec or .status",
        ),
    ] {
        let given = text(scale, field);
        let path = format!("{path}.scale.{field}");
        if given.is_empty() {
            if field != "labelSelectorPath" {
                out.push(FieldError::required(path, ""));
            }
        } else if !given.starts_with('.') {
            out.push(FieldError::invalid(path, given, SIMPLE_PATH));
        } else if !roots.iter().any(|root| given.starts_with(root)) {
            out.push(FieldError::invalid(path, given, place));
        }
    }
}

const SIMPLE_PATH: &str = "must be a simple json path starting with .";

fn check_column(out: &mut Errors, column: &Value, path: &str) {
    let given = |name: &str| text(column, name);
    if given("name").is_empty() {
        out.push(FieldError::required(format!("{path}.name"), ""));
    }
    let types = format!("must be one of {}", COLUMN_TYPES.join(","));
    match given("type") {
        "" => out.push(FieldError::required(format!("{path}.type"), types)),
        ty if COLUMN_TYPES.contains(&ty) => {}
        ty => out.push(FieldError::invalid(format!("{path}.type"), ty, types)),
    }
    let format = given("format");
    if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
        let detail = format!("must be one of {}", COLUMN_FORMATS.join(","));
        out.push(FieldError::invalid(format!("{path}.format"), format, detail));
    }
    match given("jsonPath") {
        "" => out.push(FieldError::required(format!("{path}.JSONPath"), "")),
        given if !given.starts_with('.') => {
            out.push(FieldError::invalid(format!("{path}.JSONPath"), given, SIMPLE_PATH));
        }
        _ => {}
    }
}
