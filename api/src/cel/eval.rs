//! The interpreter. Every step is charged; nesting and what is made are bounded.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use regex::Regex;

use super::{
    Program,
    ast::{Call, Expr, Node},
    authorizer::Authorizer,
    budget::Budget,
    error::{EvalError, failed},
    functions,
    value::{Key, Map, Text, Value},
};

/// Deepest nesting of evaluations, through variables that are expressions themselves.
const MAX_EVAL_DEPTH: usize = 400;
/// Deepest nesting of a value that a variable holds.
pub(super) const MAX_VALUE_NESTING: usize = 128;
/// Cost of making a list, a map and a typed literal, upstream's units.
const LIST_COST: usize = 10;
const MAP_COST: usize = 30;
const STRUCT_COST: usize = 40;

/// The variables of an evaluation.
#[derive(Default)]
pub struct Variables<'a> {
    entries: Vec<(&'a str, Entry<'a>)>,
    authorizer: Option<&'a dyn Authorizer>,
}

enum Entry<'a> {
    Value(Value<'a>),
    /// Computed when first asked for, then kept.
    Lazy(&'a Program, RefCell<Option<Result<Value<'a>, EvalError>>>),
}

impl<'a> Variables<'a> {
    /// No variables yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable.
    pub fn set(&mut self, name: &'a str, value: Value<'a>) {
        self.entries.push((name, Entry::Value(value)));
    }

    /// Sets a variable that is an expression; it is evaluated once, when it is looked at.
    pub fn set_lazy(&mut self, name: &'a str, program: &'a Program) {
        self.entries.push((name, Entry::Lazy(program, RefCell::new(None))));
    }

    /// Sets who answers questions to `authorizer`.
    pub fn set_authorizer(&mut self, authorizer: &'a dyn Authorizer) {
        self.authorizer = Some(authorizer);
    }
}

/// One evaluation while it runs.
pub(super) struct Context<'c, 'a> {
    variables: &'c Variables<'a>,
    budget: &'c mut Budget,
    /// Variables of macros, by place.
    stack: Vec<Value<'a>>,
    depth: usize,
    /// The pattern that was compiled last.
    pub(super) last_pattern: Option<Arc<Regex>>,
}

/// Evaluates a checked expression.
pub(super) fn run<'a>(
    expr: &Expr,
    variables: &Variables<'a>,
    budget: &mut Budget,
) -> Result<Value<'a>, EvalError> {
    budget.start_call();
    let mut context =
        Context { variables, budget, stack: Vec::new(), depth: 0, last_pattern: None };
    context.eval(expr)
}

