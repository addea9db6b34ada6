//! Controllers of one rule each.

mod bootstrap_token;
mod cluster_role_aggregation;
mod event_ttl;
mod flow_schema_status;
mod namespace;
mod namespace_objects;

pub(crate) use bootstrap_token::BootstrapTokenCleaner;
pub(crate) use cluster_role_aggregation::ClusterRoleAggregation;
pub(crate) use event_ttl::EventCleaner;
pub(crate) use flow_schema_status::FlowSchemaStatus;
pub(crate) use namespace::NamespaceController;
pub(crate) use namespace_objects::{RootCaPublisher, ServiceAccountController};
