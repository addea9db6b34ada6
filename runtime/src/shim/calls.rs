//! What a daemon can ask of the shim.

use std::{
    fs,
    io::Write,
    os::{
        fd::OwnedFd,
        unix::net::{UnixListener, UnixStream},
    },
    time::{Duration, Instant, SystemTime},
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::{Signal, kill},
    unistd::{Pid, pipe2},
};

use super::{
    container::{Container, ReplyTo},
    exec::Exec,
    helper::{Helper, Purpose},
    log::Source,
    protocol::{Answer, Call, ContainerMeta, Failure, OLDEST_VERSION, Request, VERSION},
    server::{SHUTDOWN_LIMIT, Server},
};
use crate::{
    error::{Error, Result},
    files::{self, Durability},
    oci, paths,
    status::{ContainerState, PodEvent},
};

/// Containers of a pod the shim remembers, exited ones included.
const CONTAINER_LIMIT: usize = 512;
/// Commands running at once.
const EXEC_LIMIT: usize = 64;

/// The result of a call: an answer now, or later by someone else.
type Reply = std::result::Result<Option<Answer>, Failure>;

impl Server {
    pub(super) fn serve(&mut self, client: u64, call: Call) {
        let to = ReplyTo { client, number: call.number };
        let reply = match call.request {
            Request::Hello { version } => self.hello(client, version),
            Request::Create(meta) => self.create(to, meta),
            Request::Start { id } => self.start(&id),
            Request::Stop { id, signal, grace_ms } => {
                self.stop(&id, signal, Duration::from_millis(grace_ms))
            }
            Request::Remove { id } => self.remove(&id),
            Request::Exec { id, command, timeout_ms } => {
                self.exec(to, &id, command, Duration::from_millis(timeout_ms))
            }
            Request::Status => {
                let list = self.containers.iter().filter(|c| c.creating.is_none());
                Ok(Some(Answer::Status(list.map(|c| c.status.clone()).collect())))
            }
            Request::Ack { sequence } => {
                self.unacked.retain(|(s, _)| *s > sequence);
                Ok(Some(Answer::Done))
            }
            Request::Shutdown => {
                self.shut_down(to);
                Ok(None)
            }
        };
        match reply {
            Ok(Some(answer)) => self.reply(to, Ok(answer)),
            Ok(None) => {}
            Err(failure) => self.reply(to, Err(failure)),
        }
    }

    fn hello(&mut self, client: u64, version: u32) -> Reply {
        if version < OLDEST_VERSION {
            return Err(Failure::Protocol(format!(
                "version {version} is too old; this shim speaks {OLDEST_VERSION} to {VERSION}"
            )));
        }
        // The newer side adapts: a daemon newer than this shim speaks our version.
        let version = version.min(VERSION);
        let answer = Answer::Hello { version, pid: std::process::id() as i32 };
        self.greet(client);
        Ok(Some(answer))
    }

    fn create(&mut self, to: ReplyTo, meta: ContainerMeta) -> Reply {
        if self.shutdown.is_some() {
            return Err(Failure::Create("the pod is being destroyed".into()));
        }
        if paths::check_id(&meta.id).is_err() {
            return Err(Failure::Create(format!("bad container id {:?}", meta.id)));
        }
        if self.container(&meta.id).is_some() {
            return Err(Failure::AlreadyExists(format!("container {}", meta.id)));
        }
        if self.containers.len() >= CONTAINER_LIMIT {
            return Err(Failure::Create(format!(
                "{CONTAINER_LIMIT} containers are remembered; remove exited ones"
            )));
        }
        self.fork_container(to, meta).map_err(|e| Failure::Create(e.to_string()))?;
        Ok(None)
    }

