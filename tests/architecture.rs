//! The arrows of ARCHITECTURE.md: who may import whom, and which names stay inside one crate.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("directory").map(|e| e.expect("entry").path()) {
        if entry.is_dir() {
            found.extend(sources(&entry));
        } else if entry.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&entry).expect("source");
            found.push((entry, text));
        }
    }
    found
}

/// Code lines only: a comment may name what code may not.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"))
}

fn is_test(file: &Path) -> bool {
    file.components().any(|c| c.as_os_str() == "tests")
        || file.file_stem().is_some_and(|s| s.to_string_lossy().ends_with("tests"))
}

fn dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).expect("manifest");
    let section = text.split("[dependencies]").nth(1).expect("dependencies");
    let end = section.find("\n[").unwrap_or(section.len());
    section[..end]
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| name.starts_with("kabuki-"))
        .map(String::from)
        .collect()
}

#[test]
fn crates_import_only_downwards() {
    for (manifest, allowed) in [
        ("api/Cargo.toml", &[][..]),
        ("raft/Cargo.toml", &[]),
        ("runtime/Cargo.toml", &[]),
        ("actors/Cargo.toml", &["kabuki-api", "kabuki-raft", "kabuki-runtime"]),
        ("Cargo.toml", &["kabuki-api", "kabuki-raft", "kabuki-runtime", "kabuki-actors"]),
    ] {
        for found in dependencies(manifest) {
            assert!(allowed.contains(&found.as_str()), "{manifest} must not depend on {found}");
        }
    }
}

#[test]
fn names_stay_in_their_crate() {
    let rules: &[(&[&str], &[&str])] = &[
        (&["openraft::", "rocksdb::"], &["api/src", "actors/src", "runtime/src", "src"]),
        (
            &[
                "libcontainer::",
                "libcgroups::",
                "rtnetlink::",
                "netlink_packet_route::",
                "nftables::",
            ],
            &["api/src", "raft/src", "actors/src", "src"],
        ),
        (
            &["k8s_openapi", "kabuki_api", "kabuki_raft", "kabuki_runtime", "kube::"],
            &["actors/src/kernel"],
        ),
        (&["actix", "kabuki_actors::", "tokio::net", "std::net::Tcp"], &["api/src"]),
        // The store reads no wall clock, so a clock that jumps cannot hurt it.
        (&["SystemTime"], &["raft/src"]),
        (
            &["kabuki_runtime", "tokio::net", "std::net::Tcp"],
            &["actors/src/controllers", "actors/src/scheduler", "actors/src/registry"],
        ),
    ];
    for (names, dirs) in rules {
        for dir in *dirs {
            let path = root().join(dir);
            if !path.is_dir() {
                continue;
            }
            // Tests may stand in for the other side.
            for (file, text) in sources(&path).into_iter().filter(|(f, _)| !is_test(f)) {
                for line in code(&text) {
                    for name in *names {
                        assert!(!line.contains(name), "{}: {name}: {line}", file.display());
                    }
                }
            }
        }
    }
}

#[test]
fn unsafe_stays_in_the_runtime() {
    for dir in ["api/src", "raft/src", "actors/src", "src"] {
        for (file, text) in sources(&root().join(dir)) {
            for line in code(&text) {
                assert!(!line.contains("unsafe {"), "{}: {line}", file.display());
            }
        }
    }
}

#[test]
fn files_stay_readable() {
    const LINES_MAX: usize = 500;
    for dir in ["api/src", "raft/src", "actors/src", "runtime/src", "src"] {
        for (file, text) in sources(&root().join(dir)) {
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{} has {lines} lines", file.display());
        }
    }
}
