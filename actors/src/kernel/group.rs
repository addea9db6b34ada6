//! Starting and stopping several children in order, as restarts and shutdown need it.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream};
use tokio::sync::oneshot;

use super::{
    cell::{Cell, EndReason},
    control::{Command, Control},
    spec::{Blame, Shutdown, Strategy},
    supervisor::{Child, Decision, Parent, Status, Supervisor},
};

/// How long a child may take from `create` to the end of `started`.
const LAUNCH_TIMEOUT: Duration = Duration::from_secs(10);
/// Dynamic children stopped at the same time.
const STOP_AT_ONCE: usize = 64;

type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl Child {
    fn seq(&self) -> u64 {
        match self {
            Self::Actor(c) => c.seq,
            Self::Supervisor(s) => s.seq,
        }
    }

    /// Stops it in order; address and mail stay.
    fn halt(&self) -> Boxed<()> {
        match self.clone() {
            Self::Supervisor(s) => Box::pin(async move { s.halt().await }),
            Self::Actor(cell) => Box::pin(async move {
                let (ack, halted) = oneshot::channel();
                cell.command(Command::Halt(ack));
                let wait = tokio::time::timeout(cell.spec.shutdown.deadline(), halted);
                if wait.await.is_err() {
                    tracing::error!(actor = %cell.path, "does not stop; going on without it");
                }
            }),
        }
    }

    /// Starts it with fresh state; false when that failed.
    fn launch(&self) -> Boxed<bool> {
        match self.clone() {
            Self::Supervisor(s) => Box::pin(async move { s.launch().await }),
            Self::Actor(cell) => Box::pin(async move {
                let (ack, launched) = oneshot::channel();
                cell.command(Command::Launch(Some(ack)));
                match tokio::time::timeout(LAUNCH_TIMEOUT, launched).await {
                    Ok(Ok(up)) => up,
                    // It has ended: a temporary child, or one stopped meanwhile.
                    Ok(Err(_)) => true,
                    Err(_) => {
                        tracing::error!(actor = %cell.path, "does not come up; going on");
                        true
                    }
                }
            }),
        }
    }

    /// Ends it for good.
    pub(crate) fn stop(&self) -> Boxed<()> {
        match self.clone() {
            Self::Supervisor(s) => Box::pin(async move { s.stop().await }),
            Self::Actor(cell) => Box::pin(stop_actor(cell)),
        }
    }
}

async fn stop_actor(cell: Arc<Cell>) {
    let order = match cell.spec.shutdown {
        Shutdown::Brutal => Control::Kill,
        Shutdown::Within(_) => Control::Stop,
    };
    cell.command(Command::User(order));
    let deadline = cell.spec.shutdown.deadline();
    if tokio::time::timeout(deadline, cell.ended.cancelled()).await.is_ok() {
        return;
    }
    tracing::error!(actor = %cell.path, "did not stop in time and is abandoned");
    cell.command(Command::User(Control::Kill));
    cell.finish(EndReason::Killed);
    cell.shared.registry.lock().remove(&cell.path);
    if let Some(parent) = cell.parent.upgrade() {
        parent.child_ended(cell.seq);
    }
}

impl Supervisor {
    /// Restarts the failed child and those that share its fate.
    pub(crate) fn restart_group(self: Arc<Self>, failed: u64, backoff: Duration) -> Boxed<()> {
        Box::pin(async move {
            let all = self.spec.strategy == Strategy::OneForAll;
            let mut group = self.children();
            group.retain(|c| all || c.seq() >= failed);
            for child in group.iter().rev() {
                child.halt().await;
            }
            tokio::time::sleep(backoff).await;
            let failed = self.launch_each(&group, false).await;
            self.inner.lock().pending.extend(failed);
            self.settle();
        })
    }

