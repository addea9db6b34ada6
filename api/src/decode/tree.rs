//! Builds a `Value` from any serde source, records keys that occur twice, and stops at limits. For
//! YAML it also gives unquoted scalars the meaning they have in Kubernetes, and splices in merge
//! keys.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::{
    Duplicates, MAX_DEPTH,
    plain::{self, Plain},
    source::Source,
};

/// How much may be built.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    values: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn unlimited() -> Self {
        Self { values: usize::MAX, bytes: usize::MAX }
    }

    pub(super) fn new(values: usize, bytes: usize) -> Self {
        Self { values, bytes }
    }
}

/// One reading: what is left of the budget, and what was found twice.
#[derive(Debug)]
pub(super) struct Tree<'s> {
    values: Cell<usize>,
    bytes: Cell<usize>,
    duplicates: RefCell<Duplicates>,
    /// The YAML that is read; JSON has none.
    yaml: Option<Source<'s>>,
}

impl<'s> Tree<'s> {
    pub(super) fn new(budget: Budget, yaml: Option<Source<'s>>) -> Self {
        Self {
            values: Cell::new(budget.values),
            bytes: Cell::new(budget.bytes),
            duplicates: RefCell::default(),
            yaml,
        }
    }

    pub(super) fn read<'de, D: Deserializer<'de>>(&self, source: D) -> Result<Value, D::Error> {
        Seed { tree: self, depth: 0 }.deserialize(source)
    }

    pub(super) fn into_duplicates(self) -> Duplicates {
        self.duplicates.into_inner()
    }

    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let values = self.values.get().checked_sub(1);
        let bytes = self.bytes.get().checked_sub(bytes);
        let (Some(values), Some(bytes)) = (values, bytes) else {
            return Err(E::custom(TOO_MUCH));
        };
        self.values.set(values);
        self.bytes.set(bytes);
        Ok(())
    }

    /// Puts one path segment before the duplicates found since there were `before` of them. Paths
    /// are built only when something is wrong, so that fine input pays nothing.
    fn prefix(&self, before: usize, segment: impl Fn() -> String) {
        if self.found() > before {
            self.duplicates.borrow_mut().prefix(before, &segment());
        }
    }

    fn found(&self) -> usize {
        self.duplicates.borrow().paths().len()
    }

    fn found_twice(&self, key: &str, line: Option<usize>) {
        let mut duplicates = self.duplicates.borrow_mut();
        match line {
            _ if duplicates.is_full() => {}
            Some(line) => duplicates.add_line(line, key),
            None => duplicates.add_path(key),
        }
    }

    /// What a scalar that YAML 1.2 takes for text means in Kubernetes.
    fn resolve(&self, text: &str) -> Plain {
        match &self.yaml {
            Some(source) if source.is_plain(text) => plain::resolve(text),
            _ => Plain::Text,
        }
    }
}

/// Why reading stopped when the budget was spent; only aliases reach it.
pub(super) const TOO_MUCH: &str = "document contains excessive aliasing";

#[derive(Clone, Copy)]
struct Seed<'t> {
    tree: &'t Tree<'t>,
    depth: usize,
}

