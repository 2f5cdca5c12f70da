//! Who asks: a registry's challenge answered with a token of its realm, or with name and password.
//!
//! Source: distribution/distribution, `docs/spec/auth/token.md` and `docs/spec/auth/oauth.md`.

use std::collections::BTreeMap;
use std::sync::PoisonError;
use std::time::Duration;

use http::header::WWW_AUTHENTICATE;
use kiban_base::clock::Timestamp;
use kiban_runtime::client::{Redirects, Request, basic};
use kiban_runtime::secret::Secret;
use serde::Deserialize;

use super::challenge::{Challenge, parse};
use super::exchange::{Answer, Place, is_loopback};
use super::keychain::{Credential, Entry};
use super::{Registries, RegistryError};
use crate::aws::ecr;
use crate::aws::sigv4::encode;

/// How long a token lives that does not say so.
const LIFE: Duration = Duration::from_secs(60);

/// How long before its end a token is no longer used.
const EARLY: Duration = Duration::from_secs(5);

/// The most tokens that are held.
const MAX_HELD: usize = 4096;

/// The largest answer of a realm, in bytes.
const MAX_TOKEN: u64 = 1 << 20;

/// What goes into `Authorization`.
#[derive(Clone, Debug)]
pub(super) struct Pass {
    /// The header's value.
    pub value: Secret,
    /// Whose it is, in words.
    pub name: String,
    /// When it ends.
    pub until: Option<Timestamp>,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<f64>,
}

impl Registries {
    /// What proved before who asks for this repository, and still does.
    pub(super) fn held(&self, place: &Place) -> Option<Pass> {
        let passes = self.0.passes.lock().unwrap_or_else(PoisonError::into_inner);
        let pass = passes.get(&(place.host.clone(), place.repository.clone()))?;
        let now = self.0.clock.now();
        pass.until.is_none_or(|until| until.since(now) > EARLY).then(|| pass.clone())
    }

