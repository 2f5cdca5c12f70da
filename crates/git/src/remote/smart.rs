//! A server that speaks git's smart HTTP: what it can do, its refs, its errors in words.

use std::io::{BufReader, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, DATE, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri};

use crate::Oid;
use crate::address::{HttpAddress, shown};
use crate::credential::Credential;
use crate::error::{Error, tame};
use crate::files;
use crate::http::{Body, Http, Repeatable};
use crate::object::id_from_hex;
use crate::pktline::{self, Packet};
use crate::remote::{Pushed, RemoteRef};
use crate::task::Task;

/// The depth that means all of the history.
pub(crate) const ALL: u32 = 0x7fff_ffff;
/// What is told of ourselves.
pub(crate) const AGENT: &str = concat!("kiban/", env!("CARGO_PKG_VERSION"));
/// How much of a server's words is read.
const WORDS: u64 = 4096;
/// A longer time to wait is a mistake of the server's.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);
/// How often a redirect is followed.
const REDIRECTS: usize = 3;
/// Bytes of a list of refs, for each ref that is allowed.
const REF_BYTES: u64 = 512;

/// A server, and what is known of it.
pub(crate) struct Server {
    address: HttpAddress,
    credential: Option<Credential>,
    http: Arc<dyn Http>,
    /// Where it really is, once it has answered as one that speaks version 2.
    known: Mutex<Option<HttpAddress>>,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Server({})", self.address)
    }
}

/// An answer whose packets are read.
pub(crate) struct Packets {
    pub(crate) input: BufReader<Limited>,
    remote: String,
}

impl Server {
    pub(crate) fn new(address: HttpAddress, credential: Option<Credential>, http: Arc<dyn Http>) -> Self {
        Self { address, credential, http, known: Mutex::default() }
    }

    /// What messages call it.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// An error in which no server says the credential back.
    pub(crate) fn masked(&self, why: Error) -> Error {
        match &self.credential {
            Some(credential) => why.with_words(&|text| credential.mask(text)),
            None => why,
        }
    }

    /// A refusal in which no server says the credential back.
    pub(crate) fn masked_answer(&self, pushed: Pushed) -> Pushed {
        match (pushed, &self.credential) {
            (Pushed::Rejected { reason, words }, Some(credential)) => {
                Pushed::Rejected { reason: credential.mask(&reason), words: credential.mask(&words) }
            }
            (other, _) => other,
        }
    }

    pub(crate) fn wrong(&self, why: impl Into<String>) -> Error {
        Error::Protocol { remote: self.name(), why: why.into() }
    }

    /// The refs, by version 2 of the protocol.
    pub(crate) fn refs(&self, prefixes: &[&str], task: &Task) -> Result<Vec<RemoteRef>, Error> {
        let mut body = Vec::new();
        command(&mut body, "ls-refs");
        pktline::put(&mut body, b"peel\n");
        pktline::put(&mut body, b"symrefs\n");
        for prefix in prefixes {
            pktline::put(&mut body, format!("ref-prefix {prefix}\n").as_bytes());
        }
        pktline::flush(&mut body);
        let most = REF_BYTES * task.limits.refs as u64;
        let mut packets = self.version_2(body, most, task)?;
        let mut found = Vec::new();
        while let Some(line) = packets.line()? {
            found.extend(remote_ref(&line).map_err(|why| self.wrong(why))?);
            if found.len() > task.limits.refs {
                let limit = format!("{} refs", task.limits.refs);
                return Err(Error::Limit { what: format!("the list of refs of {}", self.name()), limit });
            }
        }
        packets.drain();
        Ok(found)
    }

    /// Sends a command of version 2. The first time the server is asked whether it speaks that.
    pub(crate) fn version_2(&self, body: Vec<u8>, most: u64, task: &Task) -> Result<Packets, Error> {
        let body = Bytes::from(body);
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = known.is_none();
        let at = known.map_or_else(|| self.greet(task), Ok)?;
        let answer = self.post(&at, "git-upload-pack", body.clone(), most, task);
        match answer {
            // It may have moved since it was asked: then it is asked again, once.
            Err(Error::NotFound { .. } | Error::Redirect { .. } | Error::Protocol { .. }) if !asked => {
                let at = self.greet(task)?;
                self.post(&at, "git-upload-pack", body, most, task)
            }
            other => other,
        }
    }

