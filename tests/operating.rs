//! Operating a cluster of the real binary: its members listed, removed and replaced; its state saved
//! and restored; all of it restarted and upgraded while it is used.

mod support;

#[path = "operating/load.rs"]
mod load;
#[path = "operating/members.rs"]
mod members;
#[path = "operating/rolling.rs"]
mod rolling;
#[path = "operating/snapshot.rs"]
mod snapshot;
#[path = "operating/upgrade.rs"]
mod upgrade;

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{ListParams, PostParams},
};
use support::{
    cluster::{Cluster, KABUKI},
    process::run,
};

/// A registry nobody asks.
const NO_REGISTRY: &str = "127.0.0.1:1";
/// How long a cluster may take to follow a change of its members.
const FOLLOWS: Duration = Duration::from_secs(20);

/// Runs `kabuki` on the host of a member, with its data directory.
fn kabuki(cluster: &Cluster, member: usize, args: &[&str]) -> Result<String, String> {
    let member = &cluster.members[member];
    let mut command = member.host.command(KABUKI);
    command.args(args).arg(format!("--data-dir={}", member.data_dir.display()));
    run(&mut command)
}

/// What `member list -o json` says, through a member.
fn member_list(cluster: &Cluster, member: usize) -> Result<Vec<serde_json::Value>, String> {
    let text = kabuki(cluster, member, &["member", "list", "-o", "json"])?;
    let list: serde_json::Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    list["items"].as_array().cloned().ok_or_else(|| text.clone())
}

/// Which of the cluster's members leads.
fn leader(cluster: &Cluster) -> usize {
    support::eventually("a leader", FOLLOWS, || {
        let list = member_list(cluster, 0)?;
        let leader = list.iter().find(|m| m["role"] == "leader").ok_or("nobody leads")?;
        let name = leader["name"].as_str().unwrap_or_default();
        let at = cluster.members.iter().position(|m| m.host.name == name);
        at.ok_or_else(|| format!("leader {leader}"))
    })
}

/// Does something with the ConfigMaps of namespace default, through a member.
fn with_config_maps<T: Send, F: Future<Output = T> + Send>(
    cluster: &Cluster,
    member: usize,
    work: impl FnOnce(Api<ConfigMap>) -> F + Send,
) -> T {
    let config = cluster.kube_config(member);
    cluster.members[member].host.block_on(async move {
        work(Api::namespaced(Client::try_from(config).expect("client"), "default")).await
    })
}

fn create(cluster: &Cluster, member: usize, names: &[&str]) {
    with_config_maps(cluster, member, |api| async move {
        for name in names {
            let mut object = ConfigMap::default();
            object.metadata.name = Some((*name).to_string());
            api.create(&PostParams::default(), &object).await.expect("create");
        }
    });
}

/// Names of the ConfigMaps, and the list's resourceVersion.
fn listed(cluster: &Cluster, member: usize) -> Result<(Vec<String>, u64), String> {
    with_config_maps(cluster, member, |api| async move {
        let list = api.list(&ListParams::default()).await.map_err(|e| e.to_string())?;
        let version = list.metadata.resource_version.unwrap_or_default();
        let names = list.items.into_iter().filter_map(|o| o.metadata.name).collect();
        Ok((names, version.parse().map_err(|_| format!("resourceVersion {version:?}"))?))
    })
}
