//! What comes after `Authorization: Bearer`, for the fuzz target and the replay of its corpus.

use std::sync::LazyLock;

use super::{bootstrap_token, keys::Claims, keys::ServiceAccountKeys};

static KEYS: LazyLock<ServiceAccountKeys> =
    LazyLock::new(|| ServiceAccountKeys::generate().expect("keys"));

/// A bearer credential: a bootstrap token, a service account's token, or the claims inside one.
///
/// # Panics
/// When a token that this cluster did not sign is taken.
pub fn bearer(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok((id, secret)) = bootstrap_token::parse(text) {
        assert_eq!(text, format!("{id}.{secret}"));
    }
    assert!(KEYS.verify(text).is_err(), "nobody signed {text:?}");
    if let Ok(claims) = serde_json::from_str::<Claims>(text) {
        let token = KEYS.sign(&claims).expect("a signature");
        // Refused only for its length.
        if let Ok(again) = KEYS.verify(&token) {
            assert_eq!(again, claims);
        }
    }
}
