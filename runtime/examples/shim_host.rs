//! A daemon in miniature, for tests and for trying the runtime by hand: it re-executes itself as the
//! shim, starts one pod from an image archive and waits to be killed.
//!
//! `shim_host daemon ROOT RUN LOGS CGROUP ARCHIVE UID SCRIPT…` starts one container per script.

use kabuki_runtime::{ContainerSpec, PodSandboxSpec, Runtime, RuntimeConfig, reexec};

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    if let Some(code) = reexec::main_if_shim(&args) {
        std::process::exit(code);
    }
    let [_, command, root, run, logs, cgroup, archive, uid, scripts @ ..] = args.as_slice() else {
        anyhow::bail!("usage: shim_host daemon ROOT RUN LOGS CGROUP ARCHIVE UID SCRIPT...");
    };
    anyhow::ensure!(command == "daemon", "unknown command {command}");
    let config = RuntimeConfig {
        root: root.into(),
        run: run.into(),
        log_root: logs.into(),
        cgroup_root: cgroup.clone(),
        exe: std::env::current_exe()?,
    };
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(daemon(config, archive, uid, scripts))
}

async fn daemon(
    config: RuntimeConfig,
    archive: &str,
    uid: &str,
    scripts: &[String],
) -> anyhow::Result<()> {
    let runtime = Runtime::new(config).await?;
    let names = runtime.images().load(archive.as_ref()).await?;
    let image = runtime.images().get(&names[0]).ok_or_else(|| anyhow::anyhow!("no image"))?;
    let spec = PodSandboxSpec {
        uid: uid.into(),
        namespace: "default".into(),
        name: "pod".into(),
        hostname: "pod".into(),
        ..Default::default()
    };
    let pod = runtime.create_pod(spec).await?;
    for (at, script) in scripts.iter().enumerate() {
        let spec = ContainerSpec {
            id: format!("{uid}-c{at}"),
            name: format!("c{at}"),
            image: image.clone(),
            command: ["/bin/sh", "-c", script].map(String::from).to_vec(),
            ..Default::default()
        };
        pod.create_container(spec).await?;
        pod.start(&format!("{uid}-c{at}")).await?;
    }
    println!("started");
    std::future::pending().await
}
