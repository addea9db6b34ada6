//! What a crash or a bad disk does to a member's files.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::rng::Rng;

/// Size of a member's own disk.
const DISK_BYTES: &str = "size=256m";
/// Most bytes of garbage put in place of what was not synced.
const GARBAGE: u64 = 4096;

fn files(dir: &Path, fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let mut found: Vec<_> = entries
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().and_then(|n| n.to_str()).is_some_and(&fits))
        .collect();
    found.sort();
    found
}

/// The directory of the state in use.
pub fn state_dir(data: &Path) -> Option<PathBuf> {
    let name = fs::read_to_string(data.join("STATE")).ok()?;
    Some(data.join(name.trim()))
}

/// What power loss leaves: of each database's newest log some part of what was never synced is
/// gone or is garbage. Tells what was done.
pub fn lose_unsynced(data: &Path, rng: &mut Rng) -> String {
    let mut told = Vec::new();
    for dir in [Some(data.join("log")), state_dir(data)].into_iter().flatten() {
        let Ok(mark) = fs::read_to_string(dir.with_extension("synced")) else { continue };
        let mut words = mark.split_whitespace();
        let (name, synced) = (words.next().unwrap(), words.next().unwrap());
        let synced: u64 = synced.parse().unwrap();
        let logs = files(&dir, |n| n.ends_with(".log"));
        let Some(newest) = logs.last() else { continue };
        let size = fs::metadata(newest).unwrap().len();
        // A log begun after the last sync has nothing that is synced.
        let same = newest.file_name().is_some_and(|n| n == name);
        let keep = if same { synced } else { 0 };
        if size <= keep {
            continue;
        }
        let cut = if rng.percent(50) { keep } else { rng.range(keep..size) };
        let file = File::options().write(true).open(newest).unwrap();
        file.set_len(cut).unwrap();
        let mut garbage = 0;
        if rng.percent(50) {
            garbage = rng.range(1..GARBAGE.min(size - keep) + 1);
            let bytes: Vec<u8> = (0..garbage).map(|_| rng.next() as u8).collect();
            file.write_all_at(&bytes, cut).unwrap();
        }
        told.push(format!("{} {size} -> {cut}+{garbage}", dir.file_name().unwrap().display()));
    }
    told.join(", ")
}

/// Where a bit can be flipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Log,
    State,
    Snapshot,
    Names,
}

/// Flip one bit of one file; tells which.
pub fn flip(data: &Path, part: Part, rng: &mut Rng) -> Option<String> {
    let database = |n: &str| {
        n.ends_with(".log") || n.ends_with(".sst") || n.starts_with("MANIFEST") || n == "CURRENT"
    };
    let candidates: Vec<PathBuf> = match part {
        Part::Log => files(&data.join("log"), database),
        Part::State => files(&state_dir(data)?, database),
        Part::Snapshot => {
            let homes = files(&data.join("snap"), |_| true);
            homes
                .iter()
                .flat_map(|h| {
                    let mut all = files(&h.join("db"), database);
                    all.extend(files(h, |n| n == "manifest.json"));
                    all
                })
                .collect()
        }
        Part::Names => files(data, |n| n == "STATE" || n == "identity.json"),
    };
    let candidates: Vec<_> =
        candidates.into_iter().filter(|p| fs::metadata(p).is_ok_and(|m| m.len() > 0)).collect();
    if candidates.is_empty() {
        return None;
    }
    let path = &candidates[rng.index(candidates.len())];
    let at = rng.range(0..fs::metadata(path).unwrap().len());
    flip_at(path, at, rng.range(0..8) as u8);
    Some(format!("{} byte {at}", path.strip_prefix(data).unwrap().display()))
}

pub fn flip_at(path: &Path, at: u64, bit: u8) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], at).unwrap();
}

/// Mount a small disk. Only in a process with mounts of its own.
pub fn mount(dir: &Path) {
    let done =
        Command::new("mount").args(["-t", "tmpfs", "-o", DISK_BYTES, "kabuki"]).arg(dir).status();
    assert!(done.is_ok_and(|s| s.success()), "cannot mount a small disk");
}

pub fn unmount(dir: &Path) {
    // What is still open keeps it until the process ends.
    Command::new("umount").arg("-l").arg(dir).status().ok();
}

/// Fill a small disk to its last byte; the file is to be removed afterwards.
pub fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("filler");
    let file = File::create(&path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let piece = vec![7u8; size];
        let mut at = fs::metadata(&path).unwrap().len();
        while file.write_all_at(&piece, at).is_ok() {
            at += size as u64;
        }
    }
    path
}
