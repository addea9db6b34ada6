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
    /// As [`Registry::update`]; 400 and 422 for patches that cannot be applied; 409 for fields that
    /// another manager owns.
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
        if patch == PatchKind::Apply {
            return self.apply(info, kind, ns, name, body, sub).await;
        }
        let shows_owners = names_owners(patch, body);
        let strategic = (patch == PatchKind::Strategic).then_some(body);
        let refused = |status, value: &Value| patches::refused_patch(status, strategic, value);
        self.modify_object(info, kind, ns, name, sub, &refused, &mut |old, value| {
            if shows_owners && let Some(managed) = old.managed() {
                value["metadata"]["managedFields"] =
                    serde_json::from_str(managed).map_err(Status::internal)?;
            }
            let patched = apply(kind, value, patch, body)?;
            same_object(kind, value, &patched)?;
            *value = patched;
            Ok(true)
        })
        .await
    }
}

/// Whether a patch is about `metadata.managedFields`, which the value it is applied to holds only
/// then.
fn names_owners(patch: PatchKind, body: &Value) -> bool {
    const POINTER: &str = "/metadata/managedFields";
    let operations = body.as_array().map_or(&[][..], Vec::as_slice);
    match patch {
        PatchKind::Json => operations.iter().any(|operation| {
            ["path", "from"].iter().any(|name| {
                let path = operation[*name].as_str().unwrap_or_default();
                // A path above it means it too.
                path.starts_with(POINTER)
                    || (operation[*name].is_string() && POINTER.starts_with(path))
            })
        }),
        _ => body.pointer(POINTER).is_some(),
    }
}

/// Applies a patch to a value as served by `kind`.
pub(super) fn apply(
    kind: &'static Kind,
    value: &Value,
    patch: PatchKind,
    body: &Value,
) -> Result<Value, Status> {
    match patch {
        PatchKind::Json => patches::json_patch(value, body),
        PatchKind::Merge => patches::merge_patch(value, body),
        PatchKind::Strategic => patches::strategic_merge(kind.message, value, body),
        // It needs the owners of the live object: `Registry::apply`.
        PatchKind::Apply => Err(Status::internal("an apply is no patch of a value")),
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