    fn fork_container(&mut self, to: ReplyTo, meta: ContainerMeta) -> Result<()> {
        let id = meta.id.clone();
        let (tty, keep_stdin) = (meta.tty, meta.stdin);
        let mut container = Container::new(meta, &self.plan.paths, self.plan.spec.log, to)?;
        let mut stdio = oci::Stdio::default();
        if tty {
            let path = self.plan.paths.bundle(&id);
            let dir = fs::File::open(&path).map_err(Error::file("cannot open", path))?;
            let name = paths::short_socket_path(&dir, oci::CONSOLE_SOCKET);
            let listener =
                UnixListener::bind(&name).map_err(Error::file("cannot listen on", name))?;
            listener.set_nonblocking(true).map_err(Error::system("cannot set up a socket"))?;
            container.console = Some(listener);
        } else {
            let (read, write) = output_pipe()?;
            container.outputs.push((Source::Stdout, fs::File::from(read)));
            stdio.stdout = Some(write);
            let (read, write) = output_pipe()?;
            container.outputs.push((Source::Stderr, fs::File::from(read)));
            stdio.stderr = Some(write);
            stdio.stdin = Some(if keep_stdin {
                let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(pipe_error)?;
                container.stdin = Some(write);
                read
            } else {
                null()?
            });
        }
        let plan = &self.plan;
        let keep: Vec<&OwnedFd> =
            [&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().flatten().collect();
        let stdio_ref = &stdio;
        let helper = Helper::spawn(Purpose::Create(id.clone()), &keep, || {
            oci::create(plan, &id, stdio_ref)
        })?;
        self.helpers.push(helper);
        self.containers.push(container);
        Ok(())
    }

    fn start(&mut self, id: &str) -> Reply {
        let dir = self.plan.paths.oci().join(id);
        let container = self.living(id, "it cannot be started")?;
        if container.status.state != ContainerState::Created {
            return Err(wrong_state(container, "it was started before"));
        }
        let begin = || -> Result<()> {
            set_running(&dir)?;
            let file = fs::File::open(&dir).map_err(Error::file("cannot open", &dir))?;
            let socket = paths::short_socket_path(&file, "notify.sock");
            let mut stream =
                UnixStream::connect(socket).map_err(Error::system("cannot reach the container"))?;
            stream
                .write_all(b"start container")
                .map_err(Error::system("cannot notify the container"))
        };
        begin().map_err(|e| Failure::Start(e.to_string()))?;
        container.status.state = ContainerState::Running;
        container.status.started_at = Some(SystemTime::now());
        self.save();
        self.emit(PodEvent::Started { id: id.into() });
        Ok(Some(Answer::Done))
    }

    fn stop(&mut self, id: &str, signal: Option<i32>, grace: Duration) -> Reply {
        let Some(container) = self.container(id) else {
            return Err(Failure::NotFound(format!("container {id}")));
        };
        let Some(pid) = container.status.pid.filter(|_| container.is_alive()) else {
            return Ok(Some(Answer::Done));
        };
        let first = container.kill_at.is_none();
        container.kill_within(grace);
        if grace.is_zero() || container.status.state == ContainerState::Created {
            container.kill_at = Some(Instant::now());
        } else if first || signal.is_some() {
            let number = signal.unwrap_or(container.stop_signal);
            let signal = Signal::try_from(number).unwrap_or(Signal::SIGTERM);
            let _ = kill(Pid::from_raw(pid), signal);
        }
        self.act_on_time();
        Ok(Some(Answer::Done))
    }

    fn remove(&mut self, id: &str) -> Reply {
        let Some(container) = self.container(id) else {
            return Err(Failure::NotFound(format!("container {id}")));
        };
        if container.is_alive() || container.creating.is_some() {
            return Err(wrong_state(container, "stop it before it is removed"));
        }
        self.containers.retain(|c| c.status.id != id);
        self.cgroups.try_remove(&self.plan.paths.container_cgroup(id));
        self.save();
        Ok(Some(Answer::Done))
    }

    fn exec(&mut self, to: ReplyTo, id: &str, command: Vec<String>, limit: Duration) -> Reply {
        if self.execs.len() >= EXEC_LIMIT {
            return Err(Failure::Exec(format!("{EXEC_LIMIT} commands run in this pod already")));
        }
        if command.is_empty() {
            return Err(Failure::Exec("the command is empty".into()));
        }
        let container = self.living(id, "no command can be run in it")?;
        if container.status.state != ContainerState::Running {
            return Err(wrong_state(container, "no command can be run in it"));
        }
        self.next_number += 1;
        let key = self.next_number;
        self.fork_exec(to, key, id, &command, limit).map_err(|e| Failure::Exec(e.to_string()))?;
        Ok(None)
    }

    fn fork_exec(
        &mut self,
        to: ReplyTo,
        key: u64,
        id: &str,
        command: &[String],
        limit: Duration,
    ) -> Result<()> {
        let (out_read, out_write) = output_pipe()?;
        let (err_read, err_write) = output_pipe()?;
        let stdio =
            oci::Stdio { stdin: Some(null()?), stdout: Some(out_write), stderr: Some(err_write) };
        let keep: Vec<&OwnedFd> =
            [&stdio.stdin, &stdio.stdout, &stdio.stderr].into_iter().flatten().collect();
        let plan = &self.plan;
        let helper =
            Helper::spawn(Purpose::Exec(key), &keep, || oci::exec(plan, id, key, command, &stdio))?;
        self.helpers.push(helper);
        self.execs.push(Exec::new(key, to, out_read.into(), err_read.into(), limit));
        Ok(())
    }

    fn shut_down(&mut self, to: ReplyTo) {
        self.shutdown = Some((to, Instant::now() + SHUTDOWN_LIMIT));
        for container in &mut self.containers {
            container.kill_at = Some(Instant::now());
        }
        for helper in &mut self.helpers {
            helper.deadline = Instant::now();
        }
        self.act_on_time();
        if let Some(pid) = self.pause.take() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }

    fn living(&mut self, id: &str, why: &str) -> std::result::Result<&mut Container, Failure> {
        match self.containers.iter_mut().find(|c| c.status.id == id && c.creating.is_none()) {
            None => Err(Failure::NotFound(format!("container {id}"))),
            Some(container) if container.is_alive() => Ok(container),
            Some(container) => Err(wrong_state(container, why)),
        }
    }
}

fn wrong_state(container: &Container, why: &str) -> Failure {
    Failure::State {
        id: container.status.id.clone(),
        state: container.status.state.to_string(),
        why: why.into(),
    }
}

/// A pipe whose reading end does not block us; the writing end blocks its program when we are slow.
fn output_pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).map_err(pipe_error)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map_err(pipe_error)?;
    Ok((read, write))
}

fn pipe_error(e: nix::Error) -> Error {
    Error::system("cannot make a pipe")(e.into())
}

fn null() -> Result<OwnedFd> {
    let file = fs::OpenOptions::new().read(true).write(true).open("/dev/null");
    Ok(file.map_err(Error::file("cannot open", "/dev/null"))?.into())
}

/// libcontainer refuses to enter a container whose state file does not say "running".
fn set_running(dir: &std::path::Path) -> Result<()> {
    let path = dir.join("state.json");
    let mut state: serde_json::Value = files::read_json(&path)?;
    state["status"] = "running".into();
    files::write_json(&path, &state, Durability::Process)
}
