//! The connection to one shim: calls out, answers and events in, reconnection, and what happens when
//! the shim is gone.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::Child,
    sync::{mpsc, oneshot},
};

use super::{blocking, leftovers::kill_processes, spawn::is_locked};
use crate::{
    cgroup::Cgroups,
    error::{Error, Result},
    files, paths,
    shim::{
        protocol::{
            self, Answer, Call, HEADER, Message, OLDEST_VERSION, PodPlan, Request, VERSION,
        },
        state::ShimState,
    },
    status::{ContainerState, ContainerStatus, Exit, PodEvent},
    sys,
};

/// Calls waiting to be sent.
const CALL_QUEUE: usize = 128;
/// Events waiting for the pod's owner; more wait in the shim's unacknowledged list.
const EVENT_QUEUE: usize = 64;
/// Tries to reach a shim that lives, and the wait between them.
const CONNECT_TRIES: u32 = 200;
const CONNECT_WAIT: Duration = Duration::from_millis(50);
/// How long a shim may take to greet. One that is stuck must not hold up the others' adoption.
const GREETING_LIMIT: Duration = Duration::from_secs(10);
/// Containers whose shim is gone are killed.
const LOST_SIGNAL: i32 = libc::SIGKILL;

struct Outgoing {
    request: Request,
    reply: oneshot::Sender<Result<Answer>>,
}

/// A connection that looks after itself.
pub(super) struct Link {
    uid: String,
    calls: mpsc::Sender<Outgoing>,
    lost: Arc<Mutex<Option<Vec<ContainerStatus>>>>,
}

impl Link {
    /// Connects; answers when the shim said hello or is known to be gone.
    pub async fn open(
        plan: PodPlan,
        cgroups: Cgroups,
        child: Option<Child>,
    ) -> (Self, mpsc::Receiver<PodEvent>) {
        let (calls, queue) = mpsc::channel(CALL_QUEUE);
        let (events, receiver) = mpsc::channel(EVENT_QUEUE);
        let lost = Arc::new(Mutex::new(None));
        let uid = plan.spec.uid.clone();
        if let Some(mut child) = child {
            // Reaped here while this daemon lives, by init afterwards.
            tokio::spawn(async move { child.wait().await });
        }
        let (ready, connected) = oneshot::channel();
        let task = Task {
            plan,
            cgroups,
            queue,
            events,
            lost: lost.clone(),
            number: 0,
            pending: HashMap::new(),
            waiting: VecDeque::new(),
            ready: Some(ready),
            closing: false,
        };
        tokio::spawn(task.run());
        if tokio::time::timeout(GREETING_LIMIT, connected).await.is_err() {
            tracing::warn!(pod = uid, "a shim does not answer; trying on");
        }
        (Self { uid, calls, lost }, receiver)
    }

    /// Asks the shim.
    pub async fn call(&self, request: Request, limit: Duration) -> Result<Answer> {
        let (reply, answer) = oneshot::channel();
        let what = name(&request);
        let gone = || Error::ShimLost(self.uid.clone());
        let ask = async {
            self.calls.send(Outgoing { request, reply }).await.map_err(|_| gone())?;
            answer.await.map_err(|_| gone())?
        };
        tokio::time::timeout(limit, ask)
            .await
            .map_err(|_| Error::Timeout { what: what.into(), after: limit })?
    }

    /// Containers as they were when the shim was lost.
    pub fn last_known(&self) -> Vec<ContainerStatus> {
        self.lost.lock().clone().unwrap_or_default()
    }
}

fn name(request: &Request) -> &'static str {
    match request {
        Request::Hello { .. } => "hello",
        Request::Create(_) => "create",
        Request::Start { .. } => "start",
        Request::Stop { .. } => "stop",
        Request::Remove { .. } => "remove",
        Request::Exec { .. } => "exec",
        Request::Status => "status",
        Request::Ack { .. } => "acknowledge",
        Request::Shutdown => "shutdown",
    }
}

struct Task {
    plan: PodPlan,
    cgroups: Cgroups,
    queue: mpsc::Receiver<Outgoing>,
    events: mpsc::Sender<PodEvent>,
    lost: Arc<Mutex<Option<Vec<ContainerStatus>>>>,
    number: u64,
    pending: HashMap<u64, (oneshot::Sender<Result<Answer>>, bool)>,
    /// Events not yet handed on; acknowledged when they are.
    waiting: VecDeque<(u64, PodEvent)>,
    ready: Option<oneshot::Sender<()>>,
    closing: bool,
}

impl Task {
    async fn run(mut self) {
        while let Ok(stream) = self.connect().await {
            let end = self.serve(stream).await;
            for (_, (reply, shutdown)) in self.pending.drain() {
                let answer = if shutdown {
                    self.closing = true;
                    Ok(Answer::Done)
                } else {
                    Err(Error::Protocol("the connection to the shim broke; ask again".into()))
                };
                let _ = reply.send(answer);
            }
            match end {
                // All handles are gone: nobody asks any more.
                Ok(()) => return,
                Err(e) if !self.closing => {
                    tracing::debug!(pod = self.plan.spec.uid, error = %e, "shim connection ended");
                }
                Err(_) => break,
            }
        }
        if !self.closing {
            self.lose().await;
        }
        self.queue.close();
        while let Some(call) = self.queue.recv().await {
            let _ = call.reply.send(Err(Error::ShimLost(self.plan.spec.uid.clone())));
        }
    }

