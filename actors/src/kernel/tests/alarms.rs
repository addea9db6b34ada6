//! Alarms are edges: raised once, cleared once, also for handlers that do not come back.

use std::sync::mpsc;

use super::*;

#[test]
fn a_long_queue_alarms_once_and_is_cleared_once() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let a = extra(&kit.root(), "a", &log);
        let mut heard = kit.kernel().listen();
        a.control(Control::Pause).unwrap();
        kit.advance(Duration::from_millis(1)).await;
        let limit = Extra::MAILBOX as u64;
        let edge = limit * 80 / 100 + 1;
        (0..edge - 1).for_each(|n| a.tell(Note(n)).unwrap());
        assert!(kit.kernel().alarms().is_empty(), "one letter below 80 %");
        a.tell(Note(edge)).unwrap();
        let on = kit.kernel().alarms();
        assert_eq!((on.len(), on[0].kind, on[0].raised), (1, AlarmKind::LongQueue, true));
        while a.tell(Note(0)).is_ok() {}
        assert_eq!(kit.kernel().alarms().len(), 1, "still the same alarm");
        let shown = kit.kernel().show("/a").unwrap();
        assert_eq!(shown.alarms, [AlarmKind::LongQueue]);
        assert!(kit.kernel().tree().render_tree().contains("ALARM long-queue"));
        let gauge = "kabuki_actor_alarms{kind=\"long-queue\"} 1";
        assert!(kit.kernel().metrics().contains(gauge));
        a.control(Control::Resume).unwrap();
        kit.advance(SOON).await;
        let off = kit.kernel().alarms();
        assert_eq!((off.len(), off[1].raised), (2, false));
        assert!(off[1].text.starts_with(&format!("{} of", limit / 2)), "{}", off[1].text);
        assert!(kit.kernel().metrics().contains("kabuki_actor_alarms{kind=\"long-queue\"} 0"));
        let total = "kabuki_actor_alarms_total{kind=\"long-queue\"} 1";
        assert!(kit.kernel().metrics().contains(total));
        assert_eq!([heard.recv().await.unwrap(), heard.recv().await.unwrap()], off[..]);
    });
}

#[test]
fn alarms_are_bounded_and_poison_and_crash_loops_are_among_them() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        for _ in 0..CRASH_LOOP {
            a.tell(Boom).unwrap();
        }
        kit.advance(Duration::from_secs(3)).await;
        let kinds: Vec<AlarmKind> = kit.kernel().alarms().iter().map(|a| a.kind).collect();
        let poison = kinds.iter().filter(|k| **k == AlarmKind::Poison).count();
        assert_eq!(poison, CRASH_LOOP as usize - 1, "from the second on");
        assert!(kinds.contains(&AlarmKind::CrashLoop));
        kit.kernel().sweep();
        assert_eq!(kit.kernel().show("/a").unwrap().alarms, [AlarmKind::CrashLoop]);
        kit.advance(Duration::from_secs(60)).await;
        kit.kernel().sweep();
        assert!(kit.kernel().show("/a").unwrap().alarms.is_empty());
        let last = kit.kernel().alarms().pop().unwrap();
        assert_eq!((last.kind, last.raised), (AlarmKind::CrashLoop, false));
        for _ in 0..MAX_ALARMS {
            a.crash();
            kit.advance(Duration::from_secs(31)).await;
        }
        assert_eq!(kit.kernel().alarms().len(), MAX_ALARMS);
    });
}

/// Blocks its thread until it is let go.
struct Blocker {
    gate: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl Performer for Blocker {
    type Args = Arc<Mutex<mpsc::Receiver<()>>>;
    fn create(gate: &Self::Args) -> Self {
        Blocker { gate: gate.clone() }
    }
}
recreate_on_restart!(Blocker);

impl Actor for Blocker {
    type Context = Ctx<Self>;
}

impl Handler<Note> for Blocker {
    type Result = ();
    fn handle(&mut self, _: Note, _: &mut Ctx<Self>) {
        let _ = self.gate.lock().recv();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_does_not_come_back_is_seen_from_outside() {
    let kernel = Kernel::new(KernelConfig::default()).unwrap();
    let mut heard = kernel.listen();
    let (open, gate) = mpsc::channel();
    let gate = Arc::new(Mutex::new(gate));
    let a: ActorRef<Blocker> = kernel.root().start("a", gate, ChildSpec::default());
    a.tell(Note(1)).unwrap();
    let raised = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
    assert_eq!((raised.kind, raised.raised), (AlarmKind::Stuck, true));
    // While it is still inside.
    assert_eq!(a.state(), State::Stuck);
    let shown = kernel.show("/a").unwrap();
    assert_eq!(shown.handling.unwrap().message, "Note");
    assert_eq!(kernel.inspect("/a").await.unwrap().status, InspectionStatus::Timeout);
    assert!(kernel.metrics().contains("kabuki_actors_stuck{actor=\"Blocker\"} 1"));
    open.send(()).unwrap();
    let cleared = tokio::time::timeout(SOON, heard.recv()).await.unwrap().unwrap();
    assert_eq!((cleared.kind, cleared.raised), (AlarmKind::Stuck, false));
    let shown = kernel.show("/a").unwrap();
    assert_eq!((shown.restarts, shown.handled), (0, 1), "never killed");
    kernel.shutdown().await;
}

#[test]
fn counters_outlive_their_actors() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        a.ask(Note(1), SOON).await.unwrap();
        a.tell(Boom).unwrap();
        kit.advance(SOON).await;
        a.stop();
        a.ended().await;
        let metrics = kit.kernel().metrics();
        for line in [
            "kabuki_actor_messages_total{actor=\"Extra\",message=\"Note\"} 1",
            "kabuki_actor_handle_seconds_count{actor=\"Extra\",message=\"Note\"} 1",
            "kabuki_actor_restarts_total{actor=\"Extra\",reason=\"panic\"} 1",
            "kabuki_actor_panics_total{actor=\"Extra\"} 1",
            "kabuki_actor_dead_letters_total{reason=\"panicked\"} 1",
        ] {
            assert!(metrics.contains(line), "{line} in\n{metrics}");
        }
    });
}
