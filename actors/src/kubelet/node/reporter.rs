//! Registers the Node, renews its Lease, and posts its status: on change, when somebody else
//! changed it, and now and then.

use std::{sync::Arc, time::Duration};

use actix::{Actor, Handler, Message};
use futures_util::StreamExt;
use k8s_openapi::{
    api::{
        coordination::v1::{Lease, LeaseSpec},
        core::v1::{Node, NodeCondition},
    },
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta, OwnerReference},
    jiff::Timestamp,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
    runtime::{WatchStreamExt, watcher},
};
use serde_json::json;
use tokio::time::timeout;

use super::status;
use crate::{
    kernel::{Ctx, Performer, TimerHandle},
    kubelet::{
        backoff::WatchBackoff,
        context::{NodeContext, timestamp},
        networking::NetworkState,
    },
    recreate_on_restart,
};

/// Namespace of node leases.
const LEASE_NAMESPACE: &str = "kube-node-lease";
/// A lease is valid this long, and renewed four times as often, in seconds.
const LEASE_SECONDS: i32 = 40;
const RENEW_EVERY: Duration = Duration::from_secs(10);
/// Status is posted at least this often (upstream `nodeStatusReportFrequency`).
const REPORT_EVERY: Duration = Duration::from_secs(300);
/// Pause after something failed: a node that is back has to be Ready within two seconds.
const RETRY: Duration = Duration::from_millis(500);
/// One request.
const API_WITHIN: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Renew;

#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Post;

/// The Node changed in the API.
#[derive(Message)]
#[rtype(result = "()")]
struct NodeSeen(Box<Node>);

/// The pod network, or what the machine runs short of, changed.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct StateChanged;

/// What the reporter is made from.
pub(in crate::kubelet) type ReporterArgs = Arc<NodeContext>;

/// Speaks for this node.
pub(in crate::kubelet) struct NodeReporter {
    node: Arc<NodeContext>,
    uid: Option<String>,
    conditions: Vec<NodeCondition>,
    registered: bool,
    posting: bool,
    post_again: bool,
    lease_failures: u32,
    post_timer: Option<TimerHandle>,
    last_posted: Option<Timestamp>,
}

impl Performer for NodeReporter {
    type Args = ReporterArgs;

    fn create(node: &ReporterArgs) -> Self {
        Self {
            node: node.clone(),
            uid: None,
            conditions: Vec::new(),
            registered: false,
            posting: false,
            post_again: false,
            lease_failures: 0,
            post_timer: None,
            last_posted: None,
        }
    }

    fn inspect(&self) -> serde_json::Value {
        json!({
            "registered": self.registered,
            "leaseFailures": self.lease_failures,
            "lastPosted": self.last_posted.map(|t| t.to_string()),
        })
    }
}

recreate_on_restart!(NodeReporter);

impl Actor for NodeReporter {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let mut network = self.node.config.network.state();
        network.mark_unchanged();
        let changes = futures_util::stream::unfold(network, |mut network| async {
            network.changed().await.ok().map(|()| (StateChanged, network))
        });
        ctx.pump(changes);
        let pressure =
            futures_util::stream::unfold(self.node.pressure.subscribe(), |mut p| async {
                p.changed().await.ok().map(|()| (StateChanged, p))
            });
        ctx.pump(pressure);
        let api: Api<Node> = Api::all(self.node.config.client.clone());
        let fields = format!("metadata.name={}", self.node.config.name);
        let seen = watcher(api, watcher::Config::default().fields(&fields))
            .backoff(WatchBackoff::default())
            .filter_map(|event| async move {
                match event.ok()? {
                    watcher::Event::Apply(node) | watcher::Event::InitApply(node) => {
                        Some(NodeSeen(Box::new(node)))
                    }
                    _ => None,
                }
            });
        ctx.pump(seen);
        self.post(ctx);
        self.renew(ctx);
    }
}

impl Handler<Post> for NodeReporter {
    type Result = ();

    fn handle(&mut self, _: Post, ctx: &mut Ctx<Self>) {
        self.post_timer = None;
        self.post(ctx);
    }
}

impl Handler<Renew> for NodeReporter {
    type Result = ();

    fn handle(&mut self, _: Renew, ctx: &mut Ctx<Self>) {
        self.renew(ctx);
    }
}

impl Handler<StateChanged> for NodeReporter {
    type Result = ();

    fn handle(&mut self, _: StateChanged, ctx: &mut Ctx<Self>) {
        self.post(ctx);
    }
}

impl Handler<NodeSeen> for NodeReporter {
    type Result = ();

    fn handle(&mut self, NodeSeen(node): NodeSeen, ctx: &mut Ctx<Self>) {
        self.uid.clone_from(&node.metadata.uid);
        let status = node.status.unwrap_or_default();
        let seen = status.conditions.unwrap_or_default();
        // A controller gave this node up: speak up at once.
        let disputed = self
            .conditions
            .iter()
            .any(|own| seen.iter().any(|c| c.type_ == own.type_ && c.status != own.status));
        let stale = |c: &NodeCondition| {
            let own = self.conditions.iter().find(|o| o.type_ == c.type_);
            own.is_some_and(|o| o.last_heartbeat_time > c.last_heartbeat_time)
        };
        if disputed && !self.posting && !seen.iter().any(stale) {
            self.conditions = seen;
            self.post(ctx);
        }
    }
}

