//! Flow schemas: which requests belong to which priority level, and which of them are one flow
//! (kubernetes `apiserver/pkg/util/flowcontrol/rule.go`).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use kabuki_actors::auth::UserInfo;
use serde_json::Value;

const EVERY: &str = "*";

/// What a request is matched by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digest<'a> {
    pub(super) user: &'a UserInfo,
    pub(super) verb: &'a str,
    /// Of a request for a resource.
    pub(super) resource: Option<Target<'a>>,
    /// Of any other.
    pub(super) path: &'a str,
}

/// The resource asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) group: &'a str,
    pub(super) resource: &'a str,
    pub(super) subresource: &'a str,
    pub(super) namespace: &'a str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    /// User name of the account; with a name of `*` the beginning of all of its namespace.
    Account(String),
    Accounts(String),
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    cluster_scope: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct PathRule {
    verbs: Vec<String>,
    paths: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    paths: Vec<PathRule>,
}

/// What tells the flows of a schema apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Distinguisher {
    Nothing,
    User,
    Namespace,
}

/// One FlowSchema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) uid: String,
    /// Name of its priority level.
    pub(super) level: String,
    pub(super) precedence: i64,
    distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

impl Schema {
    /// A schema as stored.
    pub(super) fn read(object: &Value) -> Self {
        let (meta, spec) = (&object["metadata"], &object["spec"]);
        let distinguisher = match spec["distinguisherMethod"]["type"].as_str() {
            Some("ByUser") => Distinguisher::User,
            Some("ByNamespace") => Distinguisher::Namespace,
            _ => Distinguisher::Nothing,
        };
        Self {
            name: text(&meta["name"]),
            uid: text(&meta["uid"]),
            level: text(&spec["priorityLevelConfiguration"]["name"]),
            precedence: spec["matchingPrecedence"].as_i64().unwrap_or(i64::MAX),
            distinguisher,
            rules: list(&spec["rules"]).map(rule).collect(),
        }
    }

    /// Whether a request is of this schema.
    pub(super) fn matches(&self, digest: &Digest<'_>) -> bool {
        self.rules.iter().any(|rule| {
            rule.subjects.iter().any(|s| s.matches(digest.user))
                && match &digest.resource {
                    Some(target) => rule.resources.iter().any(|r| r.matches(digest.verb, target)),
                    None => rule.paths.iter().any(|r| r.matches(digest.verb, digest.path)),
                }
        })
    }

    /// The flow of a request: those of one flow wait in the same few queues.
    pub(super) fn flow(&self, digest: &Digest<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.name.hash(&mut hasher);
        match self.distinguisher {
            Distinguisher::Nothing => {}
            Distinguisher::User => digest.user.name.hash(&mut hasher),
            Distinguisher::Namespace => {
                digest.resource.map_or("", |t| t.namespace).hash(&mut hasher);
            }
        }
        hasher.finish()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn texts(value: &Value) -> Vec<String> {
    list(value).map(text).collect()
}

fn rule(rule: &Value) -> Rule {
    Rule {
        subjects: list(&rule["subjects"]).filter_map(subject).collect(),
        resources: list(&rule["resourceRules"])
            .map(|r| ResourceRule {
                verbs: texts(&r["verbs"]),
                groups: texts(&r["apiGroups"]),
                resources: texts(&r["resources"]),
                namespaces: texts(&r["namespaces"]),
                cluster_scope: r["clusterScope"] == true,
            })
            .collect(),
        paths: list(&rule["nonResourceRules"])
            .map(|r| PathRule { verbs: texts(&r["verbs"]), paths: texts(&r["nonResourceURLs"]) })
            .collect(),
    }
}

fn subject(subject: &Value) -> Option<Subject> {
    match subject["kind"].as_str()? {
        "User" => Some(Subject::User(text(&subject["user"]["name"]))),
        "Group" => Some(Subject::Group(text(&subject["group"]["name"]))),
        "ServiceAccount" => {
            let account = &subject["serviceAccount"];
            let of = format!("system:serviceaccount:{}:", text(&account["namespace"]));
            let name = text(&account["name"]);
            let every = name == EVERY;
            Some(if every { Subject::Accounts(of) } else { Subject::Account(of + &name) })
        }
        _ => None,
    }
}

impl Subject {
    fn matches(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) => name == EVERY || *name == user.name,
            Self::Group(name) => name == EVERY || user.in_group(name),
            Self::Account(name) => *name == user.name,
            Self::Accounts(of) => user.name.starts_with(of),
        }
    }
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|item| item == EVERY || item == wanted)
}

