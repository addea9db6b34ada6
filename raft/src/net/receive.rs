//! Receiving a snapshot: into a directory of its own, checked piece by piece.

use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use super::message::{ChunkHead, split_head};
use crate::state::{Manifest, SnapshotDir, check_content, check_manifest};

const RECEIVING: &str = "recv";
const FILES: &str = "db";

/// A snapshot on its way in. Dropped before its end, it leaves nothing.
#[derive(Debug)]
pub(super) struct Receiving {
    manifest: Manifest,
    path: PathBuf,
    open: Option<(usize, fs::File)>,
    next: (usize, u64),
    done: bool,
}

/// Remove what an interrupted transfer left behind.
pub(super) fn sweep(data: &Path) -> io::Result<()> {
    match fs::remove_dir_all(data.join(RECEIVING)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

impl Receiving {
    /// Begin with a manifest.
    pub(super) fn begin(data: &Path, session: u64, manifest: &[u8]) -> io::Result<Self> {
        let manifest: Manifest = serde_json::from_slice(manifest)?;
        check_manifest(&manifest)?;
        let path = data.join(RECEIVING).join(session.to_string());
        fs::create_dir_all(path.join(FILES))?;
        for file in &manifest.files {
            fs::File::create(path.join(FILES).join(&file.name))?;
        }
        Ok(Self { manifest, path, open: None, next: (0, 0), done: false })
    }

    /// Take the next piece; pieces come in order.
    pub(super) fn chunk(&mut self, body: &Bytes) -> io::Result<()> {
        let bad = |text: String| io::Error::new(io::ErrorKind::InvalidData, text);
        let (head, piece): (ChunkHead, Bytes) = split_head(body).map_err(bad)?;
        self.skip_finished();
        if (head.file, head.offset) != self.next || piece.is_empty() {
            return Err(bad(format!("piece {}:{} is out of order", head.file, head.offset)));
        }
        if crc32c::crc32c(&piece) != head.crc {
            return Err(bad("the checksum of a piece does not hold".into()));
        }
        let Some(entry) = self.manifest.files.get(head.file) else {
            return Err(bad("a piece of no file".into()));
        };
        let end = head.offset + piece.len() as u64;
        if end > entry.size {
            return Err(bad(format!("{} is longer than announced", entry.name)));
        }
        let file = match self.open.take() {
            Some((index, file)) if index == head.file => file,
            _ => fs::File::options().write(true).open(self.path.join(FILES).join(&entry.name))?,
        };
        file.write_all_at(&piece, head.offset)?;
        if end == entry.size {
            file.sync_all()?;
        } else {
            self.open = Some((head.file, file));
        }
        self.next = (head.file, end);
        Ok(())
    }

    fn skip_finished(&mut self) {
        while let Some(entry) = self.manifest.files.get(self.next.0)
            && self.next.1 >= entry.size
        {
            self.next = (self.next.0 + 1, 0);
        }
    }

    /// All pieces are here.
    pub(super) fn finish(mut self) -> io::Result<Arc<SnapshotDir>> {
        self.skip_finished();
        if self.next.0 != self.manifest.files.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the snapshot is not complete"));
        }
        fs::File::open(self.path.join(FILES))?.sync_all()?;
        self.done = true;
        let received = SnapshotDir::received(self.path.clone(), self.manifest.clone());
        check_content(&received)?;
        Ok(Arc::new(received))
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        if !self.done
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            tracing::warn!(%error, dir = %self.path.display(), "cannot remove a broken snapshot");
        }
    }
}
