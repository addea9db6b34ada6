//! Tables of expressions, each with what it gives.

mod bounds;
mod libraries;
mod messages;

use serde_json::{Value as Json, json};

use super::*;

fn object() -> Json {
    json!({
        "metadata": {"name": "web", "labels": {"app": "a", "tier": "front"}},
        "spec": {
            "replicas": 3, "ratio": 1.5, "paused": false, "none": null,
            "containers": [
                {"name": "a", "image": "reg.io/a:1", "ports": [80, 443]},
                {"name": "b", "image": "other.io/b"}]}})
}

fn environment() -> Environment {
    Environment::admission(true, false).with("variables.count", Type::Int)
}

/// What an expression gives, as JSON; or the error's text.
fn value(expr: &str) -> Result<Json, String> {
    let program = Program::compile(expr, &environment()).map_err(|e| e.to_string())?;
    let object = object();
    let count = Program::compile("size(object.spec.containers)", &environment()).unwrap();
    let mut variables = Variables::new();
    variables.set("object", Value::from_json(&object, &Type::Dyn));
    variables.set("oldObject", Value::Null);
    variables.set("params", Value::Null);
    variables.set_lazy("variables.count", &count);
    let mut budget = Budget::new(RUNTIME_BUDGET);
    let value = program.eval(&variables, &mut budget).map_err(|e| e.to_string())?;
    value.to_json(&mut budget).map_err(|e| e.to_string())
}

/// Every expression is true.
fn all_true(table: &[&str]) {
    for expr in table {
        assert_eq!(value(expr), Ok(json!(true)), "{expr}");
    }
}

/// Every expression fails when it runs, with this text.
fn all_fail(table: &[(&str, &str)]) {
    for (expr, message) in table {
        assert_eq!(value(expr), Err((*message).to_owned()), "{expr}");
    }
}

