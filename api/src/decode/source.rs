//! The text a YAML document came from. serde_yaml says what a scalar holds but not how it was
//! written; text that it hands out unchanged is a part of the document, so its place tells.

use serde_json::Value;

/// The bytes of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'s> {
    bytes: &'s [u8],
}

impl<'s> Source<'s> {
    pub(super) fn new(bytes: &'s [u8]) -> Self {
        Self { bytes }
    }

    /// Where `text` begins, if it is a part of the document and not a copy.
    pub(super) fn offset(&self, text: &str) -> Option<usize> {
        let at = (text.as_ptr() as usize).checked_sub(self.bytes.as_ptr() as usize)?;
        (at + text.len() <= self.bytes.len()).then_some(at)
    }

    /// Whether a scalar stands there without quotes and without a tag.
    pub(super) fn is_plain(&self, text: &str) -> bool {
        let Some(at) = self.offset(text) else { return false };
        let quote = self.bytes.get(at.wrapping_sub(1)).filter(|b| matches!(b, b'"' | b'\''));
        if quote.is_some() && quote == self.bytes.get(at + text.len()) {
            return false;
        }
        let line = self.bytes[..at].rsplit(|b| *b == b'\n').next().unwrap_or_default();
        // From the scalar backwards: an anchor may stand between it and its tag.
        line.rsplit(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty())
            .find(|word| word[0] != b'&')
            .is_none_or(|word| word[0] != b'!')
    }

    /// The line, from 1, of the value that follows the key at `at`: a block begins below its key.
    pub(super) fn value_line(&self, at: usize, value: &Value) -> usize {
        let mut line = 1 + self.bytes[..at].iter().filter(|b| **b == b'\n').count();
        if !(value.is_object() || value.is_array()) {
            return line;
        }
        let mut lines = self.bytes[at..].split(|b| *b == b'\n');
        let key_line = lines.next().unwrap_or_default().trim_ascii_end();
        if !key_line.ends_with(b":") {
            return line;
        }
        for below in lines {
            line += 1;
            let text = below.trim_ascii();
            if !text.is_empty() && !text.starts_with(b"#") {
                break;
            }
        }
        line
    }
}
