//! The `kabuki` program: subcommands, certificates, joining, and the HTTP face of the cluster.
//!
//! The library target exists so that tests and benches reach the parts of the binary; nothing here
//! is a public interface for other programs.

pub mod aggregation;
pub mod api;
pub mod audit;
pub mod backup;
pub mod cmd;
pub mod config;
pub mod control;
pub mod encryption;
pub mod join;
pub mod member;
pub mod node;
pub mod pki;
pub mod settings_file;