#[test]
fn the_language() {
    all_true(&[
        "1 + 2 * 3 == 7",
        "(1 + 2) * 3 == 9",
        "7 / 2 == 3 && -7 / 2 == -3 && 7 % 3 == 1",
        "-9223372036854775808 < 0",
        "0x1F == 31 && 3u == uint(3)",
        "1.5 + 1.5 == 3.0 && 1e3 == 1000.0 && .5 == 0.5",
        "dyn(1) == 1.0 && dyn(1u) == 1 && 2.5 > 2 && 3u > 2.5",
        "'a' + \"b\" == 'ab' && 'a' < 'b'",
        "r'\\d' == '\\\\d' && '\\u0041\\x42\\103' == 'ABC'",
        "'''a\nb''' == 'a\\nb'",
        "b'abc' == bytes('abc') && size(b'\\xff') == 1",
        "!false && !!true && --3 == 3",
        "true ? 1 == 1 : 1 / 0 == 1",
        "[1, 2] + [3] == [1, 2, 3]",
        "{'a': 1, 'b': 2} == {'b': 2, 'a': 1}",
        "{'a': 1}.a == 1 && {'a': 1}['a'] == 1 && {1: 'x'}[1] == 'x'",
        "2 in [1, 2] && 'a' in {'a': 1} && !(3 in [1])",
        "dyn(1) in [1.0] && [1, 2][1] == 2",
        "null == null && dyn(null) != 1",
        "type(1) == int && type('') == string && type([]) == list && type({}) == map",
        "type(null) == null_type && type(1.0) != int && type(int) == type",
        "size('größe') == 5 && 'größe'.size() == 5 && size([1, 2]) == 2 && {'a': 1}.size() == 1",
        "// a comment\ntrue",
        "dyn('a') != dyn(1)",
        "int('42') == 42 && int(3.9) == 3 && uint('7') == 7u && double('1.5') == 1.5",
        "string(1) == '1' && string(true) == 'true' && string(1.5) == '1.5'",
        "string(1000000.0) == '1e+06' && string(100000.0) == '100000' && string(0.00001) == '1e-05'",
        "bool('true') && !bool('F')",
    ]);
    all_fail(&[
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1 > 0", "return error for overflow"),
        ("0u - 1u > 0u", "return error for overflow"),
        ("[1][5] == 1", "index out of bounds: 5"),
        ("{'a': 1}['b'] == 1", "no such key: b"),
        ("object.spec.gone == 1", "no such key: gone"),
        ("object.spec.replicas.x == 1", "no such overload"),
        (
            "object.spec.replicas == 'a' + 1 || false",
            "compilation failed: ERROR: <input>:1:29: found no matching overload for '_+_' applied to '(string, int)'\n | object.spec.replicas == 'a' + 1 || false\n | ............................^",
        ),
        ("int('x') == 1", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("object.spec.replicas + 'a' == 'a'", "no such overload"),
        ("int(1e30) == 1", "range error"),
    ]);
}

#[test]
fn objects_are_looked_at() {
    all_true(&[
        "object.spec.replicas == 3 && object.spec.ratio == 1.5",
        "object.metadata.labels['app'] == 'a' && 'tier' in object.metadata.labels",
        "has(object.spec.replicas) && !has(object.spec.gone) && has(object.spec.none)",
        "object.spec.none == null && oldObject == null",
        "object.spec.containers[0].ports[1] == 443",
        "object.spec.containers.all(c, c.name in ['a', 'b'])",
        "object.spec.containers.exists(c, c.image.startsWith('reg.io/'))",
        "object.spec.containers.exists_one(c, has(c.ports))",
        "object.spec.containers.map(c, c.name) == ['a', 'b']",
        "object.spec.containers.map(c, has(c.ports), size(c.ports)) == [2]",
        "object.spec.containers.filter(c, c.name == 'b')[0].image == 'other.io/b'",
        "object.metadata.labels.all(k, k.size() > 2)",
        "object.metadata.labels.exists(k, v, k == 'app' && v == 'a')",
        "object.spec.containers.all(i, c, i < 2 && c.name != '')",
        "object.spec.containers.transformList(i, c, i) == [0, 1]",
        "object.metadata.labels.transformMap(k, v, v + '!')['app'] == 'a!'",
        "object.metadata.labels.transformMapEntry(k, v, {v: k})['front'] == 'tier'",
        "[1, 2].existsOne(i, v, v == 2) && [[1], [2]].all(x, x.all(y, y < 3))",
        "variables.count == 2 && variables.count + variables.count == 4",
    ]);
}

#[test]
fn one_that_decides_is_enough() {
    all_true(&[
        "true || object.gone.x == 1",
        "object.gone.x == 1 || true",
        "!(object.gone.x == 1 && false)",
        "[1, 2].exists(x, x == 2 || object.gone == 1)",
        "object.spec.containers.exists(c, c.ports[0] == 80)",
        "!object.spec.containers.all(c, c.ports[0] == 81)",
    ]);
    all_fail(&[
        ("object.gone == 1 || false", "no such key: gone"),
        ("object.gone == 1 && true", "no such key: gone"),
        ("object.spec.containers.all(c, c.ports[0] == 80)", "no such key: ports"),
    ]);
}

#[test]
fn values_may_be_missing() {
    all_true(&[
        "object.?spec.?gone.orValue('d') == 'd'",
        "object.?spec.?replicas.orValue(1) == 3",
        "object.spec.?gone.hasValue() == false && object.?spec.replicas.value() == 3",
        "object.spec.?containers[?0].name.value() == 'a'",
        "[1, 2][?5].orValue(0) == 0 && {'a': 1}[?'a'].value() == 1",
        "optional.of(1).value() == 1 && !optional.none().hasValue()",
        "optional.ofNonZeroValue('').orValue('x') == 'x'",
        "optional.none().or(optional.of(2)).value() == 2",
        "[?optional.none(), 1] == [1] && {?'a': optional.none()} == {}",
        "optional.of(2).optMap(v, v * 2).value() == 4",
        "optional.of(2).optFlatMap(v, optional.of(v + 1)).value() == 3",
        "!object.?spec.?gone.optMap(v, v + 1).hasValue()",
    ]);
    all_fail(&[("optional.none().value() == 1", "optional.none() dereference")]);
}
