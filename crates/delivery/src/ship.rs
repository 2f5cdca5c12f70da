//! An image into an environment: the pin and that app's manifests change in one commit, on the environment's
//! branch or on one that is proposed.
//!
//! [`prepare`] is pure: what a commit holds and what is to be shipped in, what changes out. [`ship`] makes the
//! commit upon the branch's head; where somebody else was first, it prepares again upon the new one, and never
//! merges texts.

mod files;

use std::collections::BTreeSet;
use std::sync::Arc;

use kiban_base::image::Reference;
use kiban_git::{Oid, Who};
use kiban_manifest::laws::Severity;
use kiban_manifest::{read_back, render_apps};
use kiban_model::profile::DeliveryMode;
use kiban_model::repo::Repo;
use serde_json::Value;

use crate::content::{Content, Unreadable, files_below};
use crate::forge::{Forge, ForgeError, Made, Person, Proposal, Pull, Repo as ForgeRepo};
use crate::image::pin::{self, Pin};
use crate::layout::{self, LayoutError, Settings};
use crate::proposal;
use crate::revert::Edits;
use crate::source::{Change, Head, Source, SourceError};

pub use files::memory_files;

/// How often a commit is prepared again because somebody else was first.
const RACES: usize = 8;

/// What is shipped, and where to.
#[derive(Clone, Debug)]
pub struct Cargo {
    /// The app.
    pub app: String,
    /// The environment.
    pub env: String,
    /// The image, with its digest.
    pub image: Reference,
}

/// What shipping changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The files.
    pub edits: Edits,
    /// What was pinned before.
    pub before: Option<String>,
    /// The app's objects as the branch has them.
    pub old: Vec<Value>,
    /// The app's objects as they are rendered with the image.
    pub new: Vec<Value>,
    /// Findings of the laws that forbid nothing, one line each.
    pub warnings: Vec<String>,
    /// What the profile says of the environment.
    pub settings: Settings,
}

/// Why something was not shipped.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// The repository's files do not allow it.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The app, its image or its rules do not allow it.
    #[error("{0}")]
    Refused(String),
    /// The repository cannot be read or written.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The forge did not do it.
    #[error(transparent)]
    Forge(#[from] ForgeError),
    /// Somebody else was always first.
    #[error("others were faster {RACES} times in a row; try again")]
    Races,
    /// The branch of the proposal has commits of others.
    #[error(
        "the branch {branch} has a commit of {who} ({subject}), which is not overwritten: merge or close it first"
    )]
    Foreign {
        /// The branch.
        branch: String,
        /// Who.
        who: String,
        /// What it says.
        subject: String,
    },
}

impl From<Unreadable> for ShipError {
    fn from(error: Unreadable) -> Self {
        Self::Layout(error.into())
    }
}

/// What shipping changes upon a commit.
///
/// # Errors
/// An app or environment that is not there, an image of another repository or without a digest, files or laws
/// that forbid it.
pub fn prepare(head: &dyn Content, cargo: &Cargo) -> Result<Prepared, ShipError> {
    let settings = layout::settings(head, &cargo.env)?;
    let Cargo { app, env, image } = cargo;
    let mut files = memory_files(head)?;
    let repository = files::repository_of(&files, app, head)?;
    let pin = Pin::of(&repository, image).map_err(ShipError::Refused)?;
    let path = format!("{app}/env/{env}.pin.yaml");
    let old_pin = files.0.get(&path).map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let new_pin = match &old_pin {
        Some(text) => pin::set(&path, text, &pin).map_err(|p| LayoutError::Problems(vec![p]))?,
        None => pin::new_file(&pin),
    };
    files.0.insert(path.clone(), new_pin.clone().into_bytes());
    let repo = Repo::load(&files);
    let apps = [app.clone()];
    let (rendered, _) = render_apps(&repo, env, &apps).map_err(LayoutError::Problems)?;
    let errors: Vec<String> = rendered.errors().map(|finding| format!("{finding}")).collect();
    if !errors.is_empty() {
        return Err(ShipError::Refused(errors.join("\n")));
    }
    let is_warning = |finding: &&kiban_manifest::Finding| finding.severity == Severity::Warning;
    let warnings = rendered.findings.iter().filter(is_warning).map(ToString::to_string).collect();
    let mut edits = Edits::new();
    if old_pin.as_ref() != Some(&new_pin) {
        edits.insert(path, Some(new_pin.into_bytes()));
    }
    let (old, new) = rendered_edits(head, &rendered, app, env, &mut edits)?;
    let before = old_pin.as_deref().and_then(|text| files::pinned(text, &repository));
    Ok(Prepared { edits, before, old, new, warnings, settings })
}

