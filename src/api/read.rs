//! `get` and `list`.

use std::sync::Arc;

use actix_web::HttpResponse;
use kabuki_actors::registry::{ListResult, Object};
use kabuki_api::{
    kind::Kind,
    status::Status,
    table::{self, ListMeta, TableStyle, Version},
};
use serde_json::Value;
use time::OffsetDateTime;

use super::{
    accept::{Form, Offer},
    answer,
    call::Call,
    face::Face,
};

/// Lists longer than this are rendered outside the HTTP workers.
const OFFLOAD_ABOVE_ITEMS: usize = 100;

/// One object.
pub(super) async fn get(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
) -> Result<HttpResponse, Status> {
    call.negotiate(Offer::Single)?;
    let (namespace, name) = call.object_name();
    let version = call.query.get("resourceVersion");
    let object = face.registry.get_consistent(kind, namespace, name, version).await?;
    one(face, call, &object, 200).await
}

/// Answers one object in the rendering asked for.
pub(super) async fn one(
    face: &Face,
    call: &Call,
    object: &Arc<Object>,
    code: u16,
) -> Result<HttpResponse, Status> {
    let (accepted, looks) = call.negotiate(Offer::Single)?;
    let json = match accepted.form {
        Form::Table(version) => {
            let style = TableStyle { version, include: call.include()?, without_columns: false };
            table::table(object.kind(), &detached(object), style, face.now()).into()
        }
        Form::Partial(version) => {
            table::partial_metadata(&detached(object), version).to_string().into()
        }
        Form::Object | Form::PartialList(_) => object.encoded(),
    };
    Ok(answer::document(code, json, looks).await)
}

/// Answers a value of `kind` that is not stored as such in the rendering asked for.
pub(super) async fn rendered(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
    value: &Value,
) -> Result<HttpResponse, Status> {
    let (accepted, looks) = call.negotiate(Offer::Single)?;
    let shown = match accepted.form {
        Form::Table(version) => {
            let style = TableStyle { version, include: call.include()?, without_columns: false };
            return Ok(answer::document(
                200,
                table::table(kind, value, style, face.now()).into(),
                looks,
            )
            .await);
        }
        Form::Partial(version) => &table::partial_metadata(value, version),
        Form::Object | Form::PartialList(_) => value,
    };
    Ok(answer::value(200, shown, looks).await)
}

/// A list.
pub(super) async fn list(
    face: &Face,
    call: &Call,
    kind: &'static Kind,
) -> Result<HttpResponse, Status> {
    let (accepted, looks) = call.negotiate(Offer::List)?;
    let include = call.include()?;
    let (namespace, _) = call.object_name();
    let mut options = call.query.list_options(namespace)?;
    if let Some(name) = call.resource.as_ref().map(|r| r.name.as_str()).filter(|n| !n.is_empty()) {
        options.field_selector = format!("metadata.name={name}");
    }
    let found = face.registry.list_consistent(kind, &options).await?;
    let rendering = match accepted.form {
        Form::Table(version) => {
            Rendering::Table(TableStyle { version, include, without_columns: false })
        }
        Form::PartialList(version) => Rendering::Partial(version),
        Form::Object | Form::Partial(_) => return Ok(answer::list(found, looks).await),
    };
    let now = face.now();
    let json = if found.items.len() > OFFLOAD_ABOVE_ITEMS {
        tokio::task::spawn_blocking(move || render(&found, rendering, now))
            .await
            .map_err(Status::internal)?
    } else {
        render(&found, rendering, now)
    };
    Ok(answer::document(200, json.into(), looks).await)
}

#[derive(Clone, Copy)]
enum Rendering {
    Table(TableStyle),
    Partial(Version),
}

fn render(list: &ListResult, rendering: Rendering, now: OffsetDateTime) -> Vec<u8> {
    let meta = ListMeta {
        resource_version: list.revision.to_string(),
        continue_token: list.continue_token.clone(),
        remaining: list.remaining,
    };
    let values: Vec<Value> = list.items.iter().map(|o| detached(o)).collect();
    let mut out = Vec::with_capacity(1024 + values.len() * 512);
    match rendering {
        Rendering::Table(style) => {
            table::write_table(&mut out, list.kind, &meta, values.iter(), style, now);
        }
        Rendering::Partial(version) => {
            table::write_partial_list(&mut out, &meta, values.iter(), version);
        }
    }
    out
}

/// The object decoded for this answer alone: rendering a long list must not leave a decoded copy
/// of every object in memory.
pub(super) fn detached(object: &Object) -> Value {
    serde_json::from_slice(&object.encoded()).unwrap_or_default()
}
