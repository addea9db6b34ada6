//! Builds a `Value` from any serde source, records keys that occur twice, and stops at limits.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::MAX_DEPTH;
use crate::schema::MAX_STRICT_ERRORS;

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
pub(super) struct Tree {
    values: Cell<usize>,
    bytes: Cell<usize>,
    duplicates: RefCell<Vec<String>>,
}

impl Tree {
    pub(super) fn new(budget: Budget) -> Self {
        Self {
            values: Cell::new(budget.values),
            bytes: Cell::new(budget.bytes),
            duplicates: RefCell::default(),
        }
    }

    pub(super) fn read<'de, D: Deserializer<'de>>(&self, source: D) -> Result<Value, D::Error> {
        Seed { tree: self, depth: 0 }.deserialize(source)
    }

    pub(super) fn into_duplicates(self) -> Vec<String> {
        self.duplicates.into_inner()
    }

    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let values = self.values.get().checked_sub(1);
        let bytes = self.bytes.get().checked_sub(bytes);
        let (Some(values), Some(bytes)) = (values, bytes) else {
            return Err(E::custom("the document has too many values"));
        };
        self.values.set(values);
        self.bytes.set(bytes);
        Ok(())
    }

    /// Puts one path segment before the duplicates found since there were `before` of them. Paths
    /// are built only when something is wrong, so that fine input pays nothing.
    fn prefix(&self, before: usize, segment: impl Fn() -> String) {
        let mut found = self.duplicates.borrow_mut();
        for path in found.iter_mut().skip(before) {
            let dot = if path.starts_with('[') { "" } else { "." };
            *path = format!("{}{dot}{path}", segment());
        }
    }

    fn found(&self) -> usize {
        self.duplicates.borrow().len()
    }
}

#[derive(Clone, Copy)]
struct Seed<'t> {
    tree: &'t Tree,
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
        Number::from_f64(v).map(Value::Number).ok_or_else(|| E::custom("numbers must be finite"))
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
            if self.tree.found() > before {
                self.tree.prefix(before, || format!("[{}]", out.len()));
            }
            out.push(item);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.tree.spend(0)?;
        let inner = self.deeper()?;
        let mut out = Map::new();
        while let Some(key) = entries.next_key_seed(Key)? {
            self.tree.spend(key.len())?;
            let before = self.tree.found();
            let value = entries.next_value_seed(inner)?;
            if self.tree.found() > before {
                self.tree.prefix(before, || key.clone());
            }
            if out.contains_key(&key) && self.tree.found() < MAX_STRICT_ERRORS {
                self.tree.duplicates.borrow_mut().push(key.clone());
            }
            out.insert(key, value);
        }
        Ok(Value::Object(out))
    }
}

/// Keys are text; YAML's numbers and booleans become the text JSON would have.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = String;
    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<String, D::Error> {
        source.deserialize_any(self)
    }
}

impl Visitor<'_> for Key {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, v: &str) -> Result<String, E> {
        Ok(v.to_owned())
    }

    fn visit_bool<E: Error>(self, v: bool) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_i64<E: Error>(self, v: i64) -> Result<String, E> {
        Ok(v.to_string())
    }

    fn visit_u64<E: Error>(self, v: u64) -> Result<String, E> {
        Ok(v.to_string())
    }
}
