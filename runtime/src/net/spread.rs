//! Spreading chains: one per number of endpoints and way of choosing among them.

use std::fmt;

use super::rules::{Affinity, Backend, Frontend, MARK, MAX_ENDPOINTS};

/// First part of the names of spreading chains.
const SPREAD: &str = "to-";

/// How one frontend is spread: names the chain it goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Spread {
    node_port: bool,
    sticky: bool,
    n: usize,
}

impl Spread {
    pub(crate) fn of(frontend: Frontend, backend: &Backend) -> Self {
        let n = backend.endpoints.len().min(MAX_ENDPOINTS);
        let sticky = backend.affinity == Affinity::ClientIp && n > 1;
        Self { node_port: matches!(frontend, Frontend::NodePort(..)), sticky, n }
    }

    /// None for a name that is not ours.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let name = name.strip_prefix(SPREAD)?;
        let (name, sticky) = match name.strip_suffix("-sticky") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let (kind, n) = name.split_at_checked(1)?;
        let node_port = match kind {
            "s" => false,
            "p" => true,
            _ => return None,
        };
        Some(Self { node_port, sticky, n: n.parse().ok()? })
    }

    /// The chain's one rule.
    pub(crate) fn rule(self) -> String {
        let n = self.n;
        let (key, map) = if self.node_port {
            ("meta l4proto . th dport", "nodeport-ends")
        } else {
            ("ip daddr . meta l4proto . th dport", "service-ends")
        };
        let draw = if self.sticky {
            format!("jhash ip saddr mod {n} seed 0x6b616275 offset {MARK}")
        } else {
            format!("numgen random mod {n} offset {MARK}")
        };
        format!(
            "meta l4proto {{ tcp, udp, sctp }} meta mark set {draw} \
             dnat ip to {key} . meta mark map @{map}"
        )
    }
}

/// `to-s3`: one of three endpoints of a service, by chance; `to-p2-sticky`: one of two of a node
/// port, by the client's address.
impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.node_port { 'p' } else { 's' };
        let sticky = if self.sticky { "-sticky" } else { "" };
        write!(f, "{SPREAD}{kind}{}{sticky}", self.n)
    }
}
