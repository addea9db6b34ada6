//! RBAC policy rules: what they allow and how they cover each other.

use serde::{Deserialize, Serialize};

use super::attributes::Attributes;

/// One `PolicyRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Rule {
    /// Verbs, or `*`.
    pub verbs: Vec<String>,
    /// API groups, or `*`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub api_groups: Vec<String>,
    /// Resources: `pods`, `pods/log`, `*`, `*/scale`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resources: Vec<String>,
    /// Names; empty is any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_names: Vec<String>,
    /// Paths, exact or with a trailing `*`.
    #[serde(rename = "nonResourceURLs", skip_serializing_if = "Vec::is_empty")]
    pub non_resource_urls: Vec<String>,
}

fn has(list: &[String], value: &str) -> bool {
    list.iter().any(|v| v == "*" || v == value)
}

impl Rule {
    /// Whether the rule allows a request.
    pub fn allows(&self, a: &Attributes<'_>) -> bool {
        if !has(&self.verbs, a.verb) {
            return false;
        }
        if !a.is_resource() {
            return self.non_resource_urls.iter().any(|url| path_matches(url, a.path));
        }
        has(&self.api_groups, a.group)
            && self.resources.iter().any(|r| resource_matches(r, a))
            && (self.resource_names.is_empty()
                || (!a.name.is_empty() && self.resource_names.iter().any(|n| n == a.name)))
    }

    /// Whether everything `other` (with at most one verb, group, resource, name and path, see
    /// [`Rule::atoms`]) allows is allowed by this rule.
    pub fn covers(&self, other: &Rule) -> bool {
        let all = |mine: &[String], theirs: &[String]| theirs.iter().all(|v| has(mine, v));
        let resources = other.resources.iter().all(|wanted| {
            self.resources.iter().any(|r| {
                r == "*" || r == wanted || {
                    let sub = wanted.split_once('/').map(|(_, sub)| sub);
                    r.strip_prefix("*/").is_some_and(|s| sub == Some(s))
                }
            })
        });
        let names = self.resource_names.is_empty()
            || (!other.resource_names.is_empty()
                && other.resource_names.iter().all(|n| self.resource_names.contains(n)));
        let urls = other.non_resource_urls.iter().all(|wanted| {
            self.non_resource_urls.iter().any(|url| {
                url == wanted
                    || url.strip_suffix('*').is_some_and(|prefix| wanted.starts_with(prefix))
            })
        });
        all(&self.verbs, &other.verbs)
            && all(&self.api_groups, &other.api_groups)
            && resources
            && names
            && urls
    }

    /// The rule taken apart into rules with one verb, one group, one resource (or path), and one
    /// name each, at most `limit` of them.
    pub fn atoms(&self, limit: usize) -> Vec<Rule> {
        let mut out = Vec::new();
        for verb in &self.verbs {
            for url in &self.non_resource_urls {
                out.push(Rule {
                    verbs: vec![verb.clone()],
                    non_resource_urls: vec![url.clone()],
                    ..Rule::default()
                });
            }
            for group in &self.api_groups {
                for resource in &self.resources {
                    let one = Rule {
                        verbs: vec![verb.clone()],
                        api_groups: vec![group.clone()],
                        resources: vec![resource.clone()],
                        ..Rule::default()
                    };
                    if self.resource_names.is_empty() {
                        out.push(one.clone());
                    }
                    for name in &self.resource_names {
                        out.push(Rule { resource_names: vec![name.clone()], ..one.clone() });
                    }
                }
            }
            if out.len() > limit {
                break;
            }
        }
        out.truncate(limit);
        out
    }

    /// The form of upstream's escalation error: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
    pub fn compact(&self) -> String {
        let list = |values: &[String]| {
            values.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>().join(" ")
        };
        let parts: Vec<String> = [
            ("APIGroups", &self.api_groups),
            ("Resources", &self.resources),
            ("ResourceNames", &self.resource_names),
            ("NonResourceURLs", &self.non_resource_urls),
            ("Verbs", &self.verbs),
        ]
        .iter()
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| format!("{name}:[{}]", list(values)))
        .collect();
        format!("{{{}}}", parts.join(", "))
    }
}