    /// Asks what the server can do.
    fn greet(&self, task: &Task) -> Result<HttpAddress, Error> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let (at, mut packets) = self.advertisement("git-upload-pack", Some("version=2"), task)?;
        let first = packets.line()?.unwrap_or_default();
        if first != b"version 2" {
            return Err(self.wrong(
                "it does not offer version 2 of the protocol, which every git server since 2018 does",
            ));
        }
        let (mut refs, mut fetch) = (false, false);
        while let Some(line) = packets.line()? {
            let line = String::from_utf8_lossy(&line).into_owned();
            let (key, value) = line.split_once('=').unwrap_or((&line, ""));
            match key {
                "ls-refs" => refs = true,
                "fetch" => fetch = value.split(' ').any(|feature| feature == "shallow"),
                "object-format" if value != "sha1" => {
                    return Err(self.wrong(format!(
                        "its objects are named by {}; only sha1 is spoken",
                        tame(value.as_bytes(), 20)
                    )));
                }
                _ => {}
            }
        }
        if !refs || !fetch {
            return Err(self.wrong("it does not offer ls-refs and shallow fetches"));
        }
        packets.drain();
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(at.clone());
        Ok(at)
    }

    /// The answer of `info/refs`, behind the line that names the service, and where it came from.
    pub(crate) fn advertisement(
        &self,
        service: &str,
        version: Option<&'static str>,
        task: &Task,
    ) -> Result<(HttpAddress, Packets), Error> {
        let suffix = format!("/info/refs?service={service}");
        let (at, response) = self.get(&suffix, version, task)?;
        self.expect_type(&response, &format!("application/x-{service}-advertisement"))?;
        let most = REF_BYTES * task.limits.refs as u64;
        let mut packets = self.packets(response, most);
        // Version 2 may leave the service's line out.
        let named = format!("# service={service}");
        let says = packets.peek()?.get(4..).is_some_and(|line| line.starts_with(b"# service="));
        if says && (packets.line()?.as_deref() != Some(named.as_bytes()) || packets.line()?.is_some()) {
            return Err(self.wrong("its answer does not begin with the service that was asked for"));
        }
        Ok((at, packets))
    }

    /// A GET, with redirects inside of the same host.
    fn get(
        &self,
        suffix: &str,
        version: Option<&'static str>,
        task: &Task,
    ) -> Result<(HttpAddress, Response<Body>), Error> {
        let mut at = self.address.clone();
        for _ in 0..=REDIRECTS {
            let mut request = self.request(Method::GET, &at, suffix, Bytes::new())?;
            request.extensions_mut().insert(Repeatable);
            if let Some(version) = version {
                request.headers_mut().insert("git-protocol", HeaderValue::from_static(version));
            }
            let response = self.send(request, task)?;
            if !response.status().is_redirection() {
                return Ok((at, self.judge(response)?));
            }
            at = self.redirect(&response, suffix)?;
        }
        Err(self.redirected("somewhere else again and again", "it does not end"))
    }

    fn redirect(&self, response: &Response<Body>, suffix: &str) -> Result<HttpAddress, Error> {
        const SAME: &str = "only the same host is followed, so that no credential goes astray: give the new address, if it is right";
        let to = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
        let absolute = if to.starts_with('/') && !to.starts_with("//") {
            let (tls, host, port) = self.address.origin();
            format!("{}://{host}:{port}{to}", if tls { "https" } else { "http" })
        } else {
            to.to_owned()
        };
        let base = absolute.strip_suffix(suffix);
        let base = base.ok_or_else(|| {
            self.redirected(to, "it leads to something else than a repository (a page to sign in?)")
        })?;
        let at = base.parse::<Uri>().ok().as_ref().and_then(HttpAddress::of);
        let at = at.ok_or_else(|| self.redirected(to, SAME))?;
        if at.origin() != self.address.origin() {
            return Err(self.redirected(to, SAME));
        }
        Ok(at)
    }

    fn redirected(&self, to: &str, why: &'static str) -> Error {
        Error::Redirect { remote: self.name(), to: shown(to), why }
    }

    /// Sends a request of the protocol, and reads at most `most` bytes of the answer.
    pub(crate) fn post(
        &self,
        at: &HttpAddress,
        service: &str,
        body: Bytes,
        most: u64,
        task: &Task,
    ) -> Result<Packets, Error> {
        let mut request = self.request(Method::POST, at, &format!("/{service}"), body)?;
        let value =
            |text: String| HeaderValue::try_from(text).map_err(|_| self.wrong("a header cannot be made"));
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, value(format!("application/x-{service}-request"))?);
        headers.insert(ACCEPT, value(format!("application/x-{service}-result"))?);
        if service == "git-upload-pack" {
            headers.insert("git-protocol", HeaderValue::from_static("version=2"));
            request.extensions_mut().insert(Repeatable);
        }
        let response = self.send(request, task)?;
        if response.status().is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|v| v.to_str().ok()).unwrap_or_default();
            return Err(self
                .redirected(to, "a request that carries data is not sent elsewhere: give the new address"));
        }
        let response = self.judge(response)?;
        self.expect_type(&response, &format!("application/x-{service}-result"))?;
        Ok(self.packets(response, most))
    }

    fn request(
        &self,
        method: Method,
        at: &HttpAddress,
        suffix: &str,
        body: Bytes,
    ) -> Result<Request<Bytes>, Error> {
        let mut request =
            Request::builder().method(method).uri(format!("{at}{suffix}")).header(USER_AGENT, AGENT);
        if let Some(credential) = &self.credential {
            request = request.header(AUTHORIZATION, credential.header().clone());
        }
        request.body(body).map_err(|why| self.wrong(why.to_string()))
    }

    fn send(&self, request: Request<Bytes>, task: &Task) -> Result<Response<Body>, Error> {
        task.check("ask the remote")?;
        task.count_request();
        self.http.send(request, task).map_err(|why| named(&self.name(), why))
    }

    /// What a status that is none of success means.
    fn judge(&self, response: Response<Body>) -> Result<Response<Body>, Error> {
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let remote = self.name();
        let credential = match &self.credential {
            Some(credential) => format!("the credential {}", credential.name()),
            None => "a request without a credential".to_owned(),
        };
        let retry_after = retry_after(response.headers());
        let spent =
            response.headers().get("x-ratelimit-remaining").is_some_and(|left| left.as_bytes() == b"0");
        let words = words(response);
        let status = status.as_u16();
        Err(match status {
            401 => {
                let why = match self.credential {
                    Some(_) => "it is wrong, expired or revoked",
                    None => "give a token that may read this repository",
                };
                Error::Unauthorized { remote, credential, why: why.to_owned() }
            }
            429 => Error::RateLimited { remote, status, retry_after, words },
            403 if spent || retry_after.is_some() => {
                Error::RateLimited { remote, status, retry_after, words }
            }
            403 => Error::Forbidden { remote, credential, words },
            404 | 410 => Error::NotFound { remote, credential },
            _ => Error::Server { remote, status, retry_after, words },
        })
    }

    fn expect_type(&self, response: &Response<Body>, wanted: &str) -> Result<(), Error> {
        let found = response.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if found.split(|b| *b == b';').next().unwrap_or_default().trim_ascii() == wanted.as_bytes() {
            return Ok(());
        }
        Err(self.wrong(format!(
            "it answers with {:?} instead of {wanted}: is this the address of a repository?",
            tame(found, 100)
        )))
    }

    fn packets(&self, response: Response<Body>, most: u64) -> Packets {
        let limited = Limited { body: response.into_body(), left: most, most, remote: self.name() };
        Packets { input: BufReader::with_capacity(16 << 10, limited), remote: self.name() }
    }
}