    async fn connect(&mut self) -> Result<UnixStream> {
        let dir = std::fs::File::open(&self.plan.paths.run)
            .map_err(Error::file("cannot open", &self.plan.paths.run))?;
        let socket = paths::short_socket_path(&dir, paths::SOCKET);
        for attempt in 0..CONNECT_TRIES {
            match UnixStream::connect(&socket).await {
                Ok(stream) => return Ok(stream),
                Err(_) if !self.shim_lives() => break,
                Err(_) if attempt + 1 == CONNECT_TRIES => {}
                Err(_) => tokio::time::sleep(CONNECT_WAIT).await,
            }
        }
        Err(Error::ShimLost(self.plan.spec.uid.clone()))
    }

    fn shim_lives(&self) -> bool {
        if let Some(locked) = is_locked(&self.plan.paths.lock()) {
            return locked;
        }
        // A shim of an earlier version.
        let state = files::read_json::<ShimState>(&self.plan.paths.state());
        state.is_ok_and(|s| s.start_time.is_some() && sys::start_time(s.pid) == s.start_time)
    }

    /// Works on one connection until it breaks (error) or nobody is interested any more.
    async fn serve(&mut self, stream: UnixStream) -> Result<()> {
        let (reader, mut writer) = stream.into_split();
        let (frames, mut incoming) = mpsc::channel(16);
        let read = tokio::spawn(read_frames(reader, frames));
        let result = self.converse(&mut writer, &mut incoming).await;
        read.abort();
        result
    }

    async fn converse(
        &mut self,
        writer: &mut OwnedWriteHalf,
        incoming: &mut mpsc::Receiver<Result<Message>>,
    ) -> Result<()> {
        self.waiting.clear();
        self.number += 1;
        let hello = self.number;
        send(writer, hello, Request::Hello { version: VERSION }).await?;
        loop {
            let events = self.events.clone();
            tokio::select! {
                call = self.queue.recv() => {
                    let Some(call) = call else { return Ok(()) };
                    self.number += 1;
                    let shutdown = matches!(call.request, Request::Shutdown);
                    self.pending.insert(self.number, (call.reply, shutdown));
                    send(writer, self.number, call.request).await?;
                }
                message = incoming.recv() => {
                    let message = message
                        .ok_or_else(|| Error::Protocol("the shim closed the connection".into()))??;
                    self.take(message, hello)?;
                }
                permit = events.reserve(), if !self.waiting.is_empty() => {
                    let Some((sequence, event)) = self.waiting.pop_front() else { continue };
                    // An owner that dropped its receiver does not want events.
                    if let Ok(permit) = permit {
                        permit.send(event);
                    }
                    self.number += 1;
                    send(writer, self.number, Request::Ack { sequence }).await?;
                }
            }
        }
    }

    fn take(&mut self, message: Message, hello: u64) -> Result<()> {
        match message {
            Message::Event { sequence, event } => self.waiting.push_back((sequence, event)),
            Message::Answer { number, result } if number == hello => match result {
                Ok(Answer::Hello { version, .. }) if version >= OLDEST_VERSION => {
                    if let Some(ready) = self.ready.take() {
                        let _ = ready.send(());
                    }
                }
                Ok(other) => return Err(Error::Protocol(format!("bad greeting {other:?}"))),
                Err(failure) => return Err(failure.into()),
            },
            Message::Answer { number, result } => {
                if let Some((reply, shutdown)) = self.pending.remove(&number) {
                    self.closing |= shutdown && result.is_ok();
                    let _ = reply.send(result.map_err(Error::from));
                }
            }
        }
        Ok(())
    }

    /// The shim is gone: nobody reads its containers' output or their exit codes. They are ended and
    /// will be replaced.
    async fn lose(&mut self) {
        let (paths, cgroups) = (self.plan.paths.clone(), self.cgroups.clone());
        let state = blocking(move || {
            kill_processes(&paths, &cgroups);
            files::read_json::<ShimState>(&paths.state())
        });
        let containers = match state.await {
            Ok(state) => state.containers.into_iter().map(|c| ended(c.status)).collect(),
            _ => Vec::new(),
        };
        *self.lost.lock() = Some(containers);
        if let Some(ready) = self.ready.take() {
            let _ = ready.send(());
        }
        tracing::error!(
            pod = self.plan.spec.uid,
            "the pod's shim is gone; its containers were ended and have to be replaced"
        );
        let events = self.events.clone();
        tokio::spawn(async move { events.send(PodEvent::ShimLost).await });
    }
}

fn ended(mut status: ContainerStatus) -> ContainerStatus {
    if status.state != ContainerState::Exited {
        status.state = ContainerState::Exited;
        status.pid = None;
        status.exit = Some(Exit {
            code: 128 + LOST_SIGNAL,
            signal: Some(LOST_SIGNAL),
            oom: false,
            at: SystemTime::now(),
            lost: true,
        });
    }
    status
}

async fn send(writer: &mut OwnedWriteHalf, number: u64, request: Request) -> Result<()> {
    let frame = protocol::encode(&Call { number, request })?;
    writer.write_all(&frame).await.map_err(Error::system("cannot write to the shim"))
}

async fn read_frames(mut reader: OwnedReadHalf, frames: mpsc::Sender<Result<Message>>) {
    loop {
        let message = read_frame(&mut reader).await;
        let failed = message.is_err();
        if frames.send(message).await.is_err() || failed {
            return;
        }
    }
}

async fn read_frame(reader: &mut OwnedReadHalf) -> Result<Message> {
    let mut header = [0; HEADER];
    let read = reader.read_exact(&mut header).await;
    read.map_err(Error::system("cannot read from the shim"))?;
    let mut frame = vec![0; protocol::check_length(header)?];
    let read = reader.read_exact(&mut frame).await;
    read.map_err(Error::system("cannot read from the shim"))?;
    serde_json::from_slice(&frame).map_err(|e| Error::Protocol(e.to_string()))
}
