//! A member whose disk is damaged refuses to start and says what to do, or has everything: it never
//! starts with less, or with something else.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use kabuki_raft::{Store, StoreConfig, StoreError, Txn};

const TOPIC: &str = "/registry/core/configmaps/";
const CLUSTER: &str = "damaged";
/// Bits flipped in each file, spread over it, when `KABUKI_DAMAGED_FLIPS` does not say.
const FLIPS: u64 = 2;
const KEYS: u64 = 60;

fn config(dir: &Path) -> StoreConfig {
    let mut cfg = StoreConfig::new(dir, 1, CLUSTER);
    cfg.limits.snapshot_entries = 100;
    cfg.limits.kept_entries = 30;
    cfg
}

async fn open(dir: &Path) -> Result<Store, StoreError> {
    let store = Store::open(config(dir)).await?;
    store.initialize().await?;
    store.read_barrier().await?;
    Ok(store)
}

/// Revision, records, and every change that history still has.
type Content = (u64, Vec<(String, u64, Vec<u8>)>, Vec<(u64, String)>);

async fn content(store: &Store) -> Result<Content, StoreError> {
    let page = store.list("", None, 0);
    let record = |r: &std::sync::Arc<kabuki_raft::Record>| {
        (r.key.to_string(), r.mod_revision, r.value.to_vec())
    };
    let mut watch = store.watch("", store.compacted())?;
    let mut changes = Vec::new();
    while watch.progress() < page.revision {
        let events = watch.next().await?;
        changes.extend(events.iter().map(|e| (e.revision, e.record.key.to_string())));
    }
    Ok((page.revision, page.records.iter().map(record).collect(), changes))
}

/// A directory with a log, a state with files and a log of its own, and a snapshot.
async fn whole(dir: &Path) -> Content {
    let store = open(dir).await.unwrap();
    for n in 0..260 {
        let key = format!("{TOPIC}ns/{}", n % KEYS);
        let txn = if n % 7 == 6 { Txn::delete(key) } else { Txn::put(key, vec![n as u8; 300]) };
        store.write(txn).await.unwrap();
        if n == 150 {
            store.compact(store.revision() - 40).await.unwrap();
        }
    }
    // The newest revision is one that watches can tell of.
    store.write(Txn::put(format!("{TOPIC}ns/last"), "x")).await.unwrap();
    let content = content(&store).await.unwrap();
    store.shutdown().await;
    content
}

type Damage = Box<dyn Fn(&Path)>;

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if fs::metadata(&path).unwrap().len() > 0 {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Open a damaged directory; what it says when it refuses.
async fn examine(dir: &Path, what: &str, expected: &Content) -> Option<String> {
    let refusal = match open(dir).await {
        Err(StoreError::Open(text)) => text,
        Err(other) => panic!("{what}: {other}"),
        Ok(store) => {
            let found = content(&store).await;
            store.shutdown().await;
            match found {
                Ok(found) => {
                    assert!(found == *expected, "{what}: starts with something else");
                    return None;
                }
                Err(StoreError::Storage(text)) => text,
                Err(other) => panic!("{what}: {other}"),
            }
        }
    };
    let helps = refusal.contains("under a new id") || refusal.contains("right directory");
    assert!(helps, "{what}: does not say what to do: {refusal}");
    Some(refusal)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_are_refused_or_do_no_harm() {
    let home = tempfile::tempdir().unwrap();
    let good = home.path().join("good");
    let expected = whole(&good).await;
    let flips = std::env::var("KABUKI_DAMAGED_FLIPS").ok().and_then(|n| n.parse().ok());
    let flips: u64 = flips.unwrap_or(FLIPS);
    let (mut refused, mut healed) = (0, 0);
    for file in files(&good) {
        let name = file.strip_prefix(&good).unwrap().to_owned();
        let text = name.display().to_string();
        // RocksDB's diary for people, and copies of settings that are not read.
        if text.contains("LOG") || text.contains("OPTIONS") || text.ends_with("IDENTITY") {
            continue;
        }
        let size = fs::metadata(&file).unwrap().len();
        for n in 0..flips.min(size) {
            let bad = home.path().join("bad");
            copy(&good, &bad);
            let at = (size * n + size / 2) / flips.min(size);
            let damaged = File::options().read(true).write(true).open(bad.join(&name)).unwrap();
            let mut byte = [0];
            damaged.read_exact_at(&mut byte, at).unwrap();
            damaged.write_all_at(&[byte[0] ^ (1 << (n % 8))], at).unwrap();
            match examine(&bad, &format!("{text} byte {at}"), &expected).await {
                Some(_) => refused += 1,
                None => healed += 1,
            }
            fs::remove_dir_all(bad).unwrap();
        }
    }
    println!("{refused} refused, {healed} did no harm");
    assert!(refused > 0 && healed > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_and_cut_files_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let good = home.path().join("good");
    let expected = whole(&good).await;
    let state = fs::read_to_string(good.join("STATE")).unwrap();
    let remove = |path: &str| -> Damage {
        let path = path.to_owned();
        Box::new(move |dir| {
            let path = dir.join(&path);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
        })
    };
    let write = |path: &str, text: &str| -> Damage {
        let (path, text) = (path.to_owned(), text.to_owned());
        Box::new(move |dir| fs::write(dir.join(&path), &text).unwrap())
    };
    let cut = |folder: &str, ending: &'static str| -> Damage {
        let folder = folder.to_owned();
        Box::new(move |dir| {
            let all = files(&dir.join(&folder));
            let file = all.iter().find(|p| p.to_string_lossy().ends_with(ending)).unwrap();
            let size = fs::metadata(file).unwrap().len();
            File::options().write(true).open(file).unwrap().set_len(size / 2).unwrap();
        })
    };
    let foreign = r#"{"layout":1,"cluster_id":"damaged","member_id":7}"#;
    let cases: Vec<(&str, Damage, &str)> = vec![
        ("no log", remove("log"), "the raft log"),
        ("an empty log", remove("log/CURRENT"), "the raft log"),
        ("no state", remove(&state), "the state"),
        ("no pointer", remove("STATE"), "the state"),
        ("an empty state", remove(&format!("{state}/CURRENT")), "the state"),
        ("a pointer to nothing", write("STATE", "state-000077"), "the state"),
        ("a pointer of rubbish", write("STATE", "\u{1}\u{2}"), "the state"),
        ("no identity", remove("identity.json"), "identity.json"),
        ("half an identity", write("identity.json", "{\"lay"), "identity.json"),
        ("a foreign identity", write("identity.json", foreign), "member 7"),
        ("a cut file of the state", cut(&state, ".sst"), "the state"),
        ("a cut manifest", cut("log", "CURRENT"), "the raft log"),
    ];
    for (what, damage, named) in cases {
        let bad = home.path().join("bad");
        copy(&good, &bad);
        damage(&bad);
        let refusal = examine(&bad, what, &expected).await;
        let refusal = refusal.unwrap_or_else(|| panic!("{what}: starts"));
        assert!(refusal.contains(named), "{what}: {refusal}");
        // Nothing that is left was removed: a person may still save something.
        assert!(what.contains("state") || bad.join(state.trim()).is_dir(), "{what}: state removed");
        fs::remove_dir_all(bad).unwrap();
    }
    // A snapshot is a copy: without it, or with half of it, everything is there.
    for damage in [remove("snap"), cut("snap", ".sst"), cut("snap", "manifest.json")] {
        let bad = home.path().join("bad");
        copy(&good, &bad);
        damage(&bad);
        assert_eq!(examine(&bad, "snapshot", &expected).await, None);
        fs::remove_dir_all(bad).unwrap();
    }
}
