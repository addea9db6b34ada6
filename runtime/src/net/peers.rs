//! The other nodes: which routes, neighbours and forwarding entries lead to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use netlink_packet_route::{
    AddressFamily,
    neighbour::{NeighbourFlags, NeighbourState},
};

use super::{
    Cidr, TUNNEL,
    link::{Netlink, Route, failed, is_absent, neighbour_parts},
};
use crate::Result;

/// Second byte of tunnel MAC addresses.
pub(crate) const TUNNEL_MAC: u8 = 0x76;
/// Most other nodes.
pub(crate) const MAX_PEERS: usize = 10_000;

/// Another node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Its address in the machines' network.
    pub node_ip: Ipv4Addr,
    /// The prefix of its pods.
    pub pod_cidr: Cidr,
}

/// What the kernel has on the tunnel device.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tunnel {
    /// Destinations of our routes.
    pub routes: BTreeSet<Cidr>,
    /// Next hop → MAC.
    pub arp: BTreeMap<Ipv4Addr, [u8; 6]>,
    /// MAC → node address.
    pub fdb: BTreeMap<[u8; 6], Ipv4Addr>,
}

impl Tunnel {
    pub(crate) fn wanted(peers: &[Peer]) -> Self {
        let mut t = Self::default();
        for p in peers.iter().take(MAX_PEERS) {
            let mac = p.pod_cidr.mac(TUNNEL_MAC);
            t.routes.insert(p.pod_cidr);
            t.arp.insert(p.pod_cidr.base(), mac);
            t.fdb.insert(mac, p.node_ip);
        }
        t
    }

    async fn read(net: &Netlink, index: u32) -> Result<Self> {
        let mut t =
            Self { routes: net.routes(index).await?.into_iter().collect(), ..Self::default() };
        for n in net.neighbours(index, AddressFamily::Inet).await? {
            if let (Some(mac), Some(ip)) = neighbour_parts(&n)
                && let Ok(mac) = <[u8; 6]>::try_from(mac)
            {
                t.arp.insert(ip, mac);
            }
        }
        for n in net.neighbours(index, AddressFamily::Bridge).await? {
            if let (Some(mac), Some(ip)) = neighbour_parts(&n)
                && let Ok(mac) = <[u8; 6]>::try_from(mac)
                && mac != [0; 6]
            {
                t.fdb.insert(mac, ip);
            }
        }
        Ok(t)
    }
}

/// One change to the tunnel.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Step {
    Fdb([u8; 6], Ipv4Addr),
    Arp(Ipv4Addr, [u8; 6]),
    Route(Cidr),
    DropRoute(Cidr),
    DropArp(Ipv4Addr, [u8; 6]),
    DropFdb([u8; 6], Ipv4Addr),
}

/// The changes in an order that never sends a packet to where it is not known how to go on.
pub(crate) fn plan(have: &Tunnel, want: &Tunnel) -> Vec<Step> {
    let mut steps = Vec::new();
    let gone = have.routes.difference(&want.routes);
    steps.extend(gone.map(|c| Step::DropRoute(*c)));
    let stale = have.arp.iter().filter(|(ip, _)| !want.arp.contains_key(*ip));
    steps.extend(stale.map(|(ip, mac)| Step::DropArp(*ip, *mac)));
    // A node that changed its address: the old entry would be a second destination.
    let stale = have.fdb.iter().filter(|(mac, ip)| want.fdb.get(*mac) != Some(*ip));
    steps.extend(stale.map(|(mac, ip)| Step::DropFdb(*mac, *ip)));
    let new = want.fdb.iter().filter(|(mac, ip)| have.fdb.get(*mac) != Some(*ip));
    steps.extend(new.map(|(mac, ip)| Step::Fdb(*mac, *ip)));
    let new = want.arp.iter().filter(|(ip, mac)| have.arp.get(*ip) != Some(*mac));
    steps.extend(new.map(|(ip, mac)| Step::Arp(*ip, *mac)));
    steps.extend(want.routes.difference(&have.routes).map(|c| Step::Route(*c)));
    steps
}

