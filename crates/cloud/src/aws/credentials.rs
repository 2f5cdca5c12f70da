//! Where credentials come from: the environment, a web identity, a profile's file, the container, the instance, in
//! the order of AWS' SDKs, each only where it is configured.
//!
//! Source: AWS SDKs and Tools Reference Guide, "Standardized credential providers" and the settings' pages.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kiban_base::clock::{Clock, Timestamp};
use kiban_runtime::client::{Client, Request};
use kiban_runtime::secret::Secret;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::ini::{self, Profiles};
use super::{AwsError, form};

/// How long before they end credentials are made anew.
const EARLY: Duration = Duration::from_secs(300);

/// The largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 256 << 10;

/// The instance's metadata, by link-local addresses alone.
const INSTANCE: &str = "http://169.254.169.254";

/// Where a container asks for its credentials.
const CONTAINER: &str = "http://169.254.170.2";

/// Credentials.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The id of the access key.
    pub key_id: String,
    /// Its secret.
    pub secret: Secret,
    /// The session's token, of credentials that end.
    pub session: Option<Secret>,
    /// When they end.
    pub expires: Option<Timestamp>,
}

/// What the process has around it.
pub struct Surroundings<'a> {
    /// A variable of the environment.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// The user's home.
    pub home: Option<PathBuf>,
    /// Whether the instance may be asked, which nothing in the environment says.
    pub instance: bool,
}

impl Surroundings<'_> {
    fn set(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    fn file(&self, variable: &str, name: &str) -> Option<PathBuf> {
        let named = self.set(variable).map(PathBuf::from);
        named.or_else(|| self.home.as_ref().map(|home| home.join(".aws").join(name)))
    }
}

/// One place where credentials come from.
#[derive(Clone, Debug)]
enum Source {
    Fixed(Credentials),
    WebIdentity { role: String, session: String, token_file: PathBuf },
    Container { url: String, token: Option<Secret>, token_file: Option<PathBuf> },
    Instance,
}

/// Gives credentials, and makes them anew before they end.
#[derive(Clone)]
pub struct Provider(Arc<Inner>);

struct Inner {
    client: Client,
    clock: Arc<dyn Clock>,
    source: Source,
    name: String,
    region: Option<String>,
    endpoints: BTreeMap<&'static str, String>,
    held: Mutex<Option<Credentials>>,
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Provider({})", self.0.name)
    }
}

impl Provider {
    /// The provider that the surroundings configure; `None`: none. Asks nobody yet.
    ///
    /// # Errors
    /// What is configured and cannot be used.
    pub fn find(
        client: Client,
        clock: Arc<dyn Clock>,
        around: &Surroundings<'_>,
    ) -> Result<Option<Self>, AwsError> {
        let profiles = Files::read(around)?;
        let Some((source, name)) = source(around, &profiles)? else { return Ok(None) };
        let region = around
            .set("AWS_REGION")
            .or_else(|| around.set("AWS_DEFAULT_REGION"))
            .or_else(|| profiles.value("region"));
        let mut endpoints = BTreeMap::new();
        for (service, variable) in [("ecr", "AWS_ENDPOINT_URL_ECR"), ("sts", "AWS_ENDPOINT_URL_STS")] {
            if let Some(url) = around.set(variable).or_else(|| around.set("AWS_ENDPOINT_URL")) {
                endpoints.insert(service, url.trim_end_matches('/').to_owned());
            }
        }
        let held = Mutex::new(None);
        Ok(Some(Self(Arc::new(Inner { client, clock, source, name, region, endpoints, held }))))
    }

