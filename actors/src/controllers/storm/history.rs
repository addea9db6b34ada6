//! Everything that was ever visible in the store, change by change.

use std::collections::BTreeMap;

use kabuki_api::kind::{CONFIG_MAP, Kind, NODE, POD, REPLICA_SET};
use kabuki_raft::EventKind;
use serde_json::Value;

use super::World;

/// One change of one object.
pub(crate) struct Moment {
    pub revision: u64,
    pub kind: &'static Kind,
    pub gone: bool,
    /// The object, or its last state.
    pub value: Value,
}

impl Moment {
    pub fn uid(&self) -> &str {
        self.value["metadata"]["uid"].as_str().unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }
}

/// Changes in the order of their revisions.
pub(crate) struct History {
    pub moments: Vec<Moment>,
}

impl History {
    /// Calls `look` after every change, with the objects of these kinds as they were then, by uid.
    pub fn replay(
        &self,
        kinds: &[&'static Kind],
        mut look: impl FnMut(&Moment, &BTreeMap<&str, &Value>) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut there: BTreeMap<&str, &Value> = BTreeMap::new();
        for moment in self.moments.iter().filter(|m| kinds.contains(&m.kind)) {
            if moment.gone {
                there.remove(moment.uid());
            } else {
                there.insert(moment.uid(), &moment.value);
            }
            look(moment, &there).map_err(|why| format!("revision {}: {why}", moment.revision))?;
        }
        Ok(())
    }

    /// Every object of a kind there ever was, in its last state, by uid.
    pub fn all(&self, kind: &'static Kind) -> BTreeMap<&str, &Value> {
        let mine = self.moments.iter().filter(|m| m.kind == kind);
        mine.map(|m| (m.uid(), &m.value)).collect()
    }
}

/// Reads the history of the kinds that are looked at.
pub(super) fn read(world: &World) -> History {
    let mut moments = Vec::new();
    for kind in [POD, REPLICA_SET, NODE, CONFIG_MAP] {
        let topic = kind.topic();
        let last = world.store.topic_revision(topic);
        let mut watch = world.store.watch(topic, 1).unwrap();
        while watch.progress() < last {
            let (back, events) = std::thread::spawn(move || {
                let plain = tokio::runtime::Builder::new_current_thread().enable_all().build();
                let events = plain.unwrap().block_on(watch.next()).unwrap();
                (watch, events)
            })
            .join()
            .unwrap();
            watch = back;
            moments.extend(events.iter().map(|event| Moment {
                revision: event.revision,
                kind,
                gone: event.kind == EventKind::Delete,
                value: serde_json::from_slice(&event.record.value).unwrap_or_default(),
            }));
        }
    }
    moments.sort_by_key(|m| m.revision);
    History { moments }
}
