//! A stream that lets go of a client that does not begin to speak, or takes nothing of what is sent to it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What a client of HTTP/2 begins with. Until it is whole, or something else comes, hyper has no clock.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A stream whose writes fail after `patience` without progress, and whose reads fail where its first bytes
/// do not come in time.
pub(crate) struct Patient<S> {
    stream: S,
    /// `None`: without end.
    patience: Option<Duration>,
    /// Runs until the client has begun to speak; how much of the preface is there.
    beginning: Option<(Pin<Box<Sleep>>, usize)>,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(crate) fn new(stream: S, begin: Duration, patience: Option<Duration>) -> Self {
        Self { stream, patience, beginning: Some((Box::pin(sleep(begin)), 0)), waiting: None }
    }

    /// What a write said; where it waits, for no longer than patience lasts.
    fn within<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let Some(patience) = self.patience else { return written };
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing of its answer")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        let Some((timer, bytes)) = &mut self.beginning else { return read };
        if read.is_ready() {
            let new = buf.filled().get(before..).unwrap_or_default();
            let rest = PREFACE.get(*bytes..).unwrap_or_default();
            *bytes += new.len();
            // Whole, or something else: from now on the time is taken elsewhere.
            if new.len() >= rest.len() || !rest.starts_with(new) {
                self.beginning = None;
            }
            return read;
        }
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client says nothing")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.within(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.within(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.within(cx, ended)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_has_begun_when_it_says_what_no_preface_is_or_a_whole_one() {
        let begin = Duration::from_secs(10);
        // What the client says, a second between each; whether it is let go.
        for (pieces, let_go) in [
            (&[][..], true),
            (&["P", "R", "I"], true),
            (&["PRI * HTTP/2.0\r\n\r\nSM\r\n"], true),
            (&["PRI * HTTP/2.0\r\n", "\r\nSM\r\n\r\n"], false),
            (&["G"], false),
            (&["PO"], false),
            (&["P", "U"], false),
            (&["\u{0}"], false),
        ] {
            let (mut client, server) = duplex(64);
            let mut stream = Patient::new(server, begin, None);
            let began = Instant::now();
            let reading = tokio::spawn(async move {
                let mut seen = [0; 64];
                loop {
                    match stream.read(&mut seen).await {
                        Ok(0) => return Ok(()),
                        Ok(_) => {}
                        Err(error) => return Err(error.to_string()),
                    }
                }
            });
            for piece in pieces {
                client.write_all(piece.as_bytes()).await.unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            tokio::time::sleep(2 * begin).await;
            drop(client);
            let ended = reading.await.unwrap();
            assert_eq!(ended.is_err(), let_go, "{pieces:?}: {ended:?} after {:?}", began.elapsed());
        }
    }
}