    /// Which credentials these are, in words without a secret.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn client(&self) -> &Client {
        &self.0.client
    }

    pub(super) fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The URL of a service, where the surroundings name another than AWS' own.
    pub(super) fn endpoint(&self, service: &str) -> Option<&str> {
        self.0.endpoints.get(service).map(String::as_str)
    }

    /// The credentials of now.
    ///
    /// # Errors
    /// Where whoever gives them out refuses or cannot be reached.
    pub async fn credentials(&self) -> Result<Credentials, AwsError> {
        let mut held = self.0.held.lock().await;
        let now = self.now();
        if let Some(held) = held.as_ref()
            && held.expires.is_none_or(|at| at.since(now) > EARLY)
        {
            return Ok(held.clone());
        }
        let fresh = match &self.0.source {
            Source::Fixed(credentials) => credentials.clone(),
            Source::WebIdentity { role, session, token_file } => {
                self.web_identity(role, session, token_file).await?
            }
            Source::Container { url, token, token_file } => {
                self.container(url, token.as_ref(), token_file.as_deref()).await?
            }
            Source::Instance => self.instance().await?,
        };
        *held = Some(fresh.clone());
        Ok(fresh)
    }

    /// STS' AssumeRoleWithWebIdentity: what a service account of EKS gets.
    async fn web_identity(&self, role: &str, session: &str, file: &Path) -> Result<Credentials, AwsError> {
        let what = "AssumeRoleWithWebIdentity";
        let token = Secret::from_file(file).map_err(|e| self.bad(e.to_string()))?;
        let url = match (self.endpoint("sts"), &self.0.region) {
            (Some(url), _) => url.to_owned(),
            (None, Some(region)) => format!("https://sts.{region}.{}", super::ecr::domain(region)),
            (None, None) => "https://sts.amazonaws.com".to_owned(),
        };
        let body = form::body(&[
            ("Action", what),
            ("Version", "2011-06-15"),
            ("RoleArn", role),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.expose()),
        ]);
        let unreachable = |source| AwsError::Unreachable { what, source };
        let request = Request::post(&format!("{url}/"))
            .and_then(|r| r.header("content-type", "application/x-www-form-urlencoded"))
            .map_err(unreachable)?
            .body(body)
            .limit(MAX_ANSWER)
            .idempotent();
        let response = self.0.client.send(request).await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let xml = response.text().await.map_err(unreachable)?;
        if status != 200 {
            let said = form::element(&xml, "Message").unwrap_or_else(|| "nothing".into());
            return Err(AwsError::Refused { what, from: self.0.name.clone(), status, said });
        }
        let of = |name: &str| {
            form::element(&xml, name)
                .ok_or_else(|| AwsError::Answer { what, problem: format!("{name} is not in it") })
        };
        Ok(Credentials {
            key_id: of("AccessKeyId")?,
            secret: Secret::new(of("SecretAccessKey")?),
            session: Some(Secret::new(of("SessionToken")?)),
            expires: Timestamp::parse(&of("Expiration")?),
        })
    }

    /// What ECS and EKS' pod identities give to a container.
    async fn container(
        &self,
        url: &str,
        token: Option<&Secret>,
        file: Option<&Path>,
    ) -> Result<Credentials, AwsError> {
        let what = "the container's credentials";
        let read = file.map(Secret::from_file).transpose().map_err(|e| self.bad(e.to_string()))?;
        let mut request =
            Request::get(url).map_err(|source| AwsError::Unreachable { what, source })?.limit(MAX_ANSWER);
        if let Some(token) = read.as_ref().or(token) {
            request = request
                .secret_header("authorization", token)
                .map_err(|source| AwsError::Unreachable { what, source })?;
        }
        self.document(what, request).await
    }

    /// IMDSv2: a token of the session first, then the role, then its credentials.
    async fn instance(&self) -> Result<Credentials, AwsError> {
        let what = "the instance's credentials";
        let unreachable = |source| AwsError::Unreachable { what, source };
        let base = format!("{INSTANCE}/latest");
        let request = Request::new(http::Method::PUT, &format!("{base}/api/token"))
            .and_then(|r| r.header("x-aws-ec2-metadata-token-ttl-seconds", "300"))
            .map_err(unreachable)?
            .deadline(Some(Duration::from_secs(5)))
            .limit(MAX_ANSWER);
        let token = Secret::new(self.text(what, request).await?);
        let get = |path: &str| {
            let request = Request::get(&format!("{base}/meta-data/iam/security-credentials/{path}"))
                .and_then(|r| r.secret_header("x-aws-ec2-metadata-token", &token))
                .map_err(unreachable)?;
            Ok::<_, AwsError>(request.limit(MAX_ANSWER))
        };
        let roles = self.text(what, get("")?).await?;
        let role = roles.lines().next().unwrap_or_default().trim();
        if role.is_empty() || !role.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-".contains(&b)) {
            return Err(AwsError::Answer { what, problem: "it names no role".into() });
        }
        self.document(what, get(role)?).await
    }

    async fn text(&self, what: &'static str, request: Request) -> Result<String, AwsError> {
        let unreachable = |source| AwsError::Unreachable { what, source };
        let response = self.0.client.send(request).await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response.text().await.map_err(unreachable)?;
        if status == 200 {
            return Ok(text);
        }
        let said = shorten(&text);
        Err(AwsError::Refused { what, from: self.0.name.clone(), status, said })
    }

    /// The JSON in which containers and instances get credentials.
    async fn document(&self, what: &'static str, request: Request) -> Result<Credentials, AwsError> {
        let text = zeroize::Zeroizing::new(self.text(what, request).await?);
        let document: Document =
            serde_json::from_str(&text).map_err(|e| AwsError::Answer { what, problem: place(&e) })?;
        Ok(Credentials {
            key_id: document.access_key_id,
            secret: Secret::new(document.secret_access_key),
            session: document.token.map(Secret::new),
            expires: document.expiration.as_deref().and_then(Timestamp::parse),
        })
    }

    fn bad(&self, problem: String) -> AwsError {
        AwsError::Configuration { from: self.0.name.clone(), problem }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: Option<String>,
}

