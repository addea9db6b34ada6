//! Content negotiation: what the client can read, in which rendering.

use kabuki_actors::registry::PatchKind;
use kabuki_api::{decode::Media, status::Status, table::Version};

/// Longest `Accept` header that is looked at, bytes.
const MAX_ACCEPT_BYTES: usize = 4 * 1024;

/// The serialization of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// `application/json`.
    #[default]
    Json,
    /// `application/yaml`.
    Yaml,
}

/// The rendering of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// The object itself.
    #[default]
    Object,
    /// A `Table`.
    Table(Version),
    /// `PartialObjectMetadata`.
    Partial(Version),
    /// `PartialObjectMetadataList`.
    PartialList(Version),
}

/// What an endpoint can answer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// Documents that have no other rendering: reviews, scales, discovery, errors.
    Plain,
    /// One object.
    Single,
    /// A list.
    List,
    /// A watch, each event of which holds one object; JSON only.
    Watch,
}

impl Offer {
    fn has(self, form: Form) -> bool {
        match form {
            Form::Object => true,
            Form::Table(_) => self != Self::Plain,
            Form::Partial(_) => matches!(self, Self::Single | Self::Watch),
            Form::PartialList(_) => self == Self::List,
        }
    }
}

/// What an answer will look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Its serialization.
    pub format: Format,
    /// Its rendering.
    pub form: Form,
}

/// One clause of an `Accept` header.
struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let mut clause = Self { media, parameters: Vec::new(), quality: 1.0 };
        for (name, value) in parts.filter_map(|p| p.split_once('=')) {
            let value = value.trim_matches('"');
            if name == "q" {
                clause.quality = value.parse().unwrap_or(0.0);
            } else {
                clause.parameters.push((name, value));
            }
        }
        clause
    }

    fn parameter(&self, name: &str) -> Option<&'a str> {
        self.parameters.iter().find(|(n, _)| *n == name).map(|(_, v)| *v)
    }

    fn format(&self) -> Option<Format> {
        match self.media {
            "application/json" | "application/*" | "*/*" | "*" => Some(Format::Json),
            "application/yaml" => Some(Format::Yaml),
            _ => None,
        }
    }

    fn form(&self) -> Option<Form> {
        let version = match (self.parameter("g"), self.parameter("v")) {
            (Some("meta.k8s.io"), Some("v1")) => Some(Version::V1),
            (Some("meta.k8s.io"), Some("v1beta1")) => Some(Version::V1Beta1),
            _ => None,
        };
        match self.parameter("as") {
            None => Some(Form::Object),
            Some("Table") => version.map(Form::Table),
            Some("PartialObjectMetadata") => version.map(Form::Partial),
            Some("PartialObjectMetadataList") => version.map(Form::PartialList),
            Some(_) => None,
        }
    }
}

fn clauses(header: &str) -> Vec<Clause<'_>> {
    let header = if header.len() > MAX_ACCEPT_BYTES { "" } else { header };
    let mut clauses: Vec<_> = header
        .split(',')
        .map(str::trim)
        .filter(|c| !c.is_empty())
        .map(Clause::parse)
        .filter(|c| c.quality > 0.0)
        .collect();
    // Stable, so that equal qualities keep the client's order.
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

/// Chooses the answer's looks from an `Accept` header; an empty one accepts everything.
///
/// # Errors
/// 406 when the client accepts nothing that can be produced here.
pub fn negotiate(header: &str, offer: Offer) -> Result<Accepted, Status> {
    let clauses = clauses(header);
    if clauses.is_empty() {
        return Ok(Accepted::default());
    }
    clauses
        .iter()
        .find_map(|clause| {
            let format = clause.format().filter(|f| offer != Offer::Watch || *f == Format::Json)?;
            let form = clause.form().filter(|form| offer.has(*form))?;
            Some(Accepted { format, form })
        })
        .ok_or_else(Status::not_acceptable)
}

/// The format for an error: never a refusal.
pub fn error_format(header: &str) -> Format {
    clauses(header).iter().find_map(Clause::format).unwrap_or_default()
}

