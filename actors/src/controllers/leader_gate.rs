//! Starts the control plane when this member begins to lead and stops it when it does not any more.
//!
//! No lease is waited for: leadership is Raft's, and everything the control plane writes is fenced
//! with the term, so the actors of a deposed leader that have not heard of it yet cannot write.

use std::{net::Ipv4Addr, time::Duration};

use actix::{Actor, Handler, Message};
use kabuki_raft::Leadership;
use serde_json::{Value, json};

use super::{ControlConfig, start};
use crate::{
    kernel::{Ctx, Performer, SupervisorRef, SupervisorSpec},
    recreate_on_restart,
    registry::{Endpoint, Registry},
    scheduler,
};

/// Wait before a failed bootstrap is tried again.
const RETRY: Duration = Duration::from_millis(200);
/// How often the API addresses of the members are compared with Service `kubernetes`.
const ENDPOINTS_EVERY: Duration = Duration::from_secs(2);
/// Restarts of single control actors before the control plane starts over as a whole.
const RESTARTS: (u32, Duration) = (60, Duration::from_secs(60));

/// What the gate is made from.
#[derive(Clone)]
pub struct LeaderGateArgs {
    /// The member's registry, not fenced.
    pub registry: Registry,
    /// Settings of the control plane.
    pub config: ControlConfig,
}

/// Leadership changed, or may have.
#[derive(Debug, Message)]
#[rtype(result = "()")]
struct Changed(Leadership);

/// Try again what is due.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct Settle;

/// Compare the API addresses.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
struct CheckEndpoints;

/// Follows leadership; its child `control-plane` is the whole control plane.
pub struct LeaderGate {
    registry: Registry,
    config: ControlConfig,
    /// The term to lead in, if this member leads.
    wanted: Option<u64>,
    running: Option<(u64, SupervisorRef)>,
    /// A start or stop is under way.
    busy: bool,
    published: Vec<Endpoint>,
    starts: u64,
    last_error: String,
}

impl Actor for LeaderGate {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let mut leadership = self.registry.leadership();
        let me = ctx.me();
        ctx.background(async move {
            loop {
                let now = *leadership.borrow_and_update();
                if me.tell_or_wait(Changed(now)).await.is_err()
                    || leadership.changed().await.is_err()
                {
                    return;
                }
            }
        });
        ctx.every(ENDPOINTS_EVERY, CheckEndpoints);
    }
}

recreate_on_restart!(LeaderGate);

impl Performer for LeaderGate {
    type Args = LeaderGateArgs;

    fn create(args: &LeaderGateArgs) -> Self {
        Self {
            registry: args.registry.clone(),
            config: args.config.clone(),
            wanted: None,
            running: None,
            busy: false,
            published: Vec::new(),
            starts: 0,
            last_error: String::new(),
        }
    }

    fn inspect(&self) -> Value {
        json!({"leadsInTerm": self.wanted, "runsInTerm": self.running.as_ref().map(|(t, _)| t),
            "busy": self.busy, "starts": self.starts, "lastError": self.last_error})
    }
}

impl Handler<Changed> for LeaderGate {
    type Result = ();

    fn handle(&mut self, Changed(leadership): Changed, ctx: &mut Ctx<Self>) {
        self.wanted = leadership.is_local.then_some(leadership.term);
        self.settle(ctx);
    }
}

impl Handler<Settle> for LeaderGate {
    type Result = ();

    fn handle(&mut self, _: Settle, ctx: &mut Ctx<Self>) {
        self.settle(ctx);
    }
}

impl Handler<CheckEndpoints> for LeaderGate {
    type Result = ();

    fn handle(&mut self, _: CheckEndpoints, ctx: &mut Ctx<Self>) {
        let Some((term, _)) = &self.running else { return };
        let (registry, term, known) = (self.registry.clone(), *term, self.published.clone());
        let check = async move {
            let found = api_endpoints(&registry).await;
            if found.is_empty() || found == known {
                return None;
            }
            match registry.fenced(term).set_api_endpoints(&found).await {
                Ok(()) => Some(found),
                Err(status) => {
                    tracing::debug!(%status, "addresses of Service kubernetes were not written");
                    None
                }
            }
        };
        ctx.offload(check, |me, published, _| {
            if let Some(published) = published {
                me.published = published;
            }
        });
    }
}

impl LeaderGate {
    fn settle(&mut self, ctx: &mut Ctx<Self>) {
        if self.busy {
            return;
        }
        match (&self.running, self.wanted) {
            (Some((term, _)), Some(wanted)) if *term == wanted => {}
            (Some(_), _) => self.stop_running(ctx),
            (None, Some(term)) => self.begin(term, ctx),
            (None, None) => {}
        }
    }

    fn begin(&mut self, term: u64, ctx: &mut Ctx<Self>) {
        self.busy = true;
        let fenced = self.registry.fenced(term);
        ctx.offload(async move { fenced.bootstrap().await }, move |me, result, ctx| {
            me.busy = false;
            match result {
                Ok(()) if me.wanted == Some(term) => me.raise_curtain(term, ctx),
                Ok(()) => me.settle(ctx),
                Err(status) => {
                    me.last_error = status.to_string();
                    tracing::warn!(term, %status, "bootstrap failed, trying again");
                    ctx.after(RETRY, Settle);
                }
            }
        });
    }

    fn raise_curtain(&mut self, term: u64, ctx: &mut Ctx<Self>) {
        let (restarts, period) = RESTARTS;
        let spec = SupervisorSpec::one_for_one().intensity(restarts, period);
        let subtree = ctx.children().supervisor("control-plane", spec);
        let fenced = self.registry.fenced(term);
        scheduler::start(&subtree, fenced.clone());
        start(&subtree, fenced, &self.config);
        tracing::info!(term, "this member leads: control plane started");
        self.starts += 1;
        self.running = Some((term, subtree));
        self.published.clear();
        drop(ctx.me().tell(CheckEndpoints));
    }

    fn stop_running(&mut self, ctx: &mut Ctx<Self>) {
        let Some((term, subtree)) = self.running.take() else { return };
        self.busy = true;
        ctx.offload(async move { subtree.stop().await }, move |me, (), ctx| {
            tracing::info!(term, "this member does not lead any more: control plane stopped");
            me.busy = false;
            me.settle(ctx);
        });
    }
}

/// The API addresses of all members that say one.
async fn api_endpoints(registry: &Registry) -> Vec<Endpoint> {
    let members = registry.store().members().await;
    let mut found: Vec<_> = members.iter().filter_map(|m| parse_endpoint(&m.api_addr)).collect();
    found.sort_unstable();
    found
}

/// Reads `host:port`, with or without a scheme.
fn parse_endpoint(text: &str) -> Option<Endpoint> {
    let bare = text.rsplit("//").next()?.trim_end_matches('/');
    let (host, port) = bare.rsplit_once(':')?;
    let ip: Ipv4Addr = host.parse().ok()?;
    // Loopback addresses are not valid in Endpoints, and no pod could use them.
    (!ip.is_loopback()).then_some(Endpoint { ip, port: port.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let expected = Endpoint { ip: Ipv4Addr::new(10, 0, 0, 1), port: 6443 };
        for (text, found) in [
            ("10.0.0.1:6443", Some(expected)),
            ("https://10.0.0.1:6443/", Some(expected)),
            ("127.0.0.1:6443", None),
            ("host.example:6443", None),
            ("", None),
        ] {
            assert_eq!(parse_endpoint(text), found, "{text}");
        }
    }
}
