//! The checker: every name is declared, every call has a signature that fits, and macros'
//! variables get their places.

use super::{
    Environment,
    ast::{Call, Expr, Node},
    error::Issue,
    functions::{self, Overload},
    infer::Inference,
    types::Type,
    value::{Text, Value},
};

/// Most findings that are told of one expression.
const MAX_ISSUES: usize = 20;

/// Names of types as values.
const TYPE_NAMES: &[&str] = &[
    "bool",
    "int",
    "uint",
    "double",
    "string",
    "bytes",
    "list",
    "map",
    "null_type",
    "type",
    "dyn",
    "google.protobuf.Duration",
    "google.protobuf.Timestamp",
    "optional_type",
    "kubernetes.Quantity",
    "kubernetes.URL",
    "net.IP",
    "net.CIDR",
    "kubernetes.Semver",
];

pub(super) struct Checker<'e> {
    pub(super) environment: &'e Environment,
    pub(super) infer: Inference,
    /// Variables of the macros around.
    pub(super) locals: Vec<(String, Type)>,
    issues: Vec<Issue>,
    /// Whether the next list may mix types: what is formatted may.
    mixed: bool,
}

/// Checks an expression in place.
pub(super) fn check(expr: &mut Expr, environment: &Environment) -> Result<Type, Vec<Issue>> {
    let mut checker = Checker {
        environment,
        infer: Inference::default(),
        locals: Vec::new(),
        issues: Vec::new(),
        mixed: false,
    };
    let result = checker.expr(expr);
    if checker.issues.is_empty() {
        return Ok(checker.infer.resolve(&result));
    }
    Err(checker.issues)
}

