//! The Common Expression Language with Kubernetes' environment: compiled with types checked,
//! evaluated over JSON with a bound on cost, memory and nesting.
//!
//! No crate does this: `cel` has neither a checker nor a bound on what an expression costs, and an
//! expression comes from anyone who may write a policy or a custom resource definition.
//!
//! Not here: time zones by name (offsets only), and the estimate of an expression's cost before it
//! runs (`k8s.io/apiserver/pkg/cel/library/cost.go`); costs while it runs are close to upstream's,
//! not equal.

mod ast;
mod authorizer;
mod budget;
mod check;
mod check_macros;
mod comprehension;
mod duration;
mod environment;
mod error;
mod eval;
mod functions;
mod infer;
mod json;
mod macros;
mod opaque;
mod parse;
mod policy;
mod token;
mod types;
mod value;

#[cfg(test)]
mod tests;

pub use authorizer::{Attributes, Authorizer, Check, Decision};
pub use budget::{Budget, MATCH_CONDITIONS_BUDGET, PER_CALL_LIMIT, RUNTIME_BUDGET};
pub use environment::{Environment, namespace_type, request_type};
pub use error::{CompileError, EvalError};
pub use eval::Variables;
pub use opaque::Opaque;
pub use policy::{Compiled, Policy, conditions};
pub use types::{ListKind, ListType, ObjectType, Type, escape};
pub use value::{Key, List, Map, Text, Value};

/// A compiled expression. May be shared and evaluated from many threads at once.
#[derive(Debug)]
pub struct Program {
    expr: ast::Expr,
    result: Type,
}

impl Program {
    /// Compiles an expression.
    ///
    /// # Errors
    /// [`CompileError`] with upstream's text, when it does not parse, a name or a signature does
    /// not fit, or its type is not one that the environment expects.
    pub fn compile(text: &str, environment: &Environment) -> Result<Self, CompileError> {
        let source: Vec<char> = text.chars().collect();
        let mut expr =
            parse::parse(&source).map_err(|e| CompileError::from_issues(&source, &[e]))?;
        let result = check::check(&mut expr, environment)
            .map_err(|issues| CompileError::from_issues(&source, &issues))?;
        environment.expect(&result)?;
        Ok(Self { expr, result })
    }

    /// The type of what it gives.
    pub fn result(&self) -> &Type {
        &self.result
    }

    /// Evaluates it. Pays from the budget, at most [`PER_CALL_LIMIT`].
    ///
    /// # Errors
    /// [`EvalError`] when it fails on these values or a limit ends it.
    pub fn eval<'a>(
        &self,
        variables: &Variables<'a>,
        budget: &mut Budget,
    ) -> Result<Value<'a>, EvalError> {
        eval::run(&self.expr, variables, budget)
    }
}
