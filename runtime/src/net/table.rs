//! The service table in the kernel: adopted as found, changed by difference.

use std::{
    collections::BTreeSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    NetworkConfig, TABLE,
    installed::Installed,
    nft,
    rules::{Base, Frontend, MARK, Protocol, Services, transaction},
    spread::Spread,
};
use crate::Result;

/// Our part of nftables on this machine. Keeps only names; the kernel has the rest.
#[derive(Debug)]
pub struct ServiceTable {
    base: Base,
    installed: Installed,
}

/// What one change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applied {
    /// Frontends added, removed or pointed elsewhere.
    pub changed: usize,
    /// Time in `nft`.
    pub took: Duration,
}

pub(crate) fn base_of(config: &NetworkConfig) -> Base {
    Base {
        pod_cidr: config.pod_cidr,
        cluster_cidr: config.cluster_cidr,
        service_cidr: config.service_cidr,
    }
}

/// Puts the constant part in place; a table of an incompatible older form is replaced.
pub(crate) async fn ensure_base(base: &Base) -> Result<()> {
    let script = base.script();
    let Err(error) = nft::apply(script.clone()).await else { return Ok(()) };
    if nft::list(TABLE).await?.is_none() {
        return Err(error);
    }
    tracing::warn!(%error, "the nftables table is of another form and is made anew");
    nft::apply(format!("delete table ip {TABLE}\n{script}")).await
}

impl ServiceTable {
    /// Opens the table, making what is missing and keeping the services that are in it.
    ///
    /// # Errors
    /// When `nft` is missing or refuses.
    pub async fn open(config: &NetworkConfig) -> Result<Self> {
        let base = base_of(config);
        ensure_base(&base).await?;
        let installed = read().await?;
        Ok(Self { base, installed })
    }

    /// Looks again what the kernel has: after an error, or because others may have flushed it.
    ///
    /// # Errors
    /// As [`ServiceTable::open`].
    pub async fn resync(&mut self) -> Result<()> {
        ensure_base(&self.base).await?;
        self.installed = read().await?;
        Ok(())
    }

    /// Makes the kernel translate exactly these services, in one transaction.
    ///
    /// # Errors
    /// When `nft` refuses: nothing was changed then; `resync` before trying again.
    pub async fn apply(&mut self, services: &Services) -> Result<Applied> {
        let begun = Instant::now();
        let mut change = transaction(&self.installed, services, self.base.pod_cidr);
        let changed = change.entries.len();
        if !change.script.is_empty() {
            nft::apply(std::mem::take(&mut change.script)).await?;
            self.installed.absorb(change);
        }
        Ok(Applied { changed, took: begun.elapsed() })
    }

    /// How many frontends are translated.
    #[must_use]
    pub fn len(&self) -> usize {
        self.installed.frontends.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.installed.frontends.is_empty()
    }
}

async fn read() -> Result<Installed> {
    Ok(nft::list(TABLE).await?.map(|v| parse(&v)).unwrap_or_default())
}

/// Reads `nft -j list table`. What it does not understand is left out and so replaced.
fn parse(listing: &Value) -> Installed {
    let mut found = Installed::default();
    for object in slice(&listing["nftables"]) {
        found.chains.extend(object["chain"]["name"].as_str().and_then(Spread::parse));
        for e in slice(&object["map"]["elem"]) {
            let key = slice(&e[0]["concat"]);
            let is_end = object["map"]["name"].as_str().is_some_and(|n| n.ends_with("-ends"));
            if is_end {
                if let Some(((at, n), to)) = end(key, slice(&e[1]["concat"])) {
                    found.frontends.entry(at).or_default().ends.insert(n, to);
                }
            } else if let Some(at) = frontend(key) {
                let chain = e[1]["goto"]["target"].as_str().and_then(Spread::parse);
                found.frontends.entry(at).or_default().chain = chain;
            }
        }
        if object["set"]["name"] == "hairpin" {
            found.hairpin = hairpin(&object["set"]["elem"]);
        }
    }
    found
}

fn slice(v: &Value) -> &[Value] {
    v.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn end(key: &[Value], to: &[Value]) -> Option<((Frontend, u32), (Ipv4Addr, u16))> {
    let (n, key) = key.split_last()?;
    let [ip, port] = to else { return None };
    let to = (ip.as_str()?.parse().ok()?, port.as_u64()?.try_into().ok()?);
    let n = u32::try_from(n.as_u64()?).ok()?.checked_sub(MARK)?;
    Some(((frontend(key)?, n), to))
}

fn frontend(key: &[Value]) -> Option<Frontend> {
    let port = |v: &Value| v.as_u64().and_then(|p| u16::try_from(p).ok());
    match key {
        [ip, protocol, at] => Some(Frontend::Address(
            ip.as_str()?.parse().ok()?,
            Protocol::parse(protocol.as_str()?)?,
            port(at)?,
        )),
        [protocol, at] => Some(Frontend::NodePort(Protocol::parse(protocol.as_str()?)?, port(at)?)),
        _ => None,
    }
}

fn hairpin(elements: &Value) -> BTreeSet<Ipv4Addr> {
    slice(elements).iter().filter_map(|e| e["concat"][0].as_str()?.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_is_understood() {
        let listing = serde_json::json!({ "nftables": [
            { "metainfo": { "json_schema_version": 1 } },
            { "map": { "name": "services", "map": "verdict", "elem": [
                [{ "concat": ["10.96.0.5", "tcp", 80] }, { "goto": { "target": "to-s1" } }],
                [{ "concat": ["10.96.0.9", "icmp", 80] }, { "goto": { "target": "to-s1" } }],
            ] } },
            { "map": { "name": "nodeports", "map": "verdict", "elem": [
                [{ "concat": ["udp", 30080] }, { "goto": { "target": "to-p2" } }],
            ] } },
            { "map": { "name": "service-ends", "elem": [
                [{ "concat": ["10.96.0.5", "tcp", 80, 16384] }, { "concat": ["10.244.1.2", 81] }],
            ] } },
            { "map": { "name": "nodeport-ends", "elem": [
                [{ "concat": ["udp", 30080, 16385] }, { "concat": ["10.244.1.2", 82] }],
            ] } },
            { "set": { "name": "hairpin", "elem": [{ "concat": ["10.244.1.2", "10.244.1.2"] }] } },
            { "chain": { "name": "to-s1" } },
            { "chain": { "name": "to-p2" } },
            { "chain": { "name": "dispatch" } },
        ] });
        let found = parse(&listing);
        assert_eq!(found.chains.len(), 2);
        assert_eq!(found.hairpin.len(), 1);
        let all: Vec<String> = found
            .frontends
            .iter()
            .map(|(f, e)| format!("{f:?} {} {:?}", e.chain.unwrap(), e.ends))
            .collect();
        assert_eq!(
            all,
            [
                "Address(10.96.0.5, Tcp, 80) to-s1 {0: (10.244.1.2, 81)}",
                "NodePort(Udp, 30080) to-p2 {1: (10.244.1.2, 82)}",
            ]
        );
        assert_eq!(parse(&Value::Null), Installed::default());
    }
}
