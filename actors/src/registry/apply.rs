//! Server-side apply: the live object and the applied one decide together, so the loop is the one of
//! a patch, and an object that is not there is created.

use kabuki_api::{decode::Duplicates, kind::Kind, patch::Applied, status::Status};
use serde_json::Value;

use super::{
    object::text,
    options::{FieldValidation, RequestInfo, Subresource},
    outcome::Written,
    owners::{Ownership, writer},
    store::Registry,
    strategy,
    update::{Attempt, UPDATE_ATTEMPTS_MAX},
};
use crate::auth::{Attributes, Authorizer};

impl Registry {
    /// Applies a configuration as `info.field_manager`; creates the object when it is not there.
    ///
    /// # Errors
    /// As [`Registry::update`] and [`kabuki_api::patch::Writer::apply`]; 403 when the object would
    /// be created by somebody who may only patch.
    pub(super) async fn apply(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        config: &Value,
        sub: Subresource,
    ) -> Result<Written, Status> {
        let warnings = check_duplicates(info)?;
        let accepting = RequestInfo {
            field_validation: FieldValidation::Ignore,
            duplicates: Duplicates::default(),
            ..info.clone()
        };
        for attempt in 0..UPDATE_ATTEMPTS_MAX {
            let now = strategy::stamp(self.now());
            let served = kind.served();
            let writer = writer(info, kind, served.as_deref(), sub, &now);
            let Some(old) = self.current(kind, ns, name).await? else {
                if sub != Subresource::Main || !info.through.is_empty() {
                    return Err(Status::not_found(kind, name));
                }
                may_create(self, info, kind, ns, name)?;
                let applied = writer.apply(None, None, config, info.force)?;
                let mut written = match self.apply_new(&accepting, kind, ns, name, applied).await {
                    // Somebody else was faster: apply to that.
                    Err(status) if status.is_already_exists() => continue,
                    other => other?,
                };
                written.warnings.extend(warnings);
                return Ok(written);
            };
            let applied = writer.apply(Some(old.value()), old.managed(), config, info.force);
            let Applied { mut object, managed } = match applied {
                Ok(applied) => applied,
                Err(_) if attempt == 0 => {
                    // Judge only on what is current.
                    self.barrier().await?;
                    continue;
                }
                Err(status) => return Err(status),
            };
            let wanted = text(&object["metadata"], "resourceVersion").to_owned();
            if !wanted.is_empty() && wanted != old.revision().to_string() {
                if attempt == 0 {
                    self.barrier().await?;
                    continue;
                }
                return Err(Status::modified(kind, name));
            }
            let mut all = warnings.clone();
            strategy::accept(&accepting, kind, &mut object, &mut all)?;
            strategy::address(kind, ns, Some(name), &mut object)?;
            let ownership = Ownership::Decided(managed);
            match self.replace(info, &old, object, ownership, sub, &all).await? {
                Attempt::Done(written) => return Ok(written),
                Attempt::Lost => {
                    self.barrier().await?;
                }
            }
        }
        Err(Status::modified(kind, name))
    }

    async fn apply_new(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        applied: Applied,
    ) -> Result<Written, Status> {
        let Applied { mut object, managed } = applied;
        let uid = text(&object["metadata"], "uid");
        if !uid.is_empty() {
            return Err(Status::conflict(
                kind,
                name,
                &format!(
                    "uid mismatch: the provided object specified uid {uid}, and no existing object was found"
                ),
            ));
        }
        strategy::accept(info, kind, &mut object, &mut Vec::new())?;
        strategy::address(kind, ns, Some(name), &mut object)?;
        self.create_owned(info, kind, ns, object, Ownership::Decided(managed)).await
    }
}

/// Who applies needs the right to patch, who updates the right to update; and both the right to
/// create when the object is not there.
pub(super) fn may_create(
    registry: &Registry,
    info: &RequestInfo,
    kind: &'static Kind,
    ns: &str,
    name: &str,
) -> Result<(), Status> {
    let attributes = Attributes {
        verb: "create",
        group: kind.group,
        version: kind.version,
        resource: kind.plural,
        namespace: ns,
        name,
        ..Attributes::default()
    };
    Authorizer::new(registry.clone()).authorize(&info.user, &attributes)
}

/// Keys written twice are refused by strict validation and warned of by the default one.
fn check_duplicates(info: &RequestInfo) -> Result<Vec<String>, Status> {
    if info.duplicates.is_empty() {
        return Ok(Vec::new());
    }
    match info.field_validation {
        FieldValidation::Ignore => Ok(Vec::new()),
        FieldValidation::Warn => Ok(info.duplicates.warnings(&[])),
        FieldValidation::Strict => Err(Status::bad_request(format!(
            "error strict decoding YAML: {}",
            info.duplicates.error(&[])
        ))),
    }
}
