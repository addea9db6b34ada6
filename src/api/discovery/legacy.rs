//! The documents `/api`, `/apis`, `/apis/<group>`, `/api/v1` and `/apis/<group>/<version>`.

use kabuki_api::kind::{Kind, Subresource};
use serde_json::{Value, json};

use super::{GroupVersion, Resource};

/// `/api`.
pub(super) fn versions(groups: &[GroupVersion], advertise: &str) -> Value {
    let versions: Vec<_> =
        groups.iter().filter(|g| g.group.is_empty()).map(|g| g.version).collect();
    json!({
        "kind": "APIVersions",
        "versions": versions,
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": advertise}],
    })
}

/// `/apis`.
pub(super) fn groups(all: &[GroupVersion]) -> Value {
    let mut names: Vec<&str> = Vec::new();
    for group in all.iter().filter(|g| !g.group.is_empty()) {
        if !names.contains(&group.group) {
            names.push(group.group);
        }
    }
    let groups: Vec<_> = names.into_iter().map(|name| group_body(all, name)).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

/// `/apis/<group>`.
pub(super) fn group(all: &[GroupVersion], name: &str) -> Option<Value> {
    let known = !name.is_empty() && all.iter().any(|g| g.group == name);
    known.then(|| {
        let mut body = group_body(all, name);
        body["kind"] = "APIGroup".into();
        body["apiVersion"] = "v1".into();
        body
    })
}

fn group_body(all: &[GroupVersion], name: &str) -> Value {
    let versions: Vec<_> = all
        .iter()
        .filter(|g| g.group == name)
        .map(|g| json!({"groupVersion": g.name(), "version": g.version}))
        .collect();
    json!({"name": name, "preferredVersion": versions.first(), "versions": versions})
}

/// `/api/v1` or `/apis/<group>/<version>`.
pub(super) fn resources(all: &[GroupVersion], group: &str, version: &str) -> Option<Value> {
    let found = all.iter().find(|g| g.group == group && g.version == version)?;
    let mut resources = Vec::new();
    for found in &found.resources {
        let kind = found.kind;
        resources.push(resource(found));
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

fn resource(resource: &Resource) -> Value {
    let kind = resource.kind;
    let mut entry = json!({
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": resource.verbs,
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
    use kabuki_actors::registry::Definitions;

    use super::{super::Catalog, *};

    #[test]
    fn documents() {
        let all = &Catalog::new(&Definitions::default()).groups[..];
        assert_eq!(versions(all, "h:1")["versions"], json!(["v1"]));
        assert_eq!(group(all, "apps").unwrap()["preferredVersion"]["groupVersion"], "apps/v1");
        assert!(group(all, "").is_none() && group(all, "nope").is_none());
        let core = resources(all, "", "v1").unwrap();
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
        let apps = resources(all, "apps", "v1").unwrap();
        let apps = apps["resources"].as_array().unwrap();
        let scale = apps.iter().find(|r| r["name"] == "deployments/scale").unwrap();
        assert_eq!(scale["group"], "autoscaling");
        assert!(resources(all, "apps", "v9").is_none());
    }
}
