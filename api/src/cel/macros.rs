//! The macros of CEL and of its two-variable and optional extensions.

use super::{
    ast::{Expr, Macro, MacroKind, Node},
    error::Issue,
    parse::make,
};

/// A member call, looked at as a macro.
pub(super) enum Expanded {
    Macro(Expr),
    /// An ordinary call; its target back.
    Not(Expr),
}

/// `has(a.b)`.
pub(super) fn has(at: usize, mut args: Vec<Expr>) -> Result<Expr, Issue> {
    let single = if args.len() == 1 { args.pop() } else { None };
    match single.map(|e| e.node) {
        Some(Node::Select { operand, field, optional: false }) => {
            make(at, Node::Has { operand, field })
        }
        _ => Err(Issue::check(at, "invalid argument to has() macro".into())),
    }
}

/// A call on a target, expanded where name and number of arguments are a macro's.
pub(super) fn member(
    at: usize,
    name: &str,
    target: Expr,
    args: &mut Vec<Expr>,
) -> Result<Expanded, Issue> {
    use MacroKind as M;
    // Names, whether a condition comes first, whether a transformation follows.
    let (kind, names, condition, transform) = match (name, args.len()) {
        ("all", 2) => (M::All, 1, true, false),
        ("all", 3) => (M::All, 2, true, false),
        ("exists", 2) => (M::Exists, 1, true, false),
        ("exists", 3) => (M::Exists, 2, true, false),
        ("exists_one" | "existsOne", 2) => (M::ExistsOne, 1, true, false),
        ("existsOne" | "exists_one", 3) => (M::ExistsOne, 2, true, false),
        ("filter", 2) => (M::Filter, 1, true, false),
        ("map", 2) => (M::Map, 1, false, true),
        ("map", 3) => (M::Map, 1, true, true),
        ("transformList", 3) => (M::TransformList, 2, false, true),
        ("transformList", 4) => (M::TransformList, 2, true, true),
        ("transformMap", 3) => (M::TransformMap, 2, false, true),
        ("transformMap", 4) => (M::TransformMap, 2, true, true),
        ("transformMapEntry", 3) => (M::TransformMapEntry, 2, false, true),
        ("transformMapEntry", 4) => (M::TransformMapEntry, 2, true, true),
        ("optMap", 2) => (M::OptMap, 1, false, true),
        ("optFlatMap", 2) => (M::OptFlatMap, 1, false, true),
        _ => return Ok(Expanded::Not(target)),
    };
    let mut rest = std::mem::take(args).into_iter();
    let mut variables = Vec::new();
    for _ in 0..names {
        let Some(variable) = rest.next() else { return Ok(Expanded::Not(target)) };
        match variable.node {
            Node::Ident(name) if !name.starts_with('.') && !variables.contains(&name) => {
                variables.push(name);
            }
            _ => return Err(Issue::check(variable.at, "argument must be a simple name".into())),
        }
    }
    let condition = if condition { rest.next() } else { None };
    let transform = if transform { rest.next() } else { None };
    let node = Macro { kind, range: target, names: variables, condition, transform };
    make(at, Node::Macro(Box::new(node))).map(Expanded::Macro)
}
