//! Taking out what the schema does not name (`schema/pruning/algorithm.go`).

use serde_json::Value;

use super::node::{Node, Schema};
use crate::schema::{MAX_STRICT_ERRORS, prune_metadata};

impl Schema {
    /// Removes the fields the schema does not name. `apiVersion`, `kind` and `metadata` stay, of
    /// embedded resources too, and what is below `x-kubernetes-preserve-unknown-fields`. Answers
    /// the paths of what went, such as `spec.list[0].foo`, at most
    /// [`crate::schema::MAX_STRICT_ERRORS`].
    pub fn prune(&self, object: &mut Value) -> Vec<String> {
        prune_node(&self.root, object, true)
    }
}

/// Prunes a value that is no whole object unless `is_root`: a default.
pub(super) fn prune_node(node: &Node, value: &mut Value, is_root: bool) -> Vec<String> {
    let mut gone = Gone { path: String::new(), found: Vec::new() };
    gone.prune(Some(node), value, is_root, false);
    gone.found
}

struct Gone {
    path: String,
    found: Vec<String>,
}

impl Gone {
    /// `preserve`: the list this is an item of keeps what is unknown.
    fn prune(&mut self, node: Option<&Node>, value: &mut Value, is_root: bool, preserve: bool) {
        let preserve = preserve || node.is_some_and(|n| n.preserve);
        match value {
            Value::Object(map) => {
                map.retain(|name, inner| {
                    if node.is_some_and(|n| n.is_meta(is_root, name)) {
                        if !is_root && name == "metadata" {
                            self.metadata(inner);
                        }
                        return true;
                    }
                    let length = self.path.len();
                    if !self.path.is_empty() {
                        self.path.push('.');
                    }
                    self.path.push_str(name);
                    let keep = self.field(node, preserve, name, inner);
                    if !keep && self.found.len() < MAX_STRICT_ERRORS {
                        self.found.push(self.path.clone());
                    }
                    self.path.truncate(length);
                    keep
                });
            }
            Value::Array(items) => {
                let inner = node.and_then(|n| n.items.as_deref());
                if preserve && inner.is_none() {
                    return;
                }
                let length = self.path.len();
                for (i, item) in items.iter_mut().enumerate() {
                    self.path.push_str(&format!("[{i}]"));
                    self.prune(inner, item, false, preserve);
                    self.path.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// The metadata of an embedded resource has the fields of all metadata.
    fn metadata(&mut self, metadata: &mut Value) {
        let dot = if self.path.is_empty() { "" } else { "." };
        for name in prune_metadata(metadata) {
            if self.found.len() < MAX_STRICT_ERRORS {
                self.found.push(format!("{}{dot}metadata.{name}", self.path));
            }
        }
    }

    /// Prunes below a field; answers whether the field itself stays.
    fn field(
        &mut self,
        node: Option<&Node>,
        preserve: bool,
        name: &str,
        inner: &mut Value,
    ) -> bool {
        let Some(node) = node else { return false };
        match node.property(name) {
            Some(property) => self.prune(Some(property), inner, false, false),
            // `additionalProperties: true` keeps the property and nothing that is in it; `false`
            // is for the validation to refuse.
            None if node.says_additional() => self.prune(None, inner, false, false),
            None => return preserve,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_named_goes() {
        let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let pod = json!({"type": "object", "x-kubernetes-embedded-resource": true,
            "properties": {"spec": {"type": "object"}}});
        for (schema, object, want, gone) in [
            (
                json!({}),
                json!({"apiVersion": "a", "kind": "b", "metadata": {"x": 1}, "spec": {}}),
                json!({"apiVersion": "a", "kind": "b", "metadata": {"x": 1}}),
                vec!["spec"],
            ),
            (
                json!({"properties": {"spec": {"properties": {"a": {}}}}}),
                json!({"spec": {"a": 1, "foo": 2}, "bar": 3}),
                json!({"spec": {"a": 1}}),
                vec!["bar", "spec.foo"],
            ),
            (
                json!({"properties": {"l": {"items": {"properties": {"a": {}}}}}}),
                json!({"l": [{"a": 1}, {"b": 2}]}),
                json!({"l": [{"a": 1}, {}]}),
                vec!["l[1].b"],
            ),
            (
                json!({"properties": {"m": {"additionalProperties": {"properties": {"a": {}}}}}}),
                json!({"m": {"k": {"a": 1, "b": 2}}}),
                json!({"m": {"k": {"a": 1}}}),
                vec!["m.k.b"],
            ),
            (
                json!({"properties": {"m": {"additionalProperties": true}}}),
                json!({"m": {"k": {"a": 1}, "s": 1}}),
                json!({"m": {"k": {}, "s": 1}}),
                vec!["m.k.a"],
            ),
            (
                json!({"properties": {"o": open}}),
                json!({"o": {"x": {"y": [1, {"z": 1}]}}}),
                json!({"o": {"x": {"y": [1, {"z": 1}]}}}),
                vec![],
            ),
            (
                json!({"x-kubernetes-preserve-unknown-fields": true,
                "properties": {"a": {"properties": {"b": {}}}}}),
                json!({"a": {"b": 1, "c": 2}, "d": {"e": 1}}),
                json!({"a": {"b": 1}, "d": {"e": 1}}),
                vec!["a.c"],
            ),
            (
                json!({"properties": {"p": pod}}),
                json!({"p": {"apiVersion": "v1", "metadata": {"l": 1, "name": "n"}, "spec": {"a": 1},
                    "x": 1}}),
                json!({"p": {"apiVersion": "v1", "metadata": {"name": "n"}, "spec": {}}}),
                vec!["p.metadata.l", "p.spec.a", "p.x"],
            ),
        ] {
            let mut object = object;
            let compiled = Schema::compile(&schema).unwrap();
            assert_eq!(compiled.prune(&mut object), gone, "{schema}");
            assert_eq!(object, want, "{schema}");
        }
    }
}
