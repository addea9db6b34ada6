//! Watching one actor's letters go in and out, for a while and within limits.
//!
//! Costs one relaxed load per letter when nobody watches. A reader that is too slow loses events and
//! is told how many.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::Instant};

use super::{
    cell::Cell,
    current::current_cell,
    dead_letter::unix_ms,
    error::KernelError,
    stats::{micros, short_name},
};

/// Traces of one kernel at once.
pub const MAX_TRACES: usize = 4;
/// Longest trace, and how long it is when nothing is said.
pub const TRACE_TIME: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(10)];
/// Most events of one trace, and how many when nothing is said.
pub const TRACE_EVENTS: [u64; 2] = [10_000, 1_000];
/// Events waiting for the reader of one trace; further ones are lost to it.
pub const TRACE_BUFFER: usize = 1_024;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TraceEvent {
    /// A letter is being handled.
    In {
        /// Unix time, ms.
        at_ms: u64,
        /// Its type.
        message: String,
        /// Path of the sender; empty when it came from outside the cast.
        from: String,
        /// How long it had waited, µs.
        queued_us: u64,
    },
    /// A handler came back.
    Done {
        /// Unix time, ms.
        at_ms: u64,
        /// What it handled.
        message: String,
        /// How long it took, µs.
        took_us: u64,
    },
    /// A letter was sent.
    Out {
        /// Unix time, ms.
        at_ms: u64,
        /// Its type.
        message: String,
        /// Path of the addressee.
        to: String,
    },
    /// The actor panicked.
    Panicked {
        /// Unix time, ms.
        at_ms: u64,
        /// The panic's text.
        text: String,
    },
    /// The reader was too slow for these.
    Dropped {
        /// How many events were lost since the last one that was not.
        count: u64,
    },
    /// The trace is over.
    End {
        /// `time`, `max`, or `actor ended`.
        why: String,
        /// Events there were.
        events: u64,
        /// Those lost.
        dropped: u64,
    },
}

#[derive(Debug)]
pub(crate) struct Tracer {
    to: mpsc::Sender<TraceEvent>,
    left: AtomicU64,
    dropped: AtomicU64,
}

impl Tracer {
    fn note(&self, event: TraceEvent) {
        let one_less = |n: u64| n.checked_sub(1);
        if self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            return;
        }
        if self.to.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Those who watch one actor.
pub(crate) type Tracers = Mutex<Vec<Arc<Tracer>>>;

impl Cell {
    /// Tells those who watch this actor, if any.
    pub(crate) fn trace(&self, event: impl Fn(u64) -> TraceEvent) {
        if self.shared.traces.load(Ordering::Relaxed) == 0 {
            return;
        }
        let tracers = self.tracers.lock();
        if !tracers.is_empty() {
            let at_ms = unix_ms(SystemTime::now());
            tracers.iter().for_each(|t| t.note(event(at_ms)));
        }
    }

    /// Tells those who watch the actor this thread plays that it sends a letter to this one.
    pub(crate) fn trace_out(&self, message: &'static str) {
        if self.shared.traces.load(Ordering::Relaxed) == 0 {
            return;
        }
        if let Some(sender) = current_cell() {
            let to = &self.path;
            sender.trace(|at_ms| TraceEvent::Out {
                at_ms,
                message: short_name(message),
                to: to.to_string(),
            });
        }
    }
}

/// A running trace; it ends when dropped.
#[derive(Debug)]
pub struct Trace {
    cell: Arc<Cell>,
    tracer: Arc<Tracer>,
    events: mpsc::Receiver<TraceEvent>,
    held: Option<TraceEvent>,
    deadline: Instant,
    max: u64,
    seen: u64,
    reported: u64,
    over: bool,
}

impl Trace {
    /// Begins; the limits are cut to what is allowed.
    ///
    /// # Errors
    /// `Busy` when [`MAX_TRACES`] run.
    pub(crate) fn begin(
        cell: Arc<Cell>,
        time: Option<Duration>,
        max: Option<u64>,
    ) -> Result<Self, KernelError> {
        let took = cell.shared.traces.fetch_add(1, Ordering::SeqCst);
        if took >= MAX_TRACES {
            cell.shared.traces.fetch_sub(1, Ordering::SeqCst);
            return Err(KernelError::TooManyTraces(MAX_TRACES));
        }
        let time = time.unwrap_or(TRACE_TIME[1]).min(TRACE_TIME[0]);
        let max = max.unwrap_or(TRACE_EVENTS[1]).min(TRACE_EVENTS[0]);
        let (to, events) = mpsc::channel(TRACE_BUFFER);
        let (left, dropped) = (AtomicU64::new(max), AtomicU64::new(0));
        let tracer = Arc::new(Tracer { to, left, dropped });
        cell.tracers.lock().push(tracer.clone());
        let deadline = Instant::now() + time;
        let (held, seen, reported, over) = (None, 0, 0, false);
        Ok(Self { cell, tracer, events, held, deadline, max, seen, reported, over })
    }

