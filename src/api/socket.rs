//! WebSocket (RFC 6455) as watches need it (apiserver `pkg/endpoints/handlers/watch.go`): the
//! server sends text frames, one per event; of what the client sends only its pings and its goodbye
//! matter.

use std::io;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE},
    web::Payload,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes, BytesMut};
use futures_util::{Stream, StreamExt, stream};
use ring::digest;

/// What is appended to the client's key before it is hashed.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Longest frame of a client. Watches read nothing from it, so that this is much.
const MAX_FRAME_BYTES: usize = 64 * 1024;

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;
/// Status codes of a close.
const NORMAL: u16 = 1000;
const PROTOCOL_ERROR: u16 = 1002;

/// `Sec-WebSocket-Accept`, if this request asks for a WebSocket and may have one.
pub(super) fn accepted(request: &HttpRequest) -> Option<String> {
    let header = |name: &str| request.headers().get(name).and_then(|v| v.to_str().ok());
    let has = |name: &str, word: &str| {
        let mut words = header(name).unwrap_or_default().split(',').map(str::trim);
        words.any(|w| w.eq_ignore_ascii_case(word))
    };
    let wanted = has("upgrade", "websocket") && has("connection", "upgrade");
    let key = header("sec-websocket-key").filter(|_| header("sec-websocket-version") == Some("13"));
    key.filter(|_| wanted).map(accept_key)
}

fn accept_key(key: &str) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key.as_bytes());
    hash.update(MAGIC);
    STANDARD.encode(hash.finish())
}

/// Answers with a WebSocket that carries each line of `chunks` as one text frame and is closed at
/// their end.
pub(super) fn answer<S>(accept: &str, chunks: S, payload: Payload) -> HttpResponse
where
    S: Stream<Item = Bytes> + Unpin + 'static,
{
    let socket = Socket { chunks, payload, incoming: BytesMut::new(), closed: false };
    let frames = stream::unfold(socket, |mut socket| async {
        let frames = socket.next().await?;
        Some((Ok::<_, io::Error>(frames), socket))
    });
    let mut response = HttpResponse::SwitchingProtocols();
    response.upgrade("websocket").insert_header((CONNECTION, "Upgrade"));
    response.insert_header((SEC_WEBSOCKET_ACCEPT, accept.to_owned()));
    response.insert_header((UPGRADE, "websocket"));
    response.streaming(frames)
}

struct Socket<S> {
    chunks: S,
    payload: Payload,
    incoming: BytesMut,
    closed: bool,
}

impl<S: Stream<Item = Bytes> + Unpin> Socket<S> {
    /// The next bytes for the client; `None` ends the connection.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.closed {
            tokio::select! {
                chunk = self.chunks.next() => return match chunk {
                    Some(lines) => Some(frames_of_lines(&lines)),
                    None => Some(self.close(NORMAL)),
                },
                received = self.payload.next() => {
                    let Some(Ok(bytes)) = received else { return None };
                    self.incoming.extend_from_slice(&bytes);
                    if let Some(reply) = self.replies() {
                        return Some(reply);
                    }
                }
            }
        }
        None
    }

    fn close(&mut self, code: u16) -> Bytes {
        self.closed = true;
        let mut out = Vec::new();
        frame(CLOSE, &code.to_be_bytes(), &mut out);
        out.into()
    }

    /// Takes the frames that are complete; answers pings and a goodbye.
    fn replies(&mut self) -> Option<Bytes> {
        let mut out = Vec::new();
        loop {
            match take_frame(&mut self.incoming) {
                Ok(None) => break,
                Ok(Some((PING, payload))) => frame(PONG, &payload, &mut out),
                Ok(Some((CLOSE, _))) => {
                    out.extend_from_slice(&self.close(NORMAL));
                    break;
                }
                Ok(Some(_)) => {}
                Err(()) => {
                    out.extend_from_slice(&self.close(PROTOCOL_ERROR));
                    break;
                }
            }
        }
        (!out.is_empty()).then(|| out.into())
    }
}

fn frames_of_lines(lines: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(lines.len() + 16);
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        frame(TEXT, line, &mut out);
    }
    out.into()
}

/// Appends one whole, unmasked frame.
fn frame(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(short), _) if short < 126 => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload.len() as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(payload);
}

/// Takes one frame of the client, unmasked; `None` while it is not whole.
///
/// # Errors
/// For one that is not masked, or too long.
fn take_frame(bytes: &mut BytesMut) -> Result<Option<(u8, Vec<u8>)>, ()> {
    let [first, second, ..] = **bytes else { return Ok(None) };
    let extended = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let head = 2 + extended + 4;
    if second & 0x80 == 0 {
        return Err(());
    }
    if bytes.len() < head {
        return Ok(None);
    }
    let length = match extended {
        0 => u64::from(second & 0x7f),
        _ => bytes[2..2 + extended].iter().fold(0, |sum, b| (sum << 8) | u64::from(*b)),
    };
    let length = usize::try_from(length).ok().filter(|l| *l <= MAX_FRAME_BYTES).ok_or(())?;
    if bytes.len() < head + length {
        return Ok(None);
    }
    let mask: Vec<u8> = bytes[head - 4..head].to_vec();
    bytes.advance(head);
    let payload = bytes.split_to(length);
    let payload = payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m).collect();
    Ok(Some((first & 0x0f, payload)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        let mut bytes = BytesMut::from(&[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d][..]);
        assert_eq!(take_frame(&mut bytes), Ok(None));
        bytes.extend_from_slice(&[0x51, 0x58]);
        assert_eq!(take_frame(&mut bytes), Ok(Some((TEXT, b"Hello".to_vec()))));
        assert!(bytes.is_empty());
    }

    #[test]
    fn frames_of_all_lengths() {
        for (length, head) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut out = Vec::new();
            frame(TEXT, &vec![b'x'; length], &mut out);
            assert_eq!(out.len(), head + length);
        }
        assert_eq!(frames_of_lines(b"a\nbc\n"), [0x81, 1, b'a', 0x81, 2, b'b', b'c'][..]);
    }

    #[test]
    fn hostile_frames_end_the_connection() {
        let mut unmasked = BytesMut::from(&[0x81, 0x01, b'a'][..]);
        assert_eq!(take_frame(&mut unmasked), Err(()));
        let mut huge = BytesMut::from(&[0xff; 16][..]);
        assert_eq!(take_frame(&mut huge), Err(()));
    }
}
