//! Strategies, restart rules, intensity and escalation.

use super::*;

fn three(kit: &TestKit, spec: SupervisorSpec, log: &Log) -> [ActorRef<Extra>; 3] {
    let sup = kit.root().supervisor("group", spec);
    ["a", "b", "c"].map(|n| extra(&sup, n, log))
}

#[test]
fn one_for_one_restarts_the_failed_child_only() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let [a, b, c] = three(&kit, SupervisorSpec::one_for_one(), &log);
        for x in [&a, &b, &c] {
            x.tell(Note(1)).unwrap();
        }
        b.tell(Boom).unwrap();
        kit.advance(SOON).await;
        assert_eq!(log.take(), ["+a", "+b", "+c", "+b"]);
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [1]);
        assert!(b.ask(GetSeen, SOON).await.unwrap().is_empty());
    });
}

#[test]
fn one_for_all_stops_in_reverse_and_starts_in_order() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let [a, b, c] = three(&kit, SupervisorSpec::one_for_all(), &log);
        a.tell(Note(1)).unwrap();
        kit.advance(SOON).await;
        b.tell(Boom).unwrap();
        kit.advance(SOON).await;
        assert_eq!(log.take(), ["+a", "+b", "+c", "-c", "-a", "+a", "+b", "+c"]);
        // Addresses are the same, states are fresh.
        for x in [&a, &b, &c] {
            assert!(x.ask(GetSeen, SOON).await.unwrap().is_empty());
        }
    });
}

#[test]
fn rest_for_one_restarts_those_started_later() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let [a, b, _c] = three(&kit, SupervisorSpec::rest_for_one(), &log);
        a.tell(Note(1)).unwrap();
        kit.advance(SOON).await;
        b.tell(Boom).unwrap();
        kit.advance(SOON).await;
        assert_eq!(log.take(), ["+a", "+b", "+c", "-c", "+b", "+c"]);
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [1]);
    });
}

#[test]
fn a_group_whose_member_does_not_come_up_is_tried_again() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let sup = kit.root().supervisor("group", SupervisorSpec::one_for_all());
        let a = extra(&sup, "a", &log);
        let args = ExtraArgs { name: "b".into(), log: log.clone(), ..ExtraArgs::default() };
        let fail = args.fail_start.clone();
        let _b: ActorRef<Extra> = sup.start("b", args, ChildSpec::default());
        kit.advance(SOON).await;
        *fail.lock() = 2;
        a.tell(Boom).unwrap();
        kit.advance(SOON).await;
        let seen = log.take();
        assert_eq!(&seen[seen.len() - 2..], ["+a", "+b"], "{seen:?}");
    });
}

#[test]
fn restart_rules() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let sup = kit.root().supervisor("group", SupervisorSpec::one_for_one());
        let keep = extra(&sup, "permanent", &log);
        let some = extra_with(&sup, "transient", &log, ChildSpec::transient());
        let once = extra_with(&sup, "temporary", &log, ChildSpec::temporary());
        keep.tell(Quit).unwrap();
        some.tell(Boom).unwrap();
        once.tell(Boom).unwrap();
        kit.advance(SOON).await;
        assert!(keep.is_alive() && some.is_alive());
        assert_eq!(once.ended().await, EndReason::Panicked("boom in temporary".into()));
        some.tell(Quit).unwrap();
        assert_eq!(some.ended().await, EndReason::Normal);
        assert!(matches!(some.tell(Note(1)), Err(SendError::Closed(Note(1)))));
        assert_eq!(some.ask(GetSeen, SOON).await, Err(AskError::Closed));
        let names: Vec<String> =
            kit.kernel().tree().actors().iter().map(|a| a.path.clone()).collect();
        assert_eq!(names, ["/group/permanent"]);
        assert!(kit.kernel().tree().render_tree().contains("permanent"));
    });
}

