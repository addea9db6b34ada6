//! Prometheus metrics: requests, limits, store, actors, process.

use std::{collections::HashMap, fmt::Write, time::Duration};

use actix_web::HttpResponse;
use parking_lot::Mutex;

use super::{answer, call::Call, face::Face, process};

/// Upper bounds of the latency histogram, seconds (those of the API server, thinned out).
const BUCKETS: [f64; 15] =
    [0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0, 6.0, 15.0, 60.0];
/// Series of one family; requests of further kinds are counted as `other`.
const MAX_SERIES: usize = 4_096;

/// Labels of a request. All come from closed sets, so that clients cannot make series.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Labels {
    verb: &'static str,
    group: &'static str,
    version: &'static str,
    resource: &'static str,
    subresource: &'static str,
}

#[derive(Debug, Default)]
struct Series {
    codes: HashMap<u16, u64>,
    buckets: [u64; BUCKETS.len()],
    count: u64,
    sum: f64,
}

/// Counters of the HTTP face.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: Mutex<HashMap<Labels, Series>>,
}

impl Metrics {
    /// Counts one request that was answered.
    pub(super) fn request(&self, call: &Call, code: u16, took: Duration) {
        self.count(labels(call), code, took, call.is_long_running());
    }

    fn count(&self, labels: Labels, code: u16, took: Duration, long: bool) {
        let mut requests = self.requests.lock();
        let full = requests.len() >= MAX_SERIES && !requests.contains_key(&labels);
        let labels = if full { other() } else { labels };
        let series = requests.entry(labels).or_default();
        *series.codes.entry(code).or_default() += 1;
        if long {
            return;
        }
        let seconds = took.as_secs_f64();
        series.count += 1;
        series.sum += seconds;
        if let Some(bucket) = BUCKETS.iter().position(|bound| seconds <= *bound) {
            series.buckets[bucket] += 1;
        }
    }

    /// `GET /metrics`.
    pub(super) async fn answer(&self, face: &Face) -> HttpResponse {
        let mut text = String::with_capacity(32 * 1024);
        self.render(&mut text);
        render_limits(&mut text, face.in_flight());
        face.flow.render(&mut text);
        render_store(&mut text, face);
        if let Some(audit) = &face.audit {
            audit.sink.render(&mut text);
        }
        (face.more_metrics)(&mut text);
        let kernel = face.kernel.clone();
        let rest = tokio::task::spawn_blocking(move || {
            let mut text = kernel.metrics();
            render_process(&mut text, &process::read());
            text
        });
        text.push_str(&rest.await.unwrap_or_default());
        let mut response = answer::text(200, text);
        super::header(&mut response, "content-type", "text/plain; version=0.0.4; charset=utf-8");
        response
    }

    fn render(&self, out: &mut String) {
        let requests = self.requests.lock();
        head(out, "apiserver_request_total", "counter", "Requests answered.");
        for (labels, series) in requests.iter() {
            for (code, count) in &series.codes {
                let labels = labels.render();
                let _ =
                    writeln!(out, "apiserver_request_total{{{labels},code=\"{code}\"}} {count}");
            }
        }
        let name = "apiserver_request_duration_seconds";
        head(out, name, "histogram", "Time until a request was answered; watches are not in it.");
        for (labels, series) in requests.iter().filter(|(_, s)| s.count > 0) {
            let labels = labels.render();
            let mut below = 0;
            for (bound, count) in BUCKETS.iter().zip(series.buckets) {
                below += count;
                let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
            }
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", series.count);
            let _ = writeln!(out, "{name}_sum{{{labels}}} {}", series.sum);
            let _ = writeln!(out, "{name}_count{{{labels}}} {}", series.count);
        }
    }
}

impl Labels {
    fn render(&self) -> String {
        format!(
            "verb=\"{}\",group=\"{}\",version=\"{}\",resource=\"{}\",subresource=\"{}\"",
            self.verb, self.group, self.version, self.resource, self.subresource
        )
    }
}

fn other() -> Labels {
    Labels { verb: "other", group: "", version: "", resource: "", subresource: "" }
}

