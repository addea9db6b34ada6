//! Three real processes, all killed with -9 in the middle of writes: nothing acknowledged is
//! lost, and no revision is given twice.
//!
//! The test runs itself again as the members: the environment says which.

mod common;

use std::{
    collections::HashMap,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    time::{Duration, Instant},
};

use common::Pki;
use kabuki_raft::{Store, StoreConfig, StoreError, Txn, TxnOutcome};

const MEMBER: &str = "KABUKI_RAFT_TEST_MEMBER";
const TOPIC: &str = "/registry/core/configmaps/";
const ROUNDS: usize = 3;
const WRITERS: usize = 8;

/// What a member process is told: id, directory, ports of all three, round, mode.
#[derive(serde::Serialize, serde::Deserialize, Clone)]
struct Role {
    id: u64,
    dir: PathBuf,
    ports: Vec<u16>,
    round: usize,
    write: bool,
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "@{line}").unwrap();
    out.flush().unwrap();
}

/// Not a test by itself: the body of a member process.
#[test]
fn member() {
    let Ok(role) = std::env::var(MEMBER) else { return };
    common::logs();
    let role: Role = serde_json::from_str(&role).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(run_member(role));
}

async fn run_member(role: Role) {
    let addr = |n: usize| format!("127.0.0.1:{}", role.ports[n]);
    let me = role.id as usize - 1;
    let mut cfg = StoreConfig::new(role.dir.join(format!("m{me}")), role.id, "killed");
    cfg.peer_addr = addr(me);
    cfg.tls = Some(Pki::load(&role.dir).tls());
    // Small, so that snapshots and purges happen between the kills.
    cfg.limits.snapshot_entries = 50;
    cfg.limits.kept_entries = 20;
    let store = Store::open(cfg).await.unwrap();
    let listener = tokio::net::TcpListener::bind(addr(me)).await.unwrap();
    let peers = store.clone();
    tokio::spawn(async move { peers.serve_peers(listener).await });
    if role.round == 0 && me == 0 {
        store.initialize().await.unwrap();
        for n in [1, 2] {
            store.add_member(n as u64 + 1, &addr(n), "").await.unwrap();
        }
    }
    let joined = async {
        while store.members().await.iter().filter(|m| m.voter).count() < 3 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        while store.read_barrier().await.is_err() {}
    };
    joined.await;
    let mut leadership = store.leadership();
    tokio::spawn(async move {
        loop {
            if leadership.borrow_and_update().is_local {
                say("leads");
            }
            if leadership.changed().await.is_err() {
                return;
            }
        }
    });
    say("ready");
    if role.write {
        for w in 0..WRITERS {
            tokio::spawn(write(store.clone(), format!("{}-{me}-{w}", role.round)));
        }
    } else {
        for record in store.list(TOPIC, None, 0).records {
            say(&format!("have {} {}", record.key, record.mod_revision));
        }
        say(&format!("end {}", store.revision()));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
}

async fn write(store: Store, name: String) {
    for n in 0.. {
        let key = format!("{TOPIC}ns/{name}-{n}");
        match store.write(Txn::put(&key, format!("value {n}")).when(&key, 0)).await {
            Ok(TxnOutcome::Committed { revision, .. }) => say(&format!("ack {key} {revision}")),
            Ok(TxnOutcome::Conflict { .. }) => panic!("{key} was there"),
            Err(StoreError::UnknownOutcome(_) | StoreError::Unavailable(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

struct Members {
    children: Vec<Child>,
    lines: Receiver<(usize, String)>,
}

impl Drop for Members {
    fn drop(&mut self) {
        for n in 0..self.children.len() {
            self.kill(n);
        }
    }
}

impl Members {
    fn start(dir: &Path, ports: &[u16], round: usize, write: bool) -> Self {
        let (sender, lines) = channel();
        let children = (0..3)
            .map(|n| {
                let role = Role {
                    id: n as u64 + 1,
                    dir: dir.to_owned(),
                    ports: ports.to_vec(),
                    round,
                    write,
                };
                spawn(n, &role, sender.clone())
            })
            .collect();
        Self { children, lines }
    }

    fn kill(&mut self, n: usize) {
        self.children[n].kill().ok();
        self.children[n].wait().ok();
    }

    fn line(&self, until: Instant) -> Option<(usize, String)> {
        let left = until.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("all members are gone"),
        }
    }
}

fn spawn(n: usize, role: &Role, lines: Sender<(usize, String)>) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "member", "--nocapture", "--test-threads=1"])
        .env(MEMBER, serde_json::to_string(role).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let out = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            // The test harness prints before our first line without ending its own.
            if let Some((_, line)) = line.split_once('@')
                && lines.send((n, line.to_owned())).is_err()
            {
                return;
            }
        }
    });
    child
}

