//! What evaluations may cost: upstream's units, and our own bound on work and memory.

use super::error::EvalError;

/// Most that one evaluation costs, upstream's units (`k8s.io/apiserver/pkg/apis/cel`).
pub const PER_CALL_LIMIT: u64 = 1_000_000;
/// Most that all expressions of one policy binding, or of one custom resource, cost for a request.
pub const RUNTIME_BUDGET: u64 = 10_000_000;
/// The same for the match conditions of one webhook or policy.
pub const MATCH_CONDITIONS_BUDGET: u64 = RUNTIME_BUDGET / 4;
/// Most elements that one evaluation copies or makes, and sixteenths of the bytes: memory is
/// bounded by this where upstream's units see nothing.
const WORK_PER_CALL: u64 = 2_000_000;

/// What is left for the evaluations of one request.
#[derive(Debug, Clone)]
pub struct Budget {
    total: u64,
    call: u64,
    work: u64,
}

impl Budget {
    /// A grant of upstream's units.
    pub fn new(units: u64) -> Self {
        Self { total: units, call: PER_CALL_LIMIT, work: WORK_PER_CALL }
    }

    /// What is left, upstream's units.
    pub fn left(&self) -> u64 {
        self.total
    }

    /// A new evaluation begins.
    pub(super) fn start_call(&mut self) {
        self.call = PER_CALL_LIMIT;
        self.work = WORK_PER_CALL;
    }

    pub(super) fn charge(&mut self, units: usize) -> Result<(), EvalError> {
        let units = units as u64;
        let total = self.total.checked_sub(units);
        self.total = total.unwrap_or(0);
        if total.is_none() {
            return Err(EvalError::Exhausted);
        }
        self.call = self.call.checked_sub(units).ok_or(EvalError::CallLimit)?;
        Ok(())
    }

    pub(super) fn work(&mut self, steps: usize) -> Result<(), EvalError> {
        self.work = self.work.checked_sub(steps as u64).ok_or(EvalError::CallLimit)?;
        Ok(())
    }
}
