//! Figures, by hand: `cargo test --release -p kabuki-actors --lib registry::tests::figures -- --ignored --nocapture`.

use std::time::Instant;

use kabuki_api::kind::CONFIG_MAP;
use serde_json::json;

use super::*;

fn resident_kib() -> u64 {
    let text = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = text.lines().find(|l| l.starts_with("Pss:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, not a check"]
async fn fifty_thousand_config_maps() {
    const COUNT: usize = 50_000;
    const AT_ONCE: usize = 128;
    let c = cluster().await;
    let before = resident_kib();
    let started = Instant::now();
    let tasks = (0..AT_ONCE).map(|worker| {
        let registry = c.registry.clone();
        tokio::spawn(async move {
            for i in (worker..COUNT).step_by(AT_ONCE) {
                let object = json!({"metadata": {"name": format!("c{i:05}"), "labels": {"v": "1"}},
                    "data": {"v": "x".repeat(1_000)}});
                registry.create(&internal(), CONFIG_MAP, "default", object).await.unwrap();
            }
        })
    });
    futures_util::future::join_all(tasks).await;
    let rate = COUNT as f64 / started.elapsed().as_secs_f64();
    println!("creates/s: {rate:.0}; memory: {} KiB", resident_kib() - before);
    for (what, labels) in [("plain", ""), ("label selector", "v=1"), ("plain", "")] {
        let started = Instant::now();
        let options =
            ListOptions { label_selector: labels.into(), ..ListOptions::in_namespace("default") };
        let list = c.list_consistent(CONFIG_MAP, &options).await.unwrap();
        let count = list.items.len();
        let bytes: usize = list.chunks().map(|chunk| chunk.len()).sum();
        println!("{what} LIST of {count}: {:?}, {bytes} bytes", started.elapsed());
    }
    println!("memory: {} KiB", resident_kib() - before);
}
