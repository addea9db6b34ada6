//! Puts faults into a running cluster, drawn from a seed, and takes them out again.

use std::{sync::Arc, time::Duration};

use kabuki_raft::Fault;

use crate::{
    cluster::Cluster,
    disk::{self, Part},
    net::MEMBERS,
    protocol::{Ask, FAULTS},
    rng::Rng,
};

/// Every kind of fault there is.
const KINDS: [Kind; 24] = [
    Kind::KillFollower,
    Kind::KillLeader,
    Kind::KillAll,
    Kind::PowerLossOne,
    Kind::PowerLossAll,
    Kind::PauseFollower,
    Kind::PauseLeader,
    Kind::IsolateLeader,
    Kind::IsolateFollower,
    Kind::OneWay,
    Kind::Bridge,
    Kind::Ring,
    Kind::Delay,
    Kind::Loss,
    Kind::Cut,
    Kind::Duplicate,
    Kind::SlowSync,
    Kind::StuckSync,
    Kind::Transfer,
    Kind::Replace,
    Kind::LongOutage,
    Kind::Flip(Part::Log),
    Kind::Flip(Part::State),
    Kind::FullDisk,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    KillFollower,
    KillLeader,
    KillAll,
    PowerLossOne,
    PowerLossAll,
    PauseFollower,
    PauseLeader,
    IsolateLeader,
    IsolateFollower,
    OneWay,
    Bridge,
    Ring,
    Delay,
    Loss,
    Cut,
    Duplicate,
    SlowSync,
    StuckSync,
    Transfer,
    Replace,
    LongOutage,
    Flip(Part),
    FullDisk,
}

pub struct Nemesis {
    pub cluster: Arc<Cluster>,
    pub rng: Rng,
    /// Slots whose member has a flipped bit and started all the same.
    pub flipped: [bool; MEMBERS],
}

impl Nemesis {
    /// Go through all kinds in a random order, again and again, until the time is over.
    pub async fn run(&mut self, until: tokio::time::Instant) {
        loop {
            let mut kinds = KINDS.to_vec();
            for n in (1..kinds.len()).rev() {
                kinds.swap(n, self.rng.index(n + 1));
            }
            for kind in kinds {
                if tokio::time::Instant::now() >= until {
                    return;
                }
                self.fault(kind).await;
                self.pause(100..900).await;
                self.mend().await;
            }
        }
    }

    pub fn tell(&self, name: &'static str, detail: &str) {
        self.cluster.history.fault(name, detail);
    }

