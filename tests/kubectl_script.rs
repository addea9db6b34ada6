//! The real kubectl, 1.27 and 1.33, against the real binary: scripts of every command that reads or
//! writes, with what kubectl prints when it talks to kube-apiserver.
//!
//! `kubectl_script/*.txt` are transcripts, below a heading: `$ ` begins a command of `sh` (`1.33$ ` one for that
//! version only), `> ` continues it, and what follows is its output, standard error included;
//! `1.27| ` begins a line that one version prints, `[1]` is an exit code other than 0. What changes
//! from run to run is replaced on both sides (see `normal.rs`), and columns are compared without
//! their width. The expected text comes from kubectl's and kube-apiserver's printers and messages.

mod support;

#[allow(dead_code, reason = "scripts need the server only, not its HTTP client")]
#[path = "access/server.rs"]
mod server;

#[path = "kubectl_script/normal.rs"]
mod normal;
#[path = "kubectl_script/script.rs"]
mod script;

use script::play;

/// Runs one script with every kubectl there is.
macro_rules! scripts {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            play(concat!(stringify!($name), ".txt"), include_str!(concat!("kubectl_script/", stringify!($name), ".txt")));
        }
    )*};
}

scripts!(create, get, describe, apply, patch, rollout, nodes, access, limits);
