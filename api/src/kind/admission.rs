//! Rows of the kinds that configure admission.

use super::Kind;
use crate::{defaults, table, validate};

/// Category of the kinds that extend the API.
const EXTENSIONS: &[&str] = &["api-extensions"];

/// admissionregistration.k8s.io/v1 MutatingWebhookConfiguration.
pub static MUTATING_WEBHOOK_CONFIGURATION: &Kind = kind!("admissionregistration.k8s.io",
    "admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration",
    "mutatingwebhookconfigurations", "mutatingwebhookconfiguration",
    "admissionregistration.v1.MutatingWebhookConfiguration",
    namespaced: false, categories: EXTENSIONS, generation: true, unconditional_update: false,
    defaults: defaults::admission::mutating,
    check_new: validate::admission::new,
    check_change: validate::admission::change,
    columns: table::admission::WEBHOOKS,
    row: table::admission::webhooks);
/// admissionregistration.k8s.io/v1 ValidatingWebhookConfiguration.
pub static VALIDATING_WEBHOOK_CONFIGURATION: &Kind = kind!("admissionregistration.k8s.io",
    "admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration",
    "validatingwebhookconfigurations", "validatingwebhookconfiguration",
    "admissionregistration.v1.ValidatingWebhookConfiguration",
    namespaced: false, categories: EXTENSIONS, generation: true, unconditional_update: false,
    defaults: defaults::admission::validating,
    check_new: validate::admission::new,
    check_change: validate::admission::change,
    columns: table::admission::WEBHOOKS,
    row: table::admission::webhooks);
