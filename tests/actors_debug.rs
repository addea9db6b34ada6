//! The debug face of a whole cluster, from any member and with the real binary: two members and a
//! node show each other's actors, obey orders and keep a record of them.

mod support;

use std::time::Duration;

use serde_json::Value;
use support::{
    cluster::{Cluster, KABUKI},
    eventually,
    host::Lab,
    process::run,
};

/// A registry nobody asks.
const NO_REGISTRY: &str = "127.0.0.1:1";
/// How long a step may take.
const STEP: Duration = Duration::from_secs(20);

struct Stage {
    cluster: Cluster,
}

impl Stage {
    /// A request to one member as the administrator.
    fn call(&self, member: usize, verb: &str, path: &str) -> Result<String, String> {
        let config = self.cluster.kube_config(member);
        let request = http::Request::builder().method(verb).uri(path).body(Vec::new());
        let request = request.expect("request");
        self.cluster.members[member].host.block_on(async {
            let client = kube::Client::try_from(config).map_err(|e| e.to_string())?;
            client.request_text(request).await.map_err(|e| e.to_string())
        })
    }

    fn get(&self, member: usize, path: &str) -> Result<Value, String> {
        let text = self.call(member, "GET", path)?;
        serde_json::from_str(&text).map_err(|e| format!("{e}: {text}"))
    }

    /// `kabuki actors …` on a member's machine.
    fn actors(&self, member: usize, args: &[&str]) -> Result<String, String> {
        let member = &self.cluster.members[member];
        let mut command = member.host.command(KABUKI);
        command.arg("actors").args(args);
        command.arg(format!("--data-dir={}", member.data_dir.display()));
        run(&mut command)
    }

    fn show(&self, member: usize, path: &str, node: &str) -> Result<Value, String> {
        self.get(member, &format!("/debug/actors{path}?node={node}"))
    }
}

#[test]
fn any_member_shows_and_orders_about_everybody() {
    if !support::is_root() {
        eprintln!("skipped: needs root for network namespaces");
        return;
    }
    let mut cluster = Cluster::new(Lab::new(57, &["m1", "m2", "n1"]), NO_REGISTRY);
    cluster.init("m1", &[]);
    cluster.join_member("m2", &[]);
    cluster.join_node("n1");
    let stage = Stage { cluster };
    everybody_is_shown(&stage);
    orders_reach_everybody(&stage);
    poison_is_reported(&stage);
    traces_come_from_everywhere(&stage);
    only_administrators_may(&stage);
    let mut stage = stage;
    who_is_away_is_listed(&mut stage);
}

fn everybody_is_shown(stage: &Stage) {
    for member in [0, 1] {
        eventually("all three processes answer", STEP, || {
            let all = stage.get(member, "/debug/actors?node=all")?;
            let rows = all["processes"].as_array().ok_or("no processes")?.clone();
            let mut names: Vec<_> = rows
                .iter()
                .filter(|p| p["answer"]["root"]["path"] == "/")
                .map(|p| format!("{}={}", p["role"], p["name"]).replace('"', ""))
                .collect();
            names.sort();
            if names == ["member=m1", "member=m2", "node=n1"] {
                Ok(())
            } else {
                Err(all.to_string())
            }
        });
        let tree = stage.actors(member, &["tree", "--node", "n1"]).expect("tree");
        assert!(tree.contains("kubelet") && !tree.contains("leader-gate"), "{tree}");
        for name in ["m1", "m2"] {
            let tree = stage.actors(member, &["--node", name, "tree"]).expect("tree");
            assert!(tree.contains("leader-gate") && !tree.contains("kubelet"), "{tree}");
        }
        let all = stage.actors(member, &["top", "--node", "all", "--by", "handled"]).expect("top");
        for words in ["=== m1 (member)", "=== m2 (member)", "=== n1 (node)", "/node/kubelet/pods"] {
            assert!(all.contains(words), "no {words} in {all}");
        }
        let shown = stage.actors(member, &["show", "/node/members", "--node", "n1"]).expect("show");
        assert!(shown.contains("MemberFollower") && shown.contains("state:"), "{shown}");
    }
}

/// Pause, resume and restart, given to every member, for actors of the other one and of the node.
fn orders_reach_everybody(stage: &Stage) {
    for (member, node, path) in [
        (0, "m2", "/herald"),
        (1, "m1", "/herald"),
        (0, "n1", "/node/herald"),
        (1, "n1", "/node/members"),
    ] {
        let before = stage.show(member, path, node).expect("show");
        let done = stage.actors(member, &["pause", path, "--for", "5m", "--node", node]);
        assert_eq!(done.expect("pause").trim(), format!("{path}: pause accepted"));
        let state = |state: &str| {
            eventually(&format!("{path} on {node} is {state}"), STEP, || {
                let now = stage.show(member, path, node)?;
                if now["state"] == state { Ok(now) } else { Err(now["state"].to_string()) }
            })
        };
        let paused = state("paused");
        assert!(paused["wakesInMs"].as_u64().is_some_and(|ms| ms > 200_000), "{paused}");
        stage.actors(member, &["resume", path, "--node", node]).expect("resume");
        state("running");
        stage.actors(member, &["restart", path, "--node", node]).expect("restart");
        eventually("it lives anew", STEP, || {
            let now = stage.show(member, path, node)?;
            let lives = now["incarnation"].as_u64() > before["incarnation"].as_u64();
            if lives { Ok(()) } else { Err(now["incarnation"].to_string()) }
        });
        let audit = stage.actors(member, &["audit", "--node", node]).expect("audit");
        for order in ["pause", "resume", "restart"] {
            let line = audit.lines().find(|l| l.contains(order) && l.contains(path));
            let line = line.unwrap_or_else(|| panic!("no {order} of {path} in {audit}"));
            assert!(line.contains("kubernetes-admin") && line.ends_with("accepted"), "{line}");
        }
    }
    let log = stage.cluster.nodes[0].process.tail(usize::MAX);
    assert!(log.contains("audit") && log.contains("order=\"pause\""), "{log}");
    let refused = stage.actors(0, &["pause", "/nobody", "--node", "n1"]).unwrap_err();
    assert!(refused.contains("no actor at /nobody"), "{refused}");
    let refused = stage.actors(0, &["tree", "--node", "stranger"]).unwrap_err();
    assert!(refused.contains("not connected"), "{refused}");
}

