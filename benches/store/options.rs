//! The command line.

use std::{fmt, path::PathBuf, time::Duration};

use anyhow::{Context, bail};

use crate::{cluster::System, member::MemberArgs};

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// Clients that overwrite keys.
    Writers(usize),
    /// The same, over gRPC for both systems.
    GrpcWriters(usize),
    /// Clients that read keys, linearizably.
    Readers(usize),
    /// Clients that watch while one writes.
    Watchers(usize),
}

impl Point {
    /// Clients at once.
    pub fn clients(self) -> usize {
        match self {
            Self::Writers(n) | Self::GrpcWriters(n) | Self::Readers(n) | Self::Watchers(n) => n,
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let (kind, count) = text.split_at_checked(1).context("an empty point")?;
        let count = count.parse().with_context(|| format!("no number in {text:?}"))?;
        Ok(match kind {
            "w" => Self::Writers(count),
            "g" => Self::GrpcWriters(count),
            "r" => Self::Readers(count),
            "o" => Self::Watchers(count),
            _ => bail!("unknown point {text:?}: w, g, r or o and a number"),
        })
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Writers(n) => format!("{n} writers"),
            Self::GrpcWriters(n) => format!("{n} by gRPC"),
            Self::Readers(n) => format!("{n} readers"),
            Self::Watchers(n) => format!("{n} watchers"),
        };
        f.pad(&text)
    }
}

/// What to measure, and how long.
#[derive(Debug)]
pub struct Options {
    /// Sizes of the clusters.
    pub members: Vec<usize>,
    /// What to measure on each.
    pub points: Vec<Point>,
    /// Which systems.
    pub systems: Vec<System>,
    /// How often everything is measured.
    pub rounds: usize,
    /// How long each measurement takes.
    pub duration: Duration,
    /// Keys made first.
    pub keys: usize,
    /// Where the members keep their data; the system's own place when absent.
    pub dir: Option<PathBuf>,
}

impl Options {
    /// Reads the command line; words of cargo's own are passed over.
    pub fn parse(args: &[String]) -> anyhow::Result<Self> {
        let mut options = Self {
            members: vec![1, 3],
            points: ["w1", "w16", "w128", "w1000", "g1000", "r1", "r128", "o1000"]
                .into_iter()
                .map(Point::parse)
                .collect::<Result<_, _>>()?,
            systems: vec![System::Etcd, System::Kabuki],
            rounds: 3,
            duration: Duration::from_secs(3),
            keys: 50_000,
            dir: None,
        };
        let mut args = args.iter().filter(|a| *a != "--bench");
        while let Some(name) = args.next() {
            let value = args.next().with_context(|| format!("{name} needs a value"))?;
            let parts = || value.split(',');
            match name.as_str() {
                "--members" => {
                    options.members = parts().map(str::parse).collect::<Result<_, _>>()?
                }
                "--points" => {
                    options.points = parts().map(Point::parse).collect::<Result<_, _>>()?
                }
                "--systems" => {
                    options.systems = [System::Etcd, System::Kabuki]
                        .into_iter()
                        .filter(|s| parts().any(|name| name == s.name()))
                        .collect();
                }
                "--rounds" => options.rounds = value.parse()?,
                "--seconds" => options.duration = Duration::from_secs_f64(value.parse()?),
                "--keys" => options.keys = value.parse()?,
                "--dir" => options.dir = Some(value.into()),
                _ => bail!("unknown option {name}"),
            }
        }
        Ok(options)
    }
}

/// Reads the command line of a member's process: number, directory, client address, peers.
pub fn member(args: &[String]) -> anyhow::Result<MemberArgs> {
    let [_, id, dir, client, peers @ ..] = args else { bail!("too few words for a member") };
    Ok(MemberArgs {
        id: id.parse()?,
        dir: dir.into(),
        client: client.clone(),
        peers: peers.to_vec(),
    })
}
