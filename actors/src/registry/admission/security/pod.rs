//! A pod or the template of one as the checks see it, and how they word what they find.

use serde_json::Value;

use super::super::{super::object::text, amounts};
use super::level::Version;

/// What is checked: metadata and spec of a pod or template, by the policy of a version.
#[derive(Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) meta: &'a Value,
    pub(super) spec: &'a Value,
    pub(super) version: Version,
}

/// What a check found.
#[derive(Debug, PartialEq)]
pub(super) struct Violation {
    /// In a few words.
    pub(super) reason: &'static str,
    /// Where, and what to change.
    pub(super) detail: String,
}

/// A check.
pub(super) type Check = fn(Pod<'_>) -> Option<Violation>;

pub(super) fn violation(reason: &'static str, detail: String) -> Option<Violation> {
    Some(Violation { reason, detail })
}

impl<'a> Pod<'a> {
    /// Every container, those that start the pod first, those for debugging last.
    pub(super) fn containers(self) -> impl Iterator<Item = &'a Value> {
        ["initContainers", "containers", "ephemeralContainers"]
            .into_iter()
            .flat_map(move |list| amounts::list(&self.spec[list]))
    }

    /// The names of the containers of which something holds.
    pub(super) fn names(self, is: impl Fn(&'a Value) -> bool) -> Vec<&'a str> {
        self.containers().filter(|c| is(c)).map(|c| text(c, "name")).collect()
    }

    pub(super) fn volumes(self) -> &'a [Value] {
        amounts::list(&self.spec["volumes"])
    }

    /// Windows pods have none of what some checks are about.
    pub(super) fn is_windows(self) -> bool {
        self.version.from(25) && self.spec["os"]["name"] == "windows"
    }

    /// Whether its root is not the node's.
    pub(super) fn has_own_users(self) -> bool {
        self.version.from(35) && self.spec["hostUsers"] == false
    }

    /// A field of the pod's security context, then that of each container, as who sets what.
    pub(super) fn setters(self, bad: impl Fn(&'a Value) -> bool) -> Setters<'a> {
        let pod = bad(&self.spec["securityContext"]);
        Setters { pod, containers: self.names(|c| bad(&c["securityContext"])) }
    }
}

/// Who sets something.
pub(super) struct Setters<'a> {
    pub(super) pod: bool,
    pub(super) containers: Vec<&'a str>,
}

impl Setters<'_> {
    /// `pod and containers "a", "b"`; `None` if nobody does.
    pub(super) fn words(&self) -> Option<String> {
        let containers = (!self.containers.is_empty()).then(|| container_words(&self.containers));
        match (self.pod, containers) {
            (false, None) => None,
            (true, None) => Some("pod".to_owned()),
            (false, Some(containers)) => Some(containers),
            (true, Some(containers)) => Some(format!("pod and {containers}")),
        }
    }
}

/// `container "a"` or `containers "a", "b"`.
pub(super) fn container_words(names: &[&str]) -> String {
    format!("{} {}", plural(names.len(), "container", "containers"), quoted(names))
}

pub(super) fn plural<'a>(count: usize, one: &'a str, many: &'a str) -> &'a str {
    if count == 1 { one } else { many }
}

/// `"a", "b"`, without escapes, as upstream.
pub(super) fn quoted<S: AsRef<str>>(items: &[S]) -> String {
    items.iter().map(|item| format!("\"{}\"", item.as_ref())).collect::<Vec<_>>().join(", ")
}
