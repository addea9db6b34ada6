//! Traffic between members: mutual TLS over TCP, framed, multiplexed, bounded.

mod call;
mod carry;
mod client;
mod frame;
pub(crate) mod fuzzing;
mod greeting;
mod message;
mod network;
mod receive;
mod serve;

pub(crate) use call::{Admin, Report, admin, ask_read_index, ask_report, forward, still_follows};
pub(crate) use client::Peers;
pub(crate) use network::NetworkFactory;
pub(crate) use serve::{Service, serve};
