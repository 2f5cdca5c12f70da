//! Where pull requests live: one trait over GitHub, GitLab, Gitea and a git remote that has none.
//!
//! A forge is asked over its API; what it cannot do is told beforehand by [`Forge::can`]. Commits are conditional
//! on the branch's head: [`Made::Raced`] says that somebody else was first, and then nothing was changed.
//! Limits that a forge sets are waited for where that is short, and told as [`ForgeError::Limited`] where not.

pub mod config;
pub mod fake;
mod gitea;
mod github;
mod gitlab;
pub mod hook;
mod http;
mod plain;
mod text;

use std::fmt;

use kiban_base::clock::Timestamp;
use kiban_git::Oid;
use kiban_runtime::BoxFuture;
use kiban_runtime::client::ClientError;
use kiban_runtime::secret::SecretError;
use serde::{Deserialize, Serialize};

use crate::source::{Change, SourceError};

pub use config::{ForgeSection, Sections};
pub use gitea::Gitea;
pub use github::GitHub;
pub use gitlab::GitLab;
pub use http::{Access, DEFAULT_PATIENCE};
pub use plain::{Plain, Pushing};
pub use text::{cut, mentionless};

/// What a forge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// github.com, or GitHub Enterprise.
    Github,
    /// gitlab.com, or one's own.
    Gitlab,
    /// Gitea or Forgejo.
    Gitea,
    /// A git remote without pull requests.
    Plain,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Github => "GitHub",
            Self::Gitlab => "GitLab",
            Self::Gitea => "Gitea",
            Self::Plain => "a plain git remote",
        })
    }
}

/// What a forge can do besides branches and commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Can {
    /// Pull requests, with their comments.
    pub pulls: bool,
    /// Statuses of commits.
    pub statuses: bool,
    /// Take approvals of a pull request back.
    pub drop_approvals: bool,
    /// Merge a pull request by itself once its checks pass.
    pub auto_merge: bool,
    /// Lay a commit on a branch only if that is where it is expected, whatever else happens meanwhile. Where
    /// not, it is looked at right before, and what came out is told by [`Made::Commit`].
    pub exact: bool,
}

/// A repository of a forge, by its path: `owner/name`; on GitLab groups may nest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Repo(String);

impl Repo {
    /// A repository's path.
    ///
    /// # Errors
    /// A sentence that says what is expected.
    pub fn new(path: &str) -> Result<Self, String> {
        let path = path.trim_end_matches(".git");
        let good = |part: &str| {
            !part.is_empty()
                && part.len() <= 255
                && part != "."
                && part != ".."
                && part.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+'))
        };
        let parts = path.split('/').count();
        if (2..=21).contains(&parts) && path.split('/').all(good) {
            Ok(Self(path.to_owned()))
        } else {
            Err(format!("{path:?} is no path of a repository, such as team/manifests"))
        }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Repo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A person, as a commit names them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Person {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
}

/// Where a branch is, and who made its last commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tip {
    /// The commit.
    pub id: Oid,
    /// Who wrote it.
    pub author: Person,
    /// The first line of its message.
    pub subject: String,
}

/// What became of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// It is on its branch.
    Commit {
        /// The commit.
        id: Oid,
        /// Whether it lies on what was expected. False only where [`Can::exact`] is: somebody was first with other
        /// files, and what was rendered from them must be rendered again.
        clean: bool,
    },
    /// There is nothing to change.
    Nothing,
    /// The branch is not where it was expected. Nothing was changed.
    Raced {
        /// Where it is, if it is there.
        current: Option<Oid>,
    },
}

/// A pull request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pull {
    /// Its number.
    pub number: u64,
    /// Where people look at it.
    pub url: String,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// The branch that it is from.
    pub head: String,
    /// The commit that is proposed.
    pub commit: String,
    /// The branch that it goes to.
    pub base: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// What the forge calls it inside.
    #[serde(skip)]
    pub(crate) node: String,
}

impl Pull {
    /// Whether its text holds a marker: whether it was opened by who writes that.
    pub fn has_marker(&self, marker: &str) -> bool {
        self.body.contains(marker)
    }
}

