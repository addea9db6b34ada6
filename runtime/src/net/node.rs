//! The node's side of the pod network.

use std::{net::Ipv4Addr, path::Path, sync::Arc};

use futures_util::TryStreamExt;
use rtnetlink::{LinkBridge, LinkDummy, LinkUnspec, LinkVxlan};
use tokio::sync::{Mutex, Semaphore};

use super::{
    BRIDGE, Cidr, DNS_DEVICE, Ipam, Peer, TABLE, TUNNEL,
    attach::{POD_ALIAS, parse_alias},
    link::{Netlink, Route, alias_of, failed, is_unsupported, local_of, mtu_of, name_of},
    nft,
    peers::{self, TUNNEL_MAC},
    table::{base_of, ensure_base},
};
use crate::{Error, Result};

/// Second byte of bridge MAC addresses.
const BRIDGE_MAC: u8 = 0x62;
/// VXLAN network identifier.
const TUNNEL_ID: u32 = 7531;
/// VXLAN UDP port, the Linux default.
pub const TUNNEL_PORT: u16 = 8472;
/// What the tunnel adds to each packet, bytes.
const TUNNEL_OVERHEAD: u32 = 50;
/// Smallest MTU every IPv4 host must take.
const MTU_MIN: u32 = 576;
/// Pods attached or detached at the same time.
const AT_ONCE: usize = 8;

/// Addresses of this node and its cluster.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Prefix of this node's pods; its first address is the bridge's.
    pub pod_cidr: Cidr,
    /// Prefix of all pods.
    pub cluster_cidr: Cidr,
    /// Prefix of service addresses.
    pub service_cidr: Cidr,
    /// This node's address in the machines' network; must be on a device here.
    pub node_ip: Ipv4Addr,
    /// The cluster DNS address, made local on every node.
    pub dns_ip: Ipv4Addr,
    /// MTU of pods; by default that of the device with `node_ip`, less 50 for the tunnel.
    pub mtu: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub config: NetworkConfig,
    pub mtu: u32,
    pub net: Netlink,
    pub ipam: Mutex<Ipam>,
    pub gate: Semaphore,
    /// Peers are set by one caller at a time.
    peers: Mutex<()>,
}

/// The pod network of this node. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NodeNetwork {
    pub(crate) inner: Arc<Inner>,
}

impl NodeNetwork {
    /// Makes or adopts bridge, tunnel, DNS address, routes and the constant nftables rules, and
    /// finds out which pods are attached. Needs root (`CAP_NET_ADMIN`).
    ///
    /// # Errors
    /// When `node_ip` is on no device, `nft` is missing, or the kernel refuses.
    pub async fn setup(config: NetworkConfig) -> Result<Self> {
        let net = Netlink::open()?;
        net.up("lo").await?;
        let mtu = match config.mtu {
            Some(mtu) => mtu,
            None => underlay_mtu(&net, config.node_ip).await?.saturating_sub(TUNNEL_OVERHEAD),
        }
        .max(MTU_MIN);
        sysctl("net/ipv4/ip_forward", "1").await?;
        // Pods reach each other through the bridge's own address: no hints about shorter ways.
        sysctl("net/ipv4/conf/all/send_redirects", "0").await?;
        make_bridge(&net, &config, mtu).await?;
        make_tunnel(&net, &config, mtu).await?;
        make_dns_device(&net, config.dns_ip).await?;
        ensure_base(&base_of(&config)).await?;
        let ipam = Mutex::new(attached(&net, config.pod_cidr).await?);
        let gate = Semaphore::new(AT_ONCE);
        let peers = Mutex::new(());
        Ok(Self { inner: Arc::new(Inner { config, mtu, net, ipam, gate, peers }) })
    }

    /// What it was set up with.
    #[must_use]
    pub fn config(&self) -> &NetworkConfig {
        &self.inner.config
    }

    /// MTU of pods.
    #[must_use]
    pub fn mtu(&self) -> u32 {
        self.inner.mtu
    }

    /// Makes pods of exactly these nodes reachable, by difference. This node itself may be among
    /// them. Returns how many entries changed.
    ///
    /// # Errors
    /// When the kernel refuses; calling again goes on from there.
    pub async fn set_peers(&self, peers: &[Peer]) -> Result<usize> {
        let _one = self.inner.peers.lock().await;
        let config = &self.inner.config;
        let others: Vec<Peer> = peers
            .iter()
            .filter(|p| p.pod_cidr != config.pod_cidr && p.node_ip != config.node_ip)
            .cloned()
            .collect();
        peers::set(&self.inner.net, &others, config.pod_cidr.gateway()).await
    }

