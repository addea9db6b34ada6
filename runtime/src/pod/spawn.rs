//! Starting a shim.

use std::{fs, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
};

use crate::{
    error::{Error, Result},
    shim::{READY, protocol::PodPlan},
};

/// How long a shim may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(10);
/// Longest reason a shim can give for not starting.
const REASON_LIMIT_BYTES: u64 = 64 * 1024;

/// The locked file a shim holds open as its standard input. Taken here, so that there is no moment in
/// which a shim runs and nobody can know.
fn take_lock(plan: &PodPlan) -> Result<fs::File> {
    let path = plan.paths.lock();
    let file = fs::File::create(&path).map_err(Error::file("cannot make", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => {
            Err(Error::AlreadyExists(format!("the shim of pod {}", plan.spec.uid)))
        }
        Err(fs::TryLockError::Error(e)) => Err(Error::file("cannot lock", &path)(e)),
    }
}

/// Whether a shim holds the lock of its pod; `None` when there is no lock to ask.
pub(super) fn is_locked(path: &Path) -> Option<bool> {
    let file = fs::File::open(path).ok()?;
    match file.try_lock() {
        Ok(()) => Some(false),
        Err(fs::TryLockError::WouldBlock) => Some(true),
        Err(fs::TryLockError::Error(_)) => None,
    }
}

/// Re-executes `exe` as the shim of a pod and waits until it serves.
pub(crate) async fn spawn(exe: &Path, plan: &PodPlan) -> Result<Child> {
    let log = plan.paths.run.join("shim.log");
    let log = fs::File::create(&log).map_err(Error::file("cannot make", log))?;
    let lock = take_lock(plan)?;
    let mut child = Command::new(exe)
        .arg("shim")
        .arg("--pod")
        .arg(&plan.paths.run)
        .env_clear()
        .stdin(Stdio::from(lock))
        .stdout(Stdio::piped())
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
        .map_err(Error::file("cannot start a shim from", exe))?;
    let mut said = String::new();
    let read = async {
        if let Some(out) = child.stdout.take() {
            out.take(REASON_LIMIT_BYTES).read_to_string(&mut said).await?;
        }
        Ok::<(), std::io::Error>(())
    };
    let failure = match tokio::time::timeout(START_LIMIT, read).await {
        Ok(Ok(())) if said == READY => return Ok(child),
        Ok(Ok(())) if said.is_empty() => {
            format!("it ended; see {}", plan.paths.run.join("shim.log").display())
        }
        Ok(Ok(())) => said,
        Ok(Err(e)) => e.to_string(),
        Err(_) => format!("it was not ready within {START_LIMIT:?}"),
    };
    let _ = child.start_kill();
    let _ = child.wait().await;
    Err(Error::Create(format!("the shim of pod {} did not start: {failure}", plan.spec.uid)))
}
