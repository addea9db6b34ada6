//! Expressions that want too much end in time, and with little memory.

use std::{fmt::Write as _, time::Instant};

use super::*;

/// Longest that a hostile expression may take here, seconds; a bound for slow machines.
const SECONDS_MAX: f64 = 10.0;
/// Stack of the thread that they run on, bytes: half of what threads have.
const STACK: usize = 1 << 20;

fn outcome(expr: String) -> Result<Json, String> {
    let work = move || {
        let start = Instant::now();
        let out = value(&expr);
        let took = start.elapsed().as_secs_f64();
        assert!(took < SECONDS_MAX, "{took} s for {}", &expr[..expr.len().min(80)]);
        out
    };
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap()
}

const CALL_LIMIT: &str = "operation cancelled: actual cost limit exceeded";

#[test]
fn nesting_is_bounded() {
    let deep = |open: &str, close: &str, n: usize| open.repeat(n) + "1" + &close.repeat(n);
    for (open, close) in [
        ("(", ")"),
        ("[", "]"),
        ("{1:", "}"),
        ("-(", ")"),
        ("true?1:", ""),
        ("dyn(", ")"),
        ("[0].map(x,", ")"),
        ("x{a:", "}"),
    ] {
        let error = outcome(deep(open, close, 8_000)).unwrap_err();
        assert!(error.contains("expression recursion limit exceeded"), "{error:.200}");
        let _ = outcome(deep(open, close, 63));
    }
    let sum = |n| "1".to_owned() + &"+1".repeat(n);
    let fields = |n| "object".to_owned() + &".a".repeat(n);
    for chain in [sum(40_000), fields(20_000), "!".repeat(40_000) + "(" + &sum(300) + ")"] {
        let error = outcome(chain).unwrap_err();
        assert!(error.contains("expression recursion limit exceeded: 250"), "{error:.200}");
    }
    assert_eq!(outcome(sum(248)), Ok(json!(249)));
    assert_eq!(outcome(fields(248)), Err("no such key: a".into()));
    assert!(outcome(deep("[", "]", 60)).is_ok());
    assert!(outcome("true".to_owned() + &" && true".repeat(5000)).is_ok());
    let long = "'".to_owned() + &"a".repeat(200_000) + "'";
    assert!(outcome(long).unwrap_err().contains("code point size exceeds limit"));
}

#[test]
fn rounds_are_bounded() {
    let ten = "[1,2,3,4,5,6,7,8,9,10]";
    let mut nested = String::from("true");
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        nested = format!("{ten}.all({name}, {nested})");
    }
    assert_eq!(outcome(nested), Err(CALL_LIMIT.into()));
    // A list that grows by itself: 10^8 elements.
    let mut grown = String::from(ten);
    for _ in 0..7 {
        grown = format!("{ten}.map(x, {grown})");
    }
    assert_eq!(outcome(grown), Err(CALL_LIMIT.into()));
}

#[test]
fn what_is_made_is_bounded() {
    // Doubled sixty times by macros of one element each.
    let doubled = |start: &str, step: &str| {
        let mut expr = start.to_owned();
        for i in 0..60 {
            let name = format!("v{i}");
            expr = format!("[{expr}].map({name}, {})[0]", step.replace('v', &name));
        }
        expr
    };
    assert_eq!(
        outcome(format!("size({}) > 0", doubled("'aaaa'", "v + v"))),
        Err(CALL_LIMIT.into())
    );
    assert_eq!(outcome(format!("size({}) > 0", doubled("[1]", "v + v"))), Err(CALL_LIMIT.into()));
    assert_eq!(
        outcome(format!("size({}) > 0", doubled("'aaaa'", "v.replace('a', 'aa')"))),
        Err(CALL_LIMIT.into())
    );
    // Shared parts make a tree of 2^60 leaves: built in no time, never walked to its end.
    for tree in ["[v, v]", "{'a': v, 'b': v}"] {
        let tree = doubled("[1]", tree);
        assert_eq!(outcome(format!("{tree} == {tree}")), Err(CALL_LIMIT.into()));
        assert!(outcome(tree).is_err());
    }
    // Types that double.
    assert!(outcome(format!("{}.size() == 1", doubled("{1: 1}", "{v: v}"))).is_err());
    assert!(outcome("'%.999999999f'.format([1.0]) == ''".into()).is_err());
}

#[test]
fn patterns_are_bounded() {
    for pattern in
        ["(a*)*b", "(\\\\w{1000}){1000}", "((((a{99}){99}){99}){99})", "(?:(a|ab)(bc|c)){50}x"]
    {
        let text = "a".repeat(5000);
        let _ = outcome(format!("'{text}'.matches('{pattern}')"));
        let _ = outcome(format!("'{text}'.matches('' + '{pattern}')"));
    }
    let list = "[1,2,3,4,5,6,7,8,9,10]";
    let many = format!(
        "{list}.all(a, {list}.all(b, {list}.all(c, 'x'.matches('\\\\w{{500}}|' + string(a*100+b*10+c)) || true)))"
    );
    assert_eq!(outcome(many), Err(CALL_LIMIT.into()));
}

#[test]
fn chained_variables_do_not_nest_the_stack() {
    let mut environment = Environment::new();
    let mut programs = Vec::new();
    let names: Vec<String> = (0..200).map(|i| format!("variables.v{i}")).collect();
    for (i, name) in names.iter().enumerate() {
        let mut expr = if i == 0 { "1".to_owned() } else { names[i - 1].clone() };
        for _ in 0..60 {
            let _ = write!(expr, " + 1");
        }
        let program = Program::compile(&expr, &environment).unwrap();
        environment = environment.with(name, program.result().clone());
        programs.push(program);
    }
    let last = Program::compile(&names[199], &environment).unwrap();
    let work = move || {
        let mut variables = Variables::new();
        for (name, program) in names.iter().zip(&programs) {
            variables.set_lazy(name, program);
        }
        let out = last.eval(&variables, &mut Budget::new(RUNTIME_BUDGET));
        assert_eq!(out.unwrap_err().to_string(), "expressions nest too deep");
    };
    std::thread::Builder::new().stack_size(STACK).spawn(work).unwrap().join().unwrap();
}

#[test]
fn the_budget_is_shared() {
    let environment = environment();
    let program = Program::compile("[1,2,3].all(x, x < 5)", &environment).unwrap();
    let mut budget = Budget::new(100);
    let mut outcomes = Vec::new();
    for _ in 0..20 {
        outcomes.push(program.eval(&Variables::new(), &mut budget).is_ok());
    }
    assert!(outcomes[0] && !outcomes[19]);
    assert_eq!(program.eval(&Variables::new(), &mut budget).unwrap_err(), EvalError::Exhausted);
}
