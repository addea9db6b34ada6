//! The one way objects are read and written, for HTTP and for controllers alike: admission,
//! defaulting, validation, optimistic concurrency, deletion rules, lists and watches over the
//! store.
//!
//! Reads come from the applied state in memory ([`View`]), linearizable ones after a read barrier.
//! Writes are compare-and-write transactions against exactly the revision they were decided on.
//! Authorization is not done here: callers ask [`crate::auth`] first.

mod admission;
mod apply;
mod binding;
mod bootstrap;
mod budget;
mod canonical;
mod condition;
mod create;
mod definitions;
mod delete;
#[cfg(test)]
pub(crate) mod faults;
mod list;
mod object;
mod options;
mod outcome;
mod owners;
mod patch;
mod quota;
mod scale;
mod service;
mod store;
mod strategy;
mod token;
mod update;
mod view;
mod watch;

#[cfg(test)]
mod tests;

pub use admission::dynamic::{Attributes as AdmissionAttributes, Notes, Operation};
pub(crate) use admission::{protection, quota as quotas};
pub use bootstrap::{Endpoint, FRONT_PROXY_USER, mandatory_flow};
pub(crate) use condition::{Condition, set_condition};
pub use definitions::{AcceptedNames, Definition, Definitions};
pub(crate) use delete::CUSTOM_RESOURCE_CLEANUP;
pub use object::{Object, TypeMeta};
pub use options::{
    DeleteOptions, FieldValidation, ListOptions, PatchKind, Propagation, RequestInfo, Subresource,
    WatchOptions,
};
pub use outcome::{Deleted, ListResult, WatchEvent, Written};
pub use store::{Registry, RegistryConfig};
pub(crate) use strategy::stamp;
pub use view::{MemView, View};
pub use watch::ObjectWatch;
