//! The handle by which children are started and stopped.

use std::{
    any::type_name,
    sync::{Arc, atomic::Ordering},
};

use actix::{Arbiter, ArbiterHandle, dev::channel};

use super::{
    MAX_DEDICATED,
    address::ActorRef,
    performer::Performer,
    shared::{Entry, Shared},
    spec::{ChildSpec, Placement, SupervisorSpec},
    stage::Stage,
    supervisor::{Child, Supervisor},
};

/// Starts and stops children of one supervisor. Cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct SupervisorRef {
    core: Arc<Supervisor>,
}

impl SupervisorRef {
    pub(crate) fn new(core: Arc<Supervisor>) -> Self {
        Self { core }
    }

    /// Its path, `/` for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.core.path
    }

    /// Starts an actor. Mail may be sent at once; it waits for `started`.
    ///
    /// Where a living child has this id already, the new one is called `id#2`. When the supervisor
    /// has stopped or is full, the address is closed from the start (`EndReason::Refused`).
    pub fn start<A: Performer>(&self, id: &str, args: A::Args, spec: ChildSpec) -> ActorRef<A> {
        let (cell, orders) = self.core.add_actor(id, type_name::<A>(), A::MAILBOX, spec);
        // Capacity is ours to count: letters hold permits of the cell.
        let (address, mailbox) = channel::channel::<A>(0);
        let me = ActorRef::new(address, cell.clone());
        if cell.end.get().is_some() {
            return me;
        }
        let shared = self.core.shared.clone();
        let entry = Entry { cell: Arc::downgrade(&cell), address: Box::new(me.clone()) };
        shared.registry.lock().insert(cell.path.clone(), entry);
        let stage_me = me.clone();
        let play = move || {
            actix_rt::spawn(Stage::new(stage_me, args, mailbox, orders));
        };
        match place(&shared, spec.placement, &cell.path) {
            Some(arbiter) => {
                arbiter.spawn_fn(play);
            }
            None => start_dedicated(&shared, cell.ended.clone(), play),
        }
        me
    }

    /// Starts a supervisor under this one.
    pub fn supervisor(&self, id: &str, spec: SupervisorSpec) -> SupervisorRef {
        Self { core: self.core.add_supervisor(id, spec) }
    }

    /// The living child of this id and type.
    #[must_use]
    pub fn child<A: Performer>(&self, id: &str) -> Option<ActorRef<A>> {
        let Some(Child::Actor(cell)) = self.core.child(id) else { return None };
        lookup(&self.core.shared, &cell.path)
    }

    /// How many children it has.
    #[must_use]
    pub fn count(&self) -> usize {
        self.core.inner.lock().children.len()
    }

    /// Stops a child and waits until it is gone; after its shutdown time it is abandoned. False
    /// when there is none of this id.
    pub async fn stop_child(&self, id: &str) -> bool {
        let Some(child) = self.core.child(id) else { return false };
        child.stop().await;
        true
    }

    /// Stops all children, last started first, and then takes no more.
    pub async fn stop(&self) {
        self.core.stop().await;
    }
}

pub(crate) fn lookup<A: Performer>(shared: &Shared, path: &str) -> Option<ActorRef<A>> {
    let registry = shared.registry.lock();
    registry.get(path).and_then(|e| e.address.downcast_ref::<ActorRef<A>>()).cloned()
}

/// The arbiter for a placement; None: one of its own.
fn place(shared: &Shared, placement: Placement, path: &str) -> Option<ArbiterHandle> {
    let by = |n: u64| {
        let at = usize::try_from(n % shared.arbiters.len() as u64).unwrap_or(0);
        shared.arbiters[at].clone()
    };
    match placement {
        Placement::System => Some(shared.system.clone()),
        Placement::Shared => Some(by(hash(path))),
        Placement::Key(key) => Some(by(key)),
        Placement::Dedicated => {
            let taken = shared.dedicated.fetch_add(1, Ordering::SeqCst);
            if shared.virtual_time || taken >= MAX_DEDICATED {
                shared.dedicated.fetch_sub(1, Ordering::SeqCst);
                return Some(by(hash(path)));
            }
            None
        }
    }
}

/// FNV-1a: stable between runs, so an actor keeps its thread.
fn hash(path: &str) -> u64 {
    path.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

fn start_dedicated(
    shared: &Arc<Shared>,
    ended: tokio_util::sync::CancellationToken,
    play: impl FnOnce() + Send + 'static,
) {
    let later = shared.clone();
    // New arbiters can only be made on a thread that belongs to the system.
    shared.system.spawn_fn(move || match Arbiter::try_with_tokio_rt(super::system::runtime) {
        Ok(arbiter) => {
            arbiter.spawn_fn(play);
            let pool = later.pool.clone();
            pool.spawn(async move {
                ended.cancelled().await;
                arbiter.stop();
                later.dedicated.fetch_sub(1, Ordering::SeqCst);
            });
        }
        Err(error) => {
            tracing::warn!(%error, "no thread for a dedicated actor; it shares the system's");
            later.dedicated.fetch_sub(1, Ordering::SeqCst);
            play();
        }
    });
}
