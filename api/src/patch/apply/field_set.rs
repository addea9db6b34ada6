//! Sets of field paths: what a manager owns. Kept as a tree of path elements, written as `fieldsV1`.
//! Behaviour of structured-merge-diff `fieldpath/{set,element,serialize}.go`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::topology::{self, Place};

/// One step of a path, in the order of `fieldsV1`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Element {
    /// `f:name`: a field of a struct or a key of a map.
    Field(Box<str>),
    /// `k:{"name":"c"}`: the item of a keyed list; canonical JSON.
    Key(Box<str>),
    /// `v:"x"`: the item of a set; canonical JSON.
    Value(Box<str>),
    /// `i:0`: the item at a position.
    Index(i64),
}

impl Element {
    pub(super) fn field(name: &str) -> Self {
        Self::Field(name.into())
    }

    /// Reads a key of `fieldsV1`.
    fn parse(text: &str) -> Option<Self> {
        let (form, rest) = text.split_once(':')?;
        let canonical = |text: &str| serde_json::from_str::<Value>(text).ok();
        match form {
            "f" => Some(Self::field(rest)),
            "k" => {
                canonical(rest).filter(Value::is_object).map(|v| Self::Key(v.to_string().into()))
            }
            "v" => canonical(rest).map(|v| Self::Value(v.to_string().into())),
            "i" => rest.parse().ok().map(Self::Index),
            _ => None,
        }
    }

    pub(super) fn write(&self, out: &mut String) {
        match self {
            Self::Field(name) => write_text(out, "f:", name),
            Self::Key(json) => write_text(out, "k:", json),
            Self::Value(json) => write_text(out, "v:", json),
            Self::Index(at) => write_text(out, "i:", &at.to_string()),
        }
    }

    /// Appends the element as conflicts show it: `.name`, `[name="c"]`, `[="x"]`, `[0]`.
    pub(super) fn show(&self, out: &mut String) {
        match self {
            Self::Field(name) => {
                out.push('.');
                out.push_str(name);
            }
            Self::Key(json) => {
                let keys: Value = serde_json::from_str(json).unwrap_or_default();
                let keys = keys.as_object().into_iter().flatten();
                let keys: Vec<_> = keys.map(|(name, value)| format!("{name}={value}")).collect();
                out.push_str(&format!("[{}]", keys.join(",")));
            }
            Self::Value(json) => out.push_str(&format!("[={json}]")),
            Self::Index(at) => out.push_str(&format!("[{at}]")),
        }
    }
}

/// Appends `"<prefix><text>"`, escaped.
pub(super) fn write_text(out: &mut String, prefix: &str, text: &str) {
    out.push('"');
    out.push_str(prefix);
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push_str(text);
    } else {
        let quoted = Value::from(text).to_string();
        out.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
    }
    out.push('"');
}

/// A set of paths: whether the place itself is in it, and what is below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    pub(super) member: bool,
    /// Never holds empty sets.
    children: BTreeMap<Element, FieldSet>,
}

impl FieldSet {
    /// The place itself and nothing below.
    pub(super) fn here() -> Self {
        Self::when(true)
    }

