//! `kabuki reset`: ends the pods of a node whose daemon is stopped. Stopping a daemon leaves
//! containers running on purpose; this is for the one who wants them gone.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use kabuki_actors::kubelet;
use kabuki_runtime::{Runtime, net::NodeNetwork};

use super::{NodeOptions, client, options::DEFAULT_DATA_DIR};
use crate::node::NodePaths;

#[derive(Debug, Args)]
pub struct ResetArgs {
    /// Data directory of the node.
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    node: NodeOptions,
}

pub fn run(args: ResetArgs) -> anyhow::Result<()> {
    let paths = NodePaths::new(&args.data_dir, &args.node);
    if !paths.root.is_dir() {
        println!("no node in {}", args.data_dir.display());
        return Ok(());
    }
    client::block_on(async {
        let runtime = Runtime::new(paths.runtime()?).await.context("cannot open the runtime")?;
        let count = runtime.reset().await.context("cannot remove the pods")?;
        kubelet::remove_pod_data(&paths.root).await.map_err(anyhow::Error::msg)?;
        NodeNetwork::remove_all().await.context("cannot remove the pod network")?;
        println!("removed {count} pods");
        Ok(())
    })
}
