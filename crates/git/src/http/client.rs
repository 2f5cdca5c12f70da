//! The default way to a server: HTTP/1.1 by hyper over rustls, with connections that are used again.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

use crate::address::HttpAddress;
use crate::error::Error;
use crate::http::{Body, Http, Repeatable};
use crate::task::{Cancel, Task};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(15);
/// How many connections are kept for the next request.
const IDLE: usize = 8;

type Sender = SendRequest<Full<Bytes>>;
type Origin = (bool, String, u16);

/// Sends requests by a runtime that the caller has.
pub struct Client {
    handle: Handle,
    tls: Arc<ClientConfig>,
    idle: Idle,
}

/// Connections without a request on them.
type Idle = Arc<Mutex<Vec<(Origin, Sender)>>>;

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    /// A client that trusts the machine's certificates, and those of `extra` (PEM). Its connections are driven
    /// by `handle`; a call to it must not be made from a thread that runs asynchronous code.
    ///
    /// # Errors
    /// Where `extra` holds no certificate, or the machine has none and none is given.
    pub fn new(handle: Handle, extra: Option<&[u8]>) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(pem) = extra {
            let refuse = |why: String| Error::Given { what: "the certificate authorities".to_owned(), why };
            let before = roots.len();
            for found in CertificateDer::pem_slice_iter(pem) {
                let found = found.map_err(|why| refuse(why.to_string()))?;
                roots.add(found).map_err(|why| refuse(why.to_string()))?;
            }
            if roots.len() == before {
                return Err(refuse("there is no certificate in PEM format".to_owned()));
            }
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|why| Error::Given { what: "TLS".to_owned(), why: why.to_string() })?;
        let mut tls = config.with_root_certificates(roots).with_no_client_auth();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { handle, tls: Arc::new(tls), idle: Idle::default() })
    }

    async fn exchange(
        &self,
        address: &HttpAddress,
        request: Request<Full<Bytes>>,
    ) -> Result<(Response<Incoming>, Sender), Error> {
        let origin: Origin = (address.tls, address.host.clone(), address.port);
        let repeatable = request.extensions().get::<Repeatable>().is_some();
        let mut request = request;
        while let Some(mut sender) = take(&self.idle, &origin) {
            if sender.ready().await.is_err() {
                continue;
            }
            let again = repeatable.then(|| request.clone());
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, sender)),
                // The server had closed it. What was not sent, or changes nothing, another connection can take.
                Err(mut failed) => match failed.take_message().or(again) {
                    Some(back) => request = back,
                    None => return Err(network(address, &failed.into_error())),
                },
            }
        }
        let mut sender = self.connect(address).await?;
        let response = sender.send_request(request).await.map_err(|why| network(address, &why))?;
        Ok((response, sender))
    }

    async fn connect(&self, address: &HttpAddress) -> Result<Sender, Error> {
        let made = tokio::time::timeout(CONNECT, async {
            let tcp = TcpStream::connect((address.bare_host(), address.port))
                .await
                .map_err(|why| network(address, &why))?;
            // Small requests go at once; where that cannot be set, they go later.
            let _ = tcp.set_nodelay(true);
            if !address.tls {
                return self.speak(address, tcp).await;
            }
            let name =
                ServerName::try_from(address.bare_host().to_owned()).map_err(|why| network(address, &why))?;
            let tls = TlsConnector::from(self.tls.clone())
                .connect(name, tcp)
                .await
                .map_err(|why| network(address, &why))?;
            self.speak(address, tls).await
        });
        made.await.unwrap_or_else(|_| {
            let why = format!("no connection within {} s", CONNECT.as_secs());
            Err(Error::Network { remote: place(address), why })
        })
    }

    async fn speak<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        &self,
        address: &HttpAddress,
        stream: S,
    ) -> Result<Sender, Error> {
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|why| network(address, &why))?;
        // It ends with its sender; what fails in it is told to who waits for an answer.
        self.handle.spawn(connection);
        Ok(sender)
    }
}

