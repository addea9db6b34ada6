//! A machine that is switched off and on: no process, no namespace, no cgroup and nothing below /run
//! is left of what ran; the disk is as it was.

use std::{collections::HashSet, path::Path, time::Instant};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;

use crate::{
    leftovers,
    stage::{NewPod, STEP, Stage, condition, container, restarts, uid},
    support::{
        cluster::{cgroup_root, run_dir},
        eventually,
        process::{run, sh},
    },
};

const KEEPS: &str = "test -f /d/mark && echo kept; touch /d/mark; echo up; exec sleep 100000";

pub fn reboot(stage: &mut Stage) {
    let made = [
        NewPod::new("always", "Always", KEEPS),
        NewPod::new("never", "Never", KEEPS),
        NewPod::new("done", "Never", "echo words; exit 0"),
        NewPod::new("on-failure", "OnFailure", KEEPS),
        NewPod::new("deleted", "Always", KEEPS),
    ];
    for pod in made {
        stage.create_pod(&pod.on("n1"));
    }
    for name in ["always", "never", "on-failure", "deleted"] {
        stage.pod_until("runs", name, |p| condition(p, "Ready"));
    }
    stage.pod_until("ends", "done", |p| p["status"]["phase"] == "Succeeded");
    let old = stage.pod("always").expect("pod");

    switch_off(stage);
    // One is deleted while the machine is off: its remains must not stay.
    stage.delete_pods(&["deleted".to_owned()]);
    let begin = Instant::now();
    stage.cluster.nodes[0].restart();

    let again = |pod: &Value| condition(pod, "Ready") && restarts(pod) == 1;
    let always = stage.pod_until("runs again", "always", again);
    println!("rebooted: pods run again {:?} after the start", begin.elapsed());
    stage.pod_until("runs again", "on-failure", again);
    let last = &container(&always)["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&255.into(), &"Unknown".into()), "{always}");
    assert_eq!(last["containerID"], container(&old)["containerID"]);
    assert_eq!(always["status"]["startTime"], old["status"]["startTime"]);
    assert!(always["status"]["podIP"].as_str().is_some_and(|ip| ip.starts_with("10.244.")));
    let path = "/api/v1/namespaces/default/pods/always/log";
    let text = stage.call("GET", path, "application/json", "").expect("log");
    assert_eq!(text, "kept\nup\n", "an emptyDir outlives a reboot");
    let never = stage.pod_until("has failed", "never", |p| p["status"]["phase"] == "Failed");
    let ended = &container(&never)["state"]["terminated"];
    assert_eq!((&ended["exitCode"], &ended["reason"]), (&255.into(), &"Unknown".into()), "{never}");
    assert_eq!(restarts(&never), 0);
    let done = stage.pod("done").expect("pod");
    assert_eq!((&done["status"]["phase"], restarts(&done)), (&"Succeeded".into(), 0), "{done}");
    let path = "/api/v1/namespaces/default/pods/done/log";
    assert_eq!(stage.call("GET", path, "application/json", ""), Ok("words\n".to_owned()));
    stage.wait_ready("n1");

    let living: HashSet<String> =
        stage.pods().expect("pods").iter().map(|p| uid(p).to_owned()).collect();
    eventually("nothing is left of what is gone", STEP, || {
        let left = leftovers::found(stage.node(0), &living);
        if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
    });
    let layers = stage.node(0).data_dir.join("node/pods").join(uid(&always));
    let writable = std::fs::read_dir(layers).expect("layers").count();
    assert_eq!(writable, 1, "writable layers of before the reboot are still there");
}

/// As when the power goes: everything in memory is gone, in no order.
fn switch_off(stage: &mut Stage) {
    let machine = &mut stage.cluster.nodes[0];
    machine.process.kill();
    let run_dir = run_dir(&machine.data_dir);
    let root = cgroup_root(&machine.data_dir);
    eventually("all processes of the machine are gone", STEP, || {
        let pids = processes(&root);
        for pid in &pids {
            let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL);
        }
        if pids.is_empty() { Ok(()) } else { Err(format!("{pids:?}")) }
    });
    eventually("all cgroups are gone", STEP, || {
        let left = directories(&root);
        for dir in left.iter().rev() {
            let _ = std::fs::remove_dir(dir);
        }
        if left.is_empty() { Ok(()) } else { Err(left.join(" ")) }
    });
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let prefixes = [machine.data_dir.display().to_string(), run_dir.display().to_string()];
    for line in mounts.lines().rev() {
        let target = line.split(' ').nth(1).unwrap_or_default();
        if prefixes.iter().any(|p| target.starts_with(&format!("{p}/"))) {
            let _ = sh(&format!("umount -l {target}"));
        }
    }
    std::fs::remove_dir_all(&run_dir).expect("run directory");
    let mut list = machine.host.command("ip");
    let devices = run(list.args(["-o", "link", "show"])).expect("devices");
    for line in devices.lines() {
        let name = line.split(": ").nth(1).unwrap_or_default();
        let name = name.split('@').next().unwrap_or_default();
        if name != "eth0" && name != "lo" {
            let _ = run(machine.host.command("ip").args(["link", "del", name]));
        }
    }
    let _ = run(machine.host.command("nft").args(["flush", "ruleset"]));
}

/// The cgroups at and below `root`, parents first.
fn directories(root: &str) -> Vec<String> {
    fn walk(dir: &Path, found: &mut Vec<String>) {
        if dir.is_dir() {
            found.push(dir.display().to_string());
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                walk(&entry.path(), found);
            }
        }
    }
    let mut found = Vec::new();
    for hierarchy in std::fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
        walk(&hierarchy.path().join(root.trim_start_matches('/')), &mut found);
    }
    walk(&Path::new("/sys/fs/cgroup").join(root.trim_start_matches('/')), &mut found);
    found
}

fn processes(root: &str) -> Vec<i32> {
    let read =
        |dir: &String| std::fs::read_to_string(format!("{dir}/cgroup.procs")).unwrap_or_default();
    let texts: Vec<String> = directories(root).iter().map(read).collect();
    texts.iter().flat_map(|t| t.lines()).filter_map(|l| l.parse().ok()).collect()
}
