//! Making, listing, checking and spending bootstrap tokens.

use base64::{Engine, engine::general_purpose::STANDARD};
use kabuki_api::{kind::SECRET, status::Status};

use super::bootstrap_token::{
    BootstrapError, BootstrapToken, ID_LEN, JoinRole, NAMESPACE, NewToken, PREFIX, SECRET_LEN,
    SECRET_TYPE, parse, random, secret_of,
};
use crate::registry::{DeleteOptions, ListOptions, Registry, RequestInfo, Subresource, View};

/// Ids tried when a random one is taken.
const ID_ATTEMPTS_MAX: usize = 4;
/// Attempts to count one use down while others do the same.
const USE_ATTEMPTS_MAX: usize = 12;

/// The tokens of a cluster.
#[derive(Clone)]
pub struct TokenStore {
    registry: Registry,
}

impl TokenStore {
    /// Length of a bearer credential, `id.secret`.
    pub const BEARER_BYTES: usize = ID_LEN + 1 + SECRET_LEN;

    /// The tokens in `registry`.
    pub fn new(registry: Registry) -> Self {
        Self { registry }
    }

    /// Makes a token.
    ///
    /// # Errors
    /// As [`Registry::create`].
    pub async fn create(&self, new: &NewToken) -> Result<BootstrapToken, Status> {
        let info = RequestInfo::internal("token");
        let mut last = None;
        for _ in 0..ID_ATTEMPTS_MAX {
            let id = random(ID_LEN);
            let secret = secret_of(new, &id, &random(SECRET_LEN), self.registry.now());
            match self.registry.create(&info, SECRET, NAMESPACE, secret).await {
                Ok(written) => {
                    return BootstrapToken::of(&written.object)
                        .ok_or_else(|| Status::internal("the new token cannot be read back"));
                }
                Err(status) if status.is_already_exists() => last = Some(status),
                Err(status) => return Err(status),
            }
        }
        Err(last.unwrap_or_else(|| Status::internal("no free token id")))
    }

    /// All tokens, by id.
    ///
    /// # Errors
    /// 503 without a quorum.
    pub async fn list(&self) -> Result<Vec<BootstrapToken>, Status> {
        let options = ListOptions {
            field_selector: format!("type={SECRET_TYPE}"),
            ..ListOptions::in_namespace(NAMESPACE)
        };
        let secrets = self.registry.list_consistent(SECRET, &options).await?;
        Ok(secrets.items.iter().filter_map(|o| BootstrapToken::of(o)).collect())
    }

    /// Deletes a token by id or `id.secret`.
    ///
    /// # Errors
    /// 404, 503.
    pub async fn delete(&self, id: &str) -> Result<(), Status> {
        let id = id.split('.').next().unwrap_or_default();
        let info = RequestInfo::internal("token");
        let options = DeleteOptions::background();
        self.registry
            .delete(&info, SECRET, NAMESPACE, &format!("{PREFIX}{id}"), &options)
            .await
            .map(|_| ())
    }

    /// Checks a credential without using it up.
    ///
    /// # Errors
    /// Why it is refused.
    pub async fn check(&self, bearer: &str) -> Result<BootstrapToken, BootstrapError> {
        let (id, secret) = parse(bearer)?;
        let name = format!("{PREFIX}{id}");
        let find =
            || self.registry.get(SECRET, NAMESPACE, &name).and_then(|o| BootstrapToken::of(&o));
        if let Some(token) = find()
            && token.check(secret, self.registry.now()).is_ok()
        {
            return Ok(token);
        }
        // Made or given more uses a moment ago on another member?
        self.registry.barrier().await?;
        let token = find().ok_or_else(|| BootstrapError::Unknown { id: id.to_owned() })?;
        token.check(secret, self.registry.now())?;
        Ok(token)
    }

    /// Checks a credential for a role and takes one use of it.
    ///
    /// # Errors
    /// Why it is refused; nothing is taken then.
    pub async fn spend(
        &self,
        bearer: &str,
        role: JoinRole,
    ) -> Result<BootstrapToken, BootstrapError> {
        for _ in 0..USE_ATTEMPTS_MAX {
            let mut token = self.check(bearer).await?;
            if token.role != Some(role) {
                let id = token.id.clone();
                return Err(match token.role {
                    Some(has) => BootstrapError::WrongRole { id, has, wanted: role },
                    None => BootstrapError::Unknown { id },
                });
            }
            let Some(left) = token.uses_left else { return Ok(token) };
            match self.count_down(&token.id, left).await {
                Ok(()) => {
                    token.uses_left = Some(left - 1);
                    return Ok(token);
                }
                Err(status) if status.is_conflict() => {}
                Err(status) => return Err(status.into()),
            }
        }
        Err(BootstrapError::Store("too many machines use this token at once, try again".into()))
    }

    async fn count_down(&self, id: &str, left: u32) -> Result<(), Status> {
        let name = format!("{PREFIX}{id}");
        let object = self.registry.get_consistent(SECRET, NAMESPACE, &name, "").await?;
        let mut value = object.value().clone();
        if BootstrapToken::of(&object).and_then(|t| t.uses_left) != Some(left) {
            return Err(Status::modified(SECRET, &name));
        }
        value["data"]["kabuki-uses-left"] = STANDARD.encode((left - 1).to_string()).into();
        // The value carries the resourceVersion it was read at, so two users never take one use.
        let info = RequestInfo::internal("token");
        self.registry
            .update(&info, SECRET, NAMESPACE, &name, value, Subresource::Main)
            .await
            .map(|_| ())
    }
}
