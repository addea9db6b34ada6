//! Which pod has which address of the node's prefix. Pure: the record is on the veth devices.

use std::{
    collections::{BTreeMap, HashMap},
    net::Ipv4Addr,
};

use super::Cidr;
use crate::{Error, Result};

/// Addresses of one node's pods. Given out in turn, so that a freed one rests as long as possible.
#[derive(Debug)]
pub struct Ipam {
    cidr: Cidr,
    by_ip: BTreeMap<Ipv4Addr, String>,
    by_pod: HashMap<String, Ipv4Addr>,
    next: u32,
}

impl Ipam {
    /// Nothing given out yet.
    #[must_use]
    pub fn new(cidr: Cidr) -> Self {
        Self { cidr, by_ip: BTreeMap::new(), by_pod: HashMap::new(), next: 2 }
    }

    /// What it gives out from.
    #[must_use]
    pub fn cidr(&self) -> Cidr {
        self.cidr
    }

    /// The address a pod has.
    #[must_use]
    pub fn get(&self, pod: &str) -> Option<Ipv4Addr> {
        self.by_pod.get(pod).copied()
    }

    /// All pods with their addresses.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Ipv4Addr)> {
        self.by_ip.iter().map(|(ip, pod)| (pod.as_str(), *ip))
    }

    /// Gives a pod an address, the one it has, the wanted one, or the next free.
    ///
    /// # Errors
    /// `InUse` when the wanted address is another pod's or all are taken, `Invalid` when it is not
    /// a pod address of this node.
    pub fn take(&mut self, pod: &str, wanted: Option<Ipv4Addr>) -> Result<Ipv4Addr> {
        if let Some(has) = self.get(pod)
            && wanted.is_none_or(|w| w == has)
        {
            return Ok(has);
        }
        let ip = match wanted {
            Some(ip) => self.check(ip)?,
            None => self.free()?,
        };
        self.give(pod);
        self.by_ip.insert(ip, pod.to_owned());
        self.by_pod.insert(pod.to_owned(), ip);
        self.next = u32::from(ip) - u32::from(self.cidr.base()) + 1;
        Ok(ip)
    }

    /// Takes a pod's address back.
    pub fn give(&mut self, pod: &str) {
        if let Some(ip) = self.by_pod.remove(pod) {
            self.by_ip.remove(&ip);
        }
    }

    /// Base, gateway and the last address (broadcast) are no pod's.
    fn usable(&self, n: u32) -> bool {
        n >= 2 && u64::from(n) + 1 < self.cidr.size()
    }

    fn check(&self, ip: Ipv4Addr) -> Result<Ipv4Addr> {
        let inside = self.cidr.contains(ip)
            && self.usable(u32::from(ip).wrapping_sub(u32::from(self.cidr.base())));
        if !inside {
            return Err(Error::Invalid(format!("{ip} is no pod address of {}", self.cidr)));
        }
        match self.by_ip.get(&ip) {
            Some(pod) => Err(Error::InUse(format!("{ip} belongs to pod {pod}"))),
            None => Ok(ip),
        }
    }

    fn free(&self) -> Result<Ipv4Addr> {
        let size = u32::try_from(self.cidr.size()).unwrap_or(u32::MAX);
        (0..size)
            .map(|i| (self.next + i) % size)
            .filter(|n| self.usable(*n))
            .filter_map(|n| self.cidr.nth(n))
            .find(|ip| !self.by_ip.contains_key(ip))
            .ok_or_else(|| Error::InUse(format!("all pod addresses of {} are taken", self.cidr)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 244, 1, last)
    }

    #[test]
    fn addresses_are_unique_and_rest_before_reuse() {
        let mut ipam = Ipam::new("10.244.1.0/29".parse().unwrap());
        assert_eq!(ipam.take("a", None).unwrap(), ip(2));
        assert_eq!(ipam.take("a", None).unwrap(), ip(2));
        assert_eq!(ipam.take("b", None).unwrap(), ip(3));
        ipam.give("a");
        assert_eq!(ipam.take("c", None).unwrap(), ip(4));
        assert_eq!(ipam.take("d", None).unwrap(), ip(5));
        assert_eq!(ipam.take("e", None).unwrap(), ip(6));
        assert_eq!(ipam.take("f", None).unwrap(), ip(2));
        assert!(matches!(ipam.take("g", None), Err(Error::InUse(_))));
        ipam.give("nobody");
    }

    #[test]
    fn wanted_addresses_are_checked() {
        let mut ipam = Ipam::new("10.244.1.0/29".parse().unwrap());
        assert_eq!(ipam.take("a", Some(ip(4))).unwrap(), ip(4));
        assert!(matches!(ipam.take("b", Some(ip(4))), Err(Error::InUse(_))));
        for bad in [ip(0), ip(1), ip(7), ip(8), Ipv4Addr::LOCALHOST] {
            assert!(matches!(ipam.take("b", Some(bad)), Err(Error::Invalid(_))), "{bad}");
        }
        assert_eq!(ipam.take("a", Some(ip(5))).unwrap(), ip(5));
        assert_eq!(ipam.iter().collect::<Vec<_>>(), [("a", ip(5))]);
        assert_eq!(ipam.take("b", None).unwrap(), ip(6));
    }
}
