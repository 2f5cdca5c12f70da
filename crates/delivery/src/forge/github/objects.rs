//! Commits on GitHub, made of Git's objects over its API.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use kiban_base::clock::Timestamp;
use kiban_git::{Oid, Who};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{GitHub, is_there_already, oid};
use crate::forge::http::{Ask, escaped_path};
use crate::forge::{ForgeError, Made, Repo};
use crate::source::Change;

/// Files up to this size, in bytes, go along with the tree; larger ones, and what is no text, by themselves.
const INLINE: usize = 256 << 10;

/// All that goes along with one tree, in bytes.
const INLINE_ALL: usize = 4 << 20;

/// Moves a branch if it is where it is expected.
const UPDATE_REFS: &str = "mutation($repository: ID!, $updates: [RefUpdate!]!) { \
    updateRefs(input: {repositoryId: $repository, refUpdates: $updates}) { clientMutationId } }";

#[derive(Deserialize)]
struct Named {
    sha: String,
}

#[derive(Deserialize)]
struct CommitObject {
    tree: Named,
}

#[derive(Deserialize)]
struct Reference {
    object: Named,
}

impl GitHub {
    /// Makes a commit and moves its branch there.
    pub(super) async fn make(&self, repo: &Repo, change: &Change) -> Result<Made, ForgeError> {
        let what = format!("commit to the branch {} of {repo}", change.branch);
        let base = change.base;
        let ask = Ask::get(format!("/repos/{repo}/git/commits/{base}"), &what);
        let under: CommitObject = self.api.ask(ask).await?.good()?.read()?;
        let rows = self.rows(repo, change, &what).await?;
        let body = json!({"base_tree": under.tree.sha, "tree": rows});
        // Objects are named by what they hold: made twice they are the same.
        let ask = Ask::post(format!("/repos/{repo}/git/trees"), body, &what).twice_is_once();
        let tree: Named = self.api.ask(ask).await?.good()?.read()?;
        if tree.sha == under.tree.sha {
            return Ok(Made::Nothing);
        }
        let who = who(&change.who);
        let body = json!({
            "message": change.message, "tree": tree.sha, "parents": [base.to_string()], "author": who, "committer": who,
        });
        let ask = Ask::post(format!("/repos/{repo}/git/commits"), body, &what).twice_is_once();
        let commit: Named = self.api.ask(ask).await?.good()?.read()?;
        let id = oid(&commit.sha, &what)?;
        match change.expected {
            None => self.create_ref(repo, &change.branch, id, &what).await,
            Some(expected) if expected == base => self.forward(repo, &change.branch, id, &what).await,
            Some(expected) => self.replace(repo, &change.branch, expected, id, &what).await,
        }
    }

    /// The entries of the tree that a change makes.
    async fn rows(&self, repo: &Repo, change: &Change, what: &str) -> Result<Vec<Value>, ForgeError> {
        let (mut rows, mut inline) = (Vec::with_capacity(change.edits.len()), 0_usize);
        for (path, bytes) in &change.edits {
            let mut row = json!({"path": path, "mode": "100644", "type": "blob"});
            match bytes {
                None => row["sha"] = Value::Null,
                Some(bytes) => match std::str::from_utf8(bytes) {
                    Ok(text) if bytes.len() <= INLINE && inline + bytes.len() <= INLINE_ALL => {
                        inline += bytes.len();
                        row["content"] = json!(text);
                    }
                    _ => row["sha"] = json!(self.blob(repo, bytes, what).await?),
                },
            }
            rows.push(row);
        }
        Ok(rows)
    }

    async fn blob(&self, repo: &Repo, bytes: &[u8], what: &str) -> Result<String, ForgeError> {
        let body = json!({"content": STANDARD.encode(bytes), "encoding": "base64"});
        let ask = Ask::post(format!("/repos/{repo}/git/blobs"), body, what).twice_is_once();
        let named: Named = self.api.ask(ask).await?.good()?.read()?;
        Ok(named.sha)
    }

    async fn create_ref(&self, repo: &Repo, branch: &str, id: Oid, what: &str) -> Result<Made, ForgeError> {
        let body = json!({"ref": format!("refs/heads/{branch}"), "sha": id.to_string()});
        let ask = Ask::post(format!("/repos/{repo}/git/refs"), body, what).twice_is_once();
        let reply = self.api.ask(ask).await?;
        if is_there_already(&reply) {
            return self.made_or_raced(repo, branch, id, what).await;
        }
        reply.good()?;
        Ok(Made::Commit { id, clean: true })
    }

    /// Moves a branch to a commit that comes after it. Refused where it does not: "Update is not a fast forward".
    async fn forward(&self, repo: &Repo, branch: &str, id: Oid, what: &str) -> Result<Made, ForgeError> {
        let path = format!("/repos/{repo}/git/refs/heads/{}", escaped_path(branch));
        let ask = Ask::new(Method::PATCH, path, what).json(json!({"sha": id.to_string(), "force": false}));
        let reply = self.api.ask(ask.twice_is_once()).await?;
        let words = reply.words().to_ascii_lowercase();
        let is_race = words.contains("fast forward") || words.contains("does not exist");
        if reply.status.as_u16() == 422 && is_race {
            return self.made_or_raced(repo, branch, id, what).await;
        }
        reply.good()?;
        Ok(Made::Commit { id, clean: true })
    }

    /// Moves a branch to a commit that does not come after it, if it is where it is expected.
    async fn replace(
        &self,
        repo: &Repo,
        branch: &str,
        expected: Oid,
        id: Oid,
        what: &str,
    ) -> Result<Made, ForgeError> {
        let node = self.node(repo).await?;
        let update = json!({
            "name": format!("refs/heads/{branch}"), "beforeOid": expected.to_string(),
            "afterOid": id.to_string(), "force": true,
        });
        let variables = json!({"repository": node, "updates": [update]});
        match self.graphql(UPDATE_REFS, variables, what).await {
            Ok(_) => Ok(Made::Commit { id, clean: true }),
            Err(error) => {
                // Whatever it says, or whether it answered at all: where the branch is now tells what happened.
                match self.reference(repo, branch, what).await? {
                    Some(current) if current == id => Ok(Made::Commit { id, clean: true }),
                    Some(current) if current == expected => Err(error),
                    current => Ok(Made::Raced { current }),
                }
            }
        }
    }

    async fn made_or_raced(
        &self,
        repo: &Repo,
        branch: &str,
        id: Oid,
        what: &str,
    ) -> Result<Made, ForgeError> {
        // The answer to an earlier try may have been lost.
        match self.reference(repo, branch, what).await? {
            Some(current) if current == id => Ok(Made::Commit { id, clean: true }),
            current => Ok(Made::Raced { current }),
        }
    }

    async fn reference(&self, repo: &Repo, branch: &str, what: &str) -> Result<Option<Oid>, ForgeError> {
        let path = format!("/repos/{repo}/git/ref/heads/{}", escaped_path(branch));
        let Some(reply) = self.api.ask(Ask::get(path, what)).await?.good_or_missing()? else {
            return Ok(None);
        };
        let reference: Reference = reply.read()?;
        oid(&reference.object.sha, what).map(Some)
    }
}

fn who(who: &Who) -> Value {
    json!({"name": who.name, "email": who.email, "date": Timestamp::from_secs(who.seconds).rfc3339()})
}
