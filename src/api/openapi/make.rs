//! Makes documents: hashed and compressed while they are written, so that none is whole in memory.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use kabuki_api::{kind::Kind, openapi};
use sha2::{Digest, Sha512};

use super::{super::KUBERNETES_VERSION, describe::describe};

/// Custom kinds that are served beside those of the table.
pub(super) type Kinds<'a> = &'a [&'static Kind];

/// Bytes gathered before they are hashed and compressed: documents are written in small pieces.
const BUFFER_BYTES: usize = 32 * 1024;

/// A finished document.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// With gzip.
    pub(super) compressed: Bytes,
    /// Quoted hash of what is compressed.
    pub(super) etag: String,
}

/// Takes a document's bytes.
struct Sink {
    hash: Sha512,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl Sink {
    fn new(keep: bool) -> io::BufWriter<Self> {
        let gzip = keep.then(|| GzEncoder::new(Vec::new(), Compression::default()));
        io::BufWriter::with_capacity(BUFFER_BYTES, Self { hash: Sha512::new(), gzip })
    }

    fn hash(self) -> String {
        hex::encode_upper(self.hash.finalize())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hash.update(bytes);
        if let Some(gzip) = &mut self.gzip {
            gzip.write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Document {
    /// A document from its bytes.
    pub(super) fn of(bytes: &[u8]) -> io::Result<Self> {
        let mut sink = Sink::new(true);
        sink.write_all(bytes)?;
        Self::finish(sink)
    }

    fn finish(sink: io::BufWriter<Sink>) -> io::Result<Self> {
        let mut sink = sink.into_inner().map_err(io::IntoInnerError::into_error)?;
        let compressed = match sink.gzip.take() {
            Some(gzip) => gzip.finish()?.into(),
            None => Bytes::new(),
        };
        Ok(Self { compressed, etag: format!("\"{}\"", sink.hash()) })
    }

    /// The document itself.
    pub(super) fn plain(&self) -> io::Result<Bytes> {
        let mut out = Vec::with_capacity(self.compressed.len() * 8);
        GzDecoder::new(self.compressed.as_ref()).read_to_end(&mut out)?;
        Ok(out.into())
    }
}

/// The document of version 2 as JSON.
pub(super) fn v2_json(custom: Kinds<'_>) -> io::Result<Document> {
    let mut sink = Sink::new(true);
    openapi::write_v2(KUBERNETES_VERSION, custom, describe, &mut sink)?;
    Document::finish(sink)
}

/// The document of version 2 as protobuf.
pub(super) fn v2_protobuf(custom: Kinds<'_>) -> io::Result<Document> {
    Document::of(&openapi::v2_protobuf(KUBERNETES_VERSION, custom, describe))
}

/// A document of version 3, if there is one of this name.
pub(super) fn v3(name: &str, custom: Kinds<'_>) -> io::Result<Option<Document>> {
    let mut sink = Sink::new(true);
    let known = openapi::write_v3(name, custom, KUBERNETES_VERSION, describe, &mut sink)?;
    if known { Document::finish(sink).map(Some) } else { Ok(None) }
}

/// The hashes of documents of version 3.
pub(super) fn hashes(
    names: Vec<String>,
    custom: Kinds<'_>,
) -> io::Result<BTreeMap<String, String>> {
    let mut out = BTreeMap::new();
    for name in names {
        let mut sink = Sink::new(false);
        openapi::write_v3(&name, custom, KUBERNETES_VERSION, describe, &mut sink)?;
        let sink = sink.into_inner().map_err(io::IntoInnerError::into_error)?;
        out.insert(name, sink.hash());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_back_as_they_were() {
        let document = Document::of(b"{\"a\":1}").unwrap();
        assert_eq!(document.plain().unwrap(), "{\"a\":1}");
        assert_ne!(document.etag, Document::of(b"{}").unwrap().etag);
    }
}
