//! The thin hop: `length u32, call number u64, kind u8, body`, many calls on one connection.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::mpsc,
};

/// Write a key: its length (u16), the key, the value. Answered empty.
pub const PUT: u8 = 1;
/// Read a key. Answered with the value.
pub const READ: u8 = 2;
/// Whether the member leads. Answered with one byte.
pub const STATUS: u8 = 3;
/// Follow a prefix. Answered empty, then with a count (u32) and that many changes, each a key
/// with its length (u16) and a value with its length (u32).
pub const WATCH: u8 = 4;
/// A good answer.
pub const DONE: u8 = 0;
/// A bad one; the body is a text.
pub const FAILED: u8 = 9;

const HEADER: usize = 4 + 8 + 1;
/// Largest frame.
const MAX_FRAME: usize = 32 * 1024 * 1024;
/// How long one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes gathered into one write at most, give or take one frame.
const WRITE_BYTES: usize = 256 * 1024;

/// One frame.
#[derive(Debug, Clone)]
pub struct Frame {
    /// Which call it belongs to.
    pub id: u64,
    /// What it is.
    pub kind: u8,
    /// What it carries.
    pub body: Bytes,
}

/// Reads frames until the connection ends.
pub async fn read_frames(
    mut from: OwnedReadHalf,
    mut take: impl FnMut(Frame),
) -> anyhow::Result<()> {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    loop {
        while buffer.len() >= HEADER {
            let len = u32::from_be_bytes([buffer[0], buffer[1], buffer[2], buffer[3]]) as usize;
            anyhow::ensure!((9..=MAX_FRAME).contains(&len), "a frame of {len} bytes");
            if buffer.len() < 4 + len {
                buffer.reserve(4 + len - buffer.len());
                break;
            }
            let mut frame = buffer.split_to(4 + len).freeze();
            frame.advance(4);
            take(Frame { id: frame.get_u64(), kind: frame.get_u8(), body: frame });
        }
        if buffer.capacity() - buffer.len() < 16 * 1024 {
            buffer.reserve(64 * 1024);
        }
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// Writes frames, all that wait at once, until the queue is closed.
pub async fn write_frames(
    mut to: OwnedWriteHalf,
    mut queue: mpsc::UnboundedReceiver<Frame>,
) -> anyhow::Result<()> {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    while let Some(first) = queue.recv().await {
        let mut next = Some(first);
        while let Some(frame) = next {
            buffer.put_u32((HEADER - 4 + frame.body.len()) as u32);
            buffer.put_u64(frame.id);
            buffer.put_u8(frame.kind);
            buffer.put_slice(&frame.body);
            next = if buffer.len() < WRITE_BYTES { queue.try_recv().ok() } else { None };
        }
        to.write_all(&buffer).await?;
        buffer.clear();
    }
    Ok(())
}

type Waiting = Arc<Mutex<HashMap<u64, mpsc::UnboundedSender<Frame>>>>;

/// The client's end; clones share one connection.
#[derive(Clone)]
pub struct Channel {
    queue: mpsc::UnboundedSender<Frame>,
    waiting: Waiting,
    next: Arc<AtomicU64>,
}

impl Channel {
    /// Connects to `host:port`.
    pub async fn connect(addr: &str) -> anyhow::Result<Self> {
        let tcp = TcpStream::connect(addr).await?;
        tcp.set_nodelay(true)?;
        let (reader, writer) = tcp.into_split();
        let (queue, frames) = mpsc::unbounded_channel();
        let waiting = Waiting::default();
        tokio::spawn(write_frames(writer, frames));
        let answers = waiting.clone();
        tokio::spawn(async move {
            let read = read_frames(reader, |frame| {
                let mut waiting = answers.lock();
                let gone = waiting.get(&frame.id).is_none_or(|w| w.send(frame.clone()).is_err());
                if gone {
                    waiting.remove(&frame.id);
                }
            });
            read.await.ok();
            // Whoever still waits learns of the end.
            answers.lock().clear();
        });
        Ok(Self { queue, waiting, next: Arc::default() })
    }

    fn start(&self, kind: u8, body: Bytes) -> anyhow::Result<Call> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, frames) = mpsc::unbounded_channel();
        self.waiting.lock().insert(id, answer);
        self.queue.send(Frame { id, kind, body }).ok().context("the connection is closed")?;
        Ok(Call { id, frames, waiting: self.waiting.clone() })
    }

    async fn ask(&self, kind: u8, body: Bytes) -> anyhow::Result<Bytes> {
        let mut call = self.start(kind, body)?;
        tokio::time::timeout(CALL_TIMEOUT, call.next()).await.context("a call takes too long")?
    }

    /// Writes a key.
    pub async fn put(&self, key: &str, value: &[u8]) -> anyhow::Result<()> {
        let mut body = BytesMut::with_capacity(2 + key.len() + value.len());
        body.put_u16(key.len() as u16);
        body.put_slice(key.as_bytes());
        body.put_slice(value);
        self.ask(PUT, body.freeze()).await.map(|_| ())
    }

    /// Reads a key, linearizably; the length of its value.
    pub async fn read(&self, key: &str) -> anyhow::Result<usize> {
        Ok(self.ask(READ, Bytes::copy_from_slice(key.as_bytes())).await?.len())
    }

    /// Whether the member at the other end leads.
    pub async fn leads(&self) -> anyhow::Result<bool> {
        Ok(self.ask(STATUS, Bytes::new()).await?.first() == Some(&1))
    }

    /// Follows the changes under a prefix.
    pub async fn watch(&self, prefix: &str) -> anyhow::Result<Watching> {
        let mut call = self.start(WATCH, Bytes::copy_from_slice(prefix.as_bytes()))?;
        call.next().await?;
        Ok(Watching(call))
    }
}

/// A call under way.
struct Call {
    id: u64,
    frames: mpsc::UnboundedReceiver<Frame>,
    waiting: Waiting,
}

impl Call {
    async fn next(&mut self) -> anyhow::Result<Bytes> {
        let frame = self.frames.recv().await.context("the connection broke")?;
        anyhow::ensure!(frame.kind == DONE, "{}", String::from_utf8_lossy(&frame.body));
        Ok(frame.body)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.waiting.lock().remove(&self.id);
    }
}

/// A watch that stands.
pub struct Watching(Call);

impl Watching {
    /// Waits for changes; how many came.
    pub async fn next(&mut self) -> anyhow::Result<usize> {
        let mut body = self.0.next().await?;
        anyhow::ensure!(body.len() >= 4, "a change is cut off");
        Ok(body.get_u32() as usize)
    }
}
