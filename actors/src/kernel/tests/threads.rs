//! The kernel on real threads, under a multi-threaded runtime.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::*;

struct Busy {
    gate: Arc<AtomicBool>,
    handled: Arc<AtomicU64>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Block;

#[derive(Message)]
#[rtype(result = "String")]
struct WhereAmI;

impl Performer for Busy {
    type Args = (Arc<AtomicBool>, Arc<AtomicU64>);
    const MAILBOX: usize = 100_000;
    fn create((gate, handled): &Self::Args) -> Self {
        Busy { gate: gate.clone(), handled: handled.clone() }
    }
}
recreate_on_restart!(Busy);

impl Actor for Busy {
    type Context = Ctx<Self>;
}

impl Handler<Block> for Busy {
    type Result = ();
    fn handle(&mut self, _: Block, _: &mut Ctx<Self>) {
        while !self.gate.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Handler<Note> for Busy {
    type Result = ();
    fn handle(&mut self, _: Note, _: &mut Ctx<Self>) {
        self.handled.fetch_add(1, Ordering::SeqCst);
    }
}

impl Handler<WhereAmI> for Busy {
    type Result = String;
    fn handle(&mut self, _: WhereAmI, _: &mut Ctx<Self>) -> String {
        // tokio::spawn inside a handler must reach the pool: it has I/O, the arbiter has not.
        tokio::spawn(async { drop(tokio::net::TcpListener::bind("127.0.0.1:0").await) });
        format!("{:?}", std::thread::current().id())
    }
}

fn kernel() -> Kernel {
    Kernel::new(KernelConfig { arbiters: 2, ..KernelConfig::default() }).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn orders_reach_a_busy_actor_before_its_mail() {
    let kernel = kernel();
    let gate = Arc::new(AtomicBool::new(false));
    let handled = Arc::new(AtomicU64::new(0));
    let args = (gate.clone(), handled.clone());
    let a: ActorRef<Busy> = kernel.root().start("busy", args, ChildSpec::transient());
    a.tell(Block).unwrap();
    for n in 0..50_000 {
        a.tell(Note(n)).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(a.state(), State::Stuck);
    let look = kernel.inspect("/busy").await.unwrap();
    assert_eq!(look.status, InspectionStatus::Timeout);
    assert_eq!(look.actor.handling.as_ref().unwrap().message, "Block");
    a.stop();
    gate.store(true, Ordering::SeqCst);
    assert_eq!(a.ended().await, EndReason::Stopped);
    // At most one budget of mail was handled before the order was seen.
    assert!(handled.load(Ordering::SeqCst) <= u64::from(MESSAGE_BUDGET));
    kernel.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stuck_actor_is_given_up_in_time() {
    let kernel = kernel();
    let gate = Arc::new(AtomicBool::new(false));
    let spec = ChildSpec {
        shutdown: Shutdown::Within(Duration::from_millis(100)),
        placement: Placement::Dedicated,
        ..ChildSpec::default()
    };
    let args = (gate.clone(), Arc::default());
    let a: ActorRef<Busy> = kernel.root().start("stuck", args, spec);
    a.tell(Block).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(kernel.root().stop_child("stuck").await);
    assert_eq!(a.ended().await, EndReason::Killed);
    assert!(kernel.tree().actors().is_empty());
    gate.store(true, Ordering::SeqCst);
    kernel.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn placement_and_many_senders() {
    let kernel = kernel();
    let gate = Arc::new(AtomicBool::new(true));
    let handled = Arc::new(AtomicU64::new(0));
    let mut threads = std::collections::HashSet::new();
    let mut refs = Vec::new();
    for (i, placement) in [
        Placement::Key(0),
        Placement::Key(1),
        Placement::Key(2),
        Placement::System,
        Placement::Dedicated,
        Placement::Dedicated,
    ]
    .into_iter()
    .enumerate()
    {
        let args = (gate.clone(), handled.clone());
        let spec = ChildSpec::default().on(placement);
        let a: ActorRef<Busy> = kernel.root().start(&format!("p{i}"), args, spec);
        threads.insert(a.ask(WhereAmI, SOON).await.unwrap());
        refs.push(a);
    }
    // Keys 0 and 2 share one of two arbiters.
    assert_eq!(threads.len(), 5);
    let senders: Vec<_> = (0..8)
        .map(|s| {
            let to = refs[s % refs.len()].clone();
            tokio::spawn(async move {
                for n in 0..2000 {
                    to.tell_or_wait(Note(n)).await.unwrap();
                }
            })
        })
        .collect();
    for s in senders {
        s.await.unwrap();
    }
    for a in &refs {
        a.ask(WhereAmI, SOON).await.unwrap();
    }
    assert_eq!(handled.load(Ordering::SeqCst), 16_000);
    kernel.shutdown().await;
    assert!(!refs[0].is_alive());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocking_work_comes_back_and_death_is_watched() {
    struct Watcher(Recipient<Note>);
    impl Performer for Watcher {
        type Args = Recipient<Note>;
        fn create(to: &Recipient<Note>) -> Self {
            Watcher(to.clone())
        }
    }
    recreate_on_restart!(Watcher);
    impl Actor for Watcher {
        type Context = Ctx<Self>;
        fn started(&mut self, ctx: &mut Ctx<Self>) {
            let child = extra(&ctx.children(), "child", &Log::default());
            ctx.watch(&child, Note(2));
            ctx.offload_blocking(
                || std::fs::read_to_string("/proc/self/stat").map_or(0, |s| s.len()),
                move |this, n, _| {
                    assert!(n > 0);
                    this.0.tell(Note(1)).unwrap();
                    child.stop();
                },
            );
            ctx.pump(futures_util::stream::iter([Note(3), Note(4)]));
        }
    }
    impl Handler<Note> for Watcher {
        type Result = ();
        fn handle(&mut self, n: Note, _: &mut Ctx<Self>) {
            self.0.tell(n).unwrap();
        }
    }
    let kernel = kernel();
    let sink = extra(&kernel.root(), "sink", &Log::default());
    let _w: ActorRef<Watcher> =
        kernel.root().start("watcher", sink.recipient(), ChildSpec::default());
    for _ in 0..200 {
        let mut seen = sink.ask(GetSeen, SOON).await.unwrap();
        seen.sort_unstable();
        if seen == [1, 2, 3, 4] {
            kernel.shutdown().await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not all four came: {}", kernel.tree().render_tree());
}
