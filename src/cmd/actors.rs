//! `kabuki actors`: looks into the running cast through `/debug/actors`, on any machine of the
//! cluster, and gives orders to it.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use futures_util::{AsyncBufReadExt, TryStreamExt};
use serde_json::Value;

use super::client::{self, ClientOptions};

#[derive(Debug, Args)]
pub struct ActorsArgs {
    #[command(flatten)]
    client: ClientOptions,
    /// Member or node whose actors are meant, or `all`; by default the member that is asked.
    #[arg(long, global = true, value_name = "NAME", default_value = "")]
    node: String,
    #[command(subcommand)]
    command: Option<ActorsCommand>,
}

#[derive(Debug, Subcommand)]
enum ActorsCommand {
    /// The supervision tree.
    Tree,
    /// The actors that spent most time, with mailbox, counts and restarts.
    Top {
        /// What to sort by.
        #[arg(long, value_enum, default_value = "busy")]
        by: By,
        /// Rows.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// One actor: counters, what it does now, restarts, panics, and its state.
    Show {
        /// Path of the actor, as the tree shows it.
        path: String,
    },
    /// Watch the letters of one actor as they go in and out.
    Trace {
        /// Path of the actor.
        path: String,
        /// How long, at most 60s.
        #[arg(long = "for", default_value = "10s", value_name = "TIME")]
        time: String,
        /// How many events, at most 10000.
        #[arg(long, default_value_t = 1000)]
        max: u32,
    },
    /// Let an actor keep its mail unread for a while.
    Pause {
        /// Path of the actor.
        path: String,
        /// How long, at most 10m; it goes on by itself then.
        #[arg(long = "for", default_value = "60s", value_name = "TIME")]
        time: String,
    },
    /// End a pause.
    Resume {
        /// Path of the actor.
        path: String,
    },
    /// Stop an actor, or a supervisor with its children, in order and begin anew; mail is kept.
    Restart {
        /// Path of the actor or supervisor.
        path: String,
    },
    /// Letters nobody read, newest first.
    #[command(name = "deadletters")]
    DeadLetters,
    /// Alarms, newest first.
    Alarms,
    /// Who gave orders to actors, newest first.
    Audit,
}

/// What `top` sorts by.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Time in handlers.
    Busy,
    /// Letters waiting.
    Depth,
    /// Letters handled.
    Handled,
    /// Restarts.
    Restarts,
}

impl By {
    fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Depth => "depth",
            Self::Handled => "handled",
            Self::Restarts => "restarts",
        }
    }
}

/// The cluster, and whose cast is meant.
struct Stage {
    client: kube::Client,
    node: String,
}

pub fn run(args: ActorsArgs) -> anyhow::Result<()> {
    client::block_on(async {
        let (client, _) = client::connect(&args.client).await?;
        let stage = Stage { client, node: args.node };
        stage.perform(args.command.unwrap_or(ActorsCommand::Tree)).await
    })
}

impl Stage {
    async fn perform(&self, command: ActorsCommand) -> anyhow::Result<()> {
        match command {
            ActorsCommand::Tree => self.print("/debug/actors", &[]).await,
            ActorsCommand::Top { by, limit } => {
                let limit = limit.to_string();
                let query = [("top", by.name()), ("limit", &limit)];
                self.print("/debug/actors", &query).await
            }
            ActorsCommand::Show { path } => self.show(&path).await,
            ActorsCommand::Trace { path, time, max } => self.trace(&path, &time, max).await,
            ActorsCommand::Pause { path, time } => {
                self.order(&path, "pause", &[("for", &time)]).await
            }
            ActorsCommand::Resume { path } => self.order(&path, "resume", &[]).await,
            ActorsCommand::Restart { path } => self.order(&path, "restart", &[]).await,
            ActorsCommand::DeadLetters => self.print("/debug/deadletters", &[]).await,
            ActorsCommand::Alarms => self.print("/debug/alarms", &[]).await,
            ActorsCommand::Audit => self.print("/debug/audit", &[]).await,
        }
    }

    fn url(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
        let mut url = reqwest::Url::parse("https://cluster")?;
        url.set_path(path);
        {
            let mut pairs = url.query_pairs_mut();
            if !self.node.is_empty() {
                pairs.append_pair("node", &self.node);
            }
            pairs.extend_pairs(query);
        }
        let tail = url.query().filter(|q| !q.is_empty()).map(|q| format!("?{q}"));
        Ok(format!("{}{}", url.path(), tail.unwrap_or_default()))
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<String> {
        let url = self.url(path, query)?;
        let request = http::Request::get(&url).body(Vec::new())?;
        self.client.request_text(request).await.with_context(|| format!("cannot read {url}"))
    }

    async fn print(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<()> {
        let query = [&[("format", "text")], query].concat();
        print!("{}", self.get(path, &query).await?);
        Ok(())
    }

    async fn show(&self, path: &str) -> anyhow::Result<()> {
        let path = format!("/debug/actors{}", rooted(path));
        self.print(&path, &[]).await?;
        let text = self.get(&format!("{path}/state"), &[]).await?;
        let state: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        println!("state:\n{}", serde_yaml::to_string(&state)?.trim_end());
        Ok(())
    }

    async fn order(&self, path: &str, order: &str, query: &[(&str, &str)]) -> anyhow::Result<()> {
        let url = self.url(&format!("/debug/actors{}/{order}", rooted(path)), query)?;
        let request = http::Request::post(&url).body(Vec::new())?;
        let done = self.client.request_text(request).await;
        done.with_context(|| format!("cannot {order} {path}"))?;
        println!("{path}: {order} accepted");
        Ok(())
    }

    async fn trace(&self, path: &str, time: &str, max: u32) -> anyhow::Result<()> {
        let max = max.to_string();
        let query = [("for", time), ("max", &max), ("format", "text")];
        let url = self.url(&format!("/debug/actors{}/trace", rooted(path)), &query)?;
        let request = http::Request::post(&url).body(Vec::new())?;
        let stream = self.client.request_stream(request).await;
        let stream = stream.with_context(|| format!("cannot trace {path}"))?;
        let stream = std::pin::pin!(stream);
        let mut lines = stream.lines();
        while let Some(line) = lines.try_next().await? {
            println!("{line}");
        }
        Ok(())
    }
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

#[cfg(test)]
mod tests {
    use super::rooted;

    #[test]
    fn paths_are_from_the_root() {
        assert_eq!((rooted("/a/b"), rooted("a/b")), ("/a/b".to_owned(), "/a/b".to_owned()));
    }
}
