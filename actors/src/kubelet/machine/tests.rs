//! A pod's life as a table of steps: what is decided after what happened.

use std::sync::Arc;

use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kabuki_runtime::ImageInfo;
use serde_json::{Value, json};

use super::*;

pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

pub(super) fn pod(spec: Value) -> Arc<Pod> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": "web", "namespace": "shop", "uid": "u1"}, "spec": spec}))
        .unwrap(),
    )
}

fn deleted(pod: &Pod, seconds: i64, grace: i64) -> Arc<Pod> {
    let mut pod = pod.clone();
    let when = later(at(seconds), grace);
    pod.metadata.deletion_timestamp =
        Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(when));
    pod.metadata.deletion_grace_period_seconds = Some(grace);
    Arc::new(pod)
}

/// A machine with shorthand for what a worker does.
pub(super) struct Stage {
    pub machine: Machine,
    pub now: i64,
    starts: u32,
}

impl Stage {
    pub fn new(spec: Value) -> Self {
        Self { machine: Machine::new(pod(spec), at(0)), now: 0, starts: 0 }
    }

    pub fn decide(&mut self) -> Vec<String> {
        let plan = self.machine.decide(at(self.now));
        plan.actions.iter().map(short).collect()
    }

    fn wake(&mut self) -> Option<i64> {
        let plan = self.machine.decide(at(self.now));
        assert_eq!(plan.actions, []);
        plan.wake.map(|w| w.as_second() - 1_000_000)
    }

    pub fn apply(&mut self, outcome: Outcome) {
        let plan = self.machine.apply(outcome, at(self.now));
        assert_eq!(plan.actions, []);
    }

    /// Sandbox and volumes are there.
    pub fn prepare(&mut self) {
        self.apply(Outcome::SandboxReady(vec!["10.244.0.2".to_owned()]));
        self.apply(Outcome::VolumesReady);
    }

    pub fn image(&mut self, container: &str) {
        let result = Ok(Arc::new(ImageInfo::default()));
        self.apply(Outcome::Image { container: container.to_owned(), result });
    }

    pub fn running(&mut self, container: &str) -> String {
        self.starts += 1;
        let id = format!("id{}", self.starts);
        let spec = self.machine.spec_of(container).unwrap();
        let has_hook = spec.lifecycle.as_ref().is_some_and(|l| l.post_start.is_some());
        let running = Running {
            id: id.clone(),
            attempt: self.machine.container(container).unwrap().next_attempt(),
            started_at: at(self.now),
            spec_image: spec.image.clone().unwrap_or_default(),
            image: "img".to_owned(),
            image_id: "sha".to_owned(),
            hook: if has_hook { Hook::Todo } else { Hook::Done },
            stop: None,
        };
        self.apply(Outcome::Started { container: container.to_owned(), running });
        id
    }

    /// Image, start: from decided to running.
    pub fn start(&mut self, container: &str) -> String {
        self.image(container);
        assert!(self.decide().contains(&format!("start {container}")));
        self.running(container)
    }

    fn exit(&mut self, container: &str, id: &str, code: i32) {
        let current = self.machine.container(container).unwrap();
        let attempt = current.running().map_or(0, |r| r.attempt);
        self.apply(Outcome::Exited(Finished {
            id: id.to_owned(),
            container: container.to_owned(),
            attempt,
            started_at: Some(at(self.now)),
            finished_at: at(self.now),
            exit_code: code,
            reason: "Error".to_owned(),
            message: None,
        }));
    }
}

fn short(action: &Action) -> String {
    match action {
        Action::CreateSandbox => "sandbox".to_owned(),
        Action::PrepareVolumes => "volumes".to_owned(),
        Action::EnsureImage { container } => format!("image {container}"),
        Action::Start { container, .. } => format!("start {container}"),
        Action::PostStart { container, .. } => format!("hook {container}"),
        Action::Probe { container, kind, .. } => format!("{} {container}", kind.name()),
        Action::Stop { container, grace, hook, .. } => {
            format!("stop {container} {}{}", grace.as_secs(), if *hook { " hook" } else { "" })
        }
        Action::Tell { reason, .. } => format!("tell {reason}"),
        Action::Remove { id } => format!("remove {id}"),
        Action::Destroy => "destroy".to_owned(),
        Action::Delete => "delete".to_owned(),
    }
}

