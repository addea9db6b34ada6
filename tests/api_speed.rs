//! Measurements of the HTTP face; run by hand with `--ignored --nocapture`. Client and server share
//! the machine and this process, so the figures are lower bounds.

mod api_support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use api_support::TestApi;
use futures_util::future::join_all;
use serde_json::json;

// As in the program itself.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const CONNECTIONS: usize = 128;
const OBJECTS: usize = 50_000;
const WATCHERS: usize = 1_000;
const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() * percent / 100).min(sorted.len() - 1)]
}

/// `cargo test --release -p kabuki --test api_speed creates_and_lists -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of about a minute"]
async fn creates_and_lists() {
    let api = TestApi::start().await;
    let next = Arc::new(AtomicUsize::new(0));
    let filler = "x".repeat(800);
    let clients: Vec<_> = (0..CONNECTIONS).map(|_| api.admin()).collect();
    let begun = Instant::now();
    let workers = clients.into_iter().map(|client| {
        let (next, filler) = (Arc::clone(&next), filler.clone());
        tokio::spawn(async move {
            let mut took = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= OBJECTS {
                    return took;
                }
                let body = json!({"apiVersion": "v1", "kind": "ConfigMap",
                    "metadata": {"name": format!("m-{number}")}, "data": {"k": filler}});
                let begun = Instant::now();
                let answer = client.post(MAPS, &body).await;
                took.push(begun.elapsed());
                assert_eq!(answer.code, 201, "{}", answer.text);
            }
        })
    });
    let mut took: Vec<Duration> =
        join_all(workers).await.into_iter().flat_map(Result::unwrap).collect();
    let total = begun.elapsed();
    took.sort_unstable();
    println!(
        "creates: {:.0}/s over {CONNECTIONS} connections, p50 {:?}, p99 {:?}",
        OBJECTS as f64 / total.as_secs_f64(),
        percentile(&took, 50),
        percentile(&took, 99)
    );
    let client = api.admin();
    for (what, path) in [
        ("list, any revision", format!("{MAPS}?resourceVersion=0")),
        ("list, latest", MAPS.to_owned()),
        ("list, 500 per page, first page", format!("{MAPS}?limit=500")),
    ] {
        let mut best = Duration::MAX;
        let mut bytes = 0;
        for _ in 0..5 {
            let begun = Instant::now();
            let response = client.request("GET", &path).send().await.unwrap();
            bytes = response.bytes().await.unwrap().len();
            best = best.min(begun.elapsed());
        }
        println!("{what}: {best:?}, {bytes} bytes");
    }
    api.stop().await;
}

/// `cargo test --release -p kabuki --test api_speed watch_fan_out -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of about half a minute"]
async fn watch_fan_out() {
    let api = TestApi::start().await;
    let clients: Vec<_> = (0..16).map(|_| Arc::new(api.admin())).collect();
    let (sender, mut delivered) = tokio::sync::mpsc::unbounded_channel();
    for number in 0..WATCHERS {
        let client = Arc::clone(&clients[number % clients.len()]);
        let path = format!("{MAPS}?watch=true&timeoutSeconds=300");
        let mut response =
            client.request("GET", &path).timeout(Duration::from_secs(300)).send().await.unwrap();
        let sender = sender.clone();
        tokio::spawn(async move {
            while let Ok(Some(chunk)) = response.chunk().await {
                let events = chunk.iter().filter(|b| **b == b'\n').count();
                if sender.send((Instant::now(), events)).is_err() {
                    return;
                }
            }
        });
    }
    let writer = api.admin();
    let mut slowest = Vec::new();
    for number in 0..50 {
        let body = json!({"metadata": {"name": format!("w-{number}")}, "data": {"k": "v"}});
        let begun = Instant::now();
        assert_eq!(writer.post(MAPS, &body).await.code, 201);
        let mut last = begun;
        let mut seen = 0;
        while seen < WATCHERS {
            let (at, events) = delivered.recv().await.unwrap();
            seen += events;
            last = last.max(at);
        }
        slowest.push(last - begun);
    }
    slowest.sort_unstable();
    println!(
        "{WATCHERS} watchers, write begun → last delivery: p50 {:?}, p99 {:?}",
        percentile(&slowest, 50),
        percentile(&slowest, 99)
    );
    api.stop().await;
}
