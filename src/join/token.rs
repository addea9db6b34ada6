//! The join token: `K1<hash>::<id>.<secret>`. The hash (hex SHA-256 of the authority's public key
//! info) lets the joining machine check whom it talks to before it says anything secret;
//! `id.secret` is a bootstrap token as kubeadm's (KEP-130, secret type bootstrap.kubernetes.io/token).

use std::{fmt, str::FromStr};

/// Marks the format, so that a later one can be told apart.
const PREFIX: &str = "K1";
const HASH_LEN: usize = 64;
const ID_LEN: usize = 6;
const SECRET_LEN: usize = 16;

/// A parsed join token.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// Hex SHA-256 of the cluster authority's public key info.
    pub ca_hash: String,
    /// Public part of the bootstrap token.
    pub id: String,
    /// Secret part of the bootstrap token.
    pub secret: String,
}

/// Why a string is no join token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a join token: {0}; copy the whole line that `kabuki token create` printed")]
pub struct TokenError(&'static str);

impl JoinToken {
    /// The bearer credential sent to the cluster.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest =
            text.trim().strip_prefix(PREFIX).ok_or(TokenError("it does not begin with K1"))?;
        let (hash, credential) =
            rest.split_once("::").ok_or(TokenError("there is no '::' in it"))?;
        let (id, secret) = credential.split_once('.').ok_or(TokenError("there is no '.' in it"))?;
        let hex = |c: u8| c.is_ascii_digit() || (b'a'..=b'f').contains(&c);
        let alnum = |c: u8| c.is_ascii_digit() || c.is_ascii_lowercase();
        if hash.len() != HASH_LEN || !hash.bytes().all(hex) {
            return Err(TokenError("the hash before '::' is not 64 hex digits"));
        }
        if id.len() != ID_LEN || !id.bytes().all(alnum) {
            return Err(TokenError("the id is not 6 lower-case letters or digits"));
        }
        if secret.len() != SECRET_LEN || !secret.bytes().all(alnum) {
            return Err(TokenError("the secret is not 16 lower-case letters or digits"));
        }
        Ok(Self { ca_hash: hash.into(), id: id.into(), secret: secret.into() })
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}::{}.{}", self.ca_hash, self.id, self.secret)
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_what_it_writes() {
        let token = JoinToken {
            ca_hash: "ab".repeat(32),
            id: "abc123".into(),
            secret: "0123456789abcdef".into(),
        };
        assert_eq!(token.to_string().parse::<JoinToken>().unwrap(), token);
        assert!(!format!("{token:?}").contains(&token.secret));
    }

    #[test]
    fn broken_tokens_say_which_part_is_wrong() {
        let hash = "ab".repeat(32);
        for (text, word) in [
            (String::new(), "K1"),
            (format!("K1{hash}"), "::"),
            (format!("K1{hash}::abc123"), "'.'"),
            ("K1xyz::abc123.0123456789abcdef".into(), "hash"),
            (format!("K1{hash}::ABC123.0123456789abcdef"), "id"),
            (format!("K1{hash}::abc123.short"), "secret"),
        ] {
            let error = text.parse::<JoinToken>().unwrap_err().to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
    }
}
