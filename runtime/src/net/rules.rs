//! The text of the nftables table: what stands in it always, and the transaction that leads from
//! what is in it to what is wanted. Pure.
//!
//! A frontend (service address or node port) is one map element that goes to the chain for its
//! number of endpoints; that chain draws a number and looks the endpoint up in one big map. So a
//! change touches a few map elements and no rule, however many services there are, and the maps
//! alone tell a restarted daemon what is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write},
    net::Ipv4Addr,
};

use super::{
    BRIDGE, Cidr, TABLE,
    installed::{Change, Entry, Installed},
    spread::Spread,
};

/// Endpoints one backend spreads over; further ones get no traffic.
pub const MAX_ENDPOINTS: usize = 4096;
/// Elements in one statement.
const CHUNK: usize = 500;
/// Packet mark of connections this table has translated, the bit kube-proxy uses. The number of the
/// drawn endpoint stands below it: nft can look a mark up together with an address, a drawn number
/// only in forms that its version 1.0 does not read back. Removed before the packet leaves.
pub(crate) const MARK: u32 = 0x4000;

/// Transport protocol of a service port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// From the Kubernetes name; empty means TCP.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" | "TCP" | "tcp" => Some(Self::Tcp),
            "UDP" | "udp" => Some(Self::Udp),
            "SCTP" | "sctp" => Some(Self::Sctp),
            _ => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// Where connections arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Frontend {
    /// A service's address.
    Address(Ipv4Addr, Protocol, u16),
    /// A port on every address of this machine.
    NodePort(Protocol, u16),
}

impl Frontend {
    fn map(self) -> &'static str {
        match self {
            Self::Address(..) => "services",
            Self::NodePort(..) => "nodeports",
        }
    }

    /// The map of its endpoints.
    fn ends(self) -> &'static str {
        match self {
            Self::Address(..) => "service-ends",
            Self::NodePort(..) => "nodeport-ends",
        }
    }

    fn key(self) -> String {
        match self {
            Self::Address(ip, protocol, port) => format!("{ip} . {protocol} . {port}"),
            Self::NodePort(protocol, port) => format!("{protocol} . {port}"),
        }
    }
}

/// How a client finds its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Affinity {
    /// At random for each connection.
    #[default]
    None,
    /// By hash of the client's address: the same endpoint as long as the endpoints stay the same.
    ClientIp,
}

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Backend {
    /// Address and port; never empty in a [`Services`].
    pub endpoints: BTreeSet<(Ipv4Addr, u16)>,
    /// Choice among them.
    pub affinity: Affinity,
}

/// Everything that should be translated. Frontends without endpoints are left out: connections to
/// service addresses that nothing translates are refused.
pub type Services = BTreeMap<Frontend, Backend>;

/// What the constant part depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Base {
    pub pod_cidr: Cidr,
    pub cluster_cidr: Cidr,
    pub service_cidr: Cidr,
}

impl Base {
    /// The constant part; may be applied again at any time.
    pub(crate) fn script(&self) -> String {
        let Base { pod_cidr, cluster_cidr, service_cidr } = self;
        let mut s = format!(
            "add table ip {TABLE}\n\
             add map ip {TABLE} services {{ type ipv4_addr . inet_proto . inet_service : verdict ; }}\n\
             add map ip {TABLE} nodeports {{ type inet_proto . inet_service : verdict ; }}\n\
             add map ip {TABLE} service-ends {{ type ipv4_addr . inet_proto . inet_service . mark : \
             ipv4_addr . inet_service ; }}\n\
             add map ip {TABLE} nodeport-ends {{ type inet_proto . inet_service . mark : \
             ipv4_addr . inet_service ; }}\n\
             add set ip {TABLE} hairpin {{ type ipv4_addr . ipv4_addr ; }}\n"
        );
        let chains = [
            ("prerouting", "{ type nat hook prerouting priority dstnat ; }"),
            ("output", "{ type nat hook output priority -100 ; }"),
            ("postrouting", "{ type nat hook postrouting priority srcnat ; }"),
            ("forward", "{ type filter hook forward priority filter ; }"),
            ("local-out", "{ type filter hook output priority filter ; }"),
            ("dispatch", ""),
            ("translated", ""),
            ("refuse", ""),
        ];
        for (name, spec) in chains {
            let _ = writeln!(s, "add chain ip {TABLE} {name} {spec}");
            let _ = writeln!(s, "flush chain ip {TABLE} {name}");
        }
        let rules = [
            "prerouting jump dispatch".to_owned(),
            "output jump dispatch".to_owned(),
            "dispatch ip daddr . meta l4proto . th dport vmap @services".to_owned(),
            "dispatch ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport \
             vmap @nodeports"
                .to_owned(),
            "postrouting ip saddr . ip daddr @hairpin masquerade fully-random".to_owned(),
            format!("postrouting meta mark & {MARK} == {MARK} jump translated"),
            format!(
                "postrouting ip saddr {pod_cidr} ip daddr != {cluster_cidr} \
                 oifname != {{ \"lo\", \"{BRIDGE}\" }} masquerade fully-random"
            ),
            // From outside the cluster the answer must come back through this machine.
            "translated meta mark set 0".to_owned(),
            format!("translated ip saddr != {cluster_cidr} masquerade fully-random"),
            format!("forward ip daddr {service_cidr} ct state new jump refuse"),
            // The DNS address is local and answered by this process.
            format!(
                "local-out ip daddr {service_cidr} fib daddr type != local ct state new \
                 jump refuse"
            ),
            "refuse meta l4proto tcp reject with tcp reset".to_owned(),
            "refuse reject with icmp port-unreachable".to_owned(),
        ];
        for rule in rules {
            let _ = writeln!(s, "add rule ip {TABLE} {rule}");
        }
        s
    }
}

