//! The documents `/api`, `/apis`, `/apis/<group>`, `/api/v1` and `/apis/<group>/<version>`.

use kabuki_api::kind::{Kind, Subresource};
use serde_json::{Value, json};

use super::GROUPS;

/// `/api`.
pub(super) fn versions(advertise: &str) -> Value {
    let versions: Vec<_> =
        GROUPS.iter().filter(|g| g.group.is_empty()).map(|g| g.version).collect();
    json!({
        "kind": "APIVersions",
        "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": advertise}],
    })
}

/// `/apis`.
pub(super) fn groups() -> Value {
    let mut names: Vec<&str> = Vec::new();
    for group in GROUPS.iter().filter(|g| !g.group.is_empty()) {
        if !names.contains(&group.group) {
            names.push(group.group);
        }
    }
    let groups: Vec<_> = names.into_iter().map(group_body).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(super) fn group(name: &str) -> Option<Value> {
    let known = !name.is_empty() && GROUPS.iter().any(|g| g.group == name);
    known.then(|| {
        let mut body = group_body(name);
        body["kind"] = "APIGroup".into();
        body["apiVersion"] = "v1".into();
        body
    })
}

fn group_body(name: &str) -> Value {
    let versions: Vec<_> = GROUPS
        .iter()
        .filter(|g| g.group == name)
        .map(|g| json!({"groupVersion": g.name(), "version": g.version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

/// `/api/v1` or `/apis/<group>/<version>`.
pub(super) fn resources(group: &str, version: &str) -> Option<Value> {
    let found = GROUPS.iter().find(|g| g.group == group && g.version == version)?;
    let mut resources = Vec::new();
    for kind in &found.kinds {
        resources.push(resource(kind));
        for sub in kind.subresources.iter().filter(|s| s.served) {
            resources.push(subresource(kind, sub));
        }
    }
    Some(json!({
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": found.name(),
        "resources": resources,
    }))
}

fn resource(kind: &Kind) -> Value {
    let mut entry = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": kind.verbs,
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    if kind.is_stored() {
        entry["storageVersionHash"] = storage_hash(kind).into();
    }
    entry
}

fn subresource(kind: &Kind, sub: &Subresource) -> Value {
    let body_kind = sub.body.map_or(kind.kind, |b| b.kind);
    let mut entry = json!({
        "name": format!("{}/{}", kind.plural, sub.name),
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": body_kind,
        "verbs": sub.verbs,
    });
    if let Some(body) = sub.body
        && (body.group != kind.group || body.version != kind.version)
    {
        entry["group"] = body.group.into();
        entry["version"] = body.version.into();
    }
    entry
}

/// Changes only when the stored version does (apiserver `discovery.StorageVersionHash`).
fn storage_hash(kind: &Kind) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    use sha2::{Digest, Sha256};
    let text = format!("{}/{}/{}", kind.group, kind.version, kind.kind);
    STANDARD.encode(&Sha256::digest(text)[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents() {
        assert_eq!(versions("h:1")["versions"], json!(["v1"]));
        assert_eq!(group("apps").unwrap()["preferredVersion"]["groupVersion"], "apps/v1");
        assert!(group("").is_none() && group("nope").is_none());
        let core = resources("", "v1").unwrap();
        let find = |name: &str| {
            core["resources"].as_array().unwrap().iter().find(|r| r["name"] == name).cloned()
        };
        let pods = find("pods").unwrap();
        assert_eq!((&pods["shortNames"], &pods["categories"]), (&json!(["po"]), &json!(["all"])));
        assert_eq!(find("pods/log").unwrap()["verbs"], json!(["get"]));
        let token = find("serviceaccounts/token").unwrap();
        assert_eq!(
            (&token["group"], &token["kind"]),
            (&json!("authentication.k8s.io"), &json!("TokenRequest"))
        );
        assert!(find("pods/exec").is_none(), "what is not served is not announced");
        let apps = resources("apps", "v1").unwrap();
        let apps = apps["resources"].as_array().unwrap();
        let scale = apps.iter().find(|r| r["name"] == "deployments/scale").unwrap();
        assert_eq!(scale["group"], "autoscaling");
        assert!(resources("apps", "v9").is_none());
    }
}