/// Where JSON is wrong; never what stands there.
pub(super) fn place(error: &serde_json::Error) -> String {
    format!("no such JSON (line {}, column {})", error.line(), error.column())
}

/// What a service said, in one line of bounded length.
pub(super) fn shorten(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect();
    if line.trim().is_empty() { "nothing".into() } else { line.trim().to_owned() }
}

/// Both files, and which profile counts.
struct Files {
    config: Profiles,
    credentials: Profiles,
    profile: String,
    /// The profile was named: without it there is nothing to go on with.
    named: bool,
}

impl Files {
    fn read(around: &Surroundings<'_>) -> Result<Self, AwsError> {
        let read = |variable: &str, name: &str| {
            let Some(path) = around.file(variable, name) else { return Ok(Profiles::new()) };
            let problem =
                |problem: String| AwsError::Configuration { from: path.display().to_string(), problem };
            match std::fs::metadata(&path) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Profiles::new()),
                Err(e) => return Err(problem(format!("cannot be read: {e}"))),
                Ok(data) if data.len() > ini::MAX_FILE as u64 => {
                    return Err(problem(format!("it is larger than {} bytes", ini::MAX_FILE)));
                }
                Ok(_) => {}
            }
            let text = std::fs::read_to_string(&path).map_err(|e| problem(format!("cannot be read: {e}")))?;
            Ok(ini::profiles(&text))
        };
        let profile = around.set("AWS_PROFILE").or_else(|| around.set("AWS_DEFAULT_PROFILE"));
        Ok(Self {
            config: read("AWS_CONFIG_FILE", "config")?,
            credentials: read("AWS_SHARED_CREDENTIALS_FILE", "credentials")?,
            named: profile.is_some(),
            profile: profile.unwrap_or_else(|| "default".into()),
        })
    }

    /// A value of the profile; the file of credentials wins.
    fn value(&self, key: &str) -> Option<String> {
        let of =
            |profiles: &Profiles| profiles.get(&self.profile)?.get(key).filter(|v| !v.is_empty()).cloned();
        of(&self.credentials).or_else(|| of(&self.config))
    }

    fn is_there(&self) -> bool {
        self.config.contains_key(&self.profile) || self.credentials.contains_key(&self.profile)
    }
}

