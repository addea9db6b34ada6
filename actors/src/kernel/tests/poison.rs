//! Letters that kill, and crash loops that take nobody with them.

use std::any::Any;

use super::*;

/// Refuses some objects by panicking, as a handler with a bug would.
struct Reader {
    read: Vec<String>,
}

/// An object as a watch delivers it, again after every restart.
#[derive(Message, Debug, Clone)]
#[rtype(result = "()")]
struct Object(&'static str);

#[derive(Message, Debug)]
#[rtype(result = "Vec<String>")]
struct GetRead;

impl Performer for Reader {
    type Args = ();
    fn create((): &()) -> Self {
        Reader { read: Vec::new() }
    }
    fn identity(letter: &dyn Any) -> Option<String> {
        letter.downcast_ref::<Object>().map(|o| o.0.to_owned())
    }
}
recreate_on_restart!(Reader);

impl Actor for Reader {
    type Context = Ctx<Self>;
}

impl Handler<Object> for Reader {
    type Result = ();
    fn handle(&mut self, Object(name): Object, _: &mut Ctx<Self>) {
        assert!(!name.starts_with("bad"), "cannot read {name}");
        self.read.push(name.to_owned());
    }
}

impl Handler<GetRead> for Reader {
    type Result = Vec<String>;
    fn handle(&mut self, _: GetRead, _: &mut Ctx<Self>) -> Vec<String> {
        self.read.clone()
    }
}

#[test]
fn a_letter_that_kills_twice_in_a_row_is_poison() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        a.tell(Boom).unwrap();
        kit.advance(SOON).await;
        let dead = kit.kernel().dead_letters();
        assert_eq!((dead.len(), dead[0].reason), (1, DeadReason::Panicked));
        a.tell(Boom).unwrap();
        kit.advance(SOON).await;
        let dead = kit.kernel().dead_letters();
        let poison = dead.iter().find(|d| d.reason == DeadReason::Poison).unwrap();
        assert_eq!((poison.message.as_str(), poison.to.as_str()), ("Boom", "/a"));
        assert_eq!(poison.panic, "boom in a");
        assert!(poison.backtrace.contains("kernel"), "{}", poison.backtrace);
        let s = kit.kernel().show("/a").unwrap();
        let reasons: Vec<_> = s.restart_log.iter().map(|r| r.reason).collect();
        assert_eq!(reasons, [RestartReason::Panic, RestartReason::Poison]);
        // The second back-off is the longer one.
        assert!(s.restart_log[1].backoff_ms > s.restart_log[0].backoff_ms);
    });
}

#[test]
fn injected_panics_count_as_a_letter_too() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        for _ in 0..2 {
            a.crash();
            kit.advance(SOON).await;
        }
        let dead = kit.kernel().dead_letters();
        assert_eq!(dead[1].reason, DeadReason::Poison);
        assert_eq!(dead[1].message, "PanicOrder");
    });
}

#[test]
fn an_object_that_always_kills_is_set_aside_and_tried_again_later() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Reader> = kit.spawn("reader", ());
        for round in 0..10 {
            for name in ["good", "bad", "better"] {
                a.tell(Object(name)).unwrap();
            }
            kit.advance(SOON).await;
            let s = kit.kernel().show("/reader").unwrap();
            assert_eq!(s.restarts, (round + 1).min(3), "after round {round}");
        }
        // The others were handled all the time: since the third death the state is kept.
        assert_eq!(a.ask(GetRead, SOON).await.unwrap().len(), 1 + 7 * 2);
        let s = kit.kernel().show("/reader").unwrap();
        assert_eq!(s.set_aside, ["bad"]);
        let dead = kit.kernel().dead_letters();
        let poison: u64 =
            dead.iter().filter(|d| d.reason == DeadReason::Poison).map(|d| d.count).sum();
        assert_eq!(poison, 2 + 7, "each one is counted: {dead:?}");
        assert!(dead.iter().all(|d| d.identity == "bad"));
        // Another object that kills is another matter.
        a.tell(Object("bad two")).unwrap();
        kit.advance(SET_ASIDE_TIME).await;
        assert_eq!(kit.kernel().show("/reader").unwrap().restarts, 4);
        a.tell(Object("bad")).unwrap();
        kit.advance(SOON).await;
        assert_eq!(kit.kernel().show("/reader").unwrap().restarts, 5, "one more try");
    });
}

#[test]
fn letters_without_identity_are_never_set_aside() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        for _ in 0..6 {
            a.tell(Boom).unwrap();
            a.tell(Note(1)).unwrap();
            kit.advance(SOON).await;
        }
        let s = kit.kernel().show("/a").unwrap();
        assert_eq!((s.restarts, s.set_aside.len()), (6, 0));
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [1]);
    });
}

/// The root allows three restarts a minute; one actor under it panics for an hour, in handlers, by
/// order and at its start.
#[test]
fn one_crash_loop_never_ends_the_process() {
    let root = SupervisorSpec::one_for_one().intensity(3, Duration::from_secs(60));
    TestKit::run_with(root, |kit| async move {
        let log = Log::default();
        let args = ExtraArgs { name: "bad".into(), log: log.clone(), ..ExtraArgs::default() };
        let fail = args.fail_start.clone();
        let bad: ActorRef<Extra> = kit.root().start("bad", args, ChildSpec::default());
        let good = extra(&kit.root(), "good", &log);
        good.tell(Note(1)).unwrap();
        for n in 0..600 {
            match n % 4 {
                0 => bad.crash(),
                1 => {
                    let _ = bad.ask(Boom, SOON).await;
                }
                2 => *fail.lock() = 2,
                _ => {
                    let _ = bad.ask(Quit, SOON).await;
                }
            }
            kit.advance(Duration::from_secs(3)).await;
        }
        let s = kit.kernel().show("/bad").unwrap();
        assert!(s.restarts > 100, "{}", s.restarts);
        assert_eq!((s.panics.len(), s.restart_log.len()), (MAX_PANICS, MAX_RESTARTS));
        assert!(kit.root_failures().is_empty());
        assert_eq!(good.ask(GetSeen, SOON).await.unwrap(), [1], "untouched");
        // Left in peace it comes back, and forgets its failures.
        *fail.lock() = 0;
        kit.advance(Duration::from_secs(120)).await;
        assert_eq!(bad.state(), State::Running);
        assert_eq!(kit.kernel().show("/bad").unwrap().failures, 0);
    });
}

#[test]
fn restarts_say_why() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let sup = kit.root().supervisor("group", SupervisorSpec::one_for_all());
        let a = extra(&sup, "a", &log);
        let b = extra(&sup, "b", &log);
        kit.advance(SOON).await;
        b.tell(Boom).unwrap();
        kit.advance(SOON).await;
        a.control(Control::Restart).unwrap();
        b.tell(Quit).unwrap();
        kit.advance(SOON).await;
        let reasons = |path: &str| -> Vec<RestartReason> {
            let s = kit.kernel().show(path).unwrap();
            assert_eq!(s.restarts, s.restart_log.len() as u64);
            s.restart_log.iter().map(|r| r.reason).collect()
        };
        use RestartReason::{Group, Ordered, Panic, StoppedItself};
        assert_eq!(reasons("/group/a"), [Group, Ordered, Group]);
        assert_eq!(reasons("/group/b"), [Panic, StoppedItself]);
    });
}
