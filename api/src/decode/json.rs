//! JSON bodies.

use super::{
    Decoded,
    tree::{Budget, Tree},
};

pub(super) fn decode(body: &[u8]) -> Result<Decoded, String> {
    // Every value takes at least two bytes, so the size bounds the values; the budget is for YAML.
    let tree = Tree::new(Budget::unlimited());
    let mut reader = serde_json::Deserializer::from_slice(body);
    let object = tree.read(&mut reader).map_err(|e| wording(&e))?;
    reader.end().map_err(|e| format!("invalid character after top-level value: {e}"))?;
    Ok(Decoded { object, duplicate_fields: tree.into_duplicates() })
}

fn wording(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return "unexpected end of JSON input".to_owned();
    }
    error.to_string()
}
