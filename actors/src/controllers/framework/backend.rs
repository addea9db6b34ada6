//! Where commands go: the fenced registry, or a stand-in of a test.

use std::sync::Arc;

use async_trait::async_trait;
use kabuki_api::{kind::Kind, status::Status};

use super::{
    command::{Command, Note},
    recorder::{EventRecorder, Record},
};
use crate::{
    kernel::ActorRef,
    registry::{Definitions, Object, Registry, RequestInfo, View},
};

/// The world of a controller: what it sees and what it can do.
#[async_trait]
pub(crate) trait Backend: Send + Sync + 'static {
    /// What decisions are made on.
    fn view(&self) -> &dyn View;

    /// Carries out one command and returns the name of the object it was about.
    async fn apply(&self, component: &str, command: Command) -> Result<String, Status>;

    /// Waits until it is certain what became of every command so far, answered or not.
    async fn settle(&self) -> Result<(), Status>;

    /// Records an event in the background; may drop it.
    fn record(&self, component: &'static str, note: Note);

    /// Where changes come from; a test that feeds changes itself has none.
    fn source(&self) -> Option<&Registry>;
}

/// The real backend.
#[derive(Clone)]
pub(crate) struct Stage {
    registry: Registry,
    recorder: ActorRef<EventRecorder>,
}

impl Stage {
    /// Writes through `registry`, which must be fenced.
    pub fn new(registry: Registry, recorder: ActorRef<EventRecorder>) -> Arc<Self> {
        Arc::new(Self { registry, recorder })
    }
}

impl View for Stage {
    fn get(&self, kind: &'static Kind, ns: &str, name: &str) -> Option<Arc<Object>> {
        self.registry.get(kind, ns, name)
    }

    fn list(&self, kind: &'static Kind, ns: Option<&str>) -> Vec<Arc<Object>> {
        self.registry.list(kind, ns)
    }

    fn definitions(&self) -> Arc<Definitions> {
        self.registry.definitions()
    }
}

#[async_trait]
impl Backend for Stage {
    fn view(&self) -> &dyn View {
        &self.registry
    }

    async fn apply(&self, component: &str, command: Command) -> Result<String, Status> {
        let info = RequestInfo::internal(component);
        let registry = &self.registry;
        match command {
            Command::Create { kind, namespace, object, exists_ok, .. } => {
                match registry.create(&info, kind, &namespace, object).await {
                    Ok(written) => Ok(written.object.name().to_owned()),
                    Err(status) if exists_ok && status.is_already_exists() => Ok(String::new()),
                    Err(status) => Err(status),
                }
            }
            Command::Update { kind, namespace, name, object, subresource } => registry
                .update(&info, kind, &namespace, &name, object, subresource)
                .await
                .map(|written| written.object.name().to_owned()),
            Command::Delete { kind, namespace, name, options, .. } => {
                match registry.delete(&info, kind, &namespace, &name, &options).await {
                    Ok(_) => Ok(name),
                    Err(status) if status.is_not_found() => Ok(name),
                    Err(status) => Err(status),
                }
            }
            Command::Record(_) => Ok(String::new()),
        }
    }

    async fn settle(&self) -> Result<(), Status> {
        self.registry.settle().await
    }

    fn record(&self, component: &'static str, note: Note) {
        // A full recorder drops events; the kernel counts them as dead letters.
        drop(self.recorder.tell(Record { component, note }));
    }

    fn source(&self) -> Option<&Registry> {
        Some(&self.registry)
    }
}
