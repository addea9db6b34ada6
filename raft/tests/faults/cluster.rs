//! Three members as processes, on the harness's network.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use crate::{
    common::Pki,
    disk,
    history::History,
    net::{MEMBERS, Net},
    process::Process,
    protocol::{Answer, Ask, Dump, Role, Settings},
    rng::Rng,
};

/// Highest member id that is reachable; each replaced member takes a new one.
const IDS: u64 = 999;
struct Slot {
    id: u64,
    process: Option<Arc<Process>>,
}

/// A cluster of three.
pub struct Cluster {
    pub root: PathBuf,
    pub net: Arc<Net>,
    pub history: Arc<History>,
    settings: Settings,
    slots: Mutex<Vec<Slot>>,
    // Declared last: removed when everything else is gone.
    temporary: Option<tempfile::TempDir>,
}

/// Which slot a member id belongs to.
pub fn slot_of(id: u64) -> usize {
    (id - 1) as usize % MEMBERS
}

/// One member's answer to "how are you".
#[derive(Debug, Clone)]
pub struct Health {
    pub leads: bool,
    pub term: u64,
    pub revision: u64,
    pub purged: Option<u64>,
    pub voters: Vec<u64>,
    pub failure: Option<String>,
}

impl Cluster {
    /// How long members may take until they agree after everything was healed.
    pub fn settle(&self) -> Duration {
        Duration::from_secs(self.settings.settle_seconds)
    }

    /// Start three members and make them a quorum.
    pub async fn start(settings: Settings, rng: &mut Rng) -> Arc<Self> {
        let temporary = tempfile::tempdir().unwrap();
        let root = temporary.path().to_owned();
        Pki::new().save(&root);
        let net = Net::new(rng.fork()).await;
        let slots = (1..=MEMBERS as u64).map(|id| Slot { id, process: None }).collect();
        let this = Arc::new(Self {
            root,
            net,
            history: Arc::default(),
            settings,
            slots: Mutex::new(slots),
            temporary: Some(temporary),
        });
        for slot in 0..MEMBERS {
            std::fs::create_dir(this.disk(slot)).unwrap();
            if small_disks() {
                disk::mount(&this.disk(slot));
            }
            this.launch(slot).await.unwrap();
        }
        let first = this.member(0).unwrap();
        assert!(matches!(first.ask(&Ask::Initialize).await, Some(Answer::Done)));
        for slot in 1..MEMBERS {
            this.join(slot).await.unwrap();
        }
        this
    }

    pub fn id(&self, slot: usize) -> u64 {
        self.slots.lock().unwrap()[slot].id
    }

    pub fn dir(&self, slot: usize) -> PathBuf {
        self.disk(slot).join(format!("m{}", self.id(slot)))
    }

    /// The disk of a slot: a small one of its own when the harness could make one.
    pub fn disk(&self, slot: usize) -> PathBuf {
        self.root.join(format!("disk{slot}"))
    }

    /// The process in a slot, if it runs.
    pub fn member(&self, slot: usize) -> Option<Arc<Process>> {
        self.slots.lock().unwrap()[slot].process.clone().filter(|p| p.is_alive())
    }

    /// Start the member of a slot on its directory; the error is its refusal.
    pub async fn launch(&self, slot: usize) -> Result<(), String> {
        let overrides: HashMap<u64, String> = (1..=IDS)
            .filter(|id| slot_of(*id) != slot)
            .map(|id| (id, format!("127.0.0.1:{}", self.net.port(slot, slot_of(id)))))
            .collect();
        let id = self.id(slot);
        let role = Role {
            id,
            dir: self.dir(slot),
            pki: self.root.clone(),
            overrides,
            peer_addr: peer_addr(id),
            settings: self.settings.clone(),
        };
        let process = Process::start(&role, &self.stderr(id)).await?;
        self.net.set_target(slot, Some(process.port));
        self.slots.lock().unwrap()[slot].process = Some(process);
        Ok(())
    }

    fn stderr(&self, id: u64) -> PathBuf {
        self.root.join(format!("m{id}.stderr"))
    }

    pub async fn kill(&self, slot: usize) {
        let process = self.slots.lock().unwrap()[slot].process.take();
        self.net.set_target(slot, None);
        if let Some(process) = process {
            process.kill().await;
        }
        self.net.cut(|from, to| from == slot || to == slot);
    }

    pub async fn kill_all(&self) {
        // All at once: none may see another one go first.
        futures_util::future::join_all((0..MEMBERS).map(|slot| self.kill(slot))).await;
    }

