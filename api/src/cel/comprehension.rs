//! Macros while they run.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    ast::{Expr, Macro, MacroKind},
    error::{EvalError, failed},
    eval::Context,
    value::{Key, List, Map, Value},
};

/// Cost of one round beyond what its expressions cost, upstream's units: the condition of the loop
/// and the accumulator.
const ROUND_COST: usize = 2;

/// What a macro goes through: places or keys, and elements.
enum Range<'a> {
    List(List<'a>),
    Map(Map<'a>, Vec<Key<'a>>),
}

impl<'a> Range<'a> {
    fn len(&self) -> usize {
        match self {
            Self::List(list) => list.len(),
            Self::Map(_, keys) => keys.len(),
        }
    }

    /// The place or key, and the element.
    fn at(&self, index: usize) -> Option<(Value<'a>, Value<'a>)> {
        match self {
            Self::List(list) => Some((Value::Int(i64::try_from(index).ok()?), list.get(index)?)),
            Self::Map(map, keys) => {
                let key = keys.get(index)?;
                Some((key.clone().into_value(), map.get(key)?))
            }
        }
    }
}

/// What a macro has gathered.
#[derive(Default)]
struct Gathered<'a> {
    list: Vec<Value<'a>>,
    map: BTreeMap<Key<'a>, Value<'a>>,
    count: usize,
    failure: Option<EvalError>,
}

impl<'a> Context<'_, 'a> {
    pub(super) fn comprehension(&mut self, node: &Macro) -> Result<Value<'a>, EvalError> {
        let range = match self.eval(&node.range)? {
            Value::List(list) => Range::List(list),
            Value::Map(map) => {
                let keys = map.keys();
                self.work(keys.len())?;
                Range::Map(map, keys)
            }
            Value::Optional(inner) => return self.optional(node, inner),
            other => {
                return failed(format!("got '{}', expected iterable type", other.type_name()));
            }
        };
        let mut gathered = Gathered::default();
        for index in 0..range.len() {
            let Some((key, element)) = range.at(index) else { break };
            self.charge(ROUND_COST)?;
            self.work(1)?;
            // With one variable a list gives its elements, a map its keys.
            let single =
                if matches!(range, Range::List(_)) { element.clone() } else { key.clone() };
            if node.names.len() == 2 {
                self.push(key.clone());
                self.push(element);
            } else {
                self.push(single.clone());
            }
            let decided = self.round(node, &key, single, &mut gathered);
            self.pop(node.names.len());
            if let Some(value) = decided? {
                return Ok(value);
            }
        }
        finish(node.kind, gathered)
    }

    /// One round; a value ends the macro.
    fn round(
        &mut self,
        node: &Macro,
        key: &Value<'a>,
        element: Value<'a>,
        gathered: &mut Gathered<'a>,
    ) -> Result<Option<Value<'a>>, EvalError> {
        use MacroKind as M;
        if matches!(node.kind, M::All | M::Exists) {
            return self.quantifier(node, gathered);
        }
        if let Some(condition) = &node.condition {
            match self.eval(condition)? {
                Value::Bool(true) => {}
                Value::Bool(false) => return Ok(None),
                _ => return Err(EvalError::no_overload()),
            }
        }
        gathered.count += 1;
        match (node.kind, &node.transform) {
            (M::Filter, _) => gathered.list.push(element),
            (M::Map | M::TransformList, Some(transform)) => {
                let made = self.eval(transform)?;
                gathered.list.push(made);
            }
            (M::TransformMap, Some(transform)) => {
                let made = self.eval(transform)?;
                let key = Key::from_value(key).ok_or_else(EvalError::no_overload)?;
                gathered.map.insert(key, made);
            }
            (M::TransformMapEntry, Some(transform)) => self.entry(transform, gathered)?,
            _ => {}
        }
        Ok(None)
    }

    /// A round of `all` or `exists`: one element that decides is enough, even when others fail.
    fn quantifier(
        &mut self,
        node: &Macro,
        gathered: &mut Gathered<'a>,
    ) -> Result<Option<Value<'a>>, EvalError> {
        let deciding = node.kind == MacroKind::Exists;
        let Some(condition) = &node.condition else { return Ok(None) };
        let failure = match self.eval(condition) {
            Ok(Value::Bool(v)) if v == deciding => return Ok(Some(Value::Bool(deciding))),
            Ok(Value::Bool(_)) => return Ok(None),
            Ok(_) => EvalError::no_overload(),
            Err(e) if e.is_limit() => return Err(e),
            Err(e) => e,
        };
        gathered.failure.get_or_insert(failure);
        Ok(None)
    }

    fn entry(&mut self, transform: &Expr, gathered: &mut Gathered<'a>) -> Result<(), EvalError> {
        let Value::Map(made) = self.eval(transform)? else {
            return Err(EvalError::no_overload());
        };
        for key in made.keys() {
            self.work(1)?;
            let value = made.get(&key).unwrap_or(Value::Null);
            if gathered.map.insert(key, value).is_some() {
                return failed("insert failed: key already exists");
            }
        }
        Ok(())
    }

    fn optional(
        &mut self,
        node: &Macro,
        inner: Option<Arc<Value<'a>>>,
    ) -> Result<Value<'a>, EvalError> {
        let (Some(inner), Some(transform)) = (inner, &node.transform) else {
            return Ok(Value::Optional(None));
        };
        if !matches!(node.kind, MacroKind::OptMap | MacroKind::OptFlatMap) {
            return failed("got 'optional_type', expected iterable type");
        }
        self.push((*inner).clone());
        let made = self.eval(transform);
        self.pop(1);
        let made = made?;
        Ok(if node.kind == MacroKind::OptMap { made.some() } else { made })
    }
}

fn finish<'a>(kind: MacroKind, gathered: Gathered<'a>) -> Result<Value<'a>, EvalError> {
    use MacroKind as M;
    if let Some(failure) = gathered.failure {
        return Err(failure);
    }
    Ok(match kind {
        M::All => Value::Bool(true),
        M::Exists => Value::Bool(false),
        M::ExistsOne => Value::Bool(gathered.count == 1),
        M::TransformMap | M::TransformMapEntry => {
            Value::Map(Map::Owned(Arc::new(gathered.map), None))
        }
        M::OptMap | M::OptFlatMap => return Err(EvalError::no_overload()),
        M::Filter | M::Map | M::TransformList => Value::list(gathered.list),
    })
}
