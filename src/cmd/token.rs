//! `kabuki token`: join tokens, kept as bootstrap token Secrets in kube-system.

use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{
    client::{self, ClientOptions},
    duration::parse_duration,
};
use crate::{join::JoinToken, pki::ca_hash};

/// Longest lifetime of a token: thirty days.
const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Alphabet of ids and secrets (kubeadm bootstrap tokens: `[a-z0-9]`).
const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
/// Secret type and name prefix of bootstrap tokens.
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const NAME_PREFIX: &str = "bootstrap-token-";

#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a token and print it.
    Create(CreateArgs),
    /// Show the tokens, without their secrets.
    List(ListArgs),
    /// Delete a token by its id.
    Delete(DeleteArgs),
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TokenRole {
    Server,
    Node,
}

#[derive(Debug, Args)]
struct CreateArgs {
    #[command(flatten)]
    client: ClientOptions,
    /// What the token lets a machine become.
    #[arg(long, value_enum, default_value = "node")]
    role: TokenRole,
    /// How long it is good for, as 30m, 24h or 7d; at most 30d.
    #[arg(long, default_value = "24h", value_parser = parse_duration)]
    ttl: Duration,
    /// How many machines may join with it; unlimited when absent.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    uses: Option<u32>,
}

#[derive(Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    client: ClientOptions,
}

#[derive(Debug, Args)]
struct DeleteArgs {
    #[command(flatten)]
    client: ClientOptions,
    /// The token, or its id: the six characters after `::`.
    token: String,
}

pub fn run(args: TokenArgs) -> anyhow::Result<()> {
    client::block_on(async {
        match args.command {
            TokenCommand::Create(args) => create(args).await,
            TokenCommand::List(args) => list(args).await,
            TokenCommand::Delete(args) => delete(args).await,
        }
    })
}

async fn create(args: CreateArgs) -> anyhow::Result<()> {
    anyhow::ensure!(args.ttl <= TTL_MAX, "--ttl is longer than 30d");
    let (client, ca_pem) = client::connect(&args.client).await?;
    let token = JoinToken { ca_hash: ca_hash(&ca_pem)?, id: random(6), secret: random(16) };
    let role = match args.role {
        TokenRole::Server => "server",
        TokenRole::Node => "node",
    };
    let expiration = (OffsetDateTime::now_utc() + args.ttl)
        .replace_nanosecond(0)
        .context("cannot reckon the expiry")?
        .format(&Rfc3339)?;
    let mut data = vec![
        ("token-id", token.id.clone()),
        ("token-secret", token.secret.clone()),
        ("expiration", expiration),
        ("usage-bootstrap-authentication", "true".to_string()),
        ("auth-extra-groups", format!("system:bootstrappers:kabuki:{role}")),
        ("kabuki-role", role.to_string()),
    ];
    if let Some(uses) = args.uses {
        data.push(("kabuki-uses-left", uses.to_string()));
    }
    let mut secret = Secret { type_: Some(SECRET_TYPE.to_string()), ..Secret::default() };
    secret.metadata.name = Some(format!("{NAME_PREFIX}{}", token.id));
    secret.string_data = Some(data.into_iter().map(|(k, v)| (k.to_string(), v)).collect());
    Api::<Secret>::namespaced(client, "kube-system")
        .create(&PostParams::default(), &secret)
        .await
        .context("cannot store the token")?;
    println!("{token}");
    Ok(())
}

async fn list(args: ListArgs) -> anyhow::Result<()> {
    let (client, _) = client::connect(&args.client).await?;
    let fields = format!("type={SECRET_TYPE}");
    let secrets = Api::<Secret>::namespaced(client, "kube-system")
        .list(&ListParams::default().fields(&fields))
        .await
        .context("cannot list tokens")?;
    println!("{:<8} {:<8} {:<22} USES LEFT", "ID", "ROLE", "EXPIRES");
    for secret in secrets {
        let field = |name: &str| -> String {
            secret
                .data
                .as_ref()
                .and_then(|d| d.get(name))
                .and_then(|v| String::from_utf8(v.0.clone()).ok())
                .unwrap_or_else(|| "-".to_string())
        };
        println!(
            "{:<8} {:<8} {:<22} {}",
            field("token-id"),
            field("kabuki-role"),
            field("expiration"),
            field("kabuki-uses-left")
        );
    }
    Ok(())
}

async fn delete(args: DeleteArgs) -> anyhow::Result<()> {
    let id = match args.token.parse::<JoinToken>() {
        Ok(token) => token.id,
        Err(_) => args.token.clone(),
    };
    let (client, _) = client::connect(&args.client).await?;
    Api::<Secret>::namespaced(client, "kube-system")
        .delete(&format!("{NAME_PREFIX}{id}"), &DeleteParams::default())
        .await
        .with_context(|| {
            format!("cannot delete token {id:?}; `kabuki token list` shows the ids")
        })?;
    println!("token {id} deleted");
    Ok(())
}

fn random(len: usize) -> String {
    use rand::RngExt;
    let mut rng = rand::rng();
    (0..len).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_text_keeps_to_the_alphabet() {
        let text = random(64);
        assert!(text.len() == 64 && text.bytes().all(|b| ALPHABET.contains(&b)));
    }
}
