//! As much protobuf and gRPC framing as the calls of this bench need.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Path of a call that writes one key.
pub const PUT: &str = "/etcdserverpb.KV/Put";
/// Path of a call that reads one key.
pub const RANGE: &str = "/etcdserverpb.KV/Range";
/// Path of the bidirectional watch.
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";
/// Path of a question about the member that is asked.
pub const STATUS: &str = "/etcdserverpb.Maintenance/Status";

/// Bytes before a message: whether it is compressed, and its length.
pub const PREFIX: usize = 5;

/// Builds one protobuf message behind its gRPC prefix.
pub struct Message(BytesMut);

impl Message {
    /// An empty message with room for `bytes`.
    pub fn new(bytes: usize) -> Self {
        let mut out = BytesMut::with_capacity(PREFIX + bytes + 64);
        out.put_bytes(0, PREFIX);
        Self(out)
    }

    /// A number; zero is left out, as proto3 does.
    pub fn number(mut self, field: u64, value: u64) -> Self {
        if value != 0 {
            varint(&mut self.0, field << 3);
            varint(&mut self.0, value);
        }
        self
    }

    /// Bytes, a string or an embedded message.
    pub fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        varint(&mut self.0, field << 3 | 2);
        varint(&mut self.0, value.len() as u64);
        self.0.put_slice(value);
        self
    }

    /// The frame to send.
    pub fn framed(mut self) -> Bytes {
        let len = (self.0.len() - PREFIX) as u32;
        self.0[1..PREFIX].copy_from_slice(&len.to_be_bytes());
        self.0.freeze()
    }

    /// The message alone, to be embedded.
    pub fn embedded(self) -> Bytes {
        self.0.freeze().slice(PREFIX..)
    }
}

fn varint(out: &mut BytesMut, mut value: u64) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// A field of a message.
#[derive(Debug, Clone)]
pub enum Field {
    /// A varint.
    Number(u64),
    /// Anything with a length.
    Bytes(Bytes),
}

impl Field {
    /// The bytes; empty for a number.
    pub fn into_bytes(self) -> Bytes {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Number(_) => Bytes::new(),
        }
    }
}

/// The fields of a message in their order.
pub fn fields(mut message: Bytes) -> impl Iterator<Item = (u64, Field)> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let tag = read_varint(&mut message)?;
        let field = match tag & 7 {
            0 => Field::Number(read_varint(&mut message)?),
            2 => {
                let len = read_varint(&mut message)? as usize;
                if len > message.len() {
                    return None;
                }
                Field::Bytes(message.split_to(len))
            }
            _ => return None,
        };
        Some((tag >> 3, field))
    })
}

fn read_varint(from: &mut Bytes) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        if from.is_empty() {
            return None;
        }
        let byte = from.get_u8();
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

/// A numeric field; 0 when absent.
pub fn number(message: &Bytes, wanted: u64) -> u64 {
    fields(message.clone())
        .find_map(|(field, value)| match value {
            Field::Number(number) if field == wanted => Some(number),
            _ => None,
        })
        .unwrap_or(0)
}

/// An embedded field; empty when absent.
pub fn embedded(message: &Bytes, wanted: u64) -> Bytes {
    fields(message.clone())
        .find(|(field, _)| *field == wanted)
        .map_or_else(Bytes::new, |(_, value)| value.into_bytes())
}

/// Takes complete messages out of what a stream has brought so far.
pub fn take_message(buffer: &mut BytesMut) -> Option<Bytes> {
    if buffer.len() < PREFIX {
        return None;
    }
    let len = u32::from_be_bytes([buffer[1], buffer[2], buffer[3], buffer[4]]) as usize;
    if buffer.len() < PREFIX + len {
        return None;
    }
    buffer.advance(PREFIX);
    Some(buffer.split_to(len).freeze())
}