fn poison_is_reported(stage: &Stage) {
    let path = "/node/members";
    for n in 1..=2 {
        stage.call(1, "POST", &format!("/debug/actors{path}/panic?node=n1")).expect("panic");
        eventually("it was restarted", STEP, || {
            let now = stage.show(1, path, "n1")?;
            let panics = now["panics"].as_array().map_or(0, Vec::len);
            let back = panics == n && now["state"] == "running";
            if back { Ok(()) } else { Err(format!("{panics} panics, {}", now["state"])) }
        });
    }
    let dead = stage.get(0, "/debug/deadletters?node=n1").expect("dead letters");
    let letters = dead["letters"].as_array().expect("letters");
    let poison = letters.iter().find(|l| l["reason"] == "poison" && l["to"] == path);
    let poison = poison.unwrap_or_else(|| panic!("no poison in {dead}"));
    assert!(poison["backtrace"].as_str().is_some_and(|b| !b.is_empty()), "{poison}");
    assert_eq!(dead["totals"]["poison"], 1, "{dead}");
    let text = stage.actors(0, &["deadletters", "--node", "all"]).expect("dead letters");
    assert!(text.contains("=== n1 (node)\nin all: ") && text.contains("PanicOrder"), "{text}");
    let alarms = stage.actors(1, &["alarms", "--node", "n1"]).expect("alarms");
    assert!(alarms.contains("raised   poison      /node/members"), "{alarms}");
    eventually("the alarm is an event about the node", STEP, || {
        let events = stage.get(0, "/api/v1/namespaces/default/events")?;
        let found = events["items"].as_array().into_iter().flatten().any(|e| {
            e["reason"] == "ActorPoisoned"
                && e["involvedObject"]["name"] == "n1"
                && e["message"].as_str().is_some_and(|m| m.contains(path))
        });
        if found { Ok(()) } else { Err(events.to_string()) }
    });
    let metrics = stage.call(0, "GET", "/metrics").expect("metrics");
    for family in
        ["kabuki_actor_handle_seconds", "kabuki_actor_queue_seconds", "kabuki_actor_alarms_total"]
    {
        assert!(metrics.contains(&format!("# TYPE {family} ")), "no {family}");
    }
}

fn traces_come_from_everywhere(stage: &Stage) {
    let gate = "/leader-gate";
    for (member, node) in [(0, "m1"), (1, "m1"), (0, "m2")] {
        // It compares addresses every two seconds.
        let args = ["trace", gate, "--for", "3s", "--node", node];
        let trace = stage.actors(member, &args).expect("trace");
        assert!(trace.contains("in    CheckEndpoints"), "{trace}");
        assert!(trace.contains("done  CheckEndpoints"), "{trace}");
        assert!(trace.lines().last().is_some_and(|l| l.starts_with("end: time; ")), "{trace}");
    }
    let url = "/debug/actors/node/kubelet/node/trace?node=n1&for=20s&max=2";
    let lines = stage.call(1, "POST", url).expect("trace");
    let events: Vec<Value> =
        lines.lines().map(|l| serde_json::from_str(l).expect("a JSON line")).collect();
    assert_eq!(events.len(), 3, "{lines}");
    assert_eq!((&events[2]["event"], &events[2]["why"]), (&"end".into(), &"max".into()));
}

/// Reading and ordering needs rights on these paths; a node has none, and cannot borrow any.
fn only_administrators_may(stage: &Stage) {
    for (path, who) in [("/debug/actors?node=m2", ""), ("/debug/actors", "kubernetes-admin")] {
        assert_eq!(node_call(stage, path, who), 403, "{path} {who}");
    }
}

fn node_call(stage: &Stage, path: &str, impersonated: &str) -> u16 {
    let file = stage.cluster.nodes[0].data_dir.join("node/client.pem");
    let pem = std::fs::read(file).expect("certificate");
    let identity = reqwest::Identity::from_pem(&pem).expect("identity");
    let member = &stage.cluster.members[0];
    let url = format!("{}{path}", member.url());
    member.host.block_on(async {
        let client = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .identity(identity)
            .no_proxy()
            .build()
            .expect("client");
        let mut request = client.get(url);
        if !impersonated.is_empty() {
            request = request.header("impersonate-user", impersonated);
        }
        request.send().await.expect("answer").status().as_u16()
    })
}

fn who_is_away_is_listed(stage: &mut Stage) {
    stage.cluster.nodes[0].process.kill();
    stage.cluster.members[1].host.unplug();
    let all = eventually("the others are missed", STEP, || {
        let all = stage.get(0, "/debug/actors?node=all")?;
        let rows = all["processes"].as_array().ok_or("no processes")?.clone();
        let away = |name: &str| {
            rows.iter()
                .any(|p| p["name"] == name && p["error"].as_str().is_some_and(|e| !e.is_empty()))
        };
        if away("m2") && away("n1") { Ok(rows) } else { Err(all.to_string()) }
    });
    assert_eq!(all[0]["answer"]["root"]["path"], "/", "this one still answers");
    stage.cluster.members[1].host.plug();
}
