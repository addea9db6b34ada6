//! How a subcommand reaches a running cluster: an administrator's kubeconfig, found as kubectl
//! finds it, or the one a member wrote into its data directory.

use std::{future::Future, path::PathBuf};

use anyhow::Context;
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::options::DEFAULT_DATA_DIR;

/// Where to find the cluster. Global, so that they may stand before or after a further subcommand.
#[derive(Debug, Clone, Args)]
pub struct ClientOptions {
    /// Kubeconfig to use; by default $KUBECONFIG, else the data directory's admin.kubeconfig.
    #[arg(long, global = true, env = "KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Data directory of a member on this machine.
    #[arg(long, global = true, default_value = DEFAULT_DATA_DIR, value_name = "DIR")]
    pub data_dir: PathBuf,
}

/// Runs a command's future on a small runtime.
///
/// # Errors
/// Those of the future, and when no runtime can be made.
pub fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future)
}

/// Connects to the cluster; also returns its certificate authority, PEM.
///
/// # Errors
/// When no kubeconfig is found or it cannot be used.
pub async fn connect(options: &ClientOptions) -> anyhow::Result<(kube::Client, String)> {
    let own = options.data_dir.join("admin.kubeconfig");
    let path = match &options.kubeconfig {
        // A data directory that was typed is meant, also when KUBECONFIG is set.
        Some(_) if options.data_dir.as_os_str() != DEFAULT_DATA_DIR => own,
        Some(path) => path.clone(),
        None => own,
    };
    let kubeconfig = Kubeconfig::read_from(&path).with_context(|| {
        format!("cannot read {}: pass --kubeconfig, or --data-dir of a member", path.display())
    })?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("{} cannot be used", path.display()))?;
    let der = config
        .root_cert
        .as_ref()
        .and_then(|c| c.first())
        .context("the kubeconfig names no authority")?;
    let ca_pem = pem(der);
    let client = kube::Client::try_from(config)
        .with_context(|| format!("{} cannot be used", path.display()))?;
    Ok((client, ca_pem))
}

fn pem(der: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|chunk| std::str::from_utf8(chunk).unwrap_or_default())
        .collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
