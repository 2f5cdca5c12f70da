//! A git remote without pull requests, and forges whose commits go by git's own push.

use std::sync::Arc;

use kiban_git::{Ancestry, Pushed};

use super::{
    Answer, Can, Forge, ForgeError, Kind, MAX_COMMITS, Made, Merge, Past, Person, Proposal, Pull, Range,
    Relation, Repo, Status, Tip,
};
use crate::content::Content;
use crate::source::{Change, Source, SourceError};

/// A git remote.
#[derive(Clone, Debug)]
pub struct Plain {
    source: Source,
}

impl Plain {
    /// The remote of a source. It is one repository: the names of others are not looked at.
    pub fn new(source: Source) -> Self {
        Self { source }
    }

    /// Makes a commit on its one repository.
    ///
    /// # Errors
    /// What cannot be written or pushed.
    pub async fn commit_here(&self, change: &Change) -> Result<Made, ForgeError> {
        push(&self.source, change).await
    }
}

/// Makes and pushes a commit: exact, since the remote compares the branch itself, and signed where the source
/// has a key.
async fn push(source: &Source, change: &Change) -> Result<Made, ForgeError> {
    let what = || format!("push to the branch {} of {}", change.branch, source.name());
    // What it is made upon must be here; nothing is asked where it is.
    source.at(&change.base.to_string()).await?;
    match source.push(change.clone()).await? {
        None => Ok(Made::Nothing),
        Some((id, Pushed::Done)) => Ok(Made::Commit { id, clean: true }),
        Some((_, Pushed::Raced { current })) => Ok(Made::Raced { current }),
        Some((_, Pushed::Rejected { reason, words })) => {
            let words =
                [reason, words].into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
            Err(ForgeError::Refused { what: what(), words })
        }
    }
}

async fn tip(source: &Source, branch: &str) -> Result<Option<Tip>, ForgeError> {
    let head = match source.head(branch).await {
        Ok(head) => head,
        Err(SourceError::NoBranch { .. }) => return Ok(None),
        // Whether it is not there is told by a question that has no other answer.
        Err(error) => match source.tip(Some(branch)).await {
            Err(SourceError::NoBranch { .. }) => return Ok(None),
            _ => return Err(error.into()),
        },
    };
    let author = Person { name: head.commit.author.name.clone(), email: head.commit.author.email.clone() };
    let subject = head.commit.message.lines().next().unwrap_or_default().to_owned();
    Ok(Some(Tip { id: head.id(), author, subject }))
}

async fn file(source: &Source, path: &str, commit: &str) -> Result<Option<Vec<u8>>, ForgeError> {
    let head = source.at(commit).await?;
    let (owned, what) = (path.to_owned(), format!("read {path} of {} at {commit}", source.name()));
    let read = tokio::task::spawn_blocking(move || head.content.file(&owned)).await;
    match read {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(unreadable)) => Err(ForgeError::Refused { what, words: unreadable.to_string() }),
        Err(_) => Err(SourceError::Stopped.into()),
    }
}

async fn range(source: &Source, from: &str, to: &str) -> Result<Range, ForgeError> {
    let id = |text: &str| kiban_git::id_from_hex(text.as_bytes());
    let (Some(from), Some(to)) = (id(from), id(to)) else { return Ok(Range::UNKNOWN) };
    // What the remote does not give is not known: images of a repository that was made anew.
    if source.at(&from.to_string()).await.is_err() || source.at(&to.to_string()).await.is_err() {
        return Ok(Range::UNKNOWN);
    }
    if from == to {
        return Ok(Range { relation: Relation::Same, ..Range::UNKNOWN });
    }
    let (log, [onward, back]) = source.log(from, to, MAX_COMMITS).await?;
    let relation = match (onward, back) {
        (Ancestry::Yes, _) => Relation::After,
        (_, Ancestry::Yes) => Relation::Before,
        (Ancestry::No, Ancestry::No) => Relation::Parted,
        _ => Relation::Unknown,
    };
    let past = |(id, commit): (kiban_git::Oid, kiban_git::Commit)| Past {
        id: id.to_string(),
        subject: commit.message.lines().next().unwrap_or_default().to_owned(),
        author: Person { name: commit.author.name, email: commit.author.email },
        pull: None,
    };
    let commits = log.commits.into_iter().rev().map(past).collect();
    Ok(Range { relation, commits, more: log.more || log.cut })
}

