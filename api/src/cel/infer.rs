//! Types that are still open while an expression is checked.

use std::sync::Arc;

use super::types::{ListType, Type};

/// Deepest type that is looked into; deeper ones are taken as anything. A type of maps doubles with
/// every level, so this is what bounds the checker's work.
const MAX_DEPTH: usize = 10;

/// What is known of the open types.
#[derive(Debug, Default)]
pub(super) struct Inference {
    known: Vec<Option<Type>>,
    /// Which became known, in order, to be able to go back.
    trail: Vec<usize>,
}

impl Inference {
    /// A new open type.
    pub(super) fn fresh(&mut self) -> Type {
        self.known.push(None);
        Type::Var(self.known.len() - 1)
    }

    /// A place to come back to.
    pub(super) fn mark(&self) -> usize {
        self.trail.len()
    }

    /// Forgets what became known since.
    pub(super) fn undo(&mut self, mark: usize) {
        for var in self.trail.drain(mark..) {
            self.known[var] = None;
        }
    }

    /// A signature's type with its parameters open.
    pub(super) fn instantiate(declared: &Type, params: &[Type; 2]) -> Type {
        instantiate(declared, MAX_DEPTH, params)
    }

    /// A type with all that is known put in.
    pub(super) fn resolve(&self, of: &Type) -> Type {
        self.resolve_within(of, MAX_DEPTH)
    }

    fn resolve_within(&self, of: &Type, depth: usize) -> Type {
        let mut found = of;
        while let Type::Var(n) = found {
            match self.known.get(*n) {
                Some(Some(next)) => found = next,
                _ => break,
            }
        }
        rebuild(found, depth, &|t, depth| self.resolve_within(t, depth))
    }

    /// Whether a value of the second type can stand where the first is wanted; open types become
    /// known by that.
    pub(super) fn assignable(&mut self, wanted: &Type, given: &Type) -> bool {
        let (wanted, given) = (self.resolve(wanted), self.resolve(given));
        let mark = self.mark();
        let fits = self.unify(&wanted, &given, MAX_DEPTH);
        if !fits {
            self.undo(mark);
        }
        fits
    }

    fn learn(&mut self, var: usize, is: &Type) -> bool {
        let is = self.resolve(is);
        if is == Type::Var(var) {
            return true;
        }
        if mentions(&is, var) {
            return false;
        }
        self.known[var] = Some(is);
        self.trail.push(var);
        true
    }

    fn unify(&mut self, wanted: &Type, given: &Type, depth: usize) -> bool {
        if depth == 0 {
            return true;
        }
        let (wanted, given) = (&self.resolve(wanted), &self.resolve(given));
        match (wanted, given) {
            (Type::Var(var), other) | (other, Type::Var(var)) => self.learn(*var, other),
            (Type::Dyn, _) | (_, Type::Dyn) => true,
            (Type::Object(_) | Type::Opaque(_) | Type::Duration | Type::Timestamp, Type::Null)
            | (Type::Null, Type::Object(_) | Type::Opaque(_) | Type::Duration | Type::Timestamp) => {
                true
            }
            (Type::List(a), Type::List(b)) => self.unify(&a.element, &b.element, depth - 1),
            (Type::Map(a), Type::Map(b)) => {
                self.unify(&a.0, &b.0, depth - 1) && self.unify(&a.1, &b.1, depth - 1)
            }
            (Type::Optional(a), Type::Optional(b)) => self.unify(a, b, depth - 1),
            (Type::Object(a), Type::Object(b)) => a.name == b.name,
            (a, b) => a == b,
        }
    }
}

fn mentions(of: &Type, var: usize) -> bool {
    match of {
        Type::Var(n) => *n == var,
        Type::List(list) => mentions(&list.element, var),
        Type::Map(pair) => mentions(&pair.0, var) || mentions(&pair.1, var),
        Type::Optional(inner) => mentions(inner, var),
        _ => false,
    }
}

fn instantiate(declared: &Type, depth: usize, params: &[Type; 2]) -> Type {
    match declared {
        Type::Param(n) => params.get(usize::from(*n)).cloned().unwrap_or(Type::Dyn),
        other => rebuild(other, depth, &|t, depth| instantiate(t, depth, params)),
    }
}

/// A type with its parts replaced.
fn rebuild(of: &Type, depth: usize, part: &dyn Fn(&Type, usize) -> Type) -> Type {
    let Some(depth) = depth.checked_sub(1) else { return Type::Dyn };
    match of {
        Type::List(list) => {
            let element = part(&list.element, depth);
            Type::List(Arc::new(ListType { element, kind: list.kind.clone() }))
        }
        Type::Map(pair) => Type::map(part(&pair.0, depth), part(&pair.1, depth)),
        Type::Optional(of) => Type::optional(part(of, depth)),
        other => other.clone(),
    }
}
