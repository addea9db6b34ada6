//! `/healthz`, `/livez` and `/readyz`.

use actix_web::HttpResponse;

use super::{answer, call::Call, face::Face};

/// Answers a health path: `/readyz`, or `/readyz/<check>` for one check.
pub(super) fn serve(face: &Face, call: &Call) -> HttpResponse {
    let mut segments = call.path.trim_matches('/').splitn(2, '/');
    let endpoint = segments.next().unwrap_or_default();
    let only = segments.next().unwrap_or_default();
    let mut checks = vec![("ping".to_owned(), Ok(()))];
    if endpoint == "readyz" {
        checks.extend(readiness(face));
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

fn readiness(face: &Face) -> Vec<(String, Result<(), String>)> {
    let status = face.registry.store().status();
    let store = match (&status.failure, status.leader) {
        (Some(failure), _) => Err(failure.clone()),
        (None, None) => Err("no leader is known: a majority of members must be up".to_owned()),
        (None, Some(_)) => Ok(()),
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
