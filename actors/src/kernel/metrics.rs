//! Actor metrics in Prometheus' text format, summed by actor type so that ten thousand pods make
//! no ten thousand series.

use std::{
    collections::BTreeMap,
    fmt::Write,
    sync::{Arc, atomic::Ordering},
};

use super::{
    alarm::AlarmKind,
    cell::{Cell, State},
    record::RestartReason,
    shared::Shared,
    stats::{Histogram, MessageTotals, micros, percentile_us, short_name},
    totals::{ByType, Totals},
};

/// What living actors of one type show now.
#[derive(Default)]
struct Now {
    alive: u64,
    stuck: u64,
    paused: u64,
    depth: u64,
    high_water: u64,
}

pub(crate) fn render(shared: &Shared, cells: &[Arc<Cell>]) -> String {
    // Ended actors first: one that ends meanwhile is then missing once rather than counted twice.
    let mut totals: ByType = shared.totals.lock().clone();
    let mut now: BTreeMap<&'static str, Now> = BTreeMap::new();
    for cell in cells {
        totals.entry(cell.type_name).or_default().add(cell);
        let n = now.entry(cell.type_name).or_default();
        let state = cell.state();
        n.alive += 1;
        n.stuck += u64::from(state == State::Stuck);
        n.paused += u64::from(state == State::Paused);
        n.depth += cell.depth() as u64;
        n.high_water = n.high_water.max(cell.high_water.load(Ordering::Relaxed) as u64);
    }
    let mut out = String::with_capacity(32 * 1024);
    render_now(&mut out, &now);
    render_totals(&mut out, &totals);
    render_messages(&mut out, &totals);
    render_kernel(&mut out, shared, cells);
    out
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP kabuki_{name} {help}\n# TYPE kabuki_{name} {kind}");
}

fn render_now(out: &mut String, now: &BTreeMap<&'static str, Now>) {
    type Field = fn(&Now) -> u64;
    let families: [(&str, &str, Field); 5] = [
        ("actors", "Living actors.", |n| n.alive),
        ("actors_stuck", "Actors in one handler for over a second.", |n| n.stuck),
        ("actors_paused", "Actors that keep their mail by order.", |n| n.paused),
        ("actor_mailbox_depth", "Letters waiting.", |n| n.depth),
        ("actor_mailbox_high_water", "Most letters one mailbox held.", |n| n.high_water),
    ];
    for (name, help, field) in families {
        head(out, name, "gauge", help);
        for (actor, n) in now {
            let actor = short_name(actor);
            let _ = writeln!(out, "kabuki_{name}{{actor=\"{actor}\"}} {}", field(n));
        }
    }
}

fn render_totals(out: &mut String, totals: &ByType) {
    type Field = fn(&Totals) -> u64;
    let families: [(&str, &str, Field); 3] = [
        ("actor_mailbox_refused_total", "Letters given back.", |t| t.refused),
        ("actor_panics_total", "Panics.", |t| t.panics),
        ("actor_budget_spent_total", "Polls ended by the budget.", |t| t.spent),
    ];
    for (name, help, field) in families {
        head(out, name, "counter", help);
        for (actor, t) in totals {
            let actor = short_name(actor);
            let _ = writeln!(out, "kabuki_{name}{{actor=\"{actor}\"}} {}", field(t));
        }
    }
    head(out, "actor_restarts_total", "counter", "Restarts.");
    for (actor, t) in totals {
        let actor = short_name(actor);
        for (reason, n) in RestartReason::ALL.iter().zip(t.restarts).filter(|(_, n)| *n > 0) {
            let labels = format!("actor=\"{actor}\",reason=\"{}\"", reason.name());
            let _ = writeln!(out, "kabuki_actor_restarts_total{{{labels}}} {n}");
        }
    }
}

fn render_messages(out: &mut String, totals: &ByType) {
    let each = |write: &mut dyn FnMut(&str, &MessageTotals)| {
        for (actor, t) in totals {
            for (message, m) in &t.messages {
                let (actor, message) = (short_name(actor), short_name(message));
                write(&format!("actor=\"{actor}\",message=\"{message}\""), m);
            }
        }
    };
    head(out, "actor_messages_total", "counter", "Letters handled.");
    each(&mut |labels, m| {
        let _ = writeln!(out, "kabuki_actor_messages_total{{{labels}}} {}", m.count);
    });
    type Times = fn(&MessageTotals) -> (&Histogram, std::time::Duration);
    let families: [(&str, &str, Times); 2] = [
        ("actor_handle_seconds", "Time in handlers.", |m| (&m.handle_times, m.busy)),
        ("actor_queue_seconds", "Time letters waited.", |m| (&m.queue_times, m.queued)),
    ];
    for (name, help, times) in families {
        head(out, name, "summary", help);
        each(&mut |labels, m| {
            let (histogram, sum) = times(m);
            for (quantile, percent) in [("0.5", 50), ("0.99", 99)] {
                let at = seconds(percentile_us(histogram, percent));
                let _ = writeln!(out, "kabuki_{name}{{{labels},quantile=\"{quantile}\"}} {at}");
            }
            let _ = writeln!(out, "kabuki_{name}_sum{{{labels}}} {}", seconds(micros(sum)));
            let _ = writeln!(out, "kabuki_{name}_count{{{labels}}} {}", m.count);
        });
    }
}

fn render_kernel(out: &mut String, shared: &Shared, cells: &[Arc<Cell>]) {
    head(out, "actor_dead_letters_total", "counter", "Letters nobody read.");
    for (reason, n) in shared.dead.totals() {
        let reason = reason.name();
        let _ = writeln!(out, "kabuki_actor_dead_letters_total{{reason=\"{reason}\"}} {n}");
    }
    head(out, "actor_alarms_total", "counter", "Alarms raised.");
    for kind in AlarmKind::ALL {
        let n = shared.alarms.raised(kind);
        let _ = writeln!(out, "kabuki_actor_alarms_total{{kind=\"{}\"}} {n}", kind.name());
    }
    head(out, "actor_alarms", "gauge", "Alarms that are on.");
    let on: Vec<AlarmKind> = cells.iter().flat_map(|c| c.alarms_on()).collect();
    for kind in AlarmKind::ALL {
        let n = on.iter().filter(|k| **k == kind).count();
        let _ = writeln!(out, "kabuki_actor_alarms{{kind=\"{}\"}} {n}", kind.name());
    }
    let cycles = shared.cycles.counted();
    head(out, "actor_wait_cycles_total", "counter", "Cycles of actors that wait for each other.");
    let _ = writeln!(out, "kabuki_actor_wait_cycles_total {cycles}");
    head(out, "actor_traces", "gauge", "Traces running.");
    let _ = writeln!(out, "kabuki_actor_traces {}", shared.traces.load(Ordering::Relaxed));
}

fn seconds(us: u64) -> String {
    format!("{}.{:06}", us / 1_000_000, us % 1_000_000)
}
