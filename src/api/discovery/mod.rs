//! Discovery: which groups, versions and resources are served, in the old form (one document per
//! group version) and the aggregated one. Made from the kind table and the definitions of custom
//! kinds, again when those changed.

mod aggregated;
mod legacy;

use std::sync::{Arc, OnceLock};

use actix_web::HttpResponse;
use kabuki_actors::registry::{Definitions, Registry};
use kabuki_api::{
    kind::{self, Kind},
    status::Status,
};
use parking_lot::RwLock;
use serde_json::Value;
use sha2::{Digest, Sha512};

use super::{
    accept::{self, Discovery, Offer},
    answer,
    call::Call,
    documents::not_found,
    face::Face,
};

/// Verbs of a custom resource whose definition is being deleted.
const TERMINATING_VERBS: &[&str] = &["delete", "deletecollection", "get", "list", "watch"];

/// One version of one group, with its resources.
pub(super) struct GroupVersion {
    group: &'static str,
    version: &'static str,
    resources: Vec<Resource>,
}

/// One resource.
struct Resource {
    kind: &'static Kind,
    verbs: &'static [&'static str],
}

/// What is served at one time.
pub(super) struct Catalog {
    /// In discovery order.
    groups: Vec<GroupVersion>,
    /// Revision of the definitions.
    revision: u64,
    /// `/api` and `/apis`, each in v2 and v2beta1.
    aggregated: [[OnceLock<Aggregated>; 2]; 2],
}

impl Catalog {
    fn new(definitions: &Definitions) -> Self {
        let built_in = kind::all().iter().map(|kind| Resource { kind, verbs: kind.verbs });
        let custom = definitions.all().flat_map(|definition| {
            let terminating = definition.is_terminating();
            definition.kinds().iter().map(move |kind| Resource {
                kind,
                verbs: if terminating { TERMINATING_VERBS } else { kind.verbs },
            })
        });
        let mut groups: Vec<GroupVersion> = Vec::new();
        for resource in built_in {
            add(&mut groups, resource);
        }
        // After the built-in ones in the order of their names, as upstream.
        let mut others: Vec<GroupVersion> = Vec::new();
        for resource in custom {
            let known = groups.iter().any(|g| g.group == resource.kind.group);
            add(if known { &mut groups } else { &mut others }, resource);
        }
        others.sort_by(|a, b| {
            let versions = || kind::custom::by_priority(a.version, b.version);
            a.group.cmp(b.group).then_with(versions)
        });
        groups.append(&mut others);
        for group in &mut groups {
            group.resources.sort_by_key(|r| r.kind.plural);
        }
        Self { groups, revision: definitions.revision(), aggregated: Default::default() }
    }

    fn aggregated(&self, core: bool, version: &str) -> &Aggregated {
        let place = &self.aggregated[usize::from(!core)][usize::from(version != "v2")];
        place.get_or_init(|| Aggregated::new(&aggregated::document(&self.groups, core, version)))
    }
}

fn add(groups: &mut Vec<GroupVersion>, resource: Resource) {
    let (group, version) = (resource.kind.group, resource.kind.version);
    match groups.iter_mut().find(|g| g.group == group && g.version == version) {
        Some(known) => known.resources.push(resource),
        None => {
            // The versions of a group stay together.
            let last = groups.iter().rposition(|g| g.group == group);
            let at = last.map_or(groups.len(), |last| last + 1);
            groups.insert(at, GroupVersion { group, version, resources: vec![resource] });
        }
    }
}

/// The catalog last made.
#[derive(Default)]
pub(super) struct Cache(RwLock<Option<Arc<Catalog>>>);

impl Cache {
    /// What is served now.
    pub(super) fn get(&self, registry: &Registry) -> Arc<Catalog> {
        let definitions = registry.definitions();
        if let Some(known) = &*self.0.read()
            && known.revision == definitions.revision()
        {
            return Arc::clone(known);
        }
        let made = Arc::new(Catalog::new(&definitions));
        *self.0.write() = Some(Arc::clone(&made));
        made
    }
}

impl GroupVersion {
    fn name(&self) -> String {
        match self.group {
            "" => self.version.to_owned(),
            group => format!("{group}/{}", self.version),
        }
    }
}

/// An aggregated document with its ETag.
struct Aggregated {
    json: bytes::Bytes,
    etag: String,
}

impl Aggregated {
    fn new(value: &Value) -> Self {
        let json = value.to_string();
        let etag = format!("\"{}\"", hex::encode_upper(Sha512::digest(&json)));
        Self { json: json.into(), etag }
    }
}

/// The paths of all groups and versions, for the root document.
pub(super) fn paths(catalog: &Catalog) -> Vec<String> {
    let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
    for group in &catalog.groups {
        if group.group.is_empty() {
            paths.push(format!("/api/{}", group.version));
            continue;
        }
        let whole = format!("/apis/{}", group.group);
        if !paths.contains(&whole) {
            paths.push(whole);
        }
        paths.push(format!("/apis/{}", group.name()));
    }
    paths
}

/// Serves a path below `/api` or `/apis`.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    segments: &[&str],
) -> Result<HttpResponse, Status> {
    let catalog = face.discovery.get(&face.registry);
    let groups = catalog.groups.as_slice();
    let document = match segments {
        ["api"] | ["apis"] => {
            if let Discovery::Aggregated(version) = accept::discovery(&call.accept)? {
                let core = segments[0] == "api";
                let document = catalog.aggregated(core, version);
                return Ok(aggregated_answer(call, document, version).await);
            }
            Some(if segments[0] == "api" {
                legacy::versions(groups, &face.advertise)
            } else {
                legacy::groups(groups)
            })
        }
        ["apis", group] => legacy::group(groups, group),
        ["api", version] => legacy::resources(groups, "", version),
        ["apis", group, version] => legacy::resources(groups, group, version),
        _ => None,
    };
    let Some(document) = document else { return Ok(not_found()) };
    let (_, looks) = call.negotiate(Offer::Plain)?;
    Ok(answer::value(200, &document, looks).await)
}

async fn aggregated_answer(call: &Call, document: &Aggregated, version: &str) -> HttpResponse {
    let mut response = if accept::matches_etag(&call.if_none_match, &document.etag) {
        HttpResponse::NotModified().finish()
    } else {
        let looks = answer::Looks { gzip: call.gzip, ..answer::Looks::default() };
        answer::document(200, document.json.clone(), looks).await
    };
    let content_type =
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList");
    super::header(&mut response, "content-type", &content_type);
    super::header(&mut response, "etag", &document.etag);
    super::header(&mut response, "vary", "Accept");
    super::header(&mut response, "cache-control", "public");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_come_once_and_core_first() {
        let catalog = Catalog::new(&Definitions::default());
        assert_eq!(catalog.groups[0].name(), "v1");
        let names = catalog.groups.iter().map(GroupVersion::name);
        let names: std::collections::BTreeSet<_> = names.collect();
        assert_eq!(names.len(), catalog.groups.len());
        assert!(paths(&catalog).contains(&"/apis/apps/v1".to_owned()));
    }

    #[test]
    fn etags_differ() {
        let catalog = Catalog::new(&Definitions::default());
        let etag = |core, version| catalog.aggregated(core, version).etag.clone();
        assert_ne!(etag(true, "v2"), etag(false, "v2"));
        assert_ne!(etag(true, "v2"), etag(true, "v2beta1"));
    }
}