impl ResourceRule {
    fn matches(&self, verb: &str, target: &Target<'_>) -> bool {
        has(&self.verbs, verb)
            && has(&self.groups, target.group)
            && self.resources.iter().any(|resource| names(resource, target))
            && match target.namespace {
                "" => self.cluster_scope,
                namespace => has(&self.namespaces, namespace),
            }
    }
}

/// Whether `pods`, or `pods/log`, names what is asked for.
fn names(resource: &str, target: &Target<'_>) -> bool {
    if resource == EVERY {
        return true;
    }
    match resource.split_once('/') {
        None => target.subresource.is_empty() && resource == target.resource,
        Some((name, sub)) => name == target.resource && sub == target.subresource,
    }
}

impl PathRule {
    fn matches(&self, verb: &str, path: &str) -> bool {
        has(&self.verbs, verb)
            && self.paths.iter().any(|own| match own.strip_suffix('*') {
                Some(beginning) => path.starts_with(beginning),
                None => own == path,
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema(rules: &Value) -> Schema {
        Schema::read(&json!({"metadata": {"name": "s"}, "spec": {"rules": rules,
            "distinguisherMethod": {"type": "ByUser"}, "matchingPrecedence": 7,
            "priorityLevelConfiguration": {"name": "l"}}}))
    }

    fn user(name: &str, groups: &[&str]) -> UserInfo {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        UserInfo { name: name.into(), groups, ..UserInfo::default() }
    }

    #[test]
    fn rules_match_as_upstream() {
        let resources = json!([{"verbs": ["get", "list"], "apiGroups": [""],
            "resources": ["pods", "pods/log"], "namespaces": ["a"], "clusterScope": true}]);
        let paths = json!([{"verbs": ["*"], "nonResourceURLs": ["/healthz", "/debug/*"]}]);
        let subjects = json!([
            {"kind": "Group", "group": {"name": "team"}},
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "n", "name": "*"}},
            {"kind": "ServiceAccount", "serviceAccount": {"namespace": "m", "name": "x"}}]);
        let schema = schema(
            &json!([{"subjects": subjects, "resourceRules": resources, "nonResourceRules": paths}]),
        );
        let (jane, team) = (user("jane", &[]), user("joe", &["team"]));
        let ask = |user: &UserInfo, verb, resource, subresource, namespace| {
            let target = Target { group: "", resource, subresource, namespace };
            schema.matches(&Digest { user, verb, resource: Some(target), path: "" })
        };
        assert!(ask(&team, "get", "pods", "", "a"));
        assert!(ask(&team, "list", "pods", "log", "a"));
        assert!(ask(&team, "list", "pods", "", ""), "cluster scope");
        assert!(!ask(&team, "list", "pods", "", "b"));
        assert!(!ask(&team, "create", "pods", "", "a"));
        assert!(!ask(&team, "get", "pods", "exec", "a"));
        assert!(!ask(&jane, "get", "pods", "", "a"));
        assert!(ask(&user("system:serviceaccount:n:any", &[]), "get", "pods", "", "a"));
        assert!(!ask(&user("system:serviceaccount:m:any", &[]), "get", "pods", "", "a"));
        assert!(ask(&user("system:serviceaccount:m:x", &[]), "get", "pods", "", "a"));
        let path =
            |path| schema.matches(&Digest { user: &team, verb: "get", resource: None, path });
        assert!(path("/healthz") && path("/debug/actors") && !path("/healthz/x"));
    }

    #[test]
    fn flows_are_told_apart_by_what_the_schema_says() {
        let schema = schema(&json!([]));
        let flow = |name: &str| {
            let user = user(name, &[]);
            schema.flow(&Digest { user: &user, verb: "get", resource: None, path: "/" })
        };
        assert_eq!(flow("a"), flow("a"));
        assert_ne!(flow("a"), flow("b"));
        assert_eq!((schema.level.as_str(), schema.precedence), ("l", 7));
    }
}