impl Packets {
    /// The next line without its end; `None` at the end of the list.
    pub(crate) fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        Ok(match self.packet()? {
            Some(Packet::Data(data)) => Some(pktline::line(&data).to_vec()),
            _ => None,
        })
    }

    /// The next packet; `None` at the end of the answer.
    pub(crate) fn packet(&mut self) -> Result<Option<Packet>, Error> {
        let packet = pktline::read(&mut self.input).map_err(|why| failed(&self.remote, why))?;
        if let Some(Packet::Data(data)) = &packet
            && let Some(words) = data.strip_prefix(b"ERR ")
        {
            return Err(Error::Refused { remote: self.remote.clone(), words: tame(words, 500) });
        }
        Ok(packet)
    }

    fn peek(&mut self) -> Result<&[u8], Error> {
        std::io::BufRead::fill_buf(&mut self.input).map_err(|why| failed(&self.remote, why))
    }

    /// Reads what is left, if it is little, so that the connection can be used again.
    pub(crate) fn drain(mut self) {
        let _ = std::io::copy(&mut (&mut self.input).take(WORDS), &mut std::io::sink());
    }
}

/// Clients know hosts: the error names the repository.
pub(crate) fn named(name: &str, why: Error) -> Error {
    match why {
        Error::Network { why, .. } => Error::Network { remote: name.to_owned(), why },
        other => other,
    }
}

