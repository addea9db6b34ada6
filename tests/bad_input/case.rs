//! One case: a request and the answer that is right. Answers are compared whole; `*` in an expected
//! text stands for anything.

use std::{fmt::Write as _, process::Command, time::Duration};

use serde_json::Value;

use crate::support::cluster::{Cluster, KABUKI, Machine};

/// Longest time any answer may take: bad input must not be slow either.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The cluster as the cases reach it.
pub struct Door<'a> {
    pub cluster: &'a Cluster,
    http: reqwest::Client,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub text: String,
    pub warnings: Vec<String>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl<'a> Door<'a> {
    pub fn new(cluster: &'a Cluster) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let pki = cluster.members[0].data_dir.join("admin.kubeconfig");
        let text = std::fs::read_to_string(pki).expect("kubeconfig");
        let config: Value = serde_yaml::from_str(&text).expect("kubeconfig");
        let user = &config["users"][0]["user"];
        let pem = |key: &str| {
            use base64::Engine;
            let bytes = base64::engine::general_purpose::STANDARD
                .decode(user[key].as_str().expect("kubeconfig"));
            String::from_utf8(bytes.expect("base64")).expect("PEM")
        };
        let identity = pem("client-certificate-data") + &pem("client-key-data");
        let http = reqwest::Client::builder()
            .tls_danger_accept_invalid_certs(true)
            .identity(reqwest::Identity::from_pem(identity.as_bytes()).expect("identity"))
            .http1_only()
            .no_proxy()
            .timeout(ANSWER_LIMIT)
            .build()
            .expect("client");
        Self { cluster, http }
    }

    pub fn member(&self) -> &Machine {
        &self.cluster.members[0]
    }

    /// Sends a request as the administrator.
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("method");
        let mut request = self.http.request(method, format!("{}{path}", self.member().url()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.to_vec());
        self.member().host.block_on(async {
            let response = match request.send().await {
                Ok(response) => response,
                Err(e) => return Answer { code: 0, text: format!("{e:?}"), warnings: Vec::new() },
            };
            let warnings = response.headers().get_all("warning").iter();
            let warnings = warnings.filter_map(|v| v.to_str().ok().map(String::from)).collect();
            let code = response.status().as_u16();
            Answer { code, warnings, text: response.text().await.unwrap_or_default() }
        })
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(
            "POST",
            path,
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
    }

    /// Runs the binary beside the cluster and answers its exit status and standard error.
    pub fn kabuki(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new("timeout");
        command.arg("--signal=KILL").arg("30");
        let inside = self.member().host.command(KABUKI);
        command.arg(inside.get_program()).args(inside.get_args()).args(args);
        command.env_remove("KUBECONFIG").env("NO_COLOR", "1");
        let output = command.output().expect("kabuki");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// What came out of the cases.
#[derive(Default)]
pub struct Report {
    cases: usize,
    wrong: Vec<String>,
}

impl Report {
    pub fn cases(&self) -> usize {
        self.cases
    }

    pub fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// Notes one case: `got` must fit `want`.
    pub fn check(&mut self, name: &str, got: &str, want: &str) {
        self.cases += 1;
        if !fits(got, want) {
            self.wrong.push(format!("{name}\n  want {want}\n  got  {}", shorten(got)));
        }
    }

    /// Notes one case of the API.
    pub fn api(&mut self, case: &Case<'_>, answer: &Answer) {
        let status = answer.json();
        let mut got = format!(
            "{} {} {}",
            answer.code,
            status["reason"].as_str().unwrap_or("-"),
            status["message"].as_str().unwrap_or(&answer.text)
        );
        let mut want = case.want.to_owned();
        for (field, reason) in case.causes {
            let _ = write!(want, " <{field} {reason}>");
        }
        if !case.causes.is_empty() {
            for cause in status["details"]["causes"].as_array().into_iter().flatten() {
                let text = |key: &str| cause[key].as_str().unwrap_or_default().to_owned();
                let _ = write!(got, " <{} {}>", text("field"), text("reason"));
            }
        }
        for warning in case.warnings {
            let _ = write!(want, " ! {warning}");
        }
        if !case.warnings.is_empty() {
            for warning in &answer.warnings {
                let _ = write!(got, " ! {warning}");
            }
        }
        self.check(case.name, &got, &want);
    }
}

/// One request and its answer: `code reason message`.
#[derive(Clone, Copy, Default)]
pub struct Case<'c> {
    pub name: &'c str,
    pub want: &'c str,
    /// Field and reason of each cause; not compared when empty.
    pub causes: &'c [(&'c str, &'c str)],
    /// `Warning` headers; not compared when empty.
    pub warnings: &'c [&'c str],
}

impl<'c> Case<'c> {
    pub fn new(name: &'c str, want: &'c str) -> Self {
        Self { name, want, ..Self::default() }
    }

    pub fn causes(mut self, causes: &'c [(&'c str, &'c str)]) -> Self {
        self.causes = causes;
        self
    }

    pub fn warnings(mut self, warnings: &'c [&'c str]) -> Self {
        self.warnings = warnings;
        self
    }
}

/// Whether `got` is `want`, in which each `*` stands for any text.
pub fn fits(got: &str, want: &str) -> bool {
    let mut parts = want.split('*');
    let Some(mut rest) = got.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

fn shorten(text: &str) -> String {
    text.chars().take(1_500).collect()
}

#[test]
fn stars_stand_for_anything() {
    for (got, want, yes) in [
        ("abc", "abc", true),
        ("abc", "a*c", true),
        ("abc", "*", true),
        ("abc", "ab", false),
        ("abcabc", "a*c", true),
        ("abc", "b*", false),
        ("a b c d", "a*c*", true),
    ] {
        assert_eq!(fits(got, want), yes, "{got} {want}");
    }
}
