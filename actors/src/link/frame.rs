//! The header of a link stream: `version u8 | length u32 BE | JSON`, once in each direction.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::LinkError;
use crate::kernel::DebugCall;

/// Version both ends speak; a peer of another version is refused with a clear text.
const VERSION: u8 = 1;
/// Longest header accepted, in bytes.
pub(super) const MAX_HEADER: usize = 64 * 1024;

/// What a member asks of a node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "camelCase")]
pub enum Request {
    /// Keep-alive: answered at once, no bytes follow.
    Ping,
    /// Log lines of one container; the bytes that follow are `text/plain`.
    Logs(LogRequest),
    /// The node's actor tree; the bytes that follow are JSON.
    ActorTree,
    /// State of one actor of the node; the bytes that follow are JSON.
    ActorInspect {
        /// Path in the node's tree.
        path: String,
    },
    /// A call to the node's debug face; the bytes that follow are JSON, text, or lines of a trace.
    /// The member has authorised it.
    Debug(DebugCall),
}

/// Options of `pods/log`, as the API has them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LogRequest {
    /// Namespace of the pod.
    pub namespace: String,
    /// Name of the pod.
    pub pod: String,
    /// UID of the pod; another pod of the same name is not read.
    pub uid: String,
    /// Container name (init containers too).
    pub container: String,
    /// Read the instance before the current one.
    pub previous: bool,
    /// Keep the stream open and send what is appended, until the container ends.
    pub follow: bool,
    /// Start with the last so many lines.
    pub tail_lines: Option<u64>,
    /// Only lines of the last so many seconds.
    pub since_seconds: Option<u64>,
    /// Only lines from this RFC 3339 time on.
    pub since_time: Option<String>,
    /// Put the time stamp before each line.
    pub timestamps: bool,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
    /// `Stdout`, `Stderr`, or both when absent or `All`.
    pub stream: Option<String>,
}

/// A node's answer, before the bytes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "camelCase")]
pub(super) enum Reply {
    /// Bytes follow.
    Accepted,
    /// Nothing follows.
    Refused { code: u16, reason: String, message: String },
}

/// Writes one header and flushes it.
pub(super) async fn write<W, T>(to: &mut W, value: &T) -> Result<(), LinkError>
where
    W: AsyncWrite + Unpin,
    T: Serialize + Sync,
{
    let body = serde_json::to_vec(value).map_err(|e| LinkError::Protocol(e.to_string()))?;
    if body.len() > MAX_HEADER {
        let size = body.len();
        return Err(LinkError::Protocol(format!("header of {size} bytes is over {MAX_HEADER}")));
    }
    let mut frame = Vec::with_capacity(body.len() + 5);
    frame.push(VERSION);
    frame.extend_from_slice(&(body.len() as u32).to_be_bytes());
    frame.extend_from_slice(&body);
    to.write_all(&frame).await?;
    to.flush().await?;
    Ok(())
}

/// Reads one header, of at most [`MAX_HEADER`] bytes.
pub(super) async fn read<R, T>(from: &mut R) -> Result<T, LinkError>
where
    R: AsyncRead + Unpin,
    T: DeserializeOwned,
{
    let version = from.read_u8().await?;
    if version != VERSION {
        return Err(LinkError::Protocol(format!(
            "peer speaks link version {version}, this program {VERSION}; run the same release on both"
        )));
    }
    let length = from.read_u32().await? as usize;
    if length > MAX_HEADER {
        return Err(LinkError::Protocol(format!("header of {length} bytes is over {MAX_HEADER}")));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).await?;
    serde_json::from_slice(&body).map_err(|e| LinkError::Protocol(e.to_string()))
}
