//! The authorizer as expressions see it: a question is put together, the caller answers it.

/// What is asked. Empty texts are not set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    /// A ServiceAccount, `namespace` and `name`, to ask for instead of the requester.
    pub service_account: Option<(String, String)>,
    /// A URL path; the rest of the resource is empty then.
    pub path: Option<String>,
    /// API group.
    pub group: String,
    /// Resource.
    pub resource: String,
    /// Subresource.
    pub subresource: String,
    /// Namespace.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// Field selector, where one is asked with.
    pub field_selector: Option<String>,
    /// Label selector, where one is asked with.
    pub label_selector: Option<String>,
    /// Verb.
    pub verb: String,
}

/// The answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why, or empty.
    pub reason: String,
    /// The error that kept the authorizer from deciding.
    pub error: Option<String>,
}

/// Who answers.
pub trait Authorizer {
    /// Decides one question. Must not block.
    fn check(&self, attributes: &Attributes) -> Decision;
}

/// How far a question has been put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
}

/// A question that is being put together.
#[derive(Debug, Clone)]
pub struct Check {
    pub(crate) stage: Stage,
    pub(crate) attributes: Attributes,
}

impl Check {
    /// `authorizer`: nothing asked yet.
    pub fn authorizer() -> Self {
        Self { stage: Stage::Authorizer, attributes: Attributes::default() }
    }

    /// `authorizer.requestResource`: the resource of the request, the verb still open.
    pub fn resource(attributes: Attributes) -> Self {
        Self { stage: Stage::Resource, attributes }
    }

    /// The name of the type of this stage.
    pub(super) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
        }
    }
}
