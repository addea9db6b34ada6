//! The node link: how a server process reaches a node that has no open port.
//!
//! A node dials every member over TLS on the API port (`GET /kabuki/v1/link`, upgraded to
//! `kabuki-link`) and keeps one yamux session on each connection. The member opens streams on it:
//! a small versioned header with a [`Request`], a small answer, then plain bytes in both
//! directions. [`Hub`] is the member's side, [`Dialer`] the node's. [`Balancer`] is the way back:
//! a local TCP load balancer through which the node's API client survives the loss of a member.
//!
//! Not here: the HTTP upgrade handler (it hands the upgraded bytes to [`Hub::register`]).

mod api_client;
mod balancer;
mod compat;
mod dialer;
mod error;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod health;
mod hub;
mod member_follower;
mod rotating_client;
mod session;
mod upgrade;

pub use api_client::{ApiClientConfig, api_client};
pub use balancer::{Balancer, BalancerConfig};
pub use dialer::{Dialer, DialerConfig, Handler, Responder};
pub use error::LinkError;
pub use frame::{LogRequest, Request};
pub use hub::Hub;
pub use member_follower::{MemberFollower, MemberFollowerArgs};
pub use rotating_client::RotatingClient;
pub use session::LinkStream;

/// Path of the upgrade request a node makes on the API port.
pub const LINK_PATH: &str = "/kabuki/v1/link";
/// Value of the `Upgrade` header in that request.
pub const LINK_UPGRADE: &str = "kabuki-link";

#[cfg(test)]
mod tests;
