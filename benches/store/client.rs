//! The client both systems are driven with, over either hop.

use crate::{frames, grpc};

/// What lies between the client and a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hop {
    /// etcd's calls over HTTP/2.
    Grpc,
    /// Frames with a length and a number, as Kabuki's members use among themselves.
    Frames,
}

/// One connection; clones share it.
#[derive(Clone)]
pub enum Channel {
    /// Over HTTP/2.
    Grpc(Box<grpc::Channel>),
    /// Over frames.
    Frames(frames::Channel),
}

impl Channel {
    /// Connects to `host:port`.
    pub async fn connect(addr: &str, hop: Hop) -> anyhow::Result<Self> {
        Ok(match hop {
            Hop::Grpc => Self::Grpc(Box::new(grpc::Channel::connect(addr).await?)),
            Hop::Frames => Self::Frames(frames::Channel::connect(addr).await?),
        })
    }

    /// Writes a key.
    pub async fn put(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        match self {
            Self::Grpc(channel) => channel.put(key, value).await,
            Self::Frames(channel) => channel.put(key, value).await,
        }
    }

    /// Reads a key, linearizably; the length of its value.
    pub async fn read(&self, key: &str) -> anyhow::Result<usize> {
        match self {
            Self::Grpc(channel) => channel.read(key).await,
            Self::Frames(channel) => channel.read(key).await,
        }
    }

    /// Whether the member at the other end leads.
    pub async fn leads(&self) -> anyhow::Result<bool> {
        match self {
            Self::Grpc(channel) => channel.leads().await,
            Self::Frames(channel) => channel.leads().await,
        }
    }

    /// Follows the changes under a prefix, whose end is `end`; returns once the watch stands.
    pub async fn watch(&self, prefix: &str, end: &str) -> anyhow::Result<Watching> {
        Ok(match self {
            Self::Grpc(channel) => Watching::Grpc(channel.watch(prefix, end).await?),
            Self::Frames(channel) => Watching::Frames(channel.watch(prefix).await?),
        })
    }
}

/// A watch that stands.
pub enum Watching {
    /// Over HTTP/2.
    Grpc(grpc::Watching),
    /// Over frames.
    Frames(frames::Watching),
}

impl Watching {
    /// Waits for changes; how many came.
    pub async fn next(&mut self) -> anyhow::Result<usize> {
        match self {
            Self::Grpc(watching) => watching.next().await,
            Self::Frames(watching) => watching.next().await,
        }
    }
}
