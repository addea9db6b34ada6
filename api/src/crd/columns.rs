//! Printer columns of a version (`pkg/registry/customresource/tableconvertor`).

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::jsonpath::JsonPath;
use crate::table::{self, AGE, NAME, Row};

/// Most cells' text, bytes; longer ones are cut, so that a table stays a table.
const CELL_BYTES_MAX: usize = 16 * 1024;

/// The compiled columns of one version.
#[derive(Debug)]
pub struct Columns {
    definitions: Vec<Value>,
    cells: Vec<Cell>,
}

#[derive(Debug)]
struct Cell {
    path: Option<JsonPath>,
    kind: CellType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CellType {
    Integer,
    Number,
    Boolean,
    Text,
    Date,
}

/// The columns of one entry of `spec.versions`: `Name`, then `additionalPrinterColumns`, or `Age`
/// where there are none. A path that does not parse, which no valid definition has, prints nothing.
pub fn columns(version: &Value) -> Columns {
    let mut out = Columns { definitions: vec![name_column()], cells: Vec::new() };
    let given = version["additionalPrinterColumns"].as_array().filter(|list| !list.is_empty());
    match given {
        Some(list) => list.iter().for_each(|column| out.add(column)),
        None => out.add(&json!({"name": "Age", "type": "date",
            "jsonPath": ".metadata.creationTimestamp", "description": AGE.description})),
    }
    out
}

fn name_column() -> Value {
    json!({"name": NAME.name, "type": NAME.r#type, "format": NAME.format, "priority": 0,
        "description": NAME.description})
}

impl Columns {
    fn add(&mut self, column: &Value) {
        let text = |name: &str| column[name].as_str().unwrap_or_default();
        let path = text("jsonPath");
        let description = match text("description") {
            "" => format!("Custom resource definition column (in JSONPath format): {path}"),
            given => given.to_owned(),
        };
        self.definitions.push(json!({"name": text("name"), "type": text("type"),
            "format": text("format"), "description": description,
            "priority": column["priority"].as_i64().unwrap_or(0)}));
        let kind = match text("type") {
            "integer" => CellType::Integer,
            "number" => CellType::Number,
            "boolean" => CellType::Boolean,
            "date" => CellType::Date,
            _ => CellType::Text,
        };
        self.cells.push(Cell { path: JsonPath::parse(path).ok(), kind });
    }

    /// The `columnDefinitions` of a `Table`, in the order of the cells.
    pub fn definitions(&self) -> &[Value] {
        &self.definitions
    }

