//! Container output in the CRI log format (`<time> <stream> F|P <text>`), rotated by size. The shim
//! owns these files: a daemon that stops reading can never block or kill a container.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use time::OffsetDateTime;

use crate::{files, spec::LogPolicy};

/// Longest piece of a line in one record, as containerd cuts it.
const LINE_LIMIT: usize = 16 * 1024;

/// Files set aside within one second; beyond it the current file grows over its limit.
const SAME_SECOND_LIMIT: usize = 1000;

/// Where output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Stdout,
    Stderr,
}

impl Source {
    fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The log of one container.
pub(super) struct Log {
    path: PathBuf,
    file: Option<File>,
    size: u64,
    policy: LogPolicy,
    pending: [Vec<u8>; 2],
    /// Bytes that could not be written since the last that could (disk full); they are gone, and the
    /// log says so when it goes on.
    lost_bytes: u64,
    /// Why the last of them could not be written.
    lost_reason: String,
    /// Writes that were lost, ever.
    pub dropped: u64,
}

impl Log {
    /// Opens (or goes on with) the log at `path`.
    pub fn open(path: &Path, policy: LogPolicy) -> crate::Result<Self> {
        if let Some(dir) = path.parent() {
            files::make_dir(dir)?;
        }
        let (file, size) = open(path).map_err(crate::Error::file("cannot open log", path))?;
        Ok(Self {
            path: path.into(),
            file: Some(file),
            size,
            policy,
            pending: [Vec::new(), Vec::new()],
            lost_bytes: 0,
            lost_reason: String::new(),
            dropped: 0,
        })
    }

    /// Takes output; whole lines are written now, the rest waits for its end.
    pub fn write(&mut self, source: Source, mut bytes: &[u8], now: OffsetDateTime) {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let mut pending = std::mem::take(&mut self.pending[source as usize]);
        while !bytes.is_empty() {
            if pending.len() == LINE_LIMIT {
                let ends = bytes[0] == b'\n';
                record(&mut out, now, source, if ends { 'F' } else { 'P' }, &pending);
                pending.clear();
                bytes = &bytes[usize::from(ends)..];
                continue;
            }
            let window = &bytes[..bytes.len().min(LINE_LIMIT - pending.len())];
            let end = window.iter().position(|b| *b == b'\n');
            pending.extend_from_slice(&window[..end.unwrap_or(window.len())]);
            if end.is_some() {
                record(&mut out, now, source, 'F', &pending);
                pending.clear();
            }
            bytes = &bytes[end.map_or(window.len(), |e| e + 1)..];
        }
        self.pending[source as usize] = pending;
        self.append(&out, now);
    }

    /// Writes what is left of a line whose end will not come any more.
    pub fn finish(&mut self, source: Source, now: OffsetDateTime) {
        let pending = std::mem::take(&mut self.pending[source as usize]);
        if !pending.is_empty() {
            let mut out = Vec::with_capacity(pending.len() + 64);
            record(&mut out, now, source, 'F', &pending);
            self.append(&out, now);
        }
    }

    fn append(&mut self, out: &[u8], now: OffsetDateTime) {
        if out.is_empty() {
            return;
        }
        if self.size > 0 && self.size + out.len() as u64 > self.policy.max_size_bytes {
            self.rotate();
        }
        let marked = (self.lost_bytes > 0).then(|| {
            let (bytes, reason) = (self.lost_bytes, &self.lost_reason);
            let text = format!("kabuki: {bytes} bytes of this log were lost: {reason}");
            let mut all = Vec::with_capacity(out.len() + 128);
            record(&mut all, now, Source::Stderr, 'F', text.as_bytes());
            all.extend_from_slice(out);
            all
        });
        match self.put(marked.as_deref().unwrap_or(out)) {
            Ok(()) => self.lost_bytes = 0,
            // Disk full or removed: this output is lost, the container goes on.
            Err(e) => {
                self.dropped += 1;
                self.lost_bytes += out.len() as u64;
                self.lost_reason = e.to_string();
            }
        }
    }

    /// Writes all of it or nothing: half a record would garble the next one.
    fn put(&mut self, out: &[u8]) -> std::io::Result<()> {
        if self.file.is_none() {
            let (file, size) = open(&self.path)?;
            self.file = Some(file);
            self.size = size;
        }
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        match file.write_all(out) {
            Ok(()) => {
                self.size += out.len() as u64;
                Ok(())
            }
            Err(e) => {
                let _ = file.set_len(self.size);
                self.file = None;
                Err(e)
            }
        }
    }

    fn rotate(&mut self) {
        let now = OffsetDateTime::now_utc();
        let stamp = format!(
            ".{:04}{:02}{:02}-{:02}{:02}{:02}",
            now.year(),
            u8::from(now.month()),
            now.day(),
            now.hour(),
            now.minute(),
            now.second()
        );
        let names = (0..SAME_SECOND_LIMIT).map(|n| {
            let mut name = self.path.as_os_str().to_owned();
            name.push(&stamp);
            if n > 0 {
                name.push(format!(".{n:03}"));
            }
            PathBuf::from(name)
        });
        let free = names.into_iter().find(|n| !n.try_exists().unwrap_or(true));
        if free.is_none_or(|target| fs::rename(&self.path, target).is_err()) {
            return;
        }
        self.file = None;
        let mut old = rotated(&self.path);
        old.sort();
        let keep = self.policy.max_files.max(1) as usize - 1;
        for file in old.iter().take(old.len().saturating_sub(keep)) {
            let _ = fs::remove_file(file);
        }
    }
}

/// The set-aside files of a log.
pub(crate) fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str())) else {
        return Vec::new();
    };
    let prefix = format!("{name}.");
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|e| e.file_name().to_str().is_some_and(|n| n.starts_with(&prefix)))
        .map(|e| e.path())
        .collect()
}

