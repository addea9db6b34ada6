//! The API as the tests reach it: every member, as the administrator.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::{cluster::Cluster, eventually};

/// Longest time any answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long controllers may take to act.
pub const SOON: Duration = Duration::from_secs(15);

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

    /// The message of a refusal, or why it is none.
    pub fn refusal(&self) -> String {
        let message = self.json()["message"].as_str().unwrap_or_default().to_owned();
        format!("{} {message}", self.code)
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!((200..300).contains(&self.code), "{} {}", self.code, self.text);
        self
    }
}

/// The cluster and a client.
pub struct Door<'a> {
    cluster: &'a Cluster,
    http: reqwest::Client,
}

impl<'a> Door<'a> {
    pub fn new(cluster: &'a Cluster) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let path = cluster.members[0].data_dir.join("admin.kubeconfig");
        let text = std::fs::read_to_string(path).expect("kubeconfig");
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
            .no_proxy()
            .timeout(ANSWER_LIMIT)
            .build()
            .expect("client");
        Self { cluster, http }
    }

    fn request(
        &self,
        member: usize,
        method: &str,
        path: &str,
        body: &Value,
    ) -> reqwest::RequestBuilder {
        let url = format!("{}{path}", self.cluster.members[member].url());
        let content = match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let method = reqwest::Method::from_bytes(method.as_bytes()).expect("method");
        let request = self.http.request(method, url).header("content-type", content);
        if body.is_null() { request } else { request.body(body.to_string()) }
    }

    /// Sends requests at the same time, in turn to every member.
    pub fn send_all(&self, requests: &[(&str, String, Value)]) -> Vec<Answer> {
        let members = self.cluster.members.len();
        let all = requests.iter().enumerate().map(|(i, (method, path, body))| {
            let request = self.request(i % members, method, path, body);
            async move {
                let response = match request.send().await {
                    Ok(response) => response,
                    Err(e) => {
                        return Answer { code: 0, text: format!("{e:?}"), warnings: Vec::new() };
                    }
                };
                let warnings = response.headers().get_all("warning").iter();
                let warnings = warnings.filter_map(|v| v.to_str().ok().map(String::from)).collect();
                let code = response.status().as_u16();
                Answer { code, warnings, text: response.text().await.unwrap_or_default() }
            }
        });
        let host = &self.cluster.members[0].host;
        host.block_on(async { join_all(all).await })
    }

    /// Sends one request to the first member.
    pub fn send(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send_all(&[(method, path.to_owned(), body)]).remove(0)
    }

    pub fn get(&self, path: &str) -> Value {
        self.send("GET", path, Value::Null).ok().json()
    }

    pub fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, body)
    }

    pub fn patch(&self, path: &str, body: Value) -> Answer {
        self.send("PATCH", path, body)
    }

    /// Makes a namespace and waits for its service account; answers its path.
    pub fn namespace(&self, name: &str, labels: Value) -> String {
        let body = json!({"metadata": {"name": name, "labels": labels}});
        self.post("/api/v1/namespaces", body).ok();
        let path = format!("/api/v1/namespaces/{name}");
        self.wait(&format!("{path}/serviceaccounts/default"), |account| {
            account["kind"].is_string()
        });
        path
    }

    /// Waits until an object is gone.
    #[track_caller]
    pub fn gone(&self, path: &str) {
        eventually(path, SOON, || {
            let answer = self.send("GET", path, Value::Null);
            if answer.code == 404 { Ok(()) } else { Err(answer.text) }
        });
    }

    /// Waits until an object is as it should be, and answers it.
    #[track_caller]
    pub fn wait(&self, path: &str, is: impl Fn(&Value) -> bool) -> Value {
        eventually(path, SOON, || {
            let answer = self.send("GET", path, Value::Null);
            let object = answer.json();
            if answer.code == 200 && is(&object) { Ok(object) } else { Err(answer.text) }
        })
    }
}

/// A pod that asks for this much CPU; for none when that is empty.
pub fn pod(name: &str, cpu: &str) -> Value {
    let mut container = json!({"name": "c", "image": "i:1"});
    if !cpu.is_empty() {
        container["resources"] = json!({"requests": {"cpu": cpu}});
    }
    json!({"metadata": {"name": name}, "spec": {"containers": [container]}})
}
