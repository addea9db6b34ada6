//! Expressions from tokens, by precedence. Nesting and length are bounded.

use super::{
    ast::{Call, Expr, Node},
    error::Issue,
    macros,
    token::{Lexed, Token, tokens},
    value::{Text, Value},
};

/// Longest expression, code points; cel-go's limit.
pub(super) const MAX_CODE_POINTS: usize = 100_000;
/// Deepest tree of an expression, such as of a chain of operators; cel-go's recursion limit.
pub(super) const MAX_HEIGHT: usize = 250;
/// Deepest nesting of brackets, calls and literals: the parser takes several kilobytes of stack for
/// each. Upstream allows [`MAX_HEIGHT`] here too.
const MAX_NESTING: usize = 64;

/// What may begin an operand, as ANTLR lists it in messages.
const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, \
                       NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// Names kept for languages that CEL is embedded in.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];
/// Binary operators: text, name of the function, strength.
const BINARY: &[(&str, &str, u8)] = &[
    ("||", "_||_", 1),
    ("&&", "_&&_", 2),
    ("<", "_<_", 3),
    ("<=", "_<=_", 3),
    (">", "_>_", 3),
    (">=", "_>=_", 3),
    ("==", "_==_", 3),
    ("!=", "_!=_", 3),
    ("in", "@in", 3),
    ("+", "_+_", 4),
    ("-", "_-_", 4),
    ("*", "_*_", 5),
    ("/", "_/_", 5),
    ("%", "_%_", 5),
];

pub(super) struct Parser {
    tokens: Vec<Lexed>,
    next: usize,
    depth: usize,
}

/// Parses a whole expression.
pub(super) fn parse(source: &[char]) -> Result<Expr, Issue> {
    if source.len() > MAX_CODE_POINTS {
        let message = format!(
            "expression code point size exceeds limit: size: {}, limit {MAX_CODE_POINTS}",
            source.len()
        );
        return Err(Issue::check(0, message));
    }
    let mut parser = Parser { tokens: tokens(source)?, next: 0, depth: 0 };
    let expr = parser.expression()?;
    if *parser.peek() != Token::End {
        let seen = &parser.tokens[parser.next];
        let message = format!("mismatched input '{}' expecting <EOF>", seen.text);
        return Err(Issue::syntax(seen.at, message));
    }
    Ok(expr)
}

fn too_deep(at: usize, limit: usize) -> Issue {
    Issue::check(at, format!("expression recursion limit exceeded: {limit}"))
}

/// A node, unless it nests too deep.
pub(super) fn make(at: usize, node: Node) -> Result<Expr, Issue> {
    let expr = Expr::new(at, node);
    if expr.height > MAX_HEIGHT { Err(too_deep(at, MAX_HEIGHT)) } else { Ok(expr) }
}

pub(super) fn call(at: usize, name: &str, member: bool, args: Vec<Expr>) -> Result<Expr, Issue> {
    make(at, Node::Call(Call { name: name.into(), member, args, overloads: Vec::new() }))
}

impl Parser {
    fn peek(&self) -> &Token {
        &self.tokens[self.next].token
    }

    fn at(&self) -> usize {
        self.tokens[self.next].at
    }

    fn take(&mut self, symbol: &'static str) -> bool {
        let found = *self.peek() == Token::Symbol(symbol);
        self.next += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &'static str) -> Result<(), Issue> {
        if self.take(symbol) {
            return Ok(());
        }
        let seen = &self.tokens[self.next];
        if seen.token == Token::End {
            let message = format!("missing '{symbol}' at '<EOF>'");
            return Err(Issue::syntax(seen.at, message));
        }
        Err(Issue::syntax(
            seen.at,
            format!("mismatched input '{}' expecting '{symbol}'", seen.text),
        ))
    }

    fn identifier(&mut self) -> Result<String, Issue> {
        let seen = &self.tokens[self.next];
        if let Token::Ident(name) = &seen.token {
            self.next += 1;
            return Ok(name.clone());
        }
        let verb = if seen.token == Token::End { "no viable alternative at input '.'" } else { "" };
        let message = match verb {
            "" => format!("mismatched input '{}' expecting IDENTIFIER", seen.text),
            _ => verb.to_owned(),
        };
        Err(Issue::syntax(seen.at, message))
    }

    fn expression(&mut self) -> Result<Expr, Issue> {
        self.depth += 1;
        if self.depth > MAX_NESTING {
            return Err(too_deep(self.at(), MAX_NESTING));
        }
        let condition = self.binary(1)?;
        let at = self.at();
        let expr = if self.take("?") {
            let yes = self.binary(1)?;
            self.expect(":")?;
            let no = self.expression()?;
            make(at, Node::Conditional(Box::new([condition, yes, no])))?
        } else {
            condition
        };
        self.depth -= 1;
        Ok(expr)
    }

    /// Operators of this strength and stronger ones. Chains of `&&` and `||` are one node each, so
    /// that long ones do not nest.
    fn binary(&mut self, strength: u8) -> Result<Expr, Issue> {
        let mut left = self.unary()?;
        loop {
            let Token::Symbol(symbol) = *self.peek() else { return Ok(left) };
            let found = BINARY.iter().find(|(s, _, p)| *s == symbol && *p >= strength);
            let Some((_, name, own)) = found else { return Ok(left) };
            let at = self.at();
            if *own > 2 {
                self.next += 1;
                let right = self.binary(own + 1)?;
                left = call(at, name, false, vec![left, right])?;
                continue;
            }
            let mut parts = vec![left];
            while self.take(symbol) {
                parts.push(self.binary(own + 1)?);
            }
            left = make(at, if *own == 1 { Node::Or(parts) } else { Node::And(parts) })?;
        }
    }

