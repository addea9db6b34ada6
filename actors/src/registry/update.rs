//! Changing objects: replace, and the loop that patches and status writers share.

use std::sync::Arc;

use bytes::Bytes;
use kabuki_api::{
    kind::{CERTIFICATE_SIGNING_REQUEST, Kind, SERVICE},
    patch::{Owners, same_owners},
    status::Status,
    validate::{self, FieldError},
};
use kabuki_raft::{Compare, Op};
use serde_json::Value;

use super::{
    admission::{self, quota::Write},
    apply::may_create,
    create::stored,
    object::{Object, text},
    options::{RequestInfo, Subresource},
    outcome::Written,
    owners::{Ownership, writer},
    service,
    store::{Commit, Registry},
    strategy,
};
use crate::auth::Authorizer;

/// Attempts of a change that does not insist on a resourceVersion.
pub(super) const UPDATE_ATTEMPTS_MAX: usize = 12;

/// How one attempt to change an object ended.
pub(super) enum Attempt {
    Done(Written),
    /// Somebody else changed the object since it was read.
    Lost,
}

impl Registry {
    /// Replaces an object, its status, or a namespace's finalizers. A write that changes nothing
    /// stores nothing. Removing the last finalizer of an object that is being deleted removes it.
    ///
    /// # Errors
    /// 400, 403, 404, 409 (resourceVersion or uid differ), 422, 503.
    pub async fn update(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        mut object: Value,
        sub: Subresource,
    ) -> Result<Written, Status> {
        let mut warnings = Vec::new();
        let owners = Owners::take(&mut object);
        strategy::accept(info, kind, &mut object, &mut warnings)?;
        strategy::address(kind, ns, Some(name), &mut object)?;
        let version = text(&object["metadata"], "resourceVersion").to_owned();
        let whole = sub == Subresource::Main || kind.custom.is_some();
        if version.is_empty() && !kind.unconditional_update && whole {
            let error = FieldError::invalid(
                "metadata.resourceVersion",
                0,
                "must be specified for an update",
            );
            // A missing object is created for kinds that allow it, so look first.
            if !kind.create_on_update || self.current(kind, ns, name).await?.is_some() {
                return Err(Status::invalid(kind, name, &[error]));
            }
        }
        for attempt in 0..UPDATE_ATTEMPTS_MAX {
            let Some(old) = self.current(kind, ns, name).await? else {
                let mut written =
                    self.create_missing(info, kind, ns, name, (object, owners), sub).await?;
                // The object was pruned above, so the create saw nothing to warn of.
                written.warnings = warnings;
                return Ok(written);
            };
            if !version.is_empty() && version != old.revision().to_string() {
                if attempt == 0 {
                    // The caller may have read from a member that is ahead of this one.
                    self.barrier().await?;
                    continue;
                }
                return Err(Status::modified(kind, name));
            }
            let ownership = Ownership::Track(owners.clone());
            match self.replace(info, &old, object.clone(), ownership, sub, &warnings).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::Lost => {
                    self.barrier().await?;
                }
            }
        }
        Err(Status::modified(kind, name))
    }

    async fn create_missing(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        (mut object, owners): (Value, Owners),
        sub: Subresource,
    ) -> Result<Written, Status> {
        if !kind.create_on_update || sub != Subresource::Main {
            return Err(Status::not_found(kind, name));
        }
        may_create(self, info, kind, ns, name)?;
        let meta = &mut object["metadata"];
        if !text(meta, "uid").is_empty() {
            return Err(Status::uid_precondition(kind, name, text(meta, "uid"), ""));
        }
        if let Some(meta) = meta.as_object_mut() {
            meta.remove("resourceVersion");
        }
        self.create_owned(info, kind, ns, object, Ownership::Track(owners)).await
    }

    /// Changes an object by a function of its current value, again while others win the race:
    /// for status writers and controllers. `change` returns `false` to leave the object alone.
    ///
    /// # Errors
    /// As [`Registry::update`]; 404 when the object is not there.
    pub async fn update_with_retry(
        &self,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        sub: Subresource,
        mut change: impl FnMut(&mut Value) -> bool + Send,
    ) -> Result<Arc<Object>, Status> {
        let info =
            RequestInfo { field_manager: "kabuki".into(), ..RequestInfo::internal("controller") };
        self.modify(&info, kind, ns, name, sub, &mut |value| Ok(change(value)))
            .await
            .map(|w| w.object)
    }

    /// The loop of read, change, compare-and-write. `change` sees the object without
    /// `managedFields`; those it puts there are taken.
    pub(super) async fn modify(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        sub: Subresource,
        change: &mut (dyn FnMut(&mut Value) -> Result<bool, Status> + Send),
    ) -> Result<Written, Status> {
        let refused = |status, _: &Value| status;
        self.modify_object(info, kind, ns, name, sub, &refused, &mut |_, value| change(value)).await
    }

    /// [`Registry::modify`] by a function that also sees the object as stored. `refused` words the
    /// refusal of what it makes when that cannot be read as an object of the kind.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request, and what to do")]
    pub(super) async fn modify_object(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        sub: Subresource,
        refused: &(dyn Fn(Status, &Value) -> Status + Sync),
        change: &mut (dyn FnMut(&Object, &mut Value) -> Result<bool, Status> + Send),
    ) -> Result<Written, Status> {
        for attempt in 0..UPDATE_ATTEMPTS_MAX {
            let Some(old) = self.current(kind, ns, name).await? else {
                return Err(Status::not_found(kind, name));
            };
            let mut object = old.value().clone();
            match change(&old, &mut object) {
                Ok(true) => {}
                Ok(false) => {
                    return Ok(Written {
                        object: Arc::new(old),
                        created: false,
                        warnings: Vec::new(),
                    });
                }
                Err(_) if attempt == 0 => {
                    // Judge only on what is current.
                    self.barrier().await?;
                    continue;
                }
                Err(status) => return Err(status),
            }
            let wanted = text(&object["metadata"], "resourceVersion").to_owned();
            if !wanted.is_empty() && wanted != old.revision().to_string() {
                if attempt == 0 {
                    self.barrier().await?;
                    continue;
                }
                return Err(Status::modified(kind, name));
            }
            let mut warnings = Vec::new();
            let ownership = Ownership::Track(Owners::take(&mut object));
            strategy::accept(info, kind, &mut object, &mut warnings)
                .map_err(|status| refused(status, &object))?;
            strategy::address(kind, ns, Some(name), &mut object)?;
            match self.replace(info, &old, object, ownership, sub, &warnings).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::Lost => {
                    self.barrier().await?;
                }
            }
        }
        Err(Status::modified(kind, name))
    }

    /// One attempt to put `object` (accepted and addressed) in the place of `old`.
    pub(super) async fn replace(
        &self,
        info: &RequestInfo,
        old: &Object,
        mut object: Value,
        ownership: Ownership,
        sub: Subresource,
        warnings: &[String],
    ) -> Result<Attempt, Status> {
        let (kind, name) = (old.kind(), old.name());
        let before = old.value();
        let uid = text(&object["metadata"], "uid");
        if !uid.is_empty() && uid != old.uid() {
            return Err(Status::uid_precondition(kind, name, uid, old.uid()));
        }
        strategy::before_update(kind, before, &mut object, sub)?;
        let managed = match ownership {
            // The scheduler's decision is nobody's field, as upstream.
            _ if sub == Subresource::Binding => old.managed().map(str::to_owned),
            Ownership::Track(owners) => {
                let now = strategy::stamp(self.now());
                let served = kind.served();
                let writer = writer(info, kind, served.as_deref(), sub, &now);
                writer.update(before, old.managed(), &object, &owners)
            }
            Ownership::Decided(managed) => managed,
        };
        admission::on_update(self, info, kind, before, &mut object, sub)?;
        self.mutate_change(info, old, &mut object, sub).await?;
        if kind == CERTIFICATE_SIGNING_REQUEST {
            let now = strategy::stamp(self.now());
            admission::certificates::update(before, &mut object, sub, &now);
        }
        let authorizer = Authorizer::new(self.clone());
        authorizer.check_escalation(&info.user, kind, old.namespace(), Some(before), &object)?;
        let mut allocation = service::Allocation::default();
        if kind == SERVICE && sub == Subresource::Main {
            allocation = service::plan(self, Some(before), &mut object)?;
        }
        if sub != Subresource::Binding {
            check_update(kind, name, before, &object)?;
        }
        admission::check_update(self, info, kind, before, &object, sub)?;
        self.validate_change(info, old, &object, sub).await?;
        let write = Write { kind, old: Some(before), new: &object, sub, now: self.now() };
        let _turn = self.charge(&write, &mut allocation).await?;
        let written = |object: Object| Written {
            object: Arc::new(object),
            created: false,
            warnings: warnings.to_vec(),
        };
        let released = strategy::is_released(kind, &object);
        let key = old.key().to_owned();
        let value = owned_value(old, object, managed.as_deref());
        // What should be stored in another form (sealed, or with a newer key) is written again.
        if value == old.record().value && !old.record().is_stale() {
            return self
                .unchanged(old)
                .await
                .map(|o| o.map_or(Attempt::Lost, |o| Attempt::Done(written(o))));
        }
        let created = old.record().create_revision;
        if info.dry_run {
            return Ok(Attempt::Done(written(self.built(
                kind,
                &key,
                value,
                created,
                old.revision(),
            ))));
        }
        let mut compare = vec![Compare { key: key.clone(), mod_revision: old.revision() }];
        compare.append(&mut allocation.compare);
        let mut ops = if released {
            let mut ops = vec![Op::Delete { key: key.clone() }];
            ops.append(&mut service::release(kind, before));
            ops
        } else {
            vec![Op::Put { key: key.clone(), value: value.clone() }]
        };
        ops.append(&mut allocation.ops);
        Ok(match self.commit(compare, ops).await? {
            Commit::Done(revision) => {
                Attempt::Done(written(self.built(kind, &key, value, created, revision)))
            }
            Commit::Conflict { .. } => Attempt::Lost,
        })
    }

    /// The answer to a write that changes nothing: the object, if it is the current one.
    async fn unchanged(&self, old: &Object) -> Result<Option<Object>, Status> {
        self.barrier().await?;
        let now = self.local(old.kind(), old.key());
        Ok(now.filter(|object| object.revision() == old.revision()))
    }
}

/// The bytes to store. Entries of owners that differ in their times only are no change.
fn owned_value(old: &Object, object: Value, managed: Option<&str>) -> Bytes {
    let kind = old.kind();
    if managed == old.managed() {
        return stored(kind, object, managed);
    }
    let as_before = stored(kind, object.clone(), old.managed());
    if as_before == old.record().value && same_owners(managed, old.managed()) {
        return as_before;
    }
    stored(kind, object, managed)
}

fn check_update(
    kind: &'static Kind,
    name: &str,
    before: &Value,
    object: &Value,
) -> Result<(), Status> {
    let mut errors = validate::update(kind, object, before);
    if strategy::changes_role_ref(kind, before, object)
        && !errors.iter().any(|e| e.path == "roleRef")
    {
        errors.push(FieldError::invalid(
            "roleRef",
            object["roleRef"].clone(),
            "cannot change roleRef",
        ));
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind, name, &errors)) }
}