/// Which discovery document a client wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discovery {
    /// The aggregated one; the version is `v2` or `v2beta1`.
    Aggregated(&'static str),
    /// The old one.
    Legacy(Format),
}

/// Chooses the discovery document.
///
/// # Errors
/// 406 as for [`negotiate`].
pub fn discovery(header: &str) -> Result<Discovery, Status> {
    for clause in clauses(header) {
        let aggregated = clause.media == "application/json"
            && clause.parameter("g") == Some("apidiscovery.k8s.io")
            && clause.parameter("as") == Some("APIGroupDiscoveryList");
        match (aggregated, clause.parameter("v")) {
            (true, Some("v2")) => return Ok(Discovery::Aggregated("v2")),
            (true, Some("v2beta1")) => return Ok(Discovery::Aggregated("v2beta1")),
            _ => {}
        }
        if let (Some(format), Some(Form::Object)) = (clause.format(), clause.form()) {
            return Ok(Discovery::Legacy(format));
        }
    }
    negotiate(header, Offer::Plain).map(|a| Discovery::Legacy(a.format))
}

/// The first of the client's media types that is offered; for one that takes anything the last of
/// those offered.
///
/// # Errors
/// 406 when none is.
pub fn first_of<'o>(header: &str, offered: &[&'o str]) -> Result<&'o str, Status> {
    let clauses = clauses(header);
    let last = offered.last().copied();
    let any = |media: &str| matches!(media, "*" | "*/*" | "application/*");
    let mut found = clauses.iter().filter_map(|clause| {
        let same = offered.iter().find(|o| **o == clause.media).copied();
        same.or(last.filter(|_| any(clause.media)))
    });
    let chosen = if clauses.is_empty() { last } else { found.next() };
    chosen.ok_or_else(Status::not_acceptable)
}

/// Whether an `If-None-Match` names an ETag (RFC 9110, section 13.1.2).
pub fn matches_etag(header: &str, etag: &str) -> bool {
    let tags = header.split(',').map(|tag| tag.trim().trim_start_matches("W/"));
    tags.into_iter().any(|tag| tag == etag || tag == "*")
}

/// Reads the `Content-Type` of a request body; absent means JSON.
///
/// # Errors
/// 415 for a type that cannot be decoded.
pub fn body_media(content_type: &str) -> Result<Media, Status> {
    match media_type(content_type) {
        "" if content_type.trim().is_empty() => Ok(Media::Json),
        "application/json" => Ok(Media::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Media::Yaml),
        "application/vnd.kubernetes.protobuf" => Ok(Media::Protobuf),
        _ => Err(Status::unsupported_media(&[])),
    }
}

/// Reads the `Content-Type` of a patch.
///
/// # Errors
/// 415 for a type that is no patch; for a custom resource also for a strategic merge patch.
pub fn patch_kind(content_type: &str, custom: bool) -> Result<PatchKind, Status> {
    const STRATEGIC: &str = "application/strategic-merge-patch+json";
    let mut accepted = vec!["application/json-patch+json", "application/merge-patch+json"];
    accepted.extend((!custom).then_some(STRATEGIC));
    accepted.push("application/apply-patch+yaml");
    PatchKind::of_media_type(media_type(content_type))
        .filter(|kind| !custom || *kind != PatchKind::Strategic)
        .ok_or_else(|| Status::unsupported_media(&accepted))
}