    /// Removes everything this module has made on the machine, pods' devices included.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn teardown(&self) -> Result<()> {
        Self::remove_all().await
    }

    /// As [`NodeNetwork::teardown`], also for a network that another process has set up.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn remove_all() -> Result<()> {
        let net = Netlink::open()?;
        for link in net.links().await? {
            if alias_of(&link).is_some_and(|a| parse_alias(a).is_some())
                && let Some(name) = name_of(&link)
            {
                net.delete(&name).await?;
            }
        }
        for device in [TUNNEL, BRIDGE, DNS_DEVICE] {
            net.delete(device).await?;
        }
        if nft::list(TABLE).await?.is_some() {
            nft::apply(format!("delete table ip {TABLE}\n")).await?;
        }
        Ok(())
    }
}

async fn underlay_mtu(net: &Netlink, ip: Ipv4Addr) -> Result<u32> {
    let mut all = net.handle.address().get().execute();
    while let Some(a) = all.try_next().await.map_err(failed("cannot list addresses"))? {
        if local_of(&a) == Some(ip) {
            let links = net.links().await?;
            let link = links.iter().find(|l| l.header.index == a.header.index);
            return Ok(link.and_then(mtu_of).unwrap_or(1500).min(65_535));
        }
    }
    Err(Error::Invalid(format!("no device of this machine has the node address {ip}")))
}

async fn make_bridge(net: &Netlink, config: &NetworkConfig, mtu: u32) -> Result<()> {
    let cidr = config.pod_cidr;
    let mac = cidr.mac(BRIDGE_MAC).to_vec();
    net.ensure(BRIDGE, LinkBridge::new(BRIDGE).address(mac.clone()).build()).await?;
    let index = net.index(BRIDGE).await?;
    let change = LinkUnspec::new_with_index(index).address(mac).mtu(mtu).up().build();
    net.set(BRIDGE, change).await?;
    net.only_address(index, cidr.gateway(), cidr.len()).await?;
    sysctl(&format!("net/ipv4/conf/{BRIDGE}/send_redirects"), "0").await?;
    // Programs on the node need a route to service addresses before the table can translate them.
    net.route(Route {
        to: config.service_cidr,
        device: index,
        via: None,
        source: Some(cidr.gateway()),
    })
    .await
}

async fn make_tunnel(net: &Netlink, config: &NetworkConfig, mtu: u32) -> Result<()> {
    // A vxlan device cannot change its address: the alias says what it was made for.
    let made_for = format!("kabuki {} {}", config.node_ip, config.pod_cidr);
    if let Some(link) = net.find(TUNNEL).await?
        && alias_of(&link) != Some(&made_for)
    {
        net.delete(TUNNEL).await?;
    }
    let new = LinkVxlan::new(TUNNEL, TUNNEL_ID)
        .local(config.node_ip)
        .port(TUNNEL_PORT)
        .learning(false)
        .address(config.pod_cidr.mac(TUNNEL_MAC).to_vec())
        .build();
    net.ensure(TUNNEL, new).await?;
    let index = net.index(TUNNEL).await?;
    let change = LinkUnspec::new_with_index(index).mtu(mtu).alias(made_for).up().build();
    net.set(TUNNEL, change).await?;
    net.only_address(index, config.pod_cidr.base(), 32).await
}

async fn make_dns_device(net: &Netlink, ip: Ipv4Addr) -> Result<()> {
    if net.find(DNS_DEVICE).await?.is_none() {
        let dummy = LinkDummy::new(DNS_DEVICE).build();
        match net.handle.link().add(dummy).execute().await {
            Ok(()) => {}
            // Kernels without dummy devices: a bridge without ports holds an address as well.
            Err(e) if is_unsupported(&e) => {
                net.ensure(DNS_DEVICE, LinkBridge::new(DNS_DEVICE).build()).await?;
            }
            Err(e) => return Err(failed(format!("cannot make device {DNS_DEVICE}"))(e)),
        }
    }
    let index = net.index(DNS_DEVICE).await?;
    net.up(DNS_DEVICE).await?;
    net.only_address(index, ip, 32).await
}

/// Who is attached, from the aliases of the veth devices.
async fn attached(net: &Netlink, cidr: Cidr) -> Result<Ipam> {
    let mut ipam = Ipam::new(cidr);
    for link in net.links().await? {
        let Some(alias) = alias_of(&link).filter(|a| a.starts_with(POD_ALIAS)) else { continue };
        let Some((pod, ip)) = parse_alias(alias) else { continue };
        if let Err(error) = ipam.take(pod, Some(ip)) {
            // Of an earlier pod prefix: the pod keeps running, its address is not ours to give.
            tracing::warn!(pod, %ip, %error, "attached pod has a foreign address");
        }
    }
    Ok(ipam)
}

/// Sets a kernel parameter of this network namespace, if it is not so already.
pub(crate) async fn sysctl(key: &str, value: &str) -> Result<()> {
    let path = Path::new("/proc/sys").join(key);
    let now = tokio::fs::read_to_string(&path).await.unwrap_or_default();
    if now.trim() == value {
        return Ok(());
    }
    tokio::fs::write(&path, value).await.map_err(Error::file("cannot set", path))
}