#[test]
fn too_many_failures_escalate_level_by_level() {
    let minute = Duration::from_secs(60);
    let root = SupervisorSpec::one_for_one().intensity(1, minute * 60);
    TestKit::run_with(root, |kit| async move {
        let log = Log::default();
        let spec = SupervisorSpec::one_for_one().intensity(2, minute);
        let [a, b, c] = three(&kit, spec, &log);
        let sup = kit.root();
        let witness = extra(&sup, "witness", &log);
        for x in [&c, &witness] {
            x.tell(Note(1)).unwrap();
        }
        // One child alone uses up half of it at most.
        for _ in 0..3 {
            assert_eq!(a.ask(Boom, SOON).await, Err(AskError::Panicked));
        }
        assert_eq!(b.ask(Boom, SOON).await, Err(AskError::Panicked));
        kit.advance(SOON).await;
        assert_eq!(c.ask(GetSeen, SOON).await.unwrap(), [1]);
        // A third child within a minute: the whole group starts afresh, addresses stay.
        assert_eq!(c.ask(Boom, SOON).await, Err(AskError::Panicked));
        kit.advance(minute * 2).await;
        assert!(log.take().iter().filter(|l| *l == "-a").count() == 1);
        assert!(kit.root_failures().is_empty());
        for x in [&a, &b, &c] {
            assert_eq!(x.ask(Boom, SOON).await, Err(AskError::Panicked));
        }
        kit.advance(minute).await;
        let failures = kit.root_failures();
        assert_eq!(failures.len(), 1);
        assert!(failures[0].contains("boom in c"), "{failures:?}");
        assert_eq!(a.state(), State::Halted);
    });
}

#[test]
fn a_crash_loop_backs_off_and_takes_nobody_down() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let sup = kit.root().supervisor("pods", SupervisorSpec::dynamic());
        let args = ExtraArgs { name: "bad".into(), log: log.clone(), ..ExtraArgs::default() };
        *args.fail_start.lock() = u32::MAX;
        let bad: ActorRef<Extra> = sup.start("ns/bad", args, ChildSpec::transient());
        let good = extra(&sup, "ns/good", &log);
        good.tell(Note(1)).unwrap();
        kit.advance(Duration::from_secs(3600)).await;
        let tree = kit.kernel().tree();
        let s = tree.find("/pods/ns/bad").unwrap();
        // About one restart per 30 s, not a hot loop.
        assert!((110..=170).contains(&s.restarts), "{}", s.restarts);
        assert_eq!(s.panics.len(), MAX_PANICS);
        assert_eq!(good.ask(GetSeen, SOON).await.unwrap(), [1]);
        assert!(kit.root_failures().is_empty());
        assert!(sup.stop_child("ns/bad").await);
        assert_eq!(bad.ended().await, EndReason::Stopped);
    });
}

/// Has children of its own.
struct Parent(Log);

impl Performer for Parent {
    type Args = Log;
    fn create(log: &Log) -> Self {
        Parent(log.clone())
    }
}
recreate_on_restart!(Parent);

impl Actor for Parent {
    type Context = Ctx<Self>;
    fn started(&mut self, ctx: &mut Ctx<Self>) {
        extra_with(&ctx.children(), "child", &self.0, ChildSpec::transient());
    }
}

#[test]
fn children_of_an_actor_go_with_it() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let parent: ActorRef<Parent> = kit.spawn("parent", log.clone());
        kit.advance(SOON).await;
        let first = kit.kernel().lookup::<Extra>("/parent/child").unwrap();
        first.tell(Boom).unwrap();
        kit.advance(SOON).await;
        assert_eq!(log.take(), ["+child", "+child"]);
        parent.crash();
        kit.advance(SOON).await;
        assert_eq!(first.ended().await, EndReason::Stopped);
        assert_eq!(log.take(), ["-child", "+child"]);
        kit.root().stop_child("parent").await;
        assert_eq!(log.take(), ["-child"]);
        assert!(kit.kernel().tree().actors().is_empty());
    });
}

#[test]
fn a_stopped_supervisor_refuses_and_a_taken_name_is_numbered() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let sup = kit.root().supervisor("group", SupervisorSpec::dynamic());
        let a = extra(&sup, "a", &log);
        let b = extra(&sup, "a", &log);
        assert_eq!((a.path(), b.path()), ("/group/a", "/group/a#2"));
        sup.stop().await;
        assert_eq!(a.ended().await, EndReason::Stopped);
        let late = extra(&sup, "late", &log);
        assert!(matches!(late.ended().await, EndReason::Refused(_)));
        assert!(matches!(late.tell(Note(1)), Err(SendError::Closed(_))));
    });
}
