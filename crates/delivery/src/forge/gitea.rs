//! Gitea and Forgejo: their REST API of version 1.
//!
//! A commit is one request (`contents` with many files), conditional file by file (`sha` of what is replaced); a
//! branch's head is looked at right before. A branch that is replaced needs Gitea 1.26 or Forgejo 13, which take
//! a commit over one that is there. Where that is not enough, [`super::Pushing`] has commits go by git's push.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use kiban_git::Oid;
use serde::Deserialize;
use serde_json::{Value, json};

use super::github::oid;
use super::http::{Access, Api, Ask, Scheme, escaped, escaped_path};
use super::{
    Answer, CameBy, Can, Forge, ForgeError, Kind, MAX_COMMITS, Made, Merge, Past, Person, Proposal, Pull,
    Range, Relation, Repo, Standing, Status, Tip, cut,
};
use crate::source::Change;

/// Characters of a text or comment.
const MAX_BODY: usize = 65_000;

/// Commits of a range whose pull requests are asked for; the newest ones.
const MAX_ASKED: usize = 50;

/// Requests for that at a time.
const AT_ONCE: usize = 4;

/// Gitea or Forgejo.
#[derive(Debug)]
pub struct Gitea {
    api: Api,
}

#[derive(Deserialize)]
struct Repository {
    default_branch: String,
}

#[derive(Deserialize)]
struct Branch {
    commit: BranchCommit,
}