impl<'a> Context<'_, 'a> {
    /// Pays upstream's units.
    pub(super) fn charge(&mut self, units: usize) -> Result<(), EvalError> {
        self.budget.charge(units)
    }

    /// Pays for elements that are looked at or copied.
    pub(super) fn work(&mut self, steps: usize) -> Result<(), EvalError> {
        self.budget.work(steps)
    }

    /// Pays for reading bytes.
    pub(super) fn scan(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.budget.charge(bytes.div_ceil(10))
    }

    /// Pays for making bytes.
    pub(super) fn produce(&mut self, bytes: usize) -> Result<(), EvalError> {
        self.budget.charge(bytes.div_ceil(10))?;
        self.budget.work(bytes / 16 + 1)
    }

    pub(super) fn authorizer(&self) -> Option<&'a dyn Authorizer> {
        self.variables.authorizer
    }

    pub(super) fn push(&mut self, value: Value<'a>) {
        self.stack.push(value);
    }

    pub(super) fn pop(&mut self, count: usize) {
        self.stack.truncate(self.stack.len().saturating_sub(count));
    }

    pub(super) fn eval(&mut self, expr: &Expr) -> Result<Value<'a>, EvalError> {
        if self.depth >= MAX_EVAL_DEPTH {
            return failed("expressions nest too deep");
        }
        self.depth += 1;
        let result = self.node(expr);
        self.depth -= 1;
        result
    }

    fn node(&mut self, expr: &Expr) -> Result<Value<'a>, EvalError> {
        match &expr.node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Ident(name) => self.variable(name),
            Node::Local(place) => {
                self.charge(1)?;
                self.stack.get(*place).cloned().ok_or_else(EvalError::no_overload)
            }
            Node::Select { operand, field, optional } => self.select(operand, field, *optional),
            Node::Has { operand, field } => self.has(operand, field),
            Node::Index { operand, index, optional } => self.index(operand, index, *optional),
            Node::Call(call) => self.call(call),
            Node::List(items) => self.list(items),
            Node::Map(items) => self.map(items),
            Node::Struct { name, fields } => self.structure(name, fields),
            Node::And(parts) => self.logical(parts, false),
            Node::Or(parts) => self.logical(parts, true),
            Node::Conditional(parts) => match self.eval(&parts[0])? {
                Value::Bool(true) => self.eval(&parts[1]),
                Value::Bool(false) => self.eval(&parts[2]),
                _ => Err(EvalError::no_overload()),
            },
            Node::Macro(node) => self.comprehension(node),
        }
    }

    fn variable(&mut self, name: &str) -> Result<Value<'a>, EvalError> {
        self.charge(1)?;
        let variables = self.variables;
        let Some((_, entry)) = variables.entries.iter().find(|(n, _)| *n == name) else {
            return failed(format!("no such attribute(s): {name}"));
        };
        let (program, kept) = match entry {
            Entry::Value(value) => return Ok(value.clone()),
            Entry::Lazy(program, kept) => (program, kept),
        };
        if let Some(known) = kept.borrow().as_ref() {
            return known.clone();
        }
        let mut inner = Context {
            variables,
            budget: &mut *self.budget,
            stack: Vec::new(),
            depth: self.depth,
            last_pattern: None,
        };
        let value = inner.eval(&program.expr).and_then(|value| {
            inner.nesting(&value, MAX_VALUE_NESTING)?;
            Ok(value)
        });
        *kept.borrow_mut() = Some(value.clone());
        value
    }

    /// Refuses values that nest deeper than this; those of an object cannot.
    fn nesting(&mut self, value: &Value<'a>, left: usize) -> Result<(), EvalError> {
        if left == 0 {
            return failed("value nests too deep");
        }
        match value {
            Value::List(list @ super::value::List::Owned(_)) => {
                self.work(list.len())?;
                list.iter().try_for_each(|item| self.nesting(&item, left - 1))
            }
            Value::Map(Map::Owned(map, _)) => {
                self.work(map.len())?;
                map.values().try_for_each(|item| self.nesting(item, left - 1))
            }
            Value::Optional(Some(inner)) => self.nesting(inner, left - 1),
            _ => Ok(()),
        }
    }

    fn select(
        &mut self,
        operand: &Expr,
        field: &str,
        optional: bool,
    ) -> Result<Value<'a>, EvalError> {
        let of = self.eval(operand)?;
        self.charge(1)?;
        if let Value::Optional(inner) = &of {
            let Some(inner) = inner else { return Ok(Value::Optional(None)) };
            return Ok(self.field(inner, field)?.map_or(Value::Optional(None), Value::some));
        }
        let found = self.field(&of, field)?;
        if optional {
            return Ok(found.map_or(Value::Optional(None), Value::some));
        }
        found.ok_or_else(|| EvalError::no_key(field))
    }

    fn field(&mut self, of: &Value<'a>, field: &str) -> Result<Option<Value<'a>>, EvalError> {
        match of {
            Value::Map(map) => Ok(map.field(field)),
            _ => Err(EvalError::no_overload()),
        }
    }

    fn has(&mut self, operand: &Expr, field: &str) -> Result<Value<'a>, EvalError> {
        let of = self.eval(operand)?;
        let of = match of {
            Value::Optional(None) => return Ok(Value::Bool(false)),
            Value::Optional(Some(inner)) => (*inner).clone(),
            other => other,
        };
        Ok(Value::Bool(self.field(&of, field)?.is_some()))
    }

    fn index(
        &mut self,
        operand: &Expr,
        index: &Expr,
        optional: bool,
    ) -> Result<Value<'a>, EvalError> {
        let of = self.eval(operand)?;
        let at = self.eval(index)?;
        self.charge(1)?;
        if let Value::Optional(inner) = &of {
            let Some(inner) = inner else { return Ok(Value::Optional(None)) };
            return Ok(functions::index(inner, &at)?.map_or(Value::Optional(None), Value::some));
        }
        let found = functions::index(&of, &at)?;
        if optional {
            return Ok(found.map_or(Value::Optional(None), Value::some));
        }
        found.ok_or_else(|| match (&of, &at) {
            (Value::List(_), Value::Int(n)) => {
                EvalError::Failed(format!("index out of bounds: {n}"))
            }
            (_, key) => EvalError::no_key(&functions::convert::plain(key).unwrap_or_default()),
        })
    }

    fn call(&mut self, call: &Call) -> Result<Value<'a>, EvalError> {
        let mut args = Vec::with_capacity(call.args.len());
        for arg in &call.args {
            args.push(self.eval(arg)?);
        }
        self.charge(1)?;
        let fits = call.overloads.iter().find(|o| {
            o.args.iter().zip(&args).all(|(declared, value)| functions::fits(declared, value))
        });
        match fits {
            Some(overload) => (overload.run)(self, &args),
            None => Err(EvalError::no_overload()),
        }
    }

    /// A part of a literal; `None` where it is optional and missing.
    fn part(&mut self, expr: &Expr, optional: bool) -> Result<Option<Value<'a>>, EvalError> {
        let value = self.eval(expr)?;
        match value {
            Value::Optional(inner) if optional => Ok(inner.map(|v| (*v).clone())),
            _ if optional => Err(EvalError::no_overload()),
            value => Ok(Some(value)),
        }
    }

    fn list(&mut self, items: &[(Expr, bool)]) -> Result<Value<'a>, EvalError> {
        self.charge(LIST_COST)?;
        self.work(items.len())?;
        let mut out = Vec::with_capacity(items.len());
        for (item, optional) in items {
            out.extend(self.part(item, *optional)?);
        }
        Ok(Value::list(out))
    }

    fn map(&mut self, items: &[(Expr, Expr, bool)]) -> Result<Value<'a>, EvalError> {
        self.charge(MAP_COST)?;
        self.work(items.len())?;
        let mut out = BTreeMap::new();
        for (key, value, optional) in items {
            let key = self.eval(key)?;
            let Some(key) = Key::from_value(&key) else {
                return failed(format!("unsupported key type: {}", key.type_name()));
            };
            if let Some(value) = self.part(value, *optional)?
                && out.insert(key, value).is_some()
            {
                return failed("Failed with repeated key");
            }
        }
        Ok(Value::Map(Map::Owned(Arc::new(out), None)))
    }

    fn structure(
        &mut self,
        name: &str,
        fields: &[(String, Expr, bool)],
    ) -> Result<Value<'a>, EvalError> {
        self.charge(STRUCT_COST)?;
        let mut out = BTreeMap::new();
        for (field, value, optional) in fields {
            if let Some(value) = self.part(value, *optional)? {
                out.insert(Key::String(Text::from(field.clone())), value);
            }
        }
        Ok(Value::Map(Map::Owned(Arc::new(out), Some(name.into()))))
    }

    /// `&&` and `||`: one part that decides is enough, even when others fail.
    fn logical(&mut self, parts: &[Expr], deciding: bool) -> Result<Value<'a>, EvalError> {
        let mut failure = None;
        for part in parts {
            match self.eval(part) {
                Ok(Value::Bool(v)) if v == deciding => return Ok(Value::Bool(deciding)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => failure = failure.or_else(|| Some(EvalError::no_overload())),
                Err(e) if e.is_limit() => return Err(e),
                Err(e) => failure = failure.or(Some(e)),
            }
        }
        failure.map_or(Ok(Value::Bool(!deciding)), Err)
    }
}
