//! Names as upstream's generators spell them: of definitions, operations and tags.

use crate::kind::Kind;

/// Where the definitions of an API package come from, by the first segment of the message name.
const PACKAGES: &[(&str, &str)] = &[
    ("meta", "io.k8s.apimachinery.pkg.apis."),
    ("apiextensions", "io.k8s.apiextensions-apiserver.pkg.apis."),
    ("apiregistration", "io.k8s.kube-aggregator.pkg.apis."),
];
/// Where all others come from.
const API: &str = "io.k8s.api.";

/// The definition of a message: `core.v1.Pod` is `io.k8s.api.core.v1.Pod`.
pub(super) fn definition(message: &str) -> String {
    let package = message.split('.').next().unwrap_or_default();
    let home = PACKAGES.iter().find(|(p, _)| *p == package).map_or(API, |(_, home)| home);
    format!("{home}{message}")
}

/// The message of a definition; nothing is said about whether it exists.
pub(super) fn message(definition: &str) -> Option<&str> {
    let homes = PACKAGES.iter().map(|(_, home)| *home).chain([API]);
    homes.into_iter().find_map(|home| definition.strip_prefix(home))
}

/// The definition of a kind.
pub(super) fn of_kind(kind: &Kind) -> String {
    if kind.custom.is_none() {
        return definition(kind.message);
    }
    custom(kind, kind.kind)
}

/// The definition of the list of a kind.
pub(super) fn of_list(kind: &Kind) -> String {
    if kind.custom.is_none() {
        return format!("{}List", definition(kind.message));
    }
    custom(kind, kind.list_kind)
}

/// `com.example.stable.v1.CronTab` of group `stable.example.com`.
fn custom(kind: &Kind, name: &str) -> String {
    let reversed: Vec<_> = kind.group.rsplit('.').collect();
    format!("{}.{}.{name}", reversed.join("."), kind.version)
}

/// The group in an operation id: `Core`, `Apps`, `RbacAuthorization`.
pub(super) fn operation_group(group: &str) -> String {
    let group = if group.is_empty() { "core" } else { group };
    group.trim_end_matches(".k8s.io").split('.').map(capital).collect()
}

/// The tag of a group version: `core_v1`, `rbacAuthorization_v1`. Without version the group alone.
pub(super) fn tag(group: &str, version: &str) -> String {
    let name = operation_group(group);
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    let name: String = first.into_iter().chain(chars).collect();
    if version.is_empty() { name } else { format!("{name}_{version}") }
}

/// `status` is `Status`.
pub(super) fn capital(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// The path of a group version: `/api/v1` or `/apis/apps/v1`.
pub(super) fn base(group: &str, version: &str) -> String {
    if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(definition("core.v1.Pod"), "io.k8s.api.core.v1.Pod");
        assert_eq!(
            definition("meta.v1.ObjectMeta"),
            "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
        );
        assert_eq!(message("io.k8s.api.apps.v1.Deployment"), Some("apps.v1.Deployment"));
        assert_eq!(message("com.example.v1.Crontab"), None);
        assert_eq!(operation_group("rbac.authorization.k8s.io"), "RbacAuthorization");
        assert_eq!(operation_group(""), "Core");
        assert_eq!(tag("flowcontrol.apiserver.k8s.io", "v1"), "flowcontrolApiserver_v1");
        assert_eq!(tag("apps", ""), "apps");
    }
}
