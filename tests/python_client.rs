//! The Python client from PyPI against the real binary: typed and dynamic, as
//! `python_client/client.py` says step by step.

mod support;

#[allow(dead_code, reason = "the script needs the server only, not its HTTP client")]
#[path = "access/server.rs"]
mod server;

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use server::Server;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python_client/client.py");

/// Runs a program to its end: what it printed, when it was content.
fn run(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|e| format!("{}: {e}", program.display()))?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() { Ok(text) } else { Err(text) }
}

/// A Python that has the client: this machine's, or one in `dir` that gets it from PyPI.
fn python(dir: &Path) -> Result<PathBuf, String> {
    let system = PathBuf::from("python3");
    if run(&system, &["-c", "import kubernetes.dynamic"]).is_ok() {
        return Ok(system);
    }
    let venv = dir.join("venv");
    run(&system, &["-m", "venv", &venv.display().to_string()])?;
    let python = venv.join("bin/python");
    run(
        &python,
        &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "kubernetes"],
    )?;
    Ok(python)
}

#[test]
fn the_python_client_does_its_work() {
    let dir = tempfile::tempdir().expect("directory");
    let python = match python(dir.path()) {
        Ok(python) => python,
        Err(why) => {
            eprintln!("skipped: the Python client cannot be installed here: {why}");
            return;
        }
    };
    let server = Server::start(|_| {}, &[]);
    let kubeconfig = server.path("data/admin.kubeconfig").display().to_string();
    let said = run(&python, &[SCRIPT, &kubeconfig]).unwrap_or_else(|said| panic!("{said}"));
    assert!(said.ends_with("every step passed\n"), "{said}");
}
