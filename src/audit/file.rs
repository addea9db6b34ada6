//! A log file that is set aside when it is full, and whose old parts go away (as lumberjack does for
//! kube-apiserver: `audit.log` becomes `audit-2026-01-02T03-04-05.678.log`).

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use time::macros::format_description;
use time::{
    Duration, OffsetDateTime, PrimitiveDateTime, format_description::StaticFormatDescription,
};

/// Size at which a file is set aside when the flag says 0.
const DEFAULT_MEGABYTES: u64 = 100;
const STAMP: StaticFormatDescription =
    format_description!("[year]-[month]-[day]T[hour]-[minute]-[second].[subsecond digits:3]");

/// When files are set aside and removed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rotation {
    /// Megabytes of one file; 0 is 100.
    pub max_megabytes: u64,
    /// Files kept beside the one written; 0 keeps all.
    pub max_backups: usize,
    /// Days a file is kept; 0 keeps all.
    pub max_days: u32,
}

/// The file written now.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    rotation: Rotation,
    max_bytes: u64,
    open: Option<(File, u64)>,
}

impl LogFile {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let megabytes = match rotation.max_megabytes {
            0 => DEFAULT_MEGABYTES,
            given => given,
        };
        let max_bytes = megabytes.saturating_mul(1024 * 1024);
        let mut log = Self { path: path.to_owned(), rotation, max_bytes, open: None };
        if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
            fs::create_dir_all(parent)?;
        }
        log.reopen()?;
        Ok(log)
    }

    /// Appends whole lines; sets the file aside first if they do not fit.
    ///
    /// # Errors
    /// When they cannot be written; the next call opens the file anew.
    pub fn write(&mut self, lines: &[u8], now: OffsetDateTime) -> io::Result<()> {
        let done = self.append(lines, now);
        if done.is_err() {
            self.open = None;
        }
        done
    }

    fn append(&mut self, lines: &[u8], now: OffsetDateTime) -> io::Result<()> {
        let more = lines.len() as u64;
        if self.open.as_ref().is_some_and(|(_, size)| *size > 0 && size + more > self.max_bytes) {
            self.open = None;
            fs::rename(&self.path, self.backup_name(now))?;
            self.prune(now);
        }
        if self.open.is_none() {
            self.reopen()?;
        }
        if let Some((file, size)) = &mut self.open {
            file.write_all(lines)?;
            *size += more;
        }
        Ok(())
    }

    fn reopen(&mut self) -> io::Result<()> {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        let size = file.metadata()?.len();
        self.open = Some((file, size));
        Ok(())
    }

    /// `audit-` and `.log` of `audit.log`.
    fn parts(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| {
            part.map(|p| p.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let end = self.path.extension().map(|e| format!(".{}", e.to_string_lossy()));
        (format!("{}-", text(self.path.file_stem())), end.unwrap_or_default())
    }

    fn backup_name(&self, now: OffsetDateTime) -> PathBuf {
        let (begin, end) = self.parts();
        let mut at = now;
        loop {
            let stamp = at.format(STAMP).unwrap_or_default();
            let path = self.path.with_file_name(format!("{begin}{stamp}{end}"));
            // Two in one millisecond must not overwrite each other.
            if !path.try_exists().unwrap_or(false) {
                return path;
            }
            at += Duration::milliseconds(1);
        }
    }

    /// Removes what is too old or too much. What cannot be removed is tried again next time.
    fn prune(&self, now: OffsetDateTime) {
        let (begin, end) = self.parts();
        let dir = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        let Ok(entries) = fs::read_dir(dir.unwrap_or(Path::new("."))) else { return };
        let mut backups: Vec<(PrimitiveDateTime, PathBuf)> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let name = path.file_name()?.to_str()?;
                let stamp = name.strip_prefix(&begin)?.strip_suffix(&end)?;
                Some((PrimitiveDateTime::parse(stamp, STAMP).ok()?, path))
            })
            .collect();
        backups.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
        let oldest = now - Duration::days(i64::from(self.rotation.max_days));
        for (index, (made, path)) in backups.into_iter().enumerate() {
            let too_many = self.rotation.max_backups > 0 && index >= self.rotation.max_backups;
            let too_old = self.rotation.max_days > 0 && made.assume_utc() < oldest;
            if (too_many || too_old)
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::warn!(%error, path = %path.display(), "cannot remove an old audit log");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05.678 UTC);

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|n| n.to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_full_file_is_set_aside_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let other = dir.path().join("audit-notes.log");
        fs::write(&other, "kept").unwrap();
        let rotation = Rotation { max_megabytes: 1, max_backups: 2, max_days: 10 };
        let mut log = LogFile::open(&path, rotation).unwrap();
        let piece = vec![b'x'; 700_000];
        log.write(&piece, NOW).unwrap();
        assert_eq!(names(dir.path()), ["audit-notes.log", "audit.log"]);
        log.write(&piece, NOW).unwrap();
        log.write(&piece, NOW).unwrap();
        let first = "audit-2026-01-02T03-04-05.678.log";
        let second = "audit-2026-01-02T03-04-05.679.log";
        assert_eq!(names(dir.path()), [first, second, "audit-notes.log", "audit.log"]);
        let later = NOW + Duration::days(1);
        log.write(&piece, later).unwrap();
        let third = "audit-2026-01-03T03-04-05.678.log";
        assert_eq!(names(dir.path()), [second, third, "audit-notes.log", "audit.log"]);
        log.write(&piece, NOW + Duration::days(20)).unwrap();
        assert_eq!(names(dir.path()).len(), 3, "those older than ten days went");
        assert_eq!(fs::metadata(&path).unwrap().len(), 700_000);
    }

    #[test]
    fn an_existing_file_is_continued() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deeper/audit.log");
        for line in ["a\n", "b\n"] {
            LogFile::open(&path, Rotation::default()).unwrap().write(line.as_bytes(), NOW).unwrap();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "a\nb\n");
        assert!(LogFile::open(dir.path(), Rotation::default()).is_err(), "a directory is no file");
    }
}
