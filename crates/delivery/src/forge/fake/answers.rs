//! What the fake forge answers, request by request: statuses, words and fields are GitHub's.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};

use super::{
    Answers, FakeCommit, FakePull, FakeRepository, GitHubFake, Heard, Said, State, digest, unescaped,
};

impl Answers for GitHubFake {
    fn answer(&self, heard: &Heard) -> Said {
        if heard.header("authorization") != format!("Bearer {}", self.token) {
            return problem(401, "Bad credentials");
        }
        let mut state = self.state();
        let path = heard.path.strip_prefix("/api/v3").unwrap_or(&heard.path);
        if path == "/graphql" || path == "/api/graphql" {
            return graphql(&mut state, &heard.json());
        }
        let parts: Vec<String> = path.trim_start_matches('/').split('/').map(unescaped).collect();
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let [first, owner, name, rest @ ..] = parts.as_slice() else { return missing() };
        let path = format!("{owner}/{name}");
        match state.repositories.get_mut(&path) {
            Some(repository) if *first == "repos" => {
                let said = answer(repository, &path, &heard.method, rest, heard);
                unchanged(heard, said)
            }
            _ => missing(),
        }
    }
}

fn problem(status: u16, message: &str) -> Said {
    let page = "https://docs.github.com/rest";
    Said::json(status, &json!({"message": message, "documentation_url": page, "status": status.to_string()}))
}

fn missing() -> Said {
    problem(404, "Not Found")
}

fn invalid(message: &str) -> Said {
    let errors = json!([{"resource": "PullRequest", "code": "custom", "message": message}]);
    Said::json(422, &json!({"message": "Validation Failed", "errors": errors, "status": "422"}))
}

/// An answer with its tag; without a body where the client has it already.
fn unchanged(heard: &Heard, said: Said) -> Said {
    if heard.method != Method::GET || said.status != 200 {
        return said;
    }
    let tag = format!("\"{}\"", digest(&said.body));
    if heard.header("if-none-match") == tag {
        return Said { status: 304, headers: Vec::new(), body: bytes::Bytes::new() }.with("etag", tag);
    }
    said.with("etag", tag)
}

fn answer(repo: &mut FakeRepository, path: &str, method: &Method, rest: &[&str], heard: &Heard) -> Said {
    let body = heard.json();
    match (method.as_str(), rest) {
        ("GET", []) => Said::json(
            200,
            &json!({"node_id": format!("R_{path}"), "full_name": path, "default_branch": repo.default_branch}),
        ),
        ("GET", ["commits", "heads", branch @ ..]) => branch_head(repo, &branch.join("/")),
        ("GET", ["commits", id, "pulls"]) => pulls_of(repo, path, id),
        ("GET", ["contents", file @ ..]) => contents(repo, &file.join("/"), heard.query("ref")),
        ("GET", ["compare", between]) => compare(repo, between, heard),
        ("GET", ["git", "commits", id]) => match repo.commits.get(*id) {
            Some(commit) => Said::json(200, &json!({"sha": id, "tree": {"sha": repo.tree_of(commit)}})),
            None => missing(),
        },
        ("POST", ["git", "blobs"]) => make_blob(repo, &body),
        ("POST", ["git", "trees"]) => make_tree(repo, &body),
        ("POST", ["git", "commits"]) => make_commit(repo, &body),
        ("GET", ["git", "ref", "heads", branch @ ..]) => reference(repo, &branch.join("/"), 200),
        ("POST", ["git", "refs"]) => create_ref(repo, &body),
        ("PATCH", ["git", "refs", "heads", branch @ ..]) => move_ref(repo, &branch.join("/"), &body),
        ("DELETE", ["git", "refs", "heads", branch @ ..]) => match repo.branches.remove(&branch.join("/")) {
            Some(_) => Said { status: 204, headers: Vec::new(), body: bytes::Bytes::new() },
            None => problem(422, "Reference does not exist"),
        },
        ("POST", ["statuses", id]) => {
            repo.statuses.entry((*id).to_owned()).or_default().push(body.clone());
            Said::json(201, &body)
        }
        (_, ["pulls" | "issues", ..]) => about_pulls(repo, path, method, rest, heard),
        _ => missing(),
    }
}

