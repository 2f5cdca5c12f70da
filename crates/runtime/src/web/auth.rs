//! Who calls: bearer tokens of files, compared as hashes, and whoever else can tell.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::BoxFuture;
use crate::component::Failure;
use crate::route::Role;
use crate::secret::{Secret, SecretError};
use crate::shutdown::Shutdown;

/// How often files of tokens are looked at for changes.
const LOOK: Duration = Duration::from_secs(10);

/// The longest token that is looked at, in bytes.
const MAX_TOKEN: usize = 16 << 10;

/// Whom a credential stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Its name, in logs and metrics.
    pub name: Arc<str>,
    /// What it may do.
    pub roles: BTreeSet<Role>,
}

impl Identity {
    /// Whether it may do what needs `role`: admin may read.
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role) || role == Role::Read && self.roles.contains(&Role::Admin)
    }
}

/// Tells whom a bearer token stands for: Kubernetes' TokenReview, for one.
pub trait Authenticate: Send + Sync + 'static {
    /// Whom `token` stands for; `None`: nobody that it knows.
    fn authenticate<'a>(&'a self, token: &'a Secret) -> BoxFuture<'a, Result<Option<Identity>, Failure>>;
}

/// A token that a file holds.
#[derive(Debug, Clone)]
pub struct TokenFile {
    /// Whom it stands for.
    pub identity: Identity,
    /// The file.
    pub path: PathBuf,
}

/// Who may call. Clones are the same.
#[derive(Clone, Default)]
pub struct Auth(Arc<Inner>);

#[derive(Default)]
struct Inner {
    files: Vec<TokenFile>,
    /// The hash of each file's token.
    hashes: RwLock<Vec<[u8; 32]>>,
    others: Vec<Arc<dyn Authenticate>>,
}

/// What a caller's credential says.
pub(super) enum Outcome {
    /// No authentication is configured: anyone may.
    Open,
    Known(Identity),
    /// It shows none.
    Missing,
    /// It shows one that nobody knows.
    Wrong,
    /// Nobody can tell now, and why.
    Unknown(String),
}

impl Auth {
    /// Anyone may do anything that is switched on.
    pub fn open() -> Self {
        Self::default()
    }

    /// Who shows a token of `files`, or one that one of `others` knows.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn new(files: Vec<TokenFile>, others: Vec<Arc<dyn Authenticate>>) -> Result<Self, SecretError> {
        let hashes: Result<Vec<_>, _> = files.iter().map(hash_of).collect();
        let hashes = RwLock::new(hashes?);
        Ok(Self(Arc::new(Inner { files, hashes, others })))
    }

    /// Whether a credential is asked for.
    pub fn is_on(&self) -> bool {
        !self.0.files.is_empty() || !self.0.others.is_empty()
    }

    /// Reads files of tokens again when they change, until `shutdown`. One that cannot be read keeps the
    /// token that it had.
    pub async fn follow(self, mut shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.fired() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            self.look();
        }
    }

    /// Reads the files once.
    pub(super) fn look(&self) {
        for (index, file) in self.0.files.iter().enumerate() {
            let read = hash_of(file);
            let mut hashes = self.0.hashes.write().unwrap_or_else(PoisonError::into_inner);
            let Some(kept) = hashes.get_mut(index) else { continue };
            match read {
                Ok(hash) if hash != *kept => {
                    *kept = hash;
                    tracing::info!(name = &*file.identity.name, "a token has changed");
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(
                    name = &*file.identity.name,
                    error = crate::client::chain(&error),
                    "a token cannot be read; the one before stays"
                ),
            }
        }
    }

    pub(super) async fn check(&self, headers: &HeaderMap) -> Outcome {
        if !self.is_on() {
            return Outcome::Open;
        }
        let Some(value) = headers.get(AUTHORIZATION) else { return Outcome::Missing };
        let token = value.to_str().ok().and_then(|text| text.split_once(' '));
        let token = match token {
            Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => token.trim(),
            _ => return Outcome::Wrong,
        };
        if token.is_empty() || token.len() > MAX_TOKEN {
            return Outcome::Wrong;
        }
        if let Some(identity) = self.of_file(token) {
            return Outcome::Known(identity);
        }
        let token = Secret::new(token);
        let mut unknown = None;
        for other in &self.0.others {
            match other.authenticate(&token).await {
                Ok(Some(identity)) => return Outcome::Known(identity),
                Ok(None) => {}
                Err(why) => unknown = Some(why.to_string()),
            }
        }
        unknown.map_or(Outcome::Wrong, Outcome::Unknown)
    }

    /// Whose token it is. All are looked at, and each in the same time.
    fn of_file(&self, token: &str) -> Option<Identity> {
        let asked = hash(token);
        let hashes = self.0.hashes.read().unwrap_or_else(PoisonError::into_inner);
        let mut found = u32::MAX;
        for (index, kept) in (0_u32..).zip(hashes.iter()) {
            found = u32::conditional_select(&found, &index, kept.ct_eq(&asked));
        }
        self.0.files.get(usize::try_from(found).ok()?).map(|file| file.identity.clone())
    }
}

fn hash(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

fn hash_of(file: &TokenFile) -> Result<[u8; 32], SecretError> {
    Secret::from_file(&file.path).map(|secret| hash(secret.expose().trim()))
}
