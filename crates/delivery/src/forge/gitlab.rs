//! GitLab: its REST API of version 4.
//!
//! A commit is one request (`repository/commits`), conditional file by file (`last_commit_id`); a branch's head
//! is looked at right before, and the made commit's parent tells what it was really laid on. Where that is not
//! exact enough, [`super::Pushing`] has commits go by git's push.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use kiban_git::Oid;
use serde::Deserialize;
use serde_json::{Value, json};

use super::github::oid;
use super::http::{Access, Api, Ask, Scheme, escaped};
use super::{
    Answer, CameBy, Can, Forge, ForgeError, Kind, MAX_COMMITS, Made, Merge, Past, Person, Proposal, Pull,
    Range, Relation, Repo, Standing, Status, Tip, cut,
};
use crate::source::Change;

/// The API of gitlab.com.
pub const API: &str = "https://gitlab.com/api/v4";

/// Characters that GitLab takes as a description or note (1,048,576), less a margin.
const MAX_BODY: usize = 1_000_000;

/// Commits of a range whose merge requests are asked for; the newest ones.
const MAX_ASKED: usize = 50;

/// Requests for that at a time.
const AT_ONCE: usize = 4;

/// GitLab.
#[derive(Debug)]
pub struct GitLab {
    api: Api,
}

#[derive(Deserialize)]
struct Branch {
    commit: Commit,
}

#[derive(Deserialize)]
struct Commit {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    author_name: String,
    #[serde(default)]
    author_email: String,
    #[serde(default)]
    parent_ids: Vec<String>,
}

impl Commit {
    fn author(&self) -> Person {
        Person { name: self.author_name.clone(), email: self.author_email.clone() }
    }
}

#[derive(Deserialize)]
struct Project {
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct Compared {
    #[serde(default)]
    commits: Vec<Commit>,
    #[serde(default)]
    compare_timeout: bool,
}

#[derive(Deserialize)]
struct MergeRequest {
    iid: u64,
    #[serde(default)]
    web_url: String,
    title: String,
    description: Option<String>,
    source_branch: String,
    target_branch: String,
    sha: Option<String>,
    state: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
}

impl From<MergeRequest> for Pull {
    fn from(row: MergeRequest) -> Self {
        Self {
            number: row.iid,
            url: row.web_url,
            title: row.title,
            body: row.description.unwrap_or_default(),
            head: row.source_branch,
            commit: row.sha.unwrap_or_default(),
            base: row.target_branch,
            labels: row.labels,
            node: String::new(),
        }
    }
}

#[derive(Deserialize)]
struct Note {
    id: u64,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct Approvals {
    #[serde(default)]
    approved_by: Vec<Value>,
}

fn at(repo: &Repo) -> String {
    format!("/projects/{}", escaped(repo.as_str()))
}

impl GitLab {
    /// The GitLab whose API is at `url`: [`API`], or `https://gitlab.example/api/v4`.
    pub fn new(url: &str, access: Access) -> Self {
        Self { api: Api::new(access, url, Scheme::Private, &[("accept", "application/json")]) }
    }

    async fn look(&self, repo: &Repo, branch: &str) -> Result<Option<Tip>, ForgeError> {
        let what = format!("find the branch {branch} of {repo}");
        let path = format!("{}/repository/branches/{}", at(repo), escaped(branch));
        let Some(reply) = self.api.ask(Ask::get(path, &what).poll()).await?.good_or_missing()? else {
            return Ok(None);
        };
        let commit = reply.read::<Branch>()?.commit;
        Ok(Some(Tip { id: oid(&commit.id, &what)?, author: commit.author(), subject: commit.title }))
    }