fn about_pulls(repo: &mut FakeRepository, path: &str, method: &Method, rest: &[&str], heard: &Heard) -> Said {
    let body = heard.json();
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let number = |part: &str| part.parse::<u64>().unwrap_or(0);
    match (method.as_str(), rest) {
        ("GET", ["pulls"]) => list_pulls(repo, path, heard),
        ("POST", ["pulls"]) => open_pull(repo, path, &body),
        ("PATCH", ["pulls", n]) => change_pull(repo, path, number(n), &body),
        ("GET", ["pulls", n, "reviews"]) => match repo.pull(number(n)) {
            Some(pull) => {
                let row = |(id, state): &(u64, String)| json!({"id": id, "state": state});
                page(pull.reviews.iter().map(row).collect(), heard)
            }
            None => missing(),
        },
        ("PUT", ["pulls", n, "reviews", id, "dismissals"]) => {
            let review =
                repo.pull_mut(number(n)).and_then(|p| p.reviews.iter_mut().find(|r| r.0 == number(id)));
            match review {
                Some(review) => {
                    review.1 = "DISMISSED".into();
                    Said::json(200, &json!({"id": review.0, "state": review.1}))
                }
                None => missing(),
            }
        }
        ("PUT", ["pulls", n, "merge"]) => match repo.merge(number(n)) {
            Some(sha) => Said::json(200, &json!({"sha": sha, "merged": true})),
            None => problem(405, "Pull Request is not mergeable"),
        },
        ("POST", ["issues", n, "labels"]) => match repo.pull_mut(number(n)) {
            Some(pull) => {
                let labels = body.get("labels").and_then(Value::as_array).cloned().unwrap_or_default();
                let labels = labels.iter().filter_map(Value::as_str).map(str::to_owned);
                let new: Vec<String> = labels.filter(|label| !pull.labels.contains(label)).collect();
                pull.labels.extend(new);
                Said::json(200, &json!([]))
            }
            None => missing(),
        },
        ("GET", ["issues", n, "comments"]) => match repo.pull(number(n)) {
            Some(pull) => {
                page(pull.comments.iter().map(|(id, body)| json!({"id": id, "body": body})).collect(), heard)
            }
            None => missing(),
        },
        ("POST", ["issues", n, "comments"]) => {
            let id = repo.number();
            match repo.pull_mut(number(n)) {
                Some(pull) => {
                    pull.comments.push((id, text("body")));
                    Said::json(201, &json!({"id": id, "body": text("body")}))
                }
                None => missing(),
            }
        }
        ("PATCH", ["issues", "comments", id]) => {
            let mut comments = repo.pulls.iter_mut().flat_map(|pull| pull.comments.iter_mut());
            match comments.find(|comment| comment.0 == number(id)) {
                Some(comment) => {
                    comment.1 = text("body");
                    Said::json(200, &json!({"id": comment.0, "body": comment.1}))
                }
                None => missing(),
            }
        }
        _ => missing(),
    }
}

/// A page of a list, with the link to the next one.
fn page(rows: Vec<Value>, heard: &Heard) -> Said {
    let number = |name: &str, default: usize| heard.query(name).parse::<usize>().unwrap_or(default).max(1);
    let (size, page) = (number("per_page", 30).min(100), number("page", 1));
    let more = rows.len() > page * size;
    let shown: Vec<Value> = rows.into_iter().skip((page - 1) * size).take(size).collect();
    let said = Said::json(200, &Value::Array(shown));
    if more {
        said.with("link", format!("<https://api.github.com/next?page={}>; rel=\"next\"", page + 1))
    } else {
        said
    }
}

fn row(id: &str, commit: &FakeCommit) -> Value {
    let author = json!({"name": commit.author.0, "email": commit.author.1, "date": "2026-11-24T10:00:00Z"});
    json!({"sha": id, "commit": {"message": commit.message, "author": author, "committer": author}})
}

fn branch_head(repo: &FakeRepository, branch: &str) -> Said {
    let found = repo.branches.get(branch).and_then(|id| repo.commits.get(id).map(|commit| (id, commit)));
    match found {
        Some((id, commit)) => Said::json(200, &row(id, commit)),
        None => problem(422, &format!("No commit found for SHA: heads/{branch}")),
    }
}

fn contents(repo: &FakeRepository, path: &str, at: &str) -> Said {
    let commit = repo.resolve(at).and_then(|id| repo.commits.get(&id).cloned());
    let Some(commit) = commit else { return problem(404, &format!("No commit found for the ref {at}")) };
    match commit.files.get(path) {
        Some(bytes) => {
            let said = Said { status: 200, headers: Vec::new(), body: bytes.clone().into() };
            said.with("content-type", "application/vnd.github.raw+json; charset=utf-8")
        }
        None if commit.files.keys().any(|file| file.starts_with(&format!("{path}/"))) => {
            Said::json(200, &json!([]))
        }
        None => missing(),
    }
}

