//! A member process as the harness holds it.

use std::{
    collections::HashMap,
    fs::File,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
};

use crate::protocol::{Answer, Ask, MEMBER, Role, START};

/// How long a member may take to read its disk.
const START_TIMEOUT: Duration = Duration::from_secs(60);

type Waiting = Arc<Mutex<Option<HashMap<u64, UnboundedSender<Answer>>>>>;

/// A running (or dead) member process.
pub struct Process {
    /// Where the proxies reach it.
    pub port: u16,
    pid: u32,
    child: tokio::sync::Mutex<Child>,
    lines: UnboundedSender<String>,
    /// `None` once the process is gone.
    waiting: Waiting,
    next: AtomicU64,
}

impl Process {
    /// Start a member; the error is what it says when it refuses to.
    pub async fn start(role: &Role, stderr: &Path) -> Result<Arc<Self>, String> {
        let stderr = File::options().create(true).append(true).open(stderr).unwrap();
        let filter = std::env::var("RUST_LOG").unwrap_or_else(|_| "error,kabuki_raft=info".into());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "member", "--nocapture", "--test-threads=1"])
            .env(MEMBER, serde_json::to_string(role).unwrap())
            .env("RUST_LOG", filter)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let pid = child.id().unwrap();
        let (lines, queue) = mpsc::unbounded_channel();
        tokio::spawn(feed(child.stdin.take().unwrap(), queue));
        let (reply, mut started) = mpsc::unbounded_channel();
        let waiting: Waiting = Arc::new(Mutex::new(Some(HashMap::from([(START, reply)]))));
        tokio::spawn(listen(child.stdout.take().unwrap(), waiting.clone()));
        let port = match tokio::time::timeout(START_TIMEOUT, started.recv()).await {
            Ok(Some(Answer::Started { port })) => port,
            Ok(Some(Answer::Refused(why))) => return Err(why),
            Err(_) => return Err(format!("no sign of life within {START_TIMEOUT:?}")),
            other => return Err(format!("the process ended at its start: {other:?}")),
        };
        let child = tokio::sync::Mutex::new(child);
        let next = AtomicU64::new(START + 1);
        Ok(Arc::new(Self { port, pid, child, lines, waiting, next }))
    }

    /// Ask and get every answer, until the process ends; the number names the request.
    pub fn stream(&self, ask: &Ask) -> (u64, UnboundedReceiver<Answer>) {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answers) = mpsc::unbounded_channel();
        if let Some(waiting) = self.waiting.lock().unwrap().as_mut() {
            waiting.insert(request, reply);
        }
        self.tell(request, ask);
        (request, answers)
    }

    fn tell(&self, request: u64, ask: &Ask) {
        // Refused when the process is gone, which the missing answer tells.
        self.lines.send(format!("{request} {}\n", serde_json::to_string(ask).unwrap())).ok();
    }

    /// Ask and wait; `None` when the process ended before it answered.
    pub async fn ask(&self, ask: &Ask) -> Option<Answer> {
        let (request, mut answers) = self.stream(ask);
        let answer = answers.recv().await;
        self.forget(request);
        answer
    }

    /// Answers to this request are not waited for any more.
    pub fn forget(&self, request: u64) {
        if let Some(waiting) = self.waiting.lock().unwrap().as_mut() {
            waiting.remove(&request);
        }
    }

    /// End a watch.
    pub fn unwatch(&self, request: u64) {
        self.tell(0, &Ask::Unwatch(request));
        self.forget(request);
    }

    pub fn is_alive(&self) -> bool {
        self.waiting.lock().unwrap().is_some()
    }

    /// Kill with -9 and wait until it is gone.
    pub async fn kill(&self) {
        self.child.lock().await.kill().await.ok();
        self.waiting.lock().unwrap().take();
    }

    /// Send a signal by name.
    pub fn signal(&self, name: &str) {
        let sent = std::process::Command::new("kill")
            .args([format!("-{name}"), self.pid.to_string()])
            .status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot send {name}");
    }
}

async fn feed(mut stdin: ChildStdin, mut queue: UnboundedReceiver<String>) {
    while let Some(line) = queue.recv().await {
        if stdin.write_all(line.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn listen(stdout: ChildStdout, waiting: Waiting) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        // The test harness prints before our first line without ending its own.
        let Some((_, line)) = line.split_once('@') else { continue };
        let Some((request, answer)) = line.split_once(' ') else { continue };
        // A line that a kill cut off is no answer.
        let (Ok(request), Ok(answer)) = (request.parse(), serde_json::from_str(answer)) else {
            continue;
        };
        let waiting = waiting.lock().unwrap();
        let reply = waiting.as_ref().and_then(|w| w.get(&request));
        if let Some(reply) = reply {
            reply.send(answer).ok();
        }
    }
    waiting.lock().unwrap().take();
}