    /// Launches in order and returns those that failed; without `go_on` it ends at the first.
    async fn launch_each(&self, group: &[Child], go_on: bool) -> Vec<u64> {
        let mut failed = Vec::new();
        for child in group {
            if self.inner.lock().status == Status::Stopped || (!go_on && !failed.is_empty()) {
                break;
            }
            if !child.launch().await {
                failed.push(child.seq());
            }
        }
        failed
    }

    /// Back to normal; failures that came in between are answered now.
    fn settle(self: &Arc<Self>) {
        let pending = {
            let mut inner = self.inner.lock();
            if inner.status != Status::Restarting {
                return;
            }
            inner.status = Status::Running;
            inner.streak.born();
            std::mem::take(&mut inner.pending)
        };
        for seq in pending {
            self.clone().again(seq);
        }
    }

    /// A child could not be launched: counts as one more failure.
    fn again(self: Arc<Self>, seq: u64) {
        let Some(child) = self.inner.lock().children.get(&seq).cloned() else { return };
        let (path, backoff) = match &child {
            Child::Actor(c) => (c.path.clone(), c.next_backoff()),
            Child::Supervisor(s) => {
                let backoff = s.inner.lock().streak.next(s.backoff());
                (s.path.clone(), backoff)
            }
        };
        let why = (Blame::Child(seq), "did not start");
        if let Decision::RestartAfter(delay) = self.decide(seq, &path, backoff, why) {
            let pool = self.shared.pool.clone();
            let retry: Boxed<()> = Box::pin(async move {
                tokio::time::sleep(delay).await;
                if !child.launch().await {
                    self.again(seq);
                }
            });
            pool.spawn(retry);
        }
    }

    /// Stops the children, last first; static ones keep address and mail.
    pub(crate) fn halt(self: &Arc<Self>) -> Boxed<()> {
        let me = self.clone();
        Box::pin(async move {
            {
                let mut inner = me.inner.lock();
                if inner.status == Status::Stopped {
                    return;
                }
                inner.status = Status::Restarting;
                inner.pending.clear();
            }
            if me.spec.strategy == Strategy::Dynamic {
                return me.stop_children().await;
            }
            for child in me.children().iter().rev() {
                child.halt().await;
            }
        })
    }

    /// Starts the halted children in order; those that fail are its own failures to answer.
    pub(crate) fn launch(self: &Arc<Self>) -> Boxed<bool> {
        let me = self.clone();
        Box::pin(async move {
            let go_on = me.spec.strategy == Strategy::OneForOne;
            let failed = me.launch_each(&me.children(), go_on).await;
            me.inner.lock().pending.extend(failed);
            me.settle();
            true
        })
    }

    /// The restart of this supervisor as a whole, ordered by its parent.
    pub(crate) fn rebuild(self: Arc<Self>, delay: Duration) -> Boxed<()> {
        Box::pin(async move {
            self.halt().await;
            tokio::time::sleep(delay).await;
            self.launch().await;
        })
    }

    /// Stops all children and stays open for new ones: the actor above begins a new life.
    pub(crate) async fn clear(self: &Arc<Self>) {
        self.stop_children().await;
        let mut inner = self.inner.lock();
        if inner.status != Status::Stopped {
            inner.status = Status::Running;
            inner.pending.clear();
        }
    }

    /// Ends the children and itself for good.
    pub(crate) async fn stop(self: &Arc<Self>) {
        self.inner.lock().status = Status::Stopped;
        self.stop_children().await;
        if let Parent::Supervisor(parent) = &self.parent
            && let Some(parent) = parent.upgrade()
        {
            parent.child_ended(self.seq);
        }
    }

    fn stop_children(self: &Arc<Self>) -> Boxed<()> {
        let me = self.clone();
        Box::pin(async move {
            let children = me.children();
            let at_once = if me.spec.strategy == Strategy::Dynamic { STOP_AT_ONCE } else { 1 };
            let stops = children.into_iter().rev().map(|c| c.stop());
            stream::iter(stops).buffer_unordered(at_once).collect::<Vec<()>>().await;
        })
    }
}
