//! Pods that wait for a node: those to try now, and those that fitted nowhere.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use tokio::time::Instant;

use super::pod_info::PodInfo;
use crate::registry::Object;

/// Wait after the first failed attempt, doubled with each further one.
const BACKOFF_MIN: Duration = Duration::from_millis(500);
/// Longest wait once something changed that may help.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A pod that fitted nowhere is tried again after this long even if nothing changed.
const FLUSH_AFTER: Duration = Duration::from_secs(300);
/// Rows shown in [`PendingPods::inspect`].
const MAX_SHOWN: usize = 50;

/// A pod without a node.
#[derive(Clone)]
pub(super) struct Pending {
    pub info: Arc<PodInfo>,
    pub object: Arc<Object>,
    pub attempts: u32,
}

/// Higher priority first, then first come first served.
type Turn = (Reverse<i32>, u64);

enum Place {
    Active(Turn),
    /// In the hands of a decision or of a bind.
    Out,
    /// Fitted nowhere.
    Parked {
        last_try: Instant,
        due: Instant,
        /// Left alone until then, whatever changes.
        aside: bool,
    },
}

struct Slot {
    pending: Pending,
    place: Place,
    why: String,
}

/// The queue. Bounded by the pods of the cluster.
#[derive(Default)]
pub(super) struct PendingPods {
    slots: HashMap<String, Slot>,
    active: BTreeMap<Turn, String>,
    next_turn: u64,
}

impl PendingPods {
    /// A pod came or changed. A change of one that is parked lets it try again.
    pub fn put(&mut self, info: Arc<PodInfo>, object: Arc<Object>) {
        let uid = info.uid().to_owned();
        if let Some(slot) = self.slots.get_mut(&uid) {
            let same_spec = slot.pending.object.value()["spec"] == object.value()["spec"]
                && slot.pending.object.labels() == object.labels();
            slot.pending.info = info;
            slot.pending.object = object;
            if !same_spec && matches!(slot.place, Place::Parked { .. }) {
                self.activate(&uid);
            }
            return;
        }
        let pending = Pending { info, object, attempts: 0 };
        self.slots.insert(uid.clone(), Slot { pending, place: Place::Out, why: String::new() });
        self.activate(&uid);
    }

    /// Knows a pod that is in the hands of a bind.
    pub fn hold(&mut self, info: Arc<PodInfo>, object: Arc<Object>) {
        let uid = info.uid().to_owned();
        if let Some(slot) = self.slots.get_mut(&uid) {
            slot.pending.info = info;
            slot.pending.object = object;
            return;
        }
        let pending = Pending { info, object, attempts: 1 };
        self.slots.insert(uid, Slot { pending, place: Place::Out, why: String::new() });
    }

    /// Whether the pod waits for a node.
    pub fn knows(&self, uid: &str) -> bool {
        self.slots.contains_key(uid)
    }

    /// The pod has a node, or is gone.
    pub fn remove(&mut self, uid: &str) {
        if let Some(slot) = self.slots.remove(uid)
            && let Place::Active(turn) = slot.place
        {
            self.active.remove(&turn);
        }
    }

    /// The next pod to decide on; it stays known until it is removed or parked.
    pub fn take(&mut self) -> Option<Pending> {
        let (_, uid) = self.active.pop_first()?;
        let slot = self.slots.get_mut(&uid)?;
        slot.place = Place::Out;
        slot.pending.attempts += 1;
        Some(slot.pending.clone())
    }

    /// The pod fitted nowhere, or could not be bound. Returns whether the reason is a new one.
    pub fn park(&mut self, uid: &str, why: String, now: Instant, retry: bool) -> bool {
        let Some(slot) = self.slots.get_mut(uid) else { return false };
        let wait = if retry { backoff(slot.pending.attempts) } else { FLUSH_AFTER };
        slot.place = Place::Parked { last_try: now, due: now + wait, aside: false };
        let new = slot.why != why;
        slot.why = why;
        new
    }

    /// Why the pod waits could not be said on it: the next attempt comes soon and says it again.
    pub fn tell_again(&mut self, uid: &str) {
        let Some(slot) = self.slots.get_mut(uid) else { return };
        slot.why.clear();
        if let Place::Parked { last_try, due, .. } = &mut slot.place {
            *due = (*due).min(*last_try + backoff(slot.pending.attempts));
        }
    }

