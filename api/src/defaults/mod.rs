//! Default values, as upstream's `SetDefaults_*` functions set them.

use serde_json::Value;

use crate::kind::Kind;

/// Sets every default of the kind.
pub fn apply(_kind: &Kind, _object: &mut Value) {}
