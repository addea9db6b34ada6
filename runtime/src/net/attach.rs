//! One pod's side of the network: a veth pair between the bridge and the pod's namespace.

use std::{
    collections::HashSet,
    fs::File,
    net::Ipv4Addr,
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};

use netlink_packet_route::link::{InfoData, InfoVeth};
use rtnetlink::{LinkBridgePort, LinkUnspec, LinkVeth};
use sha2::{Digest, Sha256};

use super::{
    BRIDGE, Cidr, NodeNetwork,
    link::{Netlink, Route, failed},
    netns::in_netns,
};
use crate::{Error, Result};

/// What the alias of a pod's veth begins with; pod and address follow.
pub(crate) const POD_ALIAS: &str = "kabuki-pod ";
/// The pod's device.
const INSIDE: &str = "eth0";

/// A pod that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The pod's uid.
    pub pod_uid: String,
    /// Its address.
    pub ip: Ipv4Addr,
}

/// The network a pod got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodNetwork {
    /// Its address, a /32.
    pub ip: Ipv4Addr,
    /// Where all its packets go first.
    pub gateway: Ipv4Addr,
    /// MTU of its device.
    pub mtu: u32,
    /// Name of the node's end of the veth pair.
    pub host_device: String,
}

/// Name of the node's end of a pod's veth pair: 14 of the 15 possible characters.
fn device_of(pod_uid: &str) -> String {
    format!("kv{}", hex::encode(&Sha256::digest(pod_uid.as_bytes())[..6]))
}

pub(crate) fn parse_alias(alias: &str) -> Option<(&str, Ipv4Addr)> {
    let (pod, ip) = alias.strip_prefix(POD_ALIAS)?.rsplit_once(' ')?;
    Some((pod, ip.parse().ok()?))
}

impl NodeNetwork {
    /// Gives the namespace at `netns` a device `eth0` with an address, routes, and `lo`.
    ///
    /// Attaching a pod again returns what it has, or makes it anew when the namespace is another.
    ///
    /// # Errors
    /// `InUse` when no address is free or the wanted one is taken; nothing is left behind then.
    pub async fn attach(
        &self,
        netns: &Path,
        pod_uid: &str,
        wanted: Option<Ipv4Addr>,
    ) -> Result<PodNetwork> {
        if pod_uid.is_empty() || pod_uid.len() > 128 || pod_uid.contains(char::is_whitespace) {
            return Err(Error::Invalid(format!("{pod_uid:?} is no pod uid")));
        }
        let _turn = self.inner.gate.acquire().await;
        let ip = self.inner.ipam.lock().await.take(pod_uid, wanted)?;
        let pod = PodNetwork {
            ip,
            gateway: self.inner.config.pod_cidr.gateway(),
            mtu: self.inner.mtu,
            host_device: device_of(pod_uid),
        };
        match self.build(netns, pod_uid, &pod).await {
            Ok(()) => Ok(pod),
            Err(error) => {
                // The first error is the one that says what went wrong.
                drop(self.inner.net.delete(&pod.host_device).await);
                self.inner.ipam.lock().await.give(pod_uid);
                Err(error)
            }
        }
    }

    async fn build(&self, netns: &Path, pod_uid: &str, pod: &PodNetwork) -> Result<()> {
        let net = &self.inner.net;
        if net.find(&pod.host_device).await?.is_some() {
            if is_inside(netns, pod.ip).await? {
                return Ok(());
            }
            net.delete(&pod.host_device).await?;
        }
        {
            let ns = netns.to_owned();
            let opened = tokio::task::spawn_blocking(move || File::open(&ns)).await;
            let ns = flat(opened)?.map_err(Error::file("cannot open network namespace", netns))?;
            let peer =
                LinkUnspec::new_with_name(INSIDE).mtu(pod.mtu).setns_by_fd(ns.as_raw_fd()).build();
            let pair = LinkVeth::new(&pod.host_device, INSIDE)
                .mtu(pod.mtu)
                .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
                .build();
            let made = net.handle.link().add(pair).execute().await;
            made.map_err(failed(format!("cannot make the pod's device in {}", netns.display())))?;
        }
        let bridge = net.index(BRIDGE).await?;
        let port = net.index(&pod.host_device).await?;
        let alias = format!("{POD_ALIAS}{pod_uid} {}", pod.ip);
        let change = LinkUnspec::new_with_index(port).controller(bridge).alias(alias).up();
        net.set(&pod.host_device, change.build()).await?;
        // With br_netfilter a translated packet may go back out of the port it came from.
        let hairpin = LinkBridgePort::new(port).hairpin(true).build();
        net.set(&pod.host_device, hairpin).await?;
        configure(netns.to_owned(), pod.clone()).await
    }

