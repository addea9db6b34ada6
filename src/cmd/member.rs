//! `kabuki member`: the control plane's members, through the API of any of them.

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;

use super::client::{self, ClientOptions};

const MEMBERS: &str = "/operations/members";

#[derive(Debug, Args)]
pub struct MemberArgs {
    #[command(flatten)]
    client: ClientOptions,
    #[command(subcommand)]
    command: MemberCommand,
}

#[derive(Debug, Subcommand)]
enum MemberCommand {
    /// Show the members and how each of them fares.
    List {
        /// How to print them.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
    /// Remove a member from the quorum: one that is lost, or one that is to be taken away.
    Remove {
        /// Its id, name or address, as list shows it.
        member: String,
        /// Also when too few of the others live to go on without it.
        #[arg(long)]
        force: bool,
    },
    /// Hand leadership to another member.
    TransferLeader {
        /// Its id, name or address; by default the one nearest to the leader's log.
        member: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Output {
    Table,
    Json,
    Yaml,
}

pub fn run(args: MemberArgs) -> anyhow::Result<()> {
    client::block_on(async {
        let (client, _) = client::connect(&args.client).await?;
        match args.command {
            MemberCommand::List { output } => {
                let list = call(&client, "GET", MEMBERS).await.context("cannot list members")?;
                print!("{}", render(&list, output)?);
            }
            MemberCommand::Remove { member, force } => {
                let path = format!("{MEMBERS}/{}?force={force}", escape(&member));
                let done = call(&client, "DELETE", &path)
                    .await
                    .with_context(|| format!("cannot remove {member}"))?;
                println!("member {} removed", named(&done["removed"]));
            }
            MemberCommand::TransferLeader { member } => {
                let to = member.as_deref().map(|m| format!("?to={}", escape(m)));
                let path = format!("/operations/leader{}", to.unwrap_or_default());
                let done = call(&client, "POST", &path).await.context("cannot hand over")?;
                println!("member {} leads", named(&done["leader"]));
            }
        }
        Ok(())
    })
}

async fn call(client: &kube::Client, method: &str, path: &str) -> anyhow::Result<Value> {
    let request = http::Request::builder().method(method).uri(path).body(Vec::new())?;
    match client.request_text(request).await {
        Ok(text) => Ok(serde_json::from_str(&text)?),
        // What the cluster said is enough; the client's own words around it are not.
        Err(kube::Error::Api(status)) => anyhow::bail!("{}", status.message),
        Err(error) => Err(error.into()),
    }
}

fn escape(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b':');
    text.bytes()
        .map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

fn named(member: &Value) -> String {
    match member["name"].as_str() {
        Some(name) if !name.is_empty() => format!("{name} ({})", member["id"]),
        _ => member["id"].to_string(),
    }
}

fn render(list: &Value, output: Output) -> anyhow::Result<String> {
    Ok(match output {
        Output::Json => format!("{}\n", serde_json::to_string_pretty(list)?),
        Output::Yaml => serde_yaml::to_string(list)?,
        Output::Table => table(list["items"].as_array().map_or(&[], Vec::as_slice)),
    })
}

fn table(members: &[Value]) -> String {
    let head = ["ID", "NAME", "ADDRESS", "API", "ROLE", "HEALTH", "LAG", "TERM", "APPLIED"];
    let mut rows = vec![head.map(String::from)];
    for member in members {
        let text = |field: &str| match &member[field] {
            Value::String(s) if !s.is_empty() => s.clone(),
            Value::Number(n) => n.to_string(),
            _ => "-".to_string(),
        };
        let health = match (member["healthy"].as_bool(), member["message"].as_str()) {
            (Some(true), None) => "healthy".to_string(),
            (Some(true), Some(why)) => format!("healthy ({why})"),
            (_, Some(why)) => format!("unhealthy ({why})"),
            _ => "unhealthy".to_string(),
        };
        rows.push([
            text("id"),
            text("name"),
            text("peerAddress"),
            text("apiAddress"),
            text("role"),
            health,
            text("lag"),
            text("term"),
            text("applied"),
        ]);
    }
    let width = |column: usize| rows.iter().map(|r| r[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String; 9]| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        format!("{}\n", cells.join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_table_says_who_is_unwell_and_why() {
        let list = json!({"items": [
            {"id": 7, "name": "a", "peerAddress": "10.0.0.1:6444", "apiAddress": "10.0.0.1:6443",
             "role": "leader", "healthy": true, "lag": 0, "term": 3, "applied": 99},
            {"id": 8, "name": "", "peerAddress": "10.0.0.2:6444", "apiAddress": "10.0.0.2:6443",
             "role": "follower", "healthy": false, "message": "not sent: refused"},
        ]});
        let text = render(&list, Output::Table).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].starts_with("ID  NAME  ADDRESS"), "{text}");
        assert!(lines[1].contains("leader    healthy") && lines[1].ends_with("99"), "{text}");
        assert!(lines[2].contains("unhealthy (not sent: refused)"), "{text}");
        assert!(render(&list, Output::Yaml).unwrap().contains("role: leader"));
    }

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(escape("10.0.0.1:6444"), "10.0.0.1:6444");
        assert_eq!(escape("a/../b?c"), "a%2F..%2Fb%3Fc");
    }
}
