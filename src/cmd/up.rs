//! `kabuki up`: control plane and node in one process.

use clap::Args;

use super::{
    ClusterOptions, MemberOptions, NodeOptions,
    daemon::{self, Daemon},
};
use crate::{
    member::{self, Origin},
    node::{self, LocalMember},
};

#[derive(Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    member: MemberOptions,
    #[command(flatten)]
    node: NodeOptions,
}

pub fn run(args: UpArgs) -> anyhow::Result<()> {
    daemon::run(&args.cluster.log, async |daemon: &Daemon| {
        let member =
            member::start(&args.cluster, &args.member, Origin::Init, &daemon.kernel).await?;
        let ended = tokio::select! {
            done = serve(&args, daemon, &member) => done,
            removed = member.until_removed() => removed.map(|_| ()),
        };
        member.retire().await;
        daemon.stop_actors().await;
        member.stop().await;
        ended
    })
}

/// Runs the node beside the member until the process is asked to stop.
async fn serve(args: &UpArgs, daemon: &Daemon, member: &member::Member) -> anyhow::Result<()> {
    daemon.wait(member.wait_for_leader()).await;
    let name = args.cluster.machine_name()?;
    let identity = node::local_identity(&name, &member.pki, &member.api_addr)?;
    let local = LocalMember { api: member.api_addr.parse()?, pki: member.pki.clone() };
    let _node =
        node::start(&args.cluster, &args.node, identity, &daemon.kernel, Some(local)).await?;
    println!(
        "kabuki is up: export KUBECONFIG={}",
        args.cluster.data_dir.join("admin.kubeconfig").display()
    );
    daemon.until_stopped().await;
    Ok(())
}
