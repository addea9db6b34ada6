//! Work inside another network namespace, on a thread that is made for it and ends with it.

use std::{fs::File, future::Future, path::Path};

use nix::sched::{CloneFlags, setns};

use crate::{Error, Result};

/// Runs an async piece of work inside the namespace at `path`.
///
/// A thread that has changed its namespace must never run anything else, so each call gets its own
/// with its own small runtime. Blocking: call it from `spawn_blocking` or a thread.
///
/// # Errors
/// `File` when the namespace cannot be opened, `System` when it cannot be entered, or what the work
/// returns.
pub fn in_netns<T, F, W>(path: &Path, work: W) -> Result<T>
where
    W: FnOnce() -> F + Send,
    F: Future<Output = Result<T>>,
    T: Send,
{
    let ns = File::open(path).map_err(Error::file("cannot open network namespace", path))?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .name("kabuki-netns".to_owned())
            .spawn_scoped(scope, move || {
                setns(&ns, CloneFlags::CLONE_NEWNET)
                    .map_err(|e| Error::system("cannot enter network namespace")(e.into()))?;
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .map_err(Error::system("cannot make a runtime for a network namespace"))?;
                runtime.block_on(work())
            })
            .map_err(Error::system("cannot start a thread for a network namespace"))?;
        thread.join().unwrap_or_else(|_| {
            Err(Error::System {
                what: "work in a network namespace".to_owned(),
                source: std::io::Error::other("it panicked"),
            })
        })
    })
}
