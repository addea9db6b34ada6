//! Whole documents, written piece by piece.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use serde_json::{Value, json};

use super::{Describe, Edition, definition::Definitions, operation::PathItem, paths, render};
use crate::kind::{self, Kind};

/// The group versions, with their kinds.
fn group_versions(
    custom: &[&'static Kind],
) -> BTreeMap<(&'static str, &'static str), Vec<&'static Kind>> {
    let mut out: BTreeMap<_, Vec<&'static Kind>> = BTreeMap::new();
    for kind in kind::all().iter().chain(custom) {
        out.entry((kind.group, kind.version)).or_default().push(kind);
    }
    out
}

/// The paths of all documents of version 3, below `/openapi/v3/`, sorted. Here and below `custom`
/// are custom kinds that are served beside those of the table.
pub fn documents(custom: &[&'static Kind]) -> Vec<String> {
    let mut out: BTreeSet<String> =
        paths::roots().iter().map(|(name, _)| (*name).to_owned()).collect();
    for (group, version) in group_versions(custom).into_keys() {
        if group.is_empty() {
            out.insert(format!("api/{version}"));
        } else {
            out.insert(format!("apis/{group}"));
            out.insert(format!("apis/{group}/{version}"));
        }
    }
    out.into_iter().collect()
}

fn items_of(custom: &[&'static Kind], group: &str, version: &str) -> Option<Vec<PathItem>> {
    let groups = group_versions(custom);
    let kinds = groups.get(&(group, version))?;
    let mut items: Vec<PathItem> = kinds.iter().flat_map(|k| paths::of_kind(k)).collect();
    items.push(paths::resources(group, version));
    Some(items)
}

/// The paths of one document of version 3.
fn items(document: &str, custom: &[&'static Kind]) -> Option<Vec<PathItem>> {
    let segments: Vec<&str> = document.split('/').collect();
    match segments.as_slice() {
        ["api", version] => items_of(custom, "", version),
        ["apis", group, version] if !group.is_empty() => items_of(custom, group, version),
        ["apis", group] => {
            let known = group_versions(custom).keys().any(|(g, _)| !g.is_empty() && g == group);
            known.then(|| vec![paths::group(group)])
        }
        _ => {
            let found = paths::roots().into_iter().find(|(name, _)| *name == document);
            found.map(|(_, item)| vec![item])
        }
    }
}

/// All paths of the server.
pub(super) fn all_items(custom: &[&'static Kind]) -> Vec<PathItem> {
    let mut items: Vec<PathItem> = paths::roots().into_iter().map(|(_, item)| item).collect();
    let mut last = "";
    for (group, version) in group_versions(custom).into_keys() {
        items.extend(items_of(custom, group, version).unwrap_or_default());
        if group != last {
            items.push(paths::group(group));
            last = group;
        }
    }
    items
}

/// Writes one document of version 3, such as `apis/apps/v1`; says whether there is one. `version`
/// is the server's.
///
/// # Errors
/// What `out` fails with.
pub fn write_v3(
    document: &str,
    custom: &[&'static Kind],
    version: &str,
    describe: Describe,
    out: &mut dyn Write,
) -> io::Result<bool> {
    let Some(items) = items(document, custom) else { return Ok(false) };
    write!(out, r#"{{"openapi":"3.0.0","info":{},"paths":"#, info(version))?;
    let wanted = write_paths(items, Edition::V3, out)?;
    out.write_all(br#","components":{"schemas":"#)?;
    write_definitions(wanted, &Definitions::new(Edition::V3, describe, custom), out)?;
    write!(out, r#","securitySchemes":{{"BearerToken":{}}}}}}}"#, bearer())?;
    Ok(true)
}

/// Writes the document of version 2 as JSON. `version` is the server's.
///
/// # Errors
/// What `out` fails with.
pub fn write_v2(
    version: &str,
    custom: &[&'static Kind],
    describe: Describe,
    out: &mut dyn Write,
) -> io::Result<()> {
    write!(out, r#"{{"swagger":"2.0","info":{},"paths":"#, info(version))?;
    let wanted = write_paths(all_items(custom), Edition::V2, out)?;
    out.write_all(br#","definitions":"#)?;
    write_definitions(wanted, &Definitions::new(Edition::V2, describe, custom), out)?;
    let security = json!([{"BearerToken": []}]);
    write!(out, r#","securityDefinitions":{{"BearerToken":{}}},"security":{security}}}"#, bearer())
}

fn info(version: &str) -> Value {
    json!({"title": "Kubernetes", "version": version})
}

fn bearer() -> Value {
    json!({"type": "apiKey", "name": "authorization", "in": "header",
        "description": "Bearer Token authentication"})
}

/// Writes the paths, sorted; answers the definitions they refer to.
fn write_paths(
    mut items: Vec<PathItem>,
    edition: Edition,
    out: &mut dyn Write,
) -> io::Result<BTreeSet<String>> {
    items.sort_by(|a, b| a.path.cmp(&b.path));
    let mut wanted = BTreeSet::new();
    for (at, item) in items.iter().enumerate() {
        wanted.extend(item.definitions().map(str::to_owned));
        let before = if at == 0 { '{' } else { ',' };
        let path = Value::from(item.path.as_str());
        write!(out, "{before}{path}:{}", render::path_item(item, edition))?;
    }
    out.write_all(b"}")?;
    Ok(wanted)
}

fn write_definitions(
    wanted: BTreeSet<String>,
    definitions: &Definitions,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut first = true;
    for name in reachable(wanted, definitions) {
        let Some(schema) = definitions.find(&name) else { continue };
        write!(out, "{}{}:{schema}", if first { '{' } else { ',' }, Value::from(name))?;
        first = false;
    }
    out.write_all(if first { b"{}" } else { b"}" })
}

/// The definitions and all they refer to, sorted.
pub(super) fn reachable(wanted: BTreeSet<String>, definitions: &Definitions) -> BTreeSet<String> {
    let mut todo: Vec<String> = wanted.iter().cloned().collect();
    let mut seen = wanted;
    while let Some(name) = todo.pop() {
        let Some(schema) = definitions.find(&name) else { continue };
        references(&schema, &mut |reference| {
            let name = reference.rsplit('/').next().unwrap_or_default();
            if !seen.contains(name) {
                seen.insert(name.to_owned());
                todo.push(name.to_owned());
            }
        });
    }
    seen
}

/// Visits every `$ref`; a property of that name is an object and no text.
fn references(schema: &Value, visit: &mut dyn FnMut(&str)) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => visit(text),
                    other => references(other, visit),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, visit)),
        _ => {}
    }
}
