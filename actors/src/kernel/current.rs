//! Which actor the running thread plays, and the panic hook that writes down who fell and where.

use std::{
    any::Any,
    backtrace::Backtrace,
    cell::RefCell,
    sync::{Arc, Once, atomic::Ordering},
};

use super::{attendant::Carried, cell::Cell};

/// Longest panic message kept, bytes.
const MAX_MESSAGE: usize = 1024;
/// Longest backtrace kept, bytes.
const MAX_BACKTRACE: usize = 8 * 1024;

thread_local! {
    static CURRENT: RefCell<Option<Arc<Cell>>> = const { RefCell::new(None) };
    static FALLEN: RefCell<Option<Fallen>> = const { RefCell::new(None) };
}

/// What the panic hook saw.
#[derive(Debug, Clone)]
pub(crate) struct Fallen {
    pub message: String,
    pub location: String,
    pub backtrace: String,
}

/// While it lives, panics on this thread are this actor's.
pub(crate) struct OnStage(Option<Arc<Cell>>);

impl OnStage {
    pub(crate) fn enter(cell: &Arc<Cell>) -> Self {
        Self(CURRENT.with(|c| c.borrow_mut().replace(cell.clone())))
    }
}

impl Drop for OnStage {
    fn drop(&mut self) {
        CURRENT.with(|c| *c.borrow_mut() = self.0.take());
    }
}

/// Path of the actor this thread plays now.
pub(crate) fn current_path() -> Option<Arc<str>> {
    CURRENT.with(|c| c.borrow().as_ref().map(|cell| cell.path.clone()))
}

/// The actor this thread plays now.
pub(crate) fn current_cell() -> Option<Arc<Cell>> {
    CURRENT.with(|c| c.borrow().clone())
}

/// What the hook saw of the panic just caught; `payload` where the hook was replaced.
pub(crate) fn take_fallen(payload: &(dyn Any + Send)) -> Fallen {
    if let Some(carried) = payload.downcast_ref::<Carried>() {
        return carried.0.clone();
    }
    FALLEN.with(|f| f.borrow_mut().take()).unwrap_or_else(|| Fallen {
        message: bounded(&payload_text(payload), MAX_MESSAGE),
        location: String::new(),
        backtrace: String::new(),
    })
}

fn payload_text(payload: &(dyn Any + Send)) -> String {
    if let Some(s) = payload.downcast_ref::<&str>() {
        (*s).to_owned()
    } else if let Some(s) = payload.downcast_ref::<String>() {
        s.clone()
    } else {
        "panic with a value that is no text".to_owned()
    }
}

pub(crate) fn bounded(text: &str, max: usize) -> String {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Installs the hook once per process. Panics outside actors go on to the previous hook.
pub(crate) fn install_panic_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            // try_borrow: a panic inside the hook's own data must not become an abort.
            let cell = CURRENT.with(|c| c.try_borrow().ok().and_then(|c| c.clone()));
            let Some(cell) = cell else { return previous(info) };
            // Before unwinding drops the reply channel: askers tell a panic from an end by it.
            cell.panics_begun.fetch_add(1, Ordering::SeqCst);
            let fallen = Fallen {
                message: bounded(&payload_text(info.payload()), MAX_MESSAGE),
                location: info.location().map(ToString::to_string).unwrap_or_default(),
                backtrace: bounded(&Backtrace::force_capture().to_string(), MAX_BACKTRACE),
            };
            FALLEN.with(|f| {
                if let Ok(mut f) = f.try_borrow_mut() {
                    *f = Some(fallen);
                }
            });
        }));
    });
}
