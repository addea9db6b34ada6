//! Images: pulled from registries or loaded from archives, checked, unpacked once, shared by every
//! container as read-only overlay layers.

mod info;
mod store;

pub use info::{ImageConfig, ImageInfo, PullOptions, RegistryAuth};
pub use store::ImageStore;