    /// The place itself, if so.
    pub(super) fn when(member: bool) -> Self {
        Self { member, children: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }

    pub(super) fn child(&self, element: &Element) -> Option<&Self> {
        self.children.get(element)
    }

    pub(super) fn field(&self, name: &str) -> Option<&Self> {
        self.child(&Element::field(name))
    }

    /// Adds what is below `element`; an empty set adds nothing.
    pub(super) fn attach(&mut self, element: Element, set: Self) {
        if set.is_empty() {
            return;
        }
        match self.children.get_mut(&element) {
            Some(had) => had.extend(set),
            None => {
                self.children.insert(element, set);
            }
        }
    }

    /// Removes a field and all below it.
    pub(super) fn drop_field(&mut self, name: &str) {
        self.children.remove(&Element::field(name));
    }

    /// Keeps the children a test names.
    pub(super) fn retain_fields(&mut self, keep: impl Fn(&str) -> bool) {
        self.children.retain(|element, _| match element {
            Element::Field(name) => keep(name),
            _ => true,
        });
    }

    /// Union.
    pub(super) fn extend(&mut self, other: Self) {
        self.member |= other.member;
        for (element, set) in other.children {
            self.attach(element, set);
        }
    }

    /// Difference.
    pub(super) fn subtract(&mut self, other: &Self) {
        self.member &= !other.member;
        if other.children.is_empty() {
            return;
        }
        self.children.retain(|element, set| {
            if let Some(other) = other.children.get(element) {
                set.subtract(other);
            }
            !set.is_empty()
        });
    }

    /// Intersection.
    pub(super) fn common(&self, other: &Self) -> Self {
        let mut out = Self { member: self.member && other.member, children: BTreeMap::new() };
        for (element, set) in &self.children {
            if let Some(other) = other.children.get(element) {
                out.attach(element.clone(), set.common(other));
            }
        }
        out
    }

    /// The set with every declared field that has something below it: a struct whose fields are
    /// owned counts as owned where items are removed.
    pub(super) fn with_structs(&self, place: Place<'_>) -> Self {
        let mut out = Self { member: self.member, children: BTreeMap::new() };
        for (element, set) in &self.children {
            let (inner, declared) = match (element, place) {
                (Element::Field(name), place) => {
                    let slot = topology::below(place, name);
                    (slot.place, slot.declared)
                }
                (Element::Key(_), Place::Keyed(record, _)) => (Place::Struct(record), false),
                _ => (Place::Deduced, false),
            };
            let mut set = set.with_structs(inner);
            set.member |= declared;
            out.children.insert(element.clone(), set);
        }
        out
    }

    /// Every path as conflicts show it, outer ones first.
    pub(super) fn shown(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.show(&mut String::new(), &mut out);
        out
    }

    fn show(&self, path: &mut String, out: &mut Vec<String>) {
        let length = path.len();
        for (element, _) in self.children.iter().filter(|(_, set)| set.member) {
            element.show(path);
            out.push(path.clone());
            path.truncate(length);
        }
        for (element, set) in &self.children {
            element.show(path);
            set.show(path, out);
            path.truncate(length);
        }
    }

    /// Appends `fieldsV1`.
    pub(super) fn write(&self, out: &mut String) {
        out.push('{');
        let mut first = true;
        if self.member && !self.children.is_empty() {
            out.push_str("\".\":{}");
            first = false;
        }
        for (element, set) in &self.children {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            element.write(out);
            out.push(':');
            set.write(out);
        }
        out.push('}');
    }

    /// Reads `fieldsV1`; `None` when it is not well-formed.
    pub(super) fn read(json: &Value) -> Option<Self> {
        let mut out = Self::default();
        for (key, inner) in json.as_object()? {
            if key == "." {
                out.member = true;
                continue;
            }
            let mut set = Self::read(inner)?;
            // An element without anything below it is a member.
            set.member |= set.children.is_empty();
            out.attach(Element::parse(key)?, set);
        }
        Some(out)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(json: Value) -> FieldSet {
        FieldSet::read(&json).unwrap()
    }

    #[test]
    fn written_form_round_trips() {
        let text = concat!(
            r#"{"f:metadata":{"f:finalizers":{".":{},"v:\"a/b\"":{}}},"#,
            r#""f:spec":{"f:containers":{"k:{\"name\":\"c\"}":{".":{},"f:image":{}}},"i:3":{}}}"#
        );
        let read = FieldSet::read(&serde_json::from_str(text).unwrap()).unwrap();
        let mut out = String::new();
        read.write(&mut out);
        assert_eq!(out, text);
        assert_eq!(FieldSet::read(&json!({"x:y": {}})), None);
        assert_eq!(FieldSet::read(&json!({"k:no": {}})), None);
    }

    #[test]
    fn algebra() {
        let a = set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let b = set(json!({"f:a": {"f:b": {}}, "f:d": {}}));
        let mut left = a.clone();
        left.subtract(&b);
        assert_eq!(left, set(json!({"f:a": {}, "f:c": {}})));
        assert_eq!(a.common(&b), set(json!({"f:a": {"f:b": {}}})));
        let mut union = a.clone();
        union.extend(b);
        assert_eq!(union, set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}, "f:d": {}})));
        left.subtract(&a);
        assert!(left.is_empty());
    }

    #[test]
    fn paths_as_conflicts_show_them() {
        let shown = set(json!({"f:spec": {"f:ports": {
            "k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}}},
            "f:x": {"v:\"s\"": {}}}))
        .shown();
        assert_eq!(
            shown,
            [
                ".spec.ports[port=80,protocol=\"TCP\"]",
                ".spec.ports[port=80,protocol=\"TCP\"].name",
                ".x[=\"s\"]"
            ]
        );
    }
}
