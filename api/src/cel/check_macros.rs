//! The checker on macros and typed literals.

use super::{
    ast::{Expr, Macro, MacroKind},
    check::Checker,
    types::Type,
};

impl Checker<'_> {
    pub(super) fn structure(
        &mut self,
        at: usize,
        name: &str,
        fields: &mut [(String, Expr, bool)],
    ) -> Type {
        if !self.environment.has_structure(name) {
            let message = format!("undeclared reference to '{name}' (in container '')");
            return self.issue(at, message);
        }
        for (field, value, optional) in fields {
            let given = self.expr(value);
            let given = self.stripped(value.at, &given, *optional);
            let given = self.infer.resolve(&given);
            let wanted = structure_field(name, field);
            let fits = match (&wanted, &given) {
                (None, _) => {
                    self.issue(value.at, format!("undefined field '{field}'"));
                    continue;
                }
                (Some(wanted @ Type::Object(_)), Type::Object(object))
                    if object.name.starts_with("Object") =>
                {
                    if wanted != &given {
                        let message = format!(
                            "unexpected type name \"{given}\", expected \"{wanted}\", which matches \
                             field name path from root Object type"
                        );
                        self.issue(value.at, message);
                    }
                    true
                }
                (Some(Type::Object(_)), _) => true,
                (Some(wanted), given) => self.infer.assignable(wanted, given),
            };
            if !fits {
                let wanted = wanted.unwrap_or(Type::Dyn);
                let message = format!(
                    "expected type of field '{field}' is '{wanted}' but provided type is '{given}'"
                );
                self.issue(value.at, message);
            }
        }
        Type::object(name, &[])
    }

    pub(super) fn comprehension(&mut self, node: &mut Macro) -> Type {
        use MacroKind as M;
        let range = self.expr(&mut node.range);
        let range = self.infer.resolve(&range);
        let optional = matches!(node.kind, M::OptMap | M::OptFlatMap);
        let (first, second) = match &range {
            Type::List(list) => (list.element.clone(), Some(Type::Int)),
            Type::Map(pair) => (pair.0.clone(), None),
            Type::Optional(inner) if optional => ((**inner).clone(), None),
            Type::Dyn | Type::Var(_) => (Type::Dyn, None),
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be \
                     list, map, or dynamic)"
                );
                self.issue(node.range.at, message);
                (Type::Dyn, None)
            }
        };
        let depth = self.locals.len();
        match node.names.as_slice() {
            [one] => self.locals.push((one.clone(), first)),
            [key, value] => {
                let key_type = second.unwrap_or(first);
                self.locals.push((key.clone(), key_type));
                self.locals.push((value.clone(), range.element()));
            }
            _ => {}
        }
        if let Some(condition) = &mut node.condition {
            let found = self.expr(condition);
            if !self.infer.assignable(&Type::Bool, &found) {
                let found = self.infer.resolve(&found);
                let at = condition.at;
                self.issue(at, format!("expected type 'bool' but found '{found}'"));
            }
        }
        let transformed = node.transform.as_mut().map(|t| self.expr(t));
        self.locals.truncate(depth);
        let transformed = transformed.unwrap_or(Type::Dyn);
        match node.kind {
            M::All | M::Exists | M::ExistsOne => Type::Bool,
            M::Filter => match range {
                Type::Map(pair) => Type::list(pair.0.clone()),
                other => Type::list(other.element()),
            },
            M::Map | M::TransformList => Type::list(transformed),
            M::TransformMap => match range {
                Type::Map(pair) => Type::map(pair.0.clone(), transformed),
                Type::List(_) => Type::map(Type::Int, transformed),
                _ => Type::map(Type::Dyn, transformed),
            },
            M::TransformMapEntry => transformed,
            M::OptMap => Type::optional(transformed),
            M::OptFlatMap => transformed,
        }
    }
}

/// The type of a field of a typed literal (`k8s.io/apiserver/pkg/cel/mutation`).
fn structure_field(name: &str, field: &str) -> Option<Type> {
    if name == "JSONPatch" {
        return match field {
            "op" | "path" | "from" => Some(Type::String),
            "value" => Some(Type::Dyn),
            _ => None,
        };
    }
    // An object's field is anything, but a typed literal there has the field's name.
    Some(Type::object(&format!("{name}.{field}"), &[]))
}