fn path_matches(url: &str, path: &str) -> bool {
    url == "*"
        || url == path
        || url
            .strip_suffix('*')
            .is_some_and(|prefix| path.starts_with(prefix.trim_end_matches('*')))
}

fn resource_matches(rule: &str, a: &Attributes<'_>) -> bool {
    if rule == "*" {
        return true;
    }
    match (rule.split_once('/'), a.subresource.is_empty()) {
        (None, true) => rule == a.resource,
        (Some(("*", sub)), false) => sub == a.subresource,
        (Some((resource, sub)), false) => resource == a.resource && sub == a.subresource,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &str, groups: &str, resources: &str, names: &str) -> Rule {
        let list = |s: &str| s.split(' ').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        let groups = if groups == "core" { vec![String::new()] } else { list(groups) };
        Rule {
            verbs: list(verbs),
            api_groups: groups,
            resources: list(resources),
            resource_names: list(names),
            ..Rule::default()
        }
    }

    fn ask<'a>(
        verb: &'a str,
        group: &'a str,
        resource: &'a str,
        sub: &'a str,
        name: &'a str,
    ) -> Attributes<'a> {
        Attributes { verb, group, resource, subresource: sub, name, ..Attributes::default() }
    }

    #[test]
    fn resource_rules() {
        for (rule, ask, want) in [
            (rule("get", "core", "pods", ""), ask("get", "", "pods", "", "x"), true),
            (rule("get", "core", "pods", ""), ask("get", "", "pods", "log", "x"), false),
            (rule("get", "core", "pods/log", ""), ask("get", "", "pods", "log", "x"), true),
            (rule("get", "core", "pods/log", ""), ask("get", "", "pods", "", "x"), false),
            (rule("*", "*", "*", ""), ask("delete", "apps", "deployments", "scale", ""), true),
            (
                rule("get", "*", "*/scale", ""),
                ask("get", "apps", "deployments", "scale", "x"),
                true,
            ),
            (rule("get", "*", "*/scale", ""), ask("get", "apps", "deployments", "", "x"), false),
            (rule("get", "apps", "pods", ""), ask("get", "", "pods", "", "x"), false),
            (rule("get", "core", "pods", "a b"), ask("get", "", "pods", "", "b"), true),
            (rule("get", "core", "pods", "a"), ask("get", "", "pods", "", "c"), false),
            (rule("create", "core", "pods", "a"), ask("create", "", "pods", "", ""), false),
            (rule("list", "core", "pods", ""), ask("watch", "", "pods", "", ""), false),
        ] {
            assert_eq!(rule.allows(&ask), want, "{rule:?} {ask:?}");
        }
    }

    #[test]
    fn path_rules() {
        let rule = Rule {
            verbs: vec!["get".into()],
            non_resource_urls: vec!["/version".into(), "/api/*".into()],
            ..Rule::default()
        };
        for (path, want) in
            [("/version", true), ("/version/", false), ("/api/v1", true), ("/metrics", false)]
        {
            assert_eq!(rule.allows(&Attributes::path("get", path)), want, "{path}");
        }
        assert!(!rule.allows(&Attributes::path("post", "/version")));
    }

    #[test]
    fn covering() {
        let all = rule("*", "*", "*", "");
        let pods = rule("get list", "core", "pods pods/log", "");
        let one = rule("get", "core", "pods", "a");
        for (a, b, want) in [
            (&all, &pods, true),
            (&pods, &all, false),
            (&pods, &one, true),
            (&one, &pods, false),
            (&one, &rule("get", "core", "pods", ""), false),
            (&rule("get", "*", "*/scale", ""), &rule("get", "apps", "deployments/scale", ""), true),
        ] {
            assert_eq!(a.covers(b), want, "{a:?} {b:?}");
        }
        assert_eq!(pods.atoms(100).len(), 4);
        assert_eq!(
            one.compact(),
            r#"{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["get"]}"#
        );
    }
}
