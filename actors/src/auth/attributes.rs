//! What is asked of the authorizer.

/// One request, as the authorizer sees it. Empty strings are absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes<'a> {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, …; for a
    /// path the HTTP method in lower case.
    pub verb: &'a str,
    /// API group; empty for core.
    pub group: &'a str,
    /// API version.
    pub version: &'a str,
    /// Resource (plural); empty when a path is asked for.
    pub resource: &'a str,
    /// Subresource.
    pub subresource: &'a str,
    /// Namespace; empty at the cluster scope.
    pub namespace: &'a str,
    /// Object name; of a list or watch with `fieldSelector=metadata.name=x`, that x.
    pub name: &'a str,
    /// Path, for requests that are not about a resource.
    pub path: &'a str,
}

impl<'a> Attributes<'a> {
    /// A request for a path.
    pub fn path(verb: &'a str, path: &'a str) -> Self {
        Self { verb, path, ..Self::default() }
    }

    /// Whether this is about a resource.
    pub fn is_resource(&self) -> bool {
        !self.resource.is_empty()
    }

    /// `pods` or `pods/log`.
    pub fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// The text of a refusal: `User "u" cannot get resource "pods" in API group "" in the
    /// namespace "d"`.
    pub fn refusal(&self, user: &str) -> String {
        if !self.is_resource() {
            return format!("User {user:?} cannot {} path {:?}", self.verb, self.path);
        }
        let what = format!(
            "User {user:?} cannot {} resource {:?} in API group {:?}",
            self.verb,
            self.full_resource(),
            self.group
        );
        if self.namespace.is_empty() {
            format!("{what} at the cluster scope")
        } else {
            format!("{what} in the namespace {:?}", self.namespace)
        }
    }
}