    /// The next event; None once the end was told.
    pub async fn next(&mut self) -> Option<TraceEvent> {
        if let Some(event) = self.held.take() {
            return Some(event);
        }
        if self.over {
            return None;
        }
        let lost = self.tracer.dropped.load(Ordering::Relaxed);
        if self.seen + lost >= self.max && self.events.is_empty() {
            return Some(self.end("max"));
        }
        let ended = self.cell.ended.clone();
        let event = tokio::select! {
            biased;
            Some(event) = self.events.recv() => event,
            () = ended.cancelled() => return Some(self.end("actor ended")),
            () = tokio::time::sleep_until(self.deadline) => return Some(self.end("time")),
        };
        self.seen += 1;
        let lost = self.tracer.dropped.load(Ordering::Relaxed);
        let count = lost - self.reported;
        if count == 0 {
            return Some(event);
        }
        self.reported = lost;
        self.held = Some(event);
        Some(TraceEvent::Dropped { count })
    }

    /// The next event as a line: JSON, or text for a terminal.
    pub async fn next_line(&mut self, text: bool) -> Option<String> {
        let event = self.next().await?;
        let line = if text {
            event.render()
        } else {
            // Strings and numbers only: this cannot fail.
            serde_json::to_string(&event).unwrap_or_default()
        };
        Some(line + "\n")
    }

    fn end(&mut self, why: &str) -> TraceEvent {
        self.over = true;
        let dropped = self.tracer.dropped.load(Ordering::Relaxed);
        TraceEvent::End { why: why.to_owned(), events: self.seen + dropped, dropped }
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.cell.tracers.lock().retain(|t| !Arc::ptr_eq(t, &self.tracer));
        self.cell.shared.traces.fetch_sub(1, Ordering::SeqCst);
    }
}

impl TraceEvent {
    pub(crate) fn done(at_ms: u64, message: &str, took: Duration) -> Self {
        Self::Done { at_ms, message: short_name(message), took_us: micros(took) }
    }

    /// One line for a terminal.
    #[must_use]
    pub fn render(&self) -> String {
        let clock = |ms: &u64| {
            let s = ms / 1000;
            format!("{:02}:{:02}:{:02}.{:03}", s / 3600 % 24, s / 60 % 60, s % 60, ms % 1000)
        };
        match self {
            Self::In { at_ms, message, from, queued_us } => {
                let from = if from.is_empty() { "outside" } else { from };
                format!("{}  in    {message}  from {from}, waited {queued_us} µs", clock(at_ms))
            }
            Self::Done { at_ms, message, took_us } => {
                format!("{}  done  {message}  in {took_us} µs", clock(at_ms))
            }
            Self::Out { at_ms, message, to } => {
                format!("{}  out   {message}  to {to}", clock(at_ms))
            }
            Self::Panicked { at_ms, text } => format!("{}  PANIC {text}", clock(at_ms)),
            Self::Dropped { count } => format!("…  {count} events lost: the reader was too slow"),
            Self::End { why, events, dropped } => {
                format!("end: {why}; {events} events, {dropped} lost")
            }
        }
    }
}
