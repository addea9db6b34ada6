//! What the other end of a link may send before the bytes, for the fuzz target and the replay of
//! its corpus.

use futures_util::FutureExt as _;

use super::frame::{MAX_HEADER, Reply, Request, read, write};

/// A header of either direction.
///
/// # Panics
/// When an accepted header is written back as something else.
pub fn header(data: &[u8]) {
    if let Some(Ok(request)) = read::<_, Request>(&mut &data[..]).now_or_never() {
        let mut wire = Vec::new();
        let written = write(&mut wire, &request).now_or_never();
        // What is escaped anew may be longer than it came.
        if !matches!(written, Some(Ok(()))) {
            assert!(data.len() > MAX_HEADER / 8, "a small header cannot be written back");
            return;
        }
        let again = read::<_, Request>(&mut &wire[..]).now_or_never();
        assert!(matches!(again, Some(Ok(same)) if same == request));
    }
    if let Some(Ok(Reply::Refused { message, .. })) =
        read::<_, Reply>(&mut &data[..]).now_or_never()
    {
        assert!(message.len() <= MAX_HEADER);
    }
}
