//! Validating webhooks: all that match are asked at once.

use futures_util::{StreamExt, future::BoxFuture, stream};
use kabuki_api::status::Status;
use serde_json::Value;

use super::{
    super::{Attributes, Registry},
    ask::{Refusal, Seen, ask},
    hook::Hook,
    review::Answer,
    rules, validating_hooks,
};

/// Webhooks asked at once about one request.
const AT_ONCE: usize = 64;
const FAILED_OPEN: &str = "failed-open.validating.webhook.admission.k8s.io";

/// Asks the validating webhooks that match.
///
/// # Errors
/// The refusal of the first that refuses; 500 for one that could not be asked and must be.
pub(in super::super) async fn validate(
    registry: &Registry,
    attributes: &Attributes<'_>,
    object: &Value,
) -> Result<(), Status> {
    let hooks = validating_hooks(registry);
    let mut asked: Vec<BoxFuture<'_, Asked<'_>>> = Vec::new();
    for (index, hook) in hooks.iter().enumerate() {
        if let Some(kind) = rules::wanted(registry, hook, attributes, object)? {
            let seen = Seen::new(attributes, kind, object);
            if hook.conditions.hold(registry, attributes, &seen, hook.ignores_failure)? {
                asked.push(Box::pin(one(registry, attributes, index, hook, seen)));
            }
        }
    }
    let mut answers = stream::iter(asked).buffered(AT_ONCE);
    while let Some((index, hook, answer)) = answers.next().await {
        match answer {
            Ok(_) => {}
            Err(Refusal::Denied(status)) => return Err(status),
            Err(Refusal::Failed(why)) if hook.ignores_failure => {
                tracing::warn!(%why, "a webhook that may fail did");
                let key = format!("{FAILED_OPEN}/round_0_index_{index}");
                attributes.notes().annotate(&key, &hook.name);
            }
            Err(Refusal::Failed(why)) => return Err(Status::internal(why)),
        }
    }
    Ok(())
}

/// Place of a webhook, the webhook, and what came of asking it.
type Asked<'a> = (usize, &'a Hook, Result<Answer, Refusal>);

async fn one<'a>(
    registry: &'a Registry,
    attributes: &'a Attributes<'a>,
    index: usize,
    hook: &'a Hook,
    seen: Seen,
) -> Asked<'a> {
    (index, hook, ask(registry, attributes, hook, &seen, false).await)
}
