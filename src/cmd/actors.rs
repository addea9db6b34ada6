//! `kabuki actors`: looks into the running cast through `/debug/actors`.

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::client::{self, ClientOptions};

/// Rows that `top` shows.
const TOP_ROWS: usize = 20;

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
    /// The actors that handled most messages, with mailbox and time spent.
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
            ActorsCommand::Top => top(&get(&client, "/debug/actors").await?)?,
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
    let tree: Value = serde_json::from_str(&get(client, "/debug/actors").await?)?;
    let mut rows = Vec::new();
    flatten(&tree, &mut rows);
    let actor = rows
        .into_iter()
        .find(|a| a["path"] == path.as_str())
        .with_context(|| format!("no actor at {path}; `kabuki actors tree` shows the paths"))?;
    println!("{}", serde_yaml::to_string(&without_children(actor))?.trim_end());
    let state = get(client, &format!("/debug/actors{path}/state")).await?;
    let state: Value = serde_json::from_str(&state).unwrap_or(Value::String(state));
    println!("state:\n{}", serde_yaml::to_string(&state)?.trim_end());
    Ok(())
}

fn top(text: &str) -> anyhow::Result<()> {
    let tree: Value = serde_json::from_str(text)?;
    let mut rows = Vec::new();
    flatten(&tree, &mut rows);
    rows.sort_by_key(|a| std::cmp::Reverse(a["handled"].as_u64().unwrap_or(0)));
    println!("{:>10} {:>10} {:>9} {:>8}  PATH", "HANDLED", "BUSY(ms)", "MAILBOX", "RESTARTS");
    for actor in rows.iter().take(TOP_ROWS) {
        let number = |name: &str| actor[name].as_u64().unwrap_or(0);
        println!(
            "{:>10} {:>10} {:>4}/{:<4} {:>8}  {}",
            number("handled"),
            number("busy_ns") / 1_000_000,
            number("depth"),
            number("capacity"),
            number("restarts"),
            actor["path"].as_str().unwrap_or("?")
        );
    }
    Ok(())
}

/// Every object of the tree that has a path.
fn flatten<'a>(value: &'a Value, rows: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            if map.contains_key("path") {
                rows.push(value);
            }
            map.values().for_each(|v| flatten(v, rows));
        }
        Value::Array(items) => items.iter().for_each(|v| flatten(v, rows)),
        _ => {}
    }
}

fn without_children(actor: &Value) -> Value {
    let mut copy = actor.clone();
    if let Some(map) = copy.as_object_mut() {
        map.remove("children");
    }
    copy
}