/// The first source that is configured, and its name.
fn source(around: &Surroundings<'_>, files: &Files) -> Result<Option<(Source, String)>, AwsError> {
    if let Some(found) = of_environment(around)? {
        return Ok(Some(found));
    }
    if let Some(token_file) = around.set("AWS_WEB_IDENTITY_TOKEN_FILE") {
        let from = "AWS_WEB_IDENTITY_TOKEN_FILE".to_owned();
        let Some(role) = around.set("AWS_ROLE_ARN") else {
            return Err(AwsError::Configuration { from, problem: "AWS_ROLE_ARN is not set".into() });
        };
        let session = around.set("AWS_ROLE_SESSION_NAME").unwrap_or_else(|| "kiban".into());
        let name = format!("the role {role} by a web identity");
        return Ok(Some((Source::WebIdentity { role, session, token_file: token_file.into() }, name)));
    }
    if let Some(found) = of_profile(files)? {
        return Ok(Some(found));
    }
    if let Some(found) = of_container(around)? {
        return Ok(Some(found));
    }
    let disabled = around.set("AWS_EC2_METADATA_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    Ok((around.instance && !disabled).then(|| (Source::Instance, "the instance's role".to_owned())))
}

fn of_environment(around: &Surroundings<'_>) -> Result<Option<(Source, String)>, AwsError> {
    let name = "AWS_ACCESS_KEY_ID".to_owned();
    match (around.set("AWS_ACCESS_KEY_ID"), around.set("AWS_SECRET_ACCESS_KEY")) {
        (None, None) => Ok(None),
        (Some(key_id), Some(secret)) => {
            let session = around.set("AWS_SESSION_TOKEN").map(Secret::new);
            let fixed = Credentials { key_id, secret: Secret::new(secret), session, expires: None };
            Ok(Some((Source::Fixed(fixed), name)))
        }
        _ => Err(AwsError::Configuration {
            from: "the environment".into(),
            problem: "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together, and one is not set".into(),
        }),
    }
}

fn of_profile(files: &Files) -> Result<Option<(Source, String)>, AwsError> {
    let name = format!("the profile {:?}", files.profile);
    let bad = |problem: &str| AwsError::Configuration { from: name.clone(), problem: problem.into() };
    if !files.is_there() {
        return if files.named { Err(bad("no file has it")) } else { Ok(None) };
    }
    if let (Some(role), Some(token_file)) = (files.value("role_arn"), files.value("web_identity_token_file"))
    {
        let session = files.value("role_session_name").unwrap_or_else(|| "kiban".into());
        return Ok(Some((Source::WebIdentity { role, session, token_file: token_file.into() }, name)));
    }
    for (key, why) in [
        (
            "role_arn",
            "it assumes a role from another profile, which is not done here: name credentials of the role itself, or a web identity",
        ),
        (
            "credential_process",
            "it starts a program for its credentials, and Kiban starts none: put them into the environment",
        ),
        (
            "sso_session",
            "it signs in by a browser: `aws configure export-credentials --format env` puts the session's credentials into the environment",
        ),
        (
            "sso_start_url",
            "it signs in by a browser: `aws configure export-credentials --format env` puts the session's credentials into the environment",
        ),
    ] {
        if files.value(key).is_some() {
            return Err(bad(why));
        }
    }
    match (files.value("aws_access_key_id"), files.value("aws_secret_access_key")) {
        (Some(key_id), Some(secret)) => {
            let session = files.value("aws_session_token").map(Secret::new);
            let fixed = Credentials { key_id, secret: Secret::new(secret), session, expires: None };
            Ok(Some((Source::Fixed(fixed), name)))
        }
        (None, None) if !files.named => Ok(None),
        _ => Err(bad("it needs aws_access_key_id and aws_secret_access_key")),
    }
}

fn of_container(around: &Surroundings<'_>) -> Result<Option<(Source, String)>, AwsError> {
    let relative = around.set("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    let full = around.set("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    let url = match (relative, full) {
        (Some(path), _) => format!("{CONTAINER}/{}", path.trim_start_matches('/')),
        (None, Some(url)) => url,
        (None, None) => return Ok(None),
    };
    let name = "the container's role".to_owned();
    if !may_be_asked(&url) {
        let problem = "AWS_CONTAINER_CREDENTIALS_FULL_URI is neither https nor one of the addresses that give out credentials without it (loopback, 169.254.170.2, 169.254.170.23, fd00:ec2::23)";
        return Err(AwsError::Configuration { from: name, problem: problem.into() });
    }
    let token = around.set("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(Secret::new);
    let token_file = around.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from);
    Ok(Some((Source::Container { url, token, token_file }, name)))
}

/// Whether credentials may be asked for there: over TLS, or at the addresses that AWS' SDKs allow.
fn may_be_asked(url: &str) -> bool {
    let Ok(url) = url.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    match url.scheme_str() {
        Some("https") => true,
        Some("http") => {
            host == "localhost"
                || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
                || matches!(host, "169.254.170.2" | "169.254.170.23" | "fd00:ec2::23")
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests;
