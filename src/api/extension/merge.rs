//! Extension servers in the documents of discovery and OpenAPI: what they serve is added to the
//! answers this server gives of itself (kube-aggregator `pkg/apiserver/handler_discovery.go`,
//! `handler_apis.go`).

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    body::MessageBody,
    http::header::{CONTENT_TYPE, HeaderValue},
};
use bytes::Bytes;
use futures_util::future::join_all;
use kabuki_api::status::Status;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha512};

use crate::{
    aggregation::{Aggregator, Extension},
    api::{accept, answer, answer::Looks, call::Call, face::Face, header},
};

/// A document extension servers are added to.
pub struct Merge {
    aggregator: Arc<Aggregator>,
    extensions: Arc<[Arc<Extension>]>,
    if_none_match: String,
    gzip: bool,
    /// The group of `/apis/<group>`.
    group: Option<String>,
    openapi: bool,
}

impl Merge {
    /// What has to be added to the answer of a request, if there is any. The answer is made plain and
    /// whole for that, whatever the client asked for.
    pub fn of(face: &Face, call: &mut Call) -> Option<Self> {
        let aggregator = face.extensions.as_ref()?;
        let path = call.path.trim_matches('/');
        let (group, openapi) = match path.split('/').collect::<Vec<_>>()[..] {
            ["apis"] => (None, false),
            ["apis", group] => (Some(group.to_owned()), false),
            ["openapi", "v3"] => (None, true),
            _ => return None,
        };
        let extensions = aggregator.all();
        let concerned = extensions.iter().any(|e| group.as_ref().is_none_or(|g| *g == e.group));
        if !concerned || !matches!(call.verb, "get" | "head") {
            return None;
        }
        Some(Self {
            aggregator: Arc::clone(aggregator),
            extensions,
            if_none_match: std::mem::take(&mut call.if_none_match),
            gzip: std::mem::take(&mut call.gzip),
            group,
            openapi,
        })
    }

    /// The answer with the extension servers in it.
    pub async fn apply(self, own: HttpResponse) -> Result<HttpResponse, Status> {
        let media = own.headers().get(CONTENT_TYPE).cloned();
        let (own_head, own_body) = own.into_parts();
        let Ok(bytes) = own_body.try_into_bytes() else {
            return Err(Status::internal("a discovery document is not there as a whole"));
        };
        let is_json = media.as_ref().is_some_and(|m| m.as_bytes().starts_with(b"application/json"));
        let ours = own_head.status().is_success() && is_json;
        let document = match (ours, &self.group) {
            (true, _) => serde_json::from_slice(&bytes).map_err(Status::internal)?,
            (false, Some(_)) if own_head.status().as_u16() == 404 => Value::Null,
            // Errors, and forms other than JSON, stay as they are.
            _ => return Ok(own_head.set_body(bytes).map_into_boxed_body()),
        };
        let merged = self.merged(document).await;
        let etag_wanted = own_head.headers().contains_key("etag");
        self.answer(&merged, media.filter(|_| ours), etag_wanted).await
    }

    async fn merged(&self, mut document: Value) -> Value {
        if self.openapi {
            self.add_openapi(&mut document).await;
        } else if let Some(group) = &self.group {
            add_versions(&mut document, group, &self.of_group(group));
            document["kind"] = "APIGroup".into();
            document["apiVersion"] = "v1".into();
        } else if document["kind"] == "APIGroupDiscoveryList" {
            self.add_resources(&mut document).await;
        } else {
            self.add_groups(&mut document);
        }
        document
    }

    fn of_group(&self, group: &str) -> Vec<&Extension> {
        self.extensions.iter().filter(|e| e.group == group).map(|e| &**e).collect()
    }

    fn add_groups(&self, document: &mut Value) {
        let Some(groups) = document["groups"].as_array_mut() else { return };
        for extension in self.extensions.iter() {
            let versions = self.of_group(&extension.group);
            match groups.iter_mut().find(|g| g["name"] == *extension.group) {
                Some(group) => add_versions(group, &extension.group, &versions),
                None => {
                    let mut group = Value::Null;
                    add_versions(&mut group, &extension.group, &versions);
                    groups.push(group);
                }
            }
        }
    }

