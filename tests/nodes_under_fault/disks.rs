//! File systems without room: a small tmpfs below a node's images, another below its logs.

use std::{path::Path, process::Command};

use crate::{
    pulls::{large_image, size_of},
    stage::{NewPod, STEP, Stage, condition, container, restarts},
    support::{eventually, process::run},
};

/// Room for images: busybox fits, unpacked and on its way; the large image does not.
const IMAGES: &str = "size=12m";
/// Room for logs.
const LOGS: &str = "size=1m";
/// Bytes of the image that does not fit.
const LARGE: usize = 16 << 20;

/// A node on small disks; they are unmounted when it is dropped.
pub struct Disks {
    stage: Option<Stage>,
    mounts: Vec<String>,
}

impl Disks {
    pub fn new(net: u8) -> Self {
        let mounts = std::cell::RefCell::new(Vec::new());
        let stage = Stage::start_with(net, &["n1"], &[], |data_dir: &Path| {
            for (name, size) in [("images", IMAGES), ("logs", LOGS)] {
                let target = data_dir.join("node").join(name);
                std::fs::create_dir_all(&target).expect("directory");
                let mut command = Command::new("mount");
                command.args(["-t", "tmpfs", "-o", size, "kabuki-test"]).arg(&target);
                run(&mut command).expect("mount");
                mounts.borrow_mut().push(target.display().to_string());
            }
        });
        stage.load_busybox(0);
        Self { stage: Some(stage), mounts: mounts.into_inner() }
    }

    fn stage(&self) -> &Stage {
        self.stage.as_ref().expect("stage")
    }
}

impl Drop for Disks {
    fn drop(&mut self) {
        // The node first: it has files open there.
        drop(self.stage.take());
        for target in &self.mounts {
            let _ = Command::new("umount").args(["-l", target]).status();
        }
    }
}

/// A pull that runs out of room says so, takes nothing along, and works once there is room.
pub fn images_do_not_fit(disks: &Disks) {
    let stage = disks.stage();
    let image = stage.registry.push(&large_image(LARGE, 9), "too-large", "1");
    let pod = NewPod { image, ..NewPod::new("too-large", "Always", "exec sleep 100000") };
    stage.create_pod(&pod);
    let seen = stage.pod_until("fails", "too-large", |p| {
        container(p)["state"]["waiting"]["reason"] == "ErrImagePull"
    });
    let message = container(&seen)["state"]["waiting"]["message"].to_string();
    assert!(message.to_lowercase().contains("no space left on device"), "{message}");
    let images = stage.node(0).data_dir.join("node/images");
    eventually("nothing of the pull is left", STEP, || {
        let bytes = size_of(&images.join("tmp"));
        if bytes == 0 { Ok(()) } else { Err(format!("{bytes} bytes")) }
    });
    // What is there can still be used.
    stage.create_pod(&NewPod::new("beside", "Always", "exec sleep 100000"));
    stage.pod_until("runs", "beside", |p| condition(p, "Ready"));
    let mut command = Command::new("mount");
    command.args(["-o", "remount,size=64m"]).arg(&images);
    run(&mut command).expect("remount");
    let pod = stage.pod_until("runs", "too-large", |p| condition(p, "Ready"));
    assert_eq!(restarts(&pod), 0);
}

/// Without room for its log a container goes on; what was lost is marked when there is room again.
pub fn logs_do_not_fit(disks: &Disks) {
    let stage = disks.stage();
    let logs = stage.node(0).data_dir.join("node/logs");
    let filler = logs.join("filler");
    std::fs::write(&filler, vec![b'x'; 900 << 10]).expect("filler");
    // Some 300 KB of output every time round; `/d/rounds` says how far it has come.
    let script = "n=0; while true; do n=$((n+1)); seq 1 50000; echo round $n; \
                  echo $n > /d/rounds; sleep 0.2; done";
    stage.create_pod(&NewPod::new("writer", "Always", script));
    let pod = stage.pod_until("runs", "writer", |p| condition(p, "Ready"));
    let uid = pod["metadata"]["uid"].as_str().expect("uid").to_owned();
    let rounds = stage.node(0).data_dir.join("node/pod-data").join(&uid).join("volumes/d/rounds");
    let count = || -> u64 {
        let text = std::fs::read_to_string(&rounds).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    };
    eventually("the container goes on without room for its log", STEP, || {
        if count() >= 5 { Ok(()) } else { Err(format!("round {}", count())) }
    });
    std::fs::remove_file(&filler).expect("filler");
    let mut command = Command::new("mount");
    command.args(["-o", "remount,size=64m"]).arg(&logs);
    run(&mut command).expect("remount");
    let path = "/api/v1/namespaces/default/pods/writer/log?tailLines=200000";
    let text = eventually("the log says what was lost, and goes on", STEP, || {
        let text = stage.call("GET", path, "application/json", "")?;
        let marked = text.find("kabuki: ").filter(|at| text[*at..].contains("were lost: No space"));
        let goes_on = marked.is_some_and(|at| text[at..].contains("\nround "));
        if goes_on { Ok(text) } else { Err(format!("{} bytes", text.len())) }
    });
    for line in text.lines().filter(|l| !l.starts_with("kabuki: ") && !l.starts_with("round ")) {
        assert!(line.parse::<u32>().is_ok_and(|n| n <= 50_000), "a torn line: {line:?}");
    }
    let pod = stage.pod("writer").expect("pod");
    assert!(condition(&pod, "Ready") && restarts(&pod) == 0, "{}", pod["status"]);
    stage.wait_ready("n1");
}
