//! A client as client-go is: what it tries again, and what it does not; and a load made of it.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::support::{cluster::Cluster, host::Host};

/// How often client-go tries a request again (`rest.Request`, maxRetries).
const RETRIES: usize = 10;
/// Pause before the next member is tried when one does not take the connection.
const NEXT_MEMBER: Duration = Duration::from_millis(50);
/// Pause of a worker between two rounds, so that the machine has time for the members as well.
const ROUND: Duration = Duration::from_millis(15);

/// Talks to the members in turn, as a load balancer would.
#[derive(Clone)]
struct RetryingClient {
    http: reqwest::Client,
    urls: Vec<String>,
}

impl RetryingClient {
    fn new(cluster: &Cluster, members: &[usize]) -> Self {
        let path = cluster.members[0].data_dir.join("admin.kubeconfig");
        let text = std::fs::read_to_string(path).expect("kubeconfig");
        let config: Value = serde_yaml::from_str(&text).expect("kubeconfig");
        let decode =
            |value: &Value| STANDARD.decode(value.as_str().expect("data")).expect("base64");
        let ca = decode(&config["clusters"][0]["cluster"]["certificate-authority-data"]);
        let user = &config["users"][0]["user"];
        let mut pem = decode(&user["client-certificate-data"]);
        pem.extend(decode(&user["client-key-data"]));
        let http = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca).expect("ca")])
            .identity(reqwest::Identity::from_pem(&pem).expect("identity"))
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .expect("client");
        let urls = members.iter().map(|m| cluster.members[*m].url()).collect();
        Self { http, urls }
    }

    /// One request by client-go's rules: a connection that was not made is tried elsewhere, whatever
    /// the request; an answer 429 or 5xx with Retry-After is waited out, whatever the request; a
    /// connection that broke after the request was sent is tried again for GET alone.
    async fn send(
        &self,
        at: usize,
        method: &reqwest::Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, Value), String> {
        let mut last = String::new();
        for attempt in 0..=RETRIES {
            let url = format!("{}{path}", self.urls[(at + attempt) % self.urls.len()]);
            let mut request = self.http.request(method.clone(), &url);
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = match request.send().await {
                Ok(answer) => answer,
                Err(error) if error.is_connect() || method == reqwest::Method::GET => {
                    last = format!("{url}: {error:?}");
                    tokio::time::sleep(NEXT_MEMBER).await;
                    continue;
                }
                Err(error) => return Err(format!("{method} {url}: {error:?}")),
            };
            let code = answer.status().as_u16();
            let after = answer.headers().get("retry-after").and_then(|v| v.to_str().ok());
            if let Some(seconds) = after.and_then(|v| v.parse::<u64>().ok())
                && (code == 429 || code >= 500)
            {
                last = format!("{url}: {code}");
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                continue;
            }
            match answer.json().await {
                Ok(body) => return Ok((code, body)),
                Err(error) if method == reqwest::Method::GET => last = format!("{error:?}"),
                Err(error) => return Err(format!("{method} {url}: answered {code}, {error:?}")),
            }
        }
        Err(format!("{method} {path}: tried {RETRIES} times; {last}"))
    }
}

/// What a load did so far.
#[derive(Default)]
struct Done {
    requests: AtomicUsize,
    failures: Mutex<Vec<String>>,
    kept: Mutex<Vec<String>>,
}

/// Workers that create, update, read and delete until they are stopped.
pub struct Load {
    done: Arc<Done>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What a load did.
pub struct Outcome {
    /// Requests that were answered as they should be.
    pub requests: usize,
    /// What was not.
    pub failures: Vec<String>,
    /// ConfigMaps that must be there.
    pub kept: Vec<String>,
}

impl Load {
    /// Starts `workers` on a host; `members` are those they use, in turn.
    pub fn start(
        cluster: &Cluster,
        host: &Host,
        name: &str,
        members: &[usize],
        workers: usize,
    ) -> Self {
        let client = RetryingClient::new(cluster, members);
        let done = Arc::new(Done::default());
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (done, stop, host) = (done.clone(), stop.clone(), host.clone());
            let name = name.to_string();
            move || {
                host.block_on(async {
                    let all = (0..workers).map(|worker| {
                        let name = format!("{name}-{worker}");
                        work(client.clone(), worker, name, done.clone(), stop.clone())
                    });
                    futures_util::future::join_all(all).await;
                });
            }
        });
        Self { done, stop, thread: Some(thread) }
    }

    /// How many requests were answered so far.
    pub fn requests(&self) -> usize {
        self.done.requests.load(Ordering::Relaxed)
    }

    /// Stops the workers and says what they did.
    pub fn finish(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("workers");
        }
        Outcome {
            requests: self.requests(),
            failures: std::mem::take(&mut *self.done.failures.lock().expect("lock")),
            kept: std::mem::take(&mut *self.done.kept.lock().expect("lock")),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

async fn work(
    client: RetryingClient,
    worker: usize,
    name: String,
    done: Arc<Done>,
    stop: Arc<AtomicBool>,
) {
    let mut round = 0;
    while !stop.load(Ordering::Relaxed) {
        round += 1;
        if let Err(failure) = one_round(&client, worker, &format!("{name}-{round}"), &done).await {
            done.failures.lock().expect("lock").push(failure);
        }
        tokio::time::sleep(ROUND).await;
    }
}

/// Creates an object, updates it at its resourceVersion, reads it, lists, and deletes every other.
async fn one_round(
    client: &RetryingClient,
    worker: usize,
    name: &str,
    done: &Done,
) -> Result<(), String> {
    use reqwest::Method;
    const ALL: &str = "/api/v1/namespaces/default/configmaps";
    let one = format!("{ALL}/{name}");
    let expect = |what: &str, wanted: u16, (code, body): (u16, Value)| {
        if code == wanted {
            done.requests.fetch_add(1, Ordering::Relaxed);
            return Ok(body);
        }
        Err(format!("{what} {name}: {code} {body}"))
    };
    let object = json!({"metadata": {"name": name}, "data": {"step": "created"}});
    let created = client.send(worker, &Method::POST, ALL, Some(&object)).await?;
    let mut object = expect("create", 201, created)?;
    done.kept.lock().expect("lock").push(name.to_owned());
    object["data"]["step"] = json!("updated");
    let updated = client.send(worker, &Method::PUT, &one, Some(&object)).await?;
    expect("update", 200, updated)?;
    let read = expect("get", 200, client.send(worker, &Method::GET, &one, None).await?)?;
    if read["data"]["step"] != "updated" {
        return Err(format!("{name}: an acknowledged update is not read: {read}"));
    }
    let page = format!("{ALL}?limit=5");
    expect("list", 200, client.send(worker, &Method::GET, &page, None).await?)?;
    if !name.ends_with(['1', '3', '5', '7', '9']) {
        // Whatever becomes of the request: it need not be there from now on.
        done.kept.lock().expect("lock").retain(|kept| kept != name);
        let deleted = client.send(worker, &Method::DELETE, &one, None).await?;
        expect("delete", 200, deleted)?;
    }
    Ok(())
}
