//! Kubernetes' IP and CIDR libraries. Addresses with zones and IPv4 in IPv6 are refused, and so
//! are octets with leading zeros.

use std::net::IpAddr;

use super::{Row, f, given, m, text};
use crate::cel::{
    error::{EvalError, failed},
    opaque::Opaque,
    value::Value,
};

const IP: &str = "net.IP";
const CIDR: &str = "net.CIDR";

pub(super) const ROWS: &[Row] = &[
    f("ip", "string", IP, |_, a| {
        let text = text(a, 0)?;
        match parse(text) {
            Ok(ip) => Ok(made(ip)),
            Err(e) => failed(format!(
                "IP Address {text:?} parse error during conversion from string: {e}"
            )),
        }
    }),
    f("isIP", "string", "bool", |_, a| Ok(Value::Bool(parse(text(a, 0)?).is_ok()))),
    f("ip.isCanonical", "string", "bool", |_, a| {
        let text = text(a, 0)?;
        match parse(text) {
            Ok(ip) => Ok(Value::Bool(ip.to_string() == text)),
            Err(e) => failed(format!(
                "IP Address {text:?} parse error during conversion from string: {e}"
            )),
        }
    }),
    m("family", IP, "int", |_, a| Ok(Value::Int(if take(a, 0)?.is_ipv4() { 4 } else { 6 }))),
    m("isUnspecified", IP, "bool", |_, a| Ok(Value::Bool(take(a, 0)?.is_unspecified()))),
    m("isLoopback", IP, "bool", |_, a| Ok(Value::Bool(take(a, 0)?.is_loopback()))),
    m("isLinkLocalMulticast", IP, "bool", |_, a| {
        Ok(Value::Bool(match take(a, 0)? {
            IpAddr::V4(v4) => v4.octets()[..3] == [224, 0, 0],
            IpAddr::V6(v6) => v6.octets()[0] == 0xff && v6.octets()[1] & 0x0f == 2,
        }))
    }),
    m("isLinkLocalUnicast", IP, "bool", |_, a| {
        Ok(Value::Bool(match take(a, 0)? {
            IpAddr::V4(v4) => v4.is_link_local(),
            IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
        }))
    }),
    m("isGlobalUnicast", IP, "bool", |_, a| Ok(Value::Bool(is_global(take(a, 0)?)))),
    f("cidr", "string", CIDR, |_, a| {
        let text = text(a, 0)?;
        match parse_cidr(text) {
            Some((ip, bits)) => Ok(Value::Opaque(Opaque::Cidr(ip, bits))),
            None => failed(format!(
                "network address parse error during conversion from string: {text:?}"
            )),
        }
    }),
    f("isCIDR", "string", "bool", |_, a| Ok(Value::Bool(parse_cidr(text(a, 0)?).is_some()))),
    m("containsIP", "net.CIDR,net.IP", "bool", |_, a| {
        let (ip, bits) = network(a)?;
        Ok(Value::Bool(inside(ip, bits, take(a, 1)?)))
    }),
    m("containsIP", "net.CIDR,string", "bool", |_, a| {
        let ((ip, bits), other) = (network(a)?, text(a, 1)?);
        match parse(other) {
            Ok(other) => Ok(Value::Bool(inside(ip, bits, other))),
            Err(e) => failed(format!(
                "IP Address {other:?} parse error during conversion from string: {e}"
            )),
        }
    }),
    m("containsCIDR", "net.CIDR,net.CIDR", "bool", |_, a| {
        given!(a, _, Value::Opaque(Opaque::Cidr(other, length)));
        let (ip, bits) = network(a)?;
        Ok(Value::Bool(*length >= bits && inside(ip, bits, *other)))
    }),
    m("containsCIDR", "net.CIDR,string", "bool", |_, a| {
        let ((ip, bits), other) = (network(a)?, text(a, 1)?);
        match parse_cidr(other) {
            Some((other, length)) => Ok(Value::Bool(length >= bits && inside(ip, bits, other))),
            None => failed(format!(
                "network address parse error during conversion from string: {other:?}"
            )),
        }
    }),
    m("ip", CIDR, IP, |_, a| Ok(made(network(a)?.0))),
    m("masked", CIDR, CIDR, |_, a| {
        let (ip, bits) = network(a)?;
        Ok(Value::Opaque(Opaque::Cidr(masked(ip, bits), bits)))
    }),
    m("prefixLength", CIDR, "int", |_, a| Ok(Value::Int(i64::from(network(a)?.1)))),
];

fn made<'a>(ip: IpAddr) -> Value<'a> {
    Value::Opaque(Opaque::Ip(ip))
}

fn take(args: &[Value<'_>], index: usize) -> Result<IpAddr, EvalError> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Ip(ip))) => Ok(*ip),
        _ => Err(EvalError::no_overload()),
    }
}

fn network(args: &[Value<'_>]) -> Result<(IpAddr, u8), EvalError> {
    match args.first() {
        Some(Value::Opaque(Opaque::Cidr(ip, bits))) => Ok((*ip, *bits)),
        _ => Err(EvalError::no_overload()),
    }
}

fn parse(text: &str) -> Result<IpAddr, &'static str> {
    if text.contains('%') {
        return Err("IP address with zone value is not allowed");
    }
    match text.parse() {
        Ok(IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_some() => {
            Err("IPv4-mapped IPv6 address is not allowed")
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err("unable to parse IP"),
    }
}

fn parse_cidr(text: &str) -> Option<(IpAddr, u8)> {
    let (ip, bits) = text.split_once('/')?;
    let ip = parse(ip).ok()?;
    let plain = bits == "0" || !bits.starts_with(['0', '+']);
    let bits: u8 = bits.parse().ok().filter(|_| plain)?;
    (bits <= if ip.is_ipv4() { 32 } else { 128 }).then_some((ip, bits))
}

fn masked(ip: IpAddr, bits: u8) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

fn inside(network: IpAddr, bits: u8, ip: IpAddr) -> bool {
    network.is_ipv4() == ip.is_ipv4() && masked(network, bits) == masked(ip, bits)
}

fn is_global(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(v4) => v4.is_link_local() || v4.is_broadcast(),
        IpAddr::V6(v6) => v6.segments()[0] & 0xffc0 == 0xfe80,
    };
    !(ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local)
}
