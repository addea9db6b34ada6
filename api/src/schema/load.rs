//! Reads the generated table. Its lines are checked by a test, so a bad one is skipped here.

use std::collections::HashMap;

use super::{Field, Message, Shape, Table, Type};

/// What values of type `SchemaOr` are when they are objects.
const SCHEMA: &str = "apiextensions.v1.JSONSchemaProps";

struct Raw {
    name: &'static str,
    own: Vec<Field>,
    inline: Vec<(u32, &'static str)>,
}

pub(super) fn table(text: &'static str) -> Table {
    let names = text.lines().filter_map(|l| l.strip_prefix("= "));
    let index: HashMap<&'static str, usize> = names.enumerate().map(|(i, n)| (n, i)).collect();
    let mut raws: Vec<Raw> = Vec::with_capacity(index.len());
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        if let Some(name) = line.strip_prefix("= ") {
            raws.push(Raw { name, own: Vec::new(), inline: Vec::new() });
        } else if let Some(raw) = raws.last_mut() {
            let words: Vec<&'static str> = line.split(' ').collect();
            match words.as_slice() {
                ["+", tag, message] => raw.inline.extend(tag.parse().map(|t| (t, *message))),
                [name, tag, ty, rest @ ..] => raw.own.extend(field(name, tag, ty, rest, &index)),
                _ => {}
            }
        }
    }
    let messages = raws
        .iter()
        .map(|raw| {
            let inline: Vec<(u32, usize)> =
                raw.inline.iter().filter_map(|(t, m)| Some((*t, *index.get(m)?))).collect();
            let mut fields = Vec::new();
            splice(&raws, &index, raw, &mut fields);
            fields.sort_by_key(|f| f.name);
            Message { name: raw.name, fields, own: raw.own.clone(), inline }
        })
        .collect();
    Table { messages, index }
}

/// A message's own fields and those of what is inlined in it, at any depth.
fn splice(raws: &[Raw], index: &HashMap<&'static str, usize>, raw: &Raw, fields: &mut Vec<Field>) {
    fields.extend(raw.own.iter().cloned());
    for inner in raw.inline.iter().filter_map(|(_, m)| index.get(m)) {
        splice(raws, index, &raws[*inner], fields);
    }
}

fn field(
    name: &'static str,
    tag: &str,
    ty: &'static str,
    rest: &[&'static str],
    index: &HashMap<&'static str, usize>,
) -> Option<Field> {
    let (shape, ty) = if let Some(ty) = ty.strip_prefix("[]") {
        (Shape::List, ty)
    } else if let Some(ty) = ty.strip_prefix("{}") {
        (Shape::Map, ty)
    } else if let Some(ty) = ty.strip_prefix('*') {
        (Shape::Pointer, ty)
    } else {
        (Shape::One, ty)
    };
    let ty = match ty {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "Time" => Type::Time,
        "MicroTime" => Type::MicroTime,
        "Duration" => Type::Duration,
        "Quantity" => Type::Quantity,
        "IntOrString" => Type::IntOrString,
        "RawExtension" => Type::RawExtension,
        "FieldsV1" => Type::FieldsV1,
        "Strings" => Type::Strings,
        "SchemaOr" => Type::SchemaOr(*index.get(SCHEMA)?),
        message => Type::Message(*index.get(message)?),
    };
    let merge_key = rest.iter().find_map(|w| w.strip_prefix("merge="));
    Some(Field {
        name,
        tag: tag.parse().ok()?,
        ty,
        shape,
        required: rest.contains(&"!"),
        merge: merge_key.is_some() || rest.contains(&"merge"),
        merge_key,
        retain_keys: rest.contains(&"retain"),
        replace: rest.contains(&"replace"),
    })
}