fn compare(repo: &FakeRepository, between: &str, heard: &Heard) -> Said {
    let ends = between.split_once("...").map(|(from, to)| (repo.resolve(from), repo.resolve(to)));
    let Some((Some(from), Some(to))) = ends else { return missing() };
    let (old, new) = (repo.before(&from), repo.before(&to));
    let mut ahead: Vec<&String> = new.iter().filter(|id| !old.contains(id)).collect();
    let behind = old.iter().filter(|id| !new.contains(id)).count();
    ahead.reverse();
    let status = match (ahead.len(), behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let total = ahead.len();
    let rows = ahead.into_iter().filter_map(|id| Some(row(id, repo.commits.get(id)?))).collect();
    let mut said = page(rows, heard);
    let shown: Value = serde_json::from_slice(&said.body).unwrap_or_default();
    let body = json!({
        "status": status, "ahead_by": total, "behind_by": behind, "total_commits": total, "commits": shown,
    });
    said.body = body.to_string().into();
    said
}

fn pulls_of(repo: &FakeRepository, path: &str, id: &str) -> Said {
    let pull = repo.came_by.get(id).and_then(|number| repo.pull(*number));
    Said::json(200, &Value::Array(pull.map(|pull| pull_row(repo, path, pull)).into_iter().collect()))
}

fn make_blob(repo: &mut FakeRepository, body: &Value) -> Said {
    let content = body.get("content").and_then(Value::as_str).unwrap_or_default();
    let bytes = match body.get("encoding").and_then(Value::as_str) {
        Some("base64") => STANDARD.decode(content).ok(),
        _ => Some(content.as_bytes().to_vec()),
    };
    let Some(bytes) = bytes else { return problem(422, "content is not valid Base64") };
    let sha = digest(&bytes);
    repo.blobs.insert(sha.clone(), bytes);
    Said::json(201, &json!({"sha": sha}))
}

fn make_tree(repo: &mut FakeRepository, body: &Value) -> Said {
    let base = body.get("base_tree").and_then(Value::as_str).unwrap_or_default();
    let Some(mut files) = repo.trees.get(base).cloned() else {
        return problem(404, "base_tree is not a tree");
    };
    for entry in body.get("tree").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let path = text("path").unwrap_or_default().to_owned();
        let bytes = match (text("content"), text("sha")) {
            (Some(content), _) => Some(content.as_bytes().to_vec()),
            (None, Some(sha)) => match repo.blobs.get(sha) {
                Some(bytes) => Some(bytes.clone()),
                None => return problem(422, &format!("tree.sha {sha} is not a valid blob")),
            },
            (None, None) => None,
        };
        match bytes {
            Some(bytes) => {
                files.insert(path, bytes);
            }
            None if files.remove(&path).is_none() => return problem(422, "GitRPC::BadObjectState"),
            None => {}
        }
    }
    let sha = repo.tree(files);
    Said::json(201, &json!({"sha": sha}))
}

fn make_commit(repo: &mut FakeRepository, body: &Value) -> Said {
    let tree = body.get("tree").and_then(Value::as_str).unwrap_or_default();
    let Some(files) = repo.trees.get(tree).cloned() else { return problem(422, "Tree SHA does not exist") };
    let parents = body.get("parents").and_then(Value::as_array).cloned().unwrap_or_default();
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let sha = repo.add(FakeCommit {
        files,
        parents: parents.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        message: text("/message"),
        author: (text("/author/name"), text("/author/email")),
    });
    Said::json(201, &json!({"sha": sha}))
}

fn reference(repo: &FakeRepository, branch: &str, status: u16) -> Said {
    match repo.branches.get(branch) {
        Some(sha) => Said::json(
            status,
            &json!({"ref": format!("refs/heads/{branch}"), "object": {"type": "commit", "sha": sha}}),
        ),
        None => missing(),
    }
}

fn create_ref(repo: &mut FakeRepository, body: &Value) -> Said {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let Some(branch) = text("ref").strip_prefix("refs/heads/") else {
        return problem(422, "Reference name must start with 'refs/'.");
    };
    if repo.branches.contains_key(branch) {
        return problem(422, "Reference already exists");
    }
    if !repo.commits.contains_key(text("sha")) {
        return problem(422, "Object does not exist");
    }
    repo.branches.insert(branch.to_owned(), text("sha").to_owned());
    reference(repo, branch, 201)
}

fn move_ref(repo: &mut FakeRepository, branch: &str, body: &Value) -> Said {
    let sha = body.get("sha").and_then(Value::as_str).unwrap_or_default();
    let force = body.get("force").and_then(Value::as_bool).unwrap_or(false);
    match repo.branches.get(branch) {
        None => problem(422, "Reference does not exist"),
        Some(_) if !repo.commits.contains_key(sha) => problem(422, "Object does not exist"),
        Some(old) if !force && !repo.is_forward(old, sha) => problem(422, "Update is not a fast forward"),
        Some(_) => {
            repo.branches.insert(branch.to_owned(), sha.to_owned());
            reference(repo, branch, 200)
        }
    }
}

