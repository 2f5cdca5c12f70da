//! GitLab and Gitea: what is asked of them, and what their answers mean.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use kiban_delivery::forge::fake::{Answers, Heard, Line, Said};
use kiban_delivery::forge::{
    Forge, ForgeError, GitLab, Gitea, Made, Merge, Proposal, Relation, Repo, Standing, Status,
};
use serde_json::{Value, json};

use super::{access, change, oid, token};

const A: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const B: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
const C: &str = "cccccccccccccccccccccccccccccccccccccccc";

/// Answers in the order in which they are asked for: `METHOD /path?query` and what is said.
struct Script(Arc<Mutex<VecDeque<(String, Said)>>>);

impl Answers for Script {
    fn answer(&self, heard: &Heard) -> Said {
        let mut rows = self.0.lock().unwrap();
        let query: Vec<String> = heard.query.iter().map(|(k, v)| format!("{k}={v}")).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        let line = format!("{}{mark}{}", heard.line(), query.join("&"));
        match rows.pop_front() {
            Some((expected, said)) if expected == line => said,
            expected => Said::json(599, &json!({"message": format!("{line}; expected {expected:?}")})),
        }
    }
}

struct Scripted {
    line: Line,
    rows: Arc<Mutex<VecDeque<(String, Said)>>>,
    _folder: tempfile::TempDir,
    access: kiban_delivery::forge::Access,
}

fn scripted(rows: Vec<(&str, u16, Value)>) -> Scripted {
    let rows = rows.into_iter().map(|(line, status, body)| (line.to_owned(), Said::json(status, &body)));
    let rows = Arc::new(Mutex::new(rows.collect::<VecDeque<_>>()));
    let line = Line::new(Script(Arc::clone(&rows)));
    let (folder, token) = token("glpat-1");
    Scripted { access: access(line.clone(), token), line, rows, _folder: folder }
}

impl Scripted {
    fn gitlab(&self) -> GitLab {
        GitLab::new("http://gitlab.example/api/v4", self.access.clone())
    }

    fn gitea(&self) -> Gitea {
        Gitea::new("http://gitea.example/api/v1", self.access.clone())
    }

    /// The bodies of all that was sent, once all that was expected was asked.
    fn sent(&self) -> Vec<Value> {
        assert!(self.rows.lock().unwrap().is_empty(), "{:?}", self.rows.lock().unwrap());
        self.line.heard().iter().filter(|heard| !heard.body.is_empty()).map(Heard::json).collect()
    }
}

const PROJECT: &str = "/api/v4/projects/shop%2Fteam%2Fmanifests";

fn project() -> Repo {
    Repo::new("shop/team/manifests").unwrap()
}

fn proposal() -> Proposal {
    Proposal {
        head: "kiban/prod/orders".into(),
        base: "main".into(),
        title: "orders 2".into(),
        body: "text".into(),
        labels: vec!["kiban".into(), "prod".into()],
    }
}

#[tokio::test(start_paused = true)]
async fn gitlab_takes_a_commit_file_by_file_and_says_what_it_lies_on() {
    let branch = format!("GET {PROJECT}/repository/branches/main");
    let file = format!("HEAD {PROJECT}/repository/files/orders%2Fenv%2Fprod.pin.yaml?ref={A}");
    let commits = format!("POST {PROJECT}/repository/commits");
    for (parent, clean) in [(A, true), (C, false)] {
        let world = scripted(vec![
            (&branch, 200, json!({"commit": {"id": A}})),
            (&file, 200, Value::Null),
            (&commits, 201, json!({"id": B, "parent_ids": [parent]})),
        ]);
        let made =
            world.gitlab().commit(&project(), &change("main", oid(A), Some(oid(A)), "2")).await.unwrap();
        assert_eq!(made, Made::Commit { id: oid(B), clean });
        let sent = &world.sent()[0];
        assert_eq!(sent["actions"][0]["action"], "update");
        assert_eq!(sent["actions"][0]["content"], "Mg==");
        assert_eq!((sent["branch"].as_str(), sent.get("start_sha")), (Some("main"), None));
        assert_eq!(world.line.heard()[0].header("private-token"), "glpat-1");
    }
}

#[tokio::test(start_paused = true)]
async fn gitlab_begins_and_replaces_branches_from_a_commit() {
    let branch = format!("GET {PROJECT}/repository/branches/kiban%2Fprod");
    let file = format!("HEAD {PROJECT}/repository/files/orders%2Fenv%2Fprod.pin.yaml?ref={A}");
    let commits = format!("POST {PROJECT}/repository/commits");
    for (there, force) in [(None, false), (Some(C), true)] {
        let at = match there {
            Some(id) => (branch.as_str(), 200, json!({"commit": {"id": id}})),
            None => (branch.as_str(), 404, json!({"message": "404 Branch Not Found"})),
        };
        let world = scripted(vec![
            at,
            (&file, 404, Value::Null),
            (&commits, 201, json!({"id": B, "parent_ids": [A]})),
        ]);
        let change = change("kiban/prod", oid(A), there.map(oid), "2");
        assert_eq!(
            world.gitlab().commit(&project(), &change).await.unwrap(),
            Made::Commit { id: oid(B), clean: true }
        );
        let sent = &world.sent()[0];
        assert_eq!((sent["start_sha"].as_str(), sent["force"].as_bool()), (Some(A), Some(force)));
        assert_eq!(sent["actions"][0]["action"], "create");
    }
}

