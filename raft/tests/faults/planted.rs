//! Known bugs put back, one at a time, each with the faults that bring it to light: what the
//! checks are worth.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use kabuki_raft::Fault;

use crate::{
    cluster::Cluster,
    disk,
    load::{Load, Mix, TOPICS},
    net::MEMBERS,
    protocol::{Answer, Ask, Change, FAULTS, Settings},
    rng::Rng,
    scenario::{finish, write},
};

/// A bug, and what one of the violations it causes must say ("a w": a watch or a wrong list).
pub const BUGS: [(Fault, &str); 8] = [
    (Fault::AnswerBeforeSync, "acknowledged, but now"),
    (Fault::StaleReads, "stale"),
    (Fault::LoseDeletes, "member"),
    (Fault::ReuseRevisions, "acknowledged, but now"),
    (Fault::WatchGaps, "a watch of"),
    (Fault::ForgetCompaction, "a w"),
    (Fault::SendTwice, "not written, but"),
    (Fault::LooseCompare, "although the key was at"),
];

/// How often the answers to one follower are lost.
const LOST_ANSWERS: usize = 16;

async fn sleep(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

async fn set(cluster: &Cluster, fault: Fault) {
    let fault = FAULTS.iter().position(|f| *f == fault).unwrap();
    for slot in 0..MEMBERS {
        cluster.member(slot).unwrap().ask(&Ask::Set { fault, value: 1 }).await;
    }
}

/// With the state on disk up to its newest revision: nothing of it is applied again.
async fn restart_all(cluster: &Cluster) {
    for slot in 0..MEMBERS {
        cluster.member(slot).unwrap().ask(&Ask::Stop).await;
    }
    cluster.kill_all().await;
    for slot in 0..MEMBERS {
        cluster.launch(slot).await.unwrap();
    }
}

/// Run with one bug; the violations found.
pub async fn run(bug: Fault) -> Vec<String> {
    let mut rng = Rng::new(7);
    let mut settings = Settings::recording();
    let position = |fault| FAULTS.iter().position(|f| *f == fault).unwrap();
    if bug != Fault::AnswerBeforeSync {
        settings.faults.push((position(bug), 1));
    } else {
        // Snapshots would make durable what the log is not.
        settings.snapshot_entries = 1_000_000;
    }
    settings.settle_seconds = 8;
    // Most watches then begin before what is in memory.
    let late = matches!(bug, Fault::WatchGaps | Fault::ForgetCompaction);
    if late {
        settings.ring_events = 8;
    }
    let cluster = Cluster::start(settings, &mut rng).await;
    let compact = matches!(bug, Fault::LoseDeletes | Fault::ForgetCompaction);
    let mix = Mix { compact, pause: 8, old: if late { 90 } else { 20 }, ..Mix::default() };
    let mut load = Load::start(&cluster, &mix, &mut rng);
    sleep(500).await;
    match bug {
        Fault::AnswerBeforeSync => power_loss(&cluster, &mut rng).await,
        Fault::StaleReads => partition(&cluster).await,
        Fault::ReuseRevisions => {
            load.stop_writing().await;
            delete(&cluster, 1).await;
            restart_all(&cluster).await;
        }
        Fault::LoseDeletes => {
            load.stop_writing().await;
            delete(&cluster, usize::MAX).await;
            compact_now(&cluster).await;
            restart_all(&cluster).await;
        }
        Fault::ForgetCompaction => {
            for _ in 0..3 {
                sleep(500).await;
                compact_now(&cluster).await;
            }
        }
        Fault::SendTwice => lose_answers(&cluster).await,
        _ => sleep(1500).await,
    }
    finish(&cluster, load).await
}

async fn power_loss(cluster: &Cluster, rng: &mut Rng) {
    set(cluster, Fault::AnswerBeforeSync).await;
    sleep(500).await;
    cluster.kill_all().await;
    for slot in 0..MEMBERS {
        disk::lose_unsynced(&cluster.dir(slot), rng);
    }
    for slot in 0..MEMBERS {
        cluster.launch(slot).await.unwrap();
    }
    sleep(1500).await;
}

async fn partition(cluster: &Arc<Cluster>) {
    let leader = cluster.leader().await.unwrap();
    cluster.net.change_all(|from, to| from == leader || to == leader, |g| g.shut = true);
    sleep(2500).await;
    cluster.net.heal();
}

/// Delete so many objects; the newest revision then belongs to a deletion.
async fn delete(cluster: &Cluster, count: usize) {
    let member = cluster.member(0).unwrap();
    let ask = Ask::List { prefix: TOPICS[0].to_owned(), barrier: true };
    let Some(Answer::Listed { records, .. }) = member.ask(&ask).await else { return };
    for record in records.into_iter().take(count) {
        let change = Change { key: record.key, expect: record.revision, value: None };
        write(cluster, &member, vec![change]).await;
    }
    // Watchers must have seen it.
    sleep(300).await;
}

/// Compact everything that watchers have told of, and let it go from the disk.
async fn compact_now(cluster: &Cluster) {
    let revision = cluster.history.truth().known;
    cluster.history.compacted.fetch_max(revision, Ordering::SeqCst);
    cluster.member(0).unwrap().ask(&Ask::Compact(revision)).await;
    sleep(400).await;
}

/// One follower's questions reach the leader, and their connections break before the answers come.
async fn lose_answers(cluster: &Cluster) {
    for _ in 0..LOST_ANSWERS {
        let leader = cluster.leader().await.unwrap();
        let follower = (leader + 1) % MEMBERS;
        cluster.net.change(leader, follower, |g| g.shut = true);
        sleep(100).await;
        cluster.net.cut(|from, to| from == leader && to == follower);
        cluster.net.heal();
        sleep(200).await;
    }
}
