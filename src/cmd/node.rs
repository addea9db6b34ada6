//! `kabuki node`: a worker.

use clap::Args;

use super::{
    ClusterOptions, NodeOptions,
    daemon::{self, Daemon},
};
use crate::{join::JoinToken, node};

#[derive(Debug, Args)]
pub struct NodeArgs {
    /// Join the cluster of this member, as https://HOST:6443; not needed again after having joined.
    #[arg(long, value_name = "URL", requires = "token")]
    join: Option<String>,
    /// The token printed by `kabuki token create --role node`.
    #[arg(long, requires = "join", env = "KABUKI_TOKEN", hide_env_values = true)]
    token: Option<JoinToken>,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    node: NodeOptions,
}

pub fn run(args: NodeArgs) -> anyhow::Result<()> {
    daemon::run(&args.cluster.log, async |daemon: &Daemon| {
        let joining = args.join.as_deref().zip(args.token.as_ref());
        let identity = node::identity(&args.cluster, joining).await?;
        let _node = node::start(&args.cluster, &args.node, identity, &daemon.kernel, None).await?;
        daemon.until_stopped().await;
        Ok(())
    })
}
