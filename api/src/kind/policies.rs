//! Rows of the admission policies and their bindings.

use super::{Kind, subresource as sub};
use crate::{defaults, table, validate};

/// Category of the kinds that extend the API.
const EXTENSIONS: &[&str] = &["api-extensions"];

/// admissionregistration.k8s.io/v1 MutatingAdmissionPolicy.
pub static MUTATING_ADMISSION_POLICY: &Kind = kind!("admissionregistration.k8s.io",
    "admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies",
    "mutatingadmissionpolicy", "admissionregistration.v1.MutatingAdmissionPolicy",
    namespaced: false, categories: EXTENSIONS, generation: true, unconditional_update: false,
    defaults: defaults::policies::policy,
    check: validate::policies::mutating,
    columns: table::policies::MUTATING,
    row: table::policies::mutating);
/// admissionregistration.k8s.io/v1 MutatingAdmissionPolicyBinding.
pub static MUTATING_ADMISSION_POLICY_BINDING: &Kind = kind!("admissionregistration.k8s.io",
    "admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings", "mutatingadmissionpolicybinding",
    "admissionregistration.v1.MutatingAdmissionPolicyBinding",
    namespaced: false, categories: EXTENSIONS, generation: true, unconditional_update: false,
    defaults: defaults::policies::binding,
    check: validate::policies::mutating_binding,
    columns: table::policies::BINDINGS,
    row: table::policies::binding);
/// admissionregistration.k8s.io/v1 ValidatingAdmissionPolicy.
pub static VALIDATING_ADMISSION_POLICY: &Kind = kind!("admissionregistration.k8s.io",
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy",
    "validatingadmissionpolicies", "validatingadmissionpolicy",
    "admissionregistration.v1.ValidatingAdmissionPolicy",
    namespaced: false, categories: EXTENSIONS, generation: true, unconditional_update: false,
    subresources: sub::STATUS_ONLY,
    defaults: defaults::policies::policy,
    check: validate::policies::validating,
    columns: table::policies::VALIDATING,
    row: table::policies::validating);
/// admissionregistration.k8s.io/v1 ValidatingAdmissionPolicyBinding.
pub static VALIDATING_ADMISSION_POLICY_BINDING: &Kind = kind!("admissionregistration.k8s.io",
    "admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding",
    "validatingadmissionpolicybindings", "validatingadmissionpolicybinding",
    "admissionregistration.v1.ValidatingAdmissionPolicyBinding",
    namespaced: false, categories: EXTENSIONS, generation: true, unconditional_update: false,
    defaults: defaults::policies::binding,
    check: validate::policies::validating_binding,
    columns: table::policies::BINDINGS,
    row: table::policies::binding);
