//! `kabuki snapshot`: the whole state of a cluster in one file.

use std::{
    fs::{self, File},
    io::{BufReader, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, ensure};
use clap::{Args, Subcommand};
use futures_util::AsyncReadExt;

use super::client::{self, ClientOptions};
use crate::{
    backup::{self, FORMAT, Header},
    cmd::ClusterOptions,
};

/// Bytes read from the cluster at once.
const READ_BYTES: usize = 64 * 1024;

#[derive(Debug, Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    command: SnapshotCommand,
}

#[derive(Debug, Subcommand)]
enum SnapshotCommand {
    /// Save everything the cluster holds, as of now, to a file.
    ///
    /// The file also holds the key of the cluster's authority and every Secret: whoever can read it
    /// is an administrator of the cluster. It is made readable for its owner only.
    Save {
        #[command(flatten)]
        client: ClientOptions,
        /// The file to write.
        file: PathBuf,
        /// Replace the file if it is there.
        #[arg(long)]
        force: bool,
    },
    /// Make the data directory of a new cluster's first member from a file.
    ///
    /// Stop every member of the old cluster first. Then start the new one with
    /// `kabuki server --init`, and let the others join it with empty data directories. Nodes,
    /// kubeconfigs and service accounts of the old cluster go on working.
    Restore {
        /// The file to read.
        file: PathBuf,
        /// The directory to make; it must not exist, or be empty.
        #[arg(long, value_name = "DIR")]
        data_dir: PathBuf,
        /// Name of the member; by default the host name.
        #[arg(long)]
        name: Option<String>,
    },
    /// Check a file and show what it says of itself.
    Status {
        /// The file to read.
        file: PathBuf,
        /// How to print it.
        #[arg(short, long, value_enum, default_value = "table")]
        output: Output,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Table,
    Json,
}

pub fn run(args: SnapshotArgs) -> anyhow::Result<()> {
    client::block_on(async {
        match args.command {
            SnapshotCommand::Save { client, file, force } => save(&client, &file, force).await,
            SnapshotCommand::Restore { file, data_dir, name } => {
                restore(&file, &data_dir, name).await
            }
            SnapshotCommand::Status { file, output } => status(&file, output),
        }
    })
}

async fn save(options: &ClientOptions, file: &Path, force: bool) -> anyhow::Result<()> {
    // Before anything is sent; the file is taken without overwriting further down all the same.
    ensure!(force || !file.try_exists()?, "{} exists: pass --force to replace it", file.display());
    let (client, _) = client::connect(options).await?;
    let mut own = file.as_os_str().to_os_string();
    own.push(format!(".saving-{}", std::process::id()));
    let temporary = Temporary(PathBuf::from(own));
    let header = receive(&client, &temporary.0).await?;
    if force { fs::rename(&temporary.0, file) } else { fs::hard_link(&temporary.0, file) }
        .with_context(|| format!("cannot write {}", file.display()))?;
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    println!(
        "saved {} objects at revision {} to {}; it holds the cluster's keys and Secrets: keep it \
         where only administrators can read it",
        header.records,
        header.revision,
        file.display()
    );
    Ok(())
}

/// Receives the file and checks it whole.
async fn receive(client: &kube::Client, path: &Path) -> anyhow::Result<Header> {
    let request = http::Request::get("/operations/snapshot").body(Vec::new())?;
    let mut stream = match client.request_stream(request).await {
        Ok(stream) => Box::pin(stream),
        Err(kube::Error::Api(status)) => anyhow::bail!("cannot save: {}", status.message),
        Err(error) => return Err(error).context("cannot save"),
    };
    let written = || format!("cannot write {}", path.display());
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(written)?;
    let mut piece = vec![0; READ_BYTES];
    loop {
        let len = stream.read(&mut piece).await.context("the snapshot broke off; try again")?;
        if len == 0 {
            break;
        }
        file.write_all(&piece[..len]).with_context(written)?;
    }
    file.sync_all().with_context(written)?;
    let file = BufReader::new(File::open(path).with_context(written)?);
    backup::verify(file).context("the snapshot did not arrive whole; try again")
}

/// A file that goes away again unless it is moved to its place.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                eprintln!("kabuki: cannot remove {}: {error}", self.0.display());
            }
            _ => {}
        }
    }
}

async fn restore(file: &Path, data_dir: &Path, name: Option<String>) -> anyhow::Result<()> {
    let name = ClusterOptions::name_or_host(name)?;
    let done = backup::restore(file, data_dir, &name).await?;
    println!(
        "restored {} objects of {} into {} as member {name} of new cluster {}; its revisions begin \
         after {}\n\
         stop what is left of the old cluster, start this member with `kabuki server --init \
         --data-dir {}` and let the others join it with empty data directories",
        done.header.records,
        done.header.time,
        data_dir.display(),
        done.cluster_id,
        done.revision,
        data_dir.display()
    );
    Ok(())
}

fn status(path: &Path, output: Output) -> anyhow::Result<()> {
    let named = || path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let bytes = file.metadata()?.len();
    let header = backup::verify(BufReader::new(file)).with_context(named)?;
    if output == Output::Json {
        let mut value = serde_json::to_value(&header)?;
        value["format"] = FORMAT.into();
        value["bytes"] = bytes.into();
        println!("{value}");
        return Ok(());
    }
    for (name, value) in [
        ("cluster", header.cluster_id.clone()),
        ("taken", header.time.clone()),
        ("revision", header.revision.to_string()),
        ("objects", header.records.to_string()),
        ("bytes", bytes.to_string()),
        ("format", format!("{FORMAT} (kabuki {})", header.version)),
        ("checksum", "holds".to_string()),
    ] {
        println!("{name:<10}{value}");
    }
    Ok(())
}
