//! Rows of the kinds of API aggregation.

use super::{Kind, NameRule, subresource as sub};
use crate::{defaults, table, validate};

/// apiregistration.k8s.io/v1 APIService.
pub static API_SERVICE: &Kind = kind!("apiregistration.k8s.io", "apiregistration.k8s.io", "v1", "APIService",
    "apiservices", "apiservice", "apiregistration.v1.APIService",
    namespaced: false, categories: &["api-extensions"], subresources: sub::STATUS_ONLY,
    unconditional_update: false, name_rule: NameRule::PathSegment,
    defaults: defaults::admission::api_service,
    check: validate::aggregation::api_service,
    columns: table::admission::API_SERVICES,
    row: table::admission::api_service);
