//! The tree of an expression. Macros are nodes of their own instead of folds.

use super::{functions::Overload, value::Value};

#[derive(Debug)]
pub(super) struct Expr {
    /// Where messages point, code points from the start.
    pub at: usize,
    /// Levels below and including this one.
    pub height: usize,
    pub node: Node,
}

#[derive(Debug)]
pub(super) enum Node {
    Literal(Value<'static>),
    /// A name; the checker leaves only declared variables.
    Ident(String),
    /// A variable of a macro, by its place on the stack.
    Local(usize),
    Select {
        operand: Box<Expr>,
        field: String,
        optional: bool,
    },
    Has {
        operand: Box<Expr>,
        field: String,
    },
    Index {
        operand: Box<Expr>,
        index: Box<Expr>,
        optional: bool,
    },
    Call(Call),
    List(Vec<(Expr, bool)>),
    Map(Vec<(Expr, Expr, bool)>),
    Struct {
        name: String,
        fields: Vec<(String, Expr, bool)>,
    },
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Conditional(Box<[Expr; 3]>),
    Macro(Box<Macro>),
}

#[derive(Debug)]
pub(super) struct Call {
    pub name: String,
    /// Whether the first argument is what the function is called on.
    pub member: bool,
    pub args: Vec<Expr>,
    /// Those that may fit, found by the checker.
    pub overloads: Vec<&'static Overload>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MacroKind {
    All,
    Exists,
    ExistsOne,
    Map,
    Filter,
    TransformList,
    TransformMap,
    TransformMapEntry,
    OptMap,
    OptFlatMap,
}

#[derive(Debug)]
pub(super) struct Macro {
    pub kind: MacroKind,
    pub range: Expr,
    /// One or two names.
    pub names: Vec<String>,
    /// Which elements; for `all`, `exists` and `filter` the whole of it.
    pub condition: Option<Expr>,
    /// What an element becomes.
    pub transform: Option<Expr>,
}

impl Expr {
    pub(super) fn new(at: usize, node: Node) -> Self {
        let height = 1 + node.children().iter().map(|e| e.height).max().unwrap_or(0);
        Self { at, height, node }
    }

    /// `a.b.c` as a text, where it is nothing but names.
    pub(super) fn qualified_name(&self) -> Option<String> {
        match &self.node {
            Node::Ident(name) => Some(name.trim_start_matches('.').to_owned()),
            Node::Select { operand, field, optional: false } => {
                Some(format!("{}.{field}", operand.qualified_name()?))
            }
            _ => None,
        }
    }
}

impl Node {
    fn children(&self) -> Vec<&Expr> {
        match self {
            Self::Literal(_) | Self::Ident(_) | Self::Local(_) => Vec::new(),
            Self::Select { operand, .. } | Self::Has { operand, .. } => vec![operand],
            Self::Index { operand, index, .. } => vec![operand, index],
            Self::Call(call) => call.args.iter().collect(),
            Self::List(items) => items.iter().map(|(e, _)| e).collect(),
            Self::Map(items) => items.iter().flat_map(|(k, v, _)| [k, v]).collect(),
            Self::Struct { fields, .. } => fields.iter().map(|(_, e, _)| e).collect(),
            Self::And(parts) | Self::Or(parts) => parts.iter().collect(),
            Self::Conditional(parts) => parts.iter().collect(),
            Self::Macro(m) => {
                let parts = [Some(&m.range), m.condition.as_ref(), m.transform.as_ref()];
                parts.into_iter().flatten().collect()
            }
        }
    }
}
