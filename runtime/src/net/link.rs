//! The netlink calls this module needs, each with the error a person can act on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr},
};

use futures_util::TryStreamExt;
use netlink_packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkMessage},
    neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope, RouteType},
};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use super::Cidr;
use crate::{Error, Result};

const EOPNOTSUPP: i32 = libc::EOPNOTSUPP;
/// Routes we made, so that others' are never touched (`ip route … proto 75`).
const OUR_ROUTES: RouteProtocol = RouteProtocol::Other(75);

/// One netlink connection, bound to the namespace it was opened in.
#[derive(Clone, Debug)]
pub(crate) struct Netlink {
    pub handle: Handle,
}

pub(crate) fn failed(what: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
    let what = what.into();
    move |e| Error::System { what, source: to_io(e) }
}

fn to_io(e: rtnetlink::Error) -> io::Error {
    match e {
        rtnetlink::Error::NetlinkError(e) => e.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

/// The kernel's error number, if that is what it was.
fn errno(e: &rtnetlink::Error) -> Option<i32> {
    match e {
        rtnetlink::Error::NetlinkError(e) => e.to_io().raw_os_error(),
        _ => None,
    }
}

pub(crate) fn is_absent(e: &rtnetlink::Error) -> bool {
    matches!(errno(e), Some(libc::ENODEV | libc::ENOENT | libc::ESRCH | libc::EADDRNOTAVAIL))
}

pub(crate) fn is_unsupported(e: &rtnetlink::Error) -> bool {
    errno(e) == Some(EOPNOTSUPP)
}

pub(crate) fn name_of(link: &LinkMessage) -> Option<String> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfName(n) => Some(n.clone()),
        _ => None,
    })
}

pub(crate) fn alias_of(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfAlias(n) => Some(n.as_str()),
        _ => None,
    })
}

pub(crate) fn mtu_of(link: &LinkMessage) -> Option<u32> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::Mtu(n) => Some(*n),
        _ => None,
    })
}

