//! Images: pulled from registries or loaded from archives, checked, unpacked once, shared by every
//! container as read-only overlay layers.

mod archive;
mod bounded;
mod digest;
mod entry;
#[doc(hidden)]
pub mod fuzzing;
mod info;
mod manifest;
mod pull;
mod reference;
mod store;
mod unpack;
mod upkeep;

pub use info::{ImageConfig, ImageInfo, PullOptions, RegistryAuth};
pub use store::ImageStore;
