//! What every long-running subcommand shares: logging, the runtime, the actor kernel, and an end in
//! good order on SIGTERM or SIGINT.

use std::{future::Future, time::Duration};

use kabuki_actors::kernel::{Kernel, KernelConfig};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tracing_subscriber::EnvFilter;

/// How long actors may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// Exit status when the root supervisor gave up (EX_SOFTWARE of sysexits.h).
const EXIT_ROOT_FAILED: i32 = 70;

/// A running process.
pub struct Daemon {
    /// Runs the actors.
    pub kernel: Kernel,
    stopping: watch::Receiver<bool>,
}

impl Daemon {
    /// Waits for a future, or for the order to stop.
    pub async fn wait(&self, future: impl Future<Output = ()>) {
        tokio::select! {
            () = future => {}
            () = self.until_stopped() => {}
        }
    }

    /// Stops every actor; containers go on. Whoever the actors write to is stopped afterwards.
    pub async fn stop_actors(&self) {
        if tokio::time::timeout(STOP_LIMIT, self.kernel.shutdown()).await.is_err() {
            tracing::warn!("some actors did not stop within {STOP_LIMIT:?}");
        }
    }

    /// Returns when the process was asked to stop.
    pub async fn until_stopped(&self) {
        let mut stopping = self.stopping.clone();
        // An error means that the sender is gone, which only happens when the process ends.
        let _ = stopping.wait_for(|stop| *stop).await;
    }
}

/// Runs `body` to its end on a new runtime with a new kernel.
///
/// # Errors
/// Those of `body`, and a log filter that cannot be parsed.
pub fn run(
    filter: &str,
    body: impl AsyncFnOnce(&Daemon) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter)
        .map_err(|e| anyhow::anyhow!("--log {filter:?} is no filter: {e}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let (stop, stopping) = watch::channel(false);
        tokio::spawn(async move {
            wait_for_signal().await;
            // Nobody listens any more when the body has already ended.
            let _ = stop.send(true);
        });
        let daemon = Daemon { kernel: Kernel::new(kernel_config())?, stopping };
        let result = body(&daemon).await;
        daemon.stop_actors().await;
        result
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// When even the root supervisor gives up, a fresh process is the last restart there is.
fn kernel_config() -> KernelConfig {
    KernelConfig {
        on_root_failure: std::sync::Arc::new(|why| {
            tracing::error!(why, "the root supervisor failed: this process ends");
            std::process::exit(EXIT_ROOT_FAILED);
        }),
        ..KernelConfig::default()
    }
}

async fn wait_for_signal() {
    let (Ok(mut term), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("cannot watch for signals: stop this process with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
}
