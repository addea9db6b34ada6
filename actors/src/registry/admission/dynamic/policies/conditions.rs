//! `matchConditions` (apiserver `pkg/admission/plugin/webhook/matchconditions`): all must hold.

use kabuki_api::cel::{Budget, Compiled, MATCH_CONDITIONS_BUDGET, Value, Variables};
use serde_json::Value as Json;

use super::input::worded;

/// Whether all conditions of `owner` (a policy's `spec`, or a webhook) hold. One that is false
/// decides even when others fail.
///
/// # Errors
/// What failed, where none is false.
pub(super) fn hold(
    owner: &Json,
    compiled: &[(String, Compiled)],
    variables: &Variables<'_>,
) -> Result<bool, String> {
    let mut budget = Budget::new(MATCH_CONDITIONS_BUDGET);
    let mut errors = Vec::new();
    for (i, (_, program)) in compiled.iter().enumerate() {
        let expression = owner["matchConditions"][i]["expression"].as_str().unwrap_or_default();
        match program {
            Err(error) => errors.push(format!("compilation error: {error}")),
            Ok(program) => match program.eval(variables, &mut budget) {
                Ok(Value::Bool(true)) => {}
                Ok(_) => return Ok(false),
                Err(error) => errors.push(worded(expression.trim(), &error)),
            },
        }
    }
    match errors.as_slice() {
        [] => Ok(true),
        [one] => Err(one.clone()),
        many => Err(format!("[{}]", many.join(", "))),
    }
}
