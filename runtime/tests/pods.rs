//! Pods with real shims. Needs root, cgroups and Debian's busybox-static.

mod support;

use std::{
    fs,
    time::{Duration, Instant},
};

use kabuki_runtime::{ContainerState, Error, PodEvent};
use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_lives_and_leaves_nothing() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let pod = runtime.create_pod(sandbox("life")).await.expect("pod");
    let mut events = pod.events().expect("events");
    run(&pod, container("a", &image, "echo hello; echo oops >&2; hostname; pwd; exit 7")).await;
    let exit = wait_exit(&pod, "a").await;
    assert_eq!((exit.code, exit.signal, exit.oom, exit.lost), (7, None, false, false));
    let mut lines = log(&pod, "a").await;
    lines.sort();
    assert_eq!(lines, ["stderr F oops", "stdout F /tmp", "stdout F hello", "stdout F podhost"]);
    assert_eq!(events.recv().await, Some(PodEvent::Started { id: "a".into() }));
    assert!(
        matches!(events.recv().await, Some(PodEvent::Exited { id, exit }) if id == "a" && exit.code == 7)
    );
    assert!(matches!(runtime.create_pod(sandbox("life")).await, Err(Error::AlreadyExists(_))));
    pod.remove_container("a").await.expect("remove");
    assert!(pod.status().await.expect("status").containers.is_empty());
    run(&pod, container("b", &image, "sleep 1000")).await;
    pod.create_container(container("c", &image, "sleep 1000")).await.expect("create");
    pod.destroy().await.expect("destroy");
    pod.destroy().await.expect("destroying twice is fine");
    eventually("nothing is left", async || node.leftovers().is_empty()).await;
    assert!(runtime.images().in_use().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn create_to_running_is_quick() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let (mut sandboxes, mut containers) = (Vec::new(), Vec::new());
    let mut pods = Vec::new();
    for n in 0..20 {
        let begin = Instant::now();
        let pod = runtime.create_pod(sandbox(&format!("p{n}"))).await.expect("pod");
        sandboxes.push(begin.elapsed());
        let begin = Instant::now();
        run(&pod, container(&format!("c{n}"), &image, "sleep 1000")).await;
        containers.push(begin.elapsed());
        pods.push(pod);
    }
    // Pages that were needed for the start alone are given back after three seconds.
    tokio::time::sleep(Duration::from_millis(3500)).await;
    // The private pages of every shim have to fit into the promised 3 MB.
    let mut pss = Vec::new();
    for n in 0..20 {
        let state = fs::read(node.config.run.join(format!("pods/p{n}/state.json"))).expect("state");
        let state: serde_json::Value = serde_json::from_slice(&state).expect("state");
        let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", state["pid"]));
        let rollup = rollup.expect("smaps");
        let line = rollup.lines().find(|l| l.starts_with("Pss:")).expect("Pss");
        let kb: u64 = line.split_whitespace().nth(1).expect("number").parse().expect("number");
        pss.push(kb);
    }
    pss.sort();
    println!("shim PSS p50 {} kB, max {} kB", pss[10], pss[19]);
    assert!(pss[10] <= 3 * 1024, "{pss:?}");
    sandboxes.sort();
    containers.sort();
    let begin = Instant::now();
    for pod in &pods {
        pod.destroy().await.expect("destroy");
    }
    println!(
        "sandbox p50 {:?} max {:?}; create+start p50 {:?} max {:?}; destroy {:?}",
        sandboxes[10],
        sandboxes[19],
        containers[10],
        containers[19],
        begin.elapsed() / 20
    );
    assert!(containers[10] < Duration::from_millis(150), "{containers:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_run_inside() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let pod = runtime.create_pod(sandbox("exec")).await.expect("pod");
    let mut spec = container("a", &image, "sleep 1000");
    spec.env = vec![("OWN".into(), "x y".into())];
    spec.security.run_as_user = Some(33);
    run(&pod, spec).await;
    let exec = |words: &[&str], limit: u64| {
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        let pod = pod.clone();
        async move { pod.exec("a", &words, Duration::from_millis(limit)).await }
    };
    let result = exec(&["sh", "-c", "echo $OWN-$FROM_IMAGE-$HOME; id; echo no >&2; exit 3"], 5000)
        .await
        .expect("exec");
    assert_eq!(result.code, 3);
    let out = String::from_utf8_lossy(&result.stdout).into_owned();
    assert!(out.starts_with("x y-yes-/srv\nuid=33(web) gid=34(web) groups=50(extra)"), "{out}");
    assert_eq!(result.stderr, b"no\n");
    let slow = exec(&["sleep", "100"], 200).await.expect("exec");
    assert!(slow.timed_out && slow.code == 137, "{slow:?}");
    let missing = exec(&["no-such-program"], 1000).await;
    assert!(
        matches!(&missing, Err(Error::Exec(text)) if text.contains("no-such-program")),
        "{missing:?}"
    );
    let big = exec(&["sh", "-c", "dd if=/dev/zero bs=1024 count=3000 2>/dev/null"], 5000)
        .await
        .expect("exec");
    assert!(big.truncated && big.stdout.len() == 1024 * 1024);
    let many = (0..8).map(|n| {
        let pod = pod.clone();
        tokio::spawn(async move {
            let words = ["sh".to_string(), "-c".into(), format!("exit {n}")];
            pod.exec("a", &words, Duration::from_secs(10)).await.expect("exec").code
        })
    });
    for (n, task) in many.collect::<Vec<_>>().into_iter().enumerate() {
        assert_eq!(task.await.expect("task"), n as i32);
    }
    pod.destroy().await.expect("destroy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stops_are_asked_then_forced() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let pod = runtime.create_pod(sandbox("stop")).await.expect("pod");
    run(&pod, container("polite", &image, "trap 'exit 5' TERM; while :; do sleep 0.05; done"))
        .await;
    run(&pod, container("stubborn", &image, "trap '' TERM; echo up; while :; do sleep 0.05; done"))
        .await;
    eventually("stubborn runs", async || log(&pod, "stubborn").await.len() == 1).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    pod.stop("polite", None, Duration::from_secs(30)).await.expect("stop");
    assert_eq!(wait_exit(&pod, "polite").await.code, 5);
    let begin = Instant::now();
    pod.stop("stubborn", None, Duration::from_millis(300)).await.expect("stop");
    let exit = wait_exit(&pod, "stubborn").await;
    assert_eq!((exit.code, exit.signal, exit.oom), (137, Some(9), false));
    assert!(
        begin.elapsed() > Duration::from_millis(290) && begin.elapsed() < Duration::from_secs(5)
    );
    pod.stop("stubborn", None, Duration::ZERO).await.expect("stopping what ended is fine");
    assert!(matches!(pod.stop("none", None, Duration::ZERO).await, Err(Error::NotFound(_))));
    pod.destroy().await.expect("destroy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_limits_kill_and_are_named() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let pod = runtime.create_pod(sandbox("oom")).await.expect("pod");
    let mut spec = container("a", &image, "tail /dev/zero");
    spec.resources.memory_limit_bytes = Some(16 * 1024 * 1024);
    run(&pod, spec).await;
    let exit = wait_exit(&pod, "a").await;
    assert!(exit.oom, "{exit:?}");
    assert_eq!(exit.code, 137);
    let mut spec = container("b", &image, "sleep 1000");
    spec.resources.cpu_shares = Some(512);
    spec.resources.cpu_quota_us = Some(50_000);
    run(&pod, spec).await;
    let usage = pod.usage(Some("b")).await.expect("usage");
    assert!(usage.memory_bytes > 0 && usage.pids >= 1, "{usage:?}");
    pod.destroy().await.expect("destroy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_daemon_adopts_what_runs() {
    let node = Node::new();
    let archive = node.archive();
    let config = &node.config;
    let mut daemon = tokio::process::Command::new(host_program())
        .arg("daemon")
        .args([&config.root, &config.run, &config.log_root])
        .args([&config.cgroup_root, &archive.display().to_string(), "adopt"])
        .args(["sleep 1000", "sleep 0.5; exit 9", "trap '' TERM; sleep 1000"])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("daemon");
    let mut out = tokio::io::BufReader::new(daemon.stdout.take().expect("output"));
    let mut line = String::new();
    tokio::io::AsyncBufReadExt::read_line(&mut out, &mut line).await.expect("line");
    assert_eq!(line, "started\n");
    daemon.kill().await.expect("kill");
    tokio::time::sleep(Duration::from_millis(900)).await;

    let runtime = node.runtime().await;
    let pods = runtime.adopt().await.expect("adopt");
    assert_eq!(pods.len(), 1);
    let pod = &pods[0];
    let status = pod.status().await.expect("status");
    assert!(!status.shim_lost);
    assert_eq!(status.sandbox.name, "pod");
    let states: Vec<ContainerState> = status.containers.iter().map(|c| c.state).collect();
    use ContainerState::{Exited, Running};
    assert_eq!(states, [Running, Exited, Running]);
    assert_eq!(status.containers[1].exit.as_ref().expect("exit").code, 9);
    let mut events = pod.events().expect("events");
    let replayed = async {
        loop {
            if let Some(PodEvent::Exited { id, exit }) = events.recv().await {
                return (id, exit.code);
            }
        }
    };
    let replayed = tokio::time::timeout(Duration::from_secs(5), replayed).await.expect("event");
    assert_eq!(replayed, ("adopt-c1".to_string(), 9));
    assert!(matches!(runtime.images().remove("test/busybox:1").await, Err(Error::InUse(_))));
    runtime.remove_orphans(|uid| uid == "adopt").await.expect("orphans");
    assert_eq!(pod.status().await.expect("status").containers.len(), 3);
    runtime.remove_orphans(|_| false).await.expect("orphans");
    eventually("nothing is left", async || node.leftovers().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_shim_is_noticed() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let mut spec = sandbox("lost");
    spec.share_process_namespace = true;
    let pod = runtime.create_pod(spec).await.expect("pod");
    let mut events = pod.events().expect("events");
    run(&pod, container("a", &image, "sleep 1000")).await;
    let state = fs::read(node.config.run.join("pods/lost/state.json")).expect("state");
    let state: serde_json::Value = serde_json::from_slice(&state).expect("state");
    let shim = state["pid"].as_i64().expect("pid") as i32;
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(shim), nix::sys::signal::Signal::SIGKILL)
        .expect("kill");
    let lost = async { while events.recv().await != Some(PodEvent::ShimLost) {} };
    tokio::time::timeout(Duration::from_secs(10), lost).await.expect("event");
    let status = pod.status().await.expect("status");
    let exit = status.containers[0].exit.clone().expect("exit");
    assert!(status.shim_lost && exit.lost && exit.code == 137);
    assert!(matches!(pod.start("a").await, Err(Error::ShimLost(_))));
    pod.destroy().await.expect("destroy");
    eventually("nothing is left", async || node.leftovers().is_empty()).await;
}
