//! Pull requests of GitHub: found, opened, changed, talked below, approved no longer, merged by themselves.

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitHub, is_there_already};
use crate::forge::http::{Ask, escaped};
use crate::forge::{ForgeError, Merge, Proposal, Pull, Repo, cut};

/// Characters that GitHub takes as a text or comment (65,536), less a margin for how it counts.
const MAX_BODY: usize = 65_000;

/// Characters of a title.
const MAX_TITLE: usize = 250;

const ENABLE: &str = "mutation($pull: ID!, $method: PullRequestMergeMethod!, $head: GitObjectID!) { \
    enablePullRequestAutoMerge(input: {pullRequestId: $pull, mergeMethod: $method, expectedHeadOid: $head}) \
    { clientMutationId } }";

#[derive(Deserialize)]
struct Row {
    number: u64,
    node_id: String,
    #[serde(default)]
    html_url: String,
    title: String,
    body: Option<String>,
    head: Side,
    base: Side,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Side {
    #[serde(rename = "ref")]
    name: String,
    sha: String,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Comment {
    id: u64,
    body: Option<String>,
}

#[derive(Deserialize)]
struct Review {
    id: u64,
    state: String,
}

impl From<Row> for Pull {
    fn from(row: Row) -> Self {
        Self {
            number: row.number,
            url: row.html_url,
            title: row.title,
            body: row.body.unwrap_or_default(),
            head: row.head.name,
            commit: row.head.sha,
            base: row.base.name,
            labels: row.labels.into_iter().map(|label| label.name).collect(),
            node: row.node_id,
        }
    }
}

fn text(proposal: &Proposal) -> Value {
    let title: String = proposal.title.lines().next().unwrap_or_default().chars().take(MAX_TITLE).collect();
    json!({"title": title, "body": cut(&proposal.body, MAX_BODY)})
}

impl GitHub {
    pub(super) async fn find_pull(&self, repo: &Repo, head: &str) -> Result<Option<Pull>, ForgeError> {
        let owner = repo.as_str().split('/').next().unwrap_or_default();
        let head_of = escaped(&format!("{owner}:{head}"));
        let path = format!("/repos/{repo}/pulls?state=open&head={head_of}&per_page=10");
        let what = format!("find the pull request of the branch {head} of {repo}");
        let rows: Vec<Row> = self.api.ask(Ask::get(path, what).poll()).await?.good()?.read()?;
        Ok(rows.into_iter().find(|row| row.head.name == head).map(Pull::from))
    }

    /// Opens a pull request. Not tried again blindly: where there was no answer it is looked for first.
    pub(super) async fn propose(&self, repo: &Repo, proposal: &Proposal) -> Result<Pull, ForgeError> {
        let what = format!("open a pull request for the branch {} of {repo}", proposal.head);
        let mut body = text(proposal);
        body["head"] = json!(proposal.head);
        body["base"] = json!(proposal.base);
        // Whoever reviews may not push onto it: the branch is ours.
        body["maintainer_can_modify"] = json!(false);
        let mut failure = None;
        for _ in 0..2 {
            if let Some(pull) = self.find_pull(repo, &proposal.head).await? {
                self.change_pull(repo, pull.number, proposal).await?;
                return Ok(pull);
            }
            let ask = Ask::post(format!("/repos/{repo}/pulls"), body.clone(), &what);
            let error = match self.api.ask(ask).await {
                Ok(reply) if reply.status.is_success() => {
                    let mut pull = Pull::from(reply.read::<Row>()?);
                    self.label(repo, pull.number, &proposal.labels).await?;
                    pull.labels.clone_from(&proposal.labels);
                    return Ok(pull);
                }
                Ok(reply) if is_there_already(&reply) => reply.error(),
                Ok(reply) if reply.status.is_server_error() => reply.error(),
                Ok(reply) => return Err(reply.error()),
                Err(error @ ForgeError::Unanswered { .. }) => error,
                Err(error) => return Err(error),
            };
            failure = Some(error);
        }
        // The last try may have come through too.
        match self.find_pull(repo, &proposal.head).await? {
            Some(pull) => Ok(pull),
            None => Err(failure.unwrap_or(ForgeError::Missing { what })),
        }
    }

    pub(super) async fn change_pull(
        &self,
        repo: &Repo,
        number: u64,
        proposal: &Proposal,
    ) -> Result<(), ForgeError> {
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
        self.api.ask(ask.twice_is_once()).await?.good().map(drop)
    }

    pub(super) async fn say(
        &self,
        repo: &Repo,
        number: u64,
        marker: &str,
        body: &str,
    ) -> Result<(), ForgeError> {
        let what = format!("comment on the pull request {number} of {repo}");
        let text = cut(&format!("{marker}\n{body}"), MAX_BODY);
        let path = format!("/repos/{repo}/issues/{number}/comments");
        for last in [false, true] {
            let (comments, _) = self.api.pages::<Comment>(&format!("{path}?per_page=100"), &what).await?;
            let mine =
                comments.into_iter().find(|c| c.body.as_deref().is_some_and(|b| b.starts_with(marker)));
            if let Some(Comment { id, body }) = mine {
                if body.as_deref() == Some(&text) {
                    return Ok(());
                }
                let ask = Ask::new(Method::PATCH, format!("/repos/{repo}/issues/comments/{id}"), &what);
                return self.api.ask(ask.json(json!({"body": text})).twice_is_once()).await?.good().map(drop);
            }
            // Where there is no answer it may be there all the same: it is looked for before it is said again.
            match self.api.ask(Ask::post(path.as_str(), json!({"body": text}), &what)).await {
                Ok(reply) if reply.status.is_server_error() && !last => {}
                Ok(reply) => return reply.good().map(drop),
                Err(ForgeError::Unanswered { .. }) if !last => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) async fn dismiss(&self, repo: &Repo, number: u64, why: &str) -> Result<usize, ForgeError> {
        let what = format!("drop the approvals of the pull request {number} of {repo}");
        let path = format!("/repos/{repo}/pulls/{number}/reviews");
        let (reviews, _) = self.api.pages::<Review>(&format!("{path}?per_page=100"), &what).await?;
        let mut dropped = 0;
        for review in reviews.into_iter().filter(|review| review.state == "APPROVED") {
            let ask = Ask::new(Method::PUT, format!("{path}/{}/dismissals", review.id), &what);
            self.api.ask(ask.json(json!({"message": why, "event": "DISMISS"}))).await?.good()?;
            dropped += 1;
        }
        Ok(dropped)
    }

    pub(super) async fn merge_when_ready(
        &self,
        repo: &Repo,
        pull: &Pull,
        how: Merge,
    ) -> Result<(), ForgeError> {
        let what = format!("have the pull request {} of {repo} merged by itself", pull.number);
        let method = match how {
            Merge::Merge => "MERGE",
            Merge::Squash => "SQUASH",
            Merge::Rebase => "REBASE",
        };
        let variables = json!({"pull": pull.node, "method": method, "head": pull.commit});
        match self.graphql(ENABLE, variables, &what).await {
            Ok(_) => Ok(()),
            // It waits for nothing, or for checks that nobody demands.
            Err(ForgeError::Refused { words, .. }) if is_ready(&words) => {
                let ask = Ask::new(Method::PUT, format!("/repos/{repo}/pulls/{}/merge", pull.number), what);
                let body = json!({"sha": pull.commit, "merge_method": method.to_ascii_lowercase()});
                self.api.ask(ask.json(body)).await?.good().map(drop)
            }
            Err(error) => Err(error),
        }
    }
}

/// "Pull request Pull request is in clean status", "… unstable status".
fn is_ready(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    words.contains("clean status") || words.contains("unstable status")
}
