//! A forge of a test or demo: answers as GitHub's API does, as far as this program asks it, from memory.
//!
//! What it does not know it answers as GitHub answers what is not there. [`Line`] records what it hears, and
//! makes trouble; [`GitHubFake`] holds what it knows.

mod answers;
mod line;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub use line::{Answers, Heard, Line, Listening, Said, Trouble, unescaped};

/// The files of a commit.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A commit.
#[derive(Clone, Debug)]
pub struct FakeCommit {
    /// Its files.
    pub files: Files,
    /// The commits before it.
    pub parents: Vec<String>,
    /// Its message.
    pub message: String,
    /// Who wrote it: name and e-mail address.
    pub author: (String, String),
}

/// A pull request.
#[derive(Clone, Debug)]
pub struct FakePull {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// Its text.
    pub body: String,
    /// The branch that it is from.
    pub head: String,
    /// The branch that it goes to.
    pub base: String,
    /// `open` or `closed`.
    pub state: String,
    /// Whether it was merged.
    pub merged: bool,
    /// How it is merged by itself, where it is.
    pub auto_merge: Option<String>,
    /// Its labels.
    pub labels: Vec<String>,
    /// Comments: id and text.
    pub comments: Vec<(u64, String)>,
    /// Reviews: id, `APPROVED` and the like.
    pub reviews: Vec<(u64, String)>,
}

/// A repository.
#[derive(Clone, Debug)]
pub struct FakeRepository {
    /// The branch that it has unless another one is named.
    pub default_branch: String,
    /// Commits by id.
    pub commits: BTreeMap<String, FakeCommit>,
    /// Where branches are.
    pub branches: BTreeMap<String, String>,
    /// Pull requests, the oldest first.
    pub pulls: Vec<FakePull>,
    /// Statuses by commit.
    pub statuses: BTreeMap<String, Vec<Value>>,
    /// The pull requests that commits came by.
    pub came_by: BTreeMap<String, u64>,
    trees: BTreeMap<String, Files>,
    blobs: BTreeMap<String, Vec<u8>>,
    next: u64,
}

/// What the fake forge knows.
#[derive(Debug, Default)]
pub struct State {
    /// Repositories by path.
    pub repositories: BTreeMap<String, FakeRepository>,
    /// Statuses that pull requests wait for before they are merged by themselves: without, they are ready.
    pub checks: bool,
}

/// A forge that answers as GitHub does.
#[derive(Clone, Debug)]
pub struct GitHubFake {
    state: Arc<Mutex<State>>,
    token: String,
}

impl GitHubFake {
    /// A forge without repositories that takes this token.
    pub fn new(token: &str) -> Self {
        Self { state: Arc::default(), token: token.to_owned() }
    }

    /// As a server.
    pub fn line(&self) -> Line {
        Line::new(self.clone())
    }

    /// What it knows.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A repository with one commit on `main`. Gives back that commit.
    pub fn repository(&self, path: &str, files: &[(&str, &str)]) -> String {
        let mut repository = FakeRepository {
            default_branch: "main".into(),
            commits: BTreeMap::new(),
            branches: BTreeMap::new(),
            pulls: Vec::new(),
            statuses: BTreeMap::new(),
            came_by: BTreeMap::new(),
            trees: BTreeMap::new(),
            blobs: BTreeMap::new(),
            next: 1,
        };
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
        let first = repository.add(FakeCommit {
            files,
            parents: Vec::new(),
            message: "first".into(),
            author: ("Ann".into(), "ann@shop.example".into()),
        });
        repository.branches.insert("main".into(), first.clone());
        self.state().repositories.insert(path.to_owned(), repository);
        first
    }

    /// Somebody pushes a commit to a branch. Gives back its id; none where there is no such repository or branch.
    pub fn push(
        &self,
        path: &str,
        branch: &str,
        edits: &[(&str, &str)],
        message: &str,
        email: &str,
    ) -> Option<String> {
        let mut state = self.state();
        let repository = state.repositories.get_mut(path)?;
        let head = repository.branches.get(branch)?.clone();
        let mut files = repository.commits.get(&head)?.files.clone();
        files.extend(edits.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())));
        let author = (email.split('@').next().unwrap_or_default().to_owned(), email.to_owned());
        let id = repository.add(FakeCommit { files, parents: vec![head], message: message.into(), author });
        repository.branches.insert(branch.to_owned(), id.clone());
        Some(id)
    }

    /// Merges a pull request as one commit. Gives back that; none where it cannot be merged.
    pub fn merge(&self, path: &str, number: u64) -> Option<String> {
        self.state().repositories.get_mut(path)?.merge(number)
    }
}

