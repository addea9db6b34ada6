//! JSON patch, merge patch and strategic merge patch, over values.

mod json;
mod merge;
mod strategic;

pub use json::json_patch;
pub use merge::merge_patch;
pub use strategic::strategic_merge;
#[cfg(test)]
mod strategic_tests;
