//! Pods come and go while processes are killed at random.

use std::{
    collections::{BTreeMap, HashSet},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    leftovers, setting,
    stage::{NewPod, STEP, Stage, condition, container, name, restarts, states, uid},
    support::eventually,
};

/// Pods alive at once.
const AT_ONCE: usize = 24;
/// Pods made, and deleted, in one round.
const PER_ROUND: usize = 8;

/// A small generator (splitmix64): the same seed gives the same run.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).expect("fits")
    }
}

/// What a pod should look like at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Always: runs, with one restart when it was hit.
    Steady,
    /// Never: Failed with 137 when it was hit, else it runs.
    Once,
    /// Never, and ends by itself with this code.
    Ends(u8),
}

struct Expected {
    kind: Kind,
    hit: bool,
}

struct Run<'a> {
    stage: &'a mut Stage,
    dice: Dice,
    pods: BTreeMap<String, Expected>,
    made: usize,
    kills: BTreeMap<&'static str, usize>,
    slowest: Duration,
}

/// Runs until all pods were made, then checks what is there.
pub fn run(stage: &mut Stage) {
    let total = usize::try_from(setting("KABUKI_NODE_FAULT_PODS", 200)).expect("count");
    let seed = setting("KABUKI_NODE_FAULT_SEED", u64::from(std::process::id()));
    println!("{total} pods, KABUKI_NODE_FAULT_SEED={seed}");
    let dice = Dice(seed);
    let mut run = Run {
        stage,
        dice,
        pods: BTreeMap::new(),
        made: 0,
        kills: BTreeMap::new(),
        slowest: Duration::ZERO,
    };
    let begin = Instant::now();
    while run.made < total {
        run.make(PER_ROUND.min(total - run.made));
        run.hurt();
        run.hurt();
        run.remove();
    }
    println!("{total} pods came in {:?}; kills: {:?}", begin.elapsed(), run.kills);
    run.settle();
    run.no_double();
    run.stage.delete_all();
    println!(
        "quiet after {:?}; daemon back at the latest after {:?}",
        begin.elapsed(),
        run.slowest
    );
}

