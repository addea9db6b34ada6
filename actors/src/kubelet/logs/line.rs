//! One line of a CRI log file: `<RFC 3339 time> <stdout|stderr> <F|P> <text>`.

/// A parsed line; texts point into the file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLine<'a> {
    /// Time stamp as written.
    pub time: &'a [u8],
    /// `stdout` or `stderr`.
    pub stream: &'a [u8],
    /// The line goes on in the next entry (`P`).
    pub partial: bool,
    /// What the container wrote, without the line end.
    pub text: &'a [u8],
}

impl<'a> LogLine<'a> {
    /// Parses an entry without its line end; `None` when it is malformed.
    pub fn parse(entry: &'a [u8]) -> Option<Self> {
        let mut parts = entry.splitn(4, |b| *b == b' ');
        let (time, stream, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let text = parts.next().unwrap_or_default();
        if !matches!(stream, b"stdout" | b"stderr") {
            return None;
        }
        // Further tags may follow, separated by colons.
        let partial = tag.split(|b| *b == b':').next()? == b"P";
        Some(Self { time, stream, partial, text })
    }
}

/// What the container wrote, from raw entries. With `cut`, the first entry is incomplete.
pub fn plain_text(raw: &[u8], cut: bool) -> Vec<u8> {
    let mut text = Vec::with_capacity(raw.len());
    for entry in raw.split(|b| *b == b'\n').skip(usize::from(cut)) {
        if let Some(line) = LogLine::parse(entry) {
            text.extend_from_slice(line.text);
            if !line.partial {
                text.push(b'\n');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries() {
        type Parsed = Option<(&'static [u8], bool, &'static [u8])>;
        let table: [(&[u8], Parsed); 5] = [
            (
                b"2026-01-01T00:00:00.1Z stdout F hello world",
                Some((b"stdout", false, b"hello world")),
            ),
            (b"2026-01-01T00:00:00.1Z stderr P par", Some((b"stderr", true, b"par"))),
            (b"2026-01-01T00:00:00.1Z stdout F ", Some((b"stdout", false, b""))),
            (b"nonsense", None),
            (b"", None),
        ];
        for (entry, expected) in table {
            let got = LogLine::parse(entry).map(|l| (l.stream, l.partial, l.text));
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn partial_entries_join() {
        let raw = b"t stdout P ab\nt stdout F cd\nt stderr F e\n";
        assert_eq!(plain_text(raw, false), b"abcd\ne\n");
        assert_eq!(plain_text(raw, true), b"cd\ne\n");
    }
}
