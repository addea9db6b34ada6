//! Reads a transcript, runs its commands and compares.

use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{normal, server::Server};

/// The versions the scripts are written for.
const VERSIONS: [&str; 2] = ["1.27", "1.33"];

/// One command and what it prints.
#[derive(Debug, Default)]
struct Step {
    /// The only version it is for.
    version: Option<String>,
    command: String,
    expected: Vec<String>,
}

/// A line that is for one version only: the version and the rest.
fn for_version<'a>(line: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    VERSIONS.iter().find_map(|v| Some((*v, line.strip_prefix(v)?.strip_prefix(mark)?)))
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        let own = for_version(line, "$ ");
        if let Some(command) = line.strip_prefix("$ ").or(own.map(|(_, command)| command)) {
            let version = own.map(|(version, _)| version.to_owned());
            steps.push(Step { version, command: command.to_owned(), expected: Vec::new() });
            continue;
        }
        let Some(step) = steps.last_mut() else { continue };
        match line.strip_prefix("> ").or((line == ">").then_some("")) {
            Some(more) => {
                step.command.push('\n');
                step.command.push_str(more);
            }
            None => step.expected.push(line.to_owned()),
        }
    }
    steps
}

/// What a step should print with `version`, comparable.
fn expected(step: &Step, version: &str) -> String {
    let lines = step.expected.iter().filter_map(|line| match for_version(line, "|") {
        Some((of, rest)) => (of == version).then(|| rest.strip_prefix(' ').unwrap_or(rest)),
        None => Some(line.as_str()),
    });
    comparable(lines)
}

fn comparable<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let lines: Vec<String> = lines.map(normal::line).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

/// The two kubectls beside the one on PATH.
fn kubectls() -> Vec<(&'static str, PathBuf)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|d| d.join("kubectl")).find(|p| p.is_file());
    let Some(real) = found.and_then(|p| std::fs::canonicalize(p).ok()) else {
        eprintln!("skipped: there is no kubectl on PATH");
        return Vec::new();
    };
    let versions = VERSIONS.map(|v| (v, real.with_file_name(format!("kubectl.{v}"))));
    let (here, missing): (Vec<_>, Vec<_>) = versions.into_iter().partition(|(_, p)| p.is_file());
    for (version, _) in missing {
        eprintln!("skipped: there is no kubectl.{version} beside {}", real.display());
    }
    here
}

/// Plays a script with each kubectl on a server of its own.
///
/// # Panics
/// With every difference.
pub fn play(name: &str, text: &str) {
    let steps = steps(text);
    assert!(steps.len() > 5, "{name} is empty");
    let differences: Vec<String> = std::thread::scope(|scope| {
        let steps = &steps;
        let runs: Vec<_> = kubectls()
            .into_iter()
            .map(|(version, program)| scope.spawn(move || with(steps, version, &program)))
            .collect();
        runs.into_iter().flat_map(|run| run.join().expect("a run")).collect()
    });
    assert!(differences.is_empty(), "{name}:\n{}", differences.join("\n"));
}

fn with(steps: &[Step], version: &str, program: &Path) -> Vec<String> {
    let server = Server::start(|_| {}, &[]);
    let home = server.path("home");
    std::fs::create_dir_all(&home).expect("home");
    symlink(program, home.join("kubectl")).expect("link");
    let run = |command: &str| run(&server, &home, command);
    // As every controller manager does soon after its start.
    run("for i in $(seq 100); do kubectl get sa default && break; sleep 0.1; done");
    let mine = steps.iter().filter(|s| s.version.as_deref().is_none_or(|v| v == version));
    mine.filter_map(|step| {
        let (want, got) = (expected(step, version), run(&step.command));
        (want != got).then(|| {
            format!("--- kubectl {version}\n$ {}\n--- want\n{want}\n--- got\n{got}\n", step.command)
        })
    })
    .collect()
}

/// Runs a command in `home`, with kubectl first on its PATH.
fn run(server: &Server, home: &Path, command: &str) -> String {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = [home.to_path_buf()].into_iter().chain(std::env::split_paths(&path));
    let output = Command::new("sh")
        .args(["-c", &format!("exec 2>&1\n{command}\n")])
        .current_dir(home)
        .env("PATH", std::env::join_paths(path).expect("PATH"))
        .env("HOME", home)
        .env("TZ", "UTC")
        .env("KUBECONFIG", server.path("data/admin.kubeconfig"))
        .env_remove("KUBECACHEDIR")
        .stdin(Stdio::null())
        .output()
        .expect("sh");
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        text.push_str(&format!("\n[{}]", output.status.code().unwrap_or(-1)));
    }
    comparable(text.replace("\n\n[", "\n[").lines())
}