fn pull_row(repo: &FakeRepository, path: &str, pull: &FakePull) -> Value {
    let side =
        |branch: &str| json!({"ref": branch, "sha": repo.branches.get(branch).cloned().unwrap_or_default()});
    let labels: Vec<Value> = pull.labels.iter().map(|name| json!({"name": name})).collect();
    json!({
        "number": pull.number, "node_id": format!("PR_{path}#{}", pull.number), "title": pull.title,
        "body": pull.body, "state": pull.state, "html_url": format!("https://github.example/{path}/pull/{}", pull.number),
        "head": side(&pull.head), "base": side(&pull.base), "labels": labels,
        "merged_at": pull.merged.then_some("2026-11-24T10:00:00Z"),
    })
}

fn list_pulls(repo: &FakeRepository, path: &str, heard: &Heard) -> Said {
    let head = heard.query("head").split_once(':').map(|(_, branch)| branch.to_owned());
    let state = heard.query("state");
    let is_asked = |pull: &&FakePull| {
        head.as_ref().is_none_or(|head| head == &pull.head) && (state == "all" || state == pull.state)
    };
    page(repo.pulls.iter().rev().filter(is_asked).map(|pull| pull_row(repo, path, pull)).collect(), heard)
}

fn open_pull(repo: &mut FakeRepository, path: &str, body: &Value) -> Said {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (head, base) = (text("head"), text("base"));
    for (field, branch) in [("head", &head), ("base", &base)] {
        if !repo.branches.contains_key(branch) {
            return Said::json(
                422,
                &json!({"message": "Validation Failed", "errors": [{"resource": "PullRequest", "field": field, "code": "invalid"}]}),
            );
        }
    }
    if repo.pulls.iter().any(|pull| pull.state == "open" && pull.head == head && pull.base == base) {
        let owner = path.split('/').next().unwrap_or_default();
        return invalid(&format!("A pull request already exists for {owner}:{head}."));
    }
    let pull = FakePull {
        number: repo.number(),
        title: text("title"),
        body: text("body"),
        head,
        base,
        state: "open".into(),
        merged: false,
        auto_merge: None,
        labels: Vec::new(),
        comments: Vec::new(),
        reviews: Vec::new(),
    };
    let row = pull_row(repo, path, &pull);
    repo.pulls.push(pull);
    Said::json(201, &row)
}

fn change_pull(repo: &mut FakeRepository, path: &str, number: u64, body: &Value) -> Said {
    let Some(pull) = repo.pull_mut(number) else { return missing() };
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    pull.title = text("title").unwrap_or_else(|| pull.title.clone());
    pull.body = text("body").unwrap_or_else(|| pull.body.clone());
    pull.state = text("state").unwrap_or_else(|| pull.state.clone());
    let pull = pull.clone();
    Said::json(200, &pull_row(repo, path, &pull))
}

fn graphql(state: &mut State, body: &Value) -> Said {
    let query = body.get("query").and_then(Value::as_str).unwrap_or_default();
    let variables = body.get("variables").cloned().unwrap_or_default();
    let done = |name: &str| Said::json(200, &json!({"data": {name: {"clientMutationId": null}}}));
    let refused = |message: &str| {
        Said::json(200, &json!({"data": null, "errors": [{"type": "UNPROCESSABLE", "message": message}]}))
    };
    if query.contains("updateRefs(") {
        let id = variables.pointer("/repository").and_then(Value::as_str).unwrap_or_default();
        let Some(repo) = id.strip_prefix("R_").and_then(|path| state.repositories.get_mut(path)) else {
            return refused("Could not resolve to a node");
        };
        for update in variables.pointer("/updates").and_then(Value::as_array).into_iter().flatten() {
            let text = |key: &str| update.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
            let branch = text("name").trim_start_matches("refs/heads/").to_owned();
            if repo.branches.get(&branch) != Some(&text("beforeOid")) {
                return refused(&format!(
                    "Reference cannot be updated: is at another object than {}",
                    text("beforeOid")
                ));
            }
            repo.branches.insert(branch, text("afterOid"));
        }
        return done("updateRefs");
    }
    if query.contains("enablePullRequestAutoMerge(") {
        let id = variables.pointer("/pull").and_then(Value::as_str).unwrap_or_default();
        let waits = state.checks;
        let found = id.strip_prefix("PR_").and_then(|id| id.split_once('#'));
        let pull = found.and_then(|(path, n)| state.repositories.get_mut(path)?.pull_mut(n.parse().ok()?));
        let Some(pull) = pull else { return refused("Could not resolve to a node") };
        if !waits {
            return refused("Pull request Pull request is in clean status");
        }
        pull.auto_merge = variables.pointer("/method").and_then(Value::as_str).map(str::to_owned);
        return done("enablePullRequestAutoMerge");
    }
    refused("Parse error")
}