impl Netlink {
    /// Opens a connection in the calling thread's namespace; its task runs on the current runtime.
    pub(crate) fn open() -> Result<Self> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(Error::system("cannot open netlink"))?;
        tokio::spawn(connection);
        Ok(Self { handle })
    }

    pub(crate) async fn links(&self) -> Result<Vec<LinkMessage>> {
        let all = self.handle.link().get().execute();
        all.try_collect().await.map_err(failed("cannot list network devices"))
    }

    pub(crate) async fn find(&self, name: &str) -> Result<Option<LinkMessage>> {
        let mut found = self.handle.link().get().match_name(name.to_owned()).execute();
        match found.try_next().await {
            Ok(link) => Ok(link),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(failed(format!("cannot look up device {name}"))(e)),
        }
    }

    pub(crate) async fn index(&self, name: &str) -> Result<u32> {
        let link = self.find(name).await?;
        link.map(|l| l.header.index).ok_or_else(|| Error::NotFound(format!("device {name}")))
    }

    /// Makes a device unless it exists. True when it was made.
    pub(crate) async fn ensure(&self, name: &str, new: LinkMessage) -> Result<bool> {
        if self.find(name).await?.is_some() {
            return Ok(false);
        }
        let made = self.handle.link().add(new).execute().await;
        made.map_err(failed(format!("cannot make device {name}")))?;
        Ok(true)
    }

    pub(crate) async fn set(&self, name: &str, change: LinkMessage) -> Result<()> {
        // Not `set`: that message ignores the settings of a bridge port.
        let done = self.handle.link().change(change).execute().await;
        done.map_err(failed(format!("cannot change device {name}")))
    }

    /// Removes a device; one that is not there is fine.
    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        let Some(link) = self.find(name).await? else { return Ok(()) };
        match self.handle.link().del(link.header.index).execute().await {
            Err(e) if !is_absent(&e) => Err(failed(format!("cannot remove device {name}"))(e)),
            _ => Ok(()),
        }
    }

    pub(crate) async fn up(&self, name: &str) -> Result<()> {
        let index = self.index(name).await?;
        self.set(name, LinkUnspec::new_with_index(index).up().build()).await
    }

    /// Gives a device exactly this address.
    pub(crate) async fn only_address(&self, index: u32, ip: Ipv4Addr, len: u8) -> Result<()> {
        let have = self.handle.address().get().set_link_index_filter(index).execute();
        let have: Vec<AddressMessage> =
            have.try_collect().await.map_err(failed("cannot list addresses"))?;
        let stale = have.into_iter().filter(|a| {
            let same = a.header.prefix_len == len && local_of(a) == Some(ip);
            a.header.family == AddressFamily::Inet && !same
        });
        let add = self.handle.address().add(index, ip.into(), len).replace().execute().await;
        add.map_err(failed(format!("cannot set address {ip}/{len}")))?;
        for a in stale {
            let gone = self.handle.address().del(a).execute().await;
            gone.map_err(failed("cannot remove an old address"))?;
        }
        Ok(())
    }

    /// Whether a device has this address.
    pub(crate) async fn has_address(&self, index: u32, ip: Ipv4Addr) -> Result<bool> {
        let have = self.handle.address().get().set_link_index_filter(index).execute();
        let all: Vec<AddressMessage> =
            have.try_collect().await.map_err(failed("cannot list addresses"))?;
        Ok(all.iter().any(|a| local_of(a) == Some(ip)))
    }

    /// Adds or replaces one of our routes.
    pub(crate) async fn route(&self, route: Route) -> Result<()> {
        let done = self.handle.route().add(route.message()).replace().execute().await;
        done.map_err(failed(format!("cannot set route to {}", route.to)))
    }

    /// Removes one of our routes; one that is not there is fine.
    pub(crate) async fn remove_route(&self, route: Route) -> Result<()> {
        match self.handle.route().del(route.message()).execute().await {
            Err(e) if !is_absent(&e) => {
                Err(failed(format!("cannot remove route to {}", route.to))(e))
            }
            _ => Ok(()),
        }
    }

    /// Destinations of our routes through a device.
    pub(crate) async fn routes(&self, index: u32) -> Result<Vec<Cidr>> {
        let all = self.handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build());
        let all: Vec<RouteMessage> =
            all.execute().try_collect().await.map_err(failed("cannot list routes"))?;
        let mut out = Vec::new();
        for r in all.iter().filter(|r| r.header.protocol == OUR_ROUTES) {
            let oif = r.attributes.contains(&RouteAttribute::Oif(index));
            let to = r.attributes.iter().find_map(|a| match a {
                RouteAttribute::Destination(RouteAddress::Inet(ip)) => Some(*ip),
                _ => None,
            });
            if let (true, Some(ip)) = (oif, to) {
                out.push(Cidr::new(ip, r.header.destination_prefix_length)?);
            }
        }
        Ok(out)
    }

    /// IPv4 neighbours or forwarding entries of a device, as (key, value) of address and MAC.
    pub(crate) async fn neighbours(
        &self,
        index: u32,
        family: AddressFamily,
    ) -> Result<Vec<NeighbourMessage>> {
        let mut request = self.handle.neighbours().get();
        request.message_mut().header.family = family;
        let all: Vec<NeighbourMessage> =
            request.execute().try_collect().await.map_err(failed("cannot list neighbours"))?;
        Ok(all.into_iter().filter(|n| n.header.ifindex == index).collect())
    }
}

pub(crate) fn local_of(address: &AddressMessage) -> Option<Ipv4Addr> {
    address.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(IpAddr::V4(ip)) => Some(*ip),
        _ => None,
    })
}

/// MAC and IPv4 address of a neighbour or forwarding entry.
pub(crate) fn neighbour_parts(n: &NeighbourMessage) -> (Option<Vec<u8>>, Option<Ipv4Addr>) {
    let mac = n.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::LinkLayerAddress(m) => Some(m.clone()),
        _ => None,
    });
    let ip = n.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(*ip),
        // Forwarding entries are of the bridge family, so their address comes undecoded.
        NeighbourAttribute::Destination(NeighbourAddress::Other(b)) => {
            <[u8; 4]>::try_from(b.as_slice()).ok().map(Ipv4Addr::from)
        }
        _ => None,
    });
    (mac, ip)
}

/// A route of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub to: Cidr,
    pub device: u32,
    /// Next hop, which need not be on a connected network.
    pub via: Option<Ipv4Addr>,
    pub source: Option<Ipv4Addr>,
}

impl Route {
    fn message(self) -> RouteMessage {
        let mut b = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(self.to.base(), self.to.len())
            .output_interface(self.device)
            .protocol(OUR_ROUTES)
            .kind(RouteType::Unicast);
        b = match self.via {
            Some(via) => b.gateway(via).onlink(),
            None => b.scope(RouteScope::Link),
        };
        if let Some(source) = self.source {
            b = b.pref_source(source);
        }
        b.build()
    }
}
