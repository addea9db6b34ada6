//! The cast as text, for terminals and curl.

use std::fmt::Write;

use super::snapshot::{ActorSnapshot, NodeSnapshot, SupervisorSnapshot, TreeSnapshot};

/// Panic text shown in one line, characters.
const PANIC_TEXT: usize = 80;

/// What `top` sorts by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TopBy {
    /// Time in handlers.
    Busy,
    /// Letters waiting.
    Depth,
    /// Letters handled.
    Handled,
    /// Restarts.
    Restarts,
}

impl TreeSnapshot {
    /// The tree, one line each.
    #[must_use]
    pub fn render_tree(&self) -> String {
        let mut out = String::new();
        node(&mut out, &self.root, "", "");
        out
    }

    /// The first `limit` actors by a measure, as a table.
    #[must_use]
    pub fn render_top(&self, by: TopBy, limit: usize) -> String {
        let mut actors = self.actors();
        actors.sort_by_key(|a| {
            std::cmp::Reverse(match by {
                TopBy::Busy => a.busy_us,
                TopBy::Depth => a.mailbox.depth as u64,
                TopBy::Handled => a.handled,
                TopBy::Restarts => a.restarts,
            })
        });
        let mut out = String::new();
        let _ = writeln!(
            out,
            "{:<52} {:<10} {:>11} {:>9} {:>10} {:>9} {:>8}  NOW",
            "PATH", "STATE", "MAIL", "HANDLED", "BUSY-MS", "P99-US", "RESTARTS"
        );
        for a in actors.into_iter().take(limit) {
            let p99 = a.messages.iter().map(|m| m.p99_us).max().unwrap_or(0);
            let mail = format!("{}/{}", a.mailbox.depth, a.mailbox.limit);
            let now = a.handling.as_ref().map_or("", |h| h.message.as_str());
            let _ = writeln!(
                out,
                "{:<52} {:<10} {mail:>11} {:>9} {:>10} {p99:>9} {:>8}  {now}",
                a.path,
                state(a),
                a.handled,
                a.busy_us / 1000,
                a.restarts,
            );
        }
        out
    }
}

impl ActorSnapshot {
    /// Everything known of one actor, several lines.
    #[must_use]
    pub fn render(&self) -> String {
        let mut out = String::new();
        let m = &self.mailbox;
        let _ = writeln!(out, "{}  ({})", self.path, self.type_name);
        let _ = writeln!(
            out,
            "state {}  life {}  restarts {} ({})",
            state(self),
            self.incarnation,
            self.restarts,
            self.restart
        );
        let _ = writeln!(
            out,
            "mailbox {} of {}, most {}, refused {}",
            m.depth, m.limit, m.high_water, m.refused
        );
        if let Some(h) = &self.handling {
            let _ = writeln!(out, "handling {} for {} µs", h.message, h.for_us);
        }
        for t in &self.messages {
            let _ = writeln!(
                out,
                "  {:<32} {:>9} handled, mean {} µs, p99 {} µs, longest {} µs",
                t.message,
                t.count,
                t.busy_us / t.count.max(1),
                t.p99_us,
                t.max_us
            );
        }
        for p in &self.panics {
            let _ = writeln!(
                out,
                "panic in life {} at {} handling {:?}: {}\n{}",
                p.incarnation, p.location, p.handling, p.message, p.backtrace
            );
        }
        out
    }
}

fn state(a: &ActorSnapshot) -> String {
    format!("{:?}", a.state).to_lowercase()
}

fn name(path: &str) -> &str {
    if path == "/" { "/" } else { path.rsplit('/').next().unwrap_or(path) }
}

/// A child's name relative to its parent: ids may hold slashes.
fn relative<'a>(path: &'a str, parent: &str) -> &'a str {
    path.strip_prefix(parent).map_or_else(|| name(path), |rest| rest.trim_start_matches('/'))
}

fn node(out: &mut String, n: &NodeSnapshot, lead: &str, parent: &str) {
    match n {
        NodeSnapshot::Supervisor(s) => {
            let shown = if s.path == "/" { "/" } else { relative(&s.path, parent) };
            let _ = writeln!(
                out,
                "{shown}  [{} {}, restarts {}, {}/{} in {} s]",
                s.strategy,
                s.state,
                s.restarts,
                s.intensity_used,
                s.intensity_allowed,
                s.period_ms / 1000
            );
            below(out, s, lead);
        }
        NodeSnapshot::Actor(a) => {
            let _ = write!(
                out,
                "{}  {} {}  mail {}/{}  handled {}",
                relative(&a.path, parent),
                a.type_name,
                state(a),
                a.mailbox.depth,
                a.mailbox.limit,
                a.handled
            );
            if let Some(h) = &a.handling {
                let _ = write!(out, "  now {}", h.message);
            }
            if let Some(p) = a.panics.last() {
                let text: String = p.message.chars().take(PANIC_TEXT).collect();
                let _ = write!(out, "  restarts {} (last: {text})", a.restarts);
            } else if a.restarts > 0 {
                let _ = write!(out, "  restarts {}", a.restarts);
            }
            out.push('\n');
            if let Some(s) = &a.children {
                below(out, s, lead);
            }
        }
    }
}

fn below(out: &mut String, s: &SupervisorSnapshot, lead: &str) {
    for (i, child) in s.children.iter().enumerate() {
        let last = i + 1 == s.children.len();
        let (branch, next) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        out.push_str(lead);
        out.push_str(branch);
        node(out, child, &format!("{lead}{next}"), &s.path);
    }
}
