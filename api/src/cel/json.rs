//! Values as JSON again: what a mutation sets.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Map as JsonMap, Value as Json};

use super::{
    budget::Budget,
    error::{EvalError, failed},
    eval::MAX_VALUE_NESTING,
    functions::convert::plain,
    types::Type,
    value::{Key, Map, Value},
};

impl Value<'_> {
    /// The value as JSON. Pays from the budget for what is copied.
    ///
    /// # Errors
    /// [`EvalError`] for values that JSON has no form for, and for too deep or too large ones.
    pub fn to_json(&self, budget: &mut Budget) -> Result<Json, EvalError> {
        budget.start_call();
        convert(self, budget, MAX_VALUE_NESTING)
    }
}

fn convert(value: &Value<'_>, budget: &mut Budget, left: usize) -> Result<Json, EvalError> {
    budget.work(1)?;
    if left == 0 {
        return failed("value nests too deep");
    }
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(v) => Json::Bool(*v),
        Value::Int(v) => Json::from(*v),
        Value::Uint(v) => Json::from(*v),
        Value::Double(v) => Json::from(*v),
        Value::Bytes(b) => {
            budget.work(b.len() / 16)?;
            Json::String(BASE64_STANDARD.encode(b))
        }
        Value::Optional(inner) => match inner {
            Some(inner) => convert(inner, budget, left - 1)?,
            None => Json::Null,
        },
        Value::List(list) => {
            let items: Result<Vec<Json>, EvalError> =
                list.iter().map(|item| convert(&item, budget, left - 1)).collect();
            Json::Array(items?)
        }
        Value::Map(map) => {
            let mut out = JsonMap::new();
            for key in map.keys() {
                let Some(item) = map.get(&key) else { continue };
                let name = key_name(map, key)?;
                budget.work(name.len() / 16 + 1)?;
                out.insert(name, convert(&item, budget, left - 1)?);
            }
            Json::Object(out)
        }
        other => match plain(other) {
            Some(text) => {
                budget.work(text.len() / 16)?;
                Json::String(text)
            }
            None => return failed(format!("unable to convert {} to JSON", other.type_name())),
        },
    })
}

fn key_name(map: &Map<'_>, key: Key<'_>) -> Result<String, EvalError> {
    match (map, key) {
        (Map::Json(_, Type::Object(object)), Key::String(name)) => Ok(object
            .fields
            .get(name.as_str())
            .map_or_else(|| name.as_str().to_owned(), |(original, _)| original.clone())),
        (_, Key::String(name)) => Ok(name.as_str().to_owned()),
        _ => failed("a key of a JSON object must be a string"),
    }
}
