//! `APIGroupDiscoveryList`: all resources of `/api` or `/apis` in one document.

use serde_json::{Value, json};

use super::{GroupVersion, Resource};

/// The document of `/api` (`core`) or `/apis`.
pub(super) fn document(groups: &[GroupVersion], core: bool, version: &str) -> Value {
    let mut items: Vec<Value> = Vec::new();
    let mut last = None;
    for group in groups.iter().filter(|g| g.group.is_empty() == core) {
        if last == Some(group.group) {
            if let Some(versions) = items.last_mut().and_then(|i| i["versions"].as_array_mut()) {
                versions.push(version_entry(group));
            }
            continue;
        }
        last = Some(group.group);
        let metadata = if core { json!({}) } else { json!({"name": group.group}) };
        items.push(json!({"metadata": metadata, "versions": [version_entry(group)]}));
    }
    json!({
        "kind": "APIGroupDiscoveryList",
        "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {},
        "items": items,
    })
}

fn version_entry(group: &GroupVersion) -> Value {
    let resources: Vec<_> = group.resources.iter().map(resource).collect();
    json!({"version": group.version, "resources": resources, "freshness": "Current"})
}

fn resource(resource: &Resource) -> Value {
    let kind = resource.kind;
    let own = json!({"group": kind.group, "version": kind.version, "kind": kind.kind});
    let subresources: Vec<_> = kind
        .subresources
        .iter()
        .filter(|s| s.served)
        .map(|s| {
            let body = s.body.map_or_else(
                || own.clone(),
                |b| json!({"group": b.group, "version": b.version, "kind": b.kind}),
            );
            json!({"subresource": s.name, "responseKind": body, "verbs": s.verbs})
        })
        .collect();
    let mut entry = json!({
        "resource": kind.plural,
        "responseKind": own,
        "scope": if kind.namespaced { "Namespaced" } else { "Cluster" },
        "singularResource": kind.singular,
        "verbs": resource.verbs,
    });
    if !kind.short_names.is_empty() {
        entry["shortNames"] = json!(kind.short_names);
    }
    if !kind.categories.is_empty() {
        entry["categories"] = json!(kind.categories);
    }
    if !subresources.is_empty() {
        entry["subresources"] = subresources.into();
    }
    entry
}

#[cfg(test)]
mod tests {
    use kabuki_actors::registry::Definitions;

    use super::{super::Catalog, *};

    #[test]
    fn documents() {
        let groups = Catalog::new(&Definitions::default()).groups;
        let core = document(&groups, true, "v2");
        assert_eq!(core["apiVersion"], "apidiscovery.k8s.io/v2");
        assert_eq!(core["items"].as_array().unwrap().len(), 1);
        assert_eq!(core["items"][0]["metadata"], json!({}));
        let others = document(&groups, false, "v2beta1");
        let items = others["items"].as_array().unwrap();
        let apps = items.iter().find(|i| i["metadata"]["name"] == "apps").unwrap();
        let resources = apps["versions"][0]["resources"].as_array().unwrap();
        let deployments = resources.iter().find(|r| r["resource"] == "deployments").unwrap();
        assert_eq!(deployments["subresources"][0]["responseKind"]["kind"], "Scale");
        assert_eq!(deployments["scope"], "Namespaced");
    }
}
