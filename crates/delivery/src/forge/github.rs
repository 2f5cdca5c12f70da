//! GitHub, and GitHub Enterprise: its REST API of version 2022-11-28, and two mutations of GraphQL.
//!
//! Commits are made of Git's own objects (`git/trees`, `git/commits`), then the branch is moved. Against
//! `createCommitOnBranch` of GraphQL this makes branches that are new or replaced in one way, keeps the author
//! that is asked for, and is described by the published OpenAPI document that tests hold it against. A branch is
//! moved without force, so that a commit made upon its old head is refused once it has another one; a branch that
//! is replaced is moved by `updateRefs`, the one call that takes the head that it must have had.

mod objects;
mod pulls;

use std::sync::{Mutex, PoisonError};

use http::Method;
use kiban_git::Oid;
use serde::Deserialize;
use serde_json::{Value, json};

use super::http::{Access, Api, Ask, Reply, Scheme, escaped, escaped_path};
use super::{
    Answer, CameBy, Can, Forge, ForgeError, Kind, MAX_COMMITS, Made, Merge, Past, Person, Proposal, Pull,
    Range, Relation, Repo, Standing, Status, Tip,
};
use crate::source::Change;

/// The API of github.com.
pub const API: &str = "https://api.github.com";

const HEADERS: [(&str, &str); 2] =
    [("accept", "application/vnd.github+json"), ("x-github-api-version", "2022-11-28")];

/// Commits of a range whose pull requests are asked for; the newest ones.
const MAX_ASKED: usize = 50;

/// Requests for that at a time.
const AT_ONCE: usize = 4;

/// GitHub.
#[derive(Debug)]
pub struct GitHub {
    api: Api,
    graphql: String,
    /// The inner name of the repository that was asked for last.
    node: Mutex<Option<(Repo, String)>>,
}

impl GitHub {
    /// The GitHub whose API is at `url`: [`API`], or `https://github.example/api/v3` of GitHub Enterprise.
    pub fn new(url: &str, access: Access) -> Self {
        let api = Api::new(access, url, Scheme::Bearer, &HEADERS);
        let graphql = match api.base().strip_suffix("/api/v3") {
            Some(host) => format!("{host}/api/graphql"),
            None => format!("{}/graphql", api.base()),
        };
        Self { api, graphql, node: Mutex::default() }
    }

    /// A request of GraphQL; errors in a good answer are refusals.
    async fn graphql(&self, query: &str, variables: Value, what: &str) -> Result<Value, ForgeError> {
        let body = json!({"query": query, "variables": variables});
        let reply = self.api.ask(Ask::post(self.graphql.clone(), body, what)).await?.good()?;
        let mut answer: Value = reply.read()?;
        if answer.get("errors").and_then(Value::as_array).is_some_and(|errors| !errors.is_empty()) {
            return Err(ForgeError::Refused { what: what.to_owned(), words: reply.words() });
        }
        Ok(answer.get_mut("data").map(Value::take).unwrap_or_default())
    }

    async fn repository(&self, repo: &Repo) -> Result<Repository, ForgeError> {
        let ask = Ask::get(format!("/repos/{repo}"), format!("look at the repository {repo}"));
        let repository: Repository = self.api.ask(ask).await?.good()?.read()?;
        let mut node = self.node.lock().unwrap_or_else(PoisonError::into_inner);
        *node = Some((repo.clone(), repository.node_id.clone()));
        Ok(repository)
    }

