//! Bootstrap tokens (`id.secret`): what a joining machine proves itself with. Kept as kubeadm keeps
//! them, in Secrets `kube-system/bootstrap-token-<id>` of type `bootstrap.kubernetes.io/token`, with
//! the role and the number of uses left beside upstream's fields.

use base64::{Engine, engine::general_purpose::STANDARD};
use kabuki_api::status::Status;
use rand::RngExt as _;
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, format_description::well_known::Rfc3339};

use super::user::{AUTHENTICATED, UserInfo};
use crate::registry::{Object, stamp};

pub(super) const NAMESPACE: &str = "kube-system";
pub(super) const PREFIX: &str = "bootstrap-token-";
pub(super) const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
pub(super) const ID_LEN: usize = 6;
pub(super) const SECRET_LEN: usize = 16;
const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// What a joining machine becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRole {
    /// A member of the control-plane quorum.
    Server,
    /// A worker.
    Node,
}

impl JoinRole {
    /// `server` or `node`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Node => "node",
        }
    }

    /// Reads `server` or `node`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "server" => Some(Self::Server),
            "node" => Some(Self::Node),
            _ => None,
        }
    }
}

impl std::fmt::Display for JoinRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a bootstrap token was refused; each says what to do.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BootstrapError {
    /// It has not the form `id.secret`.
    #[error(
        "this is not a bootstrap token; copy the whole token that `kabuki token create` printed"
    )]
    Malformed,
    /// No such token, or it was deleted.
    #[error(
        "bootstrap token {id} is not known to this cluster; make a new one with `kabuki token create`"
    )]
    Unknown {
        /// Public part.
        id: String,
    },
    /// The secret is wrong.
    #[error("the secret of bootstrap token {id} is wrong; copy the whole token again")]
    Wrong {
        /// Public part.
        id: String,
    },
    /// Its lifetime is over.
    #[error("bootstrap token {id} expired at {at}; make a new one with `kabuki token create`")]
    Expired {
        /// Public part.
        id: String,
        /// When.
        at: String,
    },
    /// It was used as often as it may be.
    #[error("bootstrap token {id} is used up; make a new one with `kabuki token create`")]
    UsedUp {
        /// Public part.
        id: String,
    },
    /// It is for another role.
    #[error(
        "bootstrap token {id} is for joining as {has}, not as {wanted}; make one with `kabuki token create --role {wanted}`"
    )]
    WrongRole {
        /// Public part.
        id: String,
        /// Role of the token.
        has: JoinRole,
        /// Role asked for.
        wanted: JoinRole,
    },
    /// The cluster could not be asked.
    #[error("cannot check the bootstrap token now: {0}")]
    Store(String),
}

impl From<Status> for BootstrapError {
    fn from(status: Status) -> Self {
        Self::Store(status.message.clone())
    }
}

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it lets a machine become.
    pub role: JoinRole,
    /// How long it is good for; `None` for ever.
    pub lifetime: Option<Duration>,
    /// How often it can be used; `None` any number of times.
    pub uses: Option<u32>,
    /// For people.
    pub description: String,
}

/// A token as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    /// Public part.
    pub id: String,
    /// Secret part.
    pub secret: String,
    /// What it lets a machine become; `None` for tokens that are not ours (kubeadm's).
    pub role: Option<JoinRole>,
    /// End of its life.
    pub expires: Option<OffsetDateTime>,
    /// Uses left.
    pub uses_left: Option<u32>,
    /// For people.
    pub description: String,
    /// Groups beside `system:bootstrappers`.
    pub groups: Vec<String>,
    authentication: bool,
}

impl std::fmt::Debug for BootstrapToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BootstrapToken({})", self.id)
    }
}

impl BootstrapToken {
    /// The credential, `id.secret`.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }

    /// The user it authenticates.
    pub fn user(&self) -> UserInfo {
        let mut groups = vec!["system:bootstrappers".to_owned()];
        groups.extend(self.groups.iter().cloned());
        groups.push(AUTHENTICATED.to_owned());
        UserInfo { name: format!("system:bootstrap:{}", self.id), groups, ..UserInfo::default() }
    }

    /// Reads a token's Secret.
    pub(super) fn of(object: &Object) -> Option<Self> {
        let value = object.value();
        if value["type"] != SECRET_TYPE {
            return None;
        }
        let field = |name: &str| -> String {
            let encoded = value["data"][name].as_str().unwrap_or_default();
            let bytes = STANDARD.decode(encoded).unwrap_or_default();
            String::from_utf8(bytes).unwrap_or_default()
        };
        let groups = field("auth-extra-groups");
        Some(Self {
            id: object.name().strip_prefix(PREFIX)?.to_owned(),
            secret: field("token-secret"),
            role: JoinRole::parse(&field("kabuki-role")),
            expires: OffsetDateTime::parse(&field("expiration"), &Rfc3339).ok(),
            uses_left: field("kabuki-uses-left").parse().ok(),
            description: field("description"),
            groups: groups.split(',').filter(|g| !g.is_empty()).map(str::to_owned).collect(),
            authentication: field("usage-bootstrap-authentication") == "true",
        })
    }

