//! The lines of a body as they arrive.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;

use super::json::MAX_VALUE;
use crate::client::Chunks;

/// The lines of a body.
pub(crate) struct Lines {
    body: Chunks,
    buffer: BytesMut,
    /// How much of the buffer is known to hold no line's end.
    scanned: usize,
}

/// What came of waiting for a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A line that is not empty, without its end.
    Line(Bytes),
    /// The body is at its end.
    End,
    /// It broke off, or a line is too long.
    Broken(String),
    /// Nothing came for as long as patience lasts.
    Silent,
}

impl Lines {
    pub(crate) fn new(body: Chunks) -> Self {
        Self { body, buffer: BytesMut::new(), scanned: 0 }
    }

    /// The next line; waits up to `patience` for more bytes. Part of a line at the end is dropped: the
    /// event will come again.
    pub(crate) async fn next(&mut self, patience: Duration, read: impl Fn(usize)) -> Next {
        loop {
            let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let mut line = self.buffer.split_to(self.scanned + at + 1);
                self.scanned = 0;
                line.truncate(line.len() - 1);
                if line.is_empty() {
                    continue;
                }
                return Next::Line(line.freeze());
            }
            self.scanned = self.buffer.len();
            if self.scanned > MAX_VALUE {
                return Next::Broken(format!("a line of more than {MAX_VALUE} bytes"));
            }
            match tokio::time::timeout(patience, self.body.next()).await {
                Ok(Some(Ok(chunk))) => {
                    read(chunk.len());
                    self.buffer.extend_from_slice(&chunk);
                }
                Ok(Some(Err(failure))) => return Next::Broken(failure.text),
                Ok(None) => return Next::End,
                Err(_) => return Next::Silent,
            }
        }
    }
}