impl NodeReporter {
    fn post(&mut self, ctx: &mut Ctx<Self>) {
        if self.posting {
            self.post_again = true;
            return;
        }
        self.posting = true;
        let (node, known) = (self.node.clone(), self.conditions.clone());
        let (now, registered) = (timestamp(ctx.wall()), self.registered);
        let work = async move {
            let post = publish(&node, registered, &known, now);
            timeout(API_WITHIN, post).await.unwrap_or_else(|_| Err("no answer".to_owned()))
        };
        ctx.offload(work, move |this, posted, ctx| {
            this.posting = false;
            let pause = match posted {
                Ok(object) => {
                    if !this.registered {
                        let name = &this.node.config.name;
                        tracing::info!(node = name, "node registered");
                        this.node.recorder.node(name, false, "Starting", "Starting kubelet.");
                    }
                    this.registered = true;
                    this.last_posted = Some(now);
                    this.uid.clone_from(&object.metadata.uid);
                    let status = object.status.unwrap_or_default();
                    this.conditions = status.conditions.unwrap_or_default();
                    if std::mem::take(&mut this.post_again) { RETRY } else { REPORT_EVERY }
                }
                Err(reason) => {
                    tracing::debug!(reason, "cannot post the node's status yet");
                    // Its Node may have been removed: begin with registration again.
                    this.registered = false;
                    RETRY
                }
            };
            if let Some(timer) = this.post_timer.take() {
                timer.cancel();
            }
            this.post_timer = Some(ctx.after(pause, Post));
        });
    }

    fn renew(&mut self, ctx: &mut Ctx<Self>) {
        let (node, uid) = (self.node.clone(), self.uid.clone());
        let now = timestamp(ctx.wall());
        let work = async move {
            let renewal = renew_lease(&node, uid, now);
            timeout(API_WITHIN, renewal).await.unwrap_or_else(|_| Err("no answer".to_owned()))
        };
        ctx.offload(work, |this, renewed, ctx| match renewed {
            Ok(()) => {
                // Back after an absence: others may have given the node up meanwhile.
                if std::mem::take(&mut this.lease_failures) > 0 {
                    this.post(ctx);
                }
                ctx.after(RENEW_EVERY, Renew);
            }
            Err(reason) => {
                tracing::debug!(reason, "cannot renew the node's lease yet");
                this.lease_failures += 1;
                ctx.after(RETRY, Renew);
            }
        });
    }
}

/// Registers the node where needed, then posts its status; answers what the API has now.
async fn publish(
    node: &NodeContext,
    registered: bool,
    known: &[NodeCondition],
    now: Timestamp,
) -> Result<Node, String> {
    let (config, facts) = (&node.config, &node.facts);
    let api: Api<Node> = Api::all(config.client.clone());
    let mut known = known.to_vec();
    if !registered {
        let text = |e: kube::Error| e.to_string();
        match api.get_opt(&config.name).await.map_err(text)? {
            None => {
                let object = status::node(config, facts);
                api.create(&PostParams::default(), &object).await.map_err(text)?;
            }
            Some(found) => {
                let patch = json!({"metadata": {"labels": status::labels(config, facts)}});
                let params = PatchParams::default();
                api.patch(&config.name, &params, &Patch::Merge(&patch)).await.map_err(text)?;
                known = found.status.and_then(|s| s.conditions).unwrap_or_default();
            }
        }
    }
    let network: NetworkState = config.network.state().borrow().clone();
    let images = config.runtime.images();
    let pressure = *node.pressure.borrow();
    let status = status::status(config, facts, &network, pressure, &images, &known, now);
    let patch = json!({"status": status});
    let params = PatchParams::default();
    api.patch_status(&config.name, &params, &Patch::Strategic(&patch))
        .await
        .map_err(|e| e.to_string())
}

async fn renew_lease(
    node: &NodeContext,
    uid: Option<String>,
    now: Timestamp,
) -> Result<(), String> {
    let name = &node.config.name;
    let api: Api<Lease> = Api::namespaced(node.config.client.clone(), LEASE_NAMESPACE);
    let patch = json!({"spec": {
        "holderIdentity": name,
        "leaseDurationSeconds": LEASE_SECONDS,
        "renewTime": MicroTime(now),
    }});
    match api.patch(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => return Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(error.to_string()),
    }
    let owner = uid.map(|uid| OwnerReference {
        api_version: "v1".to_owned(),
        kind: "Node".to_owned(),
        name: name.clone(),
        uid,
        ..OwnerReference::default()
    });
    let lease = Lease {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: Some(LEASE_NAMESPACE.to_owned()),
            owner_references: owner.map(|o| vec![o]),
            ..ObjectMeta::default()
        },
        spec: Some(LeaseSpec {
            holder_identity: Some(name.clone()),
            lease_duration_seconds: Some(LEASE_SECONDS),
            renew_time: Some(MicroTime(now)),
            ..LeaseSpec::default()
        }),
    };
    api.create(&PostParams::default(), &lease).await.map(|_| ()).map_err(|e| e.to_string())
}
