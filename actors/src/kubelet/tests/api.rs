//! A tiny API server over loopback HTTP: pods in memory, one watch, everything else accepted.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::broadcast,
    time::{Instant, sleep},
};

const PATIENCE: Duration = Duration::from_secs(10);

/// The server; cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub address: SocketAddr,
    pods: Arc<Mutex<BTreeMap<String, Value>>>,
    version: Arc<Mutex<u64>>,
    events: broadcast::Sender<String>,
    /// `POST` and `PATCH` paths seen, and event reasons.
    pub seen: Arc<Mutex<Vec<String>>>,
}

impl Api {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self {
            address: listener.local_addr().unwrap(),
            pods: Arc::default(),
            version: Arc::new(Mutex::new(1)),
            events: broadcast::channel(64).0,
            seen: Arc::default(),
        };
        let serving = api.clone();
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                let api = serving.clone();
                // A client that hangs up ends its connection only.
                tokio::spawn(async move { drop(api.serve(io).await) });
            }
        });
        api
    }

    pub fn put(&self, mut pod: Value) {
        let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
        let mut version = self.version.lock();
        *version += 1;
        pod["metadata"]["resourceVersion"] = json!(version.to_string());
        let old = self.pods.lock().insert(name, pod.clone());
        let kind = if old.is_some() { "MODIFIED" } else { "ADDED" };
        drop(self.events.send(json!({"type": kind, "object": pod}).to_string()));
    }

    pub fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let mut pod = self.pod(name).unwrap();
        change(&mut pod);
        self.put(pod);
    }

    pub fn pod(&self, name: &str) -> Option<Value> {
        self.pods.lock().get(name).cloned()
    }

    pub fn remove(&self, name: &str) {
        if let Some(pod) = self.pods.lock().remove(name) {
            drop(self.events.send(json!({"type": "DELETED", "object": pod}).to_string()));
        }
    }

    /// Waits until the pod is as wanted.
    pub async fn until(&self, name: &str, wanted: impl Fn(Option<&Value>) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self.pod(name).as_ref()) {
            assert!(Instant::now() < deadline, "still {:#?}", self.pod(name));
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn serve(&self, io: TcpStream) -> std::io::Result<()> {
        let mut io = BufReader::new(io);
        loop {
            let (mut line, mut length) = (String::new(), 0);
            if io.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            loop {
                let mut header = String::new();
                io.read_line(&mut header).await?;
                if header.trim().is_empty() {
                    break;
                }
                if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            io.read_exact(&mut body).await?;
            let mut words = line.split_whitespace();
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            if target.contains("watch=true") {
                return self.watch(io.into_inner(), target).await;
            }
            let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let (code, answer) = self.answer(method, target.split('?').next().unwrap(), body);
            let text = answer.to_string();
            let head = format!(
                "HTTP/1.1 {code} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            io.get_mut().write_all((head + &text).as_bytes()).await?;
        }
    }

    async fn watch(&self, mut io: TcpStream, target: &str) -> std::io::Result<()> {
        let mut events = self.events.subscribe();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        io.write_all(head.as_bytes()).await?;
        if !target.starts_with("/api/v1/pods?") {
            return std::future::pending().await;
        }
        while let Ok(event) = events.recv().await {
            let chunk = format!("{:x}\r\n{event}\n\r\n", event.len() + 1);
            io.write_all(chunk.as_bytes()).await?;
        }
        Ok(())
    }

    fn answer(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let absent = json!({"kind": "Status", "status": "Failure", "code": 404,
            "reason": "NotFound", "message": "not found"});
        if method != "GET" {
            let what = body["reason"].as_str().unwrap_or(path);
            self.seen.lock().push(what.to_owned());
        }
        let name = path.strip_prefix("/api/v1/namespaces/ns/pods/");
        match (method, name) {
            ("GET", None) if path == "/api/v1/pods" || path == "/api/v1/services" => {
                let items: Vec<Value> = match path {
                    "/api/v1/pods" => self.pods.lock().values().cloned().collect(),
                    _ => Vec::new(),
                };
                let version = self.version.lock().to_string();
                (200, json!({"metadata": {"resourceVersion": version}, "items": items}))
            }
            ("PATCH", Some(rest)) => {
                let name = rest.trim_end_matches("/status");
                let Some(mut pod) = self.pod(name) else { return (404, absent) };
                merge(&mut pod["status"], &body["status"]);
                self.put(pod);
                (200, self.pod(name).unwrap())
            }
            ("DELETE", Some(name)) => {
                let Some(pod) = self.pod(name) else { return (404, absent) };
                assert_eq!(body["gracePeriodSeconds"], 0);
                assert_eq!(body["preconditions"]["uid"], pod["metadata"]["uid"]);
                self.remove(name);
                (200, pod)
            }
            ("GET", _) => (404, absent),
            _ => (200, if body.is_object() { body } else { json!({}) }),
        }
    }
}

fn merge(to: &mut Value, patch: &Value) {
    if to.is_null() {
        *to = json!({});
    }
    for (key, value) in patch.as_object().unwrap() {
        if value.is_null() {
            to.as_object_mut().unwrap().remove(key);
        } else {
            to[key] = value.clone();
        }
    }
}
