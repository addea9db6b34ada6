//! JSON patch, merge patch, strategic merge patch and server-side apply, over values.

mod apply;
mod json;
mod merge;
mod refusal;
mod strategic;

pub use apply::{Applied, Owners, Writer, lay_over, same_owners};
pub use json::json_patch;
pub use merge::merge_patch;
pub use refusal::refused_patch;
pub use strategic::strategic_merge;
#[cfg(test)]
mod strategic_tests;
