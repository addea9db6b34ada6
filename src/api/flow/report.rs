//! What the limiter shows of itself: metrics, and the table of priority levels.

use std::{
    fmt::Write as _,
    sync::{Arc, atomic::Ordering},
};

use super::{Limiter, level::Level};

impl Limiter {
    /// Appends metrics with upstream's names.
    pub(crate) fn render(&self, out: &mut String) {
        let config = Arc::clone(&self.config.read());
        let mut family = |name: &str, kind: &str, help: &str, value: &dyn Fn(&Level) -> String| {
            let name = format!("apiserver_flowcontrol_{name}");
            let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (plan, _, level) in &config.levels {
                let _ =
                    writeln!(out, "{name}{{priority_level=\"{}\"}} {}", plan.name, value(level));
            }
        };
        let seats = |level: &Level| level.load().limit.min(self.seats).to_string();
        family("current_limit_seats", "gauge", "Seats there are now.", &seats);
        family("current_executing_seats", "gauge", "Seats in use.", &|l| {
            l.load().taken.to_string()
        });
        family("current_executing_requests", "gauge", "Requests that run.", &|l| {
            l.load().running.to_string()
        });
        family("current_inqueue_requests", "gauge", "Requests that wait.", &|l| {
            l.load().waiting.to_string()
        });
        family("dispatched_requests_total", "counter", "Requests that ran.", &|l| {
            l.counts.dispatched.load(Ordering::Relaxed).to_string()
        });
        family("request_wait_duration_seconds_sum", "counter", "Time waited.", &|l| {
            (l.counts.waited_micros.load(Ordering::Relaxed) as f64 / 1e6).to_string()
        });
        let name = "apiserver_flowcontrol_nominal_limit_seats";
        let _ = writeln!(out, "# HELP {name} Seats when nothing is lent.\n# TYPE {name} gauge");
        for (plan, bounds, _) in &config.levels {
            let level = &plan.name;
            let _ = writeln!(out, "{name}{{priority_level=\"{level}\"}} {}", bounds.nominal);
        }
        let name = "apiserver_flowcontrol_rejected_requests_total";
        let _ = writeln!(out, "# HELP {name} Requests refused.\n# TYPE {name} counter");
        for (plan, _, level) in &config.levels {
            for (reason, count) in rejected(level) {
                let level = &plan.name;
                let _ = writeln!(
                    out,
                    "{name}{{priority_level=\"{level}\",reason=\"{reason}\"}} {count}"
                );
            }
        }
    }

    /// The table of `/debug/api_priority_and_fairness/dump_priority_levels`.
    pub(crate) fn levels(&self) -> String {
        let config = Arc::clone(&self.config.read());
        let mut out =
            "PriorityLevelName, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, \
                       DispatchedRequests, RejectedRequests, TimedoutRequests\n"
                .to_owned();
        for (plan, _, level) in &config.levels {
            let (load, counts) = (level.load(), &level.counts);
            let get = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
            let _ = writeln!(
                out,
                "{}, {}, false, {}, {}, {}, {}, {}",
                plan.name,
                load.running == 0 && load.waiting == 0,
                load.waiting,
                load.running,
                get(&counts.dispatched),
                get(&counts.queue_full) + get(&counts.concurrency_limit),
                get(&counts.time_out)
            );
        }
        out
    }
}

fn rejected(level: &Level) -> [(&'static str, u64); 3] {
    let counts = &level.counts;
    [
        ("queue-full", counts.queue_full.load(Ordering::Relaxed)),
        ("concurrency-limit", counts.concurrency_limit.load(Ordering::Relaxed)),
        ("time-out", counts.time_out.load(Ordering::Relaxed)),
    ]
}
