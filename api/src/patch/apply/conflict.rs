//! Fields that an apply would change and others own. Texts of apimachinery
//! `pkg/util/managedfields/internal/conflict.go`.

use super::{
    field_set::FieldSet,
    managers::{Entry, Managers},
};
use crate::status::{Cause, Details, Status};

/// What one manager would lose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Conflict {
    pub(super) owner: Entry,
    pub(super) fields: FieldSet,
}

/// What others than `by` own of `taken`.
pub(super) fn find(managers: &Managers, by: &Entry, taken: &FieldSet) -> Vec<Conflict> {
    let others = managers.0.iter().filter(|entry| !entry.is_same(by));
    let mut found: Vec<_> = others
        .map(|entry| Conflict { owner: entry.clone(), fields: entry.fields.common(taken) })
        .filter(|conflict| !conflict.fields.is_empty())
        .collect();
    found.sort_by_key(|conflict| conflict.owner.shown());
    found
}

/// 409 with one cause per field.
pub(super) fn status(conflicts: &[Conflict]) -> Status {
    let mut causes = Vec::new();
    let mut lines = Vec::new();
    for conflict in conflicts {
        let owner = conflict.owner.shown();
        lines.push(format!("conflicts with {owner}:"));
        for path in conflict.fields.shown() {
            lines.push(format!("- {path}"));
            causes.push(Cause {
                reason: "FieldManagerConflict".into(),
                message: format!("conflict with {owner}"),
                field: path,
            });
        }
    }
    let message = match causes.as_slice() {
        [one] => format!("Apply failed with 1 conflict: {}: {}", one.message, one.field),
        many => format!("Apply failed with {} conflicts: {}", many.len(), lines.join("\n")),
    };
    Status::failure(409, "Conflict", message).with_details(Details { causes, ..Details::default() })
}
