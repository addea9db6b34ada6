//! A node of its own for each test, and images made of Debian's static busybox.
#![allow(dead_code)]

pub mod registry;

use std::{
    collections::HashSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use kabuki_runtime::{ContainerSpec, ImageInfo, Pod, PodSandboxSpec, Runtime, RuntimeConfig};
use serde_json::json;
use sha2::{Digest, Sha256};

/// Applets linked in the image.
const APPLETS: &[&str] = &[
    "sh", "echo", "sleep", "cat", "ls", "id", "env", "pwd", "hostname", "true", "false", "kill",
    "mount", "ps", "test", "touch", "dd", "head", "stat", "ip", "wc", "tail", "mkdir", "unshare",
    "readlink", "tty",
];

/// A runtime with directories and a cgroup of its own; everything goes when it is dropped.
pub struct Node {
    pub dir: tempfile::TempDir,
    pub config: RuntimeConfig,
}

impl Node {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("kbr").tempdir().expect("directory");
        let name = dir.path().file_name().expect("name").to_string_lossy().into_owned();
        let config = RuntimeConfig {
            root: dir.path().join("root"),
            run: dir.path().join("run"),
            log_root: dir.path().join("logs"),
            cgroup_root: format!("/{name}"),
            exe: host_program(),
        };
        Self { dir, config }
    }

    pub async fn runtime(&self) -> Runtime {
        Runtime::new(self.config.clone()).await.expect("runtime")
    }

    /// A runtime with the busybox image loaded.
    pub async fn with_image(&self) -> (Runtime, ImageInfo) {
        let runtime = self.runtime().await;
        let archive = self.archive();
        let names = runtime.images().load(&archive).await.expect("load");
        let image = runtime.images().get(&names[0]).expect("image");
        (runtime, image)
    }

    /// A docker-archive with the busybox image.
    pub fn archive(&self) -> PathBuf {
        let path = self.dir.path().join("busybox.tar");
        if !path.is_file() {
            fs::write(&path, docker_archive("test/busybox:1", &[busybox_layer()]))
                .expect("archive");
        }
        path
    }

    /// What is left on the machine of this node's pods.
    pub fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        let dir = self.dir.path().display().to_string();
        for line in fs::read_to_string("/proc/self/mountinfo").expect("mounts").lines() {
            if line.contains(&dir) {
                left.push(format!("mount {line}"));
            }
        }
        for sub in ["root/pods", "run/pods", "logs"] {
            for entry in fs::read_dir(self.dir.path().join(sub)).into_iter().flatten().flatten() {
                left.push(format!("directory {}", entry.path().display()));
            }
        }
        for pid in processes_with(&dir) {
            left.push(format!("process {pid}"));
        }
        for dir in cgroup_dirs(&self.config.cgroup_root) {
            if dir.contains("/pod") {
                left.push(format!("cgroup {dir}"));
            }
        }
        left
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        for pid in processes_with(&self.dir.path().display().to_string()) {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
        for _ in 0..100 {
            let dirs = cgroup_dirs(&self.config.cgroup_root);
            if dirs.is_empty() {
                break;
            }
            for dir in dirs.iter().rev() {
                for pid in
                    fs::read_to_string(format!("{dir}/cgroup.procs")).unwrap_or_default().lines()
                {
                    let _ = Command::new("kill").args(["-9", pid]).status();
                }
                let _ = fs::remove_dir(dir);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let prefix = self.dir.path().display().to_string();
        for line in mounts.lines().rev() {
            if let Some(target) = line.split(' ').nth(4).filter(|t| t.starts_with(&prefix)) {
                let _ = Command::new("umount").args(["-l", target]).status();
            }
        }
    }
}

fn cgroup_dirs(root: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut walk: Vec<PathBuf> = fs::read_dir("/sys/fs/cgroup")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path().join(root.trim_start_matches('/')))
        .chain([Path::new("/sys/fs/cgroup").join(root.trim_start_matches('/'))])
        .filter(|p| p.is_dir())
        .collect();
    while let Some(dir) = walk.pop() {
        found.push(dir.display().to_string());
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                walk.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

/// Processes whose command line names `text`.
fn processes_with(text: &str) -> Vec<i32> {
    let own = std::process::id() as i32;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("proc").flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        if pid != own && String::from_utf8_lossy(&line).contains(text) {
            found.push(pid);
        }
    }
    found
}

/// The program that can be re-executed as a shim; built with the tests.
pub fn host_program() -> PathBuf {
    let exe = std::env::current_exe().expect("own path");
    let path = exe.parent().expect("deps").parent().expect("profile").join("examples/shim_host");
    assert!(path.is_file(), "{} is missing; run the tests with cargo test", path.display());
    path
}

pub fn sandbox(uid: &str) -> PodSandboxSpec {
    PodSandboxSpec {
        uid: uid.into(),
        namespace: "default".into(),
        name: "pod".into(),
        hostname: "podhost".into(),
        ..Default::default()
    }
}

pub fn container(id: &str, image: &ImageInfo, script: &str) -> ContainerSpec {
    let mut spec = ContainerSpec {
        id: id.into(),
        name: id.into(),
        image: image.clone(),
        command: ["/bin/sh", "-c", script].map(String::from).to_vec(),
        ..Default::default()
    };
    spec.security.allow_privilege_escalation = true;
    spec
}

/// Creates and starts.
pub async fn run(pod: &Pod, spec: ContainerSpec) {
    let id = spec.id.clone();
    pod.create_container(spec).await.expect("create");
    pod.start(&id).await.expect("start");
}

/// Waits until a container ended.
pub async fn wait_exit(pod: &Pod, id: &str) -> kabuki_runtime::Exit {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let status = pod.status().await.expect("status");
        let found = status.containers.iter().find(|c| c.id == id).expect("container");
        if let Some(exit) = &found.exit {
            return exit.clone();
        }
        assert!(Instant::now() < until, "{id} did not end: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Waits until `done` answers true.
pub async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done().await {
        assert!(Instant::now() < until, "not within 20 s: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The text of a container's log without times.
pub async fn log(pod: &Pod, id: &str) -> Vec<String> {
    let status = pod.status().await.expect("status");
    let found = status.containers.iter().find(|c| c.id == id).expect("container");
    let text = fs::read_to_string(&found.log_path).unwrap_or_default();
    text.lines().map(|l| l.split_once(' ').expect("time").1.to_string()).collect()
}

pub fn keep(uids: &[&str]) -> HashSet<String> {
    uids.iter().map(ToString::to_string).collect()
}

/// One entry of a layer.
pub enum Item<'a> {
    Dir(&'a str, u32),
    File(&'a str, &'a [u8], u32),
    Link(&'a str, &'a str),
    Hard(&'a str, &'a str),
    Owned(&'a str, &'a [u8], u64, u64),
}

/// A layer as an uncompressed tar.
pub fn layer(items: &[Item]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for item in items {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(1_600_000_000);
        header.set_uid(0);
        header.set_gid(0);
        let (path, data, mode): (&str, &[u8], u32) = match item {
            Item::Dir(path, mode) => {
                header.set_entry_type(tar::EntryType::Directory);
                (path, b"", *mode)
            }
            Item::File(path, data, mode) => (path, data, *mode),
            Item::Owned(path, data, uid, gid) => {
                header.set_uid(*uid);
                header.set_gid(*gid);
                (path, data, 0o644)
            }
            Item::Link(path, target) | Item::Hard(path, target) => {
                let hard = matches!(item, Item::Hard(..));
                let kind = if hard { tar::EntryType::Link } else { tar::EntryType::Symlink };
                header.set_entry_type(kind);
                header.set_link_name_literal(target).expect("link");
                (path, b"", 0o777)
            }
        };
        header.set_mode(mode);
        header.set_size(data.len() as u64);
        // Written raw: tests need paths that a well-behaved writer refuses.
        let name = &mut header.as_old_mut().name;
        name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        tar.append(&header, data).expect("entry");
    }
    tar.into_inner().expect("tar")
}

/// A root filesystem of one static busybox.
pub fn busybox_layer() -> Vec<u8> {
    let program = fs::read("/bin/busybox").expect("busybox-static must be installed");
    let mut items = vec![
        Item::Dir("bin", 0o755),
        Item::Dir("etc", 0o755),
        Item::Dir("tmp", 0o1777),
        Item::Dir("root", 0o700),
        Item::File("bin/busybox", &program, 0o755),
        Item::File(
            "etc/passwd",
            b"root:x:0:0:root:/root:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n",
            0o644,
        ),
        Item::File("etc/group", b"root:x:0:\nweb:x:34:\nextra:x:50:web\n", 0o644),
    ];
    let links: Vec<String> = APPLETS.iter().map(|a| format!("bin/{a}")).collect();
    items.extend(links.iter().map(|l| Item::Link(l, "busybox")));
    layer(&items)
}

pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The configuration of an image made of `layers`.
pub fn configuration(layers: &[Vec<u8>]) -> Vec<u8> {
    let diff_ids: Vec<String> = layers.iter().map(|l| digest(l)).collect();
    json!({
        "architecture": "amd64", "os": "linux",
        "config": { "Env": ["PATH=/bin", "FROM_IMAGE=yes"], "Cmd": ["/bin/sh"], "WorkingDir": "/tmp" },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    })
    .to_string()
    .into_bytes()
}

fn add(tar: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    tar.append_data(&mut header, name, bytes).expect("entry");
}

/// What `docker save` writes.
pub fn docker_archive(name: &str, layers: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut names = Vec::new();
    for (at, layer) in layers.iter().enumerate() {
        let file = format!("{at}/layer.tar");
        add(&mut tar, &file, layer);
        names.push(file);
    }
    add(&mut tar, "config.json", &configuration(layers));
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": names }]);
    add(&mut tar, "manifest.json", manifest.to_string().as_bytes());
    tar.into_inner().expect("tar")
}

/// How the layers of an OCI image are compressed.
#[derive(Clone, Copy)]
pub enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// Compresses; answers the bytes and the ending of the media type.
pub fn pack(layer: &[u8], packing: Packing) -> (Vec<u8>, &'static str) {
    match packing {
        Packing::Plain => (layer.to_vec(), "tar"),
        Packing::Gzip => {
            let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(layer).expect("gzip");
            (out.finish().expect("gzip"), "tar+gzip")
        }
        Packing::Zstd => (zstd::encode_all(layer, 1).expect("zstd"), "tar+zstd"),
    }
}
