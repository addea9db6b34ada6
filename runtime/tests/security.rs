//! What a container may and may not, and how pods share. Needs root.

mod support;

use std::{fs, time::Duration};

use kabuki_runtime::{
    Error,
    spec::{LogPolicy, Mount, Propagation, Seccomp},
    volume,
};
use support::*;

async fn output(pod: &kabuki_runtime::Pod, id: &str, script: &str) -> String {
    let words = ["sh".to_string(), "-c".into(), script.into()];
    let result = pod.exec(id, &words, Duration::from_secs(10)).await.expect("exec");
    format!(
        "{}{}",
        String::from_utf8_lossy(&result.stdout),
        String::from_utf8_lossy(&result.stderr)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn plain_containers_are_confined() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let pod = runtime.create_pod(sandbox("plain")).await.expect("pod");
    let mut spec = container("a", &image, "sleep 1000");
    spec.security.allow_privilege_escalation = false;
    spec.security.read_only_root = true;
    spec.security.seccomp = Seccomp::RuntimeDefault;
    spec.security.drop_capabilities = vec!["ALL".into()];
    spec.security.add_capabilities = vec!["NET_BIND_SERVICE".into()];
    run(&pod, spec).await;
    let status = output(&pod, "a", "cat /proc/1/status").await;
    let field = |name: &str| {
        let line = status.lines().find(|l| l.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).unwrap_or_default().to_string()
    };
    assert_eq!(field("CapBnd:"), "0000000000000400", "{status}");
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    assert!(output(&pod, "a", "touch /x").await.contains("Read-only file system"));
    assert!(output(&pod, "a", "echo 1 > /proc/sys/kernel/panic").await.contains("Read-only"));
    assert!(output(&pod, "a", "mount -t tmpfs x /tmp").await.contains("denied"));
    let mounts = output(&pod, "a", "cat /proc/mounts").await;
    for line in mounts.lines().filter(|l| l.contains(" cgroup")) {
        assert!(line.contains(" ro,"), "{line}");
    }
    assert!(
        output(&pod, "a", "cat /sys/fs/cgroup/memory.* /sys/fs/cgroup/memory/tasks")
            .await
            .contains('1')
    );
    let dir = node.dir.path().display().to_string();
    let others = mounts.lines().filter(|l| !l.starts_with("overlay / "));
    assert!(others.filter(|l| l.contains(&dir)).count() == 0, "{mounts}");
    let processes = output(&pod, "a", "ps").await;
    assert!(processes.lines().count() <= 4, "{processes}");
    pod.destroy().await.expect("destroy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn seccomp_without_no_new_privileges() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let pod = runtime.create_pod(sandbox("filter")).await.expect("pod");
    let mut spec =
        container("a", &image, "grep x y; unshare -n true; echo $?; cat /proc/self/status");
    spec.security.seccomp = Seccomp::RuntimeDefault;
    spec.security.run_as_user = Some(1000);
    run(&pod, spec).await;
    wait_exit(&pod, "a").await;
    let lines = log(&pod, "a").await.join("\n");
    assert!(lines.contains("Seccomp:\t2") && lines.contains("not permitted"), "{lines}");
    pod.destroy().await.expect("destroy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn privileged_containers_are_not() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let mut spec = sandbox("root");
    spec.host_network = true;
    spec.host_pid = true;
    spec.host_ipc = true;
    let pod = runtime.create_pod(spec).await.expect("pod");
    assert!(pod.netns().is_none());
    let mut spec = container("a", &image, "trap '' TERM; sleep 999 & sleep 1000");
    spec.security.privileged = true;
    run(&pod, spec).await;
    assert_eq!(output(&pod, "a", "mount -t tmpfs x /tmp && echo done").await, "done\n");
    let same = output(&pod, "a", "readlink /proc/self/ns/net").await;
    let own = fs::read_link("/proc/self/ns/net").expect("namespace");
    assert_eq!(same.trim(), own.display().to_string());
    pod.stop("a", None, Duration::ZERO).await.expect("stop");
    wait_exit(&pod, "a").await;
    pod.destroy().await.expect("destroy");
    eventually("nothing is left", async || node.leftovers().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pods_share_what_they_should() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let mut spec = sandbox("share");
    spec.share_process_namespace = true;
    spec.resolv_conf = Some("nameserver 10.96.0.10\n".into());
    spec.hosts = Some("127.0.0.1 localhost\n".into());
    spec.sysctls.insert("net.ipv4.ip_unprivileged_port_start".into(), "80".into());
    let pod = runtime.create_pod(spec).await.expect("pod");
    let volumes = node.dir.path().join("volumes");
    let empty = volumes.join("empty");
    volume::empty_dir(&empty, true, None, None).expect("volume");
    let mount = |target: &str, read_only: bool| Mount {
        source: empty.clone(),
        target: target.into(),
        read_only,
        propagation: Propagation::Private,
    };
    let mut spec = container("a", &image, "echo from-a > /data/deep/f; sleep 1000");
    spec.mounts = vec![mount("/data/deep", false), mount("/data", false), mount("/ro", true)];
    run(&pod, spec).await;
    run(&pod, container("b", &image, "sleep 1000")).await;
    pod.set_hosts("10.244.0.9 podhost\n").await.expect("hosts");
    assert_eq!(
        output(&pod, "b", "cat /etc/hosts /etc/resolv.conf").await,
        "10.244.0.9 podhost\nnameserver 10.96.0.10\n"
    );
    assert_eq!(
        output(&pod, "b", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start").await,
        "80\n"
    );
    let processes = output(&pod, "b", "ps").await;
    assert_eq!(processes.matches("sleep 1000").count(), 2, "{processes}");
    assert!(output(&pod, "b", "ip link show lo").await.contains("UP"));
    output(&pod, "a", "echo shared > /dev/shm/x").await;
    assert_eq!(output(&pod, "b", "cat /dev/shm/x").await, "shared\n");
    eventually("a wrote", async || empty.join("f").is_file()).await;
    assert!(output(&pod, "a", "touch /ro/no").await.contains("Read-only"));
    let mut bad = sandbox("bad");
    bad.sysctls.insert("kernel.panic".into(), "1".into());
    assert!(matches!(runtime.create_pod(bad).await, Err(Error::Create(_))));
    pod.destroy().await.expect("destroy");
    volume::remove_tree(&volumes).expect("volumes");
    eventually("nothing is left", async || node.leftovers().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terminals_input_and_rotation() {
    let node = Node::new();
    let (runtime, image) = node.with_image().await;
    let mut spec = sandbox("io");
    spec.log = LogPolicy { max_size_bytes: 20_000, max_files: 3 };
    let pod = runtime.create_pod(spec).await.expect("pod");
    let mut spec = container("tty", &image, "tty; stat -c %F /dev/console; echo $TERM");
    spec.tty = true;
    run(&pod, spec).await;
    assert_eq!(wait_exit(&pod, "tty").await.code, 0);
    let lines = log(&pod, "tty").await;
    assert!(lines[0].starts_with("stdout F /dev/pts/0"), "{lines:?}");
    let mut spec = container("in", &image, "cat; echo ended");
    spec.stdin = true;
    run(&pod, spec).await;
    run(&pod, container("null", &image, "cat; echo ended")).await;
    assert_eq!(wait_exit(&pod, "null").await.code, 0);
    let status = pod.status().await.expect("status");
    assert!(status.containers.iter().any(|c| c.id == "in" && c.exit.is_none()));
    let script = "i=0; while [ $i -lt 300 ]; do echo line $i 0123456789012345678901234567890123456789; i=$((i+1)); done";
    run(&pod, container("much", &image, script)).await;
    wait_exit(&pod, "much").await;
    let files = fs::read_dir(pod.log_dir().join("much")).expect("logs").count();
    assert!((2..=3).contains(&files), "{files}");
    let missing = pod.create_container({
        let mut spec = container("none", &image, "");
        spec.command = vec!["/no/such".into()];
        spec
    });
    let missing = missing.await;
    assert!(matches!(&missing, Err(Error::Create(t)) if t.contains("/no/such")), "{missing:?}");
    assert!(matches!(pod.start("none").await, Err(Error::NotFound(_))));
    pod.destroy().await.expect("destroy");
}
