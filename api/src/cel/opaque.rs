//! Values of Kubernetes' libraries.

use std::{net::IpAddr, sync::Arc};

use regex::Regex;

use super::authorizer::{Check, Decision};
use crate::quantity::Quantity;

/// A value of a library.
#[derive(Debug, Clone)]
pub enum Opaque {
    /// `quantity()`.
    Quantity(Quantity),
    /// `url()`.
    Url(Arc<super::functions::url::Url>),
    /// `ip()`.
    Ip(IpAddr),
    /// `cidr()`: the address as written and the length of the prefix.
    Cidr(IpAddr, u8),
    /// `semver()`.
    Semver(Arc<super::functions::semver::Version>),
    /// `format.named()`.
    Format(&'static super::functions::format::Named),
    /// A question to the authorizer that is being put together.
    Check(Arc<Check>),
    /// The authorizer's answer.
    Decision(Arc<Decision>),
    /// A regular expression that is a literal: compiled once, still a text to the expression.
    Pattern(Arc<Regex>),
}

impl Opaque {
    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Quantity(_) => "kubernetes.Quantity",
            Self::Url(_) => "kubernetes.URL",
            Self::Ip(_) => "net.IP",
            Self::Cidr(..) => "net.CIDR",
            Self::Semver(_) => "kubernetes.Semver",
            Self::Format(_) => "kubernetes.NamedFormat",
            Self::Check(check) => check.type_name(),
            Self::Decision(_) => "kubernetes.authorization.Decision",
            Self::Pattern(_) => "string",
        }
    }

    /// Whether two are the same; of what cannot be compared, they are not.
    pub(super) fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Quantity(a), Self::Quantity(b)) => a == b,
            (Self::Url(a), Self::Url(b)) => a == b,
            (Self::Ip(a), Self::Ip(b)) => a == b,
            (Self::Cidr(a, m), Self::Cidr(b, n)) => a == b && m == n,
            (Self::Semver(a), Self::Semver(b)) => a == b,
            (Self::Format(a), Self::Format(b)) => a.name == b.name,
            (Self::Pattern(a), Self::Pattern(b)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}
