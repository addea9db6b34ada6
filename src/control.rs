//! The node's control socket: how `kabuki image` reaches the image store of a running daemon, which
//! is the only one who may work on it. One JSON line each way; the socket belongs to root.

use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use kabuki_runtime::{ImageInfo, ImageStore, PullOptions, Runtime};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    sync::Semaphore,
};

/// Name of the socket in the run directory.
const SOCKET: &str = "control.sock";
/// Longest request line, bytes.
const REQUEST_BYTES_MAX: u64 = 64 * 1024;
/// Longest answer line, bytes.
const ANSWER_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Requests worked on at once.
const AT_ONCE: usize = 4;
/// How long a client may take to say what it wants.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What can be asked of the image store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum ImageRequest {
    /// Load an archive.
    Load(PathBuf),
    /// Pull an image; the second part names registries spoken to over plain HTTP.
    Pull(String, Vec<String>),
    /// Show all images.
    List,
    /// Remove an image.
    Remove(String),
}

/// What it answers.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImageAnswer {
    /// Names that were loaded.
    Names(Vec<String>),
    /// Images.
    Images(Vec<ImageInfo>),
    /// Done.
    Done,
    /// Why not.
    Failed(String),
}

/// Serves the control socket of a node until the process ends.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(run: &Path, runtime: &Runtime) -> io::Result<()> {
    std::fs::create_dir_all(run)?;
    let path = run.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let images = runtime.images().clone();
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    tokio::spawn(async move {
        loop {
            let Ok(permit) = gate.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => {
                    let images = images.clone();
                    tokio::spawn(async move {
                        // A client that went away needs no answer.
                        let _ = attend(stream, &images).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "control socket");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    });
    Ok(())
}

async fn attend(stream: UnixStream, images: &ImageStore) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(read.take(REQUEST_BYTES_MAX));
    tokio::time::timeout(REQUEST_TIMEOUT, reader.read_line(&mut line)).await??;
    let answer = match serde_json::from_str(&line) {
        Ok(request) => perform(images, request).await,
        Err(error) => ImageAnswer::Failed(format!("not a request: {error}")),
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    write.write_all(&text).await
}

/// Carries out a request on an image store.
pub async fn perform(images: &ImageStore, request: ImageRequest) -> ImageAnswer {
    let result = match request {
        ImageRequest::Load(path) => images.load(&path).await.map(ImageAnswer::Names),
        ImageRequest::Pull(reference, insecure_registries) => {
            let options = PullOptions { insecure_registries, ..PullOptions::default() };
            images.pull(&reference, &options).await.map(|image| ImageAnswer::Images(vec![image]))
        }
        ImageRequest::List => Ok(ImageAnswer::Images(images.list())),
        ImageRequest::Remove(reference) => {
            images.remove(&reference).await.map(|()| ImageAnswer::Done)
        }
    };
    result.unwrap_or_else(|error| ImageAnswer::Failed(error.to_string()))
}

/// Asks the daemon that serves `run`; `None` when there is none.
///
/// # Errors
/// When the daemon went away before it answered.
pub async fn ask(run: &Path, request: &ImageRequest) -> io::Result<Option<ImageAnswer>> {
    let mut stream = match UnixStream::connect(run.join(SOCKET)).await {
        Ok(stream) => stream,
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    stream.write_all(&text).await?;
    let mut line = String::new();
    BufReader::new(stream.take(ANSWER_BYTES_MAX)).read_line(&mut line).await?;
    Ok(Some(serde_json::from_str(&line)?))
}
