//! `kabuki actors`: looks into the running cast through `/debug/actors`.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{self, ClientOptions};

#[derive(Debug, Args)]
pub struct ActorsArgs {
    #[command(flatten)]
    client: ClientOptions,
    #[command(subcommand)]
    command: Option<ActorsCommand>,
}

#[derive(Debug, Subcommand)]
enum ActorsCommand {
    /// The supervision tree.
    Tree,
    /// The actors that spent most time, with mailbox, counts and restarts.
    Top,
    /// One actor: its counters, what it does now, its last panic, and its state.
    Show {
        /// Path of the actor, as the tree shows it.
        path: String,
    },
}

pub fn run(args: ActorsArgs) -> anyhow::Result<()> {
    client::block_on(async {
        let (client, _) = client::connect(&args.client).await?;
        match args.command.unwrap_or(ActorsCommand::Tree) {
            ActorsCommand::Tree => {
                print!("{}", get(&client, "/debug/actors?format=text").await?);
            }
            ActorsCommand::Top => {
                print!("{}", get(&client, "/debug/actors?format=text&top=busy").await?);
            }
            ActorsCommand::Show { path } => show(&client, &path).await?,
        }
        Ok(())
    })
}

async fn get(client: &kube::Client, path: &str) -> anyhow::Result<String> {
    let request = http::Request::get(path).body(Vec::new())?;
    client.request_text(request).await.with_context(|| format!("cannot read {path}"))
}

async fn show(client: &kube::Client, path: &str) -> anyhow::Result<()> {
    let path = if path.starts_with('/') { path.to_string() } else { format!("/{path}") };
    print!("{}", get(client, &format!("/debug/actors{path}?format=text")).await?);
    let text = get(client, &format!("/debug/actors{path}/state")).await?;
    let state: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    println!("state:\n{}", serde_yaml::to_string(&state)?.trim_end());
    Ok(())
}
