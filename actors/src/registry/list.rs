//! Get and list: consistent or from memory, exact revisions, pages and selectors.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use kabuki_api::{
    kind::Kind,
    selector::{FieldSelector, LabelSelector},
    status::Status,
    validate::FieldError,
};
use kabuki_raft::{ListPage, Revision, StoreError};
use serde::{Deserialize, Serialize};

use super::{
    object::Object,
    options::ListOptions,
    outcome::ListResult,
    store::{Registry, parse_revision, store_status},
};

/// Records looked at per step while a selector filters a limited list.
const SCAN_STEP: usize = 2_000;
/// `v` of continue tokens.
const TOKEN_VERSION: &str = "meta.k8s.io/v1";

/// Label and field selectors of a list or watch.
#[derive(Clone)]
pub(super) struct Selection {
    labels: Option<LabelSelector>,
    fields: Option<FieldSelector>,
}

impl Selection {
    pub(super) fn parse(kind: &'static Kind, labels: &str, fields: &str) -> Result<Self, Status> {
        let labels = match labels.trim() {
            "" => None,
            text => Some(LabelSelector::parse(text)?),
        };
        let fields = match fields.trim() {
            "" => None,
            text => {
                let selector = FieldSelector::parse(text)?;
                selector.check(kind)?;
                Some(selector)
            }
        };
        Ok(Self { labels, fields })
    }

    /// The narrowest prefix that holds all matches: one key, when the selector names one object.
    pub(super) fn prefix(&self, kind: &'static Kind, ns: Option<&str>) -> String {
        let name = self.fields.as_ref().and_then(|f| f.exact("metadata.name"));
        let ns = ns.filter(|ns| !ns.is_empty());
        match (name, ns) {
            (Some(name), Some(ns)) => kind.key(ns, name),
            (Some(name), None) if !kind.namespaced => kind.key("", name),
            _ => kind.prefix(ns),
        }
    }

    pub(super) fn is_everything(&self) -> bool {
        self.labels.is_none() && self.fields.is_none()
    }

    pub(super) fn matches(&self, object: &Object) -> bool {
        if let Some(fields) = &self.fields
            && fields.exact("metadata.name").is_some_and(|name| name != object.name())
        {
            // Most field selectors name one object; the key tells without decoding.
            return false;
        }
        let labels = self.labels.as_ref().is_none_or(|s| object.matches_labels(s));
        labels && self.fields.as_ref().is_none_or(|s| object.matches_fields(s))
    }
}

/// A continue token's content.
#[derive(Serialize, Deserialize)]
struct Token {
    v: String,
    /// Revision of the first page; -1 continues at whatever is current.
    rv: i64,
    /// Last key delivered.
    start: String,
}

impl Token {
    fn encode(revision: i64, start: &str) -> String {
        let token = Self { v: TOKEN_VERSION.to_owned(), rv: revision, start: start.to_owned() };
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(&token).unwrap_or_default())
    }

    fn decode(text: &str, prefix: &str) -> Result<Self, Status> {
        let bad = |what: &str| Status::bad_request(format!("continue key is not valid: {what}"));
        let bytes = URL_SAFE_NO_PAD
            .decode(text.trim_end_matches('='))
            .map_err(|_| bad("illegal base64 data"))?;
        let token: Self = serde_json::from_slice(&bytes).map_err(|e| bad(&e.to_string()))?;
        if token.v != TOKEN_VERSION {
            return Err(bad(&format!(
                "server does not recognize this encoded version {:?}",
                token.v
            )));
        }
        if !token.start.starts_with(prefix) {
            return Err(bad("it belongs to another list"));
        }
        Ok(token)
    }
}

/// Which revision a list is taken at.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// Linearizable.
    Latest,
    /// Whatever is applied here.
    Any,
    /// What is applied here, once it is at least this.
    NotOlderThan(Revision),
    /// Exactly this one, from history.
    Exact(Revision),
}

