//! Reads one container's log files, rotated ones included, and follows what is appended.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use k8s_openapi::jiff::Timestamp;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::LogLine;

/// Read at once, in bytes.
const CHUNK: usize = 64 * 1024;
/// An entry longer than this is cut; the runtime writes at most 16 KiB of text.
const MAX_ENTRY: usize = 256 * 1024;
/// Pause between two looks at a followed file.
const POLL: Duration = Duration::from_millis(50);
/// Followers notice a reader that went away at the latest after so many looks without data.
const FLUSH_EVERY: u32 = 20;

/// What to show.
#[derive(Debug, Clone, Default)]
pub struct LogOptions {
    /// Keep going when the end is reached.
    pub follow: bool,
    /// Only the last entries.
    pub tail: Option<u64>,
    /// Only entries from this time on.
    pub since: Option<Timestamp>,
    /// Time stamp before each line.
    pub timestamps: bool,
    /// Bytes of output at most.
    pub limit: Option<u64>,
    /// `stdout` or `stderr` only.
    pub stream: Option<String>,
}

/// Where a log is, and whether more will come.
#[derive(Clone)]
pub struct LogSource {
    /// The current file; rotated ones are beside it.
    pub path: PathBuf,
    /// Whether the container that writes it has ended.
    pub ended: Arc<dyn Fn() -> bool + Send + Sync>,
}

