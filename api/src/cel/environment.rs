//! What an expression may name, and what it has to give.

use std::collections::BTreeMap;

use super::{
    error::CompileError,
    functions::{self, Overload},
    types::Type,
};

/// Declared variables and the types an expression may have.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    variables: BTreeMap<String, Type>,
    expected: Vec<Type>,
    mutation: bool,
}

impl Environment {
    /// No variables, any result.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a variable; the name may have dots, as `variables.a`.
    #[must_use]
    pub fn with(mut self, name: &str, declared: Type) -> Self {
        self.variables.insert(name.to_owned(), declared);
        self
    }

    /// Allows the typed literals of mutations: `Object{}`, `Object.spec{}`, `JSONPatch{}`.
    #[must_use]
    pub fn with_mutation(mut self) -> Self {
        self.mutation = true;
        self
    }

    /// The types an expression may have; with none given, any.
    #[must_use]
    pub fn expecting(mut self, types: &[Type]) -> Self {
        self.expected = types.to_vec();
        self
    }

    /// What admission expressions see: `object`, `oldObject`, `request`, `namespaceObject`, and,
    /// where there are any, `params` and `authorizer`.
    pub fn admission(has_params: bool, has_authorizer: bool) -> Self {
        let mut out = Self::new()
            .with("object", Type::Dyn)
            .with("oldObject", Type::Dyn)
            .with("request", request_type())
            .with("namespaceObject", namespace_type());
        if has_params {
            out = out.with("params", Type::Dyn);
        }
        if has_authorizer {
            out = out.with("authorizer", Type::Opaque("kubernetes.authorization.Authorizer")).with(
                "authorizer.requestResource",
                Type::Opaque("kubernetes.authorization.ResourceCheck"),
            );
        }
        out
    }

    pub(super) fn variable(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    pub(super) fn functions(&self, name: &str) -> &'static [Overload] {
        if name.starts_with("jsonpatch.") && !self.mutation {
            return &[];
        }
        functions::overloads(name)
    }

    pub(super) fn has_structure(&self, name: &str) -> bool {
        self.mutation && (name == "JSONPatch" || name == "Object" || name.starts_with("Object."))
    }

    /// Whether a result's type is among those expected.
    pub(super) fn expect(&self, result: &Type) -> Result<(), CompileError> {
        if self.expected.is_empty() || self.expected.contains(result) {
            return Ok(());
        }
        let text = match self.expected.as_slice() {
            [one] => format!("must evaluate to {one} but got {result}"),
            many => {
                let names: Vec<String> = many.iter().map(Type::to_string).collect();
                format!("must evaluate to one of [{}] but got {result}", names.join(" "))
            }
        };
        Err(CompileError::ResultType(text))
    }
}

/// `request`: the AdmissionReview's request without uid and objects
/// (`BuildRequestType` in `k8s.io/apiserver/pkg/admission/plugin/cel/compile.go`).
pub fn request_type() -> Type {
    let string = || Type::String;
    let kind = Type::object(
        "kubernetes.GroupVersionKind",
        &[("group", string()), ("version", string()), ("kind", string())],
    );
    let resource = Type::object(
        "kubernetes.GroupVersionResource",
        &[("group", string()), ("version", string()), ("resource", string())],
    );
    let user = Type::object(
        "kubernetes.UserInfo",
        &[
            ("username", string()),
            ("uid", string()),
            ("groups", Type::list(string())),
            ("extra", Type::map(string(), Type::list(string()))),
        ],
    );
    Type::object(
        "kubernetes.AdmissionRequest",
        &[
            ("kind", kind.clone()),
            ("resource", resource.clone()),
            ("subResource", string()),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", string()),
            ("name", string()),
            ("namespace", string()),
            ("operation", string()),
            ("userInfo", user),
            ("dryRun", Type::Bool),
            ("options", Type::Dyn),
        ],
    )
}

/// `namespaceObject`: the fields of a namespace that expressions see.
pub fn namespace_type() -> Type {
    let string = || Type::String;
    let strings = || Type::map(string(), string());
    let condition = Type::object(
        "kubernetes.NamespaceCondition",
        &[
            ("status", string()),
            ("type", string()),
            ("lastTransitionTime", Type::Timestamp),
            ("message", string()),
            ("reason", string()),
        ],
    );
    let metadata = Type::object(
        "kubernetes.NamespaceMetadata",
        &[
            ("name", string()),
            ("generateName", string()),
            ("namespace", string()),
            ("labels", strings()),
            ("annotations", strings()),
            ("UID", string()),
            ("creationTimestamp", Type::Timestamp),
            ("deletionGracePeriodSeconds", Type::Int),
            ("deletionTimestamp", Type::Timestamp),
            ("generation", Type::Int),
            ("resourceVersion", string()),
            ("finalizers", Type::list(string())),
        ],
    );
    let spec = Type::object("kubernetes.NamespaceSpec", &[("finalizers", Type::list(string()))]);
    let status = Type::object(
        "kubernetes.NamespaceStatus",
        &[("conditions", Type::list(condition)), ("phase", string())],
    );
    Type::object(
        "kubernetes.Namespace",
        &[("metadata", metadata), ("spec", spec), ("status", status)],
    )
}