/// Acknowledged keys and their revisions.
#[derive(Default)]
struct Acked {
    revisions: HashMap<String, u64>,
    keys: HashMap<u64, String>,
}

impl Acked {
    fn take(&mut self, line: &str) -> bool {
        let Some(rest) = line.strip_prefix("ack ") else { return false };
        let (key, revision) = rest.rsplit_once(' ').unwrap();
        let revision: u64 = revision.parse().unwrap();
        let twice = self.keys.insert(revision, key.to_owned());
        assert!(twice.is_none(), "revision {revision} for {key} and {twice:?}");
        self.revisions.insert(key.to_owned(), revision);
        true
    }
}

fn free_ports() -> Vec<u16> {
    let sockets: Vec<_> =
        (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    sockets.iter().map(|s| s.local_addr().unwrap().port()).collect()
}

#[test]
fn nothing_acknowledged_is_lost_when_all_are_killed() {
    let dir = tempfile::tempdir().unwrap();
    Pki::new().save(dir.path());
    let ports = free_ports();
    let mut acked = Acked::default();
    for round in 0..ROUNDS {
        let mut members = Members::start(dir.path(), &ports, round, true);
        let deadline = Instant::now() + Duration::from_secs(15);
        let mut leader = None;
        let target = acked.revisions.len() + 600;
        while acked.revisions.len() < target {
            let (n, line) = members.line(deadline).expect("writes go on");
            if line == "leads" {
                leader = Some(n);
            }
            acked.take(&line);
        }
        if round == ROUNDS - 1 {
            failover(&mut members, leader.expect("someone leads"), &mut acked);
        }
        for n in 0..3 {
            members.kill(n);
        }
        while let Ok((_, line)) = members.lines.try_recv() {
            acked.take(&line);
        }
        let rest = members.lines.iter().filter(|(_, line)| acked.take(line)).count();
        println!("round {round}: {} acknowledged, {rest} of them read late", acked.keys.len());
    }
    verify(dir.path(), &ports, &acked);
}

/// Kill the leader alone: the others write on in time.
fn failover(members: &mut Members, leader: usize, acked: &mut Acked) {
    members.kill(leader);
    let begun = Instant::now();
    // What was on its way before the kill does not count.
    let settled = begun + Duration::from_millis(150);
    loop {
        let (n, line) = members.line(begun + Duration::from_secs(10)).expect("writes go on");
        let new = acked.take(&line) && n != leader;
        if new && Instant::now() > settled {
            println!("leader killed to next acknowledged write: {:?}", begun.elapsed());
            assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
            return;
        }
    }
}

fn verify(dir: &Path, ports: &[u16], acked: &Acked) {
    let members = Members::start(dir, ports, ROUNDS, false);
    let deadline = Instant::now() + Duration::from_secs(15);
    let mut found: Vec<HashMap<String, u64>> = vec![HashMap::new(); 3];
    let mut ended = 0;
    let highest = acked.keys.keys().max().copied().unwrap();
    while ended < 3 {
        let (n, line) = members.line(deadline).expect("members tell what they have");
        if let Some(rest) = line.strip_prefix("have ") {
            let (key, revision) = rest.rsplit_once(' ').unwrap();
            found[n].insert(key.to_owned(), revision.parse().unwrap());
        } else if let Some(revision) = line.strip_prefix("end ") {
            assert!(revision.parse::<u64>().unwrap() >= highest);
            ended += 1;
        }
    }
    for (n, have) in found.iter().enumerate() {
        for (key, revision) in &acked.revisions {
            assert_eq!(have.get(key), Some(revision), "{key} on member {n}");
        }
    }
    assert!(found[0] == found[1] && found[1] == found[2], "the members differ");
}
