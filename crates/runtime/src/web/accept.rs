//! Where connections come from: a port, or whatever a test puts in its place.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::client::Stream;

/// A connection, with the address of its other end where it has one.
pub type Accepted = (Box<dyn Stream>, Option<SocketAddr>);

/// Gives connections. What it answers may be dropped before it is there.
pub trait Accept: Send + 'static {
    /// The next connection.
    fn accept(&mut self) -> impl Future<Output = io::Result<Accepted>> + Send;
}

impl Accept for TcpListener {
    async fn accept(&mut self) -> io::Result<Accepted> {
        let (stream, address) = TcpListener::accept(self).await?;
        let _ = stream.set_nodelay(true);
        Ok((Box::new(stream), Some(address)))
    }
}

/// Connections of a test; where their sender is gone, none ever comes.
impl<S: Stream> Accept for mpsc::Receiver<S> {
    async fn accept(&mut self) -> io::Result<Accepted> {
        match self.recv().await {
            Some(stream) => Ok((Box::new(stream), None)),
            None => std::future::pending().await,
        }
    }
}
