//! One greedy client, and the heartbeats of a node beside it: how long they wait when requests take
//! turns, and when they do not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::ensure;
use serde_json::{Value, json};

use crate::Server;

/// ConfigMaps that are listed, each of about 1 KiB.
const OBJECTS: usize = 5_000;
/// Lists the greedy client has under way.
const GREEDY: usize = 256;
/// How often the node says that it lives, and for how long it is watched.
const EVERY: Duration = Duration::from_millis(100);
const WATCHED: Duration = Duration::from_secs(20);
/// A heartbeat that takes longer has failed: client-go's lease controllers give up then.
const PATIENCE: Duration = Duration::from_secs(10);
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Runs with upstream's seats, and with so many that nobody waits.
pub async fn run() -> anyhow::Result<()> {
    for (name, flags) in
        [("600 seats", &[][..]), ("no limit", &["--max-requests-inflight=1000000"][..])]
    {
        let server = Server::start(flags).await?;
        let token = server.token().await?;
        crate::fill(&server, &token, OBJECTS).await?;
        one(name, &server, &token).await?;
    }
    Ok(())
}

async fn one(name: &str, server: &Server, token: &str) -> anyhow::Result<()> {
    let node = server.http()?;
    let send = |method, path: &str, body: Option<Value>| {
        // As the node itself: an administrator may speak for it.
        let request = node
            .request(method, format!("{}{path}", server.url))
            .bearer_auth(token)
            .header("impersonate-user", "system:node:n")
            .header("impersonate-group", "system:nodes")
            .timeout(PATIENCE);
        match body {
            Some(body) => request.json(&body).send(),
            None => request.send(),
        }
    };
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": "n", "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": "n", "leaseDurationSeconds": 40}});
    let made = send(reqwest::Method::POST, LEASES, Some(lease.clone())).await?;
    ensure!(made.status() == 201, "{}", made.text().await?);

    let (stop, lists, refused) = (
        Arc::new(AtomicBool::new(false)),
        Arc::<AtomicUsize>::default(),
        Arc::<AtomicUsize>::default(),
    );
    let mut greedy = tokio::task::JoinSet::new();
    for _ in 0..GREEDY {
        let (stop, lists, refused) = (stop.clone(), lists.clone(), refused.clone());
        let request = server
            .http()?
            .get(format!("{}/api/v1/namespaces/long/configmaps", server.url))
            .bearer_auth(token);
        greedy.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let Some(request) = request.try_clone() else { return };
                let Ok(mut answer) = request.send().await else { continue };
                if answer.status() == 429 {
                    refused.fetch_add(1, Ordering::Relaxed);
                    // What it is told to.
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
                while let Ok(Some(_)) = answer.chunk().await {}
                lists.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let (mut times, mut failed) = (Vec::new(), 0);
    let begin = Instant::now();
    while begin.elapsed() < WATCHED {
        tokio::time::sleep(EVERY).await;
        let asked = Instant::now();
        let path = format!("{LEASES}/n");
        match send(reqwest::Method::PUT, &path, Some(lease.clone())).await {
            Ok(answer) if answer.status() == 200 => times.push(asked.elapsed()),
            _ => failed += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    greedy.shutdown().await;
    times.sort();
    let at = |part: usize| times.get(times.len() * part / 100).or(times.last()).copied();
    println!(
        "{name}: {} heartbeats beside {GREEDY} lists of {OBJECTS}: p50 {:?}, p99 {:?}, max {:?}, \
         {failed} failed; {} lists served, {} refused; PSS {:.0} MB",
        times.len(),
        at(50).unwrap_or_default(),
        at(99).unwrap_or_default(),
        times.last().copied().unwrap_or_default(),
        lists.load(Ordering::Relaxed),
        refused.load(Ordering::Relaxed),
        server.pss_mib()
    );
    Ok(())
}