    async fn node(&self, repo: &Repo) -> Result<String, ForgeError> {
        let known = self.node.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some((name, node)) if &name == repo => Ok(node),
            _ => Ok(self.repository(repo).await?.node_id),
        }
    }

    async fn look(&self, repo: &Repo, branch: &str) -> Result<Option<Tip>, ForgeError> {
        let what = format!("find the branch {branch} of {repo}");
        let path = format!("/repos/{repo}/commits/heads/{}", escaped_path(branch));
        let reply = self.api.ask(Ask::get(path, &what).poll()).await?;
        // A branch that is not there is "no commit found" here.
        if reply.status.as_u16() == 422 || reply.status.as_u16() == 409 {
            return Ok(None);
        }
        let Some(reply) = reply.good_or_missing()? else { return Ok(None) };
        let row: Row = reply.read()?;
        let id = oid(&row.sha, &what)?;
        Ok(Some(Tip {
            id,
            author: row.commit.author.unwrap_or_default().into(),
            subject: first(&row.commit.message),
        }))
    }

    async fn read(&self, repo: &Repo, path: &str, commit: &str) -> Result<Option<Vec<u8>>, ForgeError> {
        let what = format!("read {path} of {repo} at {commit}");
        let url = format!("/repos/{repo}/contents/{}?ref={}", escaped_path(path), escaped(commit));
        let ask = Ask::get(url, &what).accept("application/vnd.github.raw+json");
        let Some(reply) = self.api.ask(ask).await?.good_or_missing()? else { return Ok(None) };
        // A folder is listed instead.
        if reply.header("content-type").is_some_and(|kind| !kind.contains("raw")) {
            return Err(ForgeError::Refused { what, words: "it is no file".into() });
        }
        Ok(Some(reply.body.to_vec()))
    }

    async fn compare(&self, repo: &Repo, from: &str, to: &str) -> Result<Range, ForgeError> {
        let what = format!("compare {from} and {to} of {repo}");
        let mut range = Range::UNKNOWN;
        for page in 1..=3 {
            let between = format!("{}...{}", escaped(from), escaped(to));
            let path = format!("/repos/{repo}/compare/{between}?per_page=100&page={page}");
            let Some(reply) = self.api.ask(Ask::get(path, &what)).await?.good_or_missing()? else {
                return Ok(Range::UNKNOWN);
            };
            let compared: Compared = reply.read()?;
            range.relation = match compared.status.as_str() {
                "identical" => Relation::Same,
                "ahead" => Relation::After,
                "behind" => Relation::Before,
                "diverged" => Relation::Parted,
                _ => Relation::Unknown,
            };
            range.commits.extend(compared.commits.into_iter().map(Row::past));
            range.more = compared.total_commits > range.commits.len();
            if !range.more || !reply.has_more() {
                break;
            }
        }
        range.more |= range.commits.len() > MAX_COMMITS;
        range.commits.truncate(MAX_COMMITS);
        self.pulls_of(repo, &mut range).await?;
        Ok(range)
    }

    /// The pull requests that commits came by.
    async fn pulls_of(&self, repo: &Repo, range: &mut Range) -> Result<(), ForgeError> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        let skip = range.commits.len().saturating_sub(MAX_ASKED);
        let ids: Vec<String> = range.commits.iter().skip(skip).map(|commit| commit.id.clone()).collect();
        let asked = ids.into_iter().map(|id| self.pull_of(repo, id));
        let found: Vec<Option<CameBy>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        for (commit, pull) in range.commits.iter_mut().skip(skip).zip(found) {
            commit.pull = pull;
        }
        Ok(())
    }

    async fn pull_of(&self, repo: &Repo, commit: String) -> Result<Option<CameBy>, ForgeError> {
        let what = format!("find the pull request of the commit {commit} of {repo}");
        let ask = Ask::get(format!("/repos/{repo}/commits/{commit}/pulls?per_page=10"), what);
        let Some(reply) = self.api.ask(ask).await?.good_or_missing()? else { return Ok(None) };
        let rows: Vec<ShortPull> = reply.read()?;
        let merged = rows.iter().position(|row| row.merged_at.is_some());
        let row = rows.into_iter().nth(merged.unwrap_or(0));
        Ok(row.map(|row| CameBy { number: row.number, title: row.title, url: row.html_url }))
    }
}

#[derive(Deserialize)]
struct Repository {
    node_id: String,
    default_branch: String,
}

#[derive(Deserialize)]
struct Row {
    sha: String,
    commit: Inner,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(default)]
    message: String,
    author: Option<Author>,
}

#[derive(Default, Deserialize)]
struct Author {
    #[serde(default)]
    name: String,
    #[serde(default)]
    email: String,
}

impl From<Author> for Person {
    fn from(author: Author) -> Self {
        Self { name: author.name, email: author.email }
    }
}

impl Row {
    fn past(self) -> Past {
        let author = self.commit.author.unwrap_or_default().into();
        Past { id: self.sha, subject: first(&self.commit.message), author, pull: None }
    }
}

#[derive(Deserialize)]
struct Compared {
    status: String,
    #[serde(default)]
    total_commits: usize,
    #[serde(default)]
    commits: Vec<Row>,
}

#[derive(Deserialize)]
struct ShortPull {
    number: u64,
    title: String,
    #[serde(default)]
    html_url: String,
    merged_at: Option<String>,
}