    /// How a member is; `None` when it does not answer.
    pub async fn health(&self, slot: usize) -> Option<Health> {
        let member = self.member(slot)?;
        let asked = tokio::time::timeout(Duration::from_millis(700), member.ask(&Ask::Status));
        match asked.await {
            Ok(Some(Answer::Status { leads, term, revision, purged, voters, failure })) => {
                Some(Health { leads, term, revision, purged, voters, failure })
            }
            _ => None,
        }
    }

    /// The slot of the leader, waiting for one.
    pub async fn leader(&self) -> Option<usize> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            let mut best: Option<(u64, usize)> = None;
            for slot in 0..MEMBERS {
                if let Some(health) = self.health(slot).await
                    && health.leads
                {
                    best = best.max(Some((health.term, slot)));
                }
            }
            if let Some((_, slot)) = best {
                return Some(slot);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    /// Make a running member a voter, through any other member.
    pub async fn join(&self, slot: usize) -> Result<(), String> {
        let id = self.id(slot);
        self.change_members(slot, Ask::Add { id, addr: peer_addr(id) }, |voters| {
            voters.contains(&id)
        })
        .await
    }

    async fn change_members(
        &self,
        besides: usize,
        ask: Ask,
        done: impl Fn(&[u64]) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + self.settle();
        let mut last = String::new();
        for turn in 0.. {
            if Instant::now() > deadline {
                break;
            }
            let via = (besides + 1 + turn % (MEMBERS - 1)) % MEMBERS;
            let Some(member) = self.member(via) else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            last = match tokio::time::timeout(Duration::from_secs(15), member.ask(&ask)).await {
                Ok(Some(Answer::Done)) => return Ok(()),
                other => format!("{other:?}"),
            };
            // The answer may be lost and the change done.
            if self.health(via).await.is_some_and(|h| done(&h.voters)) {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Err(format!("{ask:?}: {last}"))
    }

    /// Wipe a member and bring a new one up in its place, under a new id.
    pub async fn replace(&self, slot: usize) -> Result<(), String> {
        self.kill(slot).await;
        let old = self.id(slot);
        self.change_members(slot, Ask::Remove(old), |voters| !voters.contains(&old)).await?;
        std::fs::remove_dir_all(self.dir(slot)).map_err(|e| e.to_string())?;
        self.slots.lock().unwrap()[slot].id = old + MEMBERS as u64;
        self.launch(slot).await?;
        self.join(slot).await
    }

    /// Everything of every member, once all show the same revision.
    pub async fn dumps(&self) -> Result<Vec<Dump>, String> {
        let deadline = Instant::now() + self.settle();
        loop {
            let mut dumps = Vec::new();
            let mut last = String::new();
            for slot in 0..MEMBERS {
                let Some(member) = self.member(slot) else {
                    return Err(format!("member {slot} does not run"));
                };
                match tokio::time::timeout(Duration::from_secs(10), member.ask(&Ask::Dump)).await {
                    Ok(Some(Answer::Dumped(dump))) => dumps.push(dump),
                    other => last = format!("member {slot}: {other:?}"),
                }
            }
            let revisions: Vec<_> = dumps.iter().map(|d| (d.revision, d.compacted)).collect();
            if dumps.len() == MEMBERS && revisions.iter().all(|r| *r == revisions[0]) {
                return Ok(dumps);
            }
            if Instant::now() > deadline {
                return Err(format!("the members do not come together: {revisions:?} {last}"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Every member's panics.
    pub fn panics(&self) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "stderr") {
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                let lines = text.lines().collect::<Vec<_>>();
                for (n, line) in lines.iter().enumerate() {
                    if line.contains("panicked at") {
                        found.push(format!(
                            "{}: {}",
                            path.display(),
                            lines[n..lines.len().min(n + 3)].join(" ")
                        ));
                    }
                }
            }
        }
        found
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Dropping a process kills it.
        self.slots.lock().unwrap().clear();
        if small_disks() {
            (0..MEMBERS).for_each(|slot| disk::unmount(&self.disk(slot)));
        }
        if std::env::var_os("KABUKI_TEST_KEEP").is_some()
            && let Some(temporary) = self.temporary.take()
        {
            println!("kept {}", temporary.keep().display());
        }
    }
}

/// What members tell each other; nobody is there, only the overrides lead anywhere.
fn peer_addr(id: u64) -> String {
    format!("127.0.0.1:{id}")
}

/// The variable that says that this process has mounts of its own.
pub const OWN_MOUNTS: &str = "KABUKI_RAFT_FAULTS_OWN_MOUNTS";

/// Whether each member gets a small disk of its own.
pub fn small_disks() -> bool {
    std::env::var_os(OWN_MOUNTS).is_some()
}
