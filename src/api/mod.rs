//! The HTTP face: TLS, routing, authentication, authorization, negotiation and streaming in front
//! of the registry. It decides nothing about objects; it decides who gets which answer in which
//! form.
//!
//! Entry points: [`start`] runs the server, `pipeline::entry` is the way of one request.

mod accept;
mod answer;
mod audited;
mod authn;
mod call;
mod connection;
mod debug;
mod debug_all;
mod discovery;
mod documents;
mod extension;
mod face;
mod flow;
mod health;
mod link;
mod logs;
mod metrics;
mod openapi;
mod operations;
mod path;
mod peers;
mod pipeline;
mod pretty;
mod process;
mod query;
mod read;
mod reviews;
mod server;
mod socket;
mod subresource;
mod watch;
mod write;

use actix_web::{
    HttpResponse,
    http::header::{HeaderName, HeaderValue},
};

pub use authn::authenticate;
pub use connection::{PeerCertificate, peer_certificate};
pub use face::{
    ApiConfig, Attachments, Checks, Extra, Face, MAX_CHANGING, MAX_LONG_RUNNING, MAX_READING,
    MoreMetrics,
};
pub use flow::SEATS;
pub use logs::{LogBytes, LogSource};
pub use peers::Peers;
pub use server::{ApiServer, start};

/// Version of Kubernetes whose API is served.
pub const KUBERNETES_VERSION: &str = "v1.36.0";

fn header(response: &mut HttpResponse, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}
