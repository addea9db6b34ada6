//! Nobody may grant, by a role or a binding, what they do not hold themselves.

use kabuki_api::{
    kind::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, Kind, ROLE, ROLE_BINDING},
    status::Status,
};
use serde_json::Value;

use super::{
    attributes::Attributes,
    authorizer::Authorizer,
    rbac::{granted, role_ref, rules_of},
    rules::Rule,
    user::UserInfo,
};
use crate::registry::View;

/// Parts one role is taken apart into at most; larger roles need a master.
const ATOMS_MAX: usize = 20_000;
/// Missing rules shown in one message.
const SHOWN_MAX: usize = 16;

impl Authorizer {
    /// Checks the write of a (Cluster)Role or binding: the caller must hold every rule it grants,
    /// or have `escalate` on the role (`bind` for a binding). `old` is the object before, if any:
    /// what does not change the grant is not asked. Other kinds pass.
    ///
    /// # Errors
    /// 403 with upstream's text.
    pub fn check_escalation(
        &self,
        user: &UserInfo,
        kind: &'static Kind,
        ns: &str,
        old: Option<&Value>,
        new: &Value,
    ) -> Result<(), Status> {
        let is_role = kind == ROLE || kind == CLUSTER_ROLE;
        let is_binding = kind == ROLE_BINDING || kind == CLUSTER_ROLE_BINDING;
        if user.is_master() || !(is_role || is_binding) {
            return Ok(());
        }
        let same = |field: &str| old.is_some_and(|o| o[field] == new[field]);
        if is_role && same("rules") && same("aggregationRule")
            || is_binding && same("subjects") && same("roleRef")
        {
            return Ok(());
        }
        let name = new["metadata"]["name"].as_str().unwrap_or_default();
        let (verb, target, target_name, grants) = if is_role {
            let mut rules = rules_of(new);
            if new["aggregationRule"].is_object() {
                rules.extend(everything());
            }
            ("escalate", kind, name, rules)
        } else {
            let Some((target, target_name)) = role_ref(new) else { return Ok(()) };
            let role = self.registry().get(target, ns, target_name);
            let role = role.ok_or_else(|| Status::not_found(target, target_name))?;
            ("bind", target, target_name, granted(self.registry(), &role))
        };
        let asked = Attributes {
            verb,
            group: target.group,
            version: target.version,
            resource: target.plural,
            namespace: ns,
            name: target_name,
            ..Attributes::default()
        };
        if self.decide(user, &asked).is_some() {
            return Ok(());
        }
        let missing = missing(&self.rules(user, ns), &grants);
        if missing.is_empty() {
            return Ok(());
        }
        let shown: Vec<_> = missing.iter().take(SHOWN_MAX).map(Rule::compact).collect();
        let groups = user.groups.iter().map(|g| format!("{g:?}")).collect::<Vec<_>>().join(" ");
        let message = format!(
            "user {:?} (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n{}",
            user.name,
            shown.join("\n")
        );
        Err(Status::forbidden(kind, name, &message))
    }
}

/// What a role that selects others may come to hold: anything.
fn everything() -> [Rule; 2] {
    let all = || vec!["*".to_owned()];
    [
        Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() },
        Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() },
    ]
}

/// The granted rules that `held` does not cover.
fn missing(held: &[Rule], granted: &[Rule]) -> Vec<Rule> {
    granted
        .iter()
        .flat_map(|rule| {
            let atoms = rule.atoms(ATOMS_MAX);
            // A role too large to be taken apart is not covered.
            let too_large = atoms.len() >= ATOMS_MAX;
            let mut lost: Vec<Rule> =
                atoms.into_iter().filter(|a| !held.iter().any(|h| h.covers(a))).collect();
            if too_large && lost.is_empty() {
                lost.push(rule.clone());
            }
            merge_verbs(lost)
        })
        .collect()
}

/// Joins rules that differ in their verb only, as upstream shows them.
fn merge_verbs(rules: Vec<Rule>) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    for rule in rules {
        let same = out.iter_mut().find(|o| {
            o.api_groups == rule.api_groups
                && o.resources == rule.resources
                && o.resource_names == rule.resource_names
                && o.non_resource_urls == rule.non_resource_urls
        });
        match same {
            Some(found) => found.verbs.extend(rule.verbs),
            None => out.push(rule),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(verbs: &[&str], resource: &str) -> Rule {
        Rule {
            verbs: verbs.iter().map(|v| (*v).to_owned()).collect(),
            api_groups: vec![String::new()],
            resources: vec![resource.to_owned()],
            ..Rule::default()
        }
    }

    #[test]
    fn only_what_is_not_held_is_missing() {
        let held = [rule(&["get", "list"], "pods")];
        assert!(missing(&held, &[rule(&["get"], "pods")]).is_empty());
        let lost = missing(&held, &[rule(&["get", "delete", "patch"], "pods")]);
        assert_eq!(lost, [rule(&["delete", "patch"], "pods")]);
        assert!(missing(&everything(), &lost).is_empty());
        assert_eq!(missing(&held, &everything()).len(), 2);
    }
}
