//! JSON bodies.

use super::{
    Decoded, go_json,
    tree::{Budget, Tree},
};

pub(super) fn decode(body: &[u8]) -> Result<Decoded, String> {
    read(body).map_err(|e| go_json::syntax_error(body).unwrap_or_else(|| e.to_string()))
}

fn read(body: &[u8]) -> serde_json::Result<Decoded> {
    // Every value takes at least two bytes, so the size bounds the values; the budget is for YAML.
    let tree = Tree::new(Budget::unlimited(), None);
    let mut reader = serde_json::Deserializer::from_slice(body);
    let object = tree.read(&mut reader)?;
    reader.end()?;
    Ok(Decoded { object, duplicates: tree.into_duplicates() })
}