fn labels(call: &Call) -> Labels {
    let Some(kind) = call.known_kind() else { return Labels { verb: call.verb, ..other() } };
    let name = call.resource.as_ref().map_or("", |r| r.subresource.as_str());
    Labels {
        verb: call.verb,
        group: kind.group,
        version: kind.version,
        resource: kind.plural,
        subresource: kind.subresource(name).map_or("", |s| s.name),
    }
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn gauge(out: &mut String, name: &str, help: &str, value: impl std::fmt::Display) {
    head(out, name, "gauge", help);
    let _ = writeln!(out, "{name} {value}");
}

fn render_limits(out: &mut String, [reading, changing, long_running]: [usize; 3]) {
    let name = "apiserver_current_inflight_requests";
    head(out, name, "gauge", "Requests under way.");
    let _ = writeln!(out, "{name}{{request_kind=\"readOnly\"}} {reading}");
    let _ = writeln!(out, "{name}{{request_kind=\"mutating\"}} {changing}");
    gauge(out, "apiserver_longrunning_requests", "Watches and streams open.", long_running);
}

fn render_store(out: &mut String, face: &Face) {
    let status = face.registry.store().status();
    gauge(out, "kabuki_store_term", "Current Raft term.", status.term);
    let leads = u8::from(status.leader == Some(status.member_id));
    gauge(out, "kabuki_store_is_leader", "Whether this member leads.", leads);
    gauge(out, "kabuki_store_revision", "Newest applied revision.", status.revision);
    gauge(out, "kabuki_store_compacted", "Oldest readable revision.", status.compacted);
    gauge(out, "kabuki_store_keys", "Live keys.", status.keys);
    let index = |index: Option<u64>| index.unwrap_or(0);
    gauge(out, "kabuki_store_log_index", "Newest log entry.", index(status.last_log_index));
    gauge(out, "kabuki_store_applied_index", "Newest applied entry.", index(status.applied_index));
}

fn render_process(out: &mut String, process: &process::Process) {
    head(out, "process_cpu_seconds_total", "counter", "CPU time, user and system.");
    let _ = writeln!(out, "process_cpu_seconds_total {}", process.cpu_seconds);
    let rss = process.resident_bytes;
    gauge(out, "process_resident_memory_bytes", "Resident memory.", rss);
    let pss = process.proportional_bytes;
    gauge(out, "process_proportional_memory_bytes", "Proportional set size.", pss);
    gauge(out, "process_open_fds", "Open file descriptors.", process.open_fds);
    gauge(out, "process_threads", "Threads.", process.threads);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histogram_and_codes() {
        let metrics = Metrics::default();
        let pods = Labels { verb: "get", version: "v1", resource: "pods", ..other() };
        metrics.count(pods.clone(), 200, Duration::from_millis(3), false);
        metrics.count(pods.clone(), 404, Duration::from_secs(100), false);
        metrics.count(Labels { verb: "watch", ..pods }, 200, Duration::from_secs(1), true);
        let mut text = String::new();
        metrics.render(&mut text);
        let base = "verb=\"get\",group=\"\",version=\"v1\",resource=\"pods\",subresource=\"\"";
        for line in [
            format!("apiserver_request_total{{{base},code=\"404\"}} 1"),
            format!("apiserver_request_duration_seconds_bucket{{{base},le=\"0.002\"}} 0"),
            format!("apiserver_request_duration_seconds_bucket{{{base},le=\"0.005\"}} 1"),
            format!("apiserver_request_duration_seconds_bucket{{{base},le=\"+Inf\"}} 2"),
            format!("apiserver_request_duration_seconds_count{{{base}}} 2"),
        ] {
            assert!(text.contains(&line), "{line} in\n{text}");
        }
        assert!(!text.contains("duration_seconds_count{verb=\"watch\""));
    }

    #[test]
    fn series_are_bounded() {
        let metrics = Metrics::default();
        let leak = |n: usize| -> &'static str { Box::leak(n.to_string().into_boxed_str()) };
        for n in 0..MAX_SERIES + 10 {
            let labels = Labels { resource: leak(n), ..other() };
            metrics.count(labels, 200, Duration::ZERO, false);
        }
        assert!(metrics.requests.lock().len() <= MAX_SERIES + 1);
    }
}