pub(super) fn one(policy: &str) -> Value {
    json!({"restartPolicy": policy, "containers": [{"name": "a", "image": "x"}]})
}

#[test]
fn a_pod_comes_up_and_goes_away() {
    let mut stage = Stage::new(one("Always"));
    assert_eq!(stage.decide(), ["sandbox", "volumes", "image a"]);
    assert_eq!(stage.decide(), [""; 0]);
    stage.image("a");
    assert_eq!(stage.decide(), [""; 0]);
    stage.prepare();
    assert_eq!(stage.decide(), ["start a"]);
    let id = stage.running("a");
    assert!(stage.machine.container("a").unwrap().is_ready());
    assert_eq!(stage.decide(), [""; 0]);

    stage.machine.update(deleted(&stage.machine.pod, 0, 30));
    assert_eq!(stage.decide(), ["stop a 30"]);
    stage.now = 1;
    assert_eq!(stage.decide(), [""; 0]);
    // A shorter grace is a new order, a longer one is not.
    stage.machine.update(deleted(&stage.machine.pod, 1, 5));
    assert_eq!(stage.decide(), ["stop a 5"]);
    stage.exit("a", &id, 0);
    assert_eq!(stage.decide(), ["destroy"]);
    stage.apply(Outcome::Destroyed);
    assert_eq!(stage.decide(), ["delete"]);
    stage.apply(Outcome::Deleted);
    assert!(stage.machine.is_finished());
}

#[test]
fn restart_policies() {
    let table = [
        ("Always", 0, Some("image a")),
        ("Always", 1, Some("image a")),
        ("OnFailure", 1, Some("image a")),
        ("OnFailure", 0, None),
        ("Never", 1, None),
    ];
    for (policy, code, next) in table {
        let mut stage = Stage::new(one(policy));
        stage.decide();
        stage.prepare();
        let id = stage.start("a");
        stage.exit("a", &id, code);
        let decided = stage.decide();
        assert_eq!(decided.first().map(String::as_str), next, "{policy} {code}");
        let verdict = stage.machine.verdict.as_ref().map(|v| v.succeeded);
        assert_eq!(verdict, next.is_none().then_some(code == 0), "{policy} {code}");
    }
}

#[test]
fn crashes_back_off_and_old_containers_go() {
    let mut stage = Stage::new(one("Always"));
    stage.decide();
    stage.prepare();
    let first = stage.start("a");
    stage.exit("a", &first, 1);
    // The first restart is immediate, the next waits ten seconds.
    assert_eq!(stage.decide(), ["image a"]);
    let second = stage.start("a");
    stage.exit("a", &second, 1);
    assert_eq!(stage.decide(), ["tell BackOff"]);
    let trouble = stage.machine.container("a").unwrap().trouble.clone().unwrap();
    assert_eq!(trouble.reason, "CrashLoopBackOff");
    assert_eq!(trouble.message, "back-off 10s restarting failed container=a pod=web_shop(u1)");
    assert_eq!(stage.wake(), Some(10));
    stage.now = 10;
    assert_eq!(stage.decide(), ["image a"]);
    stage.start("a");
    assert_eq!(stage.machine.container("a").unwrap().restarts(), 2);
    assert_eq!(stage.decide(), [format!("remove {first}")]);
}

