//! Regular expressions: linear in the text, bounded in size. A literal is compiled once.

use std::sync::Arc;

use regex::{Regex, RegexBuilder};

use super::{Row, int, m, text};
use crate::cel::{
    error::{EvalError, failed},
    eval::Context,
    opaque::Opaque,
    value::Value,
};

/// Most memory of a compiled expression, bytes.
const MAX_COMPILED: usize = 1 << 20;
/// What compiling a pattern costs of our own bound on work, and each of its bytes: it is thousands
/// of times more work than a step.
const COMPILE_WORK: usize = 10_000;
const COMPILE_WORK_PER_BYTE: usize = 64;

pub(super) const ROWS: &[Row] = &[
    m("matches", "string,string", "bool", |c, a| {
        let regex = pattern(c, a)?;
        Ok(Value::Bool(regex.is_match(text(a, 0)?)))
    }),
    super::f("matches", "string,string", "bool", |c, a| {
        let regex = pattern(c, a)?;
        Ok(Value::Bool(regex.is_match(text(a, 0)?)))
    }),
    m("find", "string,string", "string", |c, a| {
        let regex = pattern(c, a)?;
        Ok(Value::text(regex.find(text(a, 0)?).map_or("", |m| m.as_str())))
    }),
    m("findAll", "string,string", "list<string>", find_all),
    m("findAll", "string,string,int", "list<string>", find_all),
];

fn build(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MAX_COMPILED).dfa_size_limit(MAX_COMPILED).nest_limit(100);
    builder.build().map_err(|e| {
        let text = e.to_string();
        let last = text.lines().last().unwrap_or_default();
        let last = last.strip_prefix("error: ").unwrap_or(last);
        format!("error parsing regexp: {last}: `{pattern}`")
    })
}

/// A literal pattern, compiled.
pub(in crate::cel) fn literal(pattern: &str) -> Result<Value<'static>, String> {
    build(pattern).map(|regex| Value::Opaque(Opaque::Pattern(Arc::new(regex))))
}

/// The second argument as a pattern; pays for running it over the first.
fn pattern(c: &mut Context<'_, '_>, args: &[Value<'_>]) -> Result<Arc<Regex>, EvalError> {
    let (subject, source) = (text(args, 0)?.len(), text(args, 1)?.len());
    // Upstream's price: a tenth of the text times a quarter of the pattern.
    c.charge((subject / 10 + 1).saturating_mul(source / 4 + 1))?;
    if let Some(Value::Opaque(Opaque::Pattern(regex))) = args.get(1) {
        return Ok(regex.clone());
    }
    let wanted = text(args, 1)?;
    if let Some(last) = c.last_pattern.as_ref().filter(|last| last.as_str() == wanted) {
        return Ok(last.clone());
    }
    c.work(COMPILE_WORK + source * COMPILE_WORK_PER_BYTE)?;
    let regex = build(wanted).map_or_else(failed, |regex| Ok(Arc::new(regex)))?;
    c.last_pattern = Some(regex.clone());
    Ok(regex)
}

fn find_all<'a>(c: &mut Context<'_, 'a>, args: &[Value<'a>]) -> Result<Value<'a>, EvalError> {
    let regex = pattern(c, args)?;
    let limit = if args.len() > 2 { int(args, 2)? } else { -1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let subject = text(args, 0)?;
    c.produce(subject.len())?;
    let mut out = Vec::new();
    for found in regex.find_iter(subject).take(limit) {
        c.work(1)?;
        out.push(Value::text(found.as_str()));
    }
    Ok(Value::list(out))
}
