//! Ends: of containers, commands, helpers and of time allowed.

use std::time::{Instant, SystemTime};

use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        socket::{ControlMessageOwned, MsgFlags, recvmsg},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

use super::{
    container::Container,
    helper::{Outcome, Purpose},
    log::Source,
    protocol::{Answer, Failure},
    server::Server,
};
use crate::{
    oci,
    status::{ContainerState, Exit, PodEvent},
    sys,
};

/// Ends of unknown processes remembered while a helper works.
const STRAY_LIMIT: usize = 1024;

impl Server {
    /// Collects every child that ended.
    pub(super) fn reap(&mut self) {
        loop {
            let (pid, code) = match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::Exited(pid, code)) => (pid, code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, -(signal as i32)),
                Ok(WaitStatus::StillAlive) => break,
                Err(Errno::EINTR) | Ok(_) => continue,
                Err(_) => break,
            };
            self.ended(pid.as_raw(), code);
        }
        self.sweep();
    }

    /// A helper that was killed leaves processes between it and the container, which are children of
    /// this one then and wait for ever. Once no other helper works, children that belong to nothing
    /// are killed, until there is none: one may just be making another.
    fn sweep(&mut self) {
        if !self.abandoned || !self.helpers.is_empty() {
            return;
        }
        self.abandoned = false;
        let containers = self.containers.iter().filter_map(|c| c.status.pid);
        let execs = self.execs.iter().filter_map(|e| e.pid);
        let known: Vec<i32> = containers.chain(execs).chain(self.pause).collect();
        for pid in sys::children() {
            // With the host's processes a container's orphans come to this one by right.
            let orphan = self.plan.spec.host_pid && sys::is_in_cgroup(pid, &self.plan.paths.cgroup);
            if !known.contains(&pid) && !orphan {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                self.abandoned = true;
            }
        }
    }

    /// One child ended with `code` (the signal's number, negative, when a signal did it).
    fn ended(&mut self, pid: i32, code: i32) {
        if let Some(at) = self.helpers.iter().position(|h| h.pid.as_raw() == pid) {
            self.helper_spoke(pid);
            // Still there: it ended without a word.
            if self.helpers.get(at).is_some_and(|h| h.pid.as_raw() == pid) {
                let helper = self.helpers.remove(at);
                self.abandoned = true;
                let text = format!("the helper ended without a result ({})", describe(code));
                self.helper_done(helper.purpose, Outcome::Failed(text));
            }
            return;
        }
        if let Some(at) =
            self.containers.iter().position(|c| c.status.pid == Some(pid) && c.is_alive())
        {
            return self.container_ended(at, code);
        }
        if let Some(at) = self.execs.iter().position(|e| e.pid == Some(pid)) {
            let exec = self.execs.remove(at);
            let reply = exec.reply;
            return self.reply(reply, Ok(Answer::Exec(exec.finish(shell_code(code)))));
        }
        if !self.helpers.is_empty() && self.strays.len() < STRAY_LIMIT {
            self.strays.push((pid, code));
        }
    }

    fn container_ended(&mut self, at: usize, code: i32) {
        let cgroup = self.plan.paths.container_cgroup(&self.containers[at].status.id);
        let oom = code != 0 && self.cgroups.oom_kills(&cgroup) > 0;
        // Without a pid namespace of its own a container can leave processes behind.
        self.cgroups.kill(&cgroup);
        let container = &mut self.containers[at];
        container.drain();
        let exit = Exit {
            code: shell_code(code),
            signal: (code < 0).then_some(-code),
            oom,
            at: SystemTime::now(),
            lost: false,
        };
        container.status.state = ContainerState::Exited;
        container.status.pid = None;
        container.status.exit = Some(exit.clone());
        container.kill_at = None;
        let id = container.status.id.clone();
        if container.log.dropped > 0 {
            eprintln!("container {id}: {} log writes were dropped", container.log.dropped);
        }
        self.cgroups.try_remove(&cgroup);
        // Saved before it is told: whoever was told may rely on it.
        self.save();
        self.emit(PodEvent::Exited { id, exit });
    }

    /// A helper wrote to its pipe, or ended.
    pub(super) fn helper_spoke(&mut self, pid: i32) {
        let Some(at) = self.helpers.iter().position(|h| h.pid.as_raw() == pid) else { return };
        let Some(outcome) = self.helpers[at].poll() else { return };
        let helper = self.helpers.remove(at);
        self.helper_done(helper.purpose, outcome);
    }

    fn helper_done(&mut self, purpose: Purpose, outcome: Outcome) {
        match purpose {
            Purpose::Create(id) => self.created(&id, outcome),
            Purpose::Exec(key) => self.exec_made(key, outcome),
        }
        if self.helpers.is_empty() {
            self.strays.clear();
        }
    }

    fn created(&mut self, id: &str, outcome: Outcome) {
        let Some(at) = self.containers.iter().position(|c| c.status.id == id) else { return };
        let container = &mut self.containers[at];
        let Some(reply) = container.creating.take() else { return };
        let made = match outcome {
            Outcome::Failed(text) => Err(text),
            Outcome::Made(pid) => {
                container.status.pid = Some(pid);
                container.start_time = sys::start_time(pid);
                take_terminal(container).map(|()| pid)
            }
        };
        match made {
            Err(text) => {
                let cgroup = self.plan.paths.container_cgroup(id);
                self.containers.remove(at);
                self.cgroups.kill(&cgroup);
                self.cgroups.try_remove(&cgroup);
                self.save();
                self.reply(reply, Err(Failure::Create(text)));
            }
            Ok(pid) => {
                self.save();
                self.release_soon();
                self.reply(reply, Ok(Answer::Done));
                self.claim_stray(pid);
            }
        }
    }

    fn exec_made(&mut self, key: u64, outcome: Outcome) {
        let Some(at) = self.execs.iter().position(|e| e.key == key) else { return };
        match outcome {
            Outcome::Made(pid) => {
                self.execs[at].pid = Some(pid);
                if self.execs[at].timed_out {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                self.claim_stray(pid);
            }
            Outcome::Failed(text) => {
                let exec = self.execs.remove(at);
                self.reply(exec.reply, Err(Failure::Exec(text)));
            }
        }
    }

    /// A process that is known only now may have ended before.
    fn claim_stray(&mut self, pid: i32) {
        if let Some(at) = self.strays.iter().position(|(p, _)| *p == pid) {
            let (pid, code) = self.strays.swap_remove(at);
            self.ended(pid, code);
        }
    }

    /// Does what is due.
    pub(super) fn act_on_time(&mut self) {
        let now = Instant::now();
        self.release(now);
        let mut killed = Vec::new();
        for container in self.containers.iter_mut().filter(|c| c.is_alive()) {
            if container.kill_at.is_some_and(|at| at <= now) {
                container.kill_at = None;
                if let Some(pid) = container.status.pid {
                    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                }
                killed.push(container.status.id.clone());
            }
        }
        for id in killed {
            self.cgroups.kill(&self.plan.paths.container_cgroup(&id));
        }
        for helper in self.helpers.iter_mut().filter(|h| h.deadline <= now) {
            let _ = kill(helper.pid, Signal::SIGKILL);
            helper.deadline = now + super::helper::LIMIT;
        }
        for exec in self.execs.iter_mut().filter(|e| e.deadline <= now && !e.timed_out) {
            exec.timed_out = true;
            if let Some(pid) = exec.pid {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
    }
}

/// The code a shell would show.
fn shell_code(code: i32) -> i32 {
    if code < 0 { 128 - code } else { code }
}

fn describe(code: i32) -> String {
    if code < 0 { format!("signal {}", -code) } else { format!("exit code {code}") }
}

/// Receives the terminal of a container that has one.
fn take_terminal(container: &mut Container) -> Result<(), String> {
    use std::os::fd::AsRawFd;
    let Some(listener) = container.console.take() else { return Ok(()) };
    let (stream, _) = listener.accept().map_err(|e| format!("no terminal came: {e}"))?;
    let mut byte = [0u8; 64];
    let mut parts = [std::io::IoSliceMut::new(&mut byte)];
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let message =
        recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
            .map_err(|e| format!("no terminal came: {e}"))?;
    let fds = message.cmsgs().map_err(|e| e.to_string())?.find_map(|c| match c {
        ControlMessageOwned::ScmRights(fds) => fds.first().copied(),
        _ => None,
    });
    let master = sys::adopt_fd(fds.ok_or("the terminal's message carried no descriptor")?);
    oci::set_nonblocking(&master).map_err(|e| e.to_string())?;
    container.outputs.push((Source::Stdout, master.into()));
    Ok(())
}
