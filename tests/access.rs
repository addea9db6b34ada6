//! Who may do what and who sees it, with the real binary: the audit log, what
//! is encrypted at rest, and who holds tokens and certificates.

mod support;

#[path = "access/audit.rs"]
mod audit;
#[path = "access/encryption.rs"]
mod encryption;
#[path = "access/server.rs"]
mod server;
#[path = "access/signing.rs"]
mod signing;
#[path = "access/tokens.rs"]
mod tokens;
