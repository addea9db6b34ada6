//! The store under fault: three real member processes, a Kubernetes-shaped load, faults drawn from
//! a seed, and checks that nothing was lost, reordered, given twice or kept from anyone.
//!
//! The test runs itself again as the members: the environment says which.

mod check;
mod cluster;
#[path = "../common/mod.rs"]
mod common;
mod damage;
mod disk;
mod history;
mod load;
mod member;
mod nemesis;
mod net;
mod planted;
mod process;
mod protocol;
mod quorum;
mod rng;
mod scenario;

use std::process::Command;

use cluster::OWN_MOUNTS;
use kabuki_raft::Fault;

/// Seconds of faults when `KABUKI_FAULTS_SECONDS` does not say.
const SECONDS: u64 = 10;
/// How often a leader is paused.
const PAUSES: usize = 3;
/// Planted bugs that are looked for side by side.
const BUGS_AT_ONCE: usize = 8;

/// Not a test by itself: the body of a member process.
#[test]
fn member() {
    member::run();
}

fn number(variable: &str) -> Option<u64> {
    Some(std::env::var(variable).ok()?.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(work)
}

/// Run a test again in a process with mounts of its own, so that members can have small disks and
/// nothing stays mounted; false when that is not possible or has happened.
fn ran_with_own_mounts(test: &str) -> bool {
    let unshare = |command: &mut Command| command.status().is_ok_and(|s| s.success());
    let args = ["--mount", "--propagation", "private"];
    if cluster::small_disks() || !unshare(Command::new("unshare").args(args).arg("true")) {
        return false;
    }
    let mut again = Command::new("unshare");
    again.args(args).arg(std::env::current_exe().unwrap());
    again.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(OWN_MOUNTS, "1");
    assert!(unshare(&mut again), "see above");
    true
}

/// `KABUKI_FAULTS_SEED` and `KABUKI_FAULTS_SECONDS` choose what happens and for how long.
#[test]
fn three_members_under_fault() {
    if ran_with_own_mounts("three_members_under_fault") {
        return;
    }
    let seed = number("KABUKI_FAULTS_SEED").unwrap_or_else(|| {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        now.as_nanos() as u64 % 1_000_000
    });
    let seconds = number("KABUKI_FAULTS_SECONDS").unwrap_or(SECONDS);
    println!("KABUKI_FAULTS_SEED={seed} KABUKI_FAULTS_SECONDS={seconds}");
    let violations = block_on(scenario::run(seed, seconds));
    assert!(violations.is_empty(), "seed {seed}: {}", scenario::show(&violations));
}

/// `KABUKI_FAULTS_BUG` chooses one by its name.
#[test]
fn each_planted_bug_is_caught() {
    let chosen = std::env::var("KABUKI_FAULTS_BUG").ok();
    let wanted = |bug: &Fault| chosen.as_ref().is_none_or(|name| *name == format!("{bug:?}"));
    for bugs in planted::BUGS.chunks(BUGS_AT_ONCE) {
        let runs = bugs
            .iter()
            .filter(|(bug, _)| wanted(bug))
            .map(|(bug, sign)| async move { (bug, sign, planted::run(*bug).await) });
        for (bug, sign, violations) in block_on(futures_util::future::join_all(runs)) {
            let caught = violations.iter().find(|v| v.contains(sign));
            println!("{bug:?}: {} violations, for example {caught:?}", violations.len());
            assert!(caught.is_some(), "{bug:?} is not caught: {}", scenario::show(&violations));
        }
    }
}

/// The leader and a follower, each cut off from the others; and leaders that are paused, side by
/// side.
#[test]
fn a_member_without_a_quorum_is_back_soon_and_reads_nothing_stale() {
    let (_, _, violations) = block_on(async {
        tokio::join!(quorum::run(true), quorum::run(false), quorum::pause_leaders(PAUSES))
    });
    assert!(violations.is_empty(), "{}", scenario::show(&violations));
}
