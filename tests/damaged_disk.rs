//! A member whose disk is damaged, at the command line: it ends at once with one line that says what
//! to do, and makes nothing worse.

mod support;

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use support::{cluster::KABUKI, eventually, process::Process};

/// How long a member may take to see that its disk is damaged.
const PATIENCE: &str = "20";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("port").local_addr().expect("address").port()
}

fn command(dir: &Path, wrapper: &[&str]) -> Command {
    let mut words = wrapper.iter().copied().chain([KABUKI]);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).args(["server", "--init", "--name=a", "--bind-address=127.0.0.1"]);
    command.arg(format!("--api-port={}", free_port()));
    command.arg(format!("--peer-port={}", free_port()));
    command.arg(format!("--data-dir={}", dir.display()));
    command
}

/// Runs a member until it has an object or two, then ends it.
fn member(dir: &Path, log: &Path) {
    let mut process = Process::start(command(dir, &[]), log);
    eventually("the member started", Duration::from_secs(30), || {
        let text = process.tail(50);
        let started = text.contains("member started") && dir.join("admin.kubeconfig").is_file();
        if started { Ok(()) } else { Err(text) }
    });
    // Its controllers write the first objects.
    std::thread::sleep(Duration::from_millis(700));
    process.stop();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("directory");
    for entry in fs::read_dir(from).expect("directory").map(|e| e.expect("entry").path()) {
        let target = to.join(entry.file_name().expect("name"));
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).expect("copy");
        }
    }
}

/// Every file below `dir` with its content, but for locks and RocksDB's own logs.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).into_iter().flatten().map(|e| e.expect("entry").path()) {
        let name = entry.file_name().expect("name").to_string_lossy().into_owned();
        if entry.is_dir() {
            all.extend(contents(&entry));
        } else if !name.starts_with("LOCK") && !name.starts_with("LOG") {
            all.insert(entry.clone(), fs::read(&entry).expect("file"));
        }
    }
    all
}

/// The one file of `dir` whose name begins so.
fn find(dir: &Path, begin: &str) -> PathBuf {
    let all = fs::read_dir(dir).expect("directory").map(|e| e.expect("entry").path());
    let fits = |p: &PathBuf| p.file_name().expect("name").to_string_lossy().starts_with(begin);
    all.filter(fits).max().unwrap_or_else(|| panic!("no {begin} in {}", dir.display()))
}

fn garble(path: &Path) {
    let mut bytes = fs::read(path).expect("file");
    let middle = bytes.len() / 2;
    bytes.iter_mut().skip(middle).take(64).for_each(|b| *b ^= 0xa5);
    fs::write(path, bytes).expect("file");
}

fn state_dir(dir: &Path) -> PathBuf {
    let name = fs::read_to_string(dir.join("store/STATE")).expect("pointer");
    dir.join("store").join(name.trim())
}

fn expired_authority(dir: &Path) {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::days(20);
    params.not_after = time::OffsetDateTime::now_utc() - time::Duration::days(10);
    let key = rcgen::KeyPair::generate().expect("key");
    let pki = dir.join("pki");
    fs::write(pki.join("ca.crt"), params.self_signed(&key).expect("certificate").pem())
        .expect("file");
    fs::write(pki.join("ca.key"), key.serialize_pem()).expect("file");
    for leaf in ["server.crt", "admin.crt"] {
        fs::remove_file(pki.join(leaf)).expect("file");
    }
}

