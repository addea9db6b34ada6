//! Actor metrics in Prometheus' text format, summed by actor type so that ten thousand pods make
//! no ten thousand series.

use std::{collections::BTreeMap, fmt::Write};

use super::{cell::State, dead_letter::DeadReason, snapshot::TreeSnapshot};

#[derive(Default)]
struct Sum {
    alive: u64,
    stuck: u64,
    depth: u64,
    high_water: u64,
    refused: u64,
    restarts: u64,
    panics: u64,
    spent: u64,
}

pub(crate) fn render(tree: &TreeSnapshot, dead: &BTreeMap<DeadReason, u64>) -> String {
    let mut sums: BTreeMap<String, Sum> = BTreeMap::new();
    let mut messages: BTreeMap<(String, String), (u64, u64, u64)> = BTreeMap::new();
    for a in tree.actors() {
        let s = sums.entry(a.type_name.clone()).or_default();
        s.alive += 1;
        s.stuck += u64::from(a.state == State::Stuck);
        s.depth += a.mailbox.depth as u64;
        s.high_water = s.high_water.max(a.mailbox.high_water as u64);
        s.refused += a.mailbox.refused;
        s.restarts += a.restarts;
        s.panics += a.panics.len() as u64;
        s.spent += a.budget_spent;
        for m in &a.messages {
            let e = messages.entry((a.type_name.clone(), m.message.clone())).or_default();
            e.0 += m.count;
            e.1 += m.busy_us;
            e.2 += m.queued_us;
        }
    }
    let mut out = String::new();
    type Field = fn(&Sum) -> u64;
    let families: [(&str, &str, &str, Field); 8] = [
        ("actors", "gauge", "Living actors.", |s| s.alive),
        ("actors_stuck", "gauge", "Actors in one handler for over a second.", |s| s.stuck),
        ("actor_mailbox_depth", "gauge", "Letters waiting.", |s| s.depth),
        ("actor_mailbox_high_water", "gauge", "Most letters one mailbox held.", |s| s.high_water),
        ("actor_mailbox_refused_total", "counter", "Letters given back.", |s| s.refused),
        ("actor_restarts_total", "counter", "Restarts of living actors.", |s| s.restarts),
        ("actor_panics_kept", "gauge", "Panics on record of living actors.", |s| s.panics),
        ("actor_budget_spent_total", "counter", "Polls ended by the budget.", |s| s.spent),
    ];
    for (name, kind, help, field) in families {
        let _ = writeln!(out, "# HELP kabuki_{name} {help}\n# TYPE kabuki_{name} {kind}");
        for (actor, sum) in &sums {
            let _ = writeln!(out, "kabuki_{name}{{actor=\"{actor}\"}} {}", field(sum));
        }
    }
    let families: [(&str, &str, usize); 3] = [
        ("actor_messages_total", "Letters handled.", 0),
        ("actor_message_handle_seconds_total", "Time in handlers.", 1),
        ("actor_message_queue_seconds_total", "Time letters waited.", 2),
    ];
    for (name, help, at) in families {
        let _ = writeln!(out, "# HELP kabuki_{name} {help}\n# TYPE kabuki_{name} counter");
        for ((actor, message), v) in &messages {
            let labels = format!("actor=\"{actor}\",message=\"{message}\"");
            let _ = match at {
                0 => writeln!(out, "kabuki_{name}{{{labels}}} {}", v.0),
                1 => writeln!(out, "kabuki_{name}{{{labels}}} {}", seconds(v.1)),
                _ => writeln!(out, "kabuki_{name}{{{labels}}} {}", seconds(v.2)),
            };
        }
    }
    let _ = writeln!(
        out,
        "# HELP kabuki_actor_dead_letters_total Letters nobody read.\n\
         # TYPE kabuki_actor_dead_letters_total counter"
    );
    for (reason, n) in dead {
        let reason = reason.name();
        let _ = writeln!(out, "kabuki_actor_dead_letters_total{{reason=\"{reason}\"}} {n}");
    }
    out
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
