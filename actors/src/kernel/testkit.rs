//! Actors on virtual time, for tests of every crate module that plays on this kernel.

use std::{future::Future, sync::Arc, time::Duration};

use actix::{Actor, Handler, Message, System};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::{
    address::ActorRef,
    ctx::Ctx,
    performer::Performer,
    spec::{ChildSpec, SupervisorSpec},
    supervisor_ref::SupervisorRef,
    system::{Kernel, KernelConfig},
};

/// One cast on one thread whose clock stands still until everybody is idle, then jumps to the next
/// timer. An hour of back-off takes no time, and runs are repeatable.
#[derive(Debug, Clone)]
pub struct TestKit {
    kernel: Kernel,
    failures: Arc<Mutex<Vec<String>>>,
}

impl TestKit {
    /// Runs a test body inside a fresh kit and stops the cast afterwards.
    ///
    /// # Panics
    /// When the runtime cannot be made.
    pub fn run<F, T>(test: impl FnOnce(TestKit) -> F) -> T
    where
        F: Future<Output = T>,
    {
        Self::run_with(SupervisorSpec::one_for_one(), test)
    }

    /// [`TestKit::run`] with a root supervisor of one's own.
    ///
    /// # Panics
    /// When the runtime cannot be made.
    pub fn run_with<F, T>(root: SupervisorSpec, test: impl FnOnce(TestKit) -> F) -> T
    where
        F: Future<Output = T>,
    {
        let system = System::with_tokio_rt(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .start_paused(true)
                .build()
                .unwrap_or_else(|e| panic!("no test runtime: {e}"))
        });
        system.block_on(async {
            let failures = Arc::new(Mutex::new(Vec::new()));
            let seen = failures.clone();
            let config = KernelConfig {
                root,
                on_root_failure: Arc::new(move |why| seen.lock().push(why.to_owned())),
                ..KernelConfig::default()
            };
            let kernel =
                Kernel::here(config).unwrap_or_else(|e| panic!("no kernel for the test: {e}"));
            let kit = TestKit { kernel: kernel.clone(), failures };
            let out = test(kit).await;
            kernel.shutdown().await;
            out
        })
    }

    /// The kernel of this test.
    #[must_use]
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Its root supervisor.
    #[must_use]
    pub fn root(&self) -> SupervisorRef {
        self.kernel.root()
    }

    /// Starts an actor under the root.
    pub fn spawn<A: Performer>(&self, id: &str, args: A::Args) -> ActorRef<A> {
        self.root().start(id, args, ChildSpec::default())
    }

    /// Lets everybody work until virtual time has moved on by `d`.
    pub async fn advance(&self, d: Duration) {
        tokio::time::sleep(d).await;
    }

    /// Why the root supervisor failed, each time it did.
    #[must_use]
    pub fn root_failures(&self) -> Vec<String> {
        self.failures.lock().clone()
    }

    /// An actor that takes one kind of message and shows the test what it got.
    pub fn probe<M>(&self, id: &str) -> (ActorRef<Probe<M>>, ProbeInbox<M>)
    where
        M: Message<Result = ()> + Send + Unpin + 'static,
    {
        let (tx, inbox) = mpsc::unbounded_channel();
        (self.spawn(id, tx), ProbeInbox { inbox })
    }
}

/// See [`TestKit::probe`].
#[derive(Debug)]
pub struct Probe<M> {
    to: mpsc::UnboundedSender<M>,
}

/// What a probe got.
#[derive(Debug)]
pub struct ProbeInbox<M> {
    inbox: mpsc::UnboundedReceiver<M>,
}

impl<M> ProbeInbox<M> {
    /// The next message.
    ///
    /// # Panics
    /// When none comes within `timeout` of virtual time.
    pub async fn expect(&mut self, timeout: Duration) -> M {
        match tokio::time::timeout(timeout, self.inbox.recv()).await {
            Ok(Some(m)) => m,
            _ => panic!("no {} within {timeout:?}", std::any::type_name::<M>()),
        }
    }

    /// Waits for `d` and panics when a message came.
    ///
    /// # Panics
    /// See above.
    pub async fn expect_none(&mut self, d: Duration) {
        if let Ok(Some(_)) = tokio::time::timeout(d, self.inbox.recv()).await {
            panic!("an unexpected {}", std::any::type_name::<M>());
        }
    }
}

impl<M: Message<Result = ()> + Send + Unpin + 'static> Actor for Probe<M> {
    type Context = Ctx<Self>;
}

impl<M: Message<Result = ()> + Send + Unpin + 'static> actix::Supervised for Probe<M> {
    fn restarting(&mut self, ctx: &mut Ctx<Self>) {
        ctx.recreate(self);
    }
}

impl<M: Message<Result = ()> + Send + Unpin + 'static> Performer for Probe<M> {
    type Args = mpsc::UnboundedSender<M>;

    fn create(to: &Self::Args) -> Self {
        Self { to: to.clone() }
    }
}

impl<M: Message<Result = ()> + Send + Unpin + 'static> Handler<M> for Probe<M> {
    type Result = ();

    fn handle(&mut self, msg: M, _: &mut Ctx<Self>) {
        // The test may have dropped its inbox.
        drop(self.to.send(msg));
    }
}
