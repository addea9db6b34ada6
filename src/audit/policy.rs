//! The audit policy: which requests are recorded, and how much of them (apiserver `pkg/audit/policy`,
//! `pkg/apis/audit/validation`).

use std::path::Path;

use kabuki_actors::auth::{Attributes, UserInfo};
use serde::Deserialize;
use serde_json::Value;

use crate::settings_file::{self, SettingsError};

/// Most rules of a policy: each may be asked for every request.
const RULES_MAX: usize = 1_000;
const API_VERSION: &str = "audit.k8s.io/v1";

/// How much of a request is recorded; each level holds those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing.
    None,
    /// Who did what to which object, and how it ended.
    Metadata,
    /// The request's body as well.
    Request,
    /// The answer's body as well.
    RequestResponse,
}

impl Level {
    const ALL: [Self; 4] = [Self::None, Self::Metadata, Self::Request, Self::RequestResponse];

    /// As policies and events write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// When in a request's life an event is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It is known who asks what.
    RequestReceived,
    /// The head of an answer without end was sent.
    ResponseStarted,
    /// The answer was sent.
    ResponseComplete,
    /// The handler panicked.
    Panic,
}

impl Stage {
    const ALL: [Self; 4] =
        [Self::RequestReceived, Self::ResponseStarted, Self::ResponseComplete, Self::Panic];

    /// As policies and events write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// A set of stages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stages(u8);

impl Stages {
    /// Whether a stage is in the set.
    pub fn contains(self, stage: Stage) -> bool {
        self.0 & (1 << stage as u8) != 0
    }
}

/// What the policy says of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// How much is recorded.
    pub level: Level,
    /// Stages that are not recorded.
    pub omit: Stages,
    /// Whether `metadata.managedFields` is left out of bodies.
    pub omit_managed_fields: bool,
}