/// The transaction from one state to another. Only frontends that differ cost more than a look.
pub(crate) fn transaction(have: &Installed, want: &Services, local: Cidr) -> Change {
    let mut change = Change::default();
    let live = || want.iter().filter(|(_, b)| !b.endpoints.is_empty());
    for (frontend, backend) in live() {
        change.chains.insert(Spread::of(*frontend, backend));
        let here = backend.endpoints.iter().map(|(ip, _)| *ip).filter(|ip| local.contains(*ip));
        change.hairpin.extend(here);
        if !have.frontends.get(frontend).is_some_and(|e| e.is(*frontend, backend)) {
            change.entries.push((*frontend, Some(Entry::of(*frontend, backend))));
        }
    }
    let is_live = |f: &Frontend| want.get(f).is_some_and(|b| !b.endpoints.is_empty());
    let gone = have.frontends.keys().filter(|f| !is_live(f));
    change.entries.extend(gone.map(|f| (*f, None)));

    let mut s = String::new();
    for chain in change.chains.difference(&have.chains) {
        let rule = chain.rule();
        let _ = writeln!(s, "add chain ip {TABLE} {chain}\nadd rule ip {TABLE} {chain} {rule}");
    }
    elements(&mut s, have, &change);
    for chain in have.chains.difference(&change.chains) {
        let _ = writeln!(s, "flush chain ip {TABLE} {chain}\ndelete chain ip {TABLE} {chain}");
    }
    change.script = s;
    change
}

