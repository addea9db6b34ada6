//! The template hash that names ReplicaSets and labels their pods.

use kabuki_api::name::safe_encode;
use serde_json::Value;

/// Label by which the pods of one revision are told from those of others.
pub(super) const POD_TEMPLATE_HASH: &str = "pod-template-hash";

/// A short text that is the same for equal templates. `collisions` is mixed in, so that a name that
/// is taken by another template can be avoided.
pub(super) fn template_hash(template: &Value, collisions: Option<i64>) -> String {
    let mut text = String::new();
    canonical(template, &mut text);
    let mut hash = Fnv::default();
    hash.write(text.as_bytes());
    if let Some(count) = collisions {
        hash.write(&count.to_le_bytes());
    }
    safe_encode(&hash.0.to_string())
}

/// Whether two templates mean the same pods. The hash label is left out: the one in a ReplicaSet has
/// it, the one in its Deployment does not.
pub(super) fn same_template(a: &Value, b: &Value) -> bool {
    without_hash(a) == without_hash(b)
}

fn without_hash(template: &Value) -> Value {
    let mut template = template.clone();
    if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
        labels.remove(POD_TEMPLATE_HASH);
    }
    template
}

/// Writes a value with its keys in order, whatever order the map keeps.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<_> = map.keys().collect();
            keys.sort_unstable();
            out.push('{');
            for key in keys {
                out.push_str(key);
                out.push(':');
                canonical(&map[key], out);
                out.push(',');
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for item in items {
                canonical(item, out);
                out.push(',');
            }
            out.push(']');
        }
        other => out.push_str(&other.to_string()),
    }
}

/// FNV-1a, 32 bits, as upstream uses it.
struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_templates_have_equal_hashes() {
        let template = |image: &str| json!({"spec": {"containers": [{"image": image}]}});
        assert_eq!(template_hash(&template("a"), None), template_hash(&template("a"), None));
        assert_ne!(template_hash(&template("a"), None), template_hash(&template("b"), None));
        assert_ne!(template_hash(&template("a"), None), template_hash(&template("a"), Some(1)));
        assert!(template_hash(&template("a"), None).len() <= 10);
        let labelled = json!({"metadata": {"labels": {POD_TEMPLATE_HASH: "x", "a": "b"}}});
        assert!(same_template(&labelled, &json!({"metadata": {"labels": {"a": "b"}}})));
    }
}