    /// Checks a secret against this token.
    pub(super) fn check(&self, secret: &str, now: OffsetDateTime) -> Result<(), BootstrapError> {
        let id = self.id.clone();
        // The secret first: who does not know it learns nothing about the token.
        if !same(secret.as_bytes(), self.secret.as_bytes()) {
            return Err(BootstrapError::Wrong { id });
        }
        if let Some(at) = self.expires
            && now >= at
        {
            return Err(BootstrapError::Expired { id, at: stamp(at) });
        }
        if self.uses_left == Some(0) {
            return Err(BootstrapError::UsedUp { id });
        }
        if !self.authentication {
            return Err(BootstrapError::Unknown { id });
        }
        Ok(())
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0_u8, |acc, (x, y)| acc | (x ^ y));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// Takes a credential apart.
pub(super) fn parse(bearer: &str) -> Result<(&str, &str), BootstrapError> {
    let (id, secret) = bearer.split_once('.').ok_or(BootstrapError::Malformed)?;
    let good = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|b| ALPHABET.contains(&b))
    };
    if good(id, ID_LEN) && good(secret, SECRET_LEN) {
        Ok((id, secret))
    } else {
        Err(BootstrapError::Malformed)
    }
}

/// A random part of a token.
pub(super) fn random(length: usize) -> String {
    let mut rng = rand::rng();
    (0..length)
        .map(|_| {
            let index = rng.random_range(0..ALPHABET.len());
            char::from(ALPHABET.get(index).copied().unwrap_or(b'0'))
        })
        .collect()
}

/// The Secret of a new token.
pub(super) fn secret_of(new: &NewToken, id: &str, secret: &str, now: OffsetDateTime) -> Value {
    let mut data = json!({
        "token-id": id,
        "token-secret": secret,
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": format!("system:bootstrappers:kabuki:{}", new.role),
        "kabuki-role": new.role.as_str(),
        "description": new.description,
    });
    if let Some(lifetime) = new.lifetime {
        data["expiration"] = stamp(now + lifetime).into();
    }
    if let Some(uses) = new.uses {
        data["kabuki-uses-left"] = uses.to_string().into();
    }
    if let Some(map) = data.as_object_mut() {
        for value in map.values_mut() {
            *value = STANDARD.encode(value.as_str().unwrap_or_default()).into();
        }
    }
    json!({"metadata": {"name": format!("{PREFIX}{id}"), "namespace": NAMESPACE},
        "type": SECRET_TYPE, "data": data})
}

#[cfg(test)]
mod tests {
    use kabuki_api::kind::SECRET;
    use time::macros::datetime;

    use super::*;

    const NOW: OffsetDateTime = datetime!(2026-01-02 03:04:05 UTC);

    fn stored(lifetime: Option<Duration>, uses: Option<u32>) -> BootstrapToken {
        let new =
            NewToken { role: JoinRole::Node, lifetime, uses, description: "for a test".into() };
        let secret = secret_of(&new, "abcdef", "0123456789abcdef", NOW);
        BootstrapToken::of(&Object::from_value(SECRET, &secret, 1)).unwrap()
    }

    #[test]
    fn every_refusal_is_told_apart() {
        let good = "0123456789abcdef";
        let id = || "abcdef".to_owned();
        let minute = Some(Duration::minutes(1));
        for (token, secret, now, want) in [
            (stored(minute, Some(1)), good, NOW, Ok(())),
            (stored(None, None), good, NOW + Duration::days(9999), Ok(())),
            (stored(None, None), "0123456789abcdeX", NOW, Err(BootstrapError::Wrong { id: id() })),
            (
                stored(minute, None),
                good,
                NOW + Duration::minutes(1),
                Err(BootstrapError::Expired { id: id(), at: "2026-01-02T03:05:05Z".into() }),
            ),
            (stored(None, Some(0)), good, NOW, Err(BootstrapError::UsedUp { id: id() })),
        ] {
            assert_eq!(token.check(secret, now), want);
        }
        assert_eq!(parse("abc"), Err(BootstrapError::Malformed));
        assert_eq!(parse("ABCDEF.0123456789abcdef"), Err(BootstrapError::Malformed));
        assert_eq!(parse("abcdef.0123456789abcdef"), Ok(("abcdef", good)));
    }

    #[test]
    fn a_token_is_a_user() {
        let user = stored(None, None).user();
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert_eq!(
            user.groups,
            ["system:bootstrappers", "system:bootstrappers:kabuki:node", "system:authenticated"]
        );
    }
}
