//! The command line: one file per subcommand, dispatch here.

mod actors;
mod client;
mod daemon;
mod duration;
mod image;
mod member;
mod node;
mod options;
mod reset;
mod server;
mod snapshot;
mod token;
mod up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use options::{ClusterOptions, MemberOptions, NodeOptions, instance_suffix};

/// Exit status when the command failed for a reason the message tells.
const EXIT_FAILURE: u8 = 1;

/// Kubernetes in one binary, played by actors.
#[derive(Debug, Parser)]
#[command(name = "kabuki", version, about, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a whole cluster in this process: control plane and node.
    Up(up::UpArgs),
    /// Start a control-plane member: the first of a cluster or one that joins it.
    Server(server::ServerArgs),
    /// Start a worker node that joins a cluster.
    Node(node::NodeArgs),
    /// Create, list and delete join tokens.
    Token(token::TokenArgs),
    /// Show the members of the control plane, remove one, or hand leadership over.
    Member(member::MemberArgs),
    /// Save the state of a cluster to a file, restore a new cluster from it, or check it.
    Snapshot(snapshot::SnapshotArgs),
    /// Look into the actors of a running cluster.
    Actors(actors::ActorsArgs),
    /// Manage the container images of this node.
    Image(image::ImageArgs),
    /// Stop every pod of a stopped node on this machine and remove what they left.
    Reset(reset::ResetArgs),
}

/// Runs the program: shim and container helpers first, which must stay single-threaded, then the
/// command line.
pub fn main() -> ExitCode {
    let args: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let words: Vec<String> = args.iter().map(|a| a.to_string_lossy().into_owned()).collect();
    if let Some(code) = kabuki_runtime::reexec::main_if_shim(&words) {
        return ExitCode::from(u8::try_from(code).unwrap_or(EXIT_FAILURE));
    }
    let args = match crate::config::expand_config(args) {
        Ok(args) => args,
        Err(error) => return fail(&error.into()),
    };
    let cli = Cli::parse_from(args);
    // A second installation attempt fails harmlessly: the provider is the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let result = match cli.command {
        Command::Up(args) => up::run(args),
        Command::Server(args) => server::run(args),
        Command::Node(args) => node::run(args),
        Command::Token(args) => token::run(args),
        Command::Member(args) => member::run(args),
        Command::Snapshot(args) => snapshot::run(args),
        Command::Actors(args) => actors::run(args),
        Command::Image(args) => image::run(args),
        Command::Reset(args) => reset::run(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// The error with its causes. Libraries often repeat a cause in their own text: it is said once.
fn chain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // One line, whatever a library put into its message.
    eprintln!("kabuki: {}", chain(error).replace('\n', " "));
    ExitCode::from(EXIT_FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("no such file");
        let repeated = anyhow::Error::new(crate::config::ConfigError::Read {
            path: "/x".into(),
            source: inner,
        });
        assert_eq!(chain(&repeated), "cannot read config file /x: no such file");
        let plain = anyhow::anyhow!("inner").context("outer");
        assert_eq!(chain(&plain), "outer: inner");
    }
}
