//! Discovery: which groups, versions and resources are served, in the old form (one document per
//! group version) and the aggregated one. Made once from the kind table.

mod aggregated;
mod legacy;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use kabuki_api::{
    kind::{self, Kind},
    status::Status,
};
use serde_json::Value;
use sha2::{Digest, Sha512};

use super::{
    accept::{self, Discovery, Offer},
    answer,
    call::Call,
    documents::not_found,
    face::Face,
};

/// One version of one group, with its kinds.
pub(super) struct GroupVersion {
    group: &'static str,
    version: &'static str,
    kinds: Vec<&'static Kind>,
}

/// Group versions in discovery order.
static GROUPS: LazyLock<Vec<GroupVersion>> = LazyLock::new(|| {
    let mut groups: Vec<GroupVersion> = Vec::new();
    for kind in kind::all() {
        let known = groups.iter_mut().find(|g| g.group == kind.group && g.version == kind.version);
        match known {
            Some(group) => group.kinds.push(kind),
            None => groups.push(GroupVersion {
                group: kind.group,
                version: kind.version,
                kinds: vec![kind],
            }),
        }
    }
    for group in &mut groups {
        group.kinds.sort_by_key(|k| k.plural);
    }
    groups
});

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

/// `/api` and `/apis`, each in v2 and v2beta1.
static AGGREGATED: LazyLock<[[Aggregated; 2]; 2]> = LazyLock::new(|| {
    [true, false].map(|core| {
        ["v2", "v2beta1"].map(|version| Aggregated::new(&aggregated::document(core, version)))
    })
});

/// The paths of all groups and versions, for the root document.
pub(super) fn paths() -> Vec<String> {
    let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
    for group in GROUPS.iter() {
        if group.group.is_empty() {
            paths.push(format!("/api/{}", group.version));
        } else {
            paths.push(format!("/apis/{}", group.group));
            paths.push(format!("/apis/{}", group.name()));
        }
    }
    paths
}

/// Serves a path below `/api` or `/apis`.
pub(super) async fn serve(
    face: &Face,
    call: &Call,
    segments: &[&str],
) -> Result<HttpResponse, Status> {
    let document = match segments {
        ["api"] | ["apis"] => {
            if let Discovery::Aggregated(version) = accept::discovery(&call.accept)? {
                return Ok(aggregated_answer(call, segments[0] == "api", version).await);
            }
            Some(if segments[0] == "api" {
                legacy::versions(&face.advertise)
            } else {
                legacy::groups()
            })
        }
        ["apis", group] => legacy::group(group),
        ["api", version] => legacy::resources("", version),
        ["apis", group, version] => legacy::resources(group, version),
        _ => None,
    };
    let Some(document) = document else { return Ok(not_found()) };
    let (_, looks) = call.negotiate(Offer::Plain)?;
    Ok(answer::value(200, &document, looks).await)
}

async fn aggregated_answer(call: &Call, core: bool, version: &str) -> HttpResponse {
    let document = &AGGREGATED[usize::from(!core)][usize::from(version != "v2")];
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
        assert_eq!(GROUPS[0].name(), "v1");
        let names: std::collections::BTreeSet<_> = GROUPS.iter().map(GroupVersion::name).collect();
        assert_eq!(names.len(), GROUPS.len());
        assert!(paths().contains(&"/apis/apps/v1".to_owned()));
    }

    #[test]
    fn etags_differ() {
        assert_ne!(AGGREGATED[0][0].etag, AGGREGATED[1][0].etag);
        assert_ne!(AGGREGATED[0][0].etag, AGGREGATED[0][1].etag);
    }
}
