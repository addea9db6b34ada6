//! `/healthz`, `/livez` and `/readyz`.

use std::time::Duration;

use actix_web::HttpResponse;

use super::{answer, call::Call, face::Face};

/// How long a quorum may take to confirm that this member can serve.
const QUORUM_WAIT: Duration = Duration::from_secs(1);

/// Answers a health path: `/readyz`, or `/readyz/<check>` for one check.
pub(super) async fn serve(face: &Face, call: &Call) -> HttpResponse {
    let mut segments = call.path.trim_matches('/').splitn(2, '/');
    let endpoint = segments.next().unwrap_or_default();
    let only = segments.next().unwrap_or_default();
    let mut checks = vec![("ping".to_owned(), Ok(()))];
    if endpoint == "readyz" {
        checks.extend(readiness(face).await);
    }
    let excluded: Vec<&str> = call.query.all("exclude").collect();
    checks.retain(|(name, _)| !excluded.contains(&name.as_str()));
    if !only.is_empty() {
        checks.retain(|(name, _)| name == only);
        if checks.is_empty() {
            return answer::text(404, "404 page not found\n");
        }
    }
    let failed = checks.iter().any(|(_, outcome)| outcome.is_err());
    if !failed && !call.query.is_set("verbose") {
        return answer::text(200, "ok");
    }
    let text = report(endpoint, &checks, failed);
    answer::text(if failed { 500 } else { 200 }, text)
}

/// A leader that is known may be gone: only a quorum's answer says that this member can serve.
async fn readiness(face: &Face) -> Vec<(String, Result<(), String>)> {
    let store = face.registry.store();
    let store = match store.status().failure {
        Some(failure) => Err(failure),
        None => match tokio::time::timeout(QUORUM_WAIT, store.read_barrier()).await {
            Ok(answer) => answer.map(drop).map_err(|e| e.to_string()),
            Err(_) => Err(format!(
                "no quorum answers within {QUORUM_WAIT:?}: a majority of the members must be up"
            )),
        },
    };
    let stopping = if face.draining.is_cancelled() { Err("stopping".to_owned()) } else { Ok(()) };
    let mut checks = vec![("store".to_owned(), store), ("shutdown".to_owned(), stopping)];
    checks.extend((face.checks)());
    checks
}

fn report(endpoint: &str, checks: &[(String, Result<(), String>)], failed: bool) -> String {
    let mut text = String::new();
    for (name, outcome) in checks {
        match outcome {
            Ok(()) => text.push_str(&format!("[+]{name} ok\n")),
            Err(reason) => text.push_str(&format!("[-]{name} failed: {reason}\n")),
        }
    }
    let verdict = if failed { "failed" } else { "passed" };
    text.push_str(&format!("{endpoint} check {verdict}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::report;

    #[test]
    fn reports() {
        let checks = [("ping".into(), Ok(())), ("store".into(), Err("no leader".into()))];
        assert_eq!(
            report("readyz", &checks, true),
            "[+]ping ok\n[-]store failed: no leader\nreadyz check failed\n"
        );
    }
}
