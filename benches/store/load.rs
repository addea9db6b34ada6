//! The load: writers, readers, watchers. The same code for both systems.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet};

use crate::client::{Channel, Hop};

/// Size of every value.
pub const VALUE_BYTES: usize = 1024;
/// Connections at most; further clients share them, as an API server's requests share its own.
const MAX_CONNECTIONS: usize = 100;
/// What every key begins with: a kind's keys, as Kabuki lays them out.
const PREFIX: &str = "/registry/core/configmaps/bench/";
/// Where the prefix ends.
const PREFIX_END: &str = "/registry/core/configmaps/bench0";
/// Load before it is measured.
const WARM_UP: Duration = Duration::from_millis(300);
/// How long the watchers may take for one write.
const DELIVERY_LIMIT: Duration = Duration::from_secs(20);

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub struct Figure {
    /// Operations per second.
    pub rate: f64,
    /// Median duration.
    pub p50: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Operations, those of the warm-up included.
    pub count: usize,
}

/// Numbers without a pattern that compresses (xorshift64*).
pub struct Random(u64);

impl Random {
    /// Starts somewhere.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The next number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// Text that values are cut from; it does not compress by more than its alphabet allows.
pub fn filler() -> Bytes {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random::new(7);
    (0..1024 * 1024).map(|_| ALPHABET[random.below(ALPHABET.len())]).collect()
}

fn key(number: usize) -> String {
    format!("{PREFIX}{number:08}")
}

fn value(filler: &Bytes, random: &mut Random) -> Bytes {
    let at = random.below(filler.len() - VALUE_BYTES);
    filler.slice(at..at + VALUE_BYTES)
}

/// Connections for `clients` clients, spread over the members, the leader's first.
pub async fn connect(
    addresses: &[String],
    clients: usize,
    hop: Hop,
) -> anyhow::Result<Vec<Channel>> {
    let mut channels = Vec::new();
    for at in 0..clients.min(MAX_CONNECTIONS) {
        channels.push(Channel::connect(&addresses[at % addresses.len()], hop).await?);
    }
    Ok(channels)
}

/// Creates `keys` keys with `writers` writers; how long that took.
pub async fn fill(
    channels: &[Channel],
    writers: usize,
    keys: usize,
    filler: &Bytes,
) -> anyhow::Result<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let begin = Instant::now();
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let channel = channels[writer % channels.len()].clone();
        let (next, filler) = (next.clone(), filler.clone());
        tasks.spawn(async move {
            let mut random = Random::new(writer as u64 + 1);
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= keys {
                    return anyhow::Ok(());
                }
                channel.put(&key(number), &value(&filler, &mut random)).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(begin.elapsed())
}

/// What clients do over and over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Overwrite a key.
    Write,
    /// Read a key, linearizably.
    Read,
}

/// Has `clients` clients do `work` on `keys` keys for `duration`.
pub async fn run(
    channels: &[Channel],
    clients: usize,
    work: Work,
    keys: usize,
    filler: &Bytes,
    duration: Duration,
) -> anyhow::Result<Figure> {
    let stop = Arc::new(AtomicBool::new(false));
    let counted = Instant::now() + WARM_UP;
    let mut tasks = JoinSet::new();
    for client in 0..clients {
        let channel = channels[client % channels.len()].clone();
        let (stop, filler) = (stop.clone(), filler.clone());
        tasks.spawn(async move {
            let mut random = Random::new(client as u64 + 77);
            let mut took = Vec::new();
            let mut count = 0;
            while !stop.load(Ordering::Relaxed) {
                let key = key(random.below(keys));
                let begin = Instant::now();
                match work {
                    Work::Write => channel.put(&key, &value(&filler, &mut random)).await?,
                    Work::Read => {
                        let bytes = channel.read(&key).await?;
                        anyhow::ensure!(bytes == VALUE_BYTES, "{key} has {bytes} bytes");
                    }
                }
                count += 1;
                if begin >= counted && !stop.load(Ordering::Relaxed) {
                    took.push(begin.elapsed());
                }
            }
            anyhow::Ok((took, count))
        });
    }
    tokio::time::sleep(WARM_UP + duration).await;
    stop.store(true, Ordering::Relaxed);
    let (mut took, mut count) = (Vec::new(), 0);
    while let Some(done) = tasks.join_next().await {
        let (one, counted) = done??;
        took.extend(one);
        count += counted;
    }
    figure(took, duration, count)
}

/// Has `watchers` follow all keys while one client writes `writes` times: from the beginning of a
/// write to the last delivery of its change. The rate is that of deliveries.
pub async fn watch(
    channels: &[Channel],
    watchers: usize,
    writes: usize,
    keys: usize,
    filler: &Bytes,
) -> anyhow::Result<Figure> {
    let (report, mut delivered) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    for watcher in 0..watchers {
        let mut watching = channels[watcher % channels.len()].watch(PREFIX, PREFIX_END).await?;
        let report = report.clone();
        tasks.spawn(async move {
            while let Ok(changes) = watching.next().await {
                if report.send((Instant::now(), changes)).is_err() {
                    return;
                }
            }
        });
    }
    let mut random = Random::new(99);
    let mut took = Vec::new();
    let begin = Instant::now();
    for _ in 0..writes {
        let begin = Instant::now();
        let mut last = begin;
        channels[0].put(&key(random.below(keys)), &value(filler, &mut random)).await?;
        let mut seen = 0;
        while seen < watchers {
            let next = tokio::time::timeout(DELIVERY_LIMIT, delivered.recv());
            let (at, changes) = next.await.context("a change was not delivered")?.context("end")?;
            seen += changes;
            last = last.max(at);
        }
        anyhow::ensure!(seen == watchers, "{seen} deliveries to {watchers} watchers");
        took.push(last - begin);
    }
    let mut figure = figure(took, begin.elapsed(), writes * watchers)?;
    figure.rate *= watchers as f64;
    Ok(figure)
}

fn figure(mut took: Vec<Duration>, duration: Duration, count: usize) -> anyhow::Result<Figure> {
    took.sort_unstable();
    let last = took.len().checked_sub(1).context("nothing was done in time")?;
    Ok(Figure {
        rate: took.len() as f64 / duration.as_secs_f64(),
        p50: took[last / 2],
        p99: took[last * 99 / 100],
        count,
    })
}
