//! Creating objects.

use std::sync::Arc;

use kabuki_api::{
    kind::{self, Kind, NAMESPACE, SERVICE},
    name,
    patch::Owners,
    status::Status,
    validate,
};
use kabuki_raft::{Compare, Op, Record};
use serde_json::Value;

use super::{
    admission::{self, quota::Write},
    canonical,
    object::{Object, text},
    options::{RequestInfo, Subresource},
    outcome::Written,
    owners::{Ownership, writer},
    service,
    store::{Commit, Registry},
    strategy,
};
use crate::auth::Authorizer;

/// Names tried for `generateName` before giving up.
const GENERATED_NAMES_MAX: usize = 8;
/// Attempts of one create when what it was decided on (its namespace, an allocation) changes.
const CREATE_ATTEMPTS_MAX: usize = 16;

impl Registry {
    /// Creates an object: checks, defaults, admission, validation, allocation, one transaction.
    ///
    /// # Errors
    /// 400, 403, 404 (namespace), 409 (name taken), 422, 503.
    pub async fn create(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        mut object: Value,
    ) -> Result<Written, Status> {
        let owners = Owners::take(&mut object);
        self.create_owned(info, kind, ns, object, Ownership::Track(owners)).await
    }

    /// [`Registry::create`] of an object whose owners may be decided already.
    pub(super) async fn create_owned(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        mut object: Value,
        ownership: Ownership,
    ) -> Result<Written, Status> {
        if !kind.is_stored() {
            return Err(Status::method_not_allowed(kind, "create"));
        }
        let mut warnings = Vec::new();
        strategy::accept(info, kind, &mut object, &mut warnings)?;
        strategy::address(kind, ns, None, &mut object)?;
        strategy::before_create(kind, &mut object, self.now())?;
        // Before admission: what that adds, nobody set.
        let managed = match ownership {
            Ownership::Track(owners) => {
                let now = strategy::stamp(self.now());
                let served = kind.served();
                let writer = writer(info, kind, served.as_deref(), Subresource::Main, &now);
                writer.create(&object, &owners)
            }
            Ownership::Decided(managed) => managed,
        };
        let base = text(&object["metadata"], "generateName").to_owned();
        let generated = text(&object["metadata"], "name").is_empty() && !base.is_empty();
        let mut names = 0;
        for _ in 0..CREATE_ATTEMPTS_MAX {
            if generated {
                let name = name::generate(&base);
                if kind == NAMESPACE {
                    // The one default that depends on the name.
                    object["metadata"]["labels"]["kubernetes.io/metadata.name"] =
                        name.as_str().into();
                }
                object["metadata"]["name"] = name.into();
            }
            match self.create_once(info, kind, ns, (&object, generated), managed.as_deref()).await?
            {
                Attempt::Done(object) => {
                    return Ok(Written { object: Arc::new(object), created: true, warnings });
                }
                Attempt::Taken(taken) if generated => {
                    names += 1;
                    if names >= GENERATED_NAMES_MAX {
                        return Err(Status::generate_name_conflict(kind, &taken));
                    }
                }
                Attempt::Taken(taken) => return Err(Status::already_exists(kind, &taken)),
                Attempt::Again => {}
            }
        }
        Err(Status::server_timeout(kind, "create", 1))
    }

