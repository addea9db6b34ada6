//! A panic restarts the actor in place: address and mail are kept, state is fresh.

use actix::{ResponseActFuture, Supervised, WrapFuture};

use super::*;

#[test]
fn a_panic_keeps_address_and_mail() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let a = extra(&kit.root(), "a", &log);
        a.tell(Note(1)).unwrap();
        a.tell(Boom).unwrap();
        a.tell(Note(2)).unwrap();
        a.tell(Note(3)).unwrap();
        // Queued before the panic, answered after it, by a fresh state.
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [2, 3]);
        let tree = kit.kernel().tree();
        let s = tree.find("/a").unwrap();
        assert_eq!((s.restarts, s.incarnation, s.panics.len()), (1, 2, 1));
        assert_eq!(s.panics[0].message, "boom in a");
        assert_eq!(s.panics[0].handling, "Boom");
        assert!(s.panics[0].location.contains("tests/mod.rs"), "{}", s.panics[0].location);
        assert!(!s.panics[0].backtrace.is_empty());
        assert!(s.panics[0].backtrace.len() <= 8 * 1024);
        // `stopping` does not run on the broken state.
        assert_eq!(log.take(), ["+a", "+a"]);
    });
}

#[test]
fn the_release_profile_unwinds() {
    // With panic = "abort" this test would take the whole test program down.
    assert!(std::panic::catch_unwind(|| panic!("caught")).is_err());
}

#[test]
fn the_poisoned_letter_is_reported_and_its_asker_told() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        assert_eq!(a.ask(Boom, SOON).await, Err(AskError::Panicked));
        let dead = kit.kernel().dead_letters();
        let poison = dead.iter().find(|d| d.reason == DeadReason::Panicked).unwrap();
        assert_eq!((poison.message.as_str(), poison.to.as_str()), ("Boom", "/a"));
        // It is gone: the actor lives on.
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), Vec::<u64>::new());
    });
}

#[test]
fn a_panic_in_started_is_retried_with_back_off() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let args = ExtraArgs { name: "a".into(), log: log.clone(), ..ExtraArgs::default() };
        *args.fail_start.lock() = 3;
        let a: ActorRef<Extra> = kit.root().start("a", args, ChildSpec::default());
        a.tell(Note(7)).unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [7]);
        // 50 + 100 + 200 ms, less at most a fifth of jitter.
        let took = began.elapsed().as_millis();
        assert!((280..=360).contains(&took), "{took} ms");
        assert_eq!(kit.kernel().tree().find("/a").unwrap().restarts, 3);
    });
}

#[derive(Debug)]
struct Clerk;

#[derive(Message)]
#[rtype(result = "u32")]
struct Async {
    fail: bool,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Offload {
    fail: bool,
}

#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Done;

impl Performer for Clerk {
    type Args = ();
    fn create((): &()) -> Self {
        Clerk
    }
}
recreate_on_restart!(Clerk);

impl Actor for Clerk {
    type Context = Ctx<Self>;
}

impl Handler<Async> for Clerk {
    type Result = ResponseActFuture<Self, u32>;
    fn handle(&mut self, m: Async, _: &mut Ctx<Self>) -> Self::Result {
        let work = async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(!m.fail, "async part fails");
            7
        };
        Box::pin(work.into_actor(self))
    }
}

impl Handler<Offload> for Clerk {
    type Result = ();
    fn handle(&mut self, m: Offload, ctx: &mut Ctx<Self>) {
        let work = async move {
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert!(!m.fail, "offloaded part fails");
            7
        };
        ctx.offload(work, |_, n, ctx| {
            assert_eq!(n, 7);
            ctx.me().tell(Done).unwrap();
        });
    }
}

impl Handler<Done> for Clerk {
    type Result = ();
    fn handle(&mut self, _: Done, _: &mut Ctx<Self>) {}
}

#[test]
fn panics_in_async_answers_and_offloads_restart_the_actor() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Clerk> = kit.spawn("clerk", ());
        assert_eq!(a.ask(Async { fail: false }, SOON).await, Ok(7));
        assert_eq!(a.ask(Async { fail: true }, SOON).await, Err(AskError::Panicked));
        a.tell(Offload { fail: true }).unwrap();
        kit.advance(SOON).await;
        a.tell(Offload { fail: false }).unwrap();
        kit.advance(SOON).await;
        let tree = kit.kernel().tree();
        let s = tree.find("/clerk").unwrap();
        assert_eq!(s.restarts, 2);
        assert_eq!(s.panics[1].message, "offloaded part fails");
        let done = s.messages.iter().find(|m| m.message == "Done").unwrap();
        assert_eq!(done.count, 1);
    });
}

#[test]
fn results_of_an_earlier_life_never_arrive() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Clerk> = kit.spawn("clerk", ());
        a.tell(Offload { fail: false }).unwrap();
        kit.advance(Duration::from_millis(1)).await;
        a.crash();
        kit.advance(SOON).await;
        let tree = kit.kernel().tree();
        let s = tree.find("/clerk").unwrap();
        assert_eq!(s.restarts, 1);
        assert!(s.messages.iter().all(|m| m.message != "Done"));
    });
}

/// Panics when its broken state is dropped: must not abort the process.
struct Bitter {
    broken: bool,
}

impl Performer for Bitter {
    type Args = ();
    fn create((): &()) -> Self {
        Bitter { broken: false }
    }
}
recreate_on_restart!(Bitter);

impl Actor for Bitter {
    type Context = Ctx<Self>;
}

impl Drop for Bitter {
    fn drop(&mut self) {
        assert!(!self.broken, "panic in drop");
    }
}

impl Handler<Boom> for Bitter {
    type Result = ();
    fn handle(&mut self, _: Boom, _: &mut Ctx<Self>) {
        self.broken = true;
        panic!("broken");
    }
}

impl Handler<Note> for Bitter {
    type Result = ();
    fn handle(&mut self, _: Note, _: &mut Ctx<Self>) {}
}

#[test]
fn a_drop_that_panics_aborts_nothing() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Bitter> = kit.spawn("bitter", ());
        assert_eq!(a.ask(Boom, SOON).await, Err(AskError::Panicked));
        assert_eq!(a.ask(Note(1), SOON).await, Ok(()));
    });
}

/// Keeps its state over a panic, on purpose.
struct Keeper(u64);

impl Performer for Keeper {
    type Args = ();
    fn create((): &()) -> Self {
        Keeper(0)
    }
}

impl Supervised for Keeper {}

impl Actor for Keeper {
    type Context = Ctx<Self>;
}

impl Handler<Note> for Keeper {
    type Result = ();
    fn handle(&mut self, Note(n): Note, _: &mut Ctx<Self>) {
        self.0 += n;
        assert!(n != 13, "unlucky");
    }
}

impl Handler<GetSeen> for Keeper {
    type Result = Vec<u64>;
    fn handle(&mut self, _: GetSeen, _: &mut Ctx<Self>) -> Vec<u64> {
        vec![self.0]
    }
}

#[test]
fn an_own_supervised_keeps_its_state() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Keeper> = kit.spawn("keeper", ());
        a.tell(Note(1)).unwrap();
        a.tell(Note(13)).unwrap();
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [14]);
    });
}
