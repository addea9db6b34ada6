//! IPv4 prefixes.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// An IPv4 prefix; the address part has no host bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    base: u32,
    len: u8,
}

impl Cidr {
    /// The prefix that `address` is in.
    ///
    /// # Errors
    /// `Invalid` for a length above 32.
    pub fn new(address: Ipv4Addr, len: u8) -> Result<Self> {
        if len > 32 {
            return Err(Error::Invalid(format!("prefix length {len} is above 32")));
        }
        let mut cidr = Self { base: 0, len };
        cidr.base = u32::from(address) & cidr.mask();
        Ok(cidr)
    }

    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.len)).unwrap_or(0)
    }

    /// First address.
    #[must_use]
    pub fn base(self) -> Ipv4Addr {
        self.base.into()
    }

    /// Prefix length, 0 to 32.
    #[must_use]
    pub fn len(self) -> u8 {
        self.len
    }

    /// Whether it is the whole of IPv4.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The `n`-th address, if it is inside.
    #[must_use]
    pub fn nth(self, n: u32) -> Option<Ipv4Addr> {
        (u64::from(n) < self.size()).then(|| (self.base + n).into())
    }

    /// How many addresses it has.
    #[must_use]
    pub fn size(self) -> u64 {
        1 << (32 - self.len)
    }

    /// Whether an address is inside.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == self.base
    }

    /// The address of the bridge in a node's pod prefix: the first after the base.
    #[must_use]
    pub fn gateway(self) -> Ipv4Addr {
        self.nth(1).unwrap_or_else(|| self.base())
    }

    /// A locally administered MAC address that every node can work out from the prefix.
    pub(crate) fn mac(self, kind: u8) -> [u8; 6] {
        let [a, b, c, d] = self.base.to_be_bytes();
        [0x02, kind, a, b, c, d]
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base(), self.len)
    }
}

impl FromStr for Cidr {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let bad = || Error::Invalid(format!("{text:?} is no IPv4 prefix such as 10.244.1.0/24"));
        let (address, len) = text.split_once('/').ok_or_else(bad)?;
        Self::new(address.parse().map_err(|_| bad())?, len.parse().map_err(|_| bad())?)
    }
}

impl TryFrom<String> for Cidr {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        let c: Cidr = "10.244.3.7/24".parse().unwrap();
        assert_eq!(c.to_string(), "10.244.3.0/24");
        assert_eq!(c.gateway(), Ipv4Addr::new(10, 244, 3, 1));
        assert!(c.contains(Ipv4Addr::new(10, 244, 3, 255)));
        assert!(!c.contains(Ipv4Addr::new(10, 244, 4, 0)));
        assert_eq!((c.nth(255), c.nth(256)), (Some(Ipv4Addr::new(10, 244, 3, 255)), None));
        let all: Cidr = "1.2.3.4/0".parse().unwrap();
        assert_eq!((all.to_string(), all.size()), ("0.0.0.0/0".into(), 1 << 32));
        let one: Cidr = "1.2.3.4/32".parse().unwrap();
        assert!(one.contains(Ipv4Addr::new(1, 2, 3, 4)) && one.size() == 1);
        for bad in ["", "10.0.0.0", "10.0.0.0/33", "a/8", "::/0"] {
            assert!(bad.parse::<Cidr>().is_err(), "{bad}");
        }
    }
}