impl At {
    fn of(options: &ListOptions) -> Result<Self, Status> {
        let rule = options.resource_version_match.as_str();
        let version = options.resource_version.as_str();
        if !rule.is_empty() {
            check_match(options)?;
        }
        match (version, rule) {
            ("", _) => Ok(Self::Latest),
            ("0", _) => Ok(Self::Any),
            (text, "Exact") => Ok(Self::Exact(parse_revision(text)?)),
            (text, "") if options.limit > 0 => Ok(Self::Exact(parse_revision(text)?)),
            (text, _) => Ok(Self::NotOlderThan(parse_revision(text)?)),
        }
    }
}

fn check_match(options: &ListOptions) -> Result<(), Status> {
    let rule = options.resource_version_match.as_str();
    let path = "resourceVersionMatch";
    let error = if options.resource_version.is_empty() {
        FieldError::forbidden(
            path,
            "resourceVersionMatch is forbidden unless resourceVersion is provided",
        )
    } else if !options.continue_token.is_empty() {
        FieldError::forbidden(path, "resourceVersionMatch is forbidden when continue is provided")
    } else if rule != "Exact" && rule != "NotOlderThan" {
        FieldError::not_supported(path, rule, &["Exact", "NotOlderThan", ""])
    } else if rule == "Exact" && options.resource_version == "0" {
        FieldError::forbidden(
            path,
            "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"",
        )
    } else {
        return Ok(());
    };
    Err(Status::invalid_named("meta.k8s.io", "ListOptions", "", &[error]))
}

impl Registry {
    /// One object. `resource_version`: empty is the latest (linearizable), `0` whatever is applied
    /// here, N at least N.
    ///
    /// # Errors
    /// 404; 504 when N is ahead of the cluster; 503 when a linearizable read finds no leader.
    pub async fn get_consistent(
        &self,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        resource_version: &str,
    ) -> Result<Arc<Object>, Status> {
        match resource_version {
            "" => {
                self.barrier().await?;
            }
            "0" => {}
            text => self.wait_for(parse_revision(text)?).await?,
        }
        let object = self.local(kind, &kind.key(ns, name));
        let object = object.ok_or_else(|| Status::not_found(kind, name))?;
        object.check_readable()?;
        Ok(Arc::new(object))
    }

    /// A list, with the resourceVersion semantics of the API.
    ///
    /// # Errors
    /// 400 for selectors and tokens that cannot be read; 410 when the revision was compacted (with
    /// a token to go on inconsistently); 422 for options that exclude each other; 504 when the
    /// revision is ahead of the cluster.
    pub async fn list_consistent(
        &self,
        kind: &'static Kind,
        options: &ListOptions,
    ) -> Result<ListResult, Status> {
        let selection = Selection::parse(kind, &options.label_selector, &options.field_selector)?;
        let prefix = selection.prefix(kind, options.namespace.as_deref());
        let mut scan = Scan { registry: self, kind, prefix, at: None, start: None };
        if !options.resource_version_match.is_empty() {
            check_match(options)?;
        }
        if options.continue_token.is_empty() {
            match At::of(options)? {
                At::Latest => {
                    self.barrier().await?;
                }
                At::Any => {}
                At::NotOlderThan(revision) => self.wait_for(revision).await?,
                At::Exact(revision) => {
                    self.wait_for(revision).await?;
                    scan.at = Some(revision);
                }
            }
        } else {
            scan.resume(options).await?;
        }
        scan.run(&selection, options.limit).await
    }
}

/// A list under way.
struct Scan<'a> {
    registry: &'a Registry,
    kind: &'static Kind,
    prefix: String,
    /// Read at this revision from history; `None` reads the current state.
    at: Option<Revision>,
    start: Option<String>,
}