#[test]
fn init_containers_run_in_order_with_sidecars() {
    let mut stage = Stage::new(json!({
        "initContainers": [{"name": "i"}, {"name": "s", "restartPolicy": "Always",
            "startupProbe": {"tcpSocket": {"port": 1}}}, {"name": "j"}],
        "containers": [{"name": "a"}, {"name": "b"}]}));
    assert_eq!(stage.decide(), ["sandbox", "volumes", "image i"]);
    stage.prepare();
    let id = stage.start("i");
    assert_eq!(stage.decide(), [""; 0]);
    stage.exit("i", &id, 0);
    assert_eq!(stage.decide(), ["image s"]);
    let side = stage.start("s");
    // The sidecar has to be started before the next one begins.
    assert_eq!(stage.decide(), ["Startup s"]);
    let result = ProbeOutcome::Success;
    let (container, kind) = ("s".to_owned(), ProbeKind::Startup);
    stage.apply(Outcome::Probed { container, id: side.clone(), kind, result });
    assert_eq!(stage.decide(), ["image j"]);
    let id = stage.start("j");
    stage.exit("j", &id, 0);
    assert_eq!(stage.decide(), ["image a", "image b"]);
    let a = stage.start("a");
    let b = stage.start("b");
    // Ends: the ordinary ones first, then the sidecar.
    stage.machine.update(deleted(&stage.machine.pod, 0, 30));
    assert_eq!(stage.decide(), ["stop a 30", "stop b 30"]);
    stage.exit("a", &a, 0);
    stage.exit("b", &b, 0);
    assert_eq!(stage.decide(), ["stop s 30"]);
    stage.exit("s", &side, 0);
    assert_eq!(stage.decide(), ["destroy"]);
}

#[test]
fn a_failed_init_container_ends_a_never_pod() {
    let mut stage = Stage::new(json!({"restartPolicy": "Never",
        "initContainers": [{"name": "i"}], "containers": [{"name": "a"}]}));
    stage.decide();
    stage.prepare();
    let id = stage.start("i");
    stage.exit("i", &id, 1);
    assert_eq!(stage.decide(), [""; 0]);
    assert!(!stage.machine.verdict.as_ref().unwrap().succeeded);
}

#[test]
fn liveness_failures_restart_and_hooks_run() {
    let mut stage = Stage::new(json!({"terminationGracePeriodSeconds": 7, "containers": [{
        "name": "a", "livenessProbe": {"failureThreshold": 1, "exec": {}},
        "lifecycle": {"postStart": {"exec": {}}, "preStop": {"exec": {}}}}]}));
    stage.decide();
    stage.prepare();
    let id = stage.start("a");
    assert_eq!(stage.decide(), ["hook a", "Liveness a"]);
    assert!(!stage.machine.container("a").unwrap().is_ready());
    stage.apply(Outcome::PostStart { container: "a".to_owned(), id: id.clone(), result: Ok(()) });
    assert!(stage.machine.container("a").unwrap().is_ready());
    let failed = Outcome::Probed {
        container: "a".to_owned(),
        id,
        kind: ProbeKind::Liveness,
        result: ProbeOutcome::Failure("down".to_owned()),
    };
    let plan = stage.machine.apply(failed, at(0));
    let Action::Stop { grace, hook, event, .. } = &plan.actions[0] else { panic!("{plan:?}") };
    assert_eq!((grace.as_secs(), *hook), (7, true));
    assert_eq!(event.as_deref(), Some("Container a failed liveness probe, will be restarted"));
}

#[test]
fn pulls_back_off_with_upstreams_reasons() {
    let mut stage = Stage::new(one("Always"));
    stage.decide();
    let fail = |stage: &mut Stage| {
        let result = Err(Trouble::new("ErrImagePull", "no such image"));
        stage.apply(Outcome::Image { container: "a".to_owned(), result });
    };
    fail(&mut stage);
    assert_eq!(stage.wake(), Some(2));
    stage.now = 2;
    assert_eq!(stage.decide(), ["tell BackOff"]);
    let trouble = stage.machine.container("a").unwrap().trouble.clone().unwrap();
    assert_eq!(trouble.reason, "ImagePullBackOff");
    assert_eq!(trouble.message, "Back-off pulling image \"x\": ErrImagePull: no such image");
    assert_eq!(stage.wake(), Some(10));
    stage.now = 10;
    assert_eq!(stage.decide(), ["image a"]);
    fail(&mut stage);
    stage.now = 12;
    stage.decide();
    assert_eq!(stage.wake(), Some(30));
}

