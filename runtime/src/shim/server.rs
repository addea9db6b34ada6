//! The shim's loop: waits on all descriptors at once and hands what is ready to its part.

use std::{
    os::{
        fd::{AsFd, AsRawFd, RawFd},
        unix::net::UnixListener,
    },
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

use super::{
    client::Client,
    container::{Container, ReplyTo},
    exec::Exec,
    helper::Helper,
    log::Source,
    protocol::{Answer, Failure, Message, PodPlan},
    state,
};
use crate::{
    cgroup::Cgroups,
    error::{Error, Result},
    status::PodEvent,
};

/// Daemons connected at once: one, and the next while the first is dying; room for tools.
const CLIENT_LIMIT: usize = 8;
/// Longest sleep of the loop when there is nothing to do.
const IDLE: Duration = Duration::from_secs(60);
/// How long after a start, of the shim or of a container, the memory it took is given back.
const RELEASE_AFTER: Duration = Duration::from_secs(3);
/// How long a shutdown waits for killed processes before it ends anyway.
pub(super) const SHUTDOWN_LIMIT: Duration = Duration::from_secs(10);

pub(super) struct Server {
    pub plan: PodPlan,
    pub cgroups: Cgroups,
    pub containers: Vec<Container>,
    pub execs: Vec<Exec>,
    pub helpers: Vec<Helper>,
    /// Ends of processes we do not know yet: a short command can end before its helper names it.
    pub strays: Vec<(i32, i32)>,
    pub unacked: Vec<(u64, PodEvent)>,
    pub sequence: u64,
    pub next_number: u64,
    pub pause: Option<i32>,
    pub shutdown: Option<(ReplyTo, Instant)>,
    /// A helper ended without a word: see [`Server::reap`].
    pub abandoned: bool,
    release_at: Option<Instant>,
    clients: Vec<Client>,
    listener: UnixListener,
    signals: SignalFd,
}

/// What a descriptor of the loop belongs to.
#[derive(Debug, Clone)]
enum Ready {
    Signal,
    Listener,
    Client(u64),
    Output(String, Source),
    Helper(i32),
    Exec(u64),
}

impl Server {
    pub fn new(plan: PodPlan, listener: UnixListener, pause: Option<i32>) -> Result<Self> {
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGCHLD);
        mask.thread_block().map_err(|e| Error::system("cannot block SIGCHLD")(e.into()))?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .map_err(|e| Error::system("cannot watch for SIGCHLD")(e.into()))?;
        let server = Self {
            plan,
            cgroups: Cgroups::detect()?,
            containers: Vec::new(),
            execs: Vec::new(),
            helpers: Vec::new(),
            strays: Vec::new(),
            unacked: Vec::new(),
            sequence: 0,
            next_number: 0,
            pause,
            shutdown: None,
            abandoned: false,
            release_at: Some(Instant::now() + RELEASE_AFTER),
            clients: Vec::new(),
            listener,
            signals,
        };
        server.save();
        Ok(server)
    }

    /// Serves until a shutdown is complete; answers the exit code.
    pub fn run(mut self) -> i32 {
        loop {
            for ready in self.wait() {
                self.handle(ready);
            }
            self.act_on_time();
            self.clients.retain(|c| !c.closed);
            if self.is_over() {
                return 0;
            }
        }
    }

    fn sources(&self) -> Vec<(RawFd, PollFlags, Ready)> {
        let read = PollFlags::POLLIN;
        let mut list = vec![
            (self.signals.as_fd().as_raw_fd(), read, Ready::Signal),
            (self.listener.as_raw_fd(), read, Ready::Listener),
        ];
        for client in &self.clients {
            let flags = if client.wants_write() { read | PollFlags::POLLOUT } else { read };
            list.push((client.stream.as_raw_fd(), flags, Ready::Client(client.id)));
        }
        for container in &self.containers {
            for (source, file) in &container.outputs {
                let id = container.status.id.clone();
                list.push((file.as_raw_fd(), read, Ready::Output(id, *source)));
            }
        }
        for helper in &self.helpers {
            list.push((helper.result.as_raw_fd(), read, Ready::Helper(helper.pid.as_raw())));
        }
        for exec in &self.execs {
            for file in exec.open_outputs() {
                list.push((file.as_raw_fd(), read, Ready::Exec(exec.key)));
            }
        }
        list
    }

    fn wait(&self) -> Vec<Ready> {
        let sources = self.sources();
        let mut fds: Vec<PollFd> = sources
            .iter()
            .map(|(fd, flags, _)| PollFd::new(crate::sys::borrow(self, *fd), *flags))
            .collect();
        let timeout = self
            .next_deadline()
            .map_or(IDLE, |at| at.saturating_duration_since(Instant::now()).min(IDLE));
        // Rounded up: a timeout rounded down would spin until the moment comes.
        let millis = u16::try_from(timeout.as_millis() + 1).unwrap_or(u16::MAX);
        match poll(&mut fds, PollTimeout::from(millis)) {
            Ok(n) if n > 0 => fds
                .iter()
                .zip(sources)
                .filter(|(fd, _)| fd.revents().is_some_and(|r| !r.is_empty()))
                .map(|(_, (_, _, ready))| ready)
                .collect(),
            _ => Vec::new(),
        }
    }

    fn handle(&mut self, ready: Ready) {
        match ready {
            Ready::Signal => {
                while let Ok(Some(_)) = self.signals.read_signal() {}
                self.reap();
            }
            Ready::Listener => self.accept(),
            Ready::Client(id) => {
                let Some(client) = self.clients.iter_mut().find(|c| c.id == id) else { return };
                client.flush();
                for call in client.read() {
                    self.serve(id, call);
                }
            }
            Ready::Output(id, source) => {
                if let Some(container) = self.container(&id) {
                    container.pump(source);
                }
            }
            Ready::Helper(pid) => self.helper_spoke(pid),
            Ready::Exec(key) => {
                if let Some(exec) = self.execs.iter_mut().find(|e| e.key == key) {
                    exec.pump();
                }
            }
        }
    }

    fn accept(&mut self) {
        while let Ok((stream, _)) = self.listener.accept() {
            if self.clients.len() >= CLIENT_LIMIT || stream.set_nonblocking(true).is_err() {
                continue;
            }
            self.next_number += 1;
            self.clients.push(Client::new(self.next_number, stream));
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let stops = self.containers.iter().filter(|c| c.is_alive()).filter_map(|c| c.kill_at);
        let helpers = self.helpers.iter().map(|h| h.deadline);
        let execs = self.execs.iter().filter(|e| !e.timed_out).map(|e| e.deadline);
        let shutdown = self.shutdown.iter().map(|(_, at)| *at);
        stops.chain(helpers).chain(execs).chain(shutdown).chain(self.release_at).min()
    }

    /// A container was made: memory can be given back a little later.
    pub fn release_soon(&mut self) {
        self.release_at = Some(Instant::now() + RELEASE_AFTER);
    }

    /// Gives memory back when it is time.
    pub fn release(&mut self, now: Instant) {
        if self.release_at.is_some_and(|at| at <= now) {
            self.release_at = None;
            crate::sys::release_clean_pages();
        }
    }

    /// A daemon said hello: it gets what it has not acknowledged.
    pub fn greet(&mut self, client: u64) {
        let events = self.unacked.clone();
        if let Some(client) = self.clients.iter_mut().find(|c| c.id == client) {
            client.greeted = true;
            for (sequence, event) in events {
                client.send(&Message::Event { sequence, event });
            }
        }
    }

    pub fn reply(&mut self, to: ReplyTo, result: std::result::Result<Answer, Failure>) {
        if let Some(client) = self.clients.iter_mut().find(|c| c.id == to.client) {
            client.send(&Message::Answer { number: to.number, result });
        }
    }

    /// Records an event; it was saved before (with the state) and stays until it is acknowledged.
    pub fn emit(&mut self, event: PodEvent) {
        self.sequence += 1;
        self.unacked.push((self.sequence, event.clone()));
        let sequence = self.sequence;
        for client in self.clients.iter_mut().filter(|c| c.greeted) {
            client.send(&Message::Event { sequence, event: event.clone() });
        }
    }

    pub fn container(&mut self, id: &str) -> Option<&mut Container> {
        self.containers.iter_mut().find(|c| c.status.id == id)
    }

    /// Writes the state file, which is read when this process is gone.
    pub fn save(&self) {
        if let Err(e) = state::save(&self.plan, &self.containers, self.pause) {
            eprintln!("{e}");
        }
    }

    fn is_over(&mut self) -> bool {
        let Some((reply, deadline)) = self.shutdown else { return false };
        let busy = self.containers.iter().any(Container::is_alive) || !self.helpers.is_empty();
        if busy && Instant::now() < deadline {
            return false;
        }
        self.reply(reply, Ok(Answer::Done));
        for client in &mut self.clients {
            let _ = client.stream.set_nonblocking(false);
            let _ = client.stream.set_write_timeout(Some(Duration::from_secs(1)));
            client.flush();
        }
        true
    }
}
