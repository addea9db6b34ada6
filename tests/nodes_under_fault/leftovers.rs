//! What pods can leave on a node: nothing.

use std::{collections::HashSet, path::Path};

use crate::{
    stage::{STEP, Stage},
    support::{
        cluster::{Machine, cgroup_root, pod_cgroups, run_dir},
        eventually,
        process::run,
    },
};

/// Waits until nothing is left of any pod on any node.
pub fn none(stage: &Stage) {
    for machine in &stage.cluster.nodes {
        eventually(&format!("nothing is left on {}", machine.host.name), STEP, || {
            let left = found(machine, &HashSet::new());
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        });
    }
}

/// What is there of pods whose uid is not in `living`.
pub fn found(machine: &Machine, living: &HashSet<String>) -> Vec<String> {
    let run = run_dir(&machine.data_dir);
    let places = [format!("{}/", machine.data_dir.display()), format!("{}/", run.display())];
    let foreign = |text: &str| !living.iter().any(|uid| text.contains(uid.as_str()));
    let mut left = Vec::new();
    let mounts = std::fs::read_to_string("/proc/self/mounts").expect("mounts");
    let ours = |line: &&str| {
        let target = line.split(' ').nth(1).unwrap_or_default();
        places.iter().any(|p| target.starts_with(p)) && !target.ends_with("/full")
    };
    left.extend(mounts.lines().filter(ours).filter(|l| foreign(l)).map(|l| format!("mount {l}")));
    let root = cgroup_root(&machine.data_dir);
    left.extend(
        pod_cgroups(&root).into_iter().filter(|c| foreign(c)).map(|c| format!("cgroup {c}")),
    );
    let node = machine.data_dir.join("node");
    for dir in [
        node.join("pods"),
        node.join("pod-data"),
        node.join("logs"),
        node.join("images/tmp"),
        run.join("pods"),
        run.join("volumes"),
    ] {
        left.extend(entries(&dir).into_iter().filter(|e| foreign(e)));
    }
    left.extend(devices(machine, living.len()));
    left.extend(processes(&run, machine.process.pid()).into_iter().filter(|p| foreign(p)));
    left
}

/// The node's ends of veth pairs beyond one per living pod.
fn devices(machine: &Machine, pods: usize) -> Vec<String> {
    let mut command = machine.host.command("ip");
    let text = run(command.args(["-o", "link", "show", "type", "veth"])).unwrap_or_default();
    // eth0 is the host's own cable.
    let veths: Vec<&str> = text.lines().filter(|l| !l.contains("eth0")).collect();
    if veths.len() <= pods {
        return Vec::new();
    }
    veths.into_iter().map(|l| format!("veth {l}")).collect()
}

fn entries(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| format!("directory {}", e.path().display()))
        .collect()
}

/// Shims and helpers of this node, and zombies of its daemon.
fn processes(run: &Path, daemon: i32) -> Vec<String> {
    let mut found = Vec::new();
    let place = format!("{}/", run.display());
    for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(&place) {
            found.push(format!("process {pid} {line}"));
        }
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some((_, rest)) = stat.rsplit_once(") ")
            && rest.starts_with(&format!("Z {daemon} "))
        {
            found.push(format!("zombie {stat}"));
        }
    }
    found
}
