//! The cast as text, for terminals and curl.

use std::{collections::BTreeMap, fmt::Write};

use super::{
    alarm::Alarm,
    audit::AuditRecord,
    dead_letter::{DeadLetter, DeadReason},
    snapshot::{ActorSnapshot, NodeSnapshot, SupervisorSnapshot, TreeSnapshot},
};

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
        for c in &self.cycles {
            let (paths, ms) = (c.paths.join(" → "), c.for_ms);
            let _ = writeln!(out, "wait for each other since {ms} ms: {paths}");
        }
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
            "state {}{}  life {}  restarts {} ({})  failures in a row {}",
            state(self),
            wakes(self),
            self.incarnation,
            self.restarts,
            self.restart,
            self.failures
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
        for kind in &self.alarms {
            let _ = writeln!(out, "alarm {}", kind.name());
        }
        for w in &self.waiting_on {
            let (kind, ms) = (format!("{:?}", w.kind).to_lowercase(), w.for_us / 1000);
            let _ = writeln!(out, "waits for {} ({kind} {}) since {ms} ms", w.target, w.message);
        }
        for what in &self.set_aside {
            let _ = writeln!(out, "set aside {what}");
        }
        for r in &self.restart_log {
            let (at, reason, why) = (clock(r.at_ms), r.reason.name(), &r.why);
            let _ = writeln!(
                out,
                "restart at {at} after life {}, {reason}, back-off {} ms: {why}",
                r.incarnation, r.backoff_ms
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

/// Letters nobody read, newest first.
pub(crate) fn dead_letters(totals: &BTreeMap<DeadReason, u64>, letters: &[DeadLetter]) -> String {
    let mut out = String::new();
    let all: Vec<String> = totals.iter().map(|(r, n)| format!("{} {n}", r.name())).collect();
    let _ =
        writeln!(out, "in all: {}", if all.is_empty() { "none".into() } else { all.join(", ") });
    for d in letters.iter().rev() {
        let from = if d.from.is_empty() { "outside" } else { &d.from };
        let _ = write!(
            out,
            "{}  {:<17} {:>7} ×  {} {}  {from} → {}  waited {} µs",
            clock(d.at_ms),
            d.reason.name(),
            d.count,
            d.message,
            d.identity,
            d.to,
            d.age_us
        );
        if !d.panic.is_empty() {
            let text: String = d.panic.chars().take(PANIC_TEXT).collect();
            let _ = write!(out, "  panic: {text}");
        }
        out.push('\n');
    }
    out
}

/// Alarms, newest first.
pub(crate) fn alarms(alarms: &[Alarm]) -> String {
    let mut out = String::new();
    for a in alarms.iter().rev() {
        let edge = if a.raised { "raised" } else { "cleared" };
        let (at, kind) = (clock(a.at_ms), a.kind.name());
        let _ = writeln!(out, "{at}  {edge:<7}  {kind:<10}  {}  {}", a.path, a.text);
    }
    out
}

/// Orders, newest first.
pub(crate) fn audit(orders: &[AuditRecord]) -> String {
    let mut out = String::new();
    for o in orders.iter().rev() {
        let at = clock(o.at_ms);
        let _ = writeln!(out, "{at}  {}  {:<8}  {}  {}", o.user, o.order, o.path, o.outcome);
    }
    out
}

/// Time of day, UTC.
fn clock(ms: u64) -> String {
    let s = ms / 1000;
    format!("{:02}:{:02}:{:02}.{:03}", s / 3600 % 24, s / 60 % 60, s % 60, ms % 1000)
}

fn wakes(a: &ActorSnapshot) -> String {
    a.wakes_in_ms.map(|ms| format!(" for {ms} ms more")).unwrap_or_default()
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
            for kind in &a.alarms {
                let _ = write!(out, "  ALARM {}", kind.name());
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
    for g in &s.graves {
        let _ = writeln!(
            out,
            "{lead}†  {}  {:?} {} s ago",
            relative(&g.path, &s.path),
            g.reason,
            g.ago_ms / 1000
        );
    }
    for (i, child) in s.children.iter().enumerate() {
        let last = i + 1 == s.children.len();
        let (branch, next) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        out.push_str(lead);
        out.push_str(branch);
        node(out, child, &format!("{lead}{next}"), &s.path);
    }
}