fn open(path: &Path) -> std::io::Result<(File, u64)> {
    use std::os::unix::fs::OpenOptionsExt;
    let file = fs::OpenOptions::new().create(true).append(true).mode(0o640).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn record(out: &mut Vec<u8>, now: OffsetDateTime, source: Source, tag: char, text: &[u8]) {
    // Writing into a vector cannot fail.
    let _ = write!(
        out,
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:09}Z {} {tag} ",
        now.year(),
        u8::from(now.month()),
        now.day(),
        now.hour(),
        now.minute(),
        now.second(),
        now.nanosecond(),
        source.name()
    );
    out.extend_from_slice(text);
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).expect("log");
        text.lines().map(|l| l.split_once(' ').expect("time").1.to_string()).collect()
    }

    #[test]
    fn lines_are_whole_partial_or_finished() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("c/0.log");
        let mut log = Log::open(&path, LogPolicy::default()).expect("log");
        let now = OffsetDateTime::UNIX_EPOCH;
        log.write(Source::Stdout, b"one\ntw", now);
        log.write(Source::Stderr, b"err\n", now);
        log.write(Source::Stdout, b"o\n\nrest", now);
        log.finish(Source::Stdout, now);
        log.finish(Source::Stdout, now);
        let expected =
            ["stdout F one", "stderr F err", "stdout F two", "stdout F ", "stdout F rest"];
        assert_eq!(lines(&path), expected);
        let text = fs::read_to_string(&path).expect("log");
        assert!(text.starts_with("1970-01-01T00:00:00.000000000Z stdout F one\n"), "{text}");
    }

    #[test]
    fn long_lines_are_cut() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("0.log");
        let mut log = Log::open(&path, LogPolicy::default()).expect("log");
        let mut text = vec![b'x'; LINE_LIMIT + 3];
        text.push(b'\n');
        text.extend(vec![b'y'; LINE_LIMIT]);
        text.push(b'\n');
        log.write(Source::Stdout, &text, OffsetDateTime::UNIX_EPOCH);
        let got: Vec<(String, usize)> =
            lines(&path).iter().map(|l| (l[..9].to_string(), l.len() - 9)).collect();
        let expected = [("stdout P ", LINE_LIMIT), ("stdout F ", 3), ("stdout F ", LINE_LIMIT)];
        assert_eq!(got, expected.map(|(a, b)| (a.to_string(), b)));
    }

    #[test]
    fn what_a_full_disk_took_is_marked_when_there_is_room_again() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("0.log");
        let mut log = Log::open(&path, LogPolicy::default()).expect("log");
        let now = OffsetDateTime::UNIX_EPOCH;
        log.write(Source::Stdout, b"before\n", now);
        // Every write to this device fails as on a full disk.
        log.file = Some(fs::OpenOptions::new().write(true).open("/dev/full").expect("device"));
        log.path = "/dev/full".into();
        log.write(Source::Stdout, b"lost\n", now);
        log.write(Source::Stdout, b"lost too\n", now);
        assert_eq!(log.dropped, 2);
        log.path.clone_from(&path);
        log.write(Source::Stdout, b"after\n", now);
        let got = lines(&path);
        assert_eq!([got[0].as_str(), got[2].as_str()], ["stdout F before", "stdout F after"]);
        assert!(got[1].starts_with("stderr F kabuki: "), "{}", got[1]);
        assert!(got[1].ends_with("lost: No space left on device (os error 28)"), "{}", got[1]);
        assert_eq!(got.len(), 3);
        log.write(Source::Stdout, b"more\n", now);
        assert_eq!(lines(&path).len(), 4);
    }

    #[test]
    fn files_rotate_by_size_and_old_ones_go() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("0.log");
        for stamp in ["20200101-000000", "20200102-000000", "20200103-000000"] {
            fs::write(dir.path().join(format!("0.log.{stamp}")), "old").expect("old log");
        }
        let policy = LogPolicy { max_size_bytes: 100, max_files: 3 };
        let mut log = Log::open(&path, policy).expect("log");
        for _ in 0..3 {
            log.write(Source::Stdout, &[b'a'; 40], OffsetDateTime::UNIX_EPOCH);
            log.write(Source::Stdout, b"\n", OffsetDateTime::UNIX_EPOCH);
        }
        let mut old: Vec<String> = rotated(&path).iter().map(|p| p.display().to_string()).collect();
        old.sort();
        assert_eq!(old.len(), 2, "{old:?}");
        assert!(old.iter().all(|name| !name.contains("0.log.2020")), "{old:?}");
        assert_eq!(log.dropped, 0);
        assert!(fs::metadata(&path).expect("log").len() <= 100);
    }
}