/// What a pull request shall be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The branch that it is from.
    pub head: String,
    /// The branch that it goes to.
    pub base: String,
    /// Its title.
    pub title: String,
    /// Its text, in Markdown. Longer ones than the forge takes are cut, in words.
    pub body: String,
    /// Labels that it gets, besides those that people gave it.
    pub labels: Vec<String>,
}

/// How a commit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Not known yet.
    Pending,
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// It could not be found out.
    Error,
}

/// A status of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whose it is: `kiban/prod`. A later one of the same name takes its place.
    pub context: String,
    /// How it stands.
    pub standing: Standing,
    /// In one line; cut at 140 characters.
    pub description: String,
    /// Where people find more; empty where nowhere.
    pub link: String,
}

/// How a pull request is merged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// By a merge commit.
    #[default]
    Merge,
    /// As one commit.
    Squash,
    /// Commit by commit.
    Rebase,
}

/// A pull request that a commit came by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CameBy {
    /// Its number.
    pub number: u64,
    /// Its title, as its author wrote it: quote it by [`mentionless`].
    pub title: String,
    /// Where people look at it.
    pub url: String,
}

/// A commit of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Past {
    /// Its id.
    pub id: String,
    /// The first line of its message, as its author wrote it: quote it by [`mentionless`].
    pub subject: String,
    /// Who wrote it.
    pub author: Person,
    /// The pull request that it came by, where the forge says so.
    pub pull: Option<CameBy>,
}

/// How one commit lies to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// It is the same.
    Same,
    /// It comes after it.
    After,
    /// It comes before it: a step back.
    Before,
    /// Their histories parted.
    Parted,
    /// One of them is not there, or their histories have nothing in common.
    Unknown,
}

/// What lies between two commits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// How the second lies to the first.
    pub relation: Relation,
    /// The commits that the second has and the first has not, the oldest first.
    pub commits: Vec<Past>,
    /// Whether there are more.
    pub more: bool,
}

impl Range {
    /// Two commits of which nothing is known.
    pub const UNKNOWN: Self = Self { relation: Relation::Unknown, commits: Vec::new(), more: false };

    /// The pull requests that its commits came by, each once, the oldest first.
    pub fn pulls(&self) -> Vec<&CameBy> {
        let mut all: Vec<&CameBy> = Vec::new();
        for pull in self.commits.iter().filter_map(|commit| commit.pull.as_ref()) {
            if !all.iter().any(|seen| seen.number == pull.number) {
                all.push(pull);
            }
        }
        all
    }

    /// The first commit that another than `email` wrote: such a branch is not overwritten.
    pub fn foreign(&self, email: &str) -> Option<&Past> {
        self.commits.iter().find(|commit| !commit.author.email.eq_ignore_ascii_case(email))
    }
}

/// Commits of a range that are given back at most.
pub const MAX_COMMITS: usize = 250;

/// What a forge answers.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, ForgeError>>;

/// A forge.
pub trait Forge: Send + Sync {
    /// What it is.
    fn kind(&self) -> Kind;

    /// What it can do.
    fn can(&self) -> Can;

    /// The branch that a repository has unless another one is named.
    fn default_branch<'a>(&'a self, repo: &'a Repo) -> Answer<'a, String>;

    /// Where a branch is; none where it is not there. Cheap where nothing changed.
    fn tip<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, Option<Tip>>;

