//! kabuki-raft