    async fn make(&self, repo: &Repo, change: &Change) -> Result<Made, ForgeError> {
        let what = format!("commit to the branch {} of {repo}", change.branch);
        let base = change.base;
        let current = self.look(repo, &change.branch).await?.map(|tip| tip.id);
        if current != change.expected {
            return Ok(Made::Raced { current });
        }
        let actions = self.actions(repo, change, base, &what).await?;
        if actions.is_empty() {
            return Ok(Made::Nothing);
        }
        let mut body = json!({
            "branch": change.branch, "commit_message": change.message, "actions": actions,
            "author_name": change.who.name, "author_email": change.who.email,
        });
        if change.expected != Some(base) {
            body["start_sha"] = json!(base.to_string());
            body["force"] = json!(change.expected.is_some());
        }
        let reply = self.api.ask(Ask::post(format!("{}/repository/commits", at(repo)), body, &what)).await?;
        if reply.status.as_u16() == 400 {
            // A file or the branch changed meanwhile: where the branch is now tells.
            let now = self.look(repo, &change.branch).await?.map(|tip| tip.id);
            return if now == change.expected {
                Err(reply.error())
            } else {
                Ok(Made::Raced { current: now })
            };
        }
        let commit: Commit = reply.good()?.read()?;
        let clean = commit.parent_ids.first().is_none_or(|parent| parent == &base.to_string());
        Ok(Made::Commit { id: oid(&commit.id, &what)?, clean })
    }

    async fn actions(
        &self,
        repo: &Repo,
        change: &Change,
        base: Oid,
        what: &str,
    ) -> Result<Vec<Value>, ForgeError> {
        let mut actions = Vec::with_capacity(change.edits.len());
        for (path, bytes) in &change.edits {
            let url = format!("{}/repository/files/{}?ref={base}", at(repo), escaped(path));
            let there = self.api.ask(Ask::new(Method::HEAD, url, what)).await?.good_or_missing()?;
            let last =
                there.as_ref().and_then(|reply| reply.header("x-gitlab-last-commit-id").map(str::to_owned));
            let mut action = match (bytes, &there) {
                (None, None) => continue,
                (None, Some(_)) => json!({"action": "delete", "file_path": path}),
                (Some(bytes), there) => json!({
                    "action": if there.is_some() { "update" } else { "create" },
                    "file_path": path, "content": STANDARD.encode(bytes), "encoding": "base64",
                }),
            };
            if let Some(last) = last {
                action["last_commit_id"] = json!(last);
            }
            actions.push(action);
        }
        Ok(actions)
    }

    async fn compare(&self, repo: &Repo, from: &str, to: &str) -> Result<Range, ForgeError> {
        let Some(forth) = self.between(repo, from, to).await? else { return Ok(Range::UNKNOWN) };
        let Some(back) = self.between(repo, to, from).await? else { return Ok(Range::UNKNOWN) };
        let relation = match (forth.commits.is_empty(), back.commits.is_empty()) {
            _ if forth.compare_timeout || back.compare_timeout => Relation::Unknown,
            (true, true) => Relation::Same,
            (false, true) => Relation::After,
            (true, false) => Relation::Before,
            (false, false) => Relation::Parted,
        };
        let past = |commit: Commit| Past {
            author: commit.author(),
            id: commit.id,
            subject: commit.title,
            pull: None,
        };
        let more = forth.compare_timeout || forth.commits.len() > MAX_COMMITS;
        let mut commits: Vec<Past> = forth.commits.into_iter().map(past).collect();
        commits.truncate(MAX_COMMITS);
        self.requests_of(repo, &mut commits).await?;
        Ok(Range { relation, commits, more })
    }

    /// The commits that `to` has and `from` has not, the oldest first.
    async fn between(&self, repo: &Repo, from: &str, to: &str) -> Result<Option<Compared>, ForgeError> {
        let what = format!("compare {from} and {to} of {repo}");
        let path = format!("{}/repository/compare?from={}&to={}", at(repo), escaped(from), escaped(to));
        let Some(reply) = self.api.ask(Ask::get(path, what)).await?.good_or_missing()? else {
            return Ok(None);
        };
        reply.read().map(Some)
    }

    async fn requests_of(&self, repo: &Repo, commits: &mut [Past]) -> Result<(), ForgeError> {
        use futures_util::{StreamExt, TryStreamExt, stream};
        let skip = commits.len().saturating_sub(MAX_ASKED);
        let ids: Vec<String> = commits.iter().skip(skip).map(|commit| commit.id.clone()).collect();
        let asked = ids.into_iter().map(|id| self.request_of(repo, id));
        let found: Vec<Option<CameBy>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        for (commit, pull) in commits.iter_mut().skip(skip).zip(found) {
            commit.pull = pull;
        }
        Ok(())
    }

