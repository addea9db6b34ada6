//! Damage: half-made pods, garbled files, killed shims and helpers. Needs root, cgroups and Debian's
//! busybox-static.

mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use kabuki_runtime::{ContainerState, Error, Runtime};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::*;

fn pod_dir(node: &Node, uid: &str) -> PathBuf {
    node.config.run.join("pods").join(uid)
}

fn read(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("file")).expect("json")
}

fn shim_of(node: &Node, uid: &str) -> i32 {
    read(&pod_dir(node, uid).join("state.json"))["pid"].as_i64().expect("pid") as i32
}

fn end(pid: i32) {
    // It may just have ended.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Whether a process is there, and not only waiting to be reaped.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

async fn nothing_left(node: &Node) {
    let until = std::time::Instant::now() + Duration::from_secs(20);
    while !node.leftovers().is_empty() {
        assert!(std::time::Instant::now() < until, "{:#?}", node.leftovers());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|p| p.parse().ok()).collect()
}

/// A daemon that made one pod with one container, and was killed.
async fn killed_daemon(node: &Node, uid: &str) {
    let archive = node.archive();
    let config = &node.config;
    let mut daemon = tokio::process::Command::new(host_program())
        .arg("daemon")
        .args([&config.root, &config.run, &config.log_root])
        .args([&config.cgroup_root, &archive.display().to_string(), uid, "sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("daemon");
    let mut out = tokio::io::BufReader::new(daemon.stdout.take().expect("output"));
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.expect("line");
    assert_eq!(line, "started\n");
    daemon.kill().await.expect("kill");
}

/// What a crash in the middle of a pod's making can leave, step by step.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_made_pods_are_cleaned_at_the_next_start() {
    let node = Node::new();
    killed_daemon(&node, "whole").await;
    let whole = fs::read_to_string(pod_dir(&node, "whole").join("plan.json")).expect("plan");
    let plan = |uid: &str| whole.replace("whole", uid);
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("boot id");
    let steps: [(&str, Option<String>); 6] = [
        ("directory", None),
        ("empty-plan", Some(String::new())),
        ("half-plan", Some(plan("half-plan")[..100].to_owned())),
        ("another-plan", Some(plan("other"))),
        ("no-shim", Some(plan("no-shim"))),
        ("before-reboot", Some(plan("before-reboot").replace(boot.trim(), "another-boot"))),
    ];
    for (uid, plan) in &steps {
        let dir = pod_dir(&node, uid);
        fs::create_dir_all(dir.join("ns")).expect("directory");
        fs::create_dir_all(node.config.root.join("pods").join(uid)).expect("directory");
        fs::create_dir_all(node.config.log_root.join(format!("default_pod_{uid}"))).expect("dir");
        if let Some(plan) = plan {
            fs::write(dir.join("plan.json"), plan).expect("plan");
        }
        fs::write(dir.join("state.json"), "{\"boot_id\":").expect("state");
        fs::write(dir.join("ns/net"), "").expect("file");
        let pinned = std::process::Command::new("mount")
            .args(["--bind", "/proc/self/ns/uts"])
            .arg(dir.join("ns/net"))
            .status();
        assert!(pinned.expect("mount").success());
        for hierarchy in ["cpu", "memory", "pids"] {
            let path = format!("/sys/fs/cgroup/{hierarchy}{}", node.config.cgroup_root);
            if Path::new(&path).is_dir() {
                fs::create_dir_all(format!("{path}/besteffort/pod{uid}/c")).expect("cgroup");
                fs::create_dir_all(format!("{path}/shims/{uid}")).expect("cgroup");
            }
        }
    }
    let runtime = node.runtime().await;
    let mut adopted = Vec::new();
    for pod in runtime.adopt().await.expect("adopt") {
        let lost = pod.status().await.expect("status").shim_lost;
        adopted.push((pod.uid().to_owned(), lost));
    }
    adopted.sort();
    assert_eq!(adopted, [("no-shim".to_owned(), true), ("whole".to_owned(), false)]);
    // The name of a half-made pod can be used at once.
    runtime.create_pod(sandbox("half-plan")).await.expect("pod");
    runtime.remove_orphans(|_| false).await.expect("orphans");
    nothing_left(&node).await;
}

/// A pod that cannot be understood any more is ended with its shim, whatever is garbled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_pod_with_garbled_files_is_ended_or_kept() {
    for (files, kept) in [
        (vec!["state.json"], true),
        (vec!["plan.json"], false),
        (vec!["plan.json", "state.json"], false),
    ] {
        let node = Node::new();
        killed_daemon(&node, "garbled").await;
        let shim = shim_of(&node, "garbled");
        for file in &files {
            let path = pod_dir(&node, "garbled").join(file);
            let mut bytes = fs::read(&path).expect("file");
            bytes.truncate(bytes.len() / 2);
            fs::write(&path, bytes).expect("file");
        }
        let runtime = node.runtime().await;
        let pods = runtime.adopt().await.expect("adopt");
        assert_eq!(pods.len(), usize::from(kept), "{files:?}");
        if kept {
            let status = pods[0].status().await.expect("status");
            assert_eq!(status.containers[0].state, ContainerState::Running, "{files:?}");
            pods[0].destroy().await.expect("destroy");
        }
        // Its logs are kept until it is known that nobody has the pod any more.
        runtime.remove_orphans(|_| false).await.expect("orphans");
        nothing_left(&node).await;
        assert!(!runs(shim), "{files:?}: the shim is still there");
    }
}

/// A shim that was killed while no daemon ran, and whose state file is garbled besides.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_that_died_unseen_leaves_no_container() {
    let node = Node::new();
    killed_daemon(&node, "unseen").await;
    end(shim_of(&node, "unseen"));
    fs::write(pod_dir(&node, "unseen").join("state.json"), "garbage").expect("file");
    let runtime = node.runtime().await;
    let pods = runtime.adopt().await.expect("adopt");
    assert!(pods[0].status().await.expect("status").shim_lost);
    assert!(matches!(pods[0].start("unseen-c0").await, Err(Error::ShimLost(_))));
    pods[0].destroy().await.expect("destroy");
    nothing_left(&node).await;
}

