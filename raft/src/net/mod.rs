//! Traffic between members: mutual TLS over TCP, framed, multiplexed, bounded.

mod call;
mod carry;
mod client;
mod frame;
mod message;
mod network;
mod receive;
mod serve;

pub(crate) use call::{Admin, admin, ask_read_index, forward};
pub(crate) use client::Peers;
pub(crate) use network::NetworkFactory;
pub(crate) use serve::{Service, serve};