    /// Takes a pod's device and address away. A pod that is not attached is fine.
    ///
    /// # Errors
    /// When the kernel refuses; the address stays taken then.
    pub async fn detach(&self, pod_uid: &str) -> Result<()> {
        let _turn = self.inner.gate.acquire().await;
        self.inner.net.delete(&device_of(pod_uid)).await?;
        self.inner.ipam.lock().await.give(pod_uid);
        Ok(())
    }

    /// Who is attached.
    pub async fn attached(&self) -> Vec<Attachment> {
        let ipam = self.inner.ipam.lock().await;
        ipam.iter().map(|(pod, ip)| Attachment { pod_uid: pod.to_owned(), ip }).collect()
    }

    /// Detaches all pods but these: after a restart, when some ended meanwhile. Returns how many
    /// went.
    ///
    /// # Errors
    /// As [`NodeNetwork::detach`].
    pub async fn retain(&self, pod_uids: &HashSet<String>) -> Result<usize> {
        let mut gone = 0;
        for pod in self.attached().await {
            if !pod_uids.contains(&pod.pod_uid) {
                self.detach(&pod.pod_uid).await?;
                gone += 1;
            }
        }
        Ok(gone)
    }
}

fn flat<T>(joined: std::result::Result<T, tokio::task::JoinError>) -> Result<T> {
    joined.map_err(|e| Error::System {
        what: "work in a network namespace".to_owned(),
        source: std::io::Error::other(e.to_string()),
    })
}

async fn inside<T, F, W>(netns: PathBuf, work: W) -> Result<T>
where
    W: FnOnce(Netlink) -> F + Send + 'static,
    F: Future<Output = Result<T>>,
    T: Send + 'static,
{
    let job = move || in_netns(&netns, || async move { work(Netlink::open()?).await });
    flat(tokio::task::spawn_blocking(job).await)?
}

async fn configure(netns: PathBuf, pod: PodNetwork) -> Result<()> {
    inside(netns, move |net| async move {
        net.up("lo").await?;
        net.up(INSIDE).await?;
        let device = net.index(INSIDE).await?;
        net.only_address(device, pod.ip, 32).await?;
        let to = Cidr::new(pod.gateway, 32)?;
        net.route(Route { to, device, via: None, source: None }).await?;
        let to = Cidr::new(Ipv4Addr::UNSPECIFIED, 0)?;
        net.route(Route { to, device, via: Some(pod.gateway), source: None }).await
    })
    .await
}

/// Whether the namespace has the pod's device with its address.
async fn is_inside(netns: &Path, ip: Ipv4Addr) -> Result<bool> {
    inside(netns.to_owned(), move |net| async move {
        let Some(link) = net.find(INSIDE).await? else { return Ok(false) };
        net.has_address(link.header.index, ip).await
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_fit_and_differ() {
        let (a, b) = (device_of("uid-a"), device_of("uid-b"));
        assert_eq!(a.len(), 14);
        assert_ne!(a, b);
    }

    #[test]
    fn aliases_say_who_and_where() {
        let alias = "kabuki-pod 0b1c-22 10.244.1.9";
        assert_eq!(parse_alias(alias), Some(("0b1c-22", Ipv4Addr::new(10, 244, 1, 9))));
        for bad in ["kabuki-pod x", "veth 1 10.0.0.1", "kabuki-pod a b"] {
            assert_eq!(parse_alias(bad), None, "{bad}");
        }
    }
}
