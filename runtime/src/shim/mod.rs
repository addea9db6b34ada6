//! The shim: one small process per pod that is the parent of its containers. It holds their output,
//! their exit codes and their deadlines, and needs no daemon to go on.
//!
//! One thread and one `poll` loop: the shim forks helpers that call libcontainer, and only a process
//! with a single thread may fork and go on running Rust. As the only one that reaps, it may also
//! name its children by pid: a pid is not reused before its parent has reaped it.

mod calls;
mod client;
mod container;
mod exec;
mod helper;
mod log;
pub(crate) mod protocol;
mod reap;
mod sandbox;
mod server;
pub(crate) mod state;

use std::{
    fs,
    io::Write,
    os::{fd::AsRawFd, unix::net::UnixListener},
    path::Path,
};

pub(crate) use log::rotated;
use nix::sys::signal::Signal;
use protocol::PodPlan;

use crate::{
    error::{Error, Result},
    files, paths, sys,
};

/// Shims are killed for memory last: their containers would follow.
const OOM_SCORE_ADJ: &str = "-998";
/// What a shim that is ready prints; anything else is the reason why it is not.
pub(crate) const READY: &str = "ready";

/// Entry of `kabuki shim --pod <run directory of the pod>`; answers the exit code.
pub(crate) fn main(args: &[String]) -> i32 {
    let [flag, dir] = args else {
        eprintln!("usage: shim --pod DIRECTORY (started by the daemon, not by hand)");
        return 2;
    };
    if flag != "--pod" {
        eprintln!("unknown argument {flag}; usage: shim --pod DIRECTORY");
        return 2;
    }
    match start(Path::new(dir)) {
        Ok(server) => {
            report(READY);
            server.run()
        }
        Err(e) => {
            report(&e.to_string());
            1
        }
    }
}

/// Tells the daemon on standard output, then lets go of the pipe.
fn report(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
    if let Ok(null) = fs::File::open("/dev/null") {
        let _ = nix::unistd::dup2_stdout(null);
    }
}

fn start(dir: &Path) -> Result<server::Server> {
    sys::close_other_fds(&[]);
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    let _ = nix::sys::prctl::set_child_subreaper(true);
    let _ = nix::sys::prctl::set_name(c"kabuki-shim");
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGTERM, Signal::SIGPIPE] {
        sys::ignore_signal(signal);
    }
    let _ = fs::write("/proc/self/oom_score_adj", OOM_SCORE_ADJ);
    let plan: PodPlan = files::read_json(&dir.join("plan.json"))?;
    let pause = sandbox::prepare(&plan)?;
    let run = fs::File::open(dir).map_err(Error::file("cannot open", dir))?;
    files::remove_file(&plan.paths.socket())?;
    let listener = UnixListener::bind(paths::short_socket_path(&run, paths::SOCKET))
        .map_err(Error::file("cannot listen on", plan.paths.socket()))?;
    listener.set_nonblocking(true).map_err(Error::system("cannot set up the socket"))?;
    debug_assert!(listener.as_raw_fd() > 2);
    server::Server::new(plan, listener, pause)
}
