//! Who may do what and who sees it, with the real binary: the audit log, and
//! what is encrypted at rest.

mod support;

#[path = "access/audit.rs"]
mod audit;
#[path = "access/encryption.rs"]
mod encryption;
#[path = "access/server.rs"]
mod server;