    async fn add_resources(&self, document: &mut Value) {
        let asked = self.extensions.iter().map(|extension| async move {
            let path = format!("/apis/{}/{}", extension.group, extension.version);
            let found = match extension.available {
                true => self.aggregator.served(extension, &path).await,
                false => Arc::default(),
            };
            (extension, version_entry(extension, &found))
        });
        let found = join_all(asked).await;
        let Some(items) = document["items"].as_array_mut() else { return };
        for (extension, entry) in found {
            let item = items.iter_mut().find(|i| i["metadata"]["name"] == *extension.group);
            match item.and_then(|i| i["versions"].as_array_mut()) {
                Some(versions) if versions.iter().any(|v| v["version"] == *extension.version) => {}
                Some(versions) => versions.push(entry),
                None => {
                    items.push(json!({"metadata": {"name": extension.group}, "versions": [entry]}))
                }
            }
        }
    }

    async fn add_openapi(&self, document: &mut Value) {
        let available = self.extensions.iter().filter(|e| e.available);
        let asked = available.map(|extension| async move {
            let index = self.aggregator.served(extension, "/openapi/v3").await;
            let name = format!("apis/{}/{}", extension.group, extension.version);
            index["paths"][&name].is_object().then(|| (name.clone(), index["paths"][&name].clone()))
        });
        let found = join_all(asked).await;
        let Some(paths) = document["paths"].as_object_mut() else { return };
        for (name, entry) in found.into_iter().flatten() {
            paths.entry(name).or_insert(entry);
        }
    }

    async fn answer(
        &self,
        document: &Value,
        media: Option<HeaderValue>,
        etag_wanted: bool,
    ) -> Result<HttpResponse, Status> {
        let json = Bytes::from(document.to_string());
        let etag = format!("\"{}\"", hex::encode_upper(Sha512::digest(&json)));
        let mut response = if etag_wanted && accept::matches_etag(&self.if_none_match, &etag) {
            HttpResponse::NotModified().finish()
        } else {
            answer::document(200, json, Looks { gzip: self.gzip, ..Looks::default() }).await
        };
        if let Some(media) = media {
            response.headers_mut().insert(CONTENT_TYPE, media);
        }
        if etag_wanted {
            header(&mut response, "etag", &etag);
            header(&mut response, "vary", "Accept");
            header(&mut response, "cache-control", "public");
        }
        Ok(response)
    }
}

/// Adds versions to an `APIGroup`, those this server has first.
fn add_versions(group: &mut Value, name: &str, extensions: &[&Extension]) {
    if !group.is_object() {
        *group = json!({"name": name, "versions": []});
    }
    let Some(versions) = group["versions"].as_array_mut() else { return };
    for extension in extensions {
        if !versions.iter().any(|v| v["version"] == *extension.version) {
            let whole = format!("{}/{}", extension.group, extension.version);
            versions.push(json!({"groupVersion": whole, "version": extension.version}));
        }
    }
    let first = versions.first().cloned().unwrap_or_default();
    if group["preferredVersion"].is_null() {
        group["preferredVersion"] = first;
    }
}

/// One version of a group in aggregated discovery, from an `APIResourceList`; without one it is
/// stale.
fn version_entry(extension: &Extension, list: &Value) -> Value {
    let version = &extension.version;
    let Some(listed) = list["resources"].as_array() else {
        return json!({"version": version, "freshness": "Stale"});
    };
    let kind = |resource: &Value| {
        let or = |field: &str, own: &str| match resource[field].as_str() {
            Some(text) if !text.is_empty() => text.to_owned(),
            _ => own.to_owned(),
        };
        json!({"group": or("group", &extension.group), "version": or("version", version),
            "kind": resource["kind"]})
    };
    let mut resources: Vec<Map<String, Value>> = Vec::new();
    for resource in listed {
        let name = resource["name"].as_str().unwrap_or_default();
        if let Some((parent, sub)) = name.split_once('/') {
            let entry = json!({"subresource": sub, "responseKind": kind(resource),
                "verbs": resource["verbs"]});
            let parent = resources.iter_mut().find(|r| r["resource"] == parent);
            if let Some(parent) = parent
                && let Some(list) =
                    parent.entry("subresources").or_insert_with(|| json!([])).as_array_mut()
            {
                list.push(entry);
            }
            continue;
        }
        let mut entry = Map::new();
        entry.insert("resource".into(), name.into());
        entry.insert("responseKind".into(), kind(resource));
        let scope = if resource["namespaced"] == true { "Namespaced" } else { "Cluster" };
        entry.insert("scope".into(), scope.into());
        entry.insert("singularResource".into(), resource["singularName"].clone());
        for field in ["verbs", "shortNames", "categories"] {
            if resource[field].is_array() {
                entry.insert(field.into(), resource[field].clone());
            }
        }
        resources.push(entry);
    }
    json!({"version": version, "resources": resources, "freshness": "Current"})
}