#[derive(Deserialize)]
struct BranchCommit {
    id: String,
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

#[derive(Deserialize)]
struct Named {
    sha: String,
}

#[derive(Deserialize)]
struct Changed {
    commit: ChangedCommit,
}

#[derive(Deserialize)]
struct ChangedCommit {
    sha: String,
    #[serde(default)]
    parents: Vec<Named>,
}

#[derive(Deserialize)]
struct Compared {
    #[serde(default)]
    total_commits: usize,
    #[serde(default)]
    commits: Vec<Row>,
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

#[derive(Deserialize)]
struct Request {
    number: u64,
    #[serde(default)]
    html_url: String,
    title: String,
    #[serde(default)]
    body: String,
    head: Side,
    base: Side,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    name: String,
    #[serde(default)]
    sha: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct Review {
    id: u64,
    state: String,
    #[serde(default)]
    dismissed: bool,
}

impl From<Request> for Pull {
    fn from(row: Request) -> Self {
        Self {
            number: row.number,
            url: row.html_url,
            title: row.title,
            body: row.body,
            head: row.head.name,
            commit: row.head.sha,
            base: row.base.name,
            labels: row.labels.into_iter().map(|label| label.name).collect(),
            node: String::new(),
        }
    }
}

fn first(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

impl Gitea {
    /// The Gitea whose API is at `url`: `https://gitea.example/api/v1`.
    pub fn new(url: &str, access: Access) -> Self {
        Self { api: Api::new(access, url, Scheme::Token, &[("accept", "application/json")]) }
    }

    async fn look(&self, repo: &Repo, branch: &str) -> Result<Option<Tip>, ForgeError> {
        let what = format!("find the branch {branch} of {repo}");
        let path = format!("/repos/{repo}/branches/{}", escaped_path(branch));
        let Some(reply) = self.api.ask(Ask::get(path, &what).poll()).await?.good_or_missing()? else {
            return Ok(None);
        };
        let commit = reply.read::<Branch>()?.commit;
        let author = commit.author.unwrap_or_default().into();
        Ok(Some(Tip { id: oid(&commit.id, &what)?, author, subject: first(&commit.message) }))
    }

    async fn make(&self, repo: &Repo, change: &Change) -> Result<Made, ForgeError> {
        let what = format!("commit to the branch {} of {repo}", change.branch);
        let base = change.base;
        let current = self.look(repo, &change.branch).await?.map(|tip| tip.id);
        if current != change.expected {
            return Ok(Made::Raced { current });
        }
        let files = self.files(repo, change, base, &what).await?;
        if files.is_empty() {
            return Ok(Made::Nothing);
        }
        let who = json!({"name": change.who.name, "email": change.who.email});
        let mut body = json!({
            "files": files, "message": change.message, "author": who, "committer": who, "branch": change.branch,
        });
        let mut passing = None;
        match change.expected {
            Some(expected) if expected == base => {}
            None => self.branch_off(repo, base, &change.branch, &what).await?,
            Some(_) => {
                // A branch at the base, to take the commit from; it goes again.
                let name = format!("{}-base-{}", change.branch, base.to_hex_with_len(12));
                self.branch_off(repo, base, &name, &what).await?;
                body["branch"] = json!(name);
                body["new_branch"] = json!(change.branch);
                // Gitea's name and Forgejo's for the same.
                body["force_push"] = json!(true);
                body["force_overwrite_new_branch"] = json!(true);
                passing = Some(name);
            }
        }
        let reply = self.api.ask(Ask::post(format!("/repos/{repo}/contents"), body, &what)).await;
        if let Some(name) = passing {
            self.remove(repo, &name).await?;
        }
        let reply = reply?;
        if matches!(reply.status.as_u16(), 409 | 422) {
            let now = self.look(repo, &change.branch).await?.map(|tip| tip.id);
            let moved = now != change.expected && !(change.expected.is_none() && now == Some(base));
            return if moved { Ok(Made::Raced { current: now }) } else { Err(reply.error()) };
        }
        let commit = reply.good()?.read::<Changed>()?.commit;
        let upon = base.to_string();
        let clean = commit.parents.first().is_none_or(|parent| parent.sha == upon);
        Ok(Made::Commit { id: oid(&commit.sha, &what)?, clean })
    }

    /// A new branch at the base of a change.
    async fn branch_off(&self, repo: &Repo, base: Oid, name: &str, what: &str) -> Result<(), ForgeError> {
        let body = json!({"new_branch_name": name, "old_ref_name": base.to_string()});
        let reply = self.api.ask(Ask::post(format!("/repos/{repo}/branches"), body, what)).await?;
        // It is there already: left over, at the same base by its name, or by an answer that was lost.
        if reply.status.as_u16() == 409 {
            let found = self.look(repo, name).await?.map(|tip| tip.id);
            return if found == Some(base) { Ok(()) } else { Err(reply.error()) };
        }
        reply.good().map(drop)
    }

    async fn files(
        &self,
        repo: &Repo,
        change: &Change,
        base: Oid,
        what: &str,
    ) -> Result<Vec<Value>, ForgeError> {
        let mut files = Vec::with_capacity(change.edits.len());
        for (path, bytes) in &change.edits {
            let url = format!("/repos/{repo}/contents/{}?ref={}", escaped_path(path), base);
            let there = self.api.ask(Ask::get(url, what)).await?.good_or_missing()?;
            let sha = there.map(|reply| reply.read::<Named>()).transpose()?.map(|named| named.sha);
            files.push(match (bytes, sha) {
                (None, None) => continue,
                (None, Some(sha)) => json!({"operation": "delete", "path": path, "sha": sha}),
                (Some(bytes), Some(sha)) => {
                    json!({"operation": "update", "path": path, "sha": sha, "content": STANDARD.encode(bytes)})
                }
                (Some(bytes), None) => {
                    json!({"operation": "create", "path": path, "content": STANDARD.encode(bytes)})
                }
            });
        }
        Ok(files)
    }

    async fn remove(&self, repo: &Repo, branch: &str) -> Result<(), ForgeError> {
        let path = format!("/repos/{repo}/branches/{}", escaped_path(branch));
        let ask = Ask::new(Method::DELETE, path, format!("remove the branch {branch} of {repo}"));
        self.api.ask(ask).await?.good_or_missing().map(drop)
    }

    async fn between(&self, repo: &Repo, from: &str, to: &str) -> Result<Option<Compared>, ForgeError> {
        let what = format!("compare {from} and {to} of {repo}");
        let path = format!("/repos/{repo}/compare/{}...{}", escaped(from), escaped(to));
        let Some(reply) = self.api.ask(Ask::get(path, what)).await?.good_or_missing()? else {
            return Ok(None);
        };
        reply.read().map(Some)
    }

    async fn compare(&self, repo: &Repo, from: &str, to: &str) -> Result<Range, ForgeError> {
        let Some(mut forth) = self.between(repo, from, to).await? else { return Ok(Range::UNKNOWN) };
        let Some(back) = self.between(repo, to, from).await? else { return Ok(Range::UNKNOWN) };
        let relation = match (forth.total_commits, back.total_commits) {
            (0, 0) => Relation::Same,
            (_, 0) => Relation::After,
            (0, _) => Relation::Before,
            _ => Relation::Parted,
        };
        let more = forth.total_commits > forth.commits.len() || forth.commits.len() > MAX_COMMITS;
        forth.commits.truncate(MAX_COMMITS);
        let asked = forth.commits.len().min(MAX_ASKED);
        let mut commits = Vec::with_capacity(forth.commits.len());
        for (index, row) in forth.commits.into_iter().enumerate() {
            let author = row.commit.author.unwrap_or_default().into();
            commits.push((
                index < asked,
                Past { id: row.sha, subject: first(&row.commit.message), author, pull: None },
            ));
        }
        let commits = self.with_pulls(repo, commits).await?;
        Ok(Range { relation, commits, more })
    }

    /// Commits, the newest first, as a list with the oldest first and the pull requests that they came by.
    async fn with_pulls(&self, repo: &Repo, commits: Vec<(bool, Past)>) -> Result<Vec<Past>, ForgeError> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        let asked = commits.into_iter().rev().map(|(ask, mut past)| async move {
            if ask {
                past.pull = self.pull_of(repo, &past.id).await?;
            }
            Ok::<_, ForgeError>(past)
        });
        stream::iter(asked).buffered(AT_ONCE).try_collect().await
    }

    async fn pull_of(&self, repo: &Repo, commit: &str) -> Result<Option<CameBy>, ForgeError> {
        let what = format!("find the pull request of the commit {commit} of {repo}");
        let ask = Ask::get(format!("/repos/{repo}/commits/{commit}/pull"), what);
        let Some(reply) = self.api.ask(ask).await?.good_or_missing()? else { return Ok(None) };
        let row: Request = reply.read()?;
        Ok(Some(CameBy { number: row.number, title: row.title, url: row.html_url }))
    }

    async fn find(&self, repo: &Repo, head: &str) -> Result<Option<Pull>, ForgeError> {
        let what = format!("find the pull request of the branch {head} of {repo}");
        let (rows, _) =
            self.api.pages::<Request>(&format!("/repos/{repo}/pulls?state=open&limit=50"), &what).await?;
        Ok(rows.into_iter().find(|row| row.head.name == head).map(Pull::from))
    }

    async fn propose(&self, repo: &Repo, proposal: &Proposal) -> Result<Pull, ForgeError> {
        let what = format!("open a pull request for the branch {} of {repo}", proposal.head);
        if let Some(pull) = self.find(repo, &proposal.head).await? {
            self.change(repo, pull.number, proposal).await?;
            return Ok(pull);
        }
        let mut body = text(proposal);
        body["head"] = json!(proposal.head);
        body["base"] = json!(proposal.base);
        let error = match self.api.ask(Ask::post(format!("/repos/{repo}/pulls"), body, what)).await {
            Ok(reply) if reply.status.is_success() => {
                let pull = Pull::from(reply.read::<Request>()?);
                self.label(repo, pull.number, &proposal.labels).await?;
                return Ok(pull);
            }
            Ok(reply) => reply.error(),
            Err(error) => error,
        };
        match self.find(repo, &proposal.head).await {
            Ok(Some(pull)) => Ok(pull),
            _ => Err(error),
        }
    }

    async fn change(&self, repo: &Repo, number: u64, proposal: &Proposal) -> Result<(), ForgeError> {
        let what = format!("change the pull request {number} of {repo}");
        let ask = Ask::new(Method::PATCH, format!("/repos/{repo}/pulls/{number}"), what);
        self.api.ask(ask.json(text(proposal)).twice_is_once()).await?.good()?;
        self.label(repo, number, &proposal.labels).await
    }

    async fn label(&self, repo: &Repo, number: u64, labels: &[String]) -> Result<(), ForgeError> {
        if labels.is_empty() {
            return Ok(());
        }
        let what = format!("label the pull request {number} of {repo}");
        let ask = Ask::post(format!("/repos/{repo}/issues/{number}/labels"), json!({"labels": labels}), what);
        let reply = self.api.ask(ask.twice_is_once()).await?;
        // Labels must be there before they can be given: without them it is a pull request all the same.
        if matches!(reply.status.as_u16(), 404 | 422) {
            tracing::info!(repository = repo.as_str(), "a label is not there: {}", reply.words());
            return Ok(());
        }
        reply.good().map(drop)
    }

    async fn say(&self, repo: &Repo, number: u64, marker: &str, body: &str) -> Result<(), ForgeError> {
        let what = format!("comment on the pull request {number} of {repo}");
        let path = format!("/repos/{repo}/issues/{number}/comments");
        let text = cut(&format!("{marker}\n{body}"), MAX_BODY);
        let (comments, _) = self.api.pages::<Comment>(&format!("{path}?limit=50"), &what).await?;
        let ask = match comments.into_iter().find(|comment| comment.body.starts_with(marker)) {
            Some(comment) if comment.body == text => return Ok(()),
            Some(Comment { id, .. }) => {
                let ask = Ask::new(Method::PATCH, format!("/repos/{repo}/issues/comments/{id}"), &what);
                ask.json(json!({"body": text})).twice_is_once()
            }
            None => Ask::post(path, json!({"body": text}), &what),
        };
        self.api.ask(ask).await?.good().map(drop)
    }

    async fn dismiss(&self, repo: &Repo, number: u64, why: &str) -> Result<usize, ForgeError> {
        let what = format!("drop the approvals of the pull request {number} of {repo}");
        let path = format!("/repos/{repo}/pulls/{number}/reviews");
        let (reviews, _) = self.api.pages::<Review>(&format!("{path}?limit=50"), &what).await?;
        let mut dropped = 0;
        for review in reviews.into_iter().filter(|review| review.state == "APPROVED" && !review.dismissed) {
            let body = json!({"message": why, "priors": false});
            self.api.ask(Ask::post(format!("{path}/{}/dismissals", review.id), body, &what)).await?.good()?;
            dropped += 1;
        }
        Ok(dropped)
    }
}

fn text(proposal: &Proposal) -> Value {
    let title: String = proposal.title.lines().next().unwrap_or_default().chars().take(250).collect();
    json!({"title": title, "body": cut(&proposal.body, MAX_BODY)})
}

impl Forge for Gitea {
    fn kind(&self) -> Kind {
        Kind::Gitea
    }

