//! Join tokens and credentials: malformed, wrong, used up, expired, of another cluster.

use std::time::Duration;

use serde_json::json;

use crate::case::{Door, Report};

const JOIN: &str = "/kabuki/v1/join";

pub fn run(door: &Door<'_>, report: &mut Report) {
    malformed(door, report);
    joining(door, report);
    bearers(door, report);
}

/// What the program says of a token before it asks anybody.
fn malformed(door: &Door<'_>, report: &mut Report) {
    let hash = "ab".repeat(32);
    for (name, token, detail) in [
        ("an empty token", String::new(), "it does not begin with K1"),
        ("nonsense for a token", "nonsense".to_owned(), "it does not begin with K1"),
        ("a token cut at the hash", format!("K1{hash}"), "there is no '::' in it"),
        ("a token without secret", format!("K1{hash}::abc123"), "there is no '.' in it"),
        (
            "a hash that is none",
            "K1xyz::abc123.0123456789abcdef".to_owned(),
            "the hash before '::' is not 64 hex digits",
        ),
        (
            "an id in upper case",
            format!("K1{hash}::ABC123.0123456789abcdef"),
            "the id is not 6 lower-case letters or digits",
        ),
        (
            "a short secret",
            format!("K1{hash}::abc123.0123"),
            "the secret is not 16 lower-case letters or digits",
        ),
        ("a token of 100 kB", "K1".repeat(50_000), "there is no '::' in it"),
    ] {
        let token = format!("--token={token}");
        let (code, said) = door.kabuki(&[
            "node",
            "--join=https://127.0.0.1:1",
            &token,
            "--data-dir=/nonexistent/x",
        ]);
        let want = format!(
            "Some(2) error: invalid value *: not a join token: {detail}; copy the whole line that `kabuki token create` printed*"
        );
        report.check(name, &format!("{code:?} {said}"), &want);
    }
}

fn join(door: &Door<'_>, bearer: &str, body: &str) -> String {
    let bearer = format!("Bearer {bearer}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let answer = door.send("POST", JOIN, &headers, body.as_bytes());
    let message = answer.json()["message"].as_str().unwrap_or(&answer.text).to_owned();
    format!("{} {message}", answer.code)
}

fn joining(door: &Door<'_>, report: &mut Report) {
    let whole = door.cluster.token("node", &[]);
    let good = whole.split("::").nth(1).expect("token").to_owned();
    let node = r#"{"role":"node","name":"n","csr":"no request"}"#;
    let wrong = format!("{}.{}", &good[..6], "0".repeat(16));
    let (request, _key) = kabuki::pki::request().expect("request");
    let whole_body = json!({"role": "node", "name": "n", "csr": request}).to_string();
    let whole_body = whole_body.as_str();
    for (name, bearer, body, want) in [
        ("no token", "", node, "401 *"),
        ("a token nobody made", "zzzzzz.0123456789abcdef", whole_body, "401 *not known*"),
        ("a wrong secret", wrong.as_str(), whole_body, "401 *secret*wrong*"),
        (
            "a token for another role",
            &good,
            r#"{"role":"server","name":"n"}"#,
            "401 *for joining as node*",
        ),
        ("a body that is none", &good, "{", "400 not a join request: *"),
        (
            "an unknown field",
            &good,
            r#"{"role":"node","name":"n","x":1}"#,
            "400 not a join request: unknown field `x`*",
        ),
        (
            "an unknown role",
            &good,
            r#"{"role":"king","name":"n"}"#,
            "400 not a join request: unknown variant `king`*",
        ),
        (
            "a path as a name",
            &good,
            r#"{"role":"node","name":"../n","csr":""}"#,
            "400 name: \"../n\" is no valid machine name*",
        ),
        (
            "no request for a certificate",
            &good,
            r#"{"role":"node","name":"n"}"#,
            "400 csr: a node needs a certificate request",
        ),
        ("a request that is none", &good, node, "400 csr: *"),
    ] {
        report.check(name, &join(door, bearer, body), want);
    }
    let huge = format!(r#"{{"role":"node","name":"n","csr":"{}"}}"#, "x".repeat(200_000));
    report.check("a request of 200 kB", &join(door, &good, &huge), "413 *");

    // A broken request must not have cost a use; a whole one costs exactly one.
    let once = door.cluster.token("node", &["--uses", "1"]);
    let once = once.split("::").nth(1).expect("token").to_owned();
    report.check("a request that is none costs no use", &join(door, &once, node), "400 csr: *");
    report.check("the one use", &join(door, &once, whole_body), "200 *");
    report.check("a token used up", &join(door, &once, whole_body), "401 *used up*");
    let short = door.cluster.token("node", &["--ttl", "1s"]);
    let short = short.split("::").nth(1).expect("token").to_owned();
    std::thread::sleep(Duration::from_millis(2_100));
    let said = join(door, &short, whole_body);
    // The cleaner may have been faster.
    let want = if said.contains("not known") { "401 *not known*" } else { "401 *expired*" };
    report.check("an expired token", &said, want);
    let member = r#"{"id":7,"peer_addr":"127.0.0.1:1","api_addr":"127.0.0.1:2"}"#;
    for (name, body, want) in [
        (
            "a member request with a number as text",
            member.replace('7', "\"7\""),
            "400 not a member request: *",
        ),
        (
            "a member request without addresses",
            r#"{"id":7}"#.to_owned(),
            "400 not a member request: *",
        ),
    ] {
        let answer = door.send("POST", "/kabuki/v1/join/member", &[], body.as_bytes());
        let got =
            format!("{} {}", answer.code, answer.json()["message"].as_str().unwrap_or_default());
        report.check(name, &got, want);
    }
}

/// Bearer tokens on the API, without a certificate.
fn bearers(door: &Door<'_>, report: &mut Report) {
    let url = format!("{}/api/v1/namespaces", door.member().url());
    let long = "x".repeat(60_000);
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4ifQ.";
    let forged = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (name, header, want) in [
        ("a bearer that is none", "Bearer nonsense", "401 Unauthorized"),
        ("an unsigned token", &format!("Bearer {unsigned}"), "401 Unauthorized"),
        ("a forged token", &format!("Bearer {forged}"), "401 Unauthorized"),
        ("a token of 60 kB", &format!("Bearer {long}"), "401 Unauthorized"),
        ("a bootstrap token nobody made", "Bearer zzzzzz.0123456789abcdef", "401 Unauthorized"),
        (
            "another scheme",
            "Basic YTpi",
            r#"403 namespaces is forbidden: User "system:anonymous" cannot list resource "namespaces" in API group "" at the cluster scope"#,
        ),
    ] {
        let got = door.member().host.block_on(async {
            let client =
                reqwest::Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
            let client = client.build().expect("client");
            let response = client.get(&url).header("authorization", header).send().await;
            let response = response.expect("answer");
            let code = response.status().as_u16();
            let status: serde_json::Value = response.json().await.unwrap_or_default();
            format!("{code} {}", status["message"].as_str().unwrap_or("-"))
        });
        report.check(name, &got, want);
    }
}
