//! Query strings, and the options the API reads from them.

use std::{
    collections::BTreeMap,
    num::{IntErrorKind, ParseIntError},
    time::Duration,
};

use kabuki_actors::registry::{
    DeleteOptions, FieldValidation, ListOptions, Propagation, WatchOptions,
};
use kabuki_api::{status::Status, validate::FieldError};

use super::path::percent_decode;

/// Parameters that are looked at; further ones are ignored.
const MAX_PARAMETERS: usize = 256;
/// Longest `fieldManager`.
const MAX_MANAGER_CHARS: usize = 128;

/// The parameters of a query string, in order.
#[derive(Debug, Clone, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query string; what cannot be decoded is left out.
    pub fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|p| !p.is_empty()).take(MAX_PARAMETERS);
        let decode = |s: &str| percent_decode(s, true);
        Self(
            pairs
                .filter_map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((decode(name)?, decode(value)?))
                })
                .collect(),
        )
    }

    /// The first value of a parameter; empty when absent.
    pub fn get(&self, name: &str) -> &str {
        self.find(name).unwrap_or_default()
    }

    /// The first value of a parameter.
    pub fn find(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Every parameter with its first value.
    pub fn first_values(&self) -> BTreeMap<String, String> {
        self.0.iter().rev().cloned().collect()
    }

    /// All values of a parameter.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// A boolean as apimachinery reads it: anything but `0` and `false` is true.
    pub fn flag(&self, name: &str) -> Option<bool> {
        self.find(name).map(|v| !(v == "0" || v.eq_ignore_ascii_case("false")))
    }

    /// A boolean, false when absent.
    pub fn is_set(&self, name: &str) -> bool {
        self.flag(name).unwrap_or(false)
    }

    /// An integer.
    ///
    /// # Errors
    /// 400 when it is none.
    pub fn int(&self, name: &str) -> Result<Option<i64>, Status> {
        match self.find(name) {
            None | Some("") => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|e: ParseIntError| {
                let why = match e.kind() {
                    IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
                    _ => "invalid syntax",
                };
                Status::bad_request(format!("strconv.ParseInt: parsing {text:?}: {why}"))
            }),
        }
    }

    /// The options of a list.
    ///
    /// # Errors
    /// 400 for a limit that is no number; 422 for what only a watch may ask.
    pub fn list_options(&self, namespace: &str) -> Result<ListOptions, Status> {
        let limit = self.int("limit")?.unwrap_or(0);
        self.int("timeoutSeconds")?;
        if self.find("sendInitialEvents").is_some_and(|v| !v.is_empty()) {
            let detail = "sendInitialEvents is forbidden for list";
            return Err(invalid("ListOptions", FieldError::forbidden("sendInitialEvents", detail)));
        }
        Ok(ListOptions {
            namespace: some(namespace),
            label_selector: self.get("labelSelector").to_owned(),
            field_selector: self.get("fieldSelector").to_owned(),
            limit: usize::try_from(limit).unwrap_or(0),
            continue_token: self.get("continue").to_owned(),
            resource_version: self.get("resourceVersion").to_owned(),
            resource_version_match: self.get("resourceVersionMatch").to_owned(),
        })
    }

    /// The options of a watch.
    ///
    /// # Errors
    /// 400 for a limit or a timeout that is no number.
    pub fn watch_options(&self, namespace: &str) -> Result<WatchOptions, Status> {
        self.int("limit")?;
        self.int("timeoutSeconds")?;
        Ok(WatchOptions {
            namespace: some(namespace),
            label_selector: self.get("labelSelector").to_owned(),
            field_selector: self.get("fieldSelector").to_owned(),
            resource_version: self.get("resourceVersion").to_owned(),
            resource_version_match: self.get("resourceVersionMatch").to_owned(),
            send_initial_events: self.flag("sendInitialEvents"),
            allow_bookmarks: self.is_set("allowWatchBookmarks"),
        })
    }

    /// `dryRun`, of which `All` is the only value; `kind` names the options in the error.
    ///
    /// # Errors
    /// 422 for another value.
    pub fn dry_run(&self, kind: &str) -> Result<bool, Status> {
        let mut dry = false;
        for value in self.all("dryRun") {
            if value != "All" {
                return Err(invalid(kind, FieldError::not_supported("dryRun", value, &["All"])));
            }
            dry = true;
        }
        Ok(dry)
    }

    /// `fieldValidation`.
    ///
    /// # Errors
    /// 422 for an unknown value.
    pub fn field_validation(&self, kind: &str) -> Result<FieldValidation, Status> {
        match self.get("fieldValidation") {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Ignore" => Ok(FieldValidation::Ignore),
            "Strict" => Ok(FieldValidation::Strict),
            other => Err(invalid(
                kind,
                FieldError::not_supported("fieldValidation", other, &["Ignore", "Strict", "Warn"]),
            )),
        }
    }

    /// `fieldManager`, or the product of the user agent.
    ///
    /// # Errors
    /// 422 when it is too long or not printable.
    pub fn field_manager(&self, kind: &str, user_agent: &str) -> Result<String, Status> {
        let manager = match self.get("fieldManager") {
            "" => {
                let product = user_agent.split('/').next().unwrap_or_default();
                return Ok(product.chars().take(MAX_MANAGER_CHARS).collect());
            }
            given => given,
        };
        if manager.chars().count() > MAX_MANAGER_CHARS {
            return Err(invalid(kind, FieldError::too_long("fieldManager", MAX_MANAGER_CHARS)));
        }
        if manager.chars().any(char::is_control) {
            let detail = "should only contain printable characters";
            return Err(invalid(kind, FieldError::invalid("fieldManager", manager, detail)));
        }
        Ok(manager.to_owned())
    }

    /// The options of a delete that has no body.
    ///
    /// # Errors
    /// 400 and 422 for values that cannot be read.
    pub fn delete_options(&self) -> Result<DeleteOptions, Status> {
        let propagation = match self.get("propagationPolicy") {
            "" => None,
            text => Some(Propagation::parse(text).ok_or_else(|| {
                let known = ["Background", "Foreground", "Orphan"];
                let error = FieldError::not_supported("propagationPolicy", text, &known);
                invalid("DeleteOptions", error)
            })?),
        };
        Ok(DeleteOptions {
            grace_period_seconds: self.int("gracePeriodSeconds")?,
            propagation,
            orphan_dependents: self.flag("orphanDependents"),
            uid: None,
            resource_version: None,
            dry_run: self.dry_run("DeleteOptions")?,
        })
    }

    /// `timeout` (Go duration, as client-go sends it) or `timeoutSeconds`.
    pub fn timeout(&self) -> Option<Duration> {
        let seconds = self.get("timeoutSeconds").parse().ok().filter(|s| *s > 0);
        seconds.map(Duration::from_secs).or_else(|| go_duration(self.get("timeout")))
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn invalid(kind: &str, error: FieldError) -> Status {
    Status::invalid_named("meta.k8s.io", kind, "", &[error])
}

/// Reads `1m30s`, `500ms`, `2h`; `None` for anything else and for zero.
fn go_duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u32 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit_end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = match &rest[..unit_end] {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_secs(60),
            "h" => Duration::from_secs(3600),
            _ => return None,
        };
        total = total.checked_add(unit.checked_mul(number)?)?;
        rest = &rest[unit_end..];
    }
    (!total.is_zero()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters() {
        let q = Query::parse("watch=1&labelSelector=a%3Db,c+in+(d)&limit=5&x=&dryRun=All&y");
        assert!(q.is_set("watch"));
        assert_eq!(q.get("labelSelector"), "a=b,c in (d)");
        assert_eq!(q.int("limit").unwrap(), Some(5));
        assert_eq!((q.flag("x"), q.flag("y"), q.flag("z")), (Some(true), Some(true), None));
        assert!(q.dry_run("CreateOptions").unwrap());
        assert!(!Query::parse("watch=False").is_set("watch"));
    }

    #[test]
    fn bad_values() {
        assert_eq!(Query::parse("limit=x").int("limit").unwrap_err().code, 400);
        let status = Query::parse("dryRun=Some").dry_run("PatchOptions").unwrap_err();
        assert_eq!(
            (status.code, status.details.as_ref().unwrap().kind.as_str()),
            (422, "PatchOptions")
        );
        assert_eq!(Query::parse("fieldValidation=x").field_validation("O").unwrap_err().code, 422);
        let long = format!("fieldManager={}", "a".repeat(129));
        assert_eq!(Query::parse(&long).field_manager("O", "").unwrap_err().code, 422);
        assert_eq!(Query::parse("").field_manager("O", "kubectl/v1.33").unwrap(), "kubectl");
        assert_eq!(Query::parse("propagationPolicy=x").delete_options().unwrap_err().code, 422);
    }

    #[test]
    fn durations() {
        for (text, want) in [
            ("1m30s", Some(90_000)),
            ("500ms", Some(500)),
            ("2h", Some(7_200_000)),
            ("0s", None),
            ("5", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(go_duration(text), want.map(Duration::from_millis), "{text}");
        }
    }
}
