//! One question to a registry: the scheme, who asks, the answer whole, and what a status means.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use kiban_base::image::Reference;
use kiban_runtime::client::{ClientError, Redirects, Request};
use serde::Deserialize;

use super::{Registries, RegistryError};

/// How often an answer that broke off is asked for again.
const READS: u32 = 3;

/// Where an image lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The image as it is called in errors.
    pub image: String,
    /// The registry as references name it.
    pub host: String,
    /// The host that is asked: Docker Hub answers elsewhere.
    pub api: String,
    /// The repository there.
    pub repository: String,
}

impl Place {
    pub(super) fn of(reference: &Reference) -> Self {
        let host = match reference.host() {
            "index.docker.io" => "docker.io",
            host => host,
        };
        let api = if host == "docker.io" { "registry-1.docker.io" } else { host };
        Self {
            image: reference.to_string(),
            host: host.to_owned(),
            api: api.to_owned(),
            repository: reference.full_path(),
        }
    }

    pub(super) fn answer(&self, problem: impl Into<String>) -> RegistryError {
        RegistryError::Answer { host: self.host.clone(), image: self.image.clone(), problem: problem.into() }
    }

    pub(super) fn unreachable(&self, source: ClientError) -> RegistryError {
        RegistryError::Unreachable { image: self.image.clone(), source }
    }
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question<'a> {
    pub method: &'a Method,
    /// Below the repository: `manifests/1.0`.
    pub path: &'a str,
    pub accept: &'a [&'a str],
    pub limit: u64,
    pub redirects: Redirects,
}

/// An answer, whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The codes and messages of the registry's errors.
    pub(super) fn errors(&self) -> Vec<(String, String)> {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<One>,
        }
        #[derive(Deserialize)]
        struct One {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let parsed: Result<Errors, _> = serde_json::from_slice(&self.body);
        parsed
            .map(|e| e.errors.into_iter().take(8).map(|o| (o.code, o.message)).collect())
            .unwrap_or_default()
    }

    /// What the registry said, in one line of bounded length.
    pub(super) fn said(&self) -> String {
        let errors = self.errors();
        let words: Vec<String> = errors
            .iter()
            .map(|(code, message)| if message.is_empty() { code.clone() } else { message.clone() })
            .filter(|text| !text.is_empty())
            .collect();
        let text = words.join("; ");
        let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
        match (line.trim(), self.status.canonical_reason()) {
            ("", Some(reason)) => reason.to_owned(),
            ("", None) => "no reason given".into(),
            (line, _) => line.to_owned(),
        }
    }
}

impl Registries {
    /// Asks, as whoever may; 401 is answered once.
    pub(super) async fn ask(&self, place: &Place, question: Question<'_>) -> Result<Answer, RegistryError> {
        let mut pass = self.held(place);
        let mut fresh = false;
        loop {
            let answer = self.send(place, question, pass.as_ref()).await?;
            match answer.status {
                StatusCode::UNAUTHORIZED if !fresh => {
                    pass = Some(self.login(place, &answer).await?);
                    fresh = true;
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    let name = pass.as_ref().map(|p| p.name.as_str());
                    return Err(self.denied(place, name, &answer.said()));
                }
                StatusCode::TOO_MANY_REQUESTS => {
                    let retry = Some(answer.header("retry-after").to_owned()).filter(|r| !r.is_empty());
                    let (host, image) = (place.host.clone(), place.image.clone());
                    return Err(RegistryError::Busy { host, image, retry });
                }
                status if status.is_success() || status == StatusCode::NOT_FOUND => return Ok(answer),
                status => {
                    return Err(RegistryError::Status {
                        host: place.host.clone(),
                        image: place.image.clone(),
                        status: status.as_u16(),
                        said: answer.said(),
                    });
                }
            }
        }
    }

    /// Asks until an answer came whole, with a token or without.
    async fn send(
        &self,
        place: &Place,
        question: Question<'_>,
        pass: Option<&super::login::Pass>,
    ) -> Result<Answer, RegistryError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let secure = self.is_secure(&place.api);
            match self.once(place, question, pass, secure).await {
                Ok(answer) => {
                    self.learn(&place.api, secure);
                    return Ok(answer);
                }
                // A server of this machine that speaks no TLS: from now on without.
                Err(error) if secure && speaks_none(&error) && self.may_be_plain(&place.api) => {
                    self.learn(&place.api, false);
                }
                // The client itself asks again where no answer came; what broke off within the body is asked for here.
                Err(error @ (ClientError::Broken { .. } | ClientError::Stalled { .. })) if tries < READS => {
                    tracing::debug!(host = place.host, %error, tries, "an answer broke off and is asked for again");
                    tokio::time::sleep(Duration::from_millis(200) * tries).await;
                }
                Err(error) => return Err(place.unreachable(error)),
            }
        }
    }

    async fn once(
        &self,
        place: &Place,
        question: Question<'_>,
        pass: Option<&super::login::Pass>,
        secure: bool,
    ) -> Result<Answer, ClientError> {
        let scheme = if secure { "https" } else { "http" };
        let url = format!("{scheme}://{}/v2/{}/{}", place.api, place.repository, question.path);
        let mut request = Request::new(question.method.clone(), &url)?
            .limit(question.limit)
            .stall(self.0.options.stall)
            .deadline(Some(self.0.options.deadline))
            .redirects(question.redirects);
        if !question.accept.is_empty() {
            request = request.header("accept", &question.accept.join(", "))?;
        }
        if let Some(pass) = pass {
            request = request.secret_header("authorization", &pass.value)?;
        }
        let response = self.0.client.send(request).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        // An error's words are worth reading, but not a failure over them.
        let body = match response.bytes().await {
            Err(_) if !status.is_success() => Bytes::new(),
            body => body?,
        };
        Ok(Answer { status, headers, body })
    }

    /// Whether a host is asked over TLS.
    pub(super) fn is_secure(&self, host: &str) -> bool {
        if self.0.options.insecure.contains(host) {
            return false;
        }
        let schemes = self.0.schemes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        schemes.get(host).copied().unwrap_or(true)
    }

    /// Whether a host may turn out to speak no TLS: one of this machine that has not spoken it before.
    fn may_be_plain(&self, host: &str) -> bool {
        let schemes = self.0.schemes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        is_loopback(host) && !schemes.contains_key(host)
    }

    fn learn(&self, host: &str, secure: bool) {
        if is_loopback(host) && !self.0.options.insecure.contains(host) {
            let mut schemes = self.0.schemes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            schemes.insert(host.to_owned(), secure);
        }
    }
}

/// Whether an answer to TLS is none: not that of a server whose certificate is not trusted.
fn speaks_none(error: &ClientError) -> bool {
    match error {
        ClientError::Tls { cause, .. } => !cause.contains("invalid peer certificate"),
        ClientError::Broken { .. } => true,
        _ => false,
    }
}

/// Whether a host (with or without its port) is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