    /// A file at a commit; none where there is none.
    fn file<'a>(&'a self, repo: &'a Repo, path: &'a str, commit: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// Makes a commit on a branch, if that is where it is expected. Where the commit is not made upon what the
    /// branch has, that is replaced.
    fn commit<'a>(&'a self, repo: &'a Repo, change: &'a Change) -> Answer<'a, Made>;

    /// Removes a branch; well where it is gone already.
    fn remove_branch<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, ()>;

    /// The commits that `to` has and `from` has not, with the pull requests that they came by.
    fn range<'a>(&'a self, repo: &'a Repo, from: &'a str, to: &'a str) -> Answer<'a, Range>;

    /// The open pull request of a branch.
    fn pull<'a>(&'a self, repo: &'a Repo, head: &'a str) -> Answer<'a, Option<Pull>>;

    /// Opens a pull request, or gives back the one that its branch has already, brought up to date.
    fn open<'a>(&'a self, repo: &'a Repo, proposal: &'a Proposal) -> Answer<'a, Pull>;

    /// Changes title, text and labels of a pull request.
    fn update<'a>(&'a self, repo: &'a Repo, number: u64, proposal: &'a Proposal) -> Answer<'a, ()>;

    /// Closes a pull request without merging it.
    fn close<'a>(&'a self, repo: &'a Repo, number: u64) -> Answer<'a, ()>;

    /// Says something below a pull request: the comment that holds `marker` is changed, where there is one.
    fn comment<'a>(&'a self, repo: &'a Repo, number: u64, marker: &'a str, body: &'a str) -> Answer<'a, ()>;

    /// Takes back the approvals of a pull request. Says how many there were.
    fn drop_approvals<'a>(&'a self, repo: &'a Repo, number: u64, why: &'a str) -> Answer<'a, usize>;

    /// Has a pull request merged once its checks pass, if it still proposes the same commit; at once where
    /// nothing is waited for.
    fn auto_merge<'a>(&'a self, repo: &'a Repo, pull: &'a Pull, how: Merge) -> Answer<'a, ()>;

    /// Sets a status of a commit.
    fn status<'a>(&'a self, repo: &'a Repo, commit: &'a str, status: &'a Status) -> Answer<'a, ()>;
}

/// Why a forge did not do something. No credential is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgeError {
    /// There was no answer.
    #[error("{what}: {source}")]
    Unanswered {
        /// What was asked.
        what: String,
        /// Why.
        source: ClientError,
    },
    /// It asks to be left alone for longer than is waited.
    #[error("{what}: {host} takes no more requests until {until} ({limit} limit)")]
    Limited {
        /// What was asked.
        what: String,
        /// Scheme, host and port.
        host: String,
        /// Until when.
        until: Timestamp,
        /// Which limit.
        limit: &'static str,
    },
    /// It does not know the token.
    #[error("{what}: {host} does not take the token: {words}")]
    Token {
        /// What was asked.
        what: String,
        /// Scheme, host and port.
        host: String,
        /// What it says.
        words: String,
    },
    /// The token may not do that.
    #[error("{what}: {host} does not allow it: {words} (what the token may do: {scopes})")]
    Forbidden {
        /// What was asked.
        what: String,
        /// Scheme, host and port.
        host: String,
        /// What it says.
        words: String,
        /// What it says that the token may do.
        scopes: String,
    },
    /// It is not there, or the token may not see it.
    #[error("{what}: it is not there, or the token may not see it")]
    Missing {
        /// What was asked.
        what: String,
    },
    /// What was asked cannot be.
    #[error("{what}: refused: {words}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it says.
        words: String,
    },
    /// It failed.
    #[error("{what}: {host} answers {status}: {words}")]
    Failed {
        /// What was asked.
        what: String,
        /// Scheme, host and port.
        host: String,
        /// The status.
        status: u16,
        /// What it says.
        words: String,
    },
    /// The answer cannot be read.
    #[error("{what}: the answer cannot be read: {why}")]
    Unreadable {
        /// What was asked.
        what: String,
        /// Why.
        why: String,
    },
    /// It has no such thing.
    #[error("{kind} cannot {what}")]
    Cannot {
        /// The forge.
        kind: Kind,
        /// What was asked.
        what: &'static str,
    },
    /// The token cannot be read.
    #[error("the token of the forge: {0}")]
    Secret(#[from] SecretError),
    /// The git remote's reasons.
    #[error(transparent)]
    Source(#[from] SourceError),
}

impl ForgeError {
    /// Whether trying again later may help.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unanswered { source, .. } => source.is_passing(),
            Self::Limited { .. } => true,
            Self::Failed { status, .. } => *status >= 500 || *status == 408,
            _ => false,
        }
    }
}