impl Checker<'_> {
    pub(super) fn issue(&mut self, at: usize, message: String) -> Type {
        if self.issues.len() < MAX_ISSUES {
            self.issues.push(Issue::check(at, message));
        }
        Type::Dyn
    }

    pub(super) fn expr(&mut self, expr: &mut Expr) -> Type {
        if let Some(resolved) = self.qualified(expr) {
            return resolved;
        }
        let at = expr.at;
        match &mut expr.node {
            Node::Literal(value) => literal(value),
            Node::Ident(name) => {
                let message = format!("undeclared reference to '{name}' (in container '')");
                self.issue(at, message)
            }
            Node::Local(place) => self.locals[*place].1.clone(),
            Node::Select { operand, field, optional } => {
                let of = self.expr(operand);
                let (inner, was_optional) = self.unwrap_optional(&of);
                let found = self.field(at, &inner, field);
                if *optional || was_optional { Type::optional(found) } else { found }
            }
            Node::Has { operand, field } => {
                let of = self.expr(operand);
                let (inner, _) = self.unwrap_optional(&of);
                self.field(operand.at, &inner, field);
                Type::Bool
            }
            Node::Index { operand, index, optional } => {
                let (of, by) = (self.expr(operand), self.expr(index));
                let (inner, was_optional) = self.unwrap_optional(&of);
                let found = self.index(at, &inner, &by);
                if *optional || was_optional { Type::optional(found) } else { found }
            }
            Node::Call(call) => self.call(at, call),
            Node::List(items) => {
                let mixed = std::mem::take(&mut self.mixed);
                let mut types = Vec::new();
                for (item, optional) in items.iter_mut() {
                    let declared = self.expr(item);
                    types.push((item.at, self.stripped(item.at, &declared, *optional)));
                }
                Type::list(if mixed { Type::Dyn } else { self.joined(types) })
            }
            Node::Map(items) => {
                let (mut keys, mut values) = (Vec::new(), Vec::new());
                for (key, value, optional) in items.iter_mut() {
                    keys.push((key.at, self.expr(key)));
                    let declared = self.expr(value);
                    values.push((value.at, self.stripped(value.at, &declared, *optional)));
                }
                let key = self.joined(keys);
                Type::map(key, self.joined(values))
            }
            Node::Struct { name, fields } => self.structure(at, name, fields),
            Node::And(parts) => self.logical(at, "_&&_", parts),
            Node::Or(parts) => self.logical(at, "_||_", parts),
            Node::Conditional(parts) => self.conditional(at, parts),
            Node::Macro(node) => self.comprehension(node),
        }
    }

    /// Names that are declared whole: variables such as `variables.a`, and names of types.
    fn qualified(&mut self, expr: &mut Expr) -> Option<Type> {
        let name = expr.qualified_name()?;
        let first = name.split('.').next().unwrap_or_default();
        let rooted = matches!(&expr.node, Node::Ident(n) if n.starts_with('.'));
        if !rooted && let Some(place) = self.locals.iter().rposition(|(n, _)| n == first) {
            if matches!(expr.node, Node::Ident(_)) {
                expr.node = Node::Local(place);
                return Some(self.locals[place].1.clone());
            }
            return None;
        }
        if let Some(declared) = self.environment.variable(&name) {
            expr.node = Node::Ident(name);
            return Some(declared.clone());
        }
        let known = TYPE_NAMES.iter().find(|t| **t == name)?;
        expr.node = Node::Literal(Value::Type(Text::Borrowed(known)));
        Some(Type::Type)
    }

    fn unwrap_optional(&mut self, of: &Type) -> (Type, bool) {
        match self.infer.resolve(of) {
            Type::Optional(inner) => ((*inner).clone(), true),
            other => (other, false),
        }
    }

    fn field(&mut self, at: usize, of: &Type, field: &str) -> Type {
        match self.infer.resolve(of) {
            Type::Map(pair) => pair.1.clone(),
            Type::Dyn | Type::Var(_) => Type::Dyn,
            Type::Object(object) => match object.fields.get(field) {
                Some((_, declared)) => declared.clone(),
                None => self.issue(at, format!("undefined field '{field}'")),
            },
            other => self.issue(at, format!("type '{other}' does not support field selection")),
        }
    }

    fn index(&mut self, at: usize, of: &Type, by: &Type) -> Type {
        let (of, by) = (self.infer.resolve(of), self.infer.resolve(by));
        match &of {
            Type::Dyn | Type::Var(_) => return Type::Dyn,
            Type::List(list) if matches!(by, Type::Int | Type::Dyn) => return list.element.clone(),
            Type::Map(pair) if self.infer.assignable(&pair.0, &by) => return pair.1.clone(),
            _ => {}
        }
        self.no_overload(at, "_[_]", false, &[of, by])
    }

    fn no_overload(&mut self, at: usize, name: &str, member: bool, args: &[Type]) -> Type {
        let texts: Vec<String> = args.iter().map(|t| self.infer.resolve(t).to_string()).collect();
        let shown = match texts.split_first() {
            Some((target, rest)) if member => format!("{target}.({})", rest.join(", ")),
            _ => format!("({})", texts.join(", ")),
        };
        self.issue(at, format!("found no matching overload for '{name}' applied to '{shown}'"))
    }

    fn call(&mut self, at: usize, call: &mut Call) -> Type {
        self.namespaced(call);
        let mut args = Vec::with_capacity(call.args.len());
        for (place, arg) in call.args.iter_mut().enumerate() {
            self.mixed = call.name == "format" && place == 1 && matches!(arg.node, Node::List(_));
            args.push(self.expr(arg));
        }
        let all = self.environment.functions(&call.name);
        if all.is_empty() {
            let message = format!("undeclared reference to '{}' (in container '')", call.name);
            return self.issue(at, message);
        }
        let mut result: Option<Type> = None;
        for overload in all {
            if overload.member != call.member || overload.args.len() != args.len() {
                continue;
            }
            if let Some(found) = self.fit(overload, &args) {
                call.overloads.push(overload);
                result = Some(match result {
                    None => found,
                    Some(before) if self.infer.resolve(&before) == self.infer.resolve(&found) => {
                        before
                    }
                    Some(_) => Type::Dyn,
                });
            }
        }
        let Some(result) = result else {
            return self.no_overload(at, &call.name, call.member, &args);
        };
        self.literals(call);
        result
    }

    /// `sets.contains(a, b)` reads as a call on `sets`; the function's name has the dot in it.
    fn namespaced(&self, call: &mut Call) {
        if !call.member {
            return;
        }
        let Some(namespace) = call.args.first().and_then(Expr::qualified_name) else { return };
        let local = self.locals.iter().any(|(n, _)| *n == namespace);
        let name = format!("{namespace}.{}", call.name);
        if local || self.environment.functions(&name).is_empty() {
            return;
        }
        call.name = name;
        call.member = false;
        call.args.remove(0);
    }

    /// The result of a signature, where the arguments fit it.
    fn fit(&mut self, overload: &Overload, args: &[Type]) -> Option<Type> {
        let params = [self.infer.fresh(), self.infer.fresh()];
        let mark = self.infer.mark();
        for (declared, given) in overload.args.iter().zip(args) {
            let declared = Inference::instantiate(declared, &params);
            if !self.infer.assignable(&declared, given) {
                self.infer.undo(mark);
                return None;
            }
        }
        let result = Inference::instantiate(&overload.result, &params);
        Some(self.infer.resolve(&result))
    }

    /// Literals that can be judged now: patterns, durations, timestamps.
    fn literals(&mut self, call: &mut Call) {
        let place = usize::from(matches!(call.name.as_str(), "matches" | "find" | "findAll"));
        let Some(arg) = call.args.get_mut(place) else { return };
        let Node::Literal(Value::String(text)) = &arg.node else { return };
        let at = arg.at;
        match call.name.as_str() {
            "matches" | "find" | "findAll" => match functions::pattern_literal(text.as_str()) {
                Ok(pattern) => arg.node = Node::Literal(pattern),
                Err(_) => {
                    self.issue(at, "invalid matches argument".into());
                }
            },
            "duration" if super::duration::parse(text.as_str()).is_none() => {
                self.issue(at, "invalid duration argument".into());
            }
            "timestamp" if super::value::timestamp(text.as_str()).is_none() => {
                self.issue(at, "invalid timestamp argument".into());
            }
            _ => {}
        }
    }

    pub(super) fn stripped(&mut self, at: usize, declared: &Type, optional: bool) -> Type {
        if !optional {
            return declared.clone();
        }
        match self.infer.resolve(declared) {
            Type::Optional(inner) => (*inner).clone(),
            Type::Dyn | Type::Var(_) => Type::Dyn,
            other => {
                let expected = Type::optional(other.clone());
                self.issue(at, format!("expected type '{expected}' but found '{other}'"))
            }
        }
    }

    /// The one type of a literal's elements.
    fn joined(&mut self, types: Vec<(usize, Type)>) -> Type {
        let mut common: Option<Type> = None;
        for (at, next) in types {
            let next = self.infer.resolve(&next);
            common = Some(match common {
                None => next,
                Some(Type::Dyn) => Type::Dyn,
                Some(_) if next == Type::Dyn => Type::Dyn,
                Some(before) if self.infer.assignable(&before, &next) => before,
                Some(before) if self.infer.assignable(&next, &before) => next,
                Some(before) => {
                    let before = self.infer.resolve(&before);
                    self.issue(at, format!("expected type '{before}' but found '{next}'"))
                }
            });
        }
        common.unwrap_or_else(|| self.infer.fresh())
    }

    fn logical(&mut self, at: usize, name: &str, parts: &mut [Expr]) -> Type {
        let types: Vec<Type> = parts.iter_mut().map(|p| self.expr(p)).collect();
        for (i, found) in types.iter().enumerate() {
            if !self.infer.assignable(&Type::Bool, found) {
                let pair = [types[i.max(1) - 1].clone(), types[i.max(1)].clone()];
                return self.no_overload(at, name, false, &pair);
            }
        }
        Type::Bool
    }

    fn conditional(&mut self, at: usize, parts: &mut [Expr; 3]) -> Type {
        let types = parts.each_mut().map(|p| self.expr(p));
        let [condition, yes, no] = &types;
        if self.infer.assignable(&Type::Bool, condition) {
            if self.infer.assignable(yes, no) {
                return if self.infer.resolve(no) == Type::Dyn { Type::Dyn } else { yes.clone() };
            }
            if self.infer.assignable(no, yes) {
                return no.clone();
            }
        }
        self.no_overload(at, "_?_:_", false, &types)
    }
}

fn literal(value: &Value<'_>) -> Type {
    match value {
        Value::Null => Type::Null,
        Value::Bool(_) => Type::Bool,
        Value::Int(_) => Type::Int,
        Value::Uint(_) => Type::Uint,
        Value::Double(_) => Type::Double,
        Value::Bytes(_) => Type::Bytes,
        _ => Type::String,
    }
}
