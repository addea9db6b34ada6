//! Rows of the kinds that administrators of the cluster write.

use super::{Kind, NameRule, subresource as sub};
use crate::{table, validate};

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