/// The edits of the app's folder below `rendered/`; its objects before and after.
fn rendered_edits(
    head: &dyn Content,
    rendered: &kiban_manifest::Rendered,
    app: &str,
    env: &str,
    edits: &mut Edits,
) -> Result<(Vec<Value>, Vec<Value>), ShipError> {
    let folder = format!("rendered/{env}/{app}");
    let mut old = Vec::new();
    let mut there = BTreeSet::new();
    for (path, _) in files_below(head, &folder)? {
        if let Some(bytes) = head.file(&path)? {
            old.push((path.clone(), bytes));
            there.insert(path);
        }
    }
    let own = format!("{env}/{app}/");
    let new: Vec<(String, String)> = rendered
        .files()
        .into_iter()
        .filter(|(path, _)| path.starts_with(&own))
        .map(|(path, text)| (format!("rendered/{path}"), text))
        .collect();
    for (path, text) in &new {
        there.remove(path);
        let is_same = old.iter().any(|(p, bytes)| p == path && bytes.as_slice() == text.as_bytes());
        if !is_same {
            edits.insert(path.clone(), Some(text.clone().into_bytes()));
        }
    }
    edits.extend(there.into_iter().map(|path| (path, None)));
    let read = |all: &[(String, Vec<u8>)]| {
        read_back(all.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice())))
            .map_err(|p| ShipError::Layout(LayoutError::Problems(vec![p])))
    };
    let new: Vec<(String, Vec<u8>)> = new.into_iter().map(|(path, text)| (path, text.into_bytes())).collect();
    Ok((read(&old)?, read(&new)?))
}

/// The words of a commit and of its pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wording {
    /// The pull request's title.
    pub title: String,
    /// The commit's message.
    pub message: String,
    /// The pull request's text.
    pub body: String,
}

/// Finds the words, once it is known what changes.
pub type Words<'a> = &'a (dyn Fn(&Prepared) -> Wording + Sync);

/// Where shipping goes, and as whom.
pub struct Port<'a> {
    /// The repository.
    pub source: &'a Source,
    /// Where its pull requests live, and under which name; without, a branch is proposed without one.
    pub forge: Option<(&'a dyn Forge, &'a ForgeRepo)>,
    /// Who makes the commit, and when.
    pub who: Who,
    /// Labels of the pull request.
    pub labels: Vec<String>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Shipped {
    /// The environment asks for it already.
    Already,
    /// It is on the environment's branch.
    Direct {
        /// The commit.
        commit: Oid,
        /// The branch.
        branch: String,
    },
    /// It is proposed.
    Proposed {
        /// The commit.
        commit: Oid,
        /// The branch of the proposal.
        branch: String,
        /// The pull request, where there is a forge.
        pull: Option<Pull>,
    },
}

/// Ships.
///
/// # Errors
/// As [`prepare`], and what the repository or the forge do not do.
pub async fn ship(
    port: &Port<'_>,
    cargo: &Cargo,
    words: Words<'_>,
) -> Result<(Shipped, Option<Prepared>), ShipError> {
    for _ in 0..RACES {
        let (head, prepared) = prepared_upon_head(port.source, cargo).await?;
        if prepared.edits.is_empty() {
            return Ok((Shipped::Already, Some(prepared)));
        }
        let is_direct = prepared.settings.environment.delivery == DeliveryMode::Direct;
        let Wording { title, message, body } = words(&prepared);
        let base = head.branch.clone();
        let proposal = proposal::branch(&cargo.env, &cargo.app);
        let branch = if is_direct { base.clone() } else { proposal };
        let expected = if is_direct { Some(head.head.id()) } else { tip(port, &branch, &head).await? };
        if let Some(commit) = expected.filter(|_| !is_direct)
            && is_proposed(port.source, commit, &head, cargo).await?
        {
            let pull = propose(port, &branch, &base, title, body).await?;
            return Ok((Shipped::Proposed { commit, branch, pull }, Some(prepared)));
        }
        let change = Change {
            branch: branch.clone(),
            base: head.head.id(),
            expected,
            edits: prepared.edits.clone(),
            message,
            who: port.who.clone(),
        };
        let made = commit(port, &change).await?;
        let commit = match made {
            Made::Raced { .. } | Made::Commit { clean: false, .. } => continue,
            Made::Nothing => return Ok((Shipped::Already, Some(prepared))),
            Made::Commit { id, clean: true } => id,
        };
        if is_direct {
            return Ok((Shipped::Direct { commit, branch }, Some(prepared)));
        }
        let pull = propose(port, &branch, &base, title, body).await?;
        return Ok((Shipped::Proposed { commit, branch, pull }, Some(prepared)));
    }
    Err(ShipError::Races)
}

