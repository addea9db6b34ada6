//! Event objects: one actor writes them, equal ones are counted instead of repeated.

use std::{collections::HashMap, time::Duration};

use actix::{Actor, Handler, Message};
use k8s_openapi::{
    api::core::v1::{Event, EventSource, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::time::timeout;

use super::pod_view::PodView;
use crate::{
    kernel::{ActorRef, Ctx, Performer},
    recreate_on_restart,
};

/// Different events remembered for counting; beyond that counting starts over.
const MAX_REMEMBERED: usize = 4096;
/// Events of one pod per hour at most, so that a broken one does not flood the API.
const MAX_PER_OBJECT: u32 = 1000;
/// One write.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Something a user may want to know.
#[derive(Debug, Clone, Message)]
#[rtype(result = "()")]
pub struct Record {
    regarding: ObjectReference,
    warning: bool,
    reason: String,
    message: String,
}

/// Hands events to the writer; never waits.
#[derive(Clone)]
pub struct Recorder(ActorRef<EventRecorder>);

impl Recorder {
    pub(super) fn new(actor: ActorRef<EventRecorder>) -> Self {
        Self(actor)
    }

    /// Records an event about a pod, or one of its containers.
    pub fn pod(
        &self,
        pod: &Pod,
        container: Option<&str>,
        warning: bool,
        reason: &str,
        message: impl Into<String>,
    ) {
        let inits = pod.spec.iter().flat_map(|s| s.init_containers.iter().flatten());
        let is_init = |name: &str| inits.clone().any(|c| c.name == name);
        let field_path = container.filter(|c| !c.is_empty()).map(|name| {
            let list = if is_init(name) { "initContainers" } else { "containers" };
            format!("spec.{list}{{{name}}}")
        });
        let regarding = ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("Pod".to_owned()),
            namespace: Some(PodView::namespace(pod).to_owned()),
            name: Some(PodView::name(pod).to_owned()),
            uid: Some(PodView::uid(pod).to_owned()),
            resource_version: pod.metadata.resource_version.clone(),
            field_path,
        };
        self.send(regarding, warning, reason, message.into());
    }

    /// Records an event about the node.
    pub fn node(&self, name: &str, warning: bool, reason: &str, message: impl Into<String>) {
        let regarding = ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(name.to_owned()),
            // As upstream: the kubelet does not know its Node's uid.
            uid: Some(name.to_owned()),
            ..ObjectReference::default()
        };
        self.send(regarding, warning, reason, message.into());
    }

    fn send(&self, regarding: ObjectReference, warning: bool, reason: &str, message: String) {
        let record = Record { regarding, warning, reason: reason.to_owned(), message };
        if self.0.tell(record).is_err() {
            tracing::debug!(reason, "event dropped: the recorder is busy");
        }
    }
}

/// What the recorder is made from.
#[derive(Clone)]
pub struct RecorderArgs {
    /// The API.
    pub client: Client,
    /// Name of the node, shown as the events' source.
    pub node: String,
}

#[derive(Debug)]
struct Remembered {
    name: String,
    count: i32,
}

/// Writes events.
pub struct EventRecorder {
    args: RecorderArgs,
    remembered: HashMap<String, Remembered>,
    per_object: HashMap<String, u32>,
    dropped: u64,
}

impl Performer for EventRecorder {
    type Args = RecorderArgs;

    fn create(args: &RecorderArgs) -> Self {
        Self {
            args: args.clone(),
            remembered: HashMap::new(),
            per_object: HashMap::new(),
            dropped: 0,
        }
    }

    fn inspect(&self) -> serde_json::Value {
        json!({"remembered": self.remembered.len(), "dropped": self.dropped})
    }
}

recreate_on_restart!(EventRecorder);

impl Actor for EventRecorder {
    type Context = Ctx<Self>;
}

impl Handler<Record> for EventRecorder {
    type Result = ();

    fn handle(&mut self, record: Record, ctx: &mut Ctx<Self>) {
        if self.remembered.len() >= MAX_REMEMBERED {
            self.remembered.clear();
            self.per_object.clear();
        }
        let uid = record.regarding.uid.clone().unwrap_or_default();
        let written = self.per_object.entry(uid.clone()).or_default();
        *written += 1;
        if *written > MAX_PER_OBJECT {
            self.dropped += 1;
            return;
        }
        let now = super::context::timestamp(ctx.wall());
        let field = record.regarding.field_path.clone().unwrap_or_default();
        let key = format!("{uid}/{field}/{}/{}", record.reason, record.message);
        let namespace = record.regarding.namespace.clone().unwrap_or_else(|| "default".to_owned());
        let api: Api<Event> = Api::namespaced(self.args.client.clone(), &namespace);
        if let Some(known) = self.remembered.get_mut(&key) {
            known.count += 1;
            let (name, count) = (known.name.clone(), known.count);
            ctx.offload(repeat(api, name, count, now), |_, (), _| ());
            return;
        }
        let object = record.regarding.name.clone().unwrap_or_default();
        let name = format!("{object}.{:016x}", now.as_nanosecond());
        self.remembered.insert(key, Remembered { name: name.clone(), count: 1 });
        let event = event(record, name, namespace, &self.args.node, now);
        ctx.offload(write(api, event), |_, (), _| ());
    }
}

async fn write(api: Api<Event>, event: Event) {
    match timeout(WRITE_WITHIN, api.create(&PostParams::default(), &event)).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "cannot write an event"),
        Err(_) => tracing::debug!("cannot write an event in time"),
    }
}

async fn repeat(api: Api<Event>, name: String, count: i32, now: Timestamp) {
    let patch = json!({"count": count, "lastTimestamp": Time(now)});
    let params = PatchParams::default();
    match timeout(WRITE_WITHIN, api.patch(&name, &params, &Patch::Merge(&patch))).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::debug!(%error, "cannot count an event"),
        Err(_) => tracing::debug!("cannot count an event in time"),
    }
}

fn event(record: Record, name: String, namespace: String, node: &str, now: Timestamp) -> Event {
    Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace),
            ..ObjectMeta::default()
        },
        involved_object: record.regarding,
        reason: Some(record.reason),
        message: Some(record.message),
        type_: Some(if record.warning { "Warning" } else { "Normal" }.to_owned()),
        count: Some(1),
        first_timestamp: Some(Time(now)),
        last_timestamp: Some(Time(now)),
        source: Some(EventSource {
            component: Some("kubelet".to_owned()),
            host: Some(node.to_owned()),
        }),
        reporting_component: Some("kubelet".to_owned()),
        reporting_instance: Some(node.to_owned()),
        ..Event::default()
    }
}