impl FakeRepository {
    /// Adds a commit, and gives back its id.
    pub fn add(&mut self, commit: FakeCommit) -> String {
        let tree = self.tree(commit.files.clone());
        let author = json!([commit.author.0, commit.author.1]);
        let id = digest(json!([tree, commit.parents, commit.message, author]).to_string().as_bytes());
        self.commits.insert(id.clone(), commit);
        id
    }

    /// A pull request.
    pub fn pull(&self, number: u64) -> Option<&FakePull> {
        self.pulls.iter().find(|pull| pull.number == number)
    }

    fn pull_mut(&mut self, number: u64) -> Option<&mut FakePull> {
        self.pulls.iter_mut().find(|pull| pull.number == number)
    }

    fn tree(&mut self, files: Files) -> String {
        let rows: Vec<(&String, String)> = files.iter().map(|(path, bytes)| (path, digest(bytes))).collect();
        let id = digest(json!(["tree", rows]).to_string().as_bytes());
        self.trees.insert(id.clone(), files);
        id
    }

    fn tree_of(&self, commit: &FakeCommit) -> String {
        let rows: Vec<(&String, String)> =
            commit.files.iter().map(|(path, bytes)| (path, digest(bytes))).collect();
        digest(json!(["tree", rows]).to_string().as_bytes())
    }

    fn number(&mut self) -> u64 {
        let number = self.next;
        self.next += 1;
        number
    }

    /// A commit's id: of a branch, or itself.
    fn resolve(&self, name: &str) -> Option<String> {
        let branch = name.strip_prefix("heads/").unwrap_or(name);
        self.branches
            .get(branch)
            .cloned()
            .or_else(|| self.commits.contains_key(name).then(|| name.to_owned()))
    }

    /// All that is before a commit, itself among it, the newest first.
    fn before(&self, id: &str) -> Vec<String> {
        let (mut seen, mut open) = (Vec::new(), vec![id.to_owned()]);
        while let Some(id) = open.pop() {
            if !seen.contains(&id) {
                open.extend(self.commits.get(&id).map(|c| c.parents.clone()).unwrap_or_default());
                seen.push(id);
            }
        }
        seen
    }

    fn is_forward(&self, from: &str, to: &str) -> bool {
        self.before(to).iter().any(|id| id == from)
    }

    fn merge(&mut self, number: u64) -> Option<String> {
        let pull = self.pull(number).filter(|pull| pull.state == "open")?.clone();
        let (base, head) = (self.branches.get(&pull.base)?.clone(), self.branches.get(&pull.head)?.clone());
        let apart = self.before(&head).into_iter().find(|id| self.is_forward(id, &base))?;
        let (old, new) = (self.commits.get(&apart)?.files.clone(), self.commits.get(&head)?.files.clone());
        let mut files = self.commits.get(&base)?.files.clone();
        for path in old.keys().chain(new.keys()) {
            if old.get(path) != new.get(path) {
                match new.get(path) {
                    Some(bytes) => files.insert(path.clone(), bytes.clone()),
                    None => files.remove(path),
                };
            }
        }
        let message = format!("{} (#{number})", pull.title);
        let author = ("Ann".to_owned(), "ann@shop.example".to_owned());
        let id = self.add(FakeCommit { files, parents: vec![base], message, author });
        self.branches.insert(pull.base, id.clone());
        self.came_by.insert(id.clone(), number);
        let pull = self.pull_mut(number)?;
        (pull.state, pull.merged) = ("closed".into(), true);
        Some(id)
    }
}

/// An id as Git's are: 40 hexadecimal digits that tell contents apart.
fn digest(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().take(20).map(|byte| format!("{byte:02x}")).collect()
}
