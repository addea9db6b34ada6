//! The actor that makes Kubernetes events of the kernel's alarms, so that `kubectl get events` shows
//! a mailbox that fills up, an actor that is stuck, a poisonous letter or a crash loop.

use std::time::Duration;

use actix::{Actor, Handler, Message};
use futures_util::stream;
use kabuki_api::kind::{EVENT, NODE};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::{sync::broadcast::error::RecvError, time::Instant};

use crate::{
    kernel::{Alarm, AlarmKind, Ctx, Kernel, Performer},
    kubelet::events::Recorder,
    recreate_on_restart,
    registry::{Registry, RequestInfo, View},
};

/// Events in one window; further alarms stand in `/debug/alarms` only.
const MAX_EVENTS: u32 = 25;
/// The window.
const WINDOW: Duration = Duration::from_secs(60);
/// Source of the events.
const COMPONENT: &str = "kabuki";

/// Where events go.
#[derive(Clone)]
pub enum Outlet {
    /// A member writes them itself.
    Registry(Registry),
    /// A node sends them through the API.
    Recorder(Recorder),
}

/// What the herald is made from.
#[derive(Clone)]
pub struct HeraldArgs {
    /// Whose alarms.
    pub kernel: Kernel,
    /// Name of this machine.
    pub machine: String,
    /// Where to.
    pub outlet: Outlet,
}

/// Tells the cluster of alarms.
pub struct Herald {
    args: HeraldArgs,
    window: Option<(Instant, u32)>,
    told: u64,
    dropped: u64,
    last_error: String,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Heard(Alarm);

impl Performer for Herald {
    type Args = HeraldArgs;
    const MAILBOX: usize = 64;

    fn create(args: &HeraldArgs) -> Self {
        let args = args.clone();
        Self { args, window: None, told: 0, dropped: 0, last_error: String::new() }
    }

    fn inspect(&self) -> Value {
        json!({"told": self.told, "dropped": self.dropped, "lastError": self.last_error})
    }
}
recreate_on_restart!(Herald);

impl Actor for Herald {
    type Context = Ctx<Self>;

    fn started(&mut self, ctx: &mut Ctx<Self>) {
        let alarms = stream::unfold(self.args.kernel.listen(), |mut alarms| async move {
            loop {
                match alarms.recv().await {
                    Ok(alarm) => return Some((Heard(alarm), alarms)),
                    // The ring of alarms has what was missed here.
                    Err(RecvError::Lagged(_)) => {}
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        ctx.pump(alarms);
    }
}

impl Handler<Heard> for Herald {
    type Result = ();

    fn handle(&mut self, Heard(alarm): Heard, ctx: &mut Ctx<Self>) {
        if !self.admit(ctx.now()) {
            self.dropped += 1;
            return;
        }
        let (reason, text) = (reason(&alarm), format!("actor {}: {}", alarm.path, alarm.text));
        match &self.args.outlet {
            Outlet::Recorder(recorder) => {
                recorder.node(&self.args.machine, alarm.raised, reason, text);
                self.told += 1;
            }
            Outlet::Registry(registry) => {
                let wall = OffsetDateTime::from(ctx.wall());
                let body = event(registry, &self.args.machine, &alarm, &text, wall);
                let registry = registry.clone();
                let write = async move {
                    let info = RequestInfo::internal(COMPONENT);
                    registry.create(&info, EVENT, "default", body).await
                };
                ctx.offload(write, |me, result, _| match result {
                    Ok(_) => me.told += 1,
                    // Not worth a retry: the alarm stands in /debug/alarms.
                    Err(status) => me.last_error = status.to_string(),
                });
            }
        }
    }
}

impl Herald {
    fn admit(&mut self, now: Instant) -> bool {
        match &mut self.window {
            Some((since, n)) if now.duration_since(*since) < WINDOW => {
                *n += 1;
                *n <= MAX_EVENTS
            }
            window => {
                *window = Some((now, 1));
                true
            }
        }
    }
}

fn reason(alarm: &Alarm) -> &'static str {
    match (alarm.kind, alarm.raised) {
        (AlarmKind::LongQueue, true) => "ActorMailboxFilling",
        (AlarmKind::LongQueue, false) => "ActorMailboxDrained",
        (AlarmKind::Stuck, true) => "ActorStuck",
        (AlarmKind::Stuck, false) => "ActorUnstuck",
        (AlarmKind::Poison, _) => "ActorPoisoned",
        (AlarmKind::CrashLoop, true) => "ActorCrashLoop",
        (AlarmKind::CrashLoop, false) => "ActorRecovered",
    }
}

/// About the machine's Node where there is one, else about the member.
fn event(view: &dyn View, machine: &str, alarm: &Alarm, text: &str, now: OffsetDateTime) -> Value {
    let node = view.get(NODE, "", machine);
    let kind = if node.is_some() { "Node" } else { "Member" };
    let uid = node.map_or_else(|| machine.to_owned(), |n| n.uid().to_owned());
    let stamp = now.format(&Rfc3339).unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "Event",
        "metadata": {
            "name": format!("{machine}.{:x}", now.unix_timestamp_nanos()), "namespace": "default",
        },
        "involvedObject": {"kind": kind, "name": machine, "uid": uid},
        "reason": reason(alarm), "message": text,
        "type": if alarm.raised { "Warning" } else { "Normal" },
        "source": {"component": COMPONENT, "host": machine},
        "reportingComponent": COMPONENT, "reportingInstance": machine,
        "firstTimestamp": stamp, "lastTimestamp": stamp, "count": 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::MemView;

    fn alarm(raised: bool) -> Alarm {
        let (kind, path, text) = (AlarmKind::LongQueue, "/a".to_owned(), String::new());
        Alarm { kind, path, raised, text, at_ms: 0 }
    }

    #[test]
    fn events_are_about_the_node_or_the_member() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let node = json!({"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "m", "uid": "u"}});
        let on_node = event(&MemView::new().with(NODE, node), "m", &alarm(true), "text", now);
        assert_eq!(on_node["involvedObject"], json!({"kind": "Node", "name": "m", "uid": "u"}));
        assert_eq!(
            (on_node["type"].as_str(), on_node["count"].as_u64()),
            (Some("Warning"), Some(1))
        );
        let on_member = event(&MemView::new(), "m", &alarm(false), "text", now);
        assert_eq!(on_member["involvedObject"]["kind"], "Member");
        assert_eq!(on_member["type"], "Normal");
    }
}
