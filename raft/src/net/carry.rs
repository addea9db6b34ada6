//! One connection to a peer while it lasts: requests out, answers in, and an eye on silence.

use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt as _, BufWriter},
    sync::{mpsc, watch},
};

use super::{
    client::{Lane, LinkState, PeerError, Tls, Waiting},
    frame::{Frame, Kind, MAX_FRAME_BYTES, read_frame, write_frame},
    greeting,
};
use crate::Faults;

/// Frames waiting to be written on one connection; a full queue holds callers back.
const WRITE_QUEUE: usize = 256;
/// How often a connection is looked at for silence. A peer that leaves requests unanswered for
/// that long is asked whether it lives.
const SILENCE_CHECK: Duration = Duration::from_millis(500);

/// How many looks in a row may find nothing new before the connection is given up. A network that
/// comes back after a cut would otherwise wait for TCP's own long pauses, and whoever waits for an
/// answer with it. A peer whose disk is slow answers pings, so it is not given up.
fn patience(lane: Lane, pings: bool) -> u32 {
    match lane {
        Lane::Control => 4,
        // Behind a full queue of entries for a slow disk a ping may have to wait.
        Lane::Log => 12,
        Lane::Admin | Lane::Write | Lane::Bulk if pings => 4,
        // The first release answers no pings, and nothing else before the work is done.
        Lane::Write => 30,
        Lane::Admin => 180,
        Lane::Bulk => 1200,
    }
}

/// Carry requests and answers until the connection breaks.
pub(super) async fn carry(
    (stream, version): (Tls, u32),
    report: &watch::Sender<LinkState>,
    lane: Lane,
    faults: &Faults,
) -> io::Error {
    let (mut reader, writer) = tokio::io::split(stream);
    let (queue, mut frames) = mpsc::channel::<Frame>(WRITE_QUEUE);
    let waiting = Waiting::default();
    let pings = (version >= greeting::since(Kind::Ping)).then(|| queue.clone());
    let patience = patience(lane, pings.is_some());
    report.send_replace(LinkState::Up { queue, waiting: waiting.clone(), version });
    let write = async {
        let mut writer = BufWriter::with_capacity(64 * 1024, writer);
        while let Some(frame) = frames.recv().await {
            write_frame(&mut writer, &frame).await?;
            // Only what consensus may hear twice; TCP and TLS keep the rest from being repeated.
            if matches!(frame.kind, Kind::Append | Kind::Vote | Kind::PreVote)
                && faults.duplicates()
            {
                write_frame(&mut writer, &frame).await?;
            }
            if frames.is_empty() {
                writer.flush().await?;
            }
        }
        Ok::<(), io::Error>(())
    };
    let heard = AtomicU64::new(0);
    let read = async {
        loop {
            let (kind, id, body) = read_frame(&mut reader, MAX_FRAME_BYTES).await?;
            heard.fetch_add(1, Ordering::Relaxed);
            let answer = match kind {
                Kind::Answer => Ok(body),
                Kind::Refused => {
                    Err(PeerError::Refused(String::from_utf8_lossy(&body).into_owned()))
                }
                _ => return Err(io::Error::other("the peer answers with a request")),
            };
            // Absent when the caller stopped waiting, and for pings.
            if let Some(reply) = waiting.lock().remove(&id) {
                reply.send(answer).ok();
            }
        }
    };
    let result: io::Result<()> = tokio::select! {
        result = write => result,
        result = read => result,
        error = silence(&heard, &waiting, pings.as_ref(), patience) => Err(error),
    };
    // First this: a request that was not handed over must not be waited for. Dropping the
    // replies then tells everybody else that the connection broke.
    report.send_replace(LinkState::Connecting);
    waiting.lock().clear();
    result.err().unwrap_or_else(|| io::Error::other("closed"))
}

/// Returns when requests wait and `patience` looks in a row found that nothing at all was heard.
/// Looks are counted, not time: a process that was paused must not blame its peers.
async fn silence(
    heard: &AtomicU64,
    waiting: &Waiting,
    pings: Option<&mpsc::Sender<Frame>>,
    patience: u32,
) -> io::Error {
    let (mut last, mut silent) = (0, 0);
    loop {
        tokio::time::sleep(SILENCE_CHECK).await;
        let now = heard.load(Ordering::Relaxed);
        if now != last || waiting.lock().is_empty() {
            (last, silent) = (now, 0);
            continue;
        }
        silent += 1;
        if silent > patience {
            return io::Error::other("the peer is silent");
        }
        // A full queue means that the peer does not even read.
        if let Some(pings) = pings {
            pings.try_send(Frame { kind: Kind::Ping, id: 0, body: Vec::new() }).ok();
        }
    }
}