    async fn request_of(&self, repo: &Repo, commit: String) -> Result<Option<CameBy>, ForgeError> {
        let what = format!("find the merge request of the commit {commit} of {repo}");
        let path = format!("{}/repository/commits/{commit}/merge_requests", at(repo));
        let Some(reply) = self.api.ask(Ask::get(path, what)).await?.good_or_missing()? else {
            return Ok(None);
        };
        let rows: Vec<MergeRequest> = reply.read()?;
        let merged = rows.iter().position(|row| row.state.as_deref() == Some("merged")).unwrap_or(0);
        let row = rows.into_iter().nth(merged);
        Ok(row.map(|row| CameBy { number: row.iid, title: row.title, url: row.web_url }))
    }

    async fn find(&self, repo: &Repo, head: &str) -> Result<Option<Pull>, ForgeError> {
        let what = format!("find the merge request of the branch {head} of {repo}");
        let path = format!("{}/merge_requests?state=opened&source_branch={}", at(repo), escaped(head));
        let rows: Vec<MergeRequest> = self.api.ask(Ask::get(path, what).poll()).await?.good()?.read()?;
        Ok(rows.into_iter().find(|row| row.source_branch == head).map(Pull::from))
    }

    async fn propose(&self, repo: &Repo, proposal: &Proposal) -> Result<Pull, ForgeError> {
        let what = format!("open a merge request for the branch {} of {repo}", proposal.head);
        if let Some(pull) = self.find(repo, &proposal.head).await? {
            self.change(repo, pull.number, proposal).await?;
            return Ok(pull);
        }
        let body = json!({
            "source_branch": proposal.head, "target_branch": proposal.base, "title": title(proposal),
            "description": cut(&proposal.body, MAX_BODY), "labels": proposal.labels.join(","),
            "remove_source_branch": true,
        });
        let answer = self.api.ask(Ask::post(format!("{}/merge_requests", at(repo)), body, what)).await;
        let error = match answer {
            Ok(reply) if reply.status.is_success() => return Ok(reply.read::<MergeRequest>()?.into()),
            Ok(reply) => reply.error(),
            Err(error) => error,
        };
        // "Another open merge request already exists", or an answer that was lost.
        match self.find(repo, &proposal.head).await {
            Ok(Some(pull)) => Ok(pull),
            _ => Err(error),
        }
    }

    async fn change(&self, repo: &Repo, number: u64, proposal: &Proposal) -> Result<(), ForgeError> {
        let what = format!("change the merge request {number} of {repo}");
        let body = json!({
            "title": title(proposal), "description": cut(&proposal.body, MAX_BODY),
            "add_labels": proposal.labels.join(","),
        });
        let ask = Ask::new(Method::PUT, format!("{}/merge_requests/{number}", at(repo)), what).json(body);
        self.api.ask(ask).await?.good().map(drop)
    }

    async fn say(&self, repo: &Repo, number: u64, marker: &str, body: &str) -> Result<(), ForgeError> {
        let what = format!("comment on the merge request {number} of {repo}");
        let path = format!("{}/merge_requests/{number}/notes", at(repo));
        let text = cut(&format!("{marker}\n{body}"), MAX_BODY);
        let (notes, _) = self.api.pages::<Note>(&format!("{path}?per_page=100"), &what).await?;
        let ask = match notes.into_iter().find(|note| note.body.starts_with(marker)) {
            Some(note) if note.body == text => return Ok(()),
            Some(note) => {
                Ask::new(Method::PUT, format!("{path}/{}", note.id), &what).json(json!({"body": text}))
            }
            None => Ask::post(path, json!({"body": text}), &what),
        };
        self.api.ask(ask).await?.good().map(drop)
    }

    async fn reset(&self, repo: &Repo, number: u64) -> Result<usize, ForgeError> {
        let what = format!("drop the approvals of the merge request {number} of {repo}");
        let path = format!("{}/merge_requests/{number}", at(repo));
        let ask = Ask::get(format!("{path}/approvals"), &what);
        let approvals: Approvals = self.api.ask(ask).await?.good()?.read()?;
        let count = approvals.approved_by.len();
        if count > 0 {
            let ask = Ask::new(Method::PUT, format!("{path}/reset_approvals"), &what);
            self.api.ask(ask).await?.good()?;
        }
        Ok(count)
    }

