//! Who owns the fields that a write of the registry sets.

use kabuki_api::{
    kind::{Kind, Served},
    patch::{Owners, Writer},
};

use super::options::{RequestInfo, Subresource};

/// How the owners of a written object are found.
#[derive(Debug, Clone)]
pub(super) enum Ownership {
    /// The writer owns what it changes.
    Track(Owners),
    /// They are decided: the stored form of `managedFields`.
    Decided(Option<String>),
}

/// The writer of one request. `served` is what the definition of a custom kind says.
pub(super) fn writer<'a>(
    info: &'a RequestInfo,
    kind: &'static Kind,
    served: Option<&'a Served>,
    sub: Subresource,
    now: &'a str,
) -> Writer<'a> {
    let subresource = match sub {
        Subresource::Status => "status",
        Subresource::Finalize => "finalize",
        Subresource::Approval => "approval",
        Subresource::Main | Subresource::Binding => info.through,
    };
    Writer {
        kind,
        manager: &info.field_manager,
        subresource,
        now,
        schema: served.map(|s| &s.schema),
    }
}