impl Run<'_> {
    fn make(&mut self, count: usize) {
        let mut made = Vec::new();
        for _ in 0..count {
            let number = self.made;
            self.made += 1;
            let name = format!("p{number}");
            let node = self.stage.names[self.dice.next(self.stage.names.len())].clone();
            let kind = match self.dice.next(10) {
                0..=5 => Kind::Steady,
                6..=7 => Kind::Once,
                _ => Kind::Ends(u8::try_from(self.dice.next(4)).expect("small")),
            };
            let (policy, script) = match kind {
                Kind::Steady => ("Always", "echo up; exec sleep 100000".to_owned()),
                Kind::Once => ("Never", "echo up; exec sleep 100000".to_owned()),
                Kind::Ends(code) => ("Never", format!("echo up; exit {code}")),
            };
            made.push(NewPod::new(&name, policy, &script).on(&node));
            self.pods.insert(name, Expected { kind, hit: false });
        }
        self.stage.create_pods(&made);
    }

    /// Deletes pods until no more than are allowed are left.
    fn remove(&mut self) {
        let mut names = Vec::new();
        while self.pods.len() > AT_ONCE {
            let at = self.dice.next(self.pods.len());
            let name = self.pods.keys().nth(at).expect("pod").clone();
            self.pods.remove(&name);
            names.push(name);
        }
        self.stage.delete_pods(&names);
    }

    /// Kills something.
    fn hurt(&mut self) {
        std::thread::sleep(Duration::from_millis(self.dice.next(150) as u64));
        match self.dice.next(6) {
            0 => self.kill_daemon(),
            1 => self.kill_helpers(),
            2 | 3 => self.kill_part("shim"),
            _ => self.kill_part("init"),
        }
    }

    fn note(&mut self, what: &'static str) {
        *self.kills.entry(what).or_default() += 1;
    }

    fn kill_daemon(&mut self) {
        let at = self.dice.next(self.stage.names.len());
        let pause = self.dice.next(400) as u64;
        let machine = &mut self.stage.cluster.nodes[at];
        machine.process.kill();
        std::thread::sleep(Duration::from_millis(pause));
        let before = self.stage.heartbeat(&self.stage.names[at]).unwrap_or_default();
        let begin = Instant::now();
        self.stage.cluster.nodes[at].restart();
        if self.dice.next(3) == 0 {
            eventually("the daemon's first heartbeat", STEP, || {
                let now = self.stage.heartbeat(&self.stage.names[at])?;
                if now == before { Err(now) } else { Ok(()) }
            });
            self.slowest = self.slowest.max(begin.elapsed());
        }
        self.note("daemon");
    }

    /// Whatever makes containers just now.
    fn kill_helpers(&mut self) {
        for at in 0..self.stage.names.len() {
            for (_, shim) in shims(self.stage, at) {
                for pid in children(shim).into_iter().filter(|pid| is_helper(*pid)) {
                    end(pid);
                    self.note("helper");
                }
            }
        }
    }

    /// The shim or the container of a pod that runs and was not hit before.
    fn kill_part(&mut self, what: &'static str) {
        let pods = self.stage.pods().expect("pods");
        let open: Vec<&Value> = pods
            .iter()
            .filter(|p| condition(p, "Ready") && p["metadata"]["deletionTimestamp"].is_null())
            .filter(|p| {
                self.pods.get(name(p)).is_some_and(|e| !e.hit && !matches!(e.kind, Kind::Ends(_)))
            })
            .collect();
        if open.is_empty() {
            return;
        }
        let victim = open[self.dice.next(open.len())];
        let Some(at) = self.stage.names.iter().position(|n| victim["spec"]["nodeName"] == *n)
        else {
            return;
        };
        let Some(state) = state_of(self.stage, at, uid(victim)) else { return };
        let init = state["containers"]
            .as_array()
            .and_then(|all| all.iter().find_map(|c| c["status"]["pid"].as_i64()));
        let pid = if what == "shim" { state["pid"].as_i64() } else { init };
        let Some(pid) = pid.and_then(|p| i32::try_from(p).ok()) else { return };
        end(pid);
        self.note(what);
        if let Some(expected) = self.pods.get_mut(name(victim)) {
            expected.hit = true;
        }
    }

    /// Waits until every pod is what it should be, and nothing is there of others.
    fn settle(&self) {
        eventually("every pod is in its state", STEP, || {
            let pods = self.stage.pods()?;
            let mut wrong: Vec<String> = pods.iter().filter_map(|p| self.complain(p)).collect();
            let there: HashSet<&str> = pods.iter().map(name).collect();
            wrong.extend(
                self.pods
                    .keys()
                    .filter(|n| !there.contains(n.as_str()))
                    .map(|n| format!("{n} is gone")),
            );
            if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n")) }
        });
        let pods = self.stage.pods().expect("pods");
        for (at, name) in self.stage.names.iter().enumerate() {
            let living: HashSet<String> = pods
                .iter()
                .filter(|p| p["spec"]["nodeName"] == *name)
                .map(|p| uid(p).to_owned())
                .collect();
            eventually(&format!("only living pods are on {name}"), STEP, || {
                let left = leftovers::found(self.stage.node(at), &living);
                if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
            });
        }
    }

    /// What is wrong with a pod.
    fn complain(&self, pod: &Value) -> Option<String> {
        let Some(expected) = self.pods.get(name(pod)) else {
            return Some(format!(
                "{} should be gone: {}",
                name(pod),
                states(std::slice::from_ref(pod))
            ));
        };
        let (status, one) = (&pod["status"], container(pod));
        let ended = &one["state"]["terminated"];
        let right = match (expected.kind, expected.hit) {
            (Kind::Steady, hit) => {
                let last = &one["lastState"]["terminated"];
                status["phase"] == "Running"
                    && condition(pod, "Ready")
                    && restarts(pod) == u64::from(hit)
                    && if hit {
                        last["exitCode"] == 137 && last["reason"] == "Error"
                    } else {
                        last.is_null()
                    }
            }
            (Kind::Once, false) => {
                status["phase"] == "Running" && condition(pod, "Ready") && restarts(pod) == 0
            }
            (Kind::Once, true) => {
                status["phase"] == "Failed" && ended["exitCode"] == 137 && restarts(pod) == 0
            }
            (Kind::Ends(code), _) => {
                let phase = if code == 0 { "Succeeded" } else { "Failed" };
                status["phase"] == phase && ended["exitCode"] == code && restarts(pod) == 0
            }
        };
        (!right)
            .then(|| format!("{} {:?} hit={}: {status}", name(pod), expected.kind, expected.hit))
    }

    /// Exactly one container of a running pod has processes, on the pod's node.
    fn no_double(&self) {
        let pods = self.stage.pods().expect("pods");
        for pod in pods.iter().filter(|p| condition(p, "Ready")) {
            let at =
                self.stage.names.iter().position(|n| pod["spec"]["nodeName"] == *n).expect("node");
            let state = state_of(self.stage, at, uid(pod)).expect("state");
            let alive: Vec<&Value> = state["containers"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|c| &c["status"])
                .filter(|s| s["state"] == "Running")
                .collect();
            assert_eq!(alive.len(), 1, "{}: {state}", name(pod));
            let id = alive[0]["id"].as_str().unwrap_or_default();
            assert_eq!(container(pod)["containerID"], format!("kabuki://{id}"), "{}", name(pod));
        }
    }
}

fn end(pid: i32) {
    // It may just have ended.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// The state a shim wrote, if it is there.
fn state_of(stage: &Stage, node: usize, uid: &str) -> Option<Value> {
    let path = stage.run_dir(node).join("pods").join(uid).join("state.json");
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn shims(stage: &Stage, node: usize) -> Vec<(String, i32)> {
    let dir = stage.run_dir(node).join("pods");
    let uids = std::fs::read_dir(dir).into_iter().flatten().flatten();
    uids.filter_map(|e| {
        let uid = e.file_name().into_string().ok()?;
        let pid = state_of(stage, node, &uid)?["pid"].as_i64()?;
        Some((uid, i32::try_from(pid).ok()?))
    })
    .collect()
}

fn children(pid: i32) -> Vec<i32> {
    let list =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// A fork of the shim that makes a container, and not that container.
fn is_helper(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|c| c.trim() == "kabuki-shim")
}
