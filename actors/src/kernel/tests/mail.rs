//! Bounds, fairness, timers and virtual time.

use super::*;

/// Holds few letters.
struct Slow {
    seen: u64,
}

impl Performer for Slow {
    type Args = ();
    const MAILBOX: usize = 8;
    fn create((): &()) -> Self {
        Slow { seen: 0 }
    }
}
recreate_on_restart!(Slow);

impl Actor for Slow {
    type Context = Ctx<Self>;
}

impl Handler<Note> for Slow {
    type Result = ();
    fn handle(&mut self, _: Note, _: &mut Ctx<Self>) {
        self.seen += 1;
    }
}

#[test]
fn a_full_mailbox_pushes_back() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Slow> = kit.spawn("slow", ());
        a.control(Control::Pause).unwrap();
        kit.advance(Duration::from_millis(1)).await;
        // Clones do not add places, as they do in actix itself.
        let taken = (0..1000).filter(|n| a.clone().tell(Note(*n)).is_ok()).count();
        assert_eq!(taken, 8);
        assert!(matches!(a.tell(Note(5)), Err(SendError::Full(Note(5)))));
        assert_eq!(a.ask(Note(1), SOON).await, Err(AskError::Full));
        let waiter = tokio::spawn({
            let a = a.clone();
            async move { a.tell_or_wait(Note(9)).await.is_ok() }
        });
        kit.advance(SOON).await;
        assert!(!waiter.is_finished());
        let s = kit.kernel().tree();
        let m = &s.find("/slow").unwrap().mailbox;
        assert_eq!((m.depth, m.limit, m.high_water), (8, 8, 8));
        // 992 and one told, one asked: each is counted and accounted for.
        assert_eq!(m.refused, 994);
        let dead = kit.kernel().dead_letters();
        let full: u64 = dead.iter().filter(|d| d.reason == DeadReason::Full).map(|d| d.count).sum();
        assert_eq!((dead.len(), full), (1, 994));
        a.control(Control::Resume).unwrap();
        assert!(waiter.await.unwrap());
        kit.advance(SOON).await;
        let s = kit.kernel().tree();
        let s = s.find("/slow").unwrap();
        assert_eq!((s.mailbox.depth, s.handled), (0, 9));
    });
}

#[test]
fn mail_of_an_ended_actor_becomes_dead_letters() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Slow> = kit.spawn("slow", ());
        a.control(Control::Pause).unwrap();
        kit.advance(Duration::from_millis(1)).await;
        for n in 0..5 {
            a.tell(Note(n)).unwrap();
        }
        a.stop();
        assert_eq!(a.ended().await, EndReason::Stopped);
        let dead = kit.kernel().dead_letters();
        let closed = dead.iter().find(|d| d.reason == DeadReason::Closed).unwrap();
        assert_eq!((closed.message.as_str(), closed.count), ("Note", 5));
    });
}

#[test]
fn a_question_nobody_waits_for_is_skipped() {
    TestKit::run(|kit| async move {
        let a: ActorRef<Slow> = kit.spawn("slow", ());
        a.control(Control::Pause).unwrap();
        assert_eq!(a.ask(Note(1), SOON).await, Err(AskError::Timeout));
        a.control(Control::Resume).unwrap();
        kit.advance(SOON).await;
        assert_eq!(kit.kernel().tree().find("/slow").unwrap().handled, 0);
        assert_eq!(kit.kernel().dead_letters()[0].reason, DeadReason::Expired);
    });
}

/// Sends itself the next letter from each handler, for ever.
struct Hog;

impl Performer for Hog {
    type Args = ();
    fn create((): &()) -> Self {
        Hog
    }
}
recreate_on_restart!(Hog);

impl Actor for Hog {
    type Context = Ctx<Self>;
}

impl Handler<Note> for Hog {
    type Result = ();
    fn handle(&mut self, Note(n): Note, ctx: &mut Ctx<Self>) {
        if n > 0 {
            ctx.me().tell(Note(n - 1)).unwrap();
        }
    }
}

#[test]
fn a_hog_does_not_starve_its_thread() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let hog: ActorRef<Hog> = kit.spawn("hog", ());
        let other = extra(&kit.root(), "other", &log);
        kit.advance(Duration::from_millis(1)).await;
        hog.tell(Note(1_000_000)).unwrap();
        other.tell(Note(1)).unwrap();
        assert_eq!(other.ask(GetSeen, SOON).await.unwrap(), [1]);
        let s = kit.kernel().tree();
        let s = s.find("/hog").unwrap();
        assert!(s.handled < 10_000, "the hog handled {} first", s.handled);
        // The control lane reaches it between two budgets, too.
        hog.control(Control::Kill).unwrap();
        assert_eq!(hog.ended().await, EndReason::Killed);
    });
}

#[derive(Debug)]
struct Clock {
    to: Recipient<Note>,
}

#[derive(Message, Clone)]
#[rtype(result = "()")]
struct Tick;

impl Performer for Clock {
    type Args = Recipient<Note>;
    fn create(to: &Recipient<Note>) -> Self {
        Clock { to: to.clone() }
    }
}
recreate_on_restart!(Clock);

impl Actor for Clock {
    type Context = Ctx<Self>;
    fn started(&mut self, ctx: &mut Ctx<Self>) {
        ctx.after(Duration::from_secs(3600), Note(1));
        ctx.every(Duration::from_secs(600), Tick);
        let never = ctx.after(Duration::from_secs(60), Note(2));
        never.cancel();
    }
}

impl Handler<Note> for Clock {
    type Result = ();
    fn handle(&mut self, n: Note, _: &mut Ctx<Self>) {
        self.to.tell(n).unwrap();
    }
}

impl Handler<Tick> for Clock {
    type Result = ();
    fn handle(&mut self, _: Tick, ctx: &mut Ctx<Self>) {
        self.to.tell(Note(100 + ctx.incarnation())).unwrap();
    }
}

#[test]
fn an_hour_takes_no_time() {
    let real = std::time::Instant::now();
    TestKit::run(|kit| async move {
        let (probe, mut inbox) = kit.probe::<Note>("probe");
        let clock: ActorRef<Clock> = kit.spawn("clock", probe.recipient());
        let wall = kit.kernel().tree();
        assert_eq!(wall.actors().len(), 2);
        for _ in 0..5 {
            assert_eq!(inbox.expect(Duration::from_secs(601)).await.0, 101);
        }
        // A restart drops old timers: the hour begins anew.
        clock.crash();
        kit.advance(Duration::from_secs(1)).await;
        for _ in 0..5 {
            assert_eq!(inbox.expect(Duration::from_secs(601)).await.0, 102);
        }
        let mut rest = vec![inbox.expect(Duration::from_secs(601)).await.0];
        rest.push(inbox.expect(Duration::from_secs(1)).await.0);
        rest.sort_unstable();
        assert_eq!(rest, [1, 102]);
    });
    assert!(real.elapsed() < Duration::from_secs(5));
}
