//! ECR: which hosts are its registries, and the password that it gives out for them.
//!
//! Source: Amazon ECR API Reference, `GetAuthorizationToken`; AWS General Reference, ECR's endpoints.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kiban_base::clock::Timestamp;
use kiban_runtime::client::Request;
use kiban_runtime::secret::Secret;
use serde::Deserialize;

use super::credentials::{place, shorten};
use super::sigv4::{Message, Signer, date};
use super::{AwsError, Provider};

const WHAT: &str = "GetAuthorizationToken";
const TARGET: &str = "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken";
const CONTENT: &str = "application/x-amz-json-1.1";

/// A registry of ECR, as its host says it: `123456789012.dkr.ecr.eu-central-1.amazonaws.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// Whether the host is one of FIPS.
    pub fips: bool,
}

impl Host {
    /// Reads a host; `None`: it is no registry of ECR.
    pub fn of(host: &str) -> Option<Self> {
        let host = host.to_ascii_lowercase();
        let (account, rest) = host.split_once('.')?;
        if account.len() != 12 || !account.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let (fips, region, domain) = if let Some(rest) = rest.strip_prefix("dkr.ecr") {
            let (fips, rest) = (rest.starts_with("-fips."), rest.strip_prefix("-fips").unwrap_or(rest));
            let (region, domain) = rest.strip_prefix('.')?.split_once('.')?;
            (fips, region, domain)
        } else {
            let rest = rest.strip_prefix("dkr-ecr")?;
            let (fips, rest) = (rest.starts_with("-fips."), rest.strip_prefix("-fips").unwrap_or(rest));
            let (region, domain) = rest.strip_prefix('.')?.split_once('.')?;
            (fips, region, domain)
        };
        let is_region = region.split('-').count() >= 3
            && region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_domain =
            matches!(domain, "amazonaws.com" | "amazonaws.com.cn" | "on.aws" | "on.amazonwebservices.com.cn");
        (is_region && is_domain).then(|| Self { account: account.into(), region: region.into(), fips })
    }

    fn endpoint(&self) -> String {
        let domain = domain(&self.region);
        if self.fips {
            format!("https://ecr-fips.{}.{domain}", self.region)
        } else {
            format!("https://api.ecr.{}.{domain}", self.region)
        }
    }
}

/// The domain of a region's services.
pub(super) fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}

/// Name and password for a registry, until they end.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name, `AWS`.
    pub user: String,
    /// The password.
    pub password: Secret,
    /// When it ends (after twelve hours, as a rule).
    pub expires: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    authorization_data: Vec<Data>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    authorization_token: String,
    expires_at: Option<f64>,
}

/// Asks ECR for name and password of a registry.
///
/// # Errors
/// Where there are no credentials, or AWS refuses or cannot be reached.
pub async fn login(provider: &Provider, host: &Host) -> Result<Login, AwsError> {
    let credentials = provider.credentials().await?;
    let unreachable = |source| AwsError::Unreachable { what: WHAT, source };
    let url = provider.endpoint("ecr").map_or_else(|| host.endpoint(), str::to_owned);
    let authority = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let at = date(provider.now());
    let mut headers =
        vec![("content-type", CONTENT), ("host", authority), ("x-amz-date", &at), ("x-amz-target", TARGET)];
    if let Some(session) = &credentials.session {
        headers.push(("x-amz-security-token", session.expose()));
    }
    let signer = Signer {
        key_id: &credentials.key_id,
        secret: &credentials.secret,
        region: &host.region,
        service: "ecr",
    };
    let message = Message { method: "POST", path: "/", query: &[], headers: &headers, body: b"{}" };
    let authorization = Secret::new(signer.authorization(&message, &at));
    let mut request = Request::post(&format!("{url}/"))
        .and_then(|r| r.header("content-type", CONTENT))
        .and_then(|r| r.header("x-amz-date", &at))
        .and_then(|r| r.header("x-amz-target", TARGET))
        .and_then(|r| r.secret_header("authorization", &authorization))
        .map_err(unreachable)?;
    if let Some(session) = &credentials.session {
        request = request.secret_header("x-amz-security-token", session).map_err(unreachable)?;
    }
    let request = request.body(&b"{}"[..]).limit(256 << 10).idempotent();
    let response = provider.client().send(request).await.map_err(unreachable)?;
    let status = response.status().as_u16();
    let text = zeroize::Zeroizing::new(response.text().await.map_err(unreachable)?);
    if status != 200 {
        let from = provider.name().to_owned();
        return Err(AwsError::Refused { what: WHAT, from, status, said: shorten(&text) });
    }
    read(&text)
}

