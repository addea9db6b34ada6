//! The actor that writes events: counts repeated ones up and drops floods.
//!
//! Limits follow client-go's `record.EventCorrelator`: 25 events at once per object, then one every
//! five minutes; the same event within ten minutes only gets a higher count.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use actix::{Actor, Handler, Message};
use kabuki_api::kind::EVENT;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::command::{Note, event_body};
use crate::{
    controllers::model::Time,
    kernel::{Ctx, Performer},
    recreate_on_restart,
    registry::{Registry, RequestInfo, Subresource},
};

/// Different events remembered for counting.
const MAX_KNOWN: usize = 2048;
/// Objects remembered for flood control.
const MAX_SOURCES: usize = 2048;
/// How long a repeated event is counted up rather than written anew.
const REPEAT_WINDOW: Duration = Duration::from_secs(600);
/// Events of one source about one object that are written at once.
const BURST: u32 = 25;
/// After the burst, one more event per this time.
const REFILL: Duration = Duration::from_secs(300);
/// Writes under way at once; events beyond are dropped.
const MAX_IN_FLIGHT: usize = 128;

/// Writes one event.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Record {
    pub component: &'static str,
    pub note: Note,
}

/// What makes two events the same.
type Same = (&'static str, String, &'static str, String);
/// Who speaks about what.
type Source = (&'static str, String);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    New { name: String },
    Again { name: String, count: u32 },
    Flood,
}

/// Counting and flood control, without I/O.
#[derive(Default)]
pub(crate) struct Correlator {
    known: HashMap<Same, (String, u32, Instant)>,
    order: VecDeque<Same>,
    tokens: HashMap<Source, (u32, Instant)>,
    /// The time in the newest name: two events of one moment must not share theirs.
    stamp: i64,
    dropped: u64,
}

impl Correlator {
    fn judge(&mut self, record: &Record, now: Instant, wall: Time) -> Verdict {
        let note = &record.note;
        let about =
            format!("{}/{}", note.on.kind.key(&note.on.namespace, &note.on.name), note.on.uid);
        if !self.admit((record.component, about.clone()), now) {
            self.dropped += 1;
            return Verdict::Flood;
        }
        let same: Same = (record.component, about, note.reason, note.message.clone());
        if let Some((name, count, last)) = self.known.get_mut(&same)
            && now.duration_since(*last) < REPEAT_WINDOW
        {
            *count += 1;
            *last = now;
            return Verdict::Again { name: name.clone(), count: *count };
        }
        // Upstream's form: the object's name and the time in hexadecimal.
        self.stamp = (wall.micros() * 1000).max(self.stamp + 1);
        let name = format!("{}.{:x}", note.on.name, self.stamp);
        if self.known.insert(same.clone(), (name.clone(), 1, now)).is_none() {
            self.order.push_back(same);
        }
        // Forgotten ones may be in the order twice; they only leave it earlier.
        while self.order.len() > MAX_KNOWN
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        Verdict::New { name }
    }

    /// An event of this name was not written: the next one like it is a new one.
    fn forget(&mut self, name: &str) {
        self.known.retain(|_, (known, ..)| known != name);
    }

    fn admit(&mut self, source: Source, now: Instant) -> bool {
        if self.tokens.len() >= MAX_SOURCES && !self.tokens.contains_key(&source) {
            self.tokens.retain(|_, (_, last)| now.duration_since(*last) < REFILL);
            if self.tokens.len() >= MAX_SOURCES {
                self.tokens.clear();
            }
        }
        let (left, last) = self.tokens.entry(source).or_insert((BURST, now));
        let refilled = now.duration_since(*last).as_secs() / REFILL.as_secs();
        if refilled > 0 {
            *left = left.saturating_add(u32::try_from(refilled).unwrap_or(BURST)).min(BURST);
            *last = now;
        }
        if *left == 0 {
            return false;
        }
        *left -= 1;
        true
    }
}

/// Writes events through the fenced registry.
pub(crate) struct EventRecorder {
    registry: Registry,
    correlator: Correlator,
    in_flight: usize,
    written: u64,
    failed: u64,
    last_error: String,
}

impl Actor for EventRecorder {
    type Context = Ctx<Self>;
}

recreate_on_restart!(EventRecorder);

impl Performer for EventRecorder {
    type Args = Registry;

    fn create(registry: &Registry) -> Self {
        Self {
            registry: registry.clone(),
            correlator: Correlator::default(),
            in_flight: 0,
            written: 0,
            failed: 0,
            last_error: String::new(),
        }
    }