    fn can(&self) -> Can {
        Can { pulls: true, statuses: true, drop_approvals: true, auto_merge: true, exact: false }
    }

    fn default_branch<'a>(&'a self, repo: &'a Repo) -> Answer<'a, String> {
        Box::pin(async move {
            let ask = Ask::get(format!("/repos/{repo}"), format!("look at the repository {repo}"));
            Ok(self.api.ask(ask).await?.good()?.read::<Repository>()?.default_branch)
        })
    }

    fn tip<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, Option<Tip>> {
        Box::pin(self.look(repo, branch))
    }

    fn file<'a>(&'a self, repo: &'a Repo, path: &'a str, commit: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let what = format!("read {path} of {repo} at {commit}");
            let url = format!("/repos/{repo}/raw/{}?ref={}", escaped_path(path), escaped(commit));
            let reply = self.api.ask(Ask::get(url, what)).await?.good_or_missing()?;
            Ok(reply.map(|reply| reply.body.to_vec()))
        })
    }

    fn commit<'a>(&'a self, repo: &'a Repo, change: &'a Change) -> Answer<'a, Made> {
        Box::pin(self.make(repo, change))
    }

    fn remove_branch<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, ()> {
        Box::pin(self.remove(repo, branch))
    }

    fn range<'a>(&'a self, repo: &'a Repo, from: &'a str, to: &'a str) -> Answer<'a, Range> {
        Box::pin(self.compare(repo, from, to))
    }

    fn pull<'a>(&'a self, repo: &'a Repo, head: &'a str) -> Answer<'a, Option<Pull>> {
        Box::pin(self.find(repo, head))
    }

    fn open<'a>(&'a self, repo: &'a Repo, proposal: &'a Proposal) -> Answer<'a, Pull> {
        Box::pin(self.propose(repo, proposal))
    }

    fn update<'a>(&'a self, repo: &'a Repo, number: u64, proposal: &'a Proposal) -> Answer<'a, ()> {
        Box::pin(self.change(repo, number, proposal))
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
        Box::pin(async move {
            let what = format!("have the pull request {} of {repo} merged by itself", pull.number);
            let how = match how {
                Merge::Merge => "merge",
                Merge::Squash => "squash",
                Merge::Rebase => "rebase",
            };
            let body = json!({
                "Do": how, "merge_when_checks_succeed": true, "head_commit_id": pull.commit,
                "delete_branch_after_merge": true,
            });
            let path = format!("/repos/{repo}/pulls/{}/merge", pull.number);
            self.api.ask(Ask::post(path, body, what)).await?.good().map(drop)
        })
    }

    fn status<'a>(&'a self, repo: &'a Repo, commit: &'a str, status: &'a Status) -> Answer<'a, ()> {
        Box::pin(async move {
            let state = match status.standing {
                Standing::Pending => "pending",
                Standing::Success => "success",
                Standing::Failure => "failure",
                Standing::Error => "error",
            };
            let what = format!("set the status {} of {commit} of {repo}", status.context);
            let body = super::text::status(status, state);
            let ask = Ask::post(format!("/repos/{repo}/statuses/{}", escaped(commit)), body, what);
            self.api.ask(ask.twice_is_once()).await?.good().map(drop)
        })
    }
}
