//! `kabuki image`: the container images of this node, worked on in its image store.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Subcommand};
use kabuki_runtime::{ImageInfo, Runtime};

use super::{NodeOptions, client, options::DEFAULT_DATA_DIR};
use crate::{
    control::{self, ImageAnswer, ImageRequest},
    node::NodePaths,
};

#[derive(Debug, Args)]
pub struct ImageArgs {
    #[command(subcommand)]
    command: ImageCommand,
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Load images from docker or OCI archives.
    Load {
        /// The archives.
        #[arg(required = true)]
        archives: Vec<PathBuf>,
        #[command(flatten)]
        place: Place,
    },
    /// Pull an image from its registry.
    Pull {
        /// The image, as registry/name:tag.
        reference: String,
        #[command(flatten)]
        place: Place,
    },
    /// Show the images.
    List {
        #[command(flatten)]
        place: Place,
    },
    /// Remove an image.
    Remove {
        /// The image, as list shows it.
        reference: String,
        #[command(flatten)]
        place: Place,
    },
}

#[derive(Debug, Args)]
struct Place {
    /// Data directory of the node.
    #[arg(long, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    data_dir: PathBuf,
    #[command(flatten)]
    node: NodeOptions,
}

impl Place {
    /// Asks the running daemon, or works on its store when there is none.
    async fn perform(&self, request: ImageRequest) -> anyhow::Result<ImageAnswer> {
        let paths = NodePaths::new(&self.data_dir, &self.node);
        let answer = match control::ask(&paths.run, &request).await.context("the node's daemon")? {
            Some(answer) => answer,
            None => {
                let runtime =
                    Runtime::new(paths.runtime()?).await.context("cannot open the image store")?;
                control::perform(runtime.images(), request).await
            }
        };
        match answer {
            ImageAnswer::Failed(why) => anyhow::bail!(why),
            answer => Ok(answer),
        }
    }
}

pub fn run(args: ImageArgs) -> anyhow::Result<()> {
    client::block_on(async {
        match args.command {
            ImageCommand::Load { archives, place } => {
                for archive in archives {
                    let path = std::path::absolute(&archive)?;
                    show("loaded", place.perform(ImageRequest::Load(path)).await?);
                }
            }
            ImageCommand::Pull { reference, place } => {
                let registries = place.node.insecure_registries.clone();
                place.perform(ImageRequest::Pull(reference.clone(), registries)).await?;
                println!("pulled {reference}");
            }
            ImageCommand::List { place } => show("", place.perform(ImageRequest::List).await?),
            ImageCommand::Remove { reference, place } => {
                place.perform(ImageRequest::Remove(reference.clone())).await?;
                println!("removed {reference}");
            }
        }
        Ok(())
    })
}

fn show(verb: &str, answer: ImageAnswer) {
    match answer {
        ImageAnswer::Names(names) => names.iter().for_each(|name| println!("{verb} {name}")),
        ImageAnswer::Images(images) => list(&images),
        ImageAnswer::Done | ImageAnswer::Failed(_) => {}
    }
}

fn list(images: &[ImageInfo]) {
    println!("{:<50} {:<20} {:>10}", "IMAGE", "ID", "SIZE(KiB)");
    for image in images {
        let id: String = image.id.trim_start_matches("sha256:").chars().take(12).collect();
        for reference in &image.references {
            println!("{reference:<50} {id:<20} {:>10}", image.size_bytes / 1024);
        }
    }
}
