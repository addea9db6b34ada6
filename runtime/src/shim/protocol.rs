//! What daemon and shim say to each other: JSON in frames of a 4-byte big-endian length. A shim
//! outlives the daemon that started it, so that both sides must understand the version before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    paths::PodPaths,
    spec::PodSandboxSpec,
    status::{ContainerStatus, ExecResult, PodEvent},
};

/// Version spoken by this build.
pub(crate) const VERSION: u32 = 1;
/// Oldest version still understood.
pub(crate) const OLDEST_VERSION: u32 = 1;
/// Largest frame: an exec's two outputs in base64, and room.
pub(crate) const FRAME_LIMIT: usize = 8 * 1024 * 1024;
/// Bytes of a frame's length.
pub(crate) const HEADER: usize = 4;

/// What a shim is started from; a file in the pod's run directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PodPlan {
    pub version: u32,
    pub boot_id: String,
    pub spec: PodSandboxSpec,
    pub paths: PodPaths,
    pub created_at: std::time::SystemTime,
}

/// What the shim has to know of a container; the whole specification lies in the bundle, where only
/// the helper reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ContainerMeta {
    pub id: String,
    pub name: String,
    pub attempt: u32,
    pub image: String,
    pub image_id: String,
    pub stop_signal: i32,
    pub tty: bool,
    pub stdin: bool,
    pub annotations: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    Hello {
        version: u32,
    },
    Create(ContainerMeta),
    Start {
        id: String,
    },
    Stop {
        id: String,
        signal: Option<i32>,
        grace_ms: u64,
    },
    /// Forgets an exited container; its files are the daemon's to remove.
    Remove {
        id: String,
    },
    Exec {
        id: String,
        command: Vec<String>,
        timeout_ms: u64,
    },
    Status,
    Ack {
        sequence: u64,
    },
    /// Kills everything and ends the shim after the answer.
    Shutdown,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Call {
    pub number: u64,
    pub request: Request,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Hello { version: u32, pid: i32 },
    Done,
    Exec(ExecResult),
    Status(Vec<ContainerStatus>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Message {
    Answer { number: u64, result: std::result::Result<Answer, Failure> },
    Event { sequence: u64, event: PodEvent },
}

/// An error on its way to the daemon.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Failure {
    NotFound(String),
    AlreadyExists(String),
    State { id: String, state: String, why: String },
    Create(String),
    Start(String),
    Exec(String),
    Unsupported(String),
    Protocol(String),
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::NotFound(what) => Self::NotFound(what),
            Failure::AlreadyExists(what) => Self::AlreadyExists(what),
            Failure::State { id, state, why } => Self::State { id, state, why },
            Failure::Create(text) => Self::Create(text),
            Failure::Start(text) => Self::Start(text),
            Failure::Exec(text) => Self::Exec(text),
            Failure::Unsupported(text) => Self::Unsupported(text),
            Failure::Protocol(text) => Self::Protocol(text),
        }
    }
}

/// A value as a frame.
pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut frame = vec![0; HEADER];
    serde_json::to_writer(&mut frame, value).map_err(|e| Error::Protocol(e.to_string()))?;
    let length = frame.len() - HEADER;
    if length > FRAME_LIMIT {
        return Err(Error::Protocol(format!("a frame of {length} bytes is over the limit")));
    }
    frame[..HEADER].copy_from_slice(&(length as u32).to_be_bytes());
    Ok(frame)
}

/// Takes the first whole frame out of `buffer`.
pub(crate) fn take_frame(buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    let Some(header) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
    let length = check_length(*header)?;
    if buffer.len() < HEADER + length {
        return Ok(None);
    }
    let frame = buffer[HEADER..HEADER + length].to_vec();
    buffer.drain(..HEADER + length);
    Ok(Some(frame))
}

/// The length in a frame's header, if it is allowed.
pub(crate) fn check_length(header: [u8; HEADER]) -> Result<usize> {
    let length = u32::from_be_bytes(header) as usize;
    if length > FRAME_LIMIT {
        return Err(Error::Protocol(format!("a frame of {length} bytes is over the limit")));
    }
    Ok(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_whole_and_in_order() {
        let mut wire = encode(&Call { number: 1, request: Request::Status }).expect("frame");
        wire.extend(encode(&Call { number: 2, request: Request::Shutdown }).expect("frame"));
        let mut buffer = Vec::new();
        let mut numbers = Vec::new();
        for byte in wire {
            buffer.push(byte);
            while let Some(frame) = take_frame(&mut buffer).expect("frame") {
                let call: Call = serde_json::from_slice(&frame).expect("call");
                numbers.push(call.number);
            }
        }
        assert_eq!(numbers, [1, 2]);
        assert!(buffer.is_empty());
    }

    #[test]
    fn a_length_over_the_limit_is_refused() {
        assert!(take_frame(&mut vec![0xff, 0, 0, 0, 1]).is_err());
    }
}
