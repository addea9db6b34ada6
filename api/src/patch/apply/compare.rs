//! Which paths two objects differ in, and which paths an object sets. Behaviour of
//! structured-merge-diff `typed/{compare,tofieldset,helpers}.go`.

use std::{collections::BTreeMap, sync::LazyLock};

use serde_json::{Map, Value};

use super::{
    field_set::{Element, FieldSet},
    topology::{self, Item, Keys, Place, Record},
};

static NULL: Value = Value::Null;
static EMPTY: LazyLock<Value> = LazyLock::new(|| Value::Object(Map::new()));

/// The paths in which one object differs from another.
#[derive(Debug, Default)]
pub(super) struct Difference {
    pub(super) added: FieldSet,
    pub(super) modified: FieldSet,
    pub(super) removed: FieldSet,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.modified.is_empty() && self.removed.is_empty()
    }

    fn attach(&mut self, element: &Element, inner: Self) {
        self.added.attach(element.clone(), inner.added);
        self.modified.attach(element.clone(), inner.modified);
        self.removed.attach(element.clone(), inner.removed);
    }

    /// What the writer of the new object sets.
    pub(super) fn set(&self) -> FieldSet {
        let mut set = self.added.clone();
        set.extend(self.modified.clone());
        set
    }
}

/// Compares `old` with `new`. A missing side is everything added or removed.
pub(super) fn compare(place: Place<'_>, old: Option<&Value>, new: Option<&Value>) -> Difference {
    let mut out = Difference::default();
    let descended = match resolve(place, old, new) {
        Place::Leaf => false,
        Place::Keyed(record, keys) => items(old, new, &mut out, |item| {
            key_of(item, record, keys).map(|key| (key, Place::Struct(record)))
        }),
        Place::Set => {
            items(old, new, &mut out, |item| Some((Element::Value(canonical(item)), Place::Leaf)))
        }
        inner => fields(inner, old, new, &mut out),
    };
    match (old, new) {
        (None, _) => out.added.member = true,
        (_, None) => out.removed.member = true,
        (Some(old), Some(new)) => out.modified.member = !descended && old != new,
    }
    out
}

/// What is walked at a place without a schema: an object by its keys, the rest as one value.
fn resolve<'s>(place: Place<'s>, old: Option<&Value>, new: Option<&Value>) -> Place<'s> {
    let object = |v: Option<&Value>| v.is_none_or(Value::is_object);
    match place {
        Place::Deduced if object(old) && object(new) => Place::Map(Item::Deduced),
        Place::Deduced => Place::Leaf,
        other => other,
    }
}

/// The entries of an object, if it is one and has any.
pub(super) fn entries(value: Option<&Value>) -> Option<&Map<String, Value>> {
    value.and_then(Value::as_object).filter(|map| !map.is_empty())
}

/// The items of a list, if it is one and has any.
pub(super) fn elements(value: Option<&Value>) -> Option<&[Value]> {
    value.and_then(Value::as_array).map(Vec::as_slice).filter(|list| !list.is_empty())
}

fn fields(
    place: Place<'_>,
    old: Option<&Value>,
    new: Option<&Value>,
    out: &mut Difference,
) -> bool {
    let (had, has) = (entries(old), entries(new));
    if had.is_none() && has.is_none() {
        return false;
    }
    // A struct that both sides have has all of its inner structs on both sides.
    let both = old.is_some() && new.is_some();
    let names = had.into_iter().flatten().chain(
        has.into_iter().flatten().filter(|(name, _)| had.is_none_or(|m| !m.contains_key(*name))),
    );
    for (name, _) in names {
        let slot = topology::below(place, name);
        let standing = match slot.place {
            _ if !slot.always || !both => None,
            Place::Struct(_) => Some(&*EMPTY),
            _ => Some(&NULL),
        };
        let old = had.and_then(|m| m.get(name)).or(standing);
        let new = has.and_then(|m| m.get(name)).or(standing);
        let inner = compare(slot.place, old, new);
        if !inner.is_empty() {
            out.attach(&Element::field(name), inner);
        }
    }
    true
}

/// The items of one identity, on both sides.
type Sides<'s, 'v> = (Place<'s>, Vec<&'v Value>, Vec<&'v Value>);

fn items<'s>(
    old: Option<&Value>,
    new: Option<&Value>,
    out: &mut Difference,
    identify: impl Fn(&Value) -> Option<(Element, Place<'s>)>,
) -> bool {
    let (had, has) = (elements(old), elements(new));
    if had.is_none() && has.is_none() {
        return false;
    }
    if had == has {
        return true;
    }
    let mut sides: BTreeMap<Element, Sides<'s, '_>> = BTreeMap::new();
    for (list, is_new) in [(had, false), (has, true)] {
        for (at, item) in list.into_iter().flatten().enumerate() {
            // What has no identity is told apart by its place, and is one value.
            let (element, place) =
                identify(item).unwrap_or((Element::Index(at as i64), Place::Leaf));
            let side = sides.entry(element).or_insert((place, Vec::new(), Vec::new()));
            if is_new { side.2.push(item) } else { side.1.push(item) }
        }
    }
    for (element, (place, old, new)) in sides {
        let inner = match (old.as_slice(), new.as_slice()) {
            ([_, _, ..], _) | (_, [_, _, ..]) => Difference {
                // Several items of one identity are one value.
                added: FieldSet::when(old.is_empty()),
                removed: FieldSet::when(new.is_empty()),
                modified: FieldSet::when(!old.is_empty() && !new.is_empty() && old != new),
            },
            (old, new) => compare(place, old.first().copied(), new.first().copied()),
        };
        if !inner.is_empty() {
            out.attach(&element, inner);
        }
    }
    true
}

/// The identity of an item of a keyed list; `None` when it has none of the keys.
pub(super) fn key_of(item: &Value, record: Record<'_>, keys: Keys<'_>) -> Option<Element> {
    let item = item.as_object()?;
    let mut names = keys.names();
    let named = names.iter().any(|key| item.contains_key(*key));
    names.sort_unstable();
    let mut json = String::with_capacity(32);
    for name in names {
        let value = match item.get(name) {
            Some(value) => canonical(value),
            None => match topology::key_default(record, name) {
                Some(default) => default.into(),
                None => continue,
            },
        };
        json.push(if json.is_empty() { '{' } else { ',' });
        json.push_str(&canonical(&name.into()));
        json.push(':');
        json.push_str(&value);
    }
    named.then(|| {
        json.push('}');
        Element::Key(json.into())
    })
}

pub(super) fn canonical(value: &Value) -> Box<str> {
    value.to_string().into()
}

/// The paths an applied object sets.
pub(super) fn field_set(place: Place<'_>, value: &Value) -> FieldSet {
    let mut out = FieldSet::default();
    match resolve(place, Some(value), None) {
        Place::Leaf => out.member = true,
        Place::Keyed(record, keys) => {
            for (at, item) in elements(Some(value)).into_iter().flatten().enumerate() {
                let mut set = field_set(Place::Struct(record), item);
                set.member = true;
                out.attach(key_of(item, record, keys).unwrap_or(Element::Index(at as i64)), set);
            }
        }
        Place::Set => {
            for item in elements(Some(value)).into_iter().flatten() {
                out.attach(Element::Value(canonical(item)), FieldSet::here());
            }
        }
        inner => {
            for (name, value) in entries(Some(value)).into_iter().flatten() {
                let slot = topology::below(inner, name);
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                let mut set = field_set(slot.place, value);
                set.member |= empty || !slot.declared;
                out.attach(Element::field(name), set);
            }
        }
    }
    out
}
