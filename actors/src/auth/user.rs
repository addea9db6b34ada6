//! An authenticated user.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Group of everybody who proved who they are.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Group that may do everything.
pub const MASTERS: &str = "system:masters";
const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Key of `extra` that names the credential.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";
const ANONYMOUS: &str = "system:anonymous";
const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";

/// Who asks. The default is nobody: it has no name and no group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// User name, such as `kubernetes-admin` or `system:serviceaccount:default:x`.
    pub name: String,
    /// Uid, of service accounts.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Further facts, such as the pod a token is bound to.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl UserInfo {
    /// The user a client certificate proves: CN is the name, the O fields are the groups.
    pub fn certificate(common_name: &str, organizations: &[String]) -> Self {
        let mut groups = organizations.to_vec();
        groups.push(AUTHENTICATED.to_owned());
        Self { name: common_name.to_owned(), groups, ..Self::default() }
    }

    /// Names the credential that proved who this is (KEP-4193).
    #[must_use]
    pub fn with_credential(mut self, id: &str) -> Self {
        self.extra.insert(CREDENTIAL_ID.to_owned(), vec![id.to_owned()]);
        self
    }

    /// The user of a request without credentials.
    pub fn anonymous() -> Self {
        Self {
            name: ANONYMOUS.to_owned(),
            groups: vec![UNAUTHENTICATED.to_owned()],
            ..Self::default()
        }
    }

    /// The user of a service account.
    pub fn service_account(ns: &str, name: &str, uid: &str) -> Self {
        Self {
            name: format!("system:serviceaccount:{ns}:{name}"),
            uid: uid.to_owned(),
            groups: vec![
                "system:serviceaccounts".to_owned(),
                format!("system:serviceaccounts:{ns}"),
                AUTHENTICATED.to_owned(),
            ],
            extra: BTreeMap::new(),
        }
    }

    /// Whether the user is in a group.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// Whether the user may do everything.
    pub fn is_master(&self) -> bool {
        self.in_group(MASTERS)
    }

    /// The node's name, if the user is a node.
    pub fn node_name(&self) -> Option<&str> {
        self.name.strip_prefix(NODE_PREFIX).filter(|_| self.in_group(NODES))
    }

    /// The form of `TokenReview` and `SelfSubjectReview`.
    pub fn to_value(&self) -> Value {
        let mut value = json!({"username": self.name, "groups": self.groups});
        if !self.uid.is_empty() {
            value["uid"] = self.uid.as_str().into();
        }
        if !self.extra.is_empty() {
            value["extra"] = json!(self.extra);
        }
        value
    }
}
