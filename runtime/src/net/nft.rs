//! Runs `nft` with a script on its standard input: one atomic transaction each.

use std::{process::Stdio, time::Duration};

use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Error, Result};

/// Longest run of one transaction.
const NFT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest error text passed on, characters.
const MAX_ERROR: usize = 600;

/// Applies a script; all of it or nothing.
pub(crate) async fn apply(script: String) -> Result<()> {
    run(&["-f", "-"], script).await.map(|_| ())
}

/// `nft -j list table ip <table>`; None when there is no such table.
pub(crate) async fn list(table: &str) -> Result<Option<serde_json::Value>> {
    let out = match run(&["-j", "list", "table", "ip", table], String::new()).await {
        Ok(out) => out,
        Err(Error::System { source, .. }) if source.to_string().contains("No such file") => {
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    serde_json::from_slice(&out)
        .map(Some)
        .map_err(|e| Error::Protocol(format!("nft printed no JSON: {e}")))
}

async fn run(args: &[&str], script: String) -> Result<Vec<u8>> {
    let spawn = Command::new("nft")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let mut child = spawn.map_err(Error::system("cannot run nft; install the nftables package"))?;
    let stdin = child.stdin.take();
    let work = async move {
        if let Some(mut stdin) = stdin {
            // nft that fails early closes its end; its exit status tells more than EPIPE.
            drop(stdin.write_all(script.as_bytes()).await);
        }
        child.wait_with_output().await
    };
    let done = tokio::time::timeout(NFT_TIMEOUT, work).await;
    let out = done
        .map_err(|_| Error::Timeout { what: "nft".to_owned(), after: NFT_TIMEOUT })?
        .map_err(Error::system("nft"))?;
    if out.status.success() {
        return Ok(out.stdout);
    }
    let text: String = String::from_utf8_lossy(&out.stderr).chars().take(MAX_ERROR).collect();
    Err(Error::System {
        what: "nft refused the rules".to_owned(),
        source: std::io::Error::other(text.trim().to_owned()),
    })
}