    async fn create_once(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        (base, generated): (&Value, bool),
        managed: Option<&str>,
    ) -> Result<Attempt, Status> {
        let mut object = prepared(kind, base);
        let mut compare = Vec::with_capacity(2);
        if let Some(found) = self.open_namespace(kind, ns, text(&base["metadata"], "name")).await? {
            compare.push(Compare { key: found.key().to_owned(), mod_revision: found.revision() });
        }
        if kind.custom.is_some() {
            compare.push(self.open_definition(kind)?);
        }
        if let Err(first) = admission::on_create(self, info, kind, &mut object) {
            // What admission missed may just not be applied on this member yet.
            self.barrier().await?;
            object = prepared(kind, base);
            admission::on_create(self, info, kind, &mut object).map_err(|_| first)?;
        }
        self.mutate_new(info, kind, ns, &mut object, generated).await?;
        admission::complete(kind, &mut object);
        Authorizer::new(self.clone()).check_escalation(&info.user, kind, ns, None, &object)?;
        let name = text(&object["metadata"], "name").to_owned();
        let mut allocation = service::Allocation::default();
        if kind == SERVICE {
            allocation = service::plan(self, None, &mut object)?;
        }
        let errors = validate::create(kind, &object);
        if !errors.is_empty() {
            return Err(Status::invalid(kind, &name, &errors));
        }
        admission::check_create(self, info, kind, &object)?;
        self.validate_new(info, kind, ns, &object).await?;
        let (sub, now) = (Subresource::Main, self.now());
        let write = Write { kind, old: None, new: &object, sub, now };
        let _turn = self.charge(&write, &mut allocation).await?;
        let key = kind.key(ns, &name);
        let value = stored(kind, object, managed);
        if info.dry_run {
            return Ok(match self.current(kind, ns, &name).await? {
                Some(_) => Attempt::Taken(name),
                None => Attempt::Done(self.built(kind, &key, value, 0, 0)),
            });
        }
        if self.local(kind, &key).is_some() {
            self.barrier().await?;
            if self.local(kind, &key).is_some() {
                return Ok(Attempt::Taken(name));
            }
        }
        compare.push(Compare { key: key.clone(), mod_revision: 0 });
        compare.append(&mut allocation.compare);
        let mut ops = vec![Op::Put { key: key.clone(), value: value.clone() }];
        ops.append(&mut allocation.ops);
        Ok(match self.commit(compare, ops).await? {
            Commit::Done(revision) => {
                Attempt::Done(self.built(kind, &key, value, revision, revision))
            }
            Commit::Conflict { key: changed } if changed == key => Attempt::Taken(name),
            Commit::Conflict { .. } => {
                self.barrier().await?;
                Attempt::Again
            }
        })
    }

    /// The namespace of a namespaced object, which must exist and not be going away.
    async fn open_namespace(
        &self,
        kind: &'static Kind,
        ns: &str,
        name: &str,
    ) -> Result<Option<Object>, Status> {
        if !kind.namespaced {
            return Ok(None);
        }
        if ns.is_empty() {
            return Err(Status::bad_request("an empty namespace may not be set during creation"));
        }
        let Some(namespace) = self.current(NAMESPACE, "", ns).await? else {
            return Err(Status::not_found(NAMESPACE, ns));
        };
        if namespace.is_deleting() {
            return Err(Status::namespace_terminating(kind, name, ns));
        }
        Ok(Some(namespace))
    }

    /// The definition of a custom kind as it is known here, which must not be going away: what is
    /// created after its last objects were deleted would stay for ever.
    fn open_definition(&self, kind: &'static Kind) -> Result<Compare, Status> {
        let definitions = self.definitions();
        let definition = definitions.of(kind).ok_or_else(Status::unknown_resource)?;
        if definition.is_terminating() {
            return Err(Status::definition_terminating(kind, "create"));
        }
        let (key, revision) = definition.origin();
        Ok(Compare { key: key.to_string(), mod_revision: revision })
    }

    pub(super) fn built(
        &self,
        kind: &'static Kind,
        key: &str,
        value: bytes::Bytes,
        created: u64,
        revision: u64,
    ) -> Object {
        Object::new(kind, Arc::new(Record::new(key.into(), value, created, revision)))
    }
}

/// A copy of a new object that has its name, with what depends on it.
fn prepared(kind: &Kind, base: &Value) -> Value {
    let mut object = base.clone();
    (kind.prepare)(&mut object);
    object
}

enum Attempt {
    Done(Object),
    /// The name is in use.
    Taken(String),
    /// Something the object was decided on changed: decide again.
    Again,
}

/// The bytes to store for an object as served by `kind`.
pub(super) fn stored(
    kind: &'static Kind,
    mut object: Value,
    managed: Option<&str>,
) -> bytes::Bytes {
    kind::to_storage_version(kind, &mut object);
    canonical::encode(&object, managed)
}
