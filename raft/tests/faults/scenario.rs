//! A whole run: load, faults, healing, checks.

use std::{sync::Arc, time::Duration};

use crate::{
    check::check,
    cluster::Cluster,
    history::{History, NEVER, Outcome, What},
    load::{Load, Mix, TOPICS},
    nemesis::Nemesis,
    net::MEMBERS,
    process::Process,
    protocol::{Answer, Ask, Change, Settings},
    rng::Rng,
};

/// How many violations are printed.
const SHOWN: usize = 12;

/// Run with faults from a seed; the violations found.
pub async fn run(seed: u64, seconds: u64) -> Vec<String> {
    let mut rng = Rng::new(seed);
    let cluster = Cluster::start(Settings::recording(), &mut rng).await;
    let load = Load::start(&cluster, &Mix::default(), &mut rng);
    let mut nemesis =
        Nemesis { cluster: cluster.clone(), rng: rng.fork(), flipped: [false; MEMBERS] };
    nemesis.run(tokio::time::Instant::now() + Duration::from_secs(seconds)).await;
    nemesis.heal().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let violations = finish(&cluster, load).await;
    summary(&cluster.history);
    violations
}

/// Stop the load, let everybody see everything, compare the members, restart all, compare again.
pub async fn finish(cluster: &Arc<Cluster>, load: Load) -> Vec<String> {
    let mut dumps = Vec::new();
    if let Err(why) = wind_up(cluster, load, &mut dumps).await {
        cluster.history.violation(why);
        for slot in 0..MEMBERS {
            let health = cluster.health(slot).await;
            cluster.history.note(&format!("slot {slot}: {health:?}"));
        }
    }
    let mut violations = check(&cluster.history, &dumps);
    violations.extend(cluster.panics());
    violations
}

async fn wind_up(
    cluster: &Arc<Cluster>,
    mut load: Load,
    dumps: &mut Vec<crate::protocol::Dump>,
) -> Result<(), String> {
    load.stop_writing().await;
    let last = mark(cluster).await?;
    load.finish(last, cluster.settle()).await?;
    dumps.extend(cluster.dumps().await?);
    cluster.kill_all().await;
    for slot in 0..MEMBERS {
        cluster.launch(slot).await?;
    }
    dumps.extend(cluster.dumps().await?);
    Ok(())
}

/// Write once more in every topic; tells the first revision.
async fn mark(cluster: &Cluster) -> Result<u64, String> {
    let deadline = tokio::time::Instant::now() + cluster.settle();
    let mut last = None;
    for turn in 0.. {
        if tokio::time::Instant::now() > deadline {
            break;
        }
        let Some(member) = cluster.member(turn % MEMBERS) else { continue };
        let changes: Vec<_> = TOPICS
            .iter()
            .map(|topic| Change {
                key: format!("{topic}ns/mark-{turn}"),
                expect: 0,
                value: Some(cluster.history.number()),
            })
            .collect();
        let answer = write(cluster, &member, changes).await;
        if let Some(Answer::Committed(revisions)) = answer {
            return Ok(revisions[0]);
        }
        last = answer;
    }
    Err(format!("no write succeeds after everything was healed: {last:?}"))
}

/// One write for the record.
pub async fn write(cluster: &Cluster, member: &Process, changes: Vec<Change>) -> Option<Answer> {
    let history = &cluster.history;
    let invoked = history.now();
    let answer = member.ask(&Ask::Write(changes.clone())).await;
    let (returned, outcome) = match &answer {
        Some(Answer::Committed(revisions)) => {
            (history.now(), Outcome::Committed(revisions.clone()))
        }
        _ => (NEVER, Outcome::Unknown),
    };
    history.record(invoked, returned, What::Write { changes, outcome });
    answer
}

/// Tell what was done and seen.
pub fn summary(history: &History) {
    let operations = history.operations.lock().unwrap();
    let count = |fits: fn(&What) -> bool| operations.iter().filter(|o| fits(&o.what)).count();
    let outcome = |fits: fn(&Outcome) -> bool| {
        operations
            .iter()
            .filter(|o| matches!(&o.what, What::Write { outcome, .. } if fits(outcome)))
            .count()
    };
    let sessions = history.sessions.lock().unwrap();
    println!(
        "checked {} operations: {} writes ({} acknowledged, {} conflicts, {} refused, {} unknown), \
         {} gets, {} lists; {} watches with {} events, {} of them ended by compaction; \
         last revision {}",
        operations.len(),
        count(|w| matches!(w, What::Write { .. })),
        outcome(|o| matches!(o, Outcome::Committed(_))),
        outcome(|o| matches!(o, Outcome::Conflict { .. })),
        outcome(|o| matches!(o, Outcome::NotDone)),
        outcome(|o| matches!(o, Outcome::Unknown)),
        count(|w| matches!(w, What::Get { .. })),
        count(|w| matches!(w, What::List { .. })),
        sessions.len(),
        sessions.iter().map(|s| s.events.len()).sum::<usize>(),
        sessions.iter().filter(|s| s.compacted.is_some()).count(),
        history.truth().known,
    );
    let faults = history.faults.lock().unwrap();
    let total: u64 = faults.values().sum();
    let each: Vec<_> = faults.iter().map(|(name, n)| format!("{name} {n}")).collect();
    println!("{total} faults: {}", each.join(", "));
}

/// Violations for people: the first few.
pub fn show(violations: &[String]) -> String {
    let first: Vec<_> = violations.iter().take(SHOWN).map(String::as_str).collect();
    format!("{} violations:\n{}", violations.len(), first.join("\n"))
}
