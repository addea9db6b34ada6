//! `kabuki server`: a control-plane member.

use clap::Args;

use super::{
    ClusterOptions, MemberOptions,
    daemon::{self, Daemon},
};
use crate::{
    join::JoinToken,
    member::{self, Origin},
};

#[derive(Debug, Args)]
#[group(id = "origin", required = true, multiple = false)]
struct OriginArgs {
    /// Start the first member of a new cluster (or start that member again).
    #[arg(long)]
    init: bool,
    /// Join the cluster of this member, as https://HOST:6443 (or start again after having joined).
    #[arg(long, value_name = "URL")]
    join: Option<String>,
}

#[derive(Debug, Args)]
pub struct ServerArgs {
    #[command(flatten)]
    origin: OriginArgs,
    /// The token printed by `kabuki token create --role server`; needed for the first --join.
    #[arg(long, conflicts_with = "init", env = "KABUKI_TOKEN", hide_env_values = true)]
    token: Option<JoinToken>,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    member: MemberOptions,
}

pub fn run(args: ServerArgs) -> anyhow::Result<()> {
    let origin = match (args.origin.join, args.token) {
        (None, _) => Origin::Init,
        (Some(url), Some(token)) => Origin::Join { url, token },
        (Some(_), None) if args.cluster.data_dir.join("member.json").is_file() => Origin::Restart,
        (Some(_), None) => {
            anyhow::bail!("--join needs --token: make one with `kabuki token create --role server`")
        }
    };
    daemon::run(&args.cluster.log, async |daemon: &Daemon| {
        let member = member::start(&args.cluster, &args.member, origin, &daemon.kernel).await?;
        let serving = async {
            daemon.wait(member.wait_for_leader()).await;
            daemon.until_stopped().await;
        };
        let ended = tokio::select! {
            () = serving => Ok(()),
            removed = member.until_removed() => removed.map(|_| ()),
        };
        member.retire().await;
        daemon.stop_actors().await;
        member.stop().await;
        ended
    })
}
