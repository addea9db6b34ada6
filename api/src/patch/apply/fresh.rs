//! `fieldsV1` of a new object, written straight from it: creates are the hot path, and building a
//! tree of paths first costs several times as much. Says the same as [`super::compare::compare`]
//! against an object without content; a test holds the two together.

use serde_json::Value;

use super::{
    compare::{canonical, elements, entries, key_of},
    field_set::{Element, write_text},
    topology::{self, Item, Place},
};

/// Whether something stands at the place already: a struct that Go always has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Had {
    Nothing,
    Empty,
}

/// Appends the `fieldsV1` of `object`, without the fields for which `skip` says so: it is asked for
/// the fields of the root and of the metadata, by depth and name. Answers whether there are any.
pub(super) fn write(
    place: Place<'_>,
    object: &Value,
    skip: &dyn Fn(&[&str]) -> bool,
    out: &mut String,
) -> bool {
    let start = out.len();
    out.push('{');
    let mut first = true;
    for (name, value) in entries(Some(object)).into_iter().flatten() {
        if skip(&[name]) {
            continue;
        }
        let slot = topology::below(place, name);
        let had = if slot.always { Had::Empty } else { Had::Nothing };
        let mark = begin(out, first, |out| write_text(out, "f:", name));
        let written = if name == "metadata" {
            write_metadata(slot.place, value, skip, out)
        } else {
            write_value(slot.place, value, had, out)
        };
        end(out, mark, written, &mut first);
    }
    out.push('}');
    if first {
        out.truncate(start);
    }
    !first
}

fn write_metadata(
    place: Place<'_>,
    value: &Value,
    skip: &dyn Fn(&[&str]) -> bool,
    out: &mut String,
) -> bool {
    out.push('{');
    let mut first = true;
    for (name, value) in entries(Some(value)).into_iter().flatten() {
        if skip(&["metadata", name]) {
            continue;
        }
        let mark = begin(out, first, |out| write_text(out, "f:", name));
        let written = write_value(topology::below(place, name).place, value, Had::Nothing, out);
        end(out, mark, written, &mut first);
    }
    out.push('}');
    !first
}

/// Writes the separator and the key; answers where to cut when nothing follows.
fn begin(out: &mut String, first: bool, key: impl FnOnce(&mut String)) -> usize {
    let mark = out.len();
    if !first {
        out.push(',');
    }
    key(out);
    out.push(':');
    mark
}

fn end(out: &mut String, mark: usize, written: bool, first: &mut bool) {
    if written {
        *first = false;
    } else {
        out.truncate(mark);
    }
}

/// Writes what is below one place; answers whether it belongs into the set.
fn write_value(place: Place<'_>, value: &Value, had: Had, out: &mut String) -> bool {
    let place = match (place, value) {
        (Place::Deduced, Value::Object(_)) => Place::Map(Item::Deduced),
        (other, _) => other,
    };
    let mut first = true;
    match place {
        Place::Struct(_) | Place::Map(_) if entries(Some(value)).is_some() => {
            out.push('{');
            member(had, &mut first, out);
            for (name, value) in entries(Some(value)).into_iter().flatten() {
                let slot = topology::below(place, name);
                // Below something new everything is new.
                let had = if slot.always { had } else { Had::Nothing };
                let mark = begin(out, first, |out| write_text(out, "f:", name));
                let written = write_value(slot.place, value, had, out);
                end(out, mark, written, &mut first);
            }
        }
        Place::Keyed(record, keys) if elements(Some(value)).is_some() => {
            let items = elements(Some(value)).unwrap_or_default().iter().enumerate();
            let mut items: Vec<(Element, &Value)> = items
                .map(|(at, item)| {
                    (key_of(item, record, keys).unwrap_or(Element::Index(at as i64)), item)
                })
                .collect();
            items.sort_by(|a, b| a.0.cmp(&b.0));
            let twins = items.windows(2).any(|pair| pair[0].0 == pair[1].0);
            out.push('{');
            member(had, &mut first, out);
            for (element, item) in &items {
                let mark = begin(out, first, |out| element.write(out));
                // Validation will refuse items that cannot be told apart.
                let place = if twins { Place::Leaf } else { Place::Struct(record) };
                let written = write_value(place, item, Had::Nothing, out);
                end(out, mark, written, &mut first);
            }
        }
        Place::Set if elements(Some(value)).is_some() => {
            let items = elements(Some(value)).unwrap_or_default();
            let mut items: Vec<_> =
                items.iter().map(|item| Element::Value(canonical(item))).collect();
            items.sort();
            items.dedup();
            out.push('{');
            member(had, &mut first, out);
            for element in items {
                let mark = begin(out, first, |out| element.write(out));
                out.push_str("{}");
                end(out, mark, true, &mut first);
            }
        }
        // A leaf, or nothing: a struct that was there empty and is so still is nobody's.
        Place::Struct(_) | Place::Map(_) | Place::Keyed(..) | Place::Set
            if had == Had::Empty && (value.is_object() || value.is_null()) =>
        {
            return false;
        }
        _ => {
            out.push_str("{}");
            return true;
        }
    }
    out.push('}');
    had == Had::Nothing || !first
}

/// Writes that the place itself is new.
fn member(had: Had, first: &mut bool, out: &mut String) {
    if had == Had::Nothing {
        out.push_str("\".\":{}");
        *first = false;
    }
}
