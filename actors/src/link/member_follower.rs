//! The actor that keeps a node's list of members current: the EndpointSlice of Service
//! default/kubernetes says where the API is.

use std::path::PathBuf;

use actix::{Actor, Handler, Message};
use futures_util::StreamExt;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::{
    Api,
    runtime::{WatchStreamExt, watcher},
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::{
    kernel::{Ctx, Performer},
    recreate_on_restart,
};

/// Selects the slices of Service default/kubernetes.
const SELECTOR: &str = "kubernetes.io/service-name=kubernetes";
/// Port used when a slice names none.
const API_PORT: i32 = 6443;

/// What the follower is made from.
#[derive(Clone)]
pub struct MemberFollowerArgs {
    /// The API.
    pub client: kube::Client,
    /// Told the members (`host:port`), for the balancer and the dialer.
    pub members: watch::Sender<Vec<String>>,
    /// File that keeps them, one per line, so that a restarted node finds any of them.
    pub memory: PathBuf,
}

/// The slices changed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct MembersSeen(Vec<String>);

/// Follows the members of the control plane.
pub struct MemberFollower {
    args: MemberFollowerArgs,
}

fn members_of(slice: &EndpointSlice) -> Vec<String> {
    let port = slice
        .ports
        .as_ref()
        .and_then(|ports| ports.iter().find_map(|p| p.port))
        .unwrap_or(API_PORT);
    let mut members: Vec<String> = slice
        .endpoints
        .iter()
        .flatten()
        .flat_map(|e| e.addresses.iter().map(|a| format!("{a}:{port}")))
        .collect();
    members.sort();
    members
}

impl Performer for MemberFollower {
    type Args = MemberFollowerArgs;
    const MAILBOX: usize = 64;

    fn create(args: &Self::Args) -> Self {
        Self { args: args.clone() }
    }

    fn inspect(&self) -> Value {
        json!({"members": *self.args.members.borrow()})
    }
}
recreate_on_restart!(MemberFollower);

impl Actor for MemberFollower {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let api = Api::<EndpointSlice>::namespaced(self.args.client.clone(), "default");
        let events = watcher(api, watcher::Config::default().labels(SELECTOR)).default_backoff();
        let me = ctx.me();
        ctx.background(async move {
            let mut slices = events.applied_objects().boxed();
            while let Some(slice) = slices.next().await {
                match slice {
                    Ok(slice) => {
                        if me.tell_or_wait(MembersSeen(members_of(&slice))).await.is_err() {
                            return;
                        }
                    }
                    // The watcher backs off and lists again by itself.
                    Err(error) => tracing::debug!(%error, "watch of members interrupted"),
                }
            }
        });
    }
}

impl Handler<MembersSeen> for MemberFollower {
    type Result = ();
    fn handle(&mut self, MembersSeen(members): MembersSeen, ctx: &mut Ctx<Self>) {
        // Without any member there would be no way to hear of the next one: keep the last.
        if members.is_empty() || *self.args.members.borrow() == members {
            return;
        }
        self.args.members.send_replace(members.clone());
        let path = self.args.memory.clone();
        let write = move || std::fs::write(&path, members.join("\n"));
        ctx.offload_blocking(write, |this, result, _| {
            if let Err(error) = result {
                let path = this.args.memory.display();
                tracing::warn!(%error, %path, "cannot remember the members");
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_addresses_with_the_port_of_the_slice() {
        let slice: EndpointSlice = serde_json::from_value(json!({
            "addressType": "IPv4", "metadata": {"name": "kubernetes"},
            "endpoints": [{"addresses": ["10.0.0.2"]}, {"addresses": ["10.0.0.1"]}],
            "ports": [{"name": "https", "port": 7443}]}))
        .unwrap();
        assert_eq!(members_of(&slice), ["10.0.0.1:7443", "10.0.0.2:7443"]);
    }
}