/// Whether the proposal's branch holds just this upon the head already: then nothing is pushed again, and no
/// approval is lost.
async fn is_proposed(source: &Source, tip: Oid, upon: &Tip, cargo: &Cargo) -> Result<bool, ShipError> {
    let there = source.at(&tip.to_string()).await?;
    if there.commit.parents != [upon.head.id()] {
        return Ok(false);
    }
    let (content, wanted) = (Arc::clone(&there.content), cargo.clone());
    let made = tokio::task::spawn_blocking(move || prepare(content.as_ref(), &wanted));
    Ok(made.await.map_err(|_| SourceError::Stopped)?.is_ok_and(|prepared| prepared.edits.is_empty()))
}

struct Tip {
    branch: String,
    head: Head,
}

async fn prepared_upon_head(source: &Source, cargo: &Cargo) -> Result<(Tip, Prepared), ShipError> {
    let (default, _) = source.tip(None).await?;
    let first = source.head(&default).await?;
    // The default branch says which branch the environment has; what is there says the rest.
    let named = layout::settings(first.content.as_ref(), &cargo.env)?.environment.branch;
    let branch = named.unwrap_or_else(|| default.clone());
    let head = if branch == default { first } else { source.head(&branch).await? };
    let (content, wanted) = (Arc::clone(&head.content), cargo.clone());
    let made = tokio::task::spawn_blocking(move || prepare(content.as_ref(), &wanted));
    let prepared = made.await.map_err(|_| SourceError::Stopped)??;
    Ok((Tip { branch, head }, prepared))
}

/// Where the branch of a proposal is expected; another's commits on it are not overwritten.
async fn tip(port: &Port<'_>, branch: &str, upon: &Tip) -> Result<Option<Oid>, ShipError> {
    let there = match port.source.head(branch).await {
        Ok(head) => head,
        Err(SourceError::NoBranch { .. }) => return Ok(None),
        Err(error) => match port.source.tip(Some(branch)).await {
            Err(SourceError::NoBranch { .. }) => return Ok(None),
            _ => return Err(error.into()),
        },
    };
    let is_ours = |head: &Head| head.commit.author.email.eq_ignore_ascii_case(&port.who.email);
    let is_merged = port.source.is_ancestor(there.id(), upon.head.id()).await? == kiban_git::Ancestry::Yes;
    if is_merged || is_ours(&there) {
        return Ok(Some(there.id()));
    }
    let Person { name, .. } =
        Person { name: there.commit.author.name.clone(), email: there.commit.author.email.clone() };
    Err(ShipError::Foreign { branch: branch.to_owned(), who: name, subject: there.commit.title().to_owned() })
}

async fn commit(port: &Port<'_>, change: &Change) -> Result<Made, ShipError> {
    match port.forge {
        Some((forge, repo)) => Ok(forge.commit(repo, change).await?),
        None => Ok(crate::forge::Plain::new(port.source.clone()).commit_here(change).await?),
    }
}

async fn propose(
    port: &Port<'_>,
    branch: &str,
    base: &str,
    title: String,
    body: String,
) -> Result<Option<Pull>, ShipError> {
    let Some((forge, repo)) = port.forge.filter(|(forge, _)| forge.can().pulls) else { return Ok(None) };
    let before = forge.pull(repo, branch).await?;
    let proposal =
        Proposal { head: branch.to_owned(), base: base.to_owned(), title, body, labels: port.labels.clone() };
    let pull = forge.open(repo, &proposal).await?;
    let moved = before.is_some_and(|before| before.commit != pull.commit);
    if moved && forge.can().drop_approvals {
        forge.drop_approvals(repo, pull.number, "it proposes another image now").await?;
    }
    Ok(Some(pull))
}

#[cfg(test)]
mod tests;