impl Scan<'_> {
    async fn resume(&mut self, options: &ListOptions) -> Result<(), Status> {
        if !matches!(options.resource_version.as_str(), "" | "0") {
            return Err(Status::bad_request(
                "specifying resource version is not allowed when using continue",
            ));
        }
        let token = Token::decode(&options.continue_token, &self.prefix)?;
        self.start = Some(token.start);
        if let Ok(revision) = Revision::try_from(token.rv) {
            // The token may have been given out by a member that is ahead of this one.
            self.registry.wait_for(revision).await?;
            self.at = Some(revision);
        } else {
            self.registry.barrier().await?;
        }
        Ok(())
    }

    async fn run(mut self, selection: &Selection, limit: usize) -> Result<ListResult, Status> {
        let everything = selection.is_everything();
        let mut items = Vec::new();
        let mut start = self.start.clone();
        loop {
            let step = match (limit, everything) {
                (0, _) => 0,
                (limit, true) => limit,
                (_, false) => SCAN_STEP,
            };
            let page = self.page(start.as_deref(), step).await?;
            // Later steps of one answer must show the same revision as the first.
            if page.more {
                self.at = Some(page.revision);
            }
            let (revision, remaining, mut more) = (page.revision, page.remaining, page.more);
            start = page.records.last().map(|r| r.key.to_string());
            for (index, record) in page.records.iter().enumerate() {
                let object = Object::new(self.kind, Arc::clone(record));
                object.check_readable()?;
                if everything || selection.matches(&object) {
                    items.push(Arc::new(object));
                }
                if limit > 0 && items.len() == limit {
                    more |= index + 1 < page.records.len();
                    start = Some(record.key.to_string());
                    break;
                }
            }
            if more && (limit == 0 || items.len() < limit) {
                continue;
            }
            let token = match (&start, more) {
                (Some(start), true) => Token::encode(i64::try_from(revision).unwrap_or(-1), start),
                _ => String::new(),
            };
            return Ok(ListResult {
                kind: self.kind,
                items,
                revision,
                remaining: (everything && !token.is_empty()).then_some(remaining),
                continue_token: token,
            });
        }
    }

    async fn page(&self, start: Option<&str>, limit: usize) -> Result<ListPage, Status> {
        let store = self.registry.store();
        let Some(revision) = self.at.filter(|r| *r != store.revision()) else {
            return Ok(store.list(&self.prefix, start, limit));
        };
        match store.list_at(&self.prefix, revision, start, limit).await {
            Ok(page) => Ok(page),
            Err(StoreError::Compacted { .. }) => {
                let token = start.map(|s| Token::encode(-1, s)).unwrap_or_default();
                Err(Status::continue_expired(&token))
            }
            Err(other) => Err(store_status(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(version: &str, rule: &str, limit: usize) -> ListOptions {
        ListOptions {
            resource_version: version.into(),
            resource_version_match: rule.into(),
            limit,
            ..ListOptions::default()
        }
    }

    #[test]
    fn revision_rules() {
        for (version, rule, limit, want) in [
            ("", "", 0, Some(At::Latest)),
            ("0", "", 5, Some(At::Any)),
            ("7", "", 0, Some(At::NotOlderThan(7))),
            ("7", "", 5, Some(At::Exact(7))),
            ("7", "NotOlderThan", 5, Some(At::NotOlderThan(7))),
            ("0", "NotOlderThan", 5, Some(At::Any)),
            ("7", "Exact", 0, Some(At::Exact(7))),
            ("0", "Exact", 0, None),
            ("", "Exact", 0, None),
            ("7", "Newest", 0, None),
            ("seven", "", 0, None),
        ] {
            assert_eq!(At::of(&options(version, rule, limit)).ok(), want, "{version} {rule}");
        }
    }

    #[test]
    fn tokens_round_trip_and_are_bound_to_their_list() {
        let text = Token::encode(9, "/registry/core/pods/default/a");
        let token = Token::decode(&text, "/registry/core/pods/").unwrap();
        assert_eq!((token.rv, token.start.as_str()), (9, "/registry/core/pods/default/a"));
        assert_eq!(Token::decode(&text, "/registry/core/secrets/").err().unwrap().code, 400);
        assert_eq!(Token::decode("???", "").err().unwrap().code, 400);
    }
}