#[test]
fn a_changed_image_replaces_the_container() {
    let mut stage = Stage::new(one("Never"));
    stage.decide();
    stage.prepare();
    let id = stage.start("a");
    stage.machine.update(pod(
        json!({"restartPolicy": "Never", "containers": [{"name": "a", "image": "y"}]}),
    ));
    assert_eq!(stage.decide(), ["stop a 30"]);
    stage.exit("a", &id, 143);
    assert_eq!(stage.decide(), ["image a"]);
}

#[test]
fn deadlines_and_refusals_fail_the_pod() {
    let mut stage = Stage::new(
        json!({"activeDeadlineSeconds": 5, "containers": [{"name": "a", "image": "x"}]}),
    );
    stage.decide();
    stage.prepare();
    stage.start("a");
    assert_eq!(stage.wake(), Some(5));
    stage.now = 5;
    assert_eq!(stage.decide(), ["stop a 30"]);
    let verdict = stage.machine.verdict.clone().unwrap();
    assert_eq!(verdict.reason.as_deref(), Some("DeadlineExceeded"));

    let mut stage = Stage::new(one("Always"));
    stage.machine.reject("OutOfcpu", "too much");
    assert_eq!(stage.decide(), [""; 0]);
    stage.machine.update(deleted(&stage.machine.pod, 0, 30));
    assert_eq!(stage.decide(), ["destroy"]);
}

#[test]
fn a_lost_sandbox_is_made_anew() {
    let mut stage = Stage::new(one("Always"));
    stage.decide();
    stage.prepare();
    stage.start("a");
    stage.apply(Outcome::SandboxLost);
    assert_eq!(stage.decide(), ["sandbox", "image a"]);
    stage.image("a");
    assert_eq!(stage.decide(), [""; 0]);
    stage.apply(Outcome::SandboxReady(vec!["10.244.0.3".to_owned()]));
    assert_eq!(stage.decide(), ["start a"]);
}

#[test]
fn an_exit_may_be_heard_before_the_start() {
    let mut stage = Stage::new(one("Never"));
    stage.decide();
    stage.prepare();
    stage.image("a");
    assert_eq!(stage.decide(), ["start a"]);
    stage.exit("a", "id1", 0);
    stage.running("a");
    stage.decide();
    assert!(stage.machine.verdict.as_ref().is_some_and(|v| v.succeeded));
}

#[test]
fn adopted_containers_keep_id_and_count() {
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop", "uid": "u1"},
        "spec": {"containers": [{"name": "a", "image": "x",
            "readinessProbe": {"exec": {}, "initialDelaySeconds": 60}}]},
        "status": {"startTime": "2026-01-01T00:00:00Z", "containerStatuses": [{
            "name": "a", "containerID": "kabuki://id7", "restartCount": 3, "ready": true,
            "started": true, "image": "x", "imageID": "",
            "lastState": {"terminated": {"exitCode": 2, "containerID": "kabuki://id6"}}}]}}))
    .unwrap();
    let running = Running {
        id: "id7".to_owned(),
        attempt: 3,
        started_at: at(0),
        spec_image: "x".to_owned(),
        image: "x".to_owned(),
        image_id: String::new(),
        hook: Hook::Done,
        stop: None,
    };
    let found = vec![Found::Running("a".to_owned(), running)];
    let mut machine = Machine::adopt(Arc::new(pod), vec!["1".to_owned()], found, at(0));
    let container = machine.container("a").unwrap();
    assert_eq!((container.restarts(), container.is_ready()), (3, true));
    assert_eq!(container.last.as_ref().unwrap().exit_code, 2);
    let actions: Vec<_> = machine.decide(at(1)).actions.iter().map(short).collect();
    assert_eq!(actions, [""; 0]);
}