fn media_type(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

    fn accepted(header: &str, offer: Offer) -> Option<(Format, Form)> {
        negotiate(header, offer).ok().map(|a| (a.format, a.form))
    }

    #[test]
    fn renderings() {
        let json = Some((Format::Json, Form::Object));
        let table = Some((Format::Json, Form::Table(Version::V1)));
        let kubectl =
            format!("{TABLE},application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json");
        let partial = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
        let v1 = Version::V1;
        for (header, offer, want) in [
            ("", Offer::Single, json),
            ("*/*", Offer::List, json),
            ("text/html, */*;q=0.1", Offer::List, json),
            ("application/yaml", Offer::Single, Some((Format::Yaml, Form::Object))),
            ("application/yaml", Offer::Watch, None),
            ("application/vnd.kubernetes.protobuf", Offer::Single, None),
            ("application/vnd.kubernetes.protobuf,application/json", Offer::Single, json),
            (
                "application/vnd.kubernetes.protobuf;stream=watch,application/json;stream=watch",
                Offer::Watch,
                json,
            ),
            (kubectl.as_str(), Offer::List, table),
            (kubectl.as_str(), Offer::Watch, table),
            (kubectl.as_str(), Offer::Plain, json),
            (TABLE, Offer::Plain, None),
            ("application/json;as=Table;v=v9;g=meta.k8s.io", Offer::List, None),
            (partial, Offer::Single, Some((Format::Json, Form::Partial(v1)))),
            (partial, Offer::List, None),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Offer::List,
                Some((Format::Json, Form::PartialList(v1))),
            ),
            (
                "application/json;q=0.5,application/yaml",
                Offer::Single,
                Some((Format::Yaml, Form::Object)),
            ),
            (
                "application/json;q=0,application/yaml",
                Offer::Single,
                Some((Format::Yaml, Form::Object)),
            ),
        ] {
            assert_eq!(accepted(header, offer), want, "{header} {offer:?}");
        }
        assert_eq!(negotiate("image/png", Offer::Plain).unwrap_err().code, 406);
        assert_eq!(error_format("application/yaml"), Format::Yaml);
        assert_eq!(error_format("image/png"), Format::Json);
    }

    #[test]
    fn discovery_documents() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let both = format!(
            "{v2},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
        );
        assert_eq!(discovery(&both).unwrap(), Discovery::Aggregated("v2"));
        assert_eq!(discovery("application/json").unwrap(), Discovery::Legacy(Format::Json));
        assert_eq!(discovery("").unwrap(), Discovery::Legacy(Format::Json));
        let future = v2.replace("v=v2", "v=v3");
        assert_eq!(discovery(&future).unwrap_err().code, 406);
        assert_eq!(
            discovery(&format!("{future},application/json")).unwrap(),
            Discovery::Legacy(Format::Json)
        );
    }

    #[test]
    fn documents_of_other_types() {
        let offered = ["application/x-proto", "application/json"];
        for (header, want) in [
            ("", Some("application/json")),
            ("*/*", Some("application/json")),
            ("application/x-proto", Some("application/x-proto")),
            ("application/json,application/x-proto", Some("application/json")),
            ("text/html,application/x-proto;q=0.5", Some("application/x-proto")),
            ("text/html", None),
        ] {
            assert_eq!(first_of(header, &offered).ok(), want, "{header}");
        }
        assert!(matches_etag("\"a\", W/\"b\"", "\"b\"") && matches_etag("*", "\"b\""));
        assert!(!matches_etag("", "\"b\"") && !matches_etag("\"ab\"", "\"b\""));
    }

    #[test]
    fn bodies() {
        assert_eq!(body_media("application/json; charset=utf-8").unwrap(), Media::Json);
        assert_eq!(body_media("").unwrap(), Media::Json);
        assert_eq!(body_media("application/yaml").unwrap(), Media::Yaml);
        assert_eq!(body_media("application/vnd.kubernetes.protobuf").unwrap(), Media::Protobuf);
        assert_eq!(body_media("application/cbor").unwrap_err().code, 415);
        let strategic = "application/strategic-merge-patch+json";
        assert_eq!(patch_kind(strategic, false).unwrap(), PatchKind::Strategic);
        let refused = patch_kind(strategic, true).unwrap_err();
        assert_eq!(
            refused.message,
            "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"
        );
        assert_eq!(body_media(";;;").unwrap_err().code, 415);
        assert_eq!(patch_kind("application/merge-patch+json", true).unwrap(), PatchKind::Merge);
        assert_eq!(patch_kind("application/json", false).unwrap_err().code, 415);
    }
}
