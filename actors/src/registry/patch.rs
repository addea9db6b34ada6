//! Patching objects: the patch is applied to the live object as JSON, and the result goes the way
//! of an update. Without a resourceVersion in the patch the loop starts again when somebody else
//! changed the object.

use kabuki_api::{kind::Kind, patch as patches, status::Status};
use serde_json::Value;

use super::{
    options::{PatchKind, RequestInfo, Subresource},
    outcome::Written,
    store::Registry,
};

impl Registry {
    /// Patches an object, its status, or a namespace's finalizers. `body` is the patch, decoded
    /// (JSON, or YAML for apply).
    ///
    /// # Errors
    /// As [`Registry::update`]; 400 and 422 for patches that cannot be applied; 501 for server-side
    /// apply.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request line and body")]
    pub async fn patch(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        patch: PatchKind,
        body: &Value,
        sub: Subresource,
    ) -> Result<Written, Status> {
        check(patch)?;
        self.modify(info, kind, ns, name, sub, &mut |value| {
            let patched = apply(kind, name, value, patch, body)?;
            same_object(kind, value, &patched)?;
            *value = patched;
            Ok(true)
        })
        .await
    }
}

/// Refuses the patch kinds that are not there yet.
pub(super) fn check(patch: PatchKind) -> Result<(), Status> {
    if patch == PatchKind::Apply {
        return Err(Status::not_implemented(
            "server-side apply (use kubectl apply without --server-side, or a merge patch)",
        ));
    }
    Ok(())
}

/// Applies a patch to a value as served by `kind`.
pub(super) fn apply(
    kind: &'static Kind,
    name: &str,
    value: &Value,
    patch: PatchKind,
    body: &Value,
) -> Result<Value, Status> {
    match patch {
        PatchKind::Json => patches::json_patch(kind, name, value, body),
        PatchKind::Merge => patches::merge_patch(value, body),
        PatchKind::Strategic => patches::strategic_merge(kind.message, value, body),
        PatchKind::Apply => Err(Status::not_implemented("server-side apply")),
    }
}

/// A patch must not turn an object into another one.
fn same_object(kind: &Kind, before: &Value, after: &Value) -> Result<(), Status> {
    for field in ["apiVersion", "kind"] {
        if before[field] != after[field] {
            return Err(Status::bad_request(format!(
                "a patch must not change {field} of {}",
                kind.group_resource()
            )));
        }
    }
    Ok(())
}