fn read(text: &str) -> Result<Login, AwsError> {
    let bad = |problem: String| AwsError::Answer { what: WHAT, problem };
    let answer: Answer = serde_json::from_str(text).map_err(|e| bad(place(&e)))?;
    let data = answer.authorization_data.into_iter().next().ok_or_else(|| bad("no token is in it".into()))?;
    let pair = STANDARD.decode(&data.authorization_token).ok().and_then(|b| String::from_utf8(b).ok());
    let pair = zeroize::Zeroizing::new(pair.ok_or_else(|| bad("its token is no base64 text".into()))?);
    let (user, password) = pair.split_once(':').ok_or_else(|| bad("its token has no colon".into()))?;
    // As a rule with milliseconds behind the point.
    let expires = data.expires_at.filter(|at| at.is_finite()).map(|at| Timestamp::from_secs(at as i64));
    Ok(Login { user: user.to_owned(), password: Secret::new(password), expires })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hosts_of_ecr_are_told_from_others() {
        for (host, region, endpoint) in [
            (
                "123456789012.dkr.ecr.eu-central-1.amazonaws.com",
                "eu-central-1",
                "https://api.ecr.eu-central-1.amazonaws.com",
            ),
            (
                "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn",
                "cn-north-1",
                "https://api.ecr.cn-north-1.amazonaws.com.cn",
            ),
            (
                "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
                "us-gov-west-1",
                "https://ecr-fips.us-gov-west-1.amazonaws.com",
            ),
            ("123456789012.dkr-ecr.us-west-2.on.aws", "us-west-2", "https://api.ecr.us-west-2.amazonaws.com"),
        ] {
            let found = Host::of(host).unwrap();
            assert_eq!((found.region.as_str(), found.endpoint().as_str()), (region, endpoint));
        }
        for other in [
            "public.ecr.aws",
            "12345678901.dkr.ecr.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr.eu-central-1.amazonaws.com.evil.example",
            "123456789012.dkr.ecr.eu-central-1.evil.com",
            "123456789012.dkr.ecr.x.y/z.amazonaws.com",
            "123456789012.s3.eu-central-1.amazonaws.com",
            "123456789012.dkr.ecr-x.eu-central-1.amazonaws.com",
            "",
        ] {
            assert_eq!(Host::of(other), None, "{other}");
        }
    }

    #[test]
    fn answers_are_read_and_never_repeated_in_errors() {
        let token = STANDARD.encode("AWS:pass:word");
        let text = format!(
            "{{\"authorizationData\":[{{\"authorizationToken\":\"{token}\",\"expiresAt\":1795514400.5,\"proxyEndpoint\":\"x\"}}]}}"
        );
        let login = read(&text).unwrap();
        assert_eq!((login.user.as_str(), login.password.expose()), ("AWS", "pass:word"));
        assert_eq!(login.expires, Some(Timestamp::from_secs(1_795_514_400)));
        for bad in [
            "{}",
            "{\"authorizationData\":[]}",
            "{\"authorizationData\":[{\"authorizationToken\":\"hunter2!\"}]}",
            "hunter2",
        ] {
            let said = read(bad).unwrap_err().to_string();
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}
