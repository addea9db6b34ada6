//! The debug face without HTTP: one call, one answer, the same for this process and for a remote
//! one that is reached over a link.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    control::Control,
    error::KernelError,
    render::{self, TopBy},
    system::Kernel,
    trace::Trace,
};

/// Rows of `?top=` when no number is given, and at most.
const TOP_ROWS: [usize; 2] = [20, 1_000];
const ACTORS: &str = "/debug/actors";

/// A request to the debug face.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DebugCall {
    /// Whether something is ordered (POST) rather than read (GET).
    pub order: bool,
    /// `/debug/…`
    pub path: String,
    /// Parameters.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// In whose name. The caller has authenticated and authorised them.
    pub user: String,
}

/// What is answered.
#[derive(Debug)]
pub enum DebugAnswer {
    /// A JSON document.
    Json(Vec<u8>),
    /// Lines for a terminal.
    Text(String),
    /// Events as they happen.
    Trace(Box<Trace>),
}

/// Why not; fields are those of a Kubernetes Status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugError {
    /// HTTP status code.
    pub code: u16,
    /// For example `NotFound`.
    pub reason: String,
    /// What to do.
    pub message: String,
}

impl DebugError {
    fn new(code: u16, reason: &str, message: impl Into<String>) -> Self {
        Self { code, reason: reason.to_owned(), message: message.into() }
    }

    fn no_page(path: &str) -> Self {
        let pages = "/debug/actors, /debug/deadletters, /debug/alarms and /debug/audit";
        Self::new(404, "NotFound", format!("nothing at {path}: there are {pages}"))
    }

    fn bad(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }
}

impl From<KernelError> for DebugError {
    fn from(error: KernelError) -> Self {
        let (code, reason) = match &error {
            KernelError::NotFound(_) => (404, "NotFound"),
            KernelError::Busy(_) | KernelError::TooManyTraces(_) => (429, "TooManyRequests"),
            KernelError::NotAnActor(_) => (400, "BadRequest"),
            KernelError::NoRuntime | KernelError::Thread(_) => (500, "InternalError"),
        };
        Self::new(code, reason, error.to_string())
    }
}

impl DebugCall {
    fn get(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// Whether lines for a terminal are wanted.
    #[must_use]
    pub fn wants_text(&self) -> bool {
        self.get("format") == "text"
    }

    /// Whether the answer is a stream of events.
    #[must_use]
    pub fn is_trace(&self) -> bool {
        self.order && self.path.trim_end_matches('/').ends_with("/trace")
    }

    fn time(&self) -> Result<Option<Duration>, DebugError> {
        match self.get("for") {
            "" => Ok(None),
            text => parse_time(text).map(Some).ok_or_else(|| {
                DebugError::bad(format!("for={text:?} is no time: write 500ms, 10s or 2m"))
            }),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, DebugError> {
        match self.get(name) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| DebugError::bad(format!("{name}={text:?} is no number"))),
        }
    }
}

/// `500ms`, `10s`, `2m`, or seconds.
fn parse_time(text: &str) -> Option<Duration> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let n: u64 = digits.parse().ok()?;
    match &text[digits.len()..] {
        "ms" => Some(Duration::from_millis(n)),
        "s" | "" => Some(Duration::from_secs(n)),
        "m" => Some(Duration::from_secs(n.checked_mul(60)?)),
        _ => None,
    }
}

impl Kernel {
    /// Answers a call to the debug face.
    ///
    /// # Errors
    /// What to tell the caller.
    pub async fn debug(&self, call: &DebugCall) -> Result<DebugAnswer, DebugError> {
        let path = call.path.trim_end_matches('/');
        if call.order {
            return self.obey(call, path);
        }
        match path {
            "/debug/deadletters" => {
                let (totals, letters) = (self.dead_letter_totals(), self.dead_letters());
                let text = || render::dead_letters(&totals, &letters);
                answer(call, &json!({"totals": totals, "letters": letters}), text)
            }
            "/debug/alarms" => {
                let alarms = self.alarms();
                answer(call, &json!({"alarms": alarms}), || render::alarms(&alarms))
            }
            "/debug/audit" => {
                let audit = self.audit();
                answer(call, &json!({"orders": audit}), || render::audit(&audit))
            }
            ACTORS => self.show_tree(call),
            _ => {
                let actor = path.strip_prefix(ACTORS).ok_or_else(|| DebugError::no_page(path))?;
                if let Some(actor) = actor.strip_suffix("/state") {
                    return document(&self.inspect(actor).await?);
                }
                let shown = self.show(actor)?;
                answer(call, &shown, || shown.render())
            }
        }
    }

    fn show_tree(&self, call: &DebugCall) -> Result<DebugAnswer, DebugError> {
        let tree = self.tree();
        let by = match call.get("top") {
            "" => return answer(call, &tree, || tree.render_tree()),
            "depth" => TopBy::Depth,
            "busy" => TopBy::Busy,
            "restarts" => TopBy::Restarts,
            _ => TopBy::Handled,
        };
        let rows = call.number("limit")?.and_then(|n| usize::try_from(n).ok());
        let rows = rows.unwrap_or(TOP_ROWS[0]).min(TOP_ROWS[1]);
        answer(call, &tree, || tree.render_top(by, rows))
    }

    fn obey(&self, call: &DebugCall, path: &str) -> Result<DebugAnswer, DebugError> {
        let below = path.strip_prefix(ACTORS).ok_or_else(|| DebugError::no_page(path))?;
        let (actor, order) = below.rsplit_once('/').ok_or_else(|| DebugError::no_page(path))?;
        let actor = if actor.is_empty() { "/" } else { actor };
        let time = call.time()?;
        let control = match order {
            "trace" => {
                let trace = self.trace(&call.user, actor, time, call.number("max")?)?;
                return Ok(DebugAnswer::Trace(Box::new(trace)));
            }
            "pause" => time.map_or(Control::Pause, Control::PauseFor),
            "resume" => Control::Resume,
            "restart" => Control::Restart,
            "panic" => Control::InjectPanic("panic injected through /debug/actors".to_owned()),
            _ => {
                let orders = "pause, resume, restart, panic and trace";
                let text = format!("{order:?} is no order: there are {orders}");
                return Err(DebugError::new(404, "NotFound", text));
            }
        };
        self.order(&call.user, actor, control)?;
        document(&json!({"path": actor, "order": order, "accepted": true}))
    }
}

fn document<T: Serialize>(value: &T) -> Result<DebugAnswer, DebugError> {
    let bytes = serde_json::to_vec(value)
        .map_err(|e| DebugError::new(500, "InternalError", e.to_string()))?;
    Ok(DebugAnswer::Json(bytes))
}

fn answer<T: Serialize>(
    call: &DebugCall,
    value: &T,
    text: impl FnOnce() -> String,
) -> Result<DebugAnswer, DebugError> {
    if call.wants_text() { Ok(DebugAnswer::Text(text())) } else { document(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, ms) in [("500ms", 500), ("10s", 10_000), ("10", 10_000), ("2m", 120_000)] {
            assert_eq!(parse_time(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1h30m", "-1s", "1.5s", "99999999999999999999s"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