    async fn set(&self, repo: &Repo, commit: &str, status: &Status) -> Result<(), ForgeError> {
        let state = match status.standing {
            Standing::Pending => "pending",
            Standing::Success => "success",
            Standing::Failure | Standing::Error => "failed",
        };
        let what = format!("set the status {} of {commit} of {repo}", status.context);
        let body = super::text::status(status, state);
        let ask = Ask::post(format!("{}/statuses/{}", at(repo), escaped(commit)), body, what).twice_is_once();
        let reply = self.api.ask(ask).await?;
        // It has that state already.
        if reply.status.as_u16() == 400 && reply.words().contains("Cannot transition status") {
            return Ok(());
        }
        reply.good().map(drop)
    }
}

fn title(proposal: &Proposal) -> String {
    proposal.title.lines().next().unwrap_or_default().chars().take(250).collect()
}

impl Forge for GitLab {
    fn kind(&self) -> Kind {
        Kind::Gitlab
    }

    fn can(&self) -> Can {
        Can { pulls: true, statuses: true, drop_approvals: true, auto_merge: true, exact: false }
    }

    fn default_branch<'a>(&'a self, repo: &'a Repo) -> Answer<'a, String> {
        Box::pin(async move {
            let what = format!("look at the project {repo}");
            let project: Project = self.api.ask(Ask::get(at(repo), &what)).await?.good()?.read()?;
            project.default_branch.ok_or(ForgeError::Missing { what })
        })
    }

    fn tip<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, Option<Tip>> {
        Box::pin(self.look(repo, branch))
    }

    fn file<'a>(&'a self, repo: &'a Repo, path: &'a str, commit: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let what = format!("read {path} of {repo} at {commit}");
            let url = format!("{}/repository/files/{}/raw?ref={}", at(repo), escaped(path), escaped(commit));
            let reply = self.api.ask(Ask::get(url, what)).await?.good_or_missing()?;
            Ok(reply.map(|reply| reply.body.to_vec()))
        })
    }

    fn commit<'a>(&'a self, repo: &'a Repo, change: &'a Change) -> Answer<'a, Made> {
        Box::pin(self.make(repo, change))
    }

    fn remove_branch<'a>(&'a self, repo: &'a Repo, branch: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let path = format!("{}/repository/branches/{}", at(repo), escaped(branch));
            let ask = Ask::new(Method::DELETE, path, format!("remove the branch {branch} of {repo}"));
            self.api.ask(ask).await?.good_or_missing().map(drop)
        })
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
            let what = format!("close the merge request {number} of {repo}");
            let ask = Ask::new(Method::PUT, format!("{}/merge_requests/{number}", at(repo)), what);
            self.api.ask(ask.json(json!({"state_event": "close"}))).await?.good().map(drop)
        })
    }

    fn comment<'a>(&'a self, repo: &'a Repo, number: u64, marker: &'a str, body: &'a str) -> Answer<'a, ()> {
        Box::pin(self.say(repo, number, marker, body))
    }

    fn drop_approvals<'a>(&'a self, repo: &'a Repo, number: u64, _: &'a str) -> Answer<'a, usize> {
        Box::pin(self.reset(repo, number))
    }

    fn auto_merge<'a>(&'a self, repo: &'a Repo, pull: &'a Pull, how: Merge) -> Answer<'a, ()> {
        Box::pin(async move {
            let what = format!("have the merge request {} of {repo} merged by itself", pull.number);
            // Older ones than 17.11 know the second name alone. Rebasing is the project's own setting.
            let body = json!({
                "auto_merge": true, "merge_when_pipeline_succeeds": true, "sha": pull.commit,
                "squash": how == Merge::Squash, "should_remove_source_branch": true,
            });
            let path = format!("{}/merge_requests/{}/merge", at(repo), pull.number);
            self.api.ask(Ask::new(Method::PUT, path, what).json(body)).await?.good().map(drop)
        })
    }

    fn status<'a>(&'a self, repo: &'a Repo, commit: &'a str, status: &'a Status) -> Answer<'a, ()> {
        Box::pin(self.set(repo, commit, status))
    }
}
