//! One member: transactions, history, watches, compaction, restart.

use std::time::Duration;

use kabuki_raft::{EventKind, Limits, Store, StoreConfig, StoreError, Txn, TxnOutcome, Watch};

const TOPIC: &str = "/registry/core/pods/";

fn key(name: &str) -> String {
    format!("{TOPIC}default/{name}")
}

async fn put(store: &Store, name: &str, value: &str) -> u64 {
    match store.write(Txn::put(key(name), value.to_owned())).await.unwrap() {
        TxnOutcome::Committed { revision, .. } => revision,
        other => panic!("{other:?}"),
    }
}

async fn open(dir: &std::path::Path, limits: Limits) -> Store {
    let mut cfg = StoreConfig::new(dir, 1, "test");
    cfg.limits = limits;
    let store = Store::open(cfg).await.unwrap();
    store.initialize().await.unwrap();
    store
}

async fn collect(watch: &mut Watch, count: usize) -> Vec<(u64, EventKind, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let events = tokio::time::timeout(Duration::from_secs(5), watch.next()).await.unwrap();
        for event in events.unwrap() {
            let value = String::from_utf8(event.record.value.to_vec()).unwrap();
            assert_eq!(event.record.mod_revision, event.revision);
            seen.push((event.revision, event.kind, value));
        }
    }
    seen
}

#[tokio::test]
async fn transactions_compare_then_write() {
    let dir = tempfile::tempdir().unwrap();
    let begun = std::time::Instant::now();
    let store = Store::open_single(dir.path()).await.unwrap();
    println!("start to leading: {:?}", begun.elapsed());
    assert_eq!(store.revision(), 1);
    assert!(store.leadership().borrow().is_local);

    let created = store.write(Txn::put(key("a"), "1").when(key("a"), 0)).await.unwrap();
    assert_eq!(created, TxnOutcome::Committed { revision: 2, revisions: vec![2] });
    let again = store.write(Txn::put(key("a"), "1").when(key("a"), 0)).await.unwrap();
    assert_eq!(again, TxnOutcome::Conflict { key: key("a"), current: 2 });

    let mut both = Txn::put(key("b"), "2").when(key("a"), 2);
    both.ops.extend(Txn::delete(key("a")).ops);
    let done = store.write(both).await.unwrap();
    assert_eq!(done, TxnOutcome::Committed { revision: 4, revisions: vec![3, 4] });
    assert!(store.get(&key("a")).is_none());
    let b = store.get(&key("b")).unwrap();
    assert_eq!((b.create_revision, b.mod_revision, &b.value[..]), (3, 3, &b"2"[..]));

    // Nothing of a transaction happens when one condition fails.
    let failed = store.write(Txn::put(key("c"), "3").when(key("b"), 99)).await.unwrap();
    assert_eq!(failed, TxnOutcome::Conflict { key: key("b"), current: 3 });
    assert!(store.get(&key("c")).is_none());
    assert_eq!(store.read_barrier().await.unwrap(), 4);

    let term = store.leadership().borrow().term;
    assert!(store.write(Txn::put(key("d"), "4").fenced(term)).await.is_ok());
    let error = store.write(Txn::put(key("d"), "5").fenced(term + 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::NotLeader { .. }), "{error}");
    store.shutdown().await;
    assert_eq!(store.write(Txn::put(key("e"), "6")).await.unwrap_err(), StoreError::Closed);
}

#[tokio::test]
async fn history_and_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_single(dir.path()).await.unwrap();
    for name in ["a", "b", "c"] {
        put(&store, name, "old").await;
    }
    put(&store, "b", "new").await;
    store.write(Txn::delete(key("c"))).await.unwrap();
    let names = |records: &[std::sync::Arc<kabuki_raft::Record>]| -> Vec<String> {
        records
            .iter()
            .map(|r| format!("{}={}", &r.key[TOPIC.len()..], String::from_utf8_lossy(&r.value)))
            .collect()
    };
    let now = store.list(TOPIC, None, 0);
    assert_eq!(names(&now.records), ["default/a=old", "default/b=new"]);
    assert_eq!(now.revision, 6);
    let then = store.list_at(TOPIC, 4, None, 0).await.unwrap();
    assert_eq!(names(&then.records), ["default/a=old", "default/b=old", "default/c=old"]);
    let page = store.list_at(TOPIC, 4, None, 1).await.unwrap();
    assert_eq!((names(&page.records).len(), page.more, page.remaining), (1, true, 2));
    let rest = store.list_at(TOPIC, 4, Some(&page.records[0].key), 0).await.unwrap();
    assert_eq!(names(&rest.records), ["default/b=old", "default/c=old"]);
    let before = store.list_at(TOPIC, 1, None, 0).await.unwrap();
    assert!(before.records.is_empty());
    let error = store.list_at(TOPIC, 7, None, 0).await.unwrap_err();
    assert_eq!(error, StoreError::FutureRevision { requested: 7, current: 6 });

    store.compact(5).await.unwrap();
    let error = store.list_at(TOPIC, 4, None, 0).await.unwrap_err();
    assert_eq!(error, StoreError::Compacted { requested: 4, compacted: 5 });
    let kept = store.list_at(TOPIC, 5, None, 0).await.unwrap();
    assert_eq!(names(&kept.records), ["default/a=old", "default/b=new", "default/c=old"]);
    assert!(matches!(store.watch(TOPIC, 4), Err(StoreError::Compacted { .. })));
    let mut watch = store.watch(TOPIC, 5).unwrap();
    assert_eq!(collect(&mut watch, 1).await, [(6, EventKind::Delete, "old".to_owned())]);
    assert!(store.compact(3).await.is_err());
    assert!(store.compact(99).await.is_err());
}