    /// Answers a challenge.
    pub(super) async fn login(&self, place: &Place, answer: &Answer) -> Result<Pass, RegistryError> {
        let entry = self.0.keychain.find(&place.host, &place.repository);
        let challenges: Vec<Challenge> = answer
            .headers
            .get_all(WWW_AUTHENTICATE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(parse)
            .collect();
        let of = |scheme: &str| challenges.iter().find(|c| c.scheme == scheme);
        let pass = match (of("bearer").filter(|c| c.parameters.contains_key("realm")), of("basic"), entry) {
            (_, _, Some(Entry { name, credential: Credential::Bearer(token) })) => {
                Pass { value: Secret::new(format!("Bearer {}", token.expose())), name, until: None }
            }
            (Some(bearer), _, entry) => self.token(place, &bearer.parameters, entry).await?,
            (None, Some(_), Some(entry)) => self.basic(place, entry).await?,
            (None, None, entry) if challenges.is_empty() => {
                return Err(self.denied(place, entry.as_ref().map(|e| e.name.as_str()), &answer.said()));
            }
            (None, None, _) => {
                let schemes: Vec<&str> = challenges.iter().map(|c| c.scheme.as_str()).collect();
                let problem = format!(
                    "it wants to know who asks by {}; bearer and basic are known here",
                    schemes.join(", ")
                );
                return Err(place.answer(problem));
            }
            (None, Some(_), None) => return Err(self.denied(place, None, &answer.said())),
        };
        let mut passes = self.0.passes.lock().unwrap_or_else(PoisonError::into_inner);
        if passes.len() >= MAX_HELD {
            passes.clear();
        }
        passes.insert((place.host.clone(), place.repository.clone()), pass.clone());
        Ok(pass)
    }

    /// The registry says no.
    pub(super) fn denied(&self, place: &Place, name: Option<&str>, said: &str) -> RegistryError {
        let entry = self.0.keychain.find(&place.host, &place.repository);
        let mut credential = name.map_or_else(|| "no credential".to_owned(), str::to_owned);
        if let Some(Entry { credential: Credential::Unusable(why), .. }) = entry {
            credential = format!("no credential ({why})");
        }
        let hint = if place.host == "docker.io" {
            " (Docker Hub says the same of repositories that are not there)"
        } else {
            ""
        };
        RegistryError::Unauthorized {
            host: place.host.clone(),
            image: place.image.clone(),
            credential,
            said: format!("{said}{hint}"),
        }
    }

    /// Name and password.
    async fn basic(&self, place: &Place, entry: Entry) -> Result<Pass, RegistryError> {
        let (user, password, until) = match entry.credential {
            Credential::Basic { user, password } => (user, password, None),
            Credential::Ecr => {
                let login = self.ecr(place).await?;
                (login.user, login.password, login.expires)
            }
            Credential::Bearer(_) | Credential::Identity(_) => {
                let problem = format!("{} takes a name and a password, and this is a token", place.host);
                return Err(RegistryError::Credential { credential: entry.name, problem });
            }
            Credential::Unusable(_) => return Err(self.denied(place, None, "it wants to know who asks")),
        };
        if user.contains(':') {
            let problem = "its name has a colon, which no registry can read".to_owned();
            return Err(RegistryError::Credential { credential: entry.name, problem });
        }
        Ok(Pass { value: basic(&user, &password), name: entry.name, until })
    }

    async fn ecr(&self, place: &Place) -> Result<ecr::Login, RegistryError> {
        let failed = |source| RegistryError::Ecr { host: place.host.clone(), source };
        let host = ecr::Host::of(&place.host).ok_or_else(|| RegistryError::Credential {
            credential: "ecr".into(),
            problem: format!("{} is no registry of ECR", place.host),
        })?;
        let provider = self.0.keychain.provider().ok_or_else(|| failed(crate::aws::AwsError::None))?;
        ecr::login(provider, &host).await.map_err(failed)
    }

    /// A token of the realm that the challenge names.
    async fn token(
        &self,
        place: &Place,
        challenge: &BTreeMap<String, String>,
        entry: Option<Entry>,
    ) -> Result<Pass, RegistryError> {
        let realm = challenge.get("realm").map(String::as_str).unwrap_or_default();
        let realm_host = self.check_realm(place, realm)?;
        let entry = entry.filter(|e| !matches!(e.credential, Credential::Unusable(_)));
        if let Some(entry) = &entry
            && !self.0.keychain.may_reach(&place.host, &realm_host)
        {
            let problem = format!(
                "{} wants it to be sent to {realm_host}, another domain: that must be allowed by name",
                place.host
            );
            return Err(RegistryError::Credential { credential: entry.name.clone(), problem });
        }
        let own = format!("repository:{}:pull", place.repository);
        let scope = challenge.get("scope").filter(|s| !s.is_empty()).unwrap_or(&own);
        let service = challenge.get("service").map(String::as_str).unwrap_or_default();
        let name = entry.as_ref().map_or_else(|| "no credential".to_owned(), |e| e.name.clone());
        let request = self.token_request(place, realm, service, scope, entry).await?;
        let request =
            request.limit(MAX_TOKEN).deadline(Some(self.0.options.deadline)).redirects(Redirects::SameHost);
        let response = self.0.client.send(request).await.map_err(|e| place.unreachable(e))?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes().await.map_err(|e| place.unreachable(e))?;
        let answer = Answer { status, headers, body };
        match status.as_u16() {
            200 => self.read_token(place, &answer, name),
            400 | 401 | 403 | 404 => Err(self.denied(place, Some(&name), &answer.said())),
            429 => Err(RegistryError::Busy { host: realm_host, image: place.image.clone(), retry: None }),
            status => Err(RegistryError::Status {
                host: realm_host,
                image: place.image.clone(),
                status,
                said: answer.said(),
            }),
        }
    }

    fn read_token(&self, place: &Place, answer: &Answer, name: String) -> Result<Pass, RegistryError> {
        let bad = || place.answer("its realm gave no token");
        let token: Token = serde_json::from_slice(&answer.body).map_err(|_| bad())?;
        let given = [token.token, token.access_token].into_iter().flatten().find(|t| !t.is_empty());
        let given = zeroize::Zeroizing::new(given.ok_or_else(bad)?);
        let life = token.expires_in.filter(|s| s.is_finite() && *s > 0.0);
        let life = life.map_or(LIFE, |s| Duration::from_secs_f64(s.min(86_400.0)).max(LIFE));
        Ok(Pass {
            value: Secret::new(format!("Bearer {}", given.as_str())),
            name,
            until: Some(self.0.clock.now() + life),
        })
    }

    /// A GET with name and password, or a POST with a refresh token.
    async fn token_request(
        &self,
        place: &Place,
        realm: &str,
        service: &str,
        scope: &str,
        entry: Option<Entry>,
    ) -> Result<Request, RegistryError> {
        let wrong = |e| place.unreachable(e);
        let joint = if realm.contains('?') { '&' } else { '?' };
        let mut url = format!("{realm}{joint}scope={}", encode(scope));
        if !service.is_empty() {
            url.push_str(&format!("&service={}", encode(service)));
        }
        match entry {
            None => Request::get(&url).map_err(wrong),
            Some(Entry { credential: Credential::Identity(token), .. }) => {
                let form = format!(
                    "grant_type=refresh_token&refresh_token={}&service={}&scope={}&client_id=kiban",
                    encode(token.expose()),
                    encode(service),
                    encode(scope)
                );
                let request = Request::post(realm).map_err(wrong)?;
                let request =
                    request.header("content-type", "application/x-www-form-urlencoded").map_err(wrong)?;
                Ok(request.body(form).idempotent())
            }
            Some(entry) => {
                let pass = self.basic(place, entry).await?;
                Request::get(&url).and_then(|r| r.secret_header("authorization", &pass.value)).map_err(wrong)
            }
        }
    }

    /// The host of a realm, which is asked over TLS; without it only on this machine, for a registry of it.
    fn check_realm(&self, place: &Place, realm: &str) -> Result<String, RegistryError> {
        let shown: String = realm.split('?').next().unwrap_or_default().chars().take(200).collect();
        let url = realm.parse::<http::Uri>().ok();
        let authority =
            url.as_ref().and_then(|u| Some((u.scheme_str()?, u.authority()?.as_str().to_owned())));
        match authority {
            Some((_, authority)) if authority.contains('@') => {
                Err(place.answer("it names a token realm with credentials in its URL, which is not asked"))
            }
            Some(("https", authority)) => Ok(authority),
            Some(("http", authority)) => {
                let plain = !self.is_secure(&place.api);
                let allowed = plain
                    && (self.0.options.insecure.contains(&authority)
                        || (is_loopback(&place.api) && is_loopback(&authority)));
                if allowed {
                    return Ok(authority);
                }
                Err(place
                    .answer(format!("it names the token realm {shown}, which has no TLS and is not asked")))
            }
            _ => Err(place.answer(format!("it names the token realm {shown:?}, which is no URL"))),
        }
    }
}
