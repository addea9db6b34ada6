//! A runtime and a network that keep books and run nothing.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use kabuki_runtime::{
    ContainerSpec, ContainerState, ContainerStatus, Error, ExecResult, Exit, ImageInfo, PodEvent,
    PodSandboxSpec, PodStatus, PullOptions, Result,
};
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use crate::kubelet::{
    networking::{NetworkState, PodNetworking},
    sandbox::{IsWanted, NodeRuntime, PodSandbox},
};

/// Books of all pods.
#[derive(Default)]
pub struct FakeRuntime {
    pub pods: Mutex<HashMap<String, Arc<FakePod>>>,
    /// Left by an earlier daemon.
    pub adoptable: Mutex<Vec<Arc<FakePod>>>,
}

/// Books of one pod.
pub struct FakePod {
    spec: PodSandboxSpec,
    pub containers: Mutex<Vec<ContainerStatus>>,
    pub specs: Mutex<Vec<ContainerSpec>>,
    events: Mutex<Option<mpsc::Receiver<PodEvent>>>,
    sink: mpsc::Sender<PodEvent>,
    pub destroyed: Mutex<bool>,
}

impl FakePod {
    pub fn new(spec: PodSandboxSpec) -> Arc<Self> {
        let (sink, events) = mpsc::channel(64);
        Arc::new(Self {
            spec,
            containers: Mutex::default(),
            specs: Mutex::default(),
            events: Mutex::new(Some(events)),
            sink,
            destroyed: Mutex::new(false),
        })
    }

    /// The container's process ends.
    pub fn end(&self, name: &str, code: i32) {
        let exit = Exit { code, signal: None, oom: false, at: SystemTime::now(), lost: false };
        let mut containers = self.containers.lock();
        let last = containers.iter_mut().rev().find(|c| c.name == name).unwrap();
        last.state = ContainerState::Exited;
        last.exit = Some(exit.clone());
        self.sink.try_send(PodEvent::Exited { id: last.id.clone(), exit }).unwrap();
    }
}

#[async_trait]
impl NodeRuntime for FakeRuntime {
    async fn create_pod(&self, spec: PodSandboxSpec) -> Result<Arc<dyn PodSandbox>> {
        let pod = FakePod::new(spec);
        self.pods.lock().insert(pod.spec.uid.clone(), pod.clone());
        Ok(pod)
    }

    async fn adopt(&self) -> Result<Vec<Arc<dyn PodSandbox>>> {
        let left = std::mem::take(&mut *self.adoptable.lock());
        for pod in &left {
            self.pods.lock().insert(pod.spec.uid.clone(), pod.clone());
        }
        Ok(left.into_iter().map(|p| p as Arc<dyn PodSandbox>).collect())
    }

    async fn remove_orphans(&self, _: &IsWanted) -> Result<()> {
        Ok(())
    }

    async fn remove_remains(&self, _: &str) -> Result<()> {
        Ok(())
    }

    fn image(&self, reference: &str) -> Option<ImageInfo> {
        let found = ImageInfo { references: vec![reference.to_owned()], ..ImageInfo::default() };
        (reference != "missing").then_some(found)
    }

    async fn pull(&self, reference: &str, _: &PullOptions) -> Result<ImageInfo> {
        Err(Error::Pull { reference: reference.to_owned(), reason: "no such image".to_owned() })
    }

    fn images(&self) -> Vec<ImageInfo> {
        Vec::new()
    }

    fn unused_images(&self) -> Vec<ImageInfo> {
        Vec::new()
    }

    async fn remove_image(&self, _: &str) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl PodSandbox for FakePod {
    fn uid(&self) -> String {
        self.spec.uid.clone()
    }

    fn netns(&self) -> Option<PathBuf> {
        Some(PathBuf::from("/run/netns/fake"))
    }

    async fn set_hosts(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn create_container(&self, spec: ContainerSpec) -> Result<()> {
        self.containers.lock().push(ContainerStatus {
            id: spec.id.clone(),
            name: spec.name.clone(),
            attempt: spec.attempt,
            state: ContainerState::Created,
            pid: Some(1),
            created_at: SystemTime::now(),
            started_at: None,
            exit: None,
            image: spec.image.references[0].clone(),
            image_id: "sha256:1".to_owned(),
            log_path: PathBuf::new(),
            annotations: spec.annotations.clone(),
        });
        self.specs.lock().push(spec);
        Ok(())
    }

    async fn start(&self, id: &str) -> Result<()> {
        let mut containers = self.containers.lock();
        let container = containers.iter_mut().find(|c| c.id == id).unwrap();
        container.state = ContainerState::Running;
        container.started_at = Some(SystemTime::now());
        Ok(())
    }

    async fn stop(&self, id: &str, _: Option<i32>, _: Duration) -> Result<()> {
        let name = self.containers.lock().iter().find(|c| c.id == id).unwrap().name.clone();
        self.end(&name, 143);
        Ok(())
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        self.containers.lock().retain(|c| c.id != id);
        Ok(())
    }

    async fn exec(&self, _: &str, _: &[String], _: Duration) -> Result<ExecResult> {
        Err(Error::Unsupported("exec in a fake".to_owned()))
    }

    async fn status(&self) -> Result<PodStatus> {
        Ok(PodStatus {
            sandbox: self.spec.clone(),
            containers: self.containers.lock().clone(),
            shim_lost: false,
            created_at: SystemTime::now(),
        })
    }

    fn events(&self) -> Option<mpsc::Receiver<PodEvent>> {
        self.events.lock().take()
    }

    async fn destroy(&self) -> Result<()> {
        *self.destroyed.lock() = true;
        Ok(())
    }
}

/// Gives every pod the same address.
pub struct FakeNetwork(watch::Sender<NetworkState>);

impl Default for FakeNetwork {
    fn default() -> Self {
        Self(watch::channel(NetworkState::Ready).0)
    }
}

#[async_trait]
impl PodNetworking for FakeNetwork {
    fn state(&self) -> watch::Receiver<NetworkState> {
        self.0.subscribe()
    }

    async fn attach(
        &self,
        _: &Path,
        _: &str,
        wanted: Option<Ipv4Addr>,
    ) -> std::result::Result<Vec<IpAddr>, String> {
        Ok(vec![IpAddr::V4(wanted.unwrap_or(Ipv4Addr::new(10, 244, 0, 5)))])
    }

    async fn detach(&self, _: &str) -> std::result::Result<(), String> {
        Ok(())
    }

    async fn attached(&self) -> Vec<String> {
        Vec::new()
    }
}
