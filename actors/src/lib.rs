//! The actors of Kabuki: the kernel that runs them and everyone on stage.
//!
//! `kernel` knows nothing of Kubernetes. Controllers and the scheduler decide in pure functions and
//! read through [`registry::View`]; only `registry` writes to the store.

pub mod auth;
pub mod controllers;
pub mod dns;
pub mod herald;
pub mod kernel;
pub mod kubelet;
pub mod link;
pub mod outbound;
pub mod proxy;
pub mod registry;
pub mod scheduler;