    /// The pod cannot be decided on.
    pub fn set_aside(&mut self, uid: &str, why: String, now: Instant) {
        let Some(slot) = self.slots.get_mut(uid) else { return };
        slot.place = Place::Parked { last_try: now, due: now + FLUSH_AFTER, aside: true };
        slot.why = why;
    }

    /// Something changed that may help; parked pods `may` apply to try again after their back-off.
    pub fn wake(&mut self, now: Instant, may: impl Fn(&PodInfo) -> bool) {
        for slot in self.slots.values_mut() {
            if let Place::Parked { last_try, due, aside: false } = &mut slot.place
                && may(&slot.pending.info)
            {
                let soon = (*last_try + backoff(slot.pending.attempts)).max(now);
                *due = (*due).min(soon);
            }
        }
    }

    /// Moves what is due to the active part and says when the next one is.
    pub fn promote(&mut self, now: Instant) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        let mut ready = Vec::new();
        for (uid, slot) in &self.slots {
            if let Place::Parked { due, .. } = slot.place {
                if due <= now {
                    ready.push(uid.clone());
                } else {
                    next = Some(next.map_or(due, |n| n.min(due)));
                }
            }
        }
        for uid in ready {
            self.activate(&uid);
        }
        next
    }

    /// Whether a pod is to be tried now.
    pub fn has_active(&self) -> bool {
        !self.active.is_empty()
    }

    /// Sizes, and pods that fit nowhere.
    pub fn inspect(&self) -> Value {
        let parked: Vec<_> = self
            .slots
            .values()
            .filter(|slot| matches!(slot.place, Place::Parked { .. }))
            .take(MAX_SHOWN)
            .map(|slot| {
                let meta = &slot.pending.info.pod.metadata;
                json!({"pod": format!("{}/{}", meta.namespace, meta.name),
                    "attempts": slot.pending.attempts, "why": slot.why,
                    "setAside": matches!(slot.place, Place::Parked { aside: true, .. })})
            })
            .collect();
        json!({"pending": self.slots.len(), "active": self.active.len(), "parked": parked})
    }

    fn activate(&mut self, uid: &str) {
        let Some(slot) = self.slots.get_mut(uid) else { return };
        if let Place::Active(_) = slot.place {
            return;
        }
        let turn = (Reverse(slot.pending.info.pod.spec.priority), self.next_turn);
        self.next_turn += 1;
        slot.place = Place::Active(turn);
        self.active.insert(turn, uid.to_owned());
    }
}

fn backoff(attempts: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::POD;

    use super::*;
    use crate::registry::MemView;

    fn pod(name: &str, priority: i32) -> (Arc<PodInfo>, Arc<Object>) {
        let object = MemView::new().put(
            POD,
            json!({"metadata": {"name": name, "namespace": "ns", "uid": name},
                "spec": {"priority": priority}}),
        );
        (Arc::new(PodInfo::new(object.typed().unwrap())), object)
    }

    fn names(queue: &mut PendingPods) -> Vec<String> {
        std::iter::from_fn(|| queue.take()).map(|p| p.info.uid().to_owned()).collect()
    }

    #[test]
    fn priority_then_order_of_arrival() {
        let mut queue = PendingPods::default();
        for (name, priority) in [("a", 0), ("b", 0), ("c", 9)] {
            let (info, object) = pod(name, priority);
            queue.put(info, object);
        }
        queue.remove("b");
        assert_eq!(names(&mut queue), ["c", "a"]);
    }

    #[test]
    fn parked_pods_wait_for_a_change_and_their_backoff() {
        let now = Instant::now();
        let mut queue = PendingPods::default();
        let (info, object) = pod("a", 0);
        queue.put(Arc::clone(&info), Arc::clone(&object));
        queue.take();
        assert!(queue.park("a", "no".into(), now, false));
        queue.put(info, object);
        assert!(names(&mut queue).is_empty(), "an update of the status alone wakes nobody");
        assert_eq!(queue.promote(now), Some(now + FLUSH_AFTER));
        queue.wake(now, |_| true);
        assert_eq!(queue.promote(now), Some(now + BACKOFF_MIN));
        assert_eq!(queue.promote(now + BACKOFF_MIN), None);
        assert_eq!(names(&mut queue), ["a"]);
        assert!(!queue.park("a", "no".into(), now, false), "same reason");
    }
}