fn first(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

/// A commit's id as a forge writes it.
pub(super) fn oid(text: &str, what: &str) -> Result<Oid, ForgeError> {
    kiban_git::id_from_hex(text.as_bytes()).ok_or_else(|| ForgeError::Unreadable {
        what: what.to_owned(),
        why: format!("{:?} is no commit's id", text.chars().take(80).collect::<String>()),
    })
}

impl Forge for GitHub {
    fn kind(&self) -> Kind {
        Kind::Github
    }

    fn can(&self) -> Can {
        Can { pulls: true, statuses: true, drop_approvals: true, auto_merge: true, exact: true }
    }

    fn default_branch<'a>(&'a self, repo: &'a Repo) -> Answer<'a, String> {
        Box::pin(async move { Ok(self.repository(repo).await?.default_branch) })
    }

    fn tip<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, Option<Tip>> {
        Box::pin(self.look(repo, branch))
    }

    fn file<'a>(&'a self, repo: &'a Repo, path: &'a str, commit: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(self.read(repo, path, commit))
    }

    fn commit<'a>(&'a self, repo: &'a Repo, change: &'a Change) -> Answer<'a, Made> {
        Box::pin(self.make(repo, change))
    }

    fn remove_branch<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let path = format!("/repos/{repo}/git/refs/heads/{}", escaped_path(branch));
            let what = format!("remove the branch {branch} of {repo}");
            let reply = self.api.ask(Ask::new(Method::DELETE, path, what)).await?;
            // "Reference does not exist".
            if reply.status.as_u16() == 422 || reply.status.as_u16() == 404 {
                return Ok(());
            }
            reply.good().map(drop)
        })
    }

    fn range<'a>(&'a self, repo: &'a Repo, from: &'a str, to: &'a str) -> Answer<'a, Range> {
        Box::pin(self.compare(repo, from, to))
    }

    fn pull<'a>(&'a self, repo: &'a Repo, head: &'a str) -> Answer<'a, Option<Pull>> {
        Box::pin(self.find_pull(repo, head))
    }

    fn open<'a>(&'a self, repo: &'a Repo, proposal: &'a Proposal) -> Answer<'a, Pull> {
        Box::pin(self.propose(repo, proposal))
    }

    fn update<'a>(&'a self, repo: &'a Repo, number: u64, proposal: &'a Proposal) -> Answer<'a, ()> {
        Box::pin(self.change_pull(repo, number, proposal))
    }

    fn close<'a>(&'a self, repo: &'a Repo, number: u64) -> Answer<'a, ()> {
        Box::pin(async move {
            let what = format!("close the pull request {number} of {repo}");
            let ask = Ask::new(Method::PATCH, format!("/repos/{repo}/pulls/{number}"), what);
            self.api.ask(ask.json(json!({"state": "closed"})).twice_is_once()).await?.good().map(drop)
        })
    }

    fn comment<'a>(&'a self, repo: &'a Repo, number: u64, marker: &'a str, body: &'a str) -> Answer<'a, ()> {
        Box::pin(self.say(repo, number, marker, body))
    }

    fn drop_approvals<'a>(&'a self, repo: &'a Repo, number: u64, why: &'a str) -> Answer<'a, usize> {
        Box::pin(self.dismiss(repo, number, why))
    }

    fn auto_merge<'a>(&'a self, repo: &'a Repo, pull: &'a Pull, how: Merge) -> Answer<'a, ()> {
        Box::pin(self.merge_when_ready(repo, pull, how))
    }

    fn status<'a>(&'a self, repo: &'a Repo, commit: &'a str, status: &'a Status) -> Answer<'a, ()> {
        Box::pin(async move {
            let state = match status.standing {
                Standing::Pending => "pending",
                Standing::Success => "success",
                Standing::Failure => "failure",
                Standing::Error => "error",
            };
            let body = super::text::status(status, state);
            let what = format!("set the status {} of {commit} of {repo}", status.context);
            let ask = Ask::post(format!("/repos/{repo}/statuses/{}", escaped(commit)), body, what);
            self.api.ask(ask.twice_is_once()).await?.good().map(drop)
        })
    }
}

/// Whether a refusal is about something that is there already.
fn is_there_already(reply: &Reply) -> bool {
    reply.status.as_u16() == 422 && reply.words().to_ascii_lowercase().contains("already exists")
}
