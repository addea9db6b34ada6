//! Kabuki's store and Debian's `etcd-server` under the same load in one run.
//!
//! `cargo bench -p kabuki-raft --bench store` (needs `etcd` on PATH: `apt-get install
//! etcd-server`). Every member is a process of its own on loopback with fsync on and TLS between
//! members. One client program drives both: etcd over gRPC, Kabuki over frames as its members use
//! among themselves, and in one row over gRPC too. Rounds of the two alternate; what counts are
//! the ratios. Options: `--members 1,3 --points w1,w1000 --rounds 3
//! --seconds 3 --systems etcd,kabuki --keys 50000 --dir DIR`.

mod certs;
mod client;
mod cluster;
mod frames;
mod grpc;
mod load;
mod member;
mod options;
mod serve_grpc;
mod wire;

use std::time::Duration;

use bytes::Bytes;
use client::Hop;
use cluster::{Cluster, System};
use load::{Figure, Work};
use options::{Options, Point};

// As in the program itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Writers that make the keys.
const FILL_WRITERS: usize = 128;
/// How long members are left alone before their memory is looked at.
const SETTLE: Duration = Duration::from_secs(3);
/// Writes whose delivery to all watchers is timed.
const WATCHED_WRITES: usize = 40;

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // Test runners ask every target for its tests; this one has none.
    if args.iter().any(|a| a == "--test" || a == "--list") {
        return Ok(());
    }
    if args.first().is_some_and(|a| a == "member") {
        return member::run(options::member(&args)?);
    }
    let options = Options::parse(&args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        for members in &options.members {
            compare(&options, *members).await?;
        }
        Ok(())
    })
}

/// A figure, and what the members spent on it.
#[derive(Clone, Copy)]
struct Measured {
    figure: Figure,
    /// Processor time of all members per operation.
    cpu: Duration,
}

/// Everything about clusters of one size.
async fn compare(options: &Options, members: usize) -> anyhow::Result<()> {
    let dir = match &options.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let filler = load::filler();
    println!("\n== {members} member(s), values of {} bytes", load::VALUE_BYTES);
    let mut clusters = Vec::new();
    for system in &options.systems {
        let place = dir.path().join(system.name());
        let cluster = Cluster::start(*system, members, &place).await?;
        println!("{}: processes {:?}", system.name(), cluster.pids());
        fill(&cluster, options, &filler).await?;
        clusters.push(cluster);
    }
    let mut rows: Vec<Vec<Vec<Measured>>> =
        vec![vec![Vec::new(); clusters.len()]; options.points.len()];
    for round in 0..options.rounds {
        for (row, point) in rows.iter_mut().zip(&options.points) {
            // The second of a pair meets other caches and clocks than the first: take turns.
            for turn in 0..clusters.len() {
                let at = (turn + round) % clusters.len();
                row[at].push(measure(&clusters[at], *point, options, &filler).await?);
            }
        }
    }
    for (row, point) in rows.iter().zip(&options.points) {
        report(*point, &clusters, row);
    }
    Ok(())
}

async fn fill(cluster: &Cluster, options: &Options, filler: &Bytes) -> anyhow::Result<()> {
    let addresses = cluster.leader_first().await?;
    let channels = load::connect(&addresses, FILL_WRITERS, cluster.system.hop()).await?;
    let took = load::fill(&channels, FILL_WRITERS, options.keys, filler).await?;
    tokio::time::sleep(SETTLE).await;
    println!(
        "{}: {} keys written by {FILL_WRITERS} writers in {:.2} s, then memory (PSS) {:.1} MB, disk {:.1} MB",
        cluster.system.name(),
        options.keys,
        took.as_secs_f64(),
        mib(cluster.memory()),
        mib(cluster.disk()),
    );
    Ok(())
}

async fn measure(
    cluster: &Cluster,
    point: Point,
    options: &Options,
    filler: &Bytes,
) -> anyhow::Result<Measured> {
    let addresses = cluster.leader_first().await?;
    let hop = match point {
        Point::GrpcWriters(_) => Hop::Grpc,
        _ => cluster.system.hop(),
    };
    let channels = load::connect(&addresses, point.clients(), hop).await?;
    let (keys, duration) = (options.keys, options.duration);
    let before = cluster.cpu();
    let figure = match point {
        Point::Writers(n) | Point::GrpcWriters(n) => {
            load::run(&channels, n, Work::Write, keys, filler, duration).await?
        }
        Point::Readers(n) => load::run(&channels, n, Work::Read, keys, filler, duration).await?,
        Point::Watchers(n) => load::watch(&channels, n, WATCHED_WRITES, keys, filler).await?,
    };
    let cpu = (cluster.cpu() - before).div_f64(figure.count.max(1) as f64);
    Ok(Measured { figure, cpu })
}

/// Prints one line per system and their ratio, round by round.
fn report(point: Point, clusters: &[Cluster], row: &[Vec<Measured>]) {
    let middle = |mut all: Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let millis = |d: Duration| d.as_secs_f64() * 1000.0;
    for (cluster, all) in clusters.iter().zip(row) {
        println!(
            "{point:<16} {:<7} {:>9.0}/s  p50 {:>8.2} ms  p99 {:>8.2} ms  members' cpu {:>6.1} µs",
            cluster.system.name(),
            middle(all.iter().map(|m| m.figure.rate).collect()),
            middle(all.iter().map(|m| millis(m.figure.p50)).collect()),
            middle(all.iter().map(|m| millis(m.figure.p99)).collect()),
            middle(all.iter().map(|m| millis(m.cpu) * 1000.0).collect()),
        );
    }
    let of = |wanted: System| clusters.iter().position(|c| c.system == wanted);
    let (Some(etcd), Some(kabuki)) = (of(System::Etcd), of(System::Kabuki)) else { return };
    // Of deliveries their delay counts, of all else the rate.
    let ratio = |(e, k): (&Measured, &Measured)| match point {
        Point::Watchers(_) => millis(e.figure.p99) / millis(k.figure.p99),
        _ => k.figure.rate / e.figure.rate,
    };
    let mut ratios: Vec<f64> = row[etcd].iter().zip(&row[kabuki]).map(ratio).collect();
    ratios.sort_by(f64::total_cmp);
    println!(
        "{point:<16} kabuki is {:.2} times etcd (rounds {:.2} to {:.2})",
        ratios[ratios.len() / 2],
        ratios[0],
        ratios[ratios.len() - 1],
    );
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0 / 1024.0
}