#[tokio::test(start_paused = true)]
async fn a_race_on_gitlab_is_told_apart_from_a_refusal() {
    let branch = format!("GET {PROJECT}/repository/branches/main");
    let file = format!("HEAD {PROJECT}/repository/files/orders%2Fenv%2Fprod.pin.yaml?ref={A}");
    let commits = format!("POST {PROJECT}/repository/commits");
    let refused = json!({"message": "The file has changed since you started editing it."});
    let head = |id: &str| json!({"commit": {"id": id}});
    let world = scripted(vec![(&branch, 200, head(B))]);
    let change = change("main", oid(A), Some(oid(A)), "2");
    let made = world.gitlab().commit(&project(), &change).await.unwrap();
    assert_eq!(made, Made::Raced { current: Some(oid(B)) });
    for (later, raced) in [(C, true), (A, false)] {
        let world = scripted(vec![
            (&branch, 200, head(A)),
            (&file, 200, Value::Null),
            (&commits, 400, refused.clone()),
            (&branch, 200, head(later)),
        ]);
        match world.gitlab().commit(&project(), &change).await {
            Ok(Made::Raced { current }) if raced => assert_eq!(current, Some(oid(C))),
            Err(ForgeError::Refused { words, .. }) if !raced => {
                assert_eq!(words, "The file has changed since you started editing it.");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn gitlabs_merge_requests_do_what_pull_requests_do() {
    let list = format!("GET {PROJECT}/merge_requests?state=opened&source_branch=kiban/prod/orders");
    let row = json!({"iid": 7, "title": "t", "description": null, "source_branch": "kiban/prod/orders",
        "target_branch": "main", "sha": A, "labels": [], "web_url": "u"});
    let one = format!("{PROJECT}/merge_requests/7");
    let notes = format!("{one}/notes");
    let marker = "<!-- m -->";
    let world = scripted(vec![
        (&list, 200, json!([])),
        (&format!("POST {PROJECT}/merge_requests"), 201, row.clone()),
        (
            &format!("GET {notes}?per_page=100&page=1"),
            200,
            json!([{"id": 5, "body": format!("{marker}\nold")}]),
        ),
        (&format!("PUT {notes}/5"), 200, json!({})),
        (&format!("GET {one}/approvals"), 200, json!({"approved_by": [{}, {}]})),
        (&format!("PUT {one}/reset_approvals"), 202, Value::Null),
        (&format!("PUT {one}/merge"), 200, json!({})),
        (
            &format!("POST {PROJECT}/statuses/{A}"),
            400,
            json!({"message": "Cannot transition status via :enqueue from :pending"}),
        ),
        (&format!("PUT {one}"), 200, json!({})),
    ]);
    let (forge, repo) = (world.gitlab(), project());
    let pull = forge.open(&repo, &proposal()).await.unwrap();
    assert_eq!((pull.number, pull.commit.as_str()), (7, A));
    forge.comment(&repo, 7, marker, "new").await.unwrap();
    assert_eq!(forge.drop_approvals(&repo, 7, "x").await.unwrap(), 2);
    forge.auto_merge(&repo, &pull, Merge::Squash).await.unwrap();
    let status = Status {
        context: "kiban/prod".into(),
        standing: Standing::Pending,
        description: String::new(),
        link: String::new(),
    };
    forge.status(&repo, A, &status).await.unwrap();
    forge.close(&repo, 7).await.unwrap();
    let sent = world.sent();
    assert_eq!(sent[0]["labels"], "kiban,prod");
    assert_eq!(sent[1]["body"], "<!-- m -->\nnew");
    assert_eq!((sent[2]["sha"].as_str(), sent[2]["squash"].as_bool()), (Some(A), Some(true)));
    assert_eq!(sent[4], json!({"state_event": "close"}));
}

#[tokio::test(start_paused = true)]
async fn gitlab_compares_both_ways() {
    let forth = format!("GET {PROJECT}/repository/compare?from={A}&to={B}");
    let back = format!("GET {PROJECT}/repository/compare?from={B}&to={A}");
    let requests = format!("GET {PROJECT}/repository/commits/{B}/merge_requests");
    let commit = json!({"id": B, "title": "Fix", "author_name": "Ann", "author_email": "ann@shop.example"});
    let merged = json!({"iid": 3, "title": "Fix it", "web_url": "u", "source_branch": "x", "target_branch": "main", "state": "merged"});
    let world = scripted(vec![
        (&forth, 200, json!({"commits": [commit]})),
        (&back, 200, json!({"commits": []})),
        (&requests, 200, json!([merged])),
    ]);
    let range = world.gitlab().range(&project(), A, B).await.unwrap();
    assert_eq!(range.relation, Relation::After);
    assert_eq!(range.pulls()[0].title, "Fix it");
    let world = scripted(vec![(&forth, 404, json!({"message": "404 Not Found"}))]);
    assert_eq!(world.gitlab().range(&project(), A, B).await.unwrap().relation, Relation::Unknown);
}

const REPO: &str = "/api/v1/repos/shop/manifests";

#[tokio::test(start_paused = true)]
async fn gitea_takes_many_files_in_one_commit() {
    let repo = Repo::new("shop/manifests").unwrap();
    let file = format!("GET {REPO}/contents/orders/env/prod.pin.yaml?ref={A}");
    let made = json!({"commit": {"sha": B, "parents": [{"sha": A}]}});
    let world = scripted(vec![
        (&format!("GET {REPO}/branches/main"), 200, json!({"commit": {"id": A, "message": "m"}})),
        (&file, 200, json!({"sha": "blob"})),
        (&format!("POST {REPO}/contents"), 201, made.clone()),
    ]);
    let commit = world.gitea().commit(&repo, &change("main", oid(A), Some(oid(A)), "2")).await.unwrap();
    assert_eq!(commit, Made::Commit { id: oid(B), clean: true });
    let sent = world.sent();
    assert_eq!(
        sent[0]["files"][0],
        json!({"operation": "update", "path": "orders/env/prod.pin.yaml", "sha": "blob", "content": "Mg=="})
    );
    assert_eq!(world.line.heard()[0].header("authorization"), "token glpat-1");

    // A branch that is replaced: by way of one at the base, which goes again.
    let passing = format!("kiban/prod-base-{}", &A[..12]);
    let world = scripted(vec![
        (&format!("GET {REPO}/branches/kiban/prod"), 200, json!({"commit": {"id": C}})),
        (&file, 404, json!({"message": "not found"})),
        (&format!("POST {REPO}/branches"), 201, json!({})),
        (&format!("POST {REPO}/contents"), 201, made),
        (&format!("DELETE {REPO}/branches/{passing}"), 204, Value::Null),
    ]);
    let commit = world.gitea().commit(&repo, &change("kiban/prod", oid(A), Some(oid(C)), "2")).await.unwrap();
    assert_eq!(commit, Made::Commit { id: oid(B), clean: true });
    let sent = world.sent();
    assert_eq!(sent[0], json!({"new_branch_name": passing, "old_ref_name": A}));
    assert_eq!(
        (sent[1]["branch"].as_str(), sent[1]["new_branch"].as_str()),
        (Some(passing.as_str()), Some("kiban/prod"))
    );
    assert_eq!(
        (sent[1]["force_push"].as_bool(), sent[1]["force_overwrite_new_branch"].as_bool()),
        (Some(true), Some(true))
    );
}

#[tokio::test(start_paused = true)]
async fn giteas_pull_requests_do_what_they_do_elsewhere() {
    let repo = Repo::new("shop/manifests").unwrap();
    let list = format!("GET {REPO}/pulls?state=open&limit=50&page=1");
    let row = json!({"number": 7, "title": "t", "body": "", "head": {"ref": "kiban/prod/orders", "sha": A},
        "base": {"ref": "main", "sha": B}, "labels": null, "html_url": "u"});
    let mut row = row;
    row["labels"] = json!([]);
    let reviews = json!([{"id": 1, "state": "APPROVED", "dismissed": false}, {"id": 2, "state": "APPROVED", "dismissed": true}]);
    let world = scripted(vec![
        (&list, 200, json!([])),
        (&format!("POST {REPO}/pulls"), 201, row.clone()),
        (&format!("POST {REPO}/issues/7/labels"), 404, json!({"message": "label not found"})),
        (&format!("GET {REPO}/issues/7/comments?limit=50&page=1"), 200, json!([])),
        (&format!("POST {REPO}/issues/7/comments"), 201, json!({})),
        (&format!("GET {REPO}/pulls/7/reviews?limit=50&page=1"), 200, reviews),
        (&format!("POST {REPO}/pulls/7/reviews/1/dismissals"), 200, json!({})),
        (&format!("POST {REPO}/pulls/7/merge"), 200, Value::Null),
        (&list, 200, json!([row])),
        (&format!("PATCH {REPO}/pulls/7"), 201, json!({})),
    ]);
    let forge = world.gitea();
    let pull = forge.open(&repo, &proposal()).await.unwrap();
    forge.comment(&repo, 7, "<!-- m -->", "new").await.unwrap();
    assert_eq!(forge.drop_approvals(&repo, 7, "x").await.unwrap(), 1);
    forge.auto_merge(&repo, &pull, Merge::Rebase).await.unwrap();
    assert_eq!(forge.pull(&repo, "kiban/prod/orders").await.unwrap().unwrap().number, 7);
    forge.close(&repo, 7).await.unwrap();
    let merge = &world.sent()[4];
    assert_eq!((merge["Do"].as_str(), merge["head_commit_id"].as_str()), (Some("rebase"), Some(A)));
}