/// An error of reading an answer: one of ours, or what it means.
pub(crate) fn failed(remote: &str, why: std::io::Error) -> Error {
    let network = |why: String| Error::Network { remote: remote.to_owned(), why };
    let found = files::inner(why, |why| match why.kind() {
        std::io::ErrorKind::UnexpectedEof => network("the answer ended in its middle".to_owned()),
        std::io::ErrorKind::InvalidData => {
            Error::Protocol { remote: remote.to_owned(), why: why.to_string() }
        }
        _ => network(why.to_string()),
    });
    named(remote, found)
}

/// A body that may not be longer than allowed.
pub(crate) struct Limited {
    body: Body,
    left: u64,
    most: u64,
    remote: String,
}

impl Read for Limited {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let (what, limit) = (format!("the answer of {}", self.remote), format!("{} bytes", self.most));
            return Err(std::io::Error::other(Error::Limit { what, limit }));
        }
        let room = out.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let got = self.body.read(out.get_mut(..room).unwrap_or_default())?;
        self.left -= got as u64;
        Ok(got)
    }
}

/// The begin of a command of version 2.
pub(crate) fn command(body: &mut Vec<u8>, name: &str) {
    pktline::put(body, format!("command={name}\n").as_bytes());
    pktline::put(body, format!("agent={AGENT}\n").as_bytes());
    pktline::put(body, b"object-format=sha1\n");
    pktline::delimiter(body);
}

/// Reads a line of a list of refs. `None`: a branch without a commit.
fn remote_ref(line: &[u8]) -> Result<Option<RemoteRef>, String> {
    let wrong = || format!("{:?} is no line of a list of refs", tame(line, 200));
    let text = std::str::from_utf8(line).map_err(|_| wrong())?;
    let mut words = text.split(' ');
    let (first, name) = (words.next().unwrap_or_default(), words.next().ok_or_else(wrong)?);
    if first == "unborn" {
        return Ok(None);
    }
    let id = id_from_hex(first.as_bytes()).ok_or_else(wrong)?;
    let mut found = RemoteRef { name: name.to_owned(), id, peeled: None, target: None };
    for word in words {
        match word.split_once(':') {
            Some(("peeled", hex)) => found.peeled = Some(id_from_hex(hex.as_bytes()).ok_or_else(wrong)?),
            Some(("symref-target", name)) => found.target = Some(name.to_owned()),
            _ => {}
        }
    }
    Ok(Some(found))
}

/// How long a server asks to wait: seconds, or a date as seen by its own clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    let date = |value: &str| httpdate::parse_http_date(value).ok();
    let asked = match text(RETRY_AFTER.as_str()) {
        Some(value) => match value.parse() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => date(value)?.duration_since(date(text(DATE.as_str())?)?).unwrap_or_default(),
        },
        None if text("x-ratelimit-remaining") == Some("0") => {
            let now = date(text(DATE.as_str())?)?.duration_since(std::time::UNIX_EPOCH).ok()?;
            Duration::from_secs(text("x-ratelimit-reset")?.parse().ok()?).saturating_sub(now)
        }
        None => return None,
    };
    Some(asked.min(LONGEST_WAIT))
}

/// What a server says in an answer that is none of git's: text, never a page.
fn words(response: Response<Body>) -> String {
    let page =
        response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    let mut bytes = Vec::new();
    let read = response.into_body().take(WORDS).read_to_end(&mut bytes);
    if page || read.is_err() { String::new() } else { tame(&bytes, 500) }
}

/// Where a ref is, from a line of an advertisement of version 0 or 1.
pub(crate) fn old_ref(line: &[u8]) -> Option<(Oid, String)> {
    let (hex, name) = line.split_at_checked(40)?;
    let name = std::str::from_utf8(name.strip_prefix(b" ")?).ok()?;
    Some((id_from_hex(hex)?, name.to_owned()))
}