    fn unary(&mut self) -> Result<Expr, Issue> {
        let at = self.at();
        for (symbol, name) in [("!", "!_"), ("-", "-_")] {
            let mut times = 0;
            while *self.peek() == Token::Symbol(symbol) {
                self.next += 1;
                times += 1;
            }
            if times == 0 {
                continue;
            }
            // A sign belongs to the number, so that the least int can be written.
            if symbol == "-" && times == 1 {
                let literal = match self.peek() {
                    Token::Int(v) => i64::try_from(-i128::from(*v)).ok().map(Value::Int),
                    Token::Double(v) => Some(Value::Double(-*v)),
                    _ => None,
                };
                if let Some(value) = literal {
                    self.next += 1;
                    let expr = make(at, Node::Literal(value))?;
                    return self.postfix(expr);
                }
            }
            let operand = self.member()?;
            // An even number of them is nothing.
            return if times % 2 == 0 { Ok(operand) } else { call(at, name, false, vec![operand]) };
        }
        self.member()
    }

    fn member(&mut self) -> Result<Expr, Issue> {
        let primary = self.primary()?;
        self.postfix(primary)
    }

    fn postfix(&mut self, mut expr: Expr) -> Result<Expr, Issue> {
        loop {
            let at = self.at();
            if self.take(".") {
                let optional = self.take("?");
                let name = self.identifier()?;
                let open = self.at();
                if !optional && self.take("(") {
                    let mut args = self.arguments(")")?;
                    expr = match macros::member(open, &name, expr, &mut args)? {
                        macros::Expanded::Macro(expanded) => expanded,
                        macros::Expanded::Not(target) => {
                            args.insert(0, target);
                            call(open, &name, true, args)?
                        }
                    };
                } else {
                    let node = Node::Select { operand: Box::new(expr), field: name, optional };
                    expr = make(at, node)?;
                }
            } else if self.take("[") {
                let optional = self.take("?");
                let index = Box::new(self.expression()?);
                self.expect("]")?;
                expr = make(at, Node::Index { operand: Box::new(expr), index, optional })?;
            } else if *self.peek() == Token::Symbol("{")
                && let Some(name) = expr.qualified_name()
            {
                self.next += 1;
                let fields = self.fields()?;
                expr = make(expr.at, Node::Struct { name, fields })?;
            } else {
                return Ok(expr);
            }
        }
    }

    fn arguments(&mut self, close: &'static str) -> Result<Vec<Expr>, Issue> {
        let mut args = Vec::new();
        if self.take(close) {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if !self.take(",") {
                self.expect(close)?;
                return Ok(args);
            }
        }
    }

    fn fields(&mut self) -> Result<Vec<(String, Expr, bool)>, Issue> {
        let mut fields = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let name = self.identifier()?;
            self.expect(":")?;
            fields.push((name, self.expression()?, optional));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        Ok(fields)
    }

    fn primary(&mut self) -> Result<Expr, Issue> {
        let Lexed { token, at, text } = self.tokens[self.next].clone();
        self.next += usize::from(token != Token::End);
        let value = match token {
            Token::Int(v) => {
                let bad = || Issue::syntax(at, "invalid int literal".into());
                Value::Int(i64::try_from(v).map_err(|_| bad())?)
            }
            Token::Uint(v) => Value::Uint(v),
            Token::Double(v) => Value::Double(v),
            Token::String(s) => Value::String(Text::from(s)),
            Token::Bytes(b) => Value::Bytes(b.into()),
            Token::Symbol("true") => Value::Bool(true),
            Token::Symbol("false") => Value::Bool(false),
            Token::Symbol("null") => Value::Null,
            Token::Symbol("(") => {
                let inner = self.expression()?;
                self.expect(")")?;
                return Ok(inner);
            }
            Token::Symbol("[") => return self.list(at),
            Token::Symbol("{") => return self.map(at),
            Token::Symbol(".") => {
                let name = self.identifier()?;
                return self.name(at, format!(".{name}"));
            }
            Token::Ident(name) => return self.name(at, name),
            _ => {
                let verb = if token == Token::End { "mismatched" } else { "extraneous" };
                let message = format!("{verb} input '{text}' expecting {OPERAND}");
                return Err(Issue::syntax(at, message));
            }
        };
        make(at, Node::Literal(value))
    }

    fn name(&mut self, at: usize, name: String) -> Result<Expr, Issue> {
        let bare = name.trim_start_matches('.');
        if RESERVED.contains(&bare) {
            return Err(Issue::syntax(at, format!("reserved identifier: {bare}")));
        }
        let open = self.at();
        if !self.take("(") {
            return make(at, Node::Ident(name));
        }
        let args = self.arguments(")")?;
        if bare == "has" {
            return macros::has(open, args);
        }
        call(open, bare, false, args)
    }

    fn list(&mut self, at: usize) -> Result<Expr, Issue> {
        let mut items = Vec::new();
        while !self.take("]") {
            let optional = self.take("?");
            items.push((self.expression()?, optional));
            if !self.take(",") {
                self.expect("]")?;
                break;
            }
        }
        make(at, Node::List(items))
    }

    fn map(&mut self, at: usize) -> Result<Expr, Issue> {
        let mut items = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expression()?;
            self.expect(":")?;
            items.push((key, self.expression()?, optional));
            if !self.take(",") {
                self.expect("}")?;
                break;
            }
        }
        make(at, Node::Map(items))
    }
}
