//! Traces, waits, pauses and the debug face.

use actix::{AtomicResponse, WrapFuture};

use super::*;

async fn all(trace: &mut Trace) -> Vec<TraceEvent> {
    let mut events = Vec::new();
    while let Some(event) = trace.next().await {
        events.push(event);
    }
    events
}

fn end(events: &[TraceEvent]) -> (&str, u64, u64) {
    match events.last() {
        Some(TraceEvent::End { why, events, dropped }) => (why, *events, *dropped),
        other => panic!("no end: {other:?}"),
    }
}

/// Passes notes on.
struct Relay(Recipient<Note>);

impl Performer for Relay {
    type Args = Recipient<Note>;
    fn create(to: &Recipient<Note>) -> Self {
        Relay(to.clone())
    }
}
recreate_on_restart!(Relay);

impl Actor for Relay {
    type Context = Ctx<Self>;
}

impl Handler<Note> for Relay {
    type Result = ();
    fn handle(&mut self, note: Note, _: &mut Ctx<Self>) {
        assert!(note.0 != 13, "unlucky");
        self.0.tell(note).unwrap();
    }
}

#[test]
fn a_trace_shows_what_goes_in_and_out() {
    TestKit::run(|kit| async move {
        let (probe, _inbox) = kit.probe::<Note>("probe");
        let relay: ActorRef<Relay> = kit.spawn("relay", probe.recipient());
        kit.advance(Duration::from_millis(1)).await;
        relay.tell(Note(0)).unwrap();
        kit.advance(SOON).await;
        let mut trace = kit.kernel().trace("me", "/relay", None, None).unwrap();
        relay.tell(Note(1)).unwrap();
        relay.tell(Note(13)).unwrap();
        let events = all(&mut trace).await;
        let kinds: Vec<String> =
            events.iter().map(|e| serde_json::to_value(e).unwrap()["event"].to_string()).collect();
        let expected = ["in", "out", "done", "in", "panicked", "end"].map(|k| format!("\"{k}\""));
        assert_eq!(kinds, expected);
        assert_eq!(end(&events), ("time", 5, 0));
        let TraceEvent::Out { to, message, .. } = &events[1] else { panic!("{events:?}") };
        assert_eq!((to.as_str(), message.as_str()), ("/probe", "Note"));
        assert!(events[4].render().contains("unlucky"));
    });
}

#[test]
fn traces_are_limited_in_time_number_and_events() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        kit.advance(Duration::from_millis(1)).await;
        let hour = Some(Duration::from_secs(3600));
        let mut traces: Vec<Trace> = (0..MAX_TRACES)
            .map(|_| kit.kernel().trace("me", "/a", hour, Some(u64::MAX)).unwrap())
            .collect();
        let refused = kit.kernel().trace("me", "/a", None, None);
        assert!(matches!(refused, Err(KernelError::TooManyTraces(MAX_TRACES))));
        // Nobody reads: what does not fit is lost and counted, up to the most there may be.
        for n in 0..TRACE_EVENTS[0] {
            a.tell(Note(n)).unwrap();
            if n % 1000 == 0 {
                kit.advance(Duration::from_millis(1)).await;
            }
        }
        kit.advance(Duration::from_millis(1)).await;
        let begun = tokio::time::Instant::now();
        let events = all(&mut traces[0]).await;
        let kept = TRACE_BUFFER as u64;
        assert_eq!(end(&events), ("max", TRACE_EVENTS[0], TRACE_EVENTS[0] - kept));
        let lost = TraceEvent::Dropped { count: TRACE_EVENTS[0] - kept };
        assert_eq!(events.iter().filter(|e| **e == lost).count(), 1);
        assert!(begun.elapsed() < TRACE_TIME[0]);
        traces.clear();
        let mut idle = kit.kernel().trace("me", "/a", hour, None).unwrap();
        let begun = tokio::time::Instant::now();
        assert_eq!(end(&all(&mut idle).await), ("time", 0, 0));
        assert_eq!(begun.elapsed().as_secs(), TRACE_TIME[0].as_secs());
        let mut short = kit.kernel().trace("me", "/a", hour, None).unwrap();
        a.stop();
        a.ended().await;
        assert_eq!(end(&all(&mut short).await).0, "actor ended");
        drop((idle, short));
        assert!(kit.kernel().metrics().contains("kabuki_actor_traces 0"));
    });
}

/// Asks its peer and does not read on until it has an answer: the mistake the finder is for.
struct Stubborn {
    peer: Arc<Mutex<Option<ActorRef<Stubborn>>>>,
}

impl Performer for Stubborn {
    type Args = Arc<Mutex<Option<ActorRef<Stubborn>>>>;
    fn create(peer: &Self::Args) -> Self {
        Stubborn { peer: peer.clone() }
    }
}
recreate_on_restart!(Stubborn);

impl Actor for Stubborn {
    type Context = Ctx<Self>;
}