/// First all deletions, then all additions: an element that changes is both.
fn elements(s: &mut String, have: &Installed, change: &Change) {
    let none = Entry::default();
    for add in [false, true] {
        let mut by_map: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut put = |map, text| by_map.entry(map).or_default().push(text);
        for (f, new) in &change.entries {
            let old = have.frontends.get(f).unwrap_or(&none);
            let new = new.as_ref().unwrap_or(&none);
            let (from, to) = if add { (new, old) } else { (old, new) };
            if let Some(chain) = from.chain.filter(|c| to.chain != Some(*c)) {
                let value = if add { format!(" : goto {chain}") } else { String::new() };
                put(f.map(), format!("{}{value}", f.key()));
            }
            for (n, (ip, port)) in from.ends.iter().filter(|(n, e)| to.ends.get(n) != Some(*e)) {
                let value = if add { format!(" : {ip} . {port}") } else { String::new() };
                put(f.ends(), format!("{} . {}{value}", f.key(), MARK + n));
            }
        }
        let (from, to) =
            if add { (&change.hairpin, &have.hairpin) } else { (&have.hairpin, &change.hairpin) };
        for ip in from.difference(to) {
            put("hairpin", format!("{ip} . {ip}"));
        }
        let verb = if add { "add" } else { "delete" };
        for (map, all) in by_map {
            for some in all.chunks(CHUNK) {
                let _ = writeln!(s, "{verb} element ip {TABLE} {map} {{ {} }}", some.join(", "));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, 1, n)
    }

    fn backend(hosts: &[u8]) -> Backend {
        let endpoints = hosts.iter().map(|n| (ip(*n), 8080)).collect();
        Backend { endpoints, affinity: Affinity::None }
    }

    fn local() -> Cidr {
        "10.244.1.0/29".parse().unwrap()
    }

    fn installed(services: &Services) -> Installed {
        let mut have = Installed::default();
        have.absorb(transaction(&Installed::default(), services, local()));
        have
    }

    const SVC: Frontend = Frontend::Address(Ipv4Addr::new(10, 96, 0, 5), Protocol::Tcp, 80);

    #[test]
    fn the_first_transaction_adds_everything() {
        let want = Services::from([
            (SVC, backend(&[2, 30])),
            (Frontend::NodePort(Protocol::Tcp, 30080), backend(&[30])),
            (Frontend::Address(Ipv4Addr::new(10, 96, 0, 6), Protocol::Udp, 53), backend(&[])),
        ]);
        let mut new = Installed::default();
        let c = transaction(&new, &want, local());
        // The one without endpoints is left out; only the local pod needs the hairpin entry.
        assert_eq!(c.entries.len(), 2);
        assert_eq!(
            c.script,
            "add chain ip kabuki to-s2\n\
             add rule ip kabuki to-s2 meta l4proto { tcp, udp, sctp } \
             meta mark set numgen random mod 2 offset 16384 \
             dnat ip to ip daddr . meta l4proto . th dport . meta mark map @service-ends\n\
             add chain ip kabuki to-p1\n\
             add rule ip kabuki to-p1 meta l4proto { tcp, udp, sctp } \
             meta mark set numgen random mod 1 offset 16384 \
             dnat ip to meta l4proto . th dport . meta mark map @nodeport-ends\n\
             add element ip kabuki hairpin { 10.244.1.2 . 10.244.1.2 }\n\
             add element ip kabuki nodeport-ends { tcp . 30080 . 16384 : 10.244.1.30 . 8080 }\n\
             add element ip kabuki nodeports { tcp . 30080 : goto to-p1 }\n\
             add element ip kabuki service-ends { 10.96.0.5 . tcp . 80 . 16384 : 10.244.1.2 . 8080, \
             10.96.0.5 . tcp . 80 . 16385 : 10.244.1.30 . 8080 }\n\
             add element ip kabuki services { 10.96.0.5 . tcp . 80 : goto to-s2 }\n"
        );
        new.absorb(c);
        let c = transaction(&new, &want, local());
        assert!(c.script.is_empty() && c.entries.is_empty());
    }

    #[test]
    fn a_replaced_endpoint_touches_one_element() {
        let before = Services::from([(SVC, backend(&[20, 30]))]);
        let have = installed(&before);
        let after = Services::from([(SVC, backend(&[20, 40]))]);
        let Change { script: s, entries, .. } = transaction(&have, &after, local());
        assert_eq!(entries.len(), 1);
        assert_eq!(
            s,
            "delete element ip kabuki service-ends { 10.96.0.5 . tcp . 80 . 16385 }\n\
             add element ip kabuki service-ends { 10.96.0.5 . tcp . 80 . 16385 : 10.244.1.40 . 8080 }\n"
        );
    }

    #[test]
    fn another_number_of_endpoints_is_another_chain() {
        let before = Services::from([(SVC, backend(&[2, 30]))]);
        let have = installed(&before);
        let after = Services::from([(SVC, backend(&[30]))]);
        let Change { script: s, entries, .. } = transaction(&have, &after, local());
        assert_eq!(entries.len(), 1);
        assert!(s.starts_with("add chain ip kabuki to-s1\n"), "{s}");
        assert!(s.contains("delete element ip kabuki services { 10.96.0.5 . tcp . 80 }\n"));
        assert!(s.contains("add element ip kabuki services { 10.96.0.5 . tcp . 80 : goto to-s1 }"));
        assert!(s.contains("delete element ip kabuki hairpin { 10.244.1.2 . 10.244.1.2 }"));
        assert!(s.ends_with("flush chain ip kabuki to-s2\ndelete chain ip kabuki to-s2\n"));
    }

    #[test]
    fn everything_goes_again() {
        let want = Services::from([(SVC, backend(&[2, 200]))]);
        let mut have = installed(&want);
        let c = transaction(&have, &Services::new(), local());
        let s = c.script.clone();
        have.absorb(c);
        assert_eq!(have, Installed::default());
        assert!(!s.contains("add "), "{s}");
        assert!(s.contains("delete chain ip kabuki to-s2"), "{s}");
    }

    #[test]
    fn affinity_hashes_the_client() {
        let sticky = Backend { affinity: Affinity::ClientIp, ..backend(&[2, 3]) };
        let spread = Spread::of(SVC, &sticky);
        assert_eq!(spread.to_string(), "to-s2-sticky");
        assert_eq!(Spread::parse("to-s2-sticky"), Some(spread));
        assert!(spread.rule().contains("jhash ip saddr mod 2 seed"));
        for bad in ["dispatch", "to-", "to-x3", "to-s", "to-sx"] {
            assert_eq!(Spread::parse(bad), None, "{bad}");
        }
    }
}