/// What is done to a healthy directory, and words of what is said then.
type Damage = (&'static str, fn(&Path), &'static [&'static str]);

const CASES: &[Damage] = &[
    (
        "member.json is cut",
        |d| fs::write(d.join("member.json"), "{\"vers").unwrap(),
        &["member.json", "damaged", "restore"],
    ),
    (
        "member.json is empty",
        |d| fs::write(d.join("member.json"), "").unwrap(),
        &["member.json", "damaged", "restore"],
    ),
    (
        "member.json is no text",
        |d| fs::write(d.join("member.json"), [0xff; 64]).unwrap(),
        &["member.json", "damaged", "restore"],
    ),
    (
        "member.json is a directory",
        |d| {
            fs::remove_file(d.join("member.json")).unwrap();
            fs::create_dir(d.join("member.json")).unwrap();
        },
        &["member.json", "cannot access"],
    ),
    (
        "member.json is of a later release",
        |d| {
            let text = fs::read_to_string(d.join("member.json")).unwrap();
            fs::write(d.join("member.json"), text.replace("\"version\": 1", "\"version\": 99"))
                .unwrap();
        },
        &["newer"],
    ),
    (
        "member.json is missing",
        |d| fs::remove_file(d.join("member.json")).unwrap(),
        &["member.json", "missing", "restore"],
    ),
    (
        "another member's name",
        |d| {
            let text = fs::read_to_string(d.join("member.json")).unwrap();
            fs::write(d.join("member.json"), text.replace("\"a\"", "\"b\"")).unwrap();
        },
        &["belongs to member \"b\"", "--name"],
    ),
    (
        "pki is missing",
        |d| fs::remove_dir_all(d.join("pki")).unwrap(),
        &["no certificates", "restore"],
    ),
    (
        "ca.crt is garbled",
        |d| fs::write(d.join("pki/ca.crt"), "garbage").unwrap(),
        &["ca.crt", "damaged", "backup"],
    ),
    (
        "ca.key is missing",
        |d| fs::remove_file(d.join("pki/ca.key")).unwrap(),
        &["ca.key", "missing", "backup"],
    ),
    (
        "ca.key is empty",
        |d| fs::write(d.join("pki/ca.key"), "").unwrap(),
        &["ca.crt", "with its key", "backup"],
    ),
    (
        "peer-ca.crt is garbled",
        |d| garble(&d.join("pki/peer-ca.crt")),
        &["peer-ca.crt", "damaged", "backup"],
    ),
    (
        "sa.key is garbled",
        |d| fs::write(d.join("pki/sa.key"), "x").unwrap(),
        &["sa.key", "damaged", "backup"],
    ),
    (
        "the authority is another cluster's",
        |d| {
            let other = kabuki::pki::Authority::create("kabuki-ca").unwrap();
            fs::write(d.join("pki/ca.crt"), other.cert_pem()).unwrap();
            fs::write(d.join("pki/ca.key"), other.key_pem()).unwrap();
        },
        &["ca.crt", "another cluster"],
    ),
    ("the authority has expired", expired_authority, &["ca.crt", "expired on"]),
    (
        "the store is missing",
        |d| fs::remove_dir_all(d.join("store")).unwrap(),
        &["store", "missing", "join it again"],
    ),
    (
        "the store is another member's",
        |d| {
            let path = d.join("store/identity.json");
            let text = fs::read_to_string(&path).unwrap();
            fs::write(&path, text.replace("\"member_id\":", "\"member_id\":1")).unwrap();
        },
        &["belongs to member"],
    ),
    (
        "identity.json is cut",
        |d| fs::write(d.join("store/identity.json"), "{").unwrap(),
        &["identity.json", "join it again"],
    ),
    (
        "the log is missing",
        |d| fs::remove_dir_all(d.join("store/log")).unwrap(),
        &["log", "missing", "join it again"],
    ),
    (
        "the log has no CURRENT",
        |d| fs::remove_file(d.join("store/log/CURRENT")).unwrap(),
        &["log", "join it again"],
    ),
    (
        "the log's manifest is garbled",
        |d| garble(&find(&d.join("store/log"), "MANIFEST")),
        &["log", "join it again"],
    ),
    (
        "STATE names nothing",
        |d| fs::write(d.join("store/STATE"), "nonsense").unwrap(),
        &["the state in", "join it again"],
    ),
    (
        "STATE is missing",
        |d| fs::remove_file(d.join("store/STATE")).unwrap(),
        &["the state in", "join it again"],
    ),
    (
        "the state has no CURRENT",
        |d| {
            fs::remove_file(state_dir(d).join("CURRENT")).unwrap();
        },
        &["state", "join it again"],
    ),
    (
        "the state's manifest is garbled",
        |d| garble(&find(&state_dir(d), "MANIFEST")),
        &["state", "join it again"],
    ),
    (
        "the store is a file",
        |d| {
            fs::remove_dir_all(d.join("store")).unwrap();
            fs::write(d.join("store"), "x").unwrap();
        },
        &["store"],
    ),
];

/// Standard error without what is logged.
fn said(output: &Output) -> Vec<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    text.lines()
        .filter(|l| !l.contains(" INFO ") && !l.contains(" WARN "))
        .map(String::from)
        .collect()
}

fn check(name: &str, dir: &Path, words: &[&str]) {
    let before = contents(dir);
    let output = command(dir, &["timeout", PATIENCE]).output().expect("kabuki");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{name}: it must end with an error: {said:?}");
    assert_eq!(said.len(), 1, "{name}: one line: {said:?}");
    assert!(said[0].starts_with("kabuki: "), "{name}: {said:?}");
    for word in words {
        assert!(said[0].contains(word), "{name}: {word:?} in {said:?}");
    }
    println!("{name}: {}", said[0]);
    let after = contents(dir);
    // A database that is opened moves its own write-ahead log on; nothing else may change.
    let of_rocksdb = |p: &Path| {
        p.strip_prefix(dir.join("store")).is_ok_and(|rest| rest.components().count() > 1)
    };
    for (path, bytes) in &before {
        assert!(
            of_rocksdb(path) || after.get(path) == Some(bytes),
            "{name}: {} was changed",
            path.display()
        );
    }
    let new: Vec<_> = after.keys().filter(|p| !before.contains_key(*p) && !of_rocksdb(p)).collect();
    assert!(new.is_empty(), "{name}: {new:?} were made");
}

#[test]
fn damage_is_named_and_left_alone() {
    let base = tempfile::tempdir().expect("directory");
    let healthy = base.path().join("healthy");
    member(&healthy, &base.path().join("log"));
    for (index, (name, damage, words)) in CASES.iter().enumerate() {
        let dir = base.path().join(format!("case-{index}"));
        copy(&healthy, &dir);
        damage(&dir);
        check(name, &dir, words);
        fs::remove_dir_all(&dir).expect("remove");
    }
    // The table means something only if the healthy directory still starts.
    member(&healthy, &base.path().join("log-again"));
}

#[test]
fn a_directory_in_use_is_refused() {
    let base = tempfile::tempdir().expect("directory");
    let dir = base.path().join("a");
    let process = Process::start(command(&dir, &[]), &base.path().join("log"));
    eventually("the member started", Duration::from_secs(30), || {
        let text = process.tail(50);
        if text.contains("member started") { Ok(()) } else { Err(text) }
    });
    let output = command(&dir, &["timeout", PATIENCE]).output().expect("kabuki");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said:?}");
    assert!(said.len() == 1 && said[0].contains("in use"), "{said:?}");
}

#[test]
fn a_data_directory_that_is_no_directory() {
    let base = tempfile::tempdir().expect("directory");
    let file = base.path().join("file");
    fs::write(&file, "mine").expect("file");
    let output = command(&file, &["timeout", PATIENCE]).output().expect("kabuki");
    let said = said(&output);
    assert_eq!(output.status.code(), Some(1), "{said:?}");
    assert!(said.len() == 1 && said[0].contains("data directory"), "{said:?}");
    assert_eq!(fs::read_to_string(&file).expect("file"), "mine");
}