/// Writes the log to `to` as text.
///
/// # Errors
/// Files that cannot be read; a reader that went away.
pub async fn stream<W>(source: LogSource, options: LogOptions, to: &mut W) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
{
    let follow = options.follow;
    let path = source.path.clone();
    let mut reader = blocking(move || Reader::open(&path, options)).await?;
    let mut idle = 0;
    loop {
        // Asked before reading: what was written until then is read below.
        let ended = (source.ended)();
        let (back, text) = blocking(move || {
            let text = reader.read()?;
            Ok((reader, text))
        })
        .await?;
        reader = back;
        if !text.is_empty() {
            to.write_all(&text).await?;
            idle = 0;
        }
        if reader.is_full() || (reader.at_end && (!follow || ended)) {
            return to.flush().await;
        }
        if reader.at_end {
            if idle % FLUSH_EVERY == 0 {
                to.flush().await?;
            }
            idle += 1;
            tokio::time::sleep(POLL).await;
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

struct Reader {
    path: PathBuf,
    /// Files after the open one, oldest first.
    rest: VecDeque<PathBuf>,
    file: Option<File>,
    buffer: Vec<u8>,
    options: LogOptions,
    left: Option<u64>,
    /// The last entry of (stdout, stderr) was a partial one.
    open_line: [bool; 2],
    at_end: bool,
}

impl Reader {
    fn open(path: &Path, options: LogOptions) -> io::Result<Self> {
        let mut files: VecDeque<PathBuf> = rotated(path).into();
        files.push_back(path.to_owned());
        let skip = match options.tail {
            Some(lines) => tail_start(&mut files, lines)?,
            None => 0,
        };
        let mut reader = Self {
            path: path.to_owned(),
            rest: files,
            file: None,
            buffer: Vec::new(),
            left: options.limit,
            options,
            open_line: [false; 2],
            at_end: false,
        };
        if let Some(mut file) = reader.next_file()? {
            file.seek(SeekFrom::Start(skip))?;
            reader.file = Some(file);
        }
        Ok(reader)
    }

    fn is_full(&self) -> bool {
        self.left == Some(0)
    }

    fn next_file(&mut self) -> io::Result<Option<File>> {
        while let Some(path) = self.rest.pop_front() {
            match File::open(&path) {
                Ok(file) => return Ok(Some(file)),
                // Removed by rotation in between.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }

    /// The next piece of text; `at_end` says whether there is nothing more for now.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.at_end = false;
        if self.file.is_none() {
            self.rest.push_back(self.path.clone());
            self.file = self.next_file()?;
        }
        let Some(file) = self.file.as_mut() else {
            self.at_end = true;
            return Ok(Vec::new());
        };
        let old = self.buffer.len();
        self.buffer.resize(old + CHUNK, 0);
        let read = file.read(&mut self.buffer[old..])?;
        self.buffer.truncate(old + read);
        if read == 0 {
            if let Some(next) = self.successor()? {
                self.file = Some(next);
            } else {
                self.at_end = true;
            }
        }
        Ok(self.take_text())
    }

    /// The file after this one: a rotated one, or the current one once it has been replaced.
    fn successor(&mut self) -> io::Result<Option<File>> {
        if let Some(next) = self.next_file()? {
            return Ok(Some(next));
        }
        let Some(file) = &self.file else { return Ok(None) };
        match std::fs::metadata(&self.path) {
            Ok(now) if now.ino() != file.metadata()?.ino() => Ok(Some(File::open(&self.path)?)),
            Ok(_) => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn take_text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            self.entry(&rest[..end], &mut text);
            rest = &rest[end + 1..];
        }
        if rest.len() <= MAX_ENTRY {
            self.buffer = rest.to_vec();
        }
        if let Some(left) = &mut self.left {
            let wanted = usize::try_from(*left).unwrap_or(usize::MAX);
            text.truncate(wanted);
            *left -= text.len() as u64;
        }
        text
    }

    fn entry(&mut self, entry: &[u8], text: &mut Vec<u8>) {
        let Some(line) = LogLine::parse(entry) else { return };
        if let Some(stream) = &self.options.stream
            && stream.as_bytes() != line.stream
        {
            return;
        }
        if let Some(since) = self.options.since {
            match std::str::from_utf8(line.time).ok().and_then(|t| t.parse::<Timestamp>().ok()) {
                Some(at) if at < since => return,
                // Entries are in order: nothing older follows.
                _ => self.options.since = None,
            }
        }
        let stream = usize::from(line.stream == b"stderr");
        if self.options.timestamps && !self.open_line[stream] {
            text.extend_from_slice(line.time);
            text.push(b' ');
        }
        text.extend_from_slice(line.text);
        if !line.partial {
            text.push(b'\n');
        }
        self.open_line[stream] = line.partial;
    }
}

/// Rotated files of a log, oldest first: their suffix is the time of the rotation.
fn rotated(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let Ok(entries) = std::fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<PathBuf> = entries
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with(&prefix))
        .map(|e| e.path())
        .collect();
    found.sort();
    found
}

/// Drops files that the last `lines` entries do not need; answers where to begin in the first one
/// left.
fn tail_start(files: &mut VecDeque<PathBuf>, lines: u64) -> io::Result<u64> {
    let mut wanted = lines;
    let mut at = files.len();
    while at > 0 {
        at -= 1;
        let mut file = match File::open(&files[at]) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e),
        };
        let (offset, found) = last_lines(&mut file, wanted)?;
        wanted -= found;
        if wanted == 0 {
            files.drain(..at);
            return Ok(offset);
        }
    }
    Ok(0)
}

/// Offset of the last `wanted` lines of a file, and how many there are.
fn last_lines(file: &mut File, wanted: u64) -> io::Result<(u64, u64)> {
    let size = file.metadata()?.len();
    if wanted == 0 {
        return Ok((size, 0));
    }
    let mut position = size;
    let mut found = 0;
    let mut block = vec![0; CHUNK];
    while position > 0 {
        let length = position.min(CHUNK as u64);
        position -= length;
        file.seek(SeekFrom::Start(position))?;
        let part = &mut block[..usize::try_from(length).unwrap_or(CHUNK)];
        file.read_exact(part)?;
        for (at, byte) in part.iter().enumerate().rev() {
            let offset = position + at as u64;
            // The line end at the very end closes the last line, it begins none.
            if *byte == b'\n' && offset + 1 < size {
                found += 1;
                if found == wanted {
                    return Ok((offset + 1, found));
                }
            }
        }
    }
    Ok((0, found + u64::from(size > 0)))
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        sync::atomic::{AtomicBool, Ordering},
    };

    use super::*;

    fn entry(second: u32, tag: &str, text: &str) -> String {
        format!("2026-01-01T00:00:{second:02}.5Z stdout {tag} {text}\n")
    }

    async fn show(path: &Path, options: LogOptions) -> String {
        let source = LogSource { path: path.to_owned(), ended: Arc::new(|| true) };
        let mut out = Vec::new();
        stream(source, options, &mut out).await.unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test]
    async fn options_select_and_format() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let old = entry(1, "F", "one") + &entry(2, "F", "two");
        std::fs::write(dir.path().join("0.log.20260101-000003"), old).unwrap();
        let new = entry(3, "P", "thr") + &entry(3, "F", "ee") + &entry(4, "F", "four");
        std::fs::write(&path, new).unwrap();
        let plain = LogOptions::default();
        let tail = |n| LogOptions { tail: Some(n), ..LogOptions::default() };
        let since = Some("2026-01-01T00:00:03Z".parse().unwrap());
        let table = [
            (plain.clone(), "one\ntwo\nthree\nfour\n"),
            (tail(0), ""),
            (tail(1), "four\n"),
            (tail(4), "two\nthree\nfour\n"),
            (tail(99), "one\ntwo\nthree\nfour\n"),
            (LogOptions { since, ..plain.clone() }, "three\nfour\n"),
            (LogOptions { limit: Some(5), ..plain.clone() }, "one\nt"),
            (LogOptions { stream: Some("stderr".into()), ..plain.clone() }, ""),
            (
                LogOptions { timestamps: true, since, ..plain },
                "2026-01-01T00:00:03.5Z three\n2026-01-01T00:00:04.5Z four\n",
            ),
        ];
        for (options, expected) in table {
            assert_eq!(show(&path, options.clone()).await, expected, "{options:?}");
        }
    }

    #[tokio::test]
    async fn following_survives_rotation_and_ends_with_the_container() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        std::fs::write(&path, entry(1, "F", "one")).unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let flag = ended.clone();
        let source =
            LogSource { path: path.clone(), ended: Arc::new(move || flag.load(Ordering::SeqCst)) };
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let (mut near, far) = tokio::io::duplex(1024);
        let reading = tokio::spawn(async move {
            let mut far = far;
            stream(source, options, &mut far).await
        });
        let mut seen = [0; 4];
        tokio::io::AsyncReadExt::read_exact(&mut near, &mut seen).await.unwrap();
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(entry(2, "F", "two").as_bytes()).unwrap();
        std::fs::rename(&path, dir.path().join("0.log.20260101-000003")).unwrap();
        std::fs::write(&path, entry(3, "F", "three")).unwrap();
        tokio::time::sleep(POLL * 4).await;
        ended.store(true, Ordering::SeqCst);
        let mut rest = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut near, &mut rest).await.unwrap();
        assert_eq!(rest, "two\nthree\n");
        reading.await.unwrap().unwrap();
    }
}
