//! From events to the log: a bounded queue and one thread that reads bodies, writes lines and rotates
//! the file. Whoever serves requests never waits for it; what does not fit is dropped and counted.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::Duration,
};

use time::OffsetDateTime;

use super::{
    event::Event,
    file::{LogFile, Rotation},
};

/// Events waiting to be written (upstream's batch buffer has as many).
pub const QUEUE_EVENTS_MAX: usize = 10_000;
/// Bytes the waiting events may hold.
pub const QUEUE_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Bytes of lines that are written at once.
const BATCH_BYTES: usize = 256 * 1024;
/// The path that means standard output.
const STDOUT: &str = "-";

/// The way into the log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Sink {
    sender: SyncSender<Message>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    events: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Event(Box<Event>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

enum Output {
    Stdout,
    File(LogFile),
}

impl Sink {
    /// Opens the log and starts its writer.
    ///
    /// # Errors
    /// When the file cannot be written or the thread cannot be started.
    pub fn open(path: &Path, rotation: Rotation) -> io::Result<Self> {
        let output = if path == Path::new(STDOUT) {
            Output::Stdout
        } else {
            Output::File(LogFile::open(path, rotation)?)
        };
        let (sink, receiver) = Self::new(QUEUE_EVENTS_MAX);
        let shared = Arc::clone(&sink.shared);
        std::thread::Builder::new().name("audit-log".to_owned()).spawn(move || {
            Writer { output, shared, lines: Vec::new(), held: 0, said: false }.run(&receiver)
        })?;
        Ok(sink)
    }

    fn new(events_max: usize) -> (Self, Receiver<Message>) {
        let (sender, receiver) = sync_channel(events_max);
        (Self { sender, shared: Arc::default() }, receiver)
    }

    /// Hands an event over; never waits.
    pub fn send(&self, event: Event) {
        let shared = &self.shared;
        shared.events.fetch_add(1, Ordering::Relaxed);
        let weight = event.weight();
        let waiting = shared.waiting_bytes.fetch_add(weight, Ordering::Relaxed);
        // One event alone always fits: otherwise the largest bodies could never be recorded.
        let fits = waiting == 0 || waiting + weight <= QUEUE_BYTES_MAX;
        let sent = fits
            && match self.sender.try_send(Message::Event(Box::new(event))) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            };
        if !sent {
            shared.waiting_bytes.fetch_sub(weight, Ordering::Relaxed);
            let dropped = shared.dropped.fetch_add(1, Ordering::Relaxed);
            // Once per power of two: a flood must not flood this log as well.
            if (dropped + 1).is_power_of_two() {
                tracing::warn!(
                    dropped = dropped + 1,
                    "the audit log is behind: events are dropped"
                );
            }
        }
    }

    /// Waits until everything handed over before is written, at most for `limit`. Blocks.
    pub fn flush(&self, limit: Duration) {
        let (done, wait) = sync_channel(1);
        if self.sender.try_send(Message::Flush(done)).is_ok() {
            // An error means that the limit passed or that the writer is gone.
            let _ = wait.recv_timeout(limit);
        }
    }

    /// Appends Prometheus text: upstream's names, and what was dropped here.
    pub fn render(&self, out: &mut String) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (dropped, failed) = (load(&self.shared.dropped), load(&self.shared.failed));
        let lost = dropped + failed;
        let _ = writeln!(out, "# TYPE apiserver_audit_event_total counter");
        let _ = writeln!(out, "apiserver_audit_event_total {}", load(&self.shared.events));
        let _ = writeln!(out, "# TYPE apiserver_audit_error_total counter");
        let _ = writeln!(out, "apiserver_audit_error_total{{plugin=\"log\"}} {lost}");
        let _ = writeln!(out, "# TYPE kabuki_audit_events_dropped_total counter");
        let _ = writeln!(out, "kabuki_audit_events_dropped_total{{reason=\"queue\"}} {dropped}");
        let _ = writeln!(out, "kabuki_audit_events_dropped_total{{reason=\"write\"}} {failed}");
    }
}

struct Writer {
    output: Output,
    shared: Arc<Shared>,
    lines: Vec<u8>,
    /// Events in `lines`.
    held: u64,
    /// Whether the log was told that writing fails; it is told once per failure, not per line.
    said: bool,
}

impl Writer {
    /// Runs until every sender is gone.
    fn run(mut self, receiver: &Receiver<Message>) {
        while let Ok(first) = receiver.recv() {
            self.take(first);
            while self.lines.len() < BATCH_BYTES {
                let Ok(next) = receiver.try_recv() else { break };
                self.take(next);
            }
            self.write();
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(event) => {
                event.write_line(&mut self.lines);
                self.held += 1;
                self.shared.waiting_bytes.fetch_sub(event.weight(), Ordering::Relaxed);
            }
            Message::Flush(done) => {
                self.write();
                // Whoever waited may have given up.
                let _ = done.send(());
            }
        }
    }

    fn write(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let done = match &mut self.output {
            Output::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(&self.lines).and_then(|()| out.flush())
            }
            Output::File(file) => file.write(&self.lines, OffsetDateTime::now_utc()),
        };
        match done {
            Ok(()) => self.said = false,
            Err(error) => {
                self.shared.failed.fetch_add(self.held, Ordering::Relaxed);
                if !std::mem::replace(&mut self.said, true) {
                    tracing::error!(%error, "the audit log cannot be written: events are lost");
                }
            }
        }
        self.lines.clear();
        self.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{
        event::tests::event,
        policy::{Level, Stage},
    };

    #[test]
    fn events_reach_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        let sink = Sink::open(&path, Rotation::default()).unwrap();
        for _ in 0..3 {
            sink.send(event(Level::Metadata, Stage::ResponseComplete));
        }
        sink.flush(Duration::from_secs(10));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 3);
        assert_eq!(sink.shared.waiting_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let (sink, receiver) = Sink::new(2);
        for _ in 0..5 {
            sink.send(event(Level::Metadata, Stage::ResponseComplete));
        }
        assert_eq!(receiver.try_iter().count(), 2);
        let mut text = String::new();
        sink.render(&mut text);
        assert!(text.contains("apiserver_audit_event_total 5\n"), "{text}");
        assert!(text.contains("dropped_total{reason=\"queue\"} 3\n"), "{text}");
    }
}
