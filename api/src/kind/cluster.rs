//! Rows of the kinds that administrators of the cluster write.

use super::{Kind, NameRule, subresource as sub};
use crate::{defaults, table, validate};

/// v1 LimitRange.
pub static LIMIT_RANGE: &Kind = kind!("", "core", "v1", "LimitRange", "limitranges", "limitrange", "core.v1.LimitRange",
    short_names: &["limits"], create_on_update: true,
    defaults: defaults::limits::range,
    check: validate::limits::range);
/// v1 ResourceQuota.
pub static RESOURCE_QUOTA: &Kind = kind!("", "core", "v1", "ResourceQuota", "resourcequotas", "resourcequota",
    "core.v1.ResourceQuota",
    short_names: &["quota"], subresources: sub::STATUS_ONLY, delete_returns_object: true,
    check: validate::quota::quota,
    check_change: validate::quota::quota_change,
    columns: table::quota::QUOTAS,
    row: table::quota::quota);

/// certificates.k8s.io/v1 CertificateSigningRequest.
pub static CERTIFICATE_SIGNING_REQUEST: &Kind = kind!("certificates.k8s.io", "certificates.k8s.io", "v1",
    "CertificateSigningRequest", "certificatesigningrequests", "certificatesigningrequest",
    "certificates.v1.CertificateSigningRequest",
    short_names: &["csr"], namespaced: false, subresources: sub::OF_SIGNING_REQUEST,
    name_rule: NameRule::PathSegment,
    check: validate::certificates::signing_request,
    check_change: validate::certificates::signing_request_change,
    selectable: &["spec.signerName"],
    columns: table::columns::SIGNING_REQUESTS,
    row: table::network::signing_request);
/// node.k8s.io/v1 RuntimeClass.
pub static RUNTIME_CLASS: &Kind = kind!("node.k8s.io", "node.k8s.io", "v1", "RuntimeClass",
    "runtimeclasses", "runtimeclass", "node.v1.RuntimeClass",
    namespaced: false, unconditional_update: false, create_on_update: true,
    check: validate::storage::runtime_class,
    check_change: validate::storage::runtime_class_change,
    columns: table::storage::RUNTIME_CLASSES,
    row: table::storage::runtime_class);
/// flowcontrol.apiserver.k8s.io/v1 FlowSchema.
pub static FLOW_SCHEMA: &Kind = kind!("flowcontrol.apiserver.k8s.io", "flowcontrol.apiserver.k8s.io", "v1",
    "FlowSchema", "flowschemas", "flowschema", "flowcontrol.v1.FlowSchema",
    namespaced: false, subresources: sub::STATUS_ONLY, generation: true,
    defaults: defaults::flow::schema,
    check: validate::flow::schema,
    columns: table::storage::FLOW_SCHEMAS,
    row: table::storage::flow_schema);
/// flowcontrol.apiserver.k8s.io/v1 PriorityLevelConfiguration.
pub static PRIORITY_LEVEL_CONFIGURATION: &Kind = kind!("flowcontrol.apiserver.k8s.io",
    "flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations",
    "prioritylevelconfiguration", "flowcontrol.v1.PriorityLevelConfiguration",
    namespaced: false, subresources: sub::STATUS_ONLY, generation: true,
    defaults: defaults::flow::level,
    check: validate::flow::level,
    columns: table::storage::PRIORITY_LEVELS,
    row: table::storage::priority_level);