/// Makes the tunnel lead to exactly these peers. `source` is used by the node's own traffic.
pub(crate) async fn set(net: &Netlink, peers: &[Peer], source: Ipv4Addr) -> Result<usize> {
    let index = net.index(TUNNEL).await?;
    let have = Tunnel::read(net, index).await?;
    let steps = plan(&have, &Tunnel::wanted(peers));
    for step in &steps {
        carry_out(net, index, source, *step).await?;
    }
    Ok(steps.len())
}

async fn carry_out(net: &Netlink, index: u32, source: Ipv4Addr, step: Step) -> Result<()> {
    let neighbours = net.handle.neighbours();
    let route = |to: Cidr| Route { to, device: index, via: Some(to.base()), source: Some(source) };
    let gone = match step {
        Step::Route(to) => return net.route(route(to)).await,
        Step::DropRoute(to) => return net.remove_route(route(to)).await,
        Step::Arp(ip, mac) => {
            let add = neighbours.add(index, ip.into()).link_layer_address(&mac).replace();
            return add.execute().await.map_err(failed(format!("cannot set neighbour {ip}")));
        }
        Step::Fdb(mac, ip) => {
            let add = neighbours
                .add_bridge(index, &mac)
                .destination(ip.into())
                .flags(NeighbourFlags::Own)
                .state(NeighbourState::Permanent)
                .replace();
            return add.execute().await.map_err(failed(format!("cannot set tunnel to {ip}")));
        }
        Step::DropArp(ip, mac) => {
            let mut add = neighbours.add(index, ip.into()).link_layer_address(&mac);
            let message = add.message_mut().clone();
            neighbours.del(message).execute().await
        }
        Step::DropFdb(mac, ip) => {
            let mut add = neighbours
                .add_bridge(index, &mac)
                .destination(ip.into())
                .flags(NeighbourFlags::Own);
            let message = add.message_mut().clone();
            neighbours.del(message).execute().await
        }
    };
    match gone {
        Err(e) if !is_absent(&e) => Err(failed("cannot remove an old tunnel entry")(e)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(n: u8, node: u8) -> Peer {
        Peer {
            node_ip: Ipv4Addr::new(172, 16, 0, node),
            pod_cidr: format!("10.244.{n}.0/24").parse().unwrap(),
        }
    }

    #[test]
    fn only_differences_are_carried_out() {
        let have = Tunnel::wanted(&[peer(1, 1), peer(2, 2)]);
        assert!(plan(&have, &Tunnel::wanted(&[peer(2, 2), peer(1, 1)])).is_empty());

        let steps = plan(&have, &Tunnel::wanted(&[peer(2, 2), peer(3, 3)]));
        let (one, three) = (peer(1, 1), peer(3, 3));
        let mac = |p: &Peer| p.pod_cidr.mac(TUNNEL_MAC);
        assert_eq!(
            steps,
            [
                Step::DropRoute(one.pod_cidr),
                Step::DropArp(one.pod_cidr.base(), mac(&one)),
                Step::DropFdb(mac(&one), one.node_ip),
                Step::Fdb(mac(&three), three.node_ip),
                Step::Arp(three.pod_cidr.base(), mac(&three)),
                Step::Route(three.pod_cidr),
            ]
        );
    }

    #[test]
    fn a_node_that_moved_gets_a_new_tunnel_only() {
        let have = Tunnel::wanted(&[peer(1, 1)]);
        let (old, new) = (peer(1, 1), peer(1, 9));
        let mac = old.pod_cidr.mac(TUNNEL_MAC);
        let steps = plan(&have, &Tunnel::wanted(std::slice::from_ref(&new)));
        assert_eq!(steps, [Step::DropFdb(mac, old.node_ip), Step::Fdb(mac, new.node_ip)]);
    }
}
