//! A container's environment, command and arguments. Pure: objects are fetched by the caller.

mod expand;
mod field;
mod resolve;
mod resource;
mod services;

pub use expand::expand;
pub use field::pod_field;
pub use resolve::{EnvError, EnvInput, Fetched, Reference, references, resolve};
pub use resource::resource_field;
pub use services::{ServiceEntry, service_env};