fn cannot<T>(what: &'static str) -> Answer<'static, T>
where
    T: Send + 'static,
{
    Box::pin(async move { Err(ForgeError::Cannot { kind: Kind::Plain, what }) })
}

impl Forge for Plain {
    fn kind(&self) -> Kind {
        Kind::Plain
    }

    fn can(&self) -> Can {
        Can { pulls: false, statuses: false, drop_approvals: false, auto_merge: false, exact: true }
    }

    fn default_branch<'a>(&'a self, _: &'a Repo) -> Answer<'a, String> {
        Box::pin(async move { Ok(self.source.tip(None).await?.0) })
    }

    fn tip<'a>(&'a self, _: &'a Repo, branch: &'a str) -> Answer<'a, Option<Tip>> {
        Box::pin(tip(&self.source, branch))
    }

    fn file<'a>(&'a self, _: &'a Repo, path: &'a str, commit: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(file(&self.source, path, commit))
    }

    fn commit<'a>(&'a self, _: &'a Repo, change: &'a Change) -> Answer<'a, Made> {
        Box::pin(push(&self.source, change))
    }

    fn remove_branch<'a>(&'a self, _: &'a Repo, branch: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { Ok(self.source.remove(branch).await.map(drop)?) })
    }

    fn range<'a>(&'a self, _: &'a Repo, from: &'a str, to: &'a str) -> Answer<'a, Range> {
        Box::pin(range(&self.source, from, to))
    }

    fn pull<'a>(&'a self, _: &'a Repo, _: &'a str) -> Answer<'a, Option<Pull>> {
        Box::pin(async { Ok(None) })
    }

    fn open<'a>(&'a self, _: &'a Repo, _: &'a Proposal) -> Answer<'a, Pull> {
        cannot("open a pull request")
    }

    fn update<'a>(&'a self, _: &'a Repo, _: u64, _: &'a Proposal) -> Answer<'a, ()> {
        cannot("change a pull request")
    }

    fn close<'a>(&'a self, _: &'a Repo, _: u64) -> Answer<'a, ()> {
        cannot("close a pull request")
    }

    fn comment<'a>(&'a self, _: &'a Repo, _: u64, _: &'a str, _: &'a str) -> Answer<'a, ()> {
        cannot("comment on a pull request")
    }

    fn drop_approvals<'a>(&'a self, _: &'a Repo, _: u64, _: &'a str) -> Answer<'a, usize> {
        cannot("drop approvals")
    }

    fn auto_merge<'a>(&'a self, _: &'a Repo, _: &'a Pull, _: Merge) -> Answer<'a, ()> {
        cannot("merge a pull request by itself")
    }

    fn status<'a>(&'a self, _: &'a Repo, _: &'a str, _: &'a Status) -> Answer<'a, ()> {
        cannot("set a commit's status")
    }
}

/// A forge whose commits go by git's own push to its remote: exact and, with a key, signed, whatever its API can.
/// Commits of other repositories than the source's are refused.
#[derive(Clone)]
pub struct Pushing {
    forge: Arc<dyn Forge>,
    repo: Repo,
    source: Source,
}

impl Pushing {
    /// `forge`, with `source` as the remote of `repo`.
    pub fn new(forge: Arc<dyn Forge>, repo: Repo, source: Source) -> Self {
        Self { forge, repo, source }
    }
}

impl Forge for Pushing {
    fn kind(&self) -> Kind {
        self.forge.kind()
    }

    fn can(&self) -> Can {
        Can { exact: true, ..self.forge.can() }
    }

    fn default_branch<'a>(&'a self, repo: &'a Repo) -> Answer<'a, String> {
        self.forge.default_branch(repo)
    }

    fn tip<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, Option<Tip>> {
        if repo == &self.repo { Box::pin(tip(&self.source, branch)) } else { self.forge.tip(repo, branch) }
    }

    fn file<'a>(&'a self, repo: &'a Repo, path: &'a str, commit: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        if repo == &self.repo {
            Box::pin(file(&self.source, path, commit))
        } else {
            self.forge.file(repo, path, commit)
        }
    }

    fn commit<'a>(&'a self, repo: &'a Repo, change: &'a Change) -> Answer<'a, Made> {
        Box::pin(async move {
            if repo == &self.repo {
                return push(&self.source, change).await;
            }
            let what = format!("push to the branch {} of {repo}", change.branch);
            Err(ForgeError::Refused { what, words: format!("commits go to {} alone", self.repo) })
        })
    }

    fn remove_branch<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, ()> {
        self.forge.remove_branch(repo, branch)
    }

    fn range<'a>(&'a self, repo: &'a Repo, from: &'a str, to: &'a str) -> Answer<'a, Range> {
        self.forge.range(repo, from, to)
    }

    fn pull<'a>(&'a self, repo: &'a Repo, head: &'a str) -> Answer<'a, Option<Pull>> {
        self.forge.pull(repo, head)
    }

    fn open<'a>(&'a self, repo: &'a Repo, proposal: &'a Proposal) -> Answer<'a, Pull> {
        self.forge.open(repo, proposal)
    }

    fn update<'a>(&'a self, repo: &'a Repo, number: u64, proposal: &'a Proposal) -> Answer<'a, ()> {
        self.forge.update(repo, number, proposal)
    }

    fn close<'a>(&'a self, repo: &'a Repo, number: u64) -> Answer<'a, ()> {
        self.forge.close(repo, number)
    }

    fn comment<'a>(&'a self, repo: &'a Repo, number: u64, marker: &'a str, body: &'a str) -> Answer<'a, ()> {
        self.forge.comment(repo, number, marker, body)
    }

    fn drop_approvals<'a>(&'a self, repo: &'a Repo, number: u64, why: &'a str) -> Answer<'a, usize> {
        self.forge.drop_approvals(repo, number, why)
    }

    fn auto_merge<'a>(&'a self, repo: &'a Repo, pull: &'a Pull, how: Merge) -> Answer<'a, ()> {
        self.forge.auto_merge(repo, pull, how)
    }

    fn status<'a>(&'a self, repo: &'a Repo, commit: &'a str, status: &'a Status) -> Answer<'a, ()> {
        self.forge.status(repo, commit, status)
    }
}