/// Helpers are killed at any moment: each container is made or not, and no process is left between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_helpers_leave_no_process_behind() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let pod = runtime.create_pod(sandbox("helpers")).await.expect("pod");
    run(&pod, container("steady", &image, "sleep 1000")).await;
    let shim = shim_of(&node, "helpers");
    let steady = children(shim);
    let mut failed = 0;
    for round in 0u64..40 {
        let id = format!("c{round}");
        let make = {
            let (pod, spec) = (pod.clone(), container(&id, &image, "sleep 1000"));
            tokio::spawn(async move { pod.create_container(spec).await })
        };
        // Up to the 30 ms a helper takes, in steps that differ from round to round.
        tokio::time::sleep(Duration::from_micros(round * 7_919 % 30_000)).await;
        for pid in children(shim).into_iter().filter(|pid| !steady.contains(pid)) {
            end(pid);
        }
        match make.await.expect("task") {
            Ok(()) => pod.remove_container(&id).await.expect("remove"),
            Err(Error::Create(_)) => failed += 1,
            Err(other) => panic!("{other}"),
        }
        eventually("only the steady container is left", async || children(shim) == steady).await;
    }
    assert!(failed > 5, "only {failed} of 40 helpers were hit");
    let status = pod.status().await.expect("status");
    let names: Vec<&str> = status.containers.iter().map(|c| c.id.as_str()).collect();
    assert_eq!(names, ["steady"]);
    pod.destroy().await.expect("destroy");
    nothing_left(&node).await;
}

/// The shim is killed while its helpers work: what they were making does not come to life later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shim_killed_while_it_makes_a_container_takes_it_along() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    for round in 0u64..15 {
        let uid = format!("mid{round}");
        let pod = runtime.create_pod(sandbox(&uid)).await.expect("pod");
        let shim = shim_of(&node, &uid);
        let make = {
            let (pod, spec) = (pod.clone(), container("c", &image, "sleep 1000"));
            tokio::spawn(async move { pod.create_container(spec).await })
        };
        tokio::time::sleep(Duration::from_micros(round * 7_919 % 30_000)).await;
        end(shim);
        drop(make.await.expect("task"));
        eventually("the loss is noticed", async || pod.status().await.is_ok_and(|s| s.shim_lost))
            .await;
        pod.destroy().await.expect("destroy");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    nothing_left(&node).await;
}

async fn survivor(node: &Node) -> (Runtime, kabuki_runtime::Pod) {
    let runtime = node.runtime().await;
    let pods = runtime.adopt().await.expect("adopt");
    let pod = pods.into_iter().next().expect("pod");
    (runtime, pod)
}

/// A damaged list of images costs the images nobody uses, never a running container.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_image_index_is_made_anew() {
    for damage in ["", "[{\"id\":", "not json at all"] {
        let node = Node::new();
        killed_daemon(&node, "images").await;
        fs::write(node.config.root.join("images/index.json"), damage).expect("index");
        let (runtime, pod) = survivor(&node).await;
        let image = runtime.images().get("test/busybox:1").expect("the image of the container");
        let ls = ["ls".to_owned(), "/bin/busybox".to_owned()];
        let listed = pod.exec("images-c0", &ls, Duration::from_secs(5)).await.expect("exec");
        assert_eq!(listed.code, 0, "{listed:?}");
        run(&pod, container("again", &image, "echo again")).await;
        assert_eq!(wait_exit(&pod, "again").await.code, 0);
        pod.destroy().await.expect("destroy");
        runtime.images().remove("test/busybox:1").await.expect("remove");
        let layers = fs::read_dir(node.config.root.join("images/layers")).expect("layers").count();
        assert_eq!(layers, 0);
    }
}

/// An image one of whose layers is gone is not there any more; loading it again brings it back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_image_with_a_missing_layer_is_forgotten() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    drop(runtime);
    let layer = node.config.root.join("images/layers").join(&image.layers[0]);
    fs::remove_dir_all(&layer).expect("layer");
    let runtime = node.runtime().await;
    assert!(runtime.images().get("test/busybox:1").is_none());
    runtime.images().load(&node.archive()).await.expect("load");
    assert!(runtime.images().get("test/busybox:1").is_some());
}