/// A policy that was checked.
#[derive(Debug)]
pub struct Policy {
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Rule {
    file: RuleFile,
    level: Level,
    omit: Stages,
    omit_managed_fields: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PolicyFile {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: Value,
    #[serde(default)]
    rules: Vec<RuleFile>,
    #[serde(default)]
    omit_stages: Vec<String>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct RuleFile {
    level: String,
    users: Vec<String>,
    user_groups: Vec<String>,
    verbs: Vec<String>,
    resources: Vec<GroupResources>,
    namespaces: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    non_resource_urls: Vec<String>,
    omit_stages: Vec<String>,
    omit_managed_fields: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct GroupResources {
    group: String,
    resources: Vec<String>,
    resource_names: Vec<String>,
}

impl Policy {
    /// Reads and checks a policy.
    ///
    /// # Errors
    /// When the file cannot be read or says something a policy cannot say.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        settings_file::load("audit policy", path, Self::parse)
    }

    /// Reads a policy from YAML or JSON; the error says what is wrong and where.
    ///
    /// # Errors
    /// When it is no policy.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: PolicyFile = serde_yaml::from_str(text).map_err(|e| e.to_string())?;
        let found = (file.api_version.as_str(), file.kind.as_str());
        settings_file::check_type((API_VERSION, "Policy"), found)?;
        if file.rules.is_empty() {
            return Err("it has no rules: nothing would be recorded, give at least one".into());
        }
        if file.rules.len() > RULES_MAX {
            return Err(format!("it has more than {RULES_MAX} rules"));
        }
        let omit = stages("omitStages", &file.omit_stages)?;
        let mut rules = Vec::with_capacity(file.rules.len());
        for (at, rule) in file.rules.into_iter().enumerate() {
            let own = stages(&format!("rules[{at}].omitStages"), &rule.omit_stages)?;
            rules.push(Rule {
                level: check(at, &rule)?,
                omit: Stages(omit.0 | own.0),
                omit_managed_fields: rule.omit_managed_fields.unwrap_or(file.omit_managed_fields),
                file: rule,
            });
        }
        Ok(Self { rules })
    }

    /// What is recorded of a request; `user` is `None` when nobody could be authenticated. The first
    /// rule that matches decides; where none does, nothing is recorded.
    pub fn verdict(&self, user: Option<&UserInfo>, asked: &Attributes<'_>) -> Verdict {
        let found = self.rules.iter().find(|rule| rule.file.matches(user, asked));
        found.map_or(
            Verdict { level: Level::None, omit: Stages::default(), omit_managed_fields: false },
            |rule| Verdict {
                level: rule.level,
                omit: rule.omit,
                omit_managed_fields: rule.omit_managed_fields,
            },
        )
    }
}

fn stages(field: &str, names: &[String]) -> Result<Stages, String> {
    let mut set = Stages::default();
    for (at, name) in names.iter().enumerate() {
        let stage = Stage::ALL.into_iter().find(|s| s.name() == name).ok_or_else(|| {
            let known = Stage::ALL.map(|s| format!("{:?}", s.name())).join(", ");
            format!("{field}[{at}]: Unsupported value: {name:?}: supported values: {known}")
        })?;
        set.0 |= 1 << stage as u8;
    }
    Ok(set)
}

fn check(at: usize, rule: &RuleFile) -> Result<Level, String> {
    let field = |name: &str| format!("rules[{at}].{name}");
    if rule.level.is_empty() {
        return Err(format!("{}: Required value", field("level")));
    }
    let level = Level::ALL.into_iter().find(|l| l.name() == rule.level).ok_or_else(|| {
        let known = Level::ALL.map(|l| format!("{:?}", l.name())).join(", ");
        format!(
            "{}: Unsupported value: {:?}: supported values: {known}",
            field("level"),
            rule.level
        )
    })?;
    let about_resources = !rule.resources.is_empty() || !rule.namespaces.is_empty();
    if about_resources && !rule.non_resource_urls.is_empty() {
        return Err(format!(
            "{}: Invalid value: {:?}: rules cannot apply to both regular resources and non-resource URLs",
            field("nonResourceURLs"),
            rule.non_resource_urls
        ));
    }
    for (index, url) in rule.non_resource_urls.iter().enumerate() {
        let field = field(&format!("nonResourceURLs[{index}]"));
        if url != "*" && !url.starts_with('/') {
            return Err(format!(
                "{field}: Invalid value: {url:?}: non-resource URL rules must begin with a '/' character"
            ));
        }
        if url.trim_end_matches('*').contains('*') || url.ends_with("**") {
            return Err(format!(
                "{field}: Invalid value: {url:?}: non-resource URL wildcards '*' must be the final character of the rule"
            ));
        }
    }
    for (index, group) in rule.resources.iter().enumerate() {
        let field = field(&format!("resources[{index}]"));
        if group.group.contains('/') {
            return Err(format!(
                "{field}.group: Invalid value: {:?}: it is a group without its version",
                group.group
            ));
        }
        if group.resources.is_empty() && !group.resource_names.is_empty() {
            return Err(format!(
                "{field}.resourceNames: Invalid value: {:?}: using resourceNames requires at least one resource",
                group.resource_names
            ));
        }
    }
    Ok(level)
}

fn has(list: &[String], value: &str) -> bool {
    list.iter().any(|v| v == value)
}

impl RuleFile {
    fn matches(&self, user: Option<&UserInfo>, asked: &Attributes<'_>) -> bool {
        let by_name = self.users.is_empty() || user.is_some_and(|u| has(&self.users, &u.name));
        let by_group = self.user_groups.is_empty()
            || user.is_some_and(|u| u.groups.iter().any(|g| has(&self.user_groups, g)));
        let by_verb = self.verbs.is_empty() || has(&self.verbs, asked.verb);
        if !(by_name && by_group && by_verb) {
            return false;
        }
        if !self.namespaces.is_empty() || !self.resources.is_empty() {
            return asked.is_resource() && self.matches_resource(asked);
        }
        if self.non_resource_urls.is_empty() {
            return true;
        }
        !asked.is_resource() && self.non_resource_urls.iter().any(|u| covers(u, asked.path))
    }

    fn matches_resource(&self, asked: &Attributes<'_>) -> bool {
        if !self.namespaces.is_empty() && !has(&self.namespaces, asked.namespace) {
            return false;
        }
        self.resources.is_empty() || self.resources.iter().any(|group| group.matches(asked))
    }
}

fn covers(url: &str, path: &str) -> bool {
    url == path || url.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

impl GroupResources {
    fn matches(&self, asked: &Attributes<'_>) -> bool {
        if self.group != asked.group {
            return false;
        }
        if self.resources.is_empty() {
            return true;
        }
        if !self.resource_names.is_empty() && !has(&self.resource_names, asked.name) {
            return false;
        }
        let full = asked.full_resource();
        self.resources.iter().any(|wanted| {
            *wanted == full
                || wanted == "*"
                || (!asked.subresource.is_empty()
                    && wanted.strip_prefix("*/") == Some(asked.subresource))
                || wanted.strip_suffix("/*") == Some(asked.resource)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";

    fn policy(rules: &str) -> Policy {
        Policy::parse(&format!("{HEAD}{rules}")).unwrap()
    }

    fn asked<'a>(verb: &'a str, resource: &'a str, subresource: &'a str) -> Attributes<'a> {
        Attributes {
            verb,
            resource,
            subresource,
            namespace: "d",
            name: "x",
            ..Attributes::default()
        }
    }

    #[test]
    fn the_first_rule_that_matches_decides() {
        let policy = policy(
            r#"
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- {level: None, users: ["system:node:a"], verbs: [get]}
- {level: Request, userGroups: [team], namespaces: [d], omitStages: [Panic]}
- {level: RequestResponse, resources: [{group: "", resources: [pods, "configmaps/*", "*/scale"]}], omitManagedFields: false}
- {level: Metadata, resources: [{group: "", resources: [secrets], resourceNames: [y]}]}
- {level: Metadata, nonResourceURLs: ["/healthz*", "/version"]}
"#,
        );
        let node = UserInfo { name: "system:node:a".into(), ..UserInfo::default() };
        let team = UserInfo { groups: vec!["team".into()], ..UserInfo::default() };
        let nobody = UserInfo::default();
        for (user, asked, want) in [
            (&node, asked("get", "pods", ""), Level::None),
            (&node, asked("list", "pods", ""), Level::RequestResponse),
            (&team, asked("get", "nodes", ""), Level::Request),
            (&team, Attributes { namespace: "", ..asked("get", "nodes", "") }, Level::None),
            (&nobody, asked("get", "pods", "log"), Level::None),
            (&nobody, asked("get", "configmaps", "status"), Level::RequestResponse),
            (&nobody, asked("get", "deployments", "scale"), Level::RequestResponse),
            (&nobody, asked("get", "secrets", ""), Level::None),
            (&nobody, Attributes { name: "y", ..asked("get", "secrets", "") }, Level::Metadata),
            (&nobody, Attributes::path("get", "/healthz/etcd"), Level::Metadata),
            (&nobody, Attributes::path("get", "/version/"), Level::None),
        ] {
            assert_eq!(policy.verdict(Some(user), &asked).level, want, "{asked:?}");
        }
        assert_eq!(policy.verdict(None, &asked("get", "pods", "")).level, Level::RequestResponse);
        let verdict = policy.verdict(Some(&team), &asked("get", "nodes", ""));
        assert!(
            verdict.omit.contains(Stage::RequestReceived) && verdict.omit.contains(Stage::Panic)
        );
        assert!(!verdict.omit.contains(Stage::ResponseComplete) && verdict.omit_managed_fields);
        assert!(!policy.verdict(None, &asked("get", "pods", "")).omit_managed_fields);
    }

    #[test]
    fn bad_policies_say_what_is_wrong() {
        for (rules, want) in [
            ("rules: []", "no rules"),
            ("rules: [{}]", "rules[0].level: Required"),
            ("rules: [{level: All}]", "rules[0].level: Unsupported value: \"All\""),
            ("rules: [{level: None, verb: [get]}]", "unknown field `verb`"),
            ("rules: [{level: None, omitStages: [Done]}]", "rules[0].omitStages[0]"),
            ("rules: [{level: None, nonResourceURLs: [x]}]", "must begin with a '/'"),
            ("rules: [{level: None, nonResourceURLs: ['/a*b']}]", "must be the final character"),
            (
                "rules: [{level: None, namespaces: [d], nonResourceURLs: ['/a']}]",
                "cannot apply to both",
            ),
            (
                "rules: [{level: None, resources: [{group: apps/v1}]}]",
                "rules[0].resources[0].group",
            ),
            ("rules: [{level: None, resources: [{resourceNames: [x]}]}]", "requires at least one"),
            ("rules: {", ""),
        ] {
            let error = Policy::parse(&format!("{HEAD}{rules}")).unwrap_err();
            assert!(error.contains(want), "{rules}: {error}");
        }
        let old = "apiVersion: audit.k8s.io/v1beta1\nkind: Policy\nrules: [{level: None}]";
        assert!(Policy::parse(old).unwrap_err().contains("audit.k8s.io/v1"));
    }
}
