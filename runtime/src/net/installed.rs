//! What the service table holds, and how a transaction changes that.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use super::{
    rules::{Backend, Frontend, MAX_ENDPOINTS},
    spread::Spread,
};

type End = (Ipv4Addr, u16);

/// What the table holds for one frontend.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Where its map element goes.
    pub chain: Option<Spread>,
    /// Endpoints by number.
    pub ends: BTreeMap<u32, End>,
}

impl Entry {
    pub(crate) fn of(frontend: Frontend, backend: &Backend) -> Self {
        let chain = Some(Spread::of(frontend, backend));
        Self { chain, ends: numbered(backend).map(|(n, end)| (n, *end)).collect() }
    }

    pub(crate) fn is(&self, frontend: Frontend, backend: &Backend) -> bool {
        self.chain == Some(Spread::of(frontend, backend))
            && self.ends.iter().map(|(n, end)| (*n, end)).eq(numbered(backend))
    }
}

fn numbered(backend: &Backend) -> impl Iterator<Item = (u32, &End)> {
    (0..).zip(backend.endpoints.iter().take(MAX_ENDPOINTS))
}

/// What the table holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Installed {
    /// Spreading chains.
    pub chains: BTreeSet<Spread>,
    /// By frontend.
    pub frontends: BTreeMap<Frontend, Entry>,
    /// Local endpoint addresses: a pod that reaches itself through a service must see another
    /// source address.
    pub hairpin: BTreeSet<Ipv4Addr>,
}

/// A transaction and what the table holds after it.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// Empty when nothing is to be done.
    pub script: String,
    /// Frontends that are other than before; None: gone.
    pub entries: Vec<(Frontend, Option<Entry>)>,
    /// Chains in use after it.
    pub chains: BTreeSet<Spread>,
    /// Hairpin addresses after it.
    pub hairpin: BTreeSet<Ipv4Addr>,
}

impl Installed {
    /// Notes that a transaction went well.
    pub(crate) fn absorb(&mut self, change: Change) {
        self.chains = change.chains;
        self.hairpin = change.hairpin;
        for (frontend, entry) in change.entries {
            match entry {
                Some(entry) => self.frontends.insert(frontend, entry),
                None => self.frontends.remove(&frontend),
            };
        }
    }
}
