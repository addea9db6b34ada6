//! One connection of a daemon: bytes in, bytes out, nothing blocks.

use std::{
    io::{ErrorKind, Read, Write},
    os::unix::net::UnixStream,
};

use super::protocol::{self, Call, Message};

/// Answers waiting for a daemon that does not read; beyond it the connection is closed.
const OUT_LIMIT_BYTES: usize = 4 * protocol::FRAME_LIMIT;
/// Bytes read at once.
const CHUNK_BYTES: usize = 16 * 1024;

pub(super) struct Client {
    pub id: u64,
    pub stream: UnixStream,
    input: Vec<u8>,
    output: Vec<u8>,
    /// Said hello: gets events.
    pub greeted: bool,
    pub closed: bool,
}

impl Client {
    pub fn new(id: u64, stream: UnixStream) -> Self {
        Self { id, stream, input: Vec::new(), output: Vec::new(), greeted: false, closed: false }
    }

    pub fn wants_write(&self) -> bool {
        !self.output.is_empty()
    }

    /// Reads what is there and answers the whole calls in it.
    pub fn read(&mut self) -> Vec<Call> {
        let mut chunk = [0; CHUNK_BYTES];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    self.closed = true;
                    break;
                }
                Ok(n) => self.input.extend_from_slice(&chunk[..n]),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    self.closed |= e.kind() != ErrorKind::WouldBlock;
                    break;
                }
            }
            if self.input.len() > protocol::FRAME_LIMIT + CHUNK_BYTES {
                break;
            }
        }
        let mut calls = Vec::new();
        loop {
            match protocol::take_frame(&mut self.input) {
                Ok(Some(frame)) => match serde_json::from_slice(&frame) {
                    Ok(call) => calls.push(call),
                    Err(_) => self.closed = true,
                },
                Ok(None) => break,
                Err(_) => {
                    self.closed = true;
                    break;
                }
            }
        }
        self.input.shrink_to(CHUNK_BYTES);
        calls
    }

    pub fn send(&mut self, message: &Message) {
        match protocol::encode(message) {
            Ok(frame) if self.output.len() + frame.len() <= OUT_LIMIT_BYTES => {
                self.output.extend_from_slice(&frame);
                self.flush();
            }
            _ => self.closed = true,
        }
    }

    pub fn flush(&mut self) {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(n) if n > 0 => drop(self.output.drain(..n)),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) if e.kind() == ErrorKind::WouldBlock => return,
                _ => {
                    self.closed = true;
                    return;
                }
            }
        }
        self.output.shrink_to(CHUNK_BYTES);
    }
}
