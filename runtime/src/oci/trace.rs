//! Catches what libcontainer says about errors. Its results name the step that failed, its log names
//! the reason; and most of it happens in processes that share nothing with us but open files.

use std::{
    fmt::Write as _,
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use crate::error::{Error, Result};

/// Most bytes of reasons given in an error message.
const REASON_LIMIT_BYTES: u64 = 2048;

/// Errors logged by this process and all its forks.
pub(super) struct Trace(File);

impl Trace {
    /// Starts to listen, for the rest of this (short) process.
    pub fn start() -> Result<Self> {
        let fail = |e: std::io::Error| Error::system("cannot make a memory file")(e);
        let fd = memfd_create("errors", MFdFlags::MFD_CLOEXEC).map_err(|e| fail(e.into()))?;
        let file = File::from(fd);
        let copy = file.try_clone().map_err(fail)?;
        // A second listener in one process is refused; then the first one goes on.
        let _ = tracing::subscriber::set_global_default(Catcher(copy));
        Ok(Self(file))
    }

    /// What was said, the first (innermost) reason first.
    pub fn reasons(mut self) -> String {
        let mut text = String::new();
        if self.0.seek(SeekFrom::Start(0)).is_ok() {
            let mut bytes = Vec::new();
            let _ = self.0.take(REASON_LIMIT_BYTES).read_to_end(&mut bytes);
            text = String::from_utf8_lossy(&bytes).into_owned();
        }
        text.lines().next().unwrap_or_default().to_string()
    }
}

struct Catcher(File);

impl Subscriber for Catcher {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        let text = line.0.replace('\n', " ");
        let _ = (&self.0).write_all(format!("{text}\n").as_bytes());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let separator = if self.0.is_empty() { "" } else { ", " };
        // Writing into a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{separator}{value:?}"),
            name => write!(self.0, "{separator}{name}: {value:?}"),
        };
    }
}
