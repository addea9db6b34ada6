//! The corpus the fuzz targets have grown, through the same functions: what once broke something, and
//! whatever reaches every branch, is tried again without a fuzzer.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use kabuki::join::JoinToken;
use kabuki_actors::{auth, link};
use kabuki_api::fuzzing as objects;
use kabuki_raft::fuzzing as store;
use kabuki_runtime::image::fuzzing as images;

/// Most files and bytes one target's corpus may have: it is minimised before it is committed.
const FILES_MAX: usize = 200;
const BYTES_MAX: u64 = 1024 * 1024;
/// The largest input of a corpus; a target makes none larger.
const INPUT_BYTES_MAX: usize = 64 * 1024;

fn corpus(target: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let list = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let files: Vec<PathBuf> = list.map(|e| e.expect("entry").path()).collect();
    let bytes: u64 = files.iter().map(|f| fs::metadata(f).expect("file").len()).sum();
    assert!(!files.is_empty(), "{target} has no corpus");
    assert!(files.len() <= FILES_MAX && bytes <= BYTES_MAX, "{target}: minimise the corpus");
    files
}

fn replay(target: &str, run: impl Fn(&[u8])) {
    let mut broken = Vec::new();
    for file in corpus(target) {
        let data = fs::read(&file).expect("file");
        assert!(data.len() <= INPUT_BYTES_MAX, "{}", file.display());
        if catch_unwind(AssertUnwindSafe(|| run(&data))).is_err() {
            broken.push(file.display().to_string());
        }
    }
    assert!(broken.is_empty(), "{target}:\n{}", broken.join("\n"));
}

fn token(data: &[u8]) {
    auth::fuzzing::bearer(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(token) = text.parse::<JoinToken>()
    {
        assert_eq!(token.to_string(), text.trim());
        assert!(!format!("{token:?}").contains(&token.secret));
    }
}

#[test]
fn objects_stand_their_corpus() {
    replay("request", objects::request);
    replay("patch", objects::patch);
    replay("selector", objects::selector);
    replay("quantity", objects::quantity);
    replay("cel", objects::cel);
}

#[test]
fn peers_and_nodes_stand_their_corpus() {
    replay("frames", store::frames);
    replay("log_entry", store::log_entry);
    replay("proposal", store::proposal);
    replay("link_header", link::fuzzing::header);
    replay("token", token);
}

#[test]
fn images_stand_their_corpus() {
    replay("manifest", images::manifest);
    if !nix::unistd::geteuid().is_root() {
        eprintln!("skipped: layers need root for owners and devices");
        return;
    }
    let dir = tempfile::tempdir().expect("directory");
    replay("layer", |data| images::layer(data, dir.path()));
}
