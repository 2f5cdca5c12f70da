//! Forges: what is asked of them, what becomes of trouble, and whether GitHub's own description allows it.
#![allow(clippy::unwrap_used)]

mod github;
mod limits;
mod openapi;
mod others;
mod plain;

use std::sync::Arc;

use http::Method;
use kiban_base::clock::{Clock, Timestamp};
use kiban_delivery::forge::fake::{GitHubFake, Line};
use kiban_delivery::forge::{Access, DEFAULT_PATIENCE, GitHub, Repo};
use kiban_delivery::source::Change;
use kiban_git::{Oid, Who, id_from_hex};
use kiban_runtime::client::{Client, Connect, Options, Roots};
use kiban_runtime::config::SecretFrom;

/// 2026-11-24T10:00:00Z.
pub(crate) const NOW: i64 = 1_795_514_400;

pub(crate) const TOKEN: &str = "ghp_0123456789";

/// A clock that goes with tokio's, which tests pause.
pub(crate) struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(NOW) + self.0.elapsed()
    }
}

/// A token in a file, for as long as the folder is there.
pub(crate) fn token(text: &str) -> (tempfile::TempDir, SecretFrom) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, format!("{text}\n")).unwrap();
    let from = SecretFrom::file(path.to_str().unwrap());
    (folder, from)
}

pub(crate) fn access(net: impl Connect, token: SecretFrom) -> Access {
    let clock: Arc<dyn Clock> = Arc::new(TestClock(tokio::time::Instant::now()));
    let options = Options { roots: Roots { system: false, extra: Vec::new() }, ..Options::default() };
    let client = Client::new(options, Arc::new(net), Arc::clone(&clock)).unwrap();
    Access { client, clock, token, patience: DEFAULT_PATIENCE }
}

/// GitHub Enterprise in memory, with one repository.
pub(crate) struct World {
    pub(crate) fake: GitHubFake,
    pub(crate) line: Line,
    pub(crate) forge: GitHub,
    pub(crate) repo: Repo,
    pub(crate) first: Oid,
    _folder: tempfile::TempDir,
}

pub(crate) fn world() -> World {
    let fake = GitHubFake::new(TOKEN);
    let first =
        fake.repository("shop/manifests", &[("orders/app.yaml", "app"), ("rendered/prod/old.yaml", "x")]);
    let line = fake.line();
    let (folder, token) = token(TOKEN);
    let forge = GitHub::new("http://github.example/api/v3", access(line.clone(), token));
    let repo = Repo::new("shop/manifests").unwrap();
    World { fake, line, forge, repo, first: oid(&first), _folder: folder }
}

pub(crate) fn oid(text: &str) -> Oid {
    id_from_hex(text.as_bytes()).unwrap()
}

pub(crate) fn who() -> Who {
    Who { name: "Kiban".into(), email: "kiban@shop.example".into(), seconds: NOW, offset: 0 }
}

/// A change of one file of a branch.
pub(crate) fn change(branch: &str, base: Oid, expected: Option<Oid>, text: &str) -> Change {
    Change {
        branch: branch.into(),
        base,
        expected,
        edits: [("orders/env/prod.pin.yaml".to_owned(), Some(text.as_bytes().to_vec()))].into(),
        message: "orders: 2.0 for prod".into(),
        who: who(),
    }
}

/// How often a request was heard.
pub(crate) fn count(line: &Line, method: &Method, end: &str) -> usize {
    line.heard().iter().filter(|heard| heard.method == *method && heard.path.ends_with(end)).count()
}
