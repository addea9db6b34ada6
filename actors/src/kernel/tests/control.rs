//! The control lane and looking inside.

use super::*;

#[test]
fn pause_keeps_mail_and_still_shows_its_state() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let a = extra(&kit.root(), "a", &log);
        a.ask(Note(1), SOON).await.unwrap();
        kit.kernel().control("/a", Control::Pause).unwrap();
        kit.advance(Duration::from_millis(1)).await;
        assert_eq!(a.state(), State::Paused);
        a.tell(Note(2)).unwrap();
        kit.advance(SOON).await;
        let look = kit.kernel().inspect("/a").await.unwrap();
        assert_eq!(look.status, InspectionStatus::Alive);
        assert_eq!(look.state, serde_json::json!({ "seen": [1] }));
        assert_eq!(look.actor.mailbox.depth, 1);
        kit.kernel().control("/a", Control::Resume).unwrap();
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [1, 2]);
    });
}

#[test]
fn an_ordered_restart_is_clean_and_not_a_failure() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let a = extra(&kit.root(), "a", &log);
        a.ask(Note(1), SOON).await.unwrap();
        a.control(Control::Restart).unwrap();
        a.tell(Note(2)).unwrap();
        assert_eq!(a.ask(GetSeen, SOON).await.unwrap(), [2]);
        assert_eq!(log.take(), ["+a", "-a", "+a"]);
        let s = kit.kernel().tree();
        let s = s.find("/a").unwrap();
        assert_eq!((s.restarts, s.panics.len()), (1, 0));
    });
}

#[test]
fn kill_skips_the_farewell_and_injected_panics_are_panics() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let a = extra(&kit.root(), "a", &log);
        a.ask(Note(1), SOON).await.unwrap();
        kit.kernel().crash("/a").unwrap();
        kit.advance(SOON).await;
        let s = kit.kernel().show("/a").unwrap();
        assert_eq!(s.panics[0].message, "panic injected from outside");
        assert!(s.render().contains("panic in life 1"));
        a.control(Control::Kill).unwrap();
        assert_eq!(a.ended().await, EndReason::Killed);
        assert_eq!(log.take(), ["+a", "+a"]);
        assert!(matches!(kit.kernel().crash("/a"), Err(KernelError::NotFound(_))));
        let top = kit.kernel().tree();
        let NodeSnapshot::Supervisor(root) = &top.root else { panic!("no root") };
        assert_eq!(root.graves[0].path, "/a");
    });
}

#[test]
fn a_supervisor_can_be_restarted_and_stopped_by_path() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let sup = kit.root().supervisor("group", SupervisorSpec::one_for_one());
        let _a = extra(&sup, "a", &log);
        let b = extra(&sup, "b", &log);
        kit.advance(SOON).await;
        kit.kernel().control("/group", Control::Restart).unwrap();
        kit.advance(SOON).await;
        assert_eq!(log.take(), ["+a", "+b", "-b", "-a", "+a", "+b"]);
        assert!(kit.kernel().control("/group", Control::Pause).is_err());
        kit.kernel().control("/group", Control::Stop).unwrap();
        assert_eq!(b.ended().await, EndReason::Stopped);
        kit.advance(SOON).await;
        assert_eq!(log.take(), ["-b", "-a"]);
    });
}

#[test]
fn tree_survives_json_and_metrics_are_text() {
    TestKit::run(|kit| async move {
        let log = Log::default();
        let sup = kit.root().supervisor("group", SupervisorSpec::one_for_all());
        let a = extra(&sup, "a", &log);
        a.ask(Note(1), SOON).await.unwrap();
        let text = serde_json::to_string(&kit.kernel().tree()).unwrap();
        let back: TreeSnapshot = serde_json::from_str(&text).unwrap();
        assert_eq!(back.find("/group/a").unwrap().messages[0].message, "Note");
        let drawn = back.render_tree();
        assert!(drawn.contains("└─ group  [OneForAll running"), "{drawn}");
        assert!(drawn.contains("   └─ a  Extra running  mail 0/4096"), "{drawn}");
        assert!(back.render_top(TopBy::Busy, 10).contains("/group/a"));
        let metrics = kit.kernel().metrics();
        let line = "kabuki_actor_messages_total{actor=\"Extra\",message=\"Note\"} 1";
        assert!(metrics.contains(line), "{metrics}");
    });
}
