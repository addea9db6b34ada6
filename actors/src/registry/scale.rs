//! The scale subresource of kinds with replicas: `autoscaling/v1` Scale, a view of
//! `spec.replicas` and `status.replicas`.

use kabuki_api::{
    kind::{Kind, REPLICATION_CONTROLLER, SCALE, ScalePaths, put_at, value_at},
    selector::LabelSelector,
    status::Status,
    validate::FieldError,
};
use serde_json::{Value, json};

use super::{
    object::{Object, text},
    options::{PatchKind, RequestInfo, Subresource},
    patch,
    store::Registry,
};

/// Turns the current Scale into the replicas wanted and the resourceVersion that must be current
/// (or nothing).
type Decide<'a> = dyn FnMut(&Value) -> Result<(i64, String), Status> + Send + 'a;

impl Registry {
    /// The Scale of an object.
    ///
    /// # Errors
    /// 404; 503 without a leader.
    pub async fn scale(&self, kind: &'static Kind, ns: &str, name: &str) -> Result<Value, Status> {
        let object = self.get_consistent(kind, ns, name, "").await?;
        if let Some(paths) = custom_paths(kind)
            && value_at(object.value(), &paths.spec).is_none()
        {
            return Err(Status::internal(format!(
                "the spec replicas field {:?} does not exist",
                format!(".{}", paths.spec.join("."))
            )));
        }
        Ok(scale_of(&object))
    }

    /// Replaces the Scale of an object; a resourceVersion in it must be current.
    ///
    /// # Errors
    /// 400, 404, 409, 422 (negative replicas), 503.
    pub async fn update_scale(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        scale: &Value,
    ) -> Result<Value, Status> {
        let given = text(&scale["metadata"], "name");
        if !given.is_empty() && given != name {
            return Err(Status::bad_request(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        let version = text(&scale["metadata"], "resourceVersion");
        let replicas = replicas_of(name, scale)?;
        self.set_replicas(info, kind, ns, name, &mut |_| Ok((replicas, version.to_owned()))).await
    }

    /// Patches the Scale of an object.
    ///
    /// # Errors
    /// As [`Registry::update_scale`]; 409 for replicas that another manager owns.
    #[allow(clippy::too_many_arguments, reason = "the parts of one request line and body")]
    pub async fn patch_scale(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        patch: PatchKind,
        body: &Value,
    ) -> Result<Value, Status> {
        if patch == PatchKind::Apply {
            return self.apply_scale(info, kind, ns, name, body).await;
        }
        self.set_replicas(info, kind, ns, name, &mut |now| {
            let patched = patch::apply(SCALE, now, patch, body)?;
            let version = text(&patched["metadata"], "resourceVersion").to_owned();
            Ok((replicas_of(name, &patched)?, version))
        })
        .await
    }

    /// Applies a Scale: the object's `spec.replicas` and nothing else.
    async fn apply_scale(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        scale: &Value,
    ) -> Result<Value, Status> {
        let given = |field: &str| scale[field].as_str().unwrap_or_default();
        if given("apiVersion") != SCALE.api_version() || given("kind") != SCALE.kind {
            return Err(Status::bad_request(format!(
                "invalid object type: {}, Kind={}",
                given("apiVersion"),
                given("kind")
            )));
        }
        let mut config = json!({"apiVersion": kind.api_version(), "kind": kind.kind,
            "metadata": scale["metadata"], "spec": {}});
        if !scale["spec"]["replicas"].is_null() {
            set_wanted(kind, &mut config, replicas_of(name, scale)?);
        }
        let info = through_scale(info);
        let written = self.apply(&info, kind, ns, name, &config, Subresource::Main).await?;
        Ok(scale_of(&written.object))
    }

    async fn set_replicas(
        &self,
        info: &RequestInfo,
        kind: &'static Kind,
        ns: &str,
        name: &str,
        decide: &mut Decide<'_>,
    ) -> Result<Value, Status> {
        let info = through_scale(info);
        let written = self
            .modify(&info, kind, ns, name, Subresource::Main, &mut |value| {
                let (replicas, version) = decide(&scale_value(kind, value))?;
                set_wanted(kind, value, replicas);
                if !version.is_empty() {
                    value["metadata"]["resourceVersion"] = version.into();
                }
                Ok(true)
            })
            .await?;
        Ok(scale_of(&written.object))
    }
}

/// The owner of the replicas is known to have come through the subresource.
fn through_scale(info: &RequestInfo) -> RequestInfo {
    RequestInfo { through: "scale", ..info.clone() }
}

fn scale_of(object: &Object) -> Value {
    scale_value(object.kind(), object.value())
}

/// Where a custom kind has the parts of its Scale.
fn custom_paths(kind: &Kind) -> Option<ScalePaths> {
    kind.served()?.scale.clone()
}

pub(super) fn set_wanted(kind: &Kind, object: &mut Value, replicas: i64) {
    match custom_paths(kind) {
        Some(paths) => put_at(object, &paths.spec, replicas.into()),
        None => object["spec"]["replicas"] = replicas.into(),
    }
}

pub(super) fn scale_value(kind: &Kind, object: &Value) -> Value {
    let meta = &object["metadata"];
    let paths = custom_paths(kind);
    let number = |custom: Option<&Vec<String>>, usual: &str| match custom {
        Some(path) => value_at(object, path).and_then(Value::as_i64),
        None => object[usual]["replicas"].as_i64(),
    };
    let present = number(paths.as_ref().map(|p| &p.status), "status").unwrap_or(0);
    let wanted = number(paths.as_ref().map(|p| &p.spec), "spec");
    let mut scale = json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {}, "spec": {}, "status": {"replicas": present}});
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if !meta[field].is_null() {
            scale["metadata"][field] = meta[field].clone();
        }
    }
    if let Some(replicas) = wanted.filter(|n| *n != 0) {
        scale["spec"]["replicas"] = replicas.into();
    }
    if let Some(paths) = &paths {
        let selector = paths.selector.as_ref().and_then(|path| value_at(object, path)?.as_str());
        if let Some(selector) = selector.filter(|text| !text.is_empty()) {
            scale["status"]["selector"] = selector.into();
        }
        return scale;
    }
    let selector = &object["spec"]["selector"];
    // A replication controller's selector is a plain map of labels.
    let plain = json!({"matchLabels": selector});
    let selector = if object["kind"] == REPLICATION_CONTROLLER.kind { &plain } else { selector };
    if let Ok(selector) = LabelSelector::from_object(selector) {
        scale["status"]["selector"] = selector.to_string().into();
    }
    scale
}

pub(super) fn replicas_of(name: &str, scale: &Value) -> Result<i64, Status> {
    let replicas = scale["spec"]["replicas"].as_i64().unwrap_or(0);
    if (0..=i64::from(i32::MAX)).contains(&replicas) {
        return Ok(replicas);
    }
    let error =
        FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
    Err(Status::invalid(SCALE, name, &[error]))
}