impl Handler<Note> for Stubborn {
    type Result = AtomicResponse<Self, ()>;
    fn handle(&mut self, note: Note, _: &mut Ctx<Self>) -> Self::Result {
        let peer = self.peer.lock().clone();
        let answer = async move {
            if let Some(peer) = peer {
                let _ = peer.ask(note, SOON).await;
            }
        };
        AtomicResponse::new(Box::pin(answer.into_actor(self)))
    }
}

#[test]
fn actors_that_wait_for_each_other_are_found() {
    TestKit::run(|kit| async move {
        let peers: [Arc<Mutex<_>>; 2] = Default::default();
        let a: ActorRef<Stubborn> = kit.spawn("a", peers[0].clone());
        let b: ActorRef<Stubborn> = kit.spawn("b", peers[1].clone());
        *peers[0].lock() = Some(b.clone());
        *peers[1].lock() = Some(a.clone());
        a.tell(Note(1)).unwrap();
        b.tell(Note(1)).unwrap();
        kit.advance(Duration::from_secs(1)).await;
        let tree = kit.kernel().tree();
        let wait = &tree.find("/a").unwrap().waiting_on[0];
        assert_eq!((wait.target.as_str(), wait.kind), ("/b", WaitKind::Ask));
        assert_eq!(wait.for_us / 1_000_000, 1);
        assert_eq!(tree.cycles.len(), 1);
        assert_eq!((tree.cycles[0].paths.join(" "), tree.cycles[0].for_ms), ("/a /b".into(), 1000));
        assert!(tree.render_tree().contains("wait for each other since 1000 ms: /a → /b"));
        assert!(kit.kernel().metrics().contains("kabuki_actor_wait_cycles_total 1"));
        peers.iter().for_each(|peer| *peer.lock() = None);
        kit.advance(SOON * 2).await;
        let tree = kit.kernel().tree();
        assert!(tree.cycles.is_empty() && tree.find("/a").unwrap().waiting_on.is_empty());
    });
}

#[test]
fn a_pause_ends_by_itself() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        for (order, time) in [
            (Control::Pause, PAUSE_TIME),
            (Control::PauseFor(SOON), SOON),
            (Control::PauseFor(Duration::MAX), MAX_PAUSE),
        ] {
            a.control(order).unwrap();
            kit.advance(Duration::from_millis(1)).await;
            a.tell(Note(1)).unwrap();
            kit.advance(time - Duration::from_millis(10)).await;
            assert_eq!(a.state(), State::Paused);
            assert!(kit.kernel().show("/a").unwrap().wakes_in_ms.unwrap() <= 10);
            kit.advance(Duration::from_millis(20)).await;
            assert_eq!(
                (a.state(), kit.kernel().show("/a").unwrap().mailbox.depth),
                (State::Running, 0)
            );
        }
    });
}

async fn text(kit: &TestKit, order: bool, path: &str) -> Result<String, DebugError> {
    let query = if order { vec![("for", "5s")] } else { vec![("format", "text")] };
    let query = query.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
    let call = DebugCall { order, path: path.to_owned(), query, user: "jane".to_owned() };
    Ok(match kit.kernel().debug(&call).await? {
        DebugAnswer::Json(bytes) => String::from_utf8(bytes).unwrap(),
        DebugAnswer::Text(text) => text,
        DebugAnswer::Trace(mut trace) => end(&all(&mut trace).await).0.to_owned(),
    })
}

#[test]
fn the_debug_face_reads_orders_and_writes_them_down() {
    TestKit::run(|kit| async move {
        let a = extra(&kit.root(), "a", &Log::default());
        kit.advance(SOON).await;
        for order in ["pause", "resume", "restart", "panic", "trace"] {
            let said = text(&kit, true, &format!("/debug/actors/a/{order}")).await.unwrap();
            assert!(said.contains("accepted") || said == "time", "{said}");
        }
        assert_eq!(text(&kit, true, "/debug/actors/a/dance").await.unwrap_err().code, 404);
        assert_eq!(text(&kit, true, "/debug/actors/b/pause").await.unwrap_err().code, 404);
        assert_eq!(text(&kit, true, "/debug/actors/pause").await.unwrap_err().code, 400, "root");
        a.tell(Boom).unwrap();
        kit.advance(SOON).await;
        let audit = text(&kit, false, "/debug/audit").await.unwrap();
        for words in ["pause", "resume", "restart", "panic", "trace"] {
            assert!(audit.contains(&format!("jane  {words:<8}  /a  accepted")), "{audit}");
        }
        assert!(audit.contains("jane  pause     /b  no actor at /b"), "{audit}");
        let dead = text(&kit, false, "/debug/deadletters").await.unwrap();
        assert!(dead.starts_with("in all: panicked 2\n") && dead.contains("boom in a"), "{dead}");
        let shown = text(&kit, false, "/debug/actors/a").await.unwrap();
        assert!(shown.contains(", ordered, back-off 0 ms"), "{shown}");
        assert!(text(&kit, false, "/debug/actors").await.unwrap().contains("a  Extra"));
        assert!(text(&kit, false, "/debug/alarms").await.is_ok());
        assert_eq!(text(&kit, false, "/debug/nothing").await.unwrap_err().code, 404);
    });
}