    /// Renders one object at a time.
    pub fn row(&self, object: &Value, now: OffsetDateTime) -> Row {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut cells = Vec::with_capacity(self.definitions.len());
        cells.push(name.into());
        cells.extend(self.cells.iter().map(|cell| cell.render(object, now)));
        Row { cells, conditions: None }
    }
}

impl Cell {
    fn render(&self, object: &Value, now: OffsetDateTime) -> Value {
        let found = self.path.as_ref().map(|path| path.find(object)).unwrap_or_default();
        // A column shows one value: the first.
        let Some(&first) = found.first() else { return Value::Null };
        match self.kind {
            CellType::Integer => match first {
                Value::Number(n) if n.is_i64() => n.as_i64().into(),
                Value::Number(n) => n.as_f64().map_or(Value::Null, |f| (f as i64).into()),
                _ => Value::Null,
            },
            CellType::Number => first.as_f64().map_or(Value::Null, Into::into),
            CellType::Boolean => first.as_bool().map_or(Value::Null, Into::into),
            CellType::Date => match first.as_str() {
                Some(text) => table::age_of(text, now).into(),
                None => Value::Null,
            },
            CellType::Text => text(first),
        }
    }
}

/// A value as text: structures as JSON, null as nothing.
fn text(value: &Value) -> Value {
    let mut out = match value {
        Value::Null => return Value::Null,
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    if out.len() > CELL_BYTES_MAX {
        let mut end = CELL_BYTES_MAX;
        while !out.is_char_boundary(end) {
            end -= 1;
        }
        out.truncate(end);
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(path: &str, kind: &str, object: &Value) -> Value {
        let column = json!({"name": "C", "type": kind, "jsonPath": path});
        let columns = columns(&json!({"additionalPrinterColumns": [column]}));
        let now = OffsetDateTime::from_unix_timestamp(1_000_000).unwrap();
        columns.row(object, now).cells[1].clone()
    }

    #[test]
    fn cells() {
        let object = json!({"metadata": {"name": "a", "annotations": {"x.y/z": "q"},
            "creationTimestamp": "1970-01-12T13:00:00Z"},
            "spec": {"n": 42, "f": 3.99, "b": true, "s": "foo", "e": "", "null": null,
                "l": [1, 2, 3], "m": {"k": "v"}},
            "status": {"conditions": [{"type": "A", "status": "False"},
                {"type": "Ready", "status": "True", "n": 3}]}});
        for (path, kind, want) in [
            (".spec.n", "integer", json!(42)),
            (".spec.f", "integer", json!(3)),
            (".spec.s", "integer", json!(null)),
            (".spec.n", "number", json!(42.0)),
            (".spec.b", "boolean", json!(true)),
            (".spec.s", "boolean", json!(null)),
            (".spec.s", "string", json!("foo")),
            (".spec.n", "string", json!("42")),
            (".spec.b", "string", json!("true")),
            (".spec.e", "string", json!("")),
            (".spec.null", "string", json!(null)),
            (".spec.missing.more", "string", json!(null)),
            (".spec.l", "string", json!("[1,2,3]")),
            (".spec.m", "string", json!("{\"k\":\"v\"}")),
            (".spec.l[0]", "integer", json!(1)),
            (".spec.l[-1]", "integer", json!(3)),
            (".spec.l[-4]", "integer", json!(null)),
            (".spec.l[1:]", "integer", json!(2)),
            (".spec.l[*]", "integer", json!(1)),
            (".spec.l[7]", "integer", json!(null)),
            (".spec.m['k']", "string", json!("v")),
            (".metadata.annotations['x\\.y/z']", "string", json!(null)),
            (".metadata.annotations['x.y/z']", "string", json!("q")),
            (".metadata.annotations.x\\.y/z", "string", json!("q")),
            (".status.conditions[?(@.type==\"Ready\")].status", "string", json!("True")),
            (".status.conditions[?(@.type=='Ready')].status", "string", json!("True")),
            (".status.conditions[?(@.n>2)].type", "string", json!("Ready")),
            (".status.conditions[?(@.n)].type", "string", json!("Ready")),
            (".status.conditions[?(@.type!='A')].type", "string", json!("Ready")),
            ("..k", "string", json!("v")),
            (".metadata.creationTimestamp", "date", json!("46m")),
            (".spec.s", "date", json!("<invalid>")),
            (".spec.e", "date", json!("<unknown>")),
            (".spec.n", "date", json!(null)),
            (".spec[", "string", json!(null)),
        ] {
            assert_eq!(cell(path, kind, &object), want, "{path} {kind}");
        }
    }

    #[test]
    fn without_columns_there_is_the_age() {
        let columns = columns(&json!({}));
        let names: Vec<_> = columns.definitions().iter().map(|c| c["name"].clone()).collect();
        assert_eq!(names, ["Name", "Age"]);
        let now = OffsetDateTime::UNIX_EPOCH;
        let row = columns.row(&json!({"metadata": {"name": "a"}}), now);
        assert_eq!(row.cells, [json!("a"), json!(null)]);
    }

    #[test]
    fn wide_definitions_say_their_priority_and_path() {
        let columns = columns(&json!({"additionalPrinterColumns": [
            {"name": "X", "type": "integer", "format": "int32", "priority": 1,
                "jsonPath": ".spec.x"}]}));
        assert_eq!(
            columns.definitions()[1],
            json!({"name": "X", "type": "integer", "format": "int32", "priority": 1,
                "description": "Custom resource definition column (in JSONPath format): .spec.x"})
        );
    }
}