    fn inspect(&self) -> Value {
        json!({"written": self.written, "failed": self.failed, "dropped": self.correlator.dropped,
            "inFlight": self.in_flight, "known": self.correlator.known.len(),
            "lastError": self.last_error})
    }
}

impl Handler<Record> for EventRecorder {
    type Result = ();

    fn handle(&mut self, record: Record, ctx: &mut Ctx<Self>) {
        if self.in_flight >= MAX_IN_FLIGHT {
            self.correlator.dropped += 1;
            return;
        }
        let wall = ctx.wall().into();
        let verdict = self.correlator.judge(&record, ctx.now(), wall);
        if verdict == Verdict::Flood {
            return;
        }
        self.in_flight += 1;
        let registry = self.registry.clone();
        let name = match &verdict {
            Verdict::New { name } | Verdict::Again { name, .. } => name.clone(),
            Verdict::Flood => String::new(),
        };
        ctx.offload(write(registry, record, verdict, wall), move |me, result, _| {
            me.in_flight = me.in_flight.saturating_sub(1);
            match result {
                Ok(()) => me.written += 1,
                Err(error) => {
                    me.failed += 1;
                    me.last_error = error;
                    me.correlator.forget(&name);
                }
            }
        });
    }
}

async fn write(
    registry: Registry,
    record: Record,
    verdict: Verdict,
    now: Time,
) -> Result<(), String> {
    let Record { component, note } = record;
    let namespace = if note.on.namespace.is_empty() { "default" } else { &note.on.namespace };
    let result = match verdict {
        Verdict::Flood => Ok(()),
        Verdict::New { name } => {
            let body = event_body(&note, component, &name, &now.rfc3339(), 1);
            let info = RequestInfo::internal(component);
            registry.create(&info, EVENT, namespace, body).await.map(drop)
        }
        Verdict::Again { name, count } => registry
            .update_with_retry(EVENT, namespace, &name, Subresource::Main, |event| {
                event["count"] = count.into();
                event["lastTimestamp"] = now.rfc3339().into();
                true
            })
            .await
            .map(drop),
    };
    // An event is never worth a retry: the next one of its kind will tell.
    result.map_err(|status| status.to_string())
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::POD;

    use super::*;
    use crate::controllers::framework::ObjectRef;

    fn record(message: &str) -> Record {
        let on = ObjectRef { kind: POD, namespace: "ns".into(), name: "p".into(), uid: "u".into() };
        Record { component: "test", note: Note::normal(on, "Because", message) }
    }

    #[test]
    fn repeated_events_count_up() {
        let (mut correlator, now, wall) =
            (Correlator::default(), Instant::now(), Time::from_secs(1));
        let Verdict::New { name } = correlator.judge(&record("a"), now, wall) else { panic!() };
        assert_eq!(name, "p.3b9aca00");
        let again = correlator.judge(&record("a"), now, Time::from_secs(2));
        assert_eq!(again, Verdict::Again { name: name.clone(), count: 2 });
        let other = correlator.judge(&record("b"), now, Time::from_secs(3));
        assert!(matches!(other, Verdict::New { .. }));
        let later = correlator.judge(&record("a"), now + REPEAT_WINDOW, Time::from_secs(4));
        assert!(matches!(later, Verdict::New { .. }));
    }

    #[test]
    fn an_event_that_was_not_written_is_no_reason_to_count_the_next_one_up() {
        let (mut correlator, now, wall) =
            (Correlator::default(), Instant::now(), Time::from_secs(1));
        let Verdict::New { name } = correlator.judge(&record("a"), now, wall) else { panic!() };
        correlator.forget(&name);
        let Verdict::New { name: second } = correlator.judge(&record("a"), now, wall) else {
            panic!("counted up an event that is not there")
        };
        assert_ne!(name, second, "two events of one moment share no name");
    }

    #[test]
    fn floods_are_dropped_and_memory_is_bounded() {
        let (mut correlator, now, wall) =
            (Correlator::default(), Instant::now(), Time::from_secs(1));
        for n in 0..BURST {
            assert_ne!(correlator.judge(&record(&n.to_string()), now, wall), Verdict::Flood);
        }
        assert_eq!(correlator.judge(&record("x"), now, wall), Verdict::Flood);
        assert_ne!(correlator.judge(&record("x"), now + REFILL, wall), Verdict::Flood);
        for n in 0..MAX_KNOWN * 2 {
            let mut other = record("x");
            other.note.on.name = n.to_string();
            correlator.judge(&other, now, wall);
        }
        assert!(correlator.known.len() <= MAX_KNOWN && correlator.tokens.len() <= MAX_SOURCES);
    }
}