impl<'t> Seed<'t> {
    fn deeper<E: Error>(self) -> Result<Seed<'t>, E> {
        if self.depth >= MAX_DEPTH {
            return Err(E::custom(format!("exceeded max depth of {MAX_DEPTH}")));
        }
        Ok(Seed { tree: self.tree, depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.tree.spend(0)?;
        Ok(Value::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, source: D) -> Result<Value, D::Error> {
        self.deserialize(source)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Value, E> {
        self.tree.spend(0)?;
        Ok(Value::Bool(v))
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Value, E> {
        self.tree.spend(0)?;
        Ok(v.into())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Value, E> {
        self.tree.spend(0)?;
        Ok(v.into())
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        self.tree.spend(0)?;
        let number = match self.tree.yaml {
            Some(_) => plain::number(v),
            None => Number::from_f64(v),
        };
        number.map(Value::Number).ok_or_else(|| {
            let text = if v.is_nan() {
                "NaN"
            } else if v > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            };
            E::custom(format!("json: unsupported value: {text}"))
        })
    }

    fn visit_i128<E: Error>(self, v: i128) -> Result<Value, E> {
        self.visit_f64(v as f64)
    }

    fn visit_u128<E: Error>(self, v: u128) -> Result<Value, E> {
        self.visit_f64(v as f64)
    }

    fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Value, E> {
        match self.tree.resolve(v) {
            Plain::Bool(v) => self.visit_bool(v),
            Plain::Number(n) => {
                self.tree.spend(0)?;
                Ok(Value::Number(n))
            }
            Plain::Merge | Plain::Text => self.visit_str(v),
        }
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Value, E> {
        self.tree.spend(v.len())?;
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E: Error>(self, v: String) -> Result<Value, E> {
        self.tree.spend(v.len())?;
        Ok(Value::String(v))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        self.tree.spend(0)?;
        let inner = self.deeper()?;
        let mut out = Vec::new();
        loop {
            let before = self.tree.found();
            let Some(item) = items.next_element_seed(inner)? else { break };
            self.tree.prefix(before, || format!("[{}]", out.len()));
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.tree.spend(0)?;
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = entries.next_key_seed(KeySeed(self.tree))? {
            self.tree.spend(key.text.len())?;
            let before = self.tree.found();
            let value = entries.next_value_seed(inner)?;
            self.tree.prefix(before, || key.text.clone());
            if key.merge {
                merge(self.tree, &mut out, key.at, value).map_err(A::Error::custom)?;
            } else {
                put(self.tree, &mut out, key.text, key.at, value);
            }
        }
        Ok(Value::Object(out))
    }
}

fn put(
    tree: &Tree<'_>,
    out: &mut Map<String, Value>,
    key: String,
    at: Option<usize>,
    value: Value,
) {
    if out.contains_key(&key) {
        let line = at.and_then(|at| tree.yaml.as_ref().map(|s| s.value_line(at, &value)));
        tree.found_twice(&key, line);
    }
    out.insert(key, value);
}

/// Splices in what follows `<<`. As in go-yaml v2 the last one wins, wherever it stands.
fn merge(
    tree: &Tree<'_>,
    out: &mut Map<String, Value>,
    at: Option<usize>,
    value: Value,
) -> Result<(), &'static str> {
    const WANTED: &str = "map merge requires map or sequence of maps as the value";
    let maps = match value {
        Value::Object(map) => vec![map],
        Value::Array(items) => items
            .into_iter()
            // Earlier ones take precedence.
            .rev()
            .map(|item| if let Value::Object(map) = item { Ok(map) } else { Err(WANTED) })
            .collect::<Result<_, _>>()?,
        _ => return Err(WANTED),
    };
    for (key, value) in maps.into_iter().flatten() {
        put(tree, out, key, at, value);
    }
    Ok(())
}

/// A key, and where in the YAML it stands, if that is known.
struct Key {
    text: String,
    at: Option<usize>,
    merge: bool,
}

/// Keys are text; YAML's numbers and booleans become the text JSON would have.
struct KeySeed<'t>(&'t Tree<'t>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Key, D::Error> {
        source.deserialize_any(self)
    }
}

fn key<E>(text: impl ToString) -> Result<Key, E> {
    Ok(Key { text: text.to_string(), at: None, merge: false })
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: Error>(self, v: &'de str) -> Result<Key, E> {
        let at = self.0.yaml.as_ref().and_then(|source| source.offset(v));
        let (text, merge) = match self.0.resolve(v) {
            Plain::Bool(v) => (v.to_string(), false),
            Plain::Number(n) => (n.to_string(), false),
            Plain::Merge => (String::new(), true),
            Plain::Text => (v.to_owned(), false),
        };
        Ok(Key { text, at, merge })
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<Key, E> {
        key(v)
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<Key, E> {
        key(v)
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<Key, E> {
        key(v)
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<Key, E> {
        key(v)
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Key, E> {
        key(v)
    }
}
