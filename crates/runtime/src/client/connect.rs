//! From a host's name to a stream: TCP, the configured proxy, TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::error::{ClientError, chain};
use super::{Proxy, authority};
use crate::BoxFuture;

/// A two-way stream of bytes.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// Opens streams to hosts: the network, or whatever a test puts in its place.
pub trait Connect: Send + Sync + 'static {
    /// Opens a stream to a port of a host, which is a name or an address without brackets.
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// How long one of several addresses of a host is tried before the next one is.
const ADDRESS_DEADLINE: Duration = Duration::from_secs(3);

/// The largest answer of a proxy to CONNECT, in bytes.
const MAX_PROXY_HEAD: usize = 8 << 10;

/// Connects over TCP; the system resolves names.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tcp;

impl Connect for Tcp {
    fn connect<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let addresses = alternate(tokio::net::lookup_host((host, port)).await?.collect());
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            let count = addresses.len();
            for (index, address) in addresses.into_iter().enumerate() {
                let connecting = tokio::net::TcpStream::connect(address);
                // The last one may take what is left of the caller's own deadline.
                let result = if index + 1 == count {
                    connecting.await
                } else {
                    let slow = || io::Error::new(io::ErrorKind::TimedOut, format!("{address} is silent"));
                    tokio::time::timeout(ADDRESS_DEADLINE, connecting).await.unwrap_or_else(|_| Err(slow()))
                };
                match result {
                    Ok(stream) => {
                        let _ = stream.set_nodelay(true);
                        return Ok(Box::new(stream) as Box<dyn Stream>);
                    }
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }
}

/// Families in turn, in the resolver's order: one that does not work costs one try.
fn alternate(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_six = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for address in addresses {
        if address.is_ipv6() == first_is_six { a.push(address) } else { b.push(address) }
    }
    let (mut a, mut b) = (a.into_iter(), b.into_iter());
    let mut mixed = Vec::new();
    loop {
        let (x, y) = (a.next(), b.next());
        if x.is_none() && y.is_none() {
            return mixed;
        }
        mixed.extend(x.into_iter().chain(y));
    }
}

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(super) enum ConnectFailure {
    Stream(String),
    Tls(String),
}

impl ConnectFailure {
    pub(super) fn at(self, host: String) -> ClientError {
        match self {
            Self::Stream(cause) => ClientError::Connect { host, cause },
            Self::Tls(cause) => ClientError::Tls { host, cause },
        }
    }
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stream(cause) | Self::Tls(cause) => f.write_str(cause),
        }
    }
}

impl std::error::Error for ConnectFailure {}

/// What hyper's pool asks for connections.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) streams: Arc<dyn Connect>,
    pub(super) tls: Arc<rustls::ClientConfig>,
    /// Why no host can be trusted, where there are no authorities.
    pub(super) untrusting: Option<Arc<str>>,
    pub(super) proxy: Option<Arc<Proxy>>,
    pub(super) deadline: Duration,
}

impl tower_service::Service<Uri> for Connector {
    type Response = Io;
    type Error = ConnectFailure;
    type Future = BoxFuture<'static, Result<Io, ConnectFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move {
            let slow = ConnectFailure::Stream(format!(
                "no connection within {}",
                kiban_base::duration::format(connector.deadline)
            ));
            tokio::time::timeout(connector.deadline, connector.open(&uri)).await.unwrap_or(Err(slow))
        })
    }
}

impl Connector {
    async fn open(&self, uri: &Uri) -> Result<Io, ConnectFailure> {
        let (host, port, secure) = authority(uri).map_err(ConnectFailure::Stream)?;
        let proxy = self.proxy.as_deref().filter(|proxy| proxy.serves(host));
        let io = |error: io::Error| ConnectFailure::Stream(chain(&error));
        let stream = match proxy {
            None => self.streams.connect(host, port).await.map_err(io)?,
            Some(proxy) => {
                let at = self.streams.connect(&proxy.host, proxy.port).await;
                let mut stream = at.map_err(|error| {
                    ConnectFailure::Stream(format!("the proxy {}: {}", proxy.host, chain(&error)))
                })?;
                if secure {
                    tunnel(&mut stream, host, port, proxy).await?;
                }
                stream
            }
        };
        if !secure {
            return Ok(Io { stream: TokioIo::new(stream), http2: false, proxied: proxy.is_some() });
        }
        if let Some(why) = &self.untrusting {
            return Err(ConnectFailure::Tls(why.to_string()));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| ConnectFailure::Tls(format!("{host:?} is no name that a certificate can hold")))?;
        let stream = TlsConnector::from(self.tls.clone())
            .connect(name, stream)
            .await
            .map_err(|error| ConnectFailure::Tls(chain(&error)))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok(Io { stream: TokioIo::new(Box::new(stream)), http2, proxied: false })
    }
}

/// Asks a proxy for a way through.
async fn tunnel(
    stream: &mut Box<dyn Stream>,
    host: &str,
    port: u16,
    proxy: &Proxy,
) -> Result<(), ConnectFailure> {
    let failed = |what: &str| ConnectFailure::Stream(format!("the proxy {} {what}", proxy.host));
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let mut head = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(credential) = &proxy.authorization {
        head.push_str(&format!("Proxy-Authorization: {}\r\n", credential.expose()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.map_err(|_| failed("broke off"))?;
    let mut answer = Vec::new();
    // Byte by byte, so that nothing of what comes after the head is taken from the stream.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= MAX_PROXY_HEAD {
            return Err(failed("answered with a head that is too long"));
        }
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => answer.push(byte[0]),
            _ => return Err(failed("broke off")),
        }
    }
    let text = String::from_utf8_lossy(&answer);
    let code = text.split_ascii_whitespace().nth(1).and_then(|code| code.parse::<u16>().ok());
    match code {
        Some(200..=299) => Ok(()),
        Some(code) => Err(failed(&format!("answered {code}"))),
        None => Err(failed("speaks no HTTP")),
    }
}

/// A connection as hyper wants it.
pub(super) struct Io {
    stream: TokioIo<Box<dyn Stream>>,
    http2: bool,
    proxied: bool,
}

impl Connection for Io {
    fn connected(&self) -> Connected {
        let connected = Connected::new().proxy(self.proxied);
        if self.http2 { connected.negotiated_h2() } else { connected }
    }
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
