//! Restoring: a new data directory, of the only member of a new cluster, from a snapshot file.

use std::{
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail, ensure};
use kabuki_raft::{Op, Store, StoreConfig, Txn, TxnOutcome};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{CA_CERT, CA_KEY, FileReader, Header, Item, SERVICE_ACCOUNT_KEY, verify};
use crate::{
    member,
    pki::{Authority, ClusterPki},
};

/// How far the clock is moved at least: more writes than any cluster makes after its snapshot.
const ADVANCE: u64 = 1_000_000_000;
/// And for every second since the snapshot: more writes than any cluster makes in one. So a snapshot
/// that is restored twice gives no revision twice either.
const ADVANCE_PER_SECOND: u64 = 100_000;
/// Records and bytes of values written at once.
const BATCH_RECORDS: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// What a restored directory is.
#[derive(Debug)]
pub struct Restored {
    /// What the snapshot said of itself.
    pub header: Header,
    /// The new cluster.
    pub cluster_id: String,
    /// The revision every watch and list of the old cluster lies before.
    pub revision: u64,
}

/// Makes `data_dir`, which must not exist or be empty, from `file`. All or nothing: the directory is
/// made beside its place and moved there when it is complete.
///
/// # Errors
/// When the snapshot cannot be used, the directory is not empty, or the disk fails.
pub async fn restore(file: &Path, data_dir: &Path, name: &str) -> anyhow::Result<Restored> {
    let open = || File::open(file).with_context(|| format!("cannot open {}", file.display()));
    let named = || file.display().to_string();
    let header = verify(BufReader::new(open()?)).with_context(named)?;
    ensure!(
        is_vacant(data_dir)?,
        "{} is not empty: restore into a new directory, or move this one away",
        data_dir.display()
    );
    let work = Workplace::beside(data_dir)?;
    let reader = FileReader::open(BufReader::new(open()?)).with_context(named)?;
    let cluster_id = uuid::Uuid::new_v4().to_string();
    let member_id = member::new_member_id();
    let revision = beginning(&header, OffsetDateTime::now_utc());
    let config = StoreConfig::new(work.0.join("store"), member_id, cluster_id.clone());
    let store = Store::open(config).await.context("cannot make the store")?;
    let filled = fill(&store, reader, &work.0, revision).await;
    store.shutdown().await;
    filled?;
    member::save_restored(&work.0, cluster_id.clone(), member_id, name)?;
    work.move_to(data_dir)?;
    Ok(Restored { header, cluster_id, revision })
}

/// The revision a restored store begins at.
fn beginning(header: &Header, now: OffsetDateTime) -> u64 {
    let taken = OffsetDateTime::parse(&header.time, &Rfc3339).unwrap_or(now);
    let seconds = u64::try_from((now - taken).whole_seconds()).unwrap_or(0);
    header.revision.saturating_add(ADVANCE).saturating_add(seconds * ADVANCE_PER_SECOND)
}

async fn fill(
    store: &Store,
    mut reader: FileReader<BufReader<File>>,
    dir: &Path,
    revision: u64,
) -> anyhow::Result<()> {
    store.initialize().await.context("cannot begin the new cluster")?;
    store.advance(revision).await?;
    let mut files: Vec<(String, String)> = Vec::new();
    let mut batch = Vec::new();
    let mut bytes = 0;
    while let Some(item) = reader.next()? {
        match item {
            Item::Attachment { name, text } => files.push((name, text)),
            Item::Record { key, value, .. } => {
                if batch.len() >= BATCH_RECORDS || bytes + value.len() > BATCH_BYTES {
                    write(store, std::mem::take(&mut batch)).await?;
                    bytes = 0;
                }
                bytes += value.len();
                batch.push(Op::Put { key, value });
            }
        }
    }
    write(store, batch).await?;
    let found = store.list("", None, 0).records.len() as u64;
    let wanted = reader.header().records;
    ensure!(found == wanted, "{found} of {wanted} objects were restored; take another snapshot");
    write_pki(dir, &files)
}

async fn write(store: &Store, ops: Vec<Op>) -> anyhow::Result<()> {
    if ops.is_empty() {
        return Ok(());
    }
    match store.write(Txn { ops, ..Txn::default() }).await? {
        TxnOutcome::Committed { .. } => Ok(()),
        TxnOutcome::Conflict { key, .. } => bail!("the new store already holds {key}"),
    }
}

/// The cluster's authority is the old one, so that nodes, users and service accounts stay known; the
/// peers' is a new one, so that members of the old cluster do not.
fn write_pki(dir: &Path, files: &[(String, String)]) -> anyhow::Result<()> {
    let text = |name: &str| {
        let found = files.iter().find(|(n, _)| n == name).map(|(_, text)| text.clone());
        found.with_context(|| format!("the snapshot has no {name} in it; take another one"))
    };
    let ca = Authority::from_pem(&text(CA_CERT)?, &text(CA_KEY)?)?;
    let peer_ca = Authority::create("kabuki-peer-ca")?;
    ClusterPki::adopt(&dir.join("pki"), ca, peer_ca, text(SERVICE_ACCOUNT_KEY)?)?;
    Ok(())
}

fn is_vacant(dir: &Path) -> anyhow::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot look into {}", dir.display())),
    }
}

/// A directory that goes away again unless it is moved to its place.
struct Workplace(PathBuf);

impl Workplace {
    fn beside(target: &Path) -> anyhow::Result<Self> {
        let target = std::path::absolute(target)?;
        let name = target.file_name().context("--data-dir must name a directory")?;
        let parent = target.parent().context("--data-dir must name a directory")?;
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        let mut own = name.to_os_string();
        own.push(format!(".restoring-{}", std::process::id()));
        let path = parent.join(own);
        fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    fn move_to(self, target: &Path) -> anyhow::Result<()> {
        File::open(&self.0)?.sync_all()?;
        fs::rename(&self.0, target)
            .with_context(|| format!("cannot move the new directory to {}", target.display()))?;
        let target = std::path::absolute(target)?;
        if let Some(parent) = target.parent() {
            File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                eprintln!("kabuki: cannot remove {}: {error}", self.0.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restored_clock_is_past_everything_the_old_one_may_have_said() {
        let taken = OffsetDateTime::UNIX_EPOCH + time::Duration::days(9000);
        let header = Header {
            cluster_id: "c".into(),
            revision: 1234,
            time: taken.format(&Rfc3339).unwrap(),
            records: 0,
            version: "0".into(),
        };
        assert_eq!(beginning(&header, taken), 1234 + ADVANCE);
        // A clock that went back moves nothing back.
        assert_eq!(beginning(&header, taken - time::Duration::days(1)), 1234 + ADVANCE);
        let first = beginning(&header, taken + time::Duration::seconds(10));
        let second = beginning(&header, taken + time::Duration::seconds(11));
        assert_eq!(second - first, ADVANCE_PER_SECOND);
        // Doubles hold it exactly, a century later too.
        assert!(beginning(&header, taken + time::Duration::days(36_500)) < 1 << 53);
    }

    #[test]
    fn only_a_vacant_directory_is_used() {
        let dir = tempfile::tempdir().unwrap();
        assert!(is_vacant(dir.path()).unwrap());
        assert!(is_vacant(&dir.path().join("new")).unwrap());
        fs::write(dir.path().join("file"), "x").unwrap();
        assert!(!is_vacant(dir.path()).unwrap());
    }
}