    pub async fn pause(&mut self, millis: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.rng.range(millis))).await;
    }

    async fn leader(&mut self) -> usize {
        match self.cluster.leader().await {
            Some(slot) => slot,
            None => {
                self.cluster.history.violation("no leader 10 s after everything was healed".into());
                0
            }
        }
    }

    async fn follower(&mut self) -> usize {
        let leader = self.leader().await;
        (leader + 1 + self.rng.index(MEMBERS - 1)) % MEMBERS
    }

    async fn fault(&mut self, kind: Kind) {
        match kind {
            Kind::KillFollower | Kind::KillLeader | Kind::KillAll => self.kill(kind).await,
            Kind::PowerLossOne | Kind::PowerLossAll => self.power_loss(kind).await,
            Kind::PauseFollower | Kind::PauseLeader => self.stop(kind).await,
            Kind::IsolateLeader
            | Kind::IsolateFollower
            | Kind::OneWay
            | Kind::Bridge
            | Kind::Ring
            | Kind::Delay
            | Kind::Loss
            | Kind::Cut => self.network(kind).await,
            Kind::Duplicate | Kind::SlowSync | Kind::StuckSync => self.switch(kind).await,
            Kind::Transfer => self.transfer().await,
            Kind::Replace => {
                let slot = self.rng.index(MEMBERS);
                self.tell("wipe and replace", &format!("slot {slot}"));
                self.replace(slot).await;
            }
            Kind::LongOutage => self.long_outage().await,
            Kind::Flip(part) => self.flip(part).await,
            Kind::FullDisk => self.full_disk().await,
        }
    }

    pub async fn start(&mut self, slot: usize) {
        let Err(why) = self.cluster.launch(slot).await else { return };
        if self.flipped[slot] {
            self.cluster.history.note(&format!("slot {slot} does not start: {why}"));
            return self.replace(slot).await;
        }
        self.cluster.history.violation(format!("slot {slot} does not start: {why}"));
    }

    pub async fn replace(&mut self, slot: usize) {
        self.flipped[slot] = false;
        if let Err(why) = self.cluster.replace(slot).await {
            self.cluster.history.violation(format!("slot {slot} cannot be replaced: {why}"));
        }
    }

    async fn kill(&mut self, kind: Kind) {
        let slot = match kind {
            Kind::KillAll => {
                self.tell("kill -9 of all", "");
                self.cluster.kill_all().await;
                return self.start_all().await;
            }
            Kind::KillLeader => self.leader().await,
            _ => self.follower().await,
        };
        let name = if kind == Kind::KillLeader {
            "kill -9 of the leader"
        } else {
            "kill -9 of a follower"
        };
        self.tell(name, &format!("slot {slot}"));
        self.cluster.kill(slot).await;
        self.pause(10..1500).await;
        self.start(slot).await;
    }

    /// In any order, with pauses of any length.
    async fn start_all(&mut self) {
        let first = self.rng.index(MEMBERS);
        let step = 1 + self.rng.index(MEMBERS - 1);
        for n in 0..MEMBERS {
            self.start((first + n * step) % MEMBERS).await;
            if self.rng.percent(50) {
                self.pause(1..700).await;
            }
        }
    }

    async fn power_loss(&mut self, kind: Kind) {
        if kind == Kind::PowerLossAll {
            self.cluster.kill_all().await;
            let mut told = Vec::new();
            for slot in 0..MEMBERS {
                told.push(disk::lose_unsynced(&self.cluster.dir(slot), &mut self.rng));
            }
            self.tell("power loss of all", &told.join("; "));
            return self.start_all().await;
        }
        let slot = self.rng.index(MEMBERS);
        self.cluster.kill(slot).await;
        let told = disk::lose_unsynced(&self.cluster.dir(slot), &mut self.rng);
        self.tell("power loss of one", &format!("slot {slot}: {told}"));
        self.pause(10..1000).await;
        self.start(slot).await;
    }

    async fn stop(&mut self, kind: Kind) {
        let slot =
            if kind == Kind::PauseLeader { self.leader().await } else { self.follower().await };
        let name =
            if kind == Kind::PauseLeader { "pause of the leader" } else { "pause of a follower" };
        self.tell(name, &format!("slot {slot}"));
        let Some(member) = self.cluster.member(slot) else { return };
        member.signal("STOP");
        self.pause(700..3500).await;
        member.signal("CONT");
    }

    async fn network(&mut self, kind: Kind) {
        let net = self.cluster.net.clone();
        let one = match kind {
            Kind::IsolateLeader => self.leader().await,
            Kind::IsolateFollower => self.follower().await,
            _ => self.rng.index(MEMBERS),
        };
        let two = (one + 1 + self.rng.index(MEMBERS - 1)) % MEMBERS;
        let out = self.rng.percent(50);
        let (delay, loss) = (self.rng.range(5..120), self.rng.range(20..500));
        let name = match kind {
            Kind::IsolateLeader | Kind::IsolateFollower => {
                net.change_all(|from, to| from == one || to == one, |g| g.shut = true);
                if kind == Kind::IsolateLeader {
                    "partition of the leader"
                } else {
                    "partition of a follower"
                }
            }
            Kind::OneWay => {
                net.change_all(
                    |from, to| if out { from == one } else { to == one },
                    |g| g.shut = true,
                );
                "one-way partition"
            }
            Kind::Bridge => {
                net.change_all(
                    |from, to| [from, to] == [one, two] || [to, from] == [one, two],
                    |g| g.shut = true,
                );
                "partition of two members that both see the third"
            }
            Kind::Ring => {
                let step = if out { 1 } else { 2 };
                net.change_all(|from, to| (from + step) % MEMBERS != to, |g| g.shut = true);
                "ring: each hears one other only"
            }
            Kind::Delay => {
                net.change_all(|_, _| true, |g| g.delay = delay);
                "delay"
            }
            Kind::Loss => {
                net.change_all(|_, _| true, |g| g.loss = loss);
                "loss"
            }
            _ => {
                for _ in 0..self.rng.range(1..8) {
                    net.cut(|_, _| true);
                    self.pause(10..300).await;
                }
                "connections cut"
            }
        };
        self.tell(name, &format!("slots {one} and {two}, out {out}, {delay} ms, {loss} of 1000"));
        self.pause(500..4000).await;
        if self.rng.percent(30) {
            net.cut(|_, _| true);
        }
        net.heal();
    }

    async fn set(&self, fault: Fault, value: u64, slots: &[usize]) {
        let fault = FAULTS.iter().position(|f| *f == fault).unwrap();
        for slot in slots {
            if let Some(member) = self.cluster.member(*slot) {
                member.ask(&Ask::Set { fault, value }).await;
            }
        }
    }

    async fn switch(&mut self, kind: Kind) {
        let one = self.rng.index(MEMBERS);
        let all: Vec<usize> = (0..MEMBERS).collect();
        let (name, fault, value, slots) = match kind {
            Kind::Duplicate => {
                ("frames sent twice", Fault::DuplicateFrames, self.rng.range(1..5), all)
            }
            Kind::SlowSync => {
                let slots = if self.rng.percent(50) { all } else { vec![one] };
                ("slow sync", Fault::SlowSync, self.rng.range(5..150), slots)
            }
            _ => {
                let slot = if self.rng.percent(50) { self.leader().await } else { one };
                ("stuck sync", Fault::SlowSync, self.rng.range(1000..8000), vec![slot])
            }
        };
        self.tell(name, &format!("{value}, slots {slots:?}"));
        self.set(fault, value, &slots).await;
        self.pause(1000..4000).await;
        self.set(fault, 0, &slots).await;
    }

    async fn transfer(&mut self) {
        for _ in 0..self.rng.range(1..4) {
            let leader = self.leader().await;
            let to = (leader + 1 + self.rng.index(MEMBERS - 1)) % MEMBERS;
            self.tell("transfer of leadership", &format!("{leader} to {to}"));
            if let Some(member) = self.cluster.member(leader) {
                member.ask(&Ask::Transfer(self.cluster.id(to))).await;
            }
            self.pause(10..200).await;
        }
    }

    /// Away until the log it would need is gone.
    async fn long_outage(&mut self) {
        let slot = self.follower().await;
        let before = self.cluster.health(slot).await;
        self.tell("outage until a snapshot is needed", &format!("slot {slot}"));
        self.cluster.kill(slot).await;
        for _ in 0..60 {
            self.pause(90..110).await;
            let leader = self.leader().await;
            let now = self.cluster.health(leader).await.and_then(|h| h.purged);
            if now > before.as_ref().map(|b| b.revision) {
                break;
            }
        }
        self.start(slot).await;
    }

    /// Every member runs, and all hear each other.
    pub async fn heal(&mut self) {
        self.cluster.net.heal();
        for slot in 0..MEMBERS {
            if self.cluster.member(slot).is_none() {
                self.start(slot).await;
            }
        }
    }
}
