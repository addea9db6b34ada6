//! A member without a quorum: what it still answers, and how soon it is back.

use std::time::{Duration, Instant};

use crate::{
    cluster::Cluster,
    history::What,
    load::{ALL, Load, Mix, TOPICS},
    net::MEMBERS,
    process::Process,
    protocol::{Answer, Ask, Change, Settings},
    rng::Rng,
    scenario::{finish, write},
};

/// How long it is cut off: longer than any lease, and until connections are given up as silent.
const CUT: Duration = Duration::from_secs(4);
/// How long any answer may take without a quorum.
const ANSWER: Duration = Duration::from_secs(11);
/// How long a write that was passed on to a leader that has fallen silent may take.
const SILENT: Duration = Duration::from_secs(5);
/// How long it may take until everything works again.
const BACK: Duration = Duration::from_secs(2);

fn change(cluster: &Cluster, name: &str, expect: u64) -> Vec<Change> {
    let key = format!("{}ns/{name}", TOPICS[0]);
    vec![Change { key, expect, value: Some(cluster.history.number()) }]
}

async fn ask(member: &Process, ask: &Ask) -> Answer {
    let answer = tokio::time::timeout(ANSWER, member.ask(ask)).await;
    answer.unwrap_or_else(|_| panic!("{ask:?}: nothing within {ANSWER:?}")).expect("it runs")
}

/// Cut the leader or a follower off, look at what it does, heal.
pub async fn run(cut_leader: bool) {
    let mut rng = Rng::new(1);
    let cluster = Cluster::start(Settings::default(), &mut rng).await;
    let leader = cluster.leader().await.unwrap();
    let alone = if cut_leader { leader } else { (leader + 1) % MEMBERS };
    let member = cluster.member(alone).unwrap();
    let answer = write(&cluster, &member, change(&cluster, "before", 0)).await;
    let Some(Answer::Committed(before)) = answer else { panic!("{answer:?}") };

    cluster.net.change_all(|from, to| from == alone || to == alone, |g| g.shut = true);
    // One that is on its way when the network goes: nobody can say what becomes of it, but that
    // must be said in time.
    let caught = async {
        let begin = Instant::now();
        let change = change(&cluster, "caught", 0);
        let answer = tokio::time::timeout(ANSWER, write(&cluster, &member, change)).await;
        (begin.elapsed(), answer.expect("an answer in time"))
    };
    let rest = async {
        tokio::time::sleep(CUT).await;
        refuses(&cluster, &member, before[0]).await;
        let others = (0..MEMBERS).find(|n| *n != alone && *n != leader).unwrap();
        let other = cluster.member(others).unwrap();
        let answer = write(&cluster, &other, change(&cluster, "meanwhile", 0)).await;
        assert!(matches!(answer, Some(Answer::Committed(_))), "the majority writes: {answer:?}");
        cluster.net.heal();
        back(&cluster, &member, cut_leader).await;
    };
    let (caught, ()) = tokio::join!(caught, rest);
    println!("cut leader: {cut_leader}; the write that was caught: {caught:?}");
    assert!(cut_leader || caught.0 < SILENT, "a silent leader is waited for: {caught:?}");
    assert_eq!(cluster.panics(), Vec::<String>::new());
}

/// It runs, shows what it has, and refuses what needs a quorum.
async fn refuses(cluster: &Cluster, member: &Process, before: u64) {
    let begin = Instant::now();
    let stale = ask(member, &Ask::List { prefix: ALL.into(), barrier: false }).await;
    assert!(matches!(stale, Answer::Listed { revision, .. } if revision >= before), "{stale:?}");
    let (get, put) = (Ask::Get("/registry/x".into()), Ask::Write(change(cluster, "refused", 0)));
    let (fresh, refused) = tokio::join!(ask(member, &get), ask(member, &put));
    println!("refused after {:?}: {refused:?}, {fresh:?}", begin.elapsed());
    assert!(matches!(fresh, Answer::Failed(_)), "a linearizable read needs a quorum: {fresh:?}");
    assert!(matches!(refused, Answer::NotDone(_)), "nothing was written: {refused:?}");
}

async fn back(cluster: &Cluster, member: &Process, cut_leader: bool) {
    let healed = Instant::now();
    for turn in 0.. {
        let name = format!("after-{turn}");
        let written = write(cluster, member, change(cluster, &name, 0)).await;
        if matches!(written, Some(Answer::Committed(_))) {
            break;
        }
    }
    let read = ask(member, &Ask::Get(format!("{}ns/meanwhile", TOPICS[0]))).await;
    assert!(matches!(read, Answer::Got { rec: Some(_), .. }), "{read:?}");
    let took = healed.elapsed();
    println!("cut leader: {cut_leader}; healed to written and read: {took:?}");
    assert!(took < BACK, "back after {took:?}");
}

/// Pause the leader, again and again, until its successor writes, and ask it while it sleeps: what
/// it answers when it wakes must not be from before. Returns the violations.
pub async fn pause_leaders(rounds: usize) -> Vec<String> {
    let mut rng = Rng::new(2);
    let cluster = Cluster::start(Settings::default(), &mut rng).await;
    let load = Load::start(&cluster, &Mix { pause: 4, ..Mix::default() }, &mut rng);
    for _ in 0..rounds {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let leader = cluster.leader().await.unwrap();
        let member = cluster.member(leader).unwrap();
        member.signal("STOP");
        tokio::time::sleep(Duration::from_millis(1800)).await;
        let reads = (0..30).map(|n| read(&cluster, &member, TOPICS[n % TOPICS.len()]));
        let wake = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            member.signal("CONT");
        };
        tokio::join!(futures_util::future::join_all(reads), wake);
    }
    finish(&cluster, load).await
}

async fn read(cluster: &Cluster, member: &Process, prefix: &str) {
    let invoked = cluster.history.now();
    let ask = Ask::List { prefix: prefix.to_owned(), barrier: true };
    if let Some(Answer::Listed { revision, records }) = member.ask(&ask).await {
        let what = What::List { prefix: prefix.to_owned(), revision, records, fresh: true };
        cluster.history.record(invoked, cluster.history.now(), what);
    }
}
