//! The authorizer: masters, then the node rules, then RBAC; what none allows is refused.

use std::sync::Arc;

use kabuki_api::{
    kind::{CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING},
    status::Status,
};
use parking_lot::RwLock;

use super::{attributes::Attributes, node_rules, rbac::Index, rules::Rule, user::UserInfo};
use crate::registry::Registry;

/// Answers whether a user may do something, from memory. Cheap to make and to clone: what is
/// remembered is the registry's.
#[derive(Clone)]
pub struct Authorizer {
    registry: Registry,
}

/// The index last built, and the revisions of the four topics it was built from.
#[derive(Default)]
pub(crate) struct RbacCache(RwLock<Cached>);

#[derive(Default)]
struct Cached {
    revisions: [u64; 4],
    index: Arc<Index>,
}

impl Authorizer {
    /// An authorizer over the roles and bindings in `registry`.
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// Checks a request.
    ///
    /// # Errors
    /// 403 with upstream's text.
    pub fn authorize(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Result<(), Status> {
        match self.decide(user, attributes) {
            Some(_) => Ok(()),
            None => Err(self.refusal(user, attributes)),
        }
    }

    /// 403 with upstream's text.
    pub fn refusal(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Status {
        let message = attributes.refusal(&user.name);
        Status::forbidden_resource(attributes.group, attributes.resource, attributes.name, &message)
    }

    /// Why a request is allowed (`RBAC: allowed by …`), or `None`.
    pub fn decide(&self, user: &UserInfo, attributes: &Attributes<'_>) -> Option<String> {
        if user.is_master() {
            return Some(String::new());
        }
        if let Some(node) = user.node_name()
            && node_rules::allows(&self.registry, node, attributes)
        {
            return Some(String::new());
        }
        self.index().allows(user, attributes).map(|reason| format!("RBAC: allowed by {reason}"))
    }

    /// All rules a user holds in a namespace; for masters the two rules that allow everything.
    pub fn rules(&self, user: &UserInfo, ns: &str) -> Vec<Rule> {
        let everything = || vec!["*".to_owned()];
        let mut rules = Vec::new();
        if user.is_master() {
            rules.push(Rule {
                verbs: everything(),
                api_groups: everything(),
                resources: everything(),
                ..Rule::default()
            });
            rules.push(Rule {
                verbs: everything(),
                non_resource_urls: everything(),
                ..Rule::default()
            });
        }
        rules.extend(self.index().rules(user, ns).cloned());
        rules
    }

    /// The registry decisions are made on.
    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    fn index(&self) -> Arc<Index> {
        let store = self.registry.store();
        let revisions = [CLUSTER_ROLE, CLUSTER_ROLE_BINDING, ROLE, ROLE_BINDING]
            .map(|kind| store.topic_revision(kind.topic()));
        {
            let cached = self.registry.rbac_cache().0.read();
            if cached.revisions == revisions && revisions != [0; 4] {
                return Arc::clone(&cached.index);
            }
        }
        // Read after the revisions were taken: the index is at least as new as they say.
        let index = Arc::new(Index::build(&self.registry));
        *self.registry.rbac_cache().0.write() = Cached { revisions, index: Arc::clone(&index) };
        index
    }
}