#[tokio::test]
async fn watches_cross_from_disk_to_memory_without_gap_or_duplicate() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Limits { ring_events: 4, ..Limits::default() }).await;
    let mut watch = store.watch(TOPIC, 1).unwrap();
    for n in 0..600 {
        put(&store, &format!("n{}", n % 7), &n.to_string()).await;
        if n % 50 == 0 {
            store.write(Txn::put("/registry/core/nodes/x", "other")).await.unwrap();
        }
    }
    let deleted = store.write(Txn::delete(key("n3"))).await.unwrap();
    let TxnOutcome::Committed { revision: last, .. } = deleted else { panic!("{deleted:?}") };
    let seen = collect(&mut watch, 601).await;
    let values: Vec<_> = seen.iter().take(600).map(|(.., v)| v.parse::<u32>().unwrap()).collect();
    assert_eq!(values, (0..600).collect::<Vec<_>>());
    assert_eq!(seen[600].0, last);
    assert_eq!(seen[600].1, EventKind::Delete);
    assert!(seen.windows(2).all(|w| w[0].0 < w[1].0));
    assert_eq!(watch.progress(), last);

    // Resuming anywhere continues exactly behind the point that was given.
    for resume in [2, seen[100].0, seen[598].0, last - 1] {
        let mut watch = store.watch(TOPIC, resume).unwrap();
        let expected: Vec<_> = seen.iter().filter(|(r, ..)| *r > resume).cloned().collect();
        assert_eq!(collect(&mut watch, expected.len()).await, expected);
    }
    // Nothing in the topic, but the clock moves: progress says so, and next keeps waiting.
    let other = store.write(Txn::put("/registry/core/nodes/x", "again")).await.unwrap();
    let TxnOutcome::Committed { revision: other, .. } = other else { panic!("{other:?}") };
    assert_eq!(watch.progress(), other);
    let waits = tokio::time::timeout(Duration::from_millis(50), watch.next()).await;
    assert!(waits.is_err());
    put(&store, "late", "x").await;
    assert_eq!(collect(&mut watch, 1).await[0].2, "x");
}

#[tokio::test]
async fn a_restart_keeps_records_history_and_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot_entries: 20, kept_entries: 5, ..Limits::default() };
    let mut last = 0;
    for round in 0..3 {
        let store = open(dir.path(), limits.clone()).await;
        assert!(store.revision() >= last);
        for n in 0..60 {
            let revision = put(&store, &format!("n{}", n % 5), &format!("{round}-{n}")).await;
            assert!(revision > last, "{revision} after {last}");
            last = revision;
        }
        let value = store.get(&key("n4")).unwrap().value.clone();
        assert_eq!(&value[..], format!("{round}-59").as_bytes());
        store.shutdown().await;
    }
    let store = open(dir.path(), limits).await;
    let mut watch = store.watch(TOPIC, 1).unwrap();
    assert_eq!(collect(&mut watch, 180).await.len(), 180);
    assert!(store.status().purged_index.is_some(), "{:?}", store.status());
}

#[tokio::test]
async fn old_history_goes_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits {
        history_revisions: 10,
        compact_every: Duration::from_millis(20),
        ..Limits::default()
    };
    let store = open(dir.path(), limits).await;
    for n in 0..100 {
        put(&store, "a", &n.to_string()).await;
    }
    for _ in 0..250 {
        if store.compacted() >= 91 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.compacted() >= 91, "{}", store.compacted());
    let oldest = store.list_at(TOPIC, store.compacted(), None, 0).await.unwrap();
    assert_eq!(oldest.records.len(), 1);
}

#[tokio::test]
async fn a_log_of_large_entries_is_bounded_by_its_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { snapshot_bytes: 4 * 1024 * 1024, ..Limits::default() };
    let store = open(dir.path(), limits).await;
    let value = "v".repeat(100_000);
    for _ in 0..300 {
        put(&store, "large", &value).await;
    }
    for _ in 0..250 {
        if store.status().purged_index.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.status().purged_index.is_some(), "{:?}", store.status());
}

#[tokio::test]
async fn a_damaged_log_is_refused_with_a_clear_message() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path(), Limits::default()).await;
    for n in 0..50 {
        put(&store, "a", &"v".repeat(1000 + n)).await;
    }
    store.shutdown().await;
    drop(store);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let wal = std::fs::read_dir(dir.path().join("log"))
        .unwrap()
        .filter_map(|e| Some(e.ok()?.path()))
        .filter(|p| p.extension().is_some_and(|e| e == "log" || e == "sst"))
        .max_by_key(|p| std::fs::metadata(p).unwrap().len())
        .unwrap();
    let mut bytes = std::fs::read(&wal).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&wal, bytes).unwrap();
    let error = Store::open(StoreConfig::new(dir.path(), 1, "test")).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("join it again"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_writers_are_gathered_and_each_gets_its_own_revision() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open_single(dir.path()).await.unwrap();
    let writers: Vec<_> = (0..64)
        .map(|w| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut revisions = Vec::new();
                for n in 0..20 {
                    revisions.push(put(&store, &format!("w{w}"), &n.to_string()).await);
                }
                revisions
            })
        })
        .collect();
    let mut all = Vec::new();
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (2..2 + 64 * 20).collect::<Vec<_>>());
    let entries = store.status().last_log_index.unwrap();
    assert!(entries < 64 * 20, "writes were not gathered: {entries} entries");
}
