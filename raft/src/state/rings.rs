//! The newest events of each topic, in memory, shared by all watchers.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use parking_lot::RwLock;
use tokio::sync::watch;

use super::topic_of;
use crate::{Event, Revision};

/// Topics with a ring of their own. Watchers of further ones use the ring of everything.
const MAX_TOPICS: usize = 4096;
/// Events one read of a ring returns at most.
const READ_EVENTS: usize = 256;

/// The newest events of one topic.
#[derive(Debug)]
pub(crate) struct Topic {
    ring: RwLock<Ring>,
    changed: watch::Sender<()>,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<Arc<Event>>,
    bytes: usize,
    /// Every event after this revision is in the ring.
    floor: Revision,
    /// The newest event's revision, or the revision at which the ring was begun.
    last: Revision,
}

/// What a ring had for a cursor.
#[derive(Debug)]
pub(crate) enum Read {
    /// The events after the cursor; empty when there are none.
    Events(Vec<Arc<Event>>),
    /// The cursor is before the ring's first event; read on from the disk up to this revision.
    Before(Revision),
}

impl Topic {
    fn new(base: Revision) -> Self {
        let ring = Ring { events: VecDeque::new(), bytes: 0, floor: base, last: base };
        Self { ring: RwLock::new(ring), changed: watch::Sender::new(()) }
    }

    pub(crate) fn read(&self, after: Revision) -> Read {
        let ring = self.ring.read();
        if after < ring.floor {
            return Read::Before(ring.floor);
        }
        let start = ring.events.partition_point(|event| event.revision <= after);
        Read::Events(ring.events.range(start..).take(READ_EVENTS).cloned().collect())
    }

    /// The revision of the newest event (or of the ring's beginning).
    pub(crate) fn last(&self) -> Revision {
        self.ring.read().last
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn push(&self, events: impl Iterator<Item = Arc<Event>>, max_events: usize, max_bytes: usize) {
        let mut ring = self.ring.write();
        for event in events {
            ring.bytes += event.weight();
            ring.last = event.revision;
            ring.events.push_back(event);
        }
        while ring.events.len() > max_events || (ring.bytes > max_bytes && ring.events.len() > 1) {
            if let Some(old) = ring.events.pop_front() {
                ring.bytes -= old.weight();
                ring.floor = old.revision;
            }
        }
    }

    fn reset(&self, base: Revision) {
        *self.ring.write() = Ring { events: VecDeque::new(), bytes: 0, floor: base, last: base };
    }
}

/// All rings.
#[derive(Debug)]
pub(crate) struct Rings {
    topics: RwLock<Topics>,
    all: Arc<Topic>,
    max_events: usize,
    max_bytes: usize,
}

#[derive(Debug)]
struct Topics {
    by_name: HashMap<Arc<str>, Arc<Topic>>,
    /// Where rings that do not exist yet begin: nothing happened to their topic since.
    base: Revision,
}

impl Rings {
    pub(crate) fn new(base: Revision, max_events: usize, max_bytes: usize) -> Self {
        Self {
            topics: RwLock::new(Topics { by_name: HashMap::new(), base }),
            all: Arc::new(Topic::new(base)),
            max_events,
            max_bytes,
        }
    }

    /// The ring that holds every event under `prefix` (and perhaps others).
    pub(crate) fn topic(&self, prefix: &str) -> Arc<Topic> {
        let name = topic_of(prefix);
        if name != topic_of(&format!("{name}x/")) {
            // Not the depth of a topic: keys under it may belong to several.
            return self.all.clone();
        }
        if let Some(topic) = self.topics.read().by_name.get(name) {
            return topic.clone();
        }
        let mut topics = self.topics.write();
        if topics.by_name.len() >= MAX_TOPICS {
            return self.all.clone();
        }
        let base = topics.base;
        topics.by_name.entry(name.into()).or_insert_with(|| Arc::new(Topic::new(base))).clone()
    }

    /// Put new events, in order, where their watchers look. Call [`Rings::wake`] afterwards.
    pub(crate) fn push(&self, events: &[Arc<Event>]) -> Vec<Arc<Topic>> {
        let mut by_topic: HashMap<&str, Vec<Arc<Event>>> = HashMap::new();
        for event in events {
            by_topic.entry(topic_of(&event.record.key)).or_default().push(event.clone());
        }
        self.all.push(events.iter().cloned(), self.max_events, self.max_bytes);
        let mut topics = vec![self.all.clone()];
        for (name, events) in by_topic {
            let topic = self.topic(name);
            if !Arc::ptr_eq(&topic, &self.all) {
                topic.push(events.into_iter(), self.max_events, self.max_bytes);
                topics.push(topic);
            }
        }
        topics
    }

    /// Wake the watchers of topics.
    pub(crate) fn wake(topics: &[Arc<Topic>]) {
        for topic in topics {
            topic.changed.send_replace(());
        }
    }

    /// Wake every watcher.
    pub(crate) fn wake_all(&self) {
        let topics: Vec<_> = self.topics.read().by_name.values().cloned().collect();
        Self::wake(&topics);
        self.all.changed.send_replace(());
    }

    /// Begin anew at `base`; watchers read what is before it from disk.
    pub(crate) fn reset(&self, base: Revision) {
        let mut topics = self.topics.write();
        topics.base = base;
        for topic in topics.by_name.values() {
            topic.reset(base);
        }
        self.all.reset(base);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{EventKind, Record};

    fn event(key: &str, revision: Revision) -> Arc<Event> {
        let record = Arc::new(Record::new(key.into(), Bytes::from_static(b"v"), 2, revision));
        Arc::new(Event { revision, kind: EventKind::Put, record, previous: None })
    }

    #[test]
    fn old_events_leave_and_the_floor_says_so() {
        let rings = Rings::new(1, 3, usize::MAX);
        let topic = rings.topic("/r/core/pods/");
        let events: Vec<_> = (2..=6).map(|r| event("/r/core/pods/a", r)).collect();
        rings.push(&events);
        assert!(matches!(topic.read(2), Read::Before(3)));
        let Read::Events(found) = topic.read(4) else { panic!("in memory") };
        assert_eq!(found.iter().map(|e| e.revision).collect::<Vec<_>>(), [5, 6]);
        assert_eq!(topic.last(), 6);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let rings = Rings::new(1, 1000, 600);
        let topic = rings.topic("/r/core/pods/");
        let events: Vec<_> = (2..=9).map(|r| event("/r/core/pods/a", r)).collect();
        rings.push(&events);
        let Read::Events(found) = topic.read(topic.ring.read().floor) else { panic!("in memory") };
        assert!(found.len() <= 2, "{}", found.len());
    }

    #[test]
    fn a_prefix_above_topics_sees_all_of_them() {
        let rings = Rings::new(1, 10, usize::MAX);
        let (above, below) = (rings.topic("/r/"), rings.topic("/r/core/pods/ns/"));
        rings.push(&[event("/r/core/pods/ns/a", 2), event("/r/core/nodes/b", 3)]);
        let Read::Events(found) = above.read(1) else { panic!("in memory") };
        assert_eq!(found.len(), 2);
        let Read::Events(found) = below.read(1) else { panic!("in memory") };
        assert_eq!(found.len(), 1);
    }
}
