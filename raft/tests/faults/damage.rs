//! Faults of disks.

use crate::{
    cluster::small_disks,
    disk::{self, Part},
    nemesis::Nemesis,
    net::MEMBERS,
};

impl Nemesis {
    /// A member with a flipped bit either refuses to start, then it is replaced, or is well.
    pub async fn flip(&mut self, part: Part) {
        let slot = self.rng.index(MEMBERS);
        self.cluster.kill(slot).await;
        let part = match part {
            Part::State if self.rng.percent(40) => Part::Snapshot,
            Part::Log if self.rng.percent(10) => Part::Names,
            part => part,
        };
        let flipped = disk::flip(&self.cluster.dir(slot), part, &mut self.rng);
        self.tell(
            "flipped bit",
            &format!("slot {slot}: {}", flipped.as_deref().unwrap_or("nowhere")),
        );
        if let Err(why) = self.cluster.launch(slot).await {
            self.cluster.history.note(&format!("refuses to start: {why}"));
            if !why.contains("new id") && !why.contains("right directory") {
                self.cluster
                    .history
                    .violation(format!("the refusal does not say what to do: {why}"));
            }
            self.replace(slot).await;
        } else {
            self.flipped[slot] = flipped.is_some();
        }
    }

    /// No member stops by itself, but for a flipped bit that shows late: then it is replaced.
    pub async fn mend(&mut self) {
        for slot in 0..MEMBERS {
            let failure = self.cluster.health(slot).await.and_then(|h| h.failure);
            let Some(failure) = failure else { continue };
            self.cluster.history.note(&format!("slot {slot} stopped: {failure}"));
            if !self.flipped[slot] {
                self.cluster.history.violation(format!("slot {slot} stopped: {failure}"));
            }
            self.replace(slot).await;
        }
    }

    pub async fn full_disk(&mut self) {
        if !small_disks() {
            return;
        }
        let slot = self.rng.index(MEMBERS);
        let filler = disk::fill(&self.cluster.disk(slot));
        self.pause(1500..4000).await;
        let failure = self.cluster.health(slot).await.and_then(|h| h.failure);
        self.tell("full disk", &format!("slot {slot}, failure: {failure:?}"));
        std::fs::remove_file(filler).unwrap();
        // Even when nothing failed yet: a restart must cope with what is there.
        self.cluster.kill(slot).await;
        self.start(slot).await;
    }
}