impl Http for Client {
    fn send(&self, mut request: Request<Bytes>, task: &Task) -> Result<Response<Body>, Error> {
        let no_host =
            || Error::Network { remote: "a server".to_owned(), why: "the request names no host".to_owned() };
        let address = HttpAddress::of(request.uri()).ok_or_else(no_host)?;
        let authority = request.uri().authority().ok_or_else(no_host)?;
        let host = HeaderValue::try_from(authority.as_str()).map_err(|_| no_host())?;
        request.headers_mut().insert(HOST, host);
        let path = request.uri().path_and_query().map_or("/", |p| p.as_str()).parse::<Uri>();
        *request.uri_mut() = path.map_err(|_| no_host())?;
        let (deadline, cancel) = (task.deadline(), task.cancel().clone());
        let exchange = self.exchange(&address, request.map(Full::new));
        let (response, sender) = self.handle.block_on(async {
            tokio::select! {
                done = exchange => done,
                () = tokio::time::sleep_until(deadline) => Err(task.timeout("wait for an answer")),
                () = cancel.cancelled() => Err(Error::Cancelled),
            }
        })?;
        let origin = (address.tls, address.host.clone(), address.port);
        let after = task.limits.time;
        let (handle, idle) = (self.handle.clone(), self.idle.clone());
        Ok(response.map(|incoming| {
            let body = Answer {
                address,
                incoming,
                sender: Some((origin, sender)),
                chunk: Bytes::new(),
                handle,
                idle,
                deadline,
                after,
                cancel,
            };
            Box::new(body) as Body
        }))
    }
}

/// The body of an answer. At its end the connection goes back to the others.
struct Answer {
    address: HttpAddress,
    incoming: Incoming,
    sender: Option<(Origin, Sender)>,
    chunk: Bytes,
    handle: Handle,
    idle: Idle,
    deadline: Instant,
    after: Duration,
    cancel: Cancel,
}

impl Answer {
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        let (incoming, cancel, address) = (&mut self.incoming, &self.cancel, &self.address);
        let (deadline, after) = (self.deadline, self.after);
        self.handle.block_on(async {
            tokio::select! {
                frame = incoming.frame() => match frame {
                    None => Ok(None),
                    // Trailers say nothing that is asked for.
                    Some(Ok(frame)) => Ok(Some(frame.into_data().unwrap_or_default())),
                    Some(Err(why)) => Err(network(address, &why)),
                },
                () = tokio::time::sleep_until(deadline) => Err(Error::Timeout { what: "read an answer", after }),
                () = cancel.cancelled() => Err(Error::Cancelled),
            }
        })
    }
}

impl Read for Answer {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.chunk.is_empty() && self.sender.is_some() {
            match self.next().map_err(io::Error::other)? {
                Some(chunk) => self.chunk = chunk,
                None => {
                    let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                    idle.extend(self.sender.take());
                    let over = idle.len().saturating_sub(IDLE);
                    idle.drain(..over);
                }
            }
        }
        let got = self.chunk.len().min(out.len());
        let piece = self.chunk.split_to(got);
        if let Some(slot) = out.get_mut(..got) {
            slot.copy_from_slice(&piece);
        }
        Ok(got)
    }
}

/// A connection to this place that was not closed, the newest first.
fn take(idle: &Idle, origin: &Origin) -> Option<Sender> {
    let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
    idle.retain(|(_, sender)| !sender.is_closed());
    let at = idle.iter().rposition(|(of, _)| of == origin)?;
    Some(idle.remove(at).1)
}

/// The host alone: which repository it was, whoever asked knows.
fn place(address: &HttpAddress) -> String {
    HttpAddress { path: String::new(), ..address.clone() }.to_string()
}

/// An error with all that caused it: hyper's own words alone say little.
fn network(address: &HttpAddress, why: &dyn std::error::Error) -> Error {
    let mut text = why.to_string();
    let mut cause = why.source();
    while let Some(inner) = cause {
        let next = inner.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = inner.source();
    }
    Error::Network { remote: place(address), why: text }
}
