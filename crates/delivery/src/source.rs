//! A manifest repository that is followed: heads of branches, what lies at a commit, and commits made upon it.
//!
//! Git's work takes disks and networks: it is done on threads that may wait.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use kiban_git::http::Client;
use kiban_git::{
    Address, Ancestry, Cancel, Commit, Credential, Depth, Edit, Fetch, Hold, Limits, Local, Log, NewCommit,
    Oid, Push, Pushed, Remote, SshKey, Store, Task, Tidy, Want, Who,
};
use tokio::runtime::Handle;

use crate::content::git::{GitContent, Place};
use crate::revert::Edits;

/// The largest object that is read, in bytes.
const MAX_OBJECT: u64 = 64 << 20;

/// How much history comes with a branch at first; more comes when a question needs it.
const HISTORY: u32 = 50;

/// How far history is deepened, step by step, to tell which of two commits is older.
const DEEPER: [u32; 2] = [500, 10_000];

/// Contents that are remembered: those of the last commits that were asked for.
const REMEMBERED: usize = 8;

/// The credential in a file: a token, or `user:token`.
///
/// # Errors
/// A file that cannot be read, or holds none.
pub fn credential(path: &Path) -> Result<Credential, SourceError> {
    Ok(Credential::from_file(path, None)?)
}

/// Why a repository cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Git's own reasons.
    #[error(transparent)]
    Git(#[from] kiban_git::Error),
    /// A branch that is not there.
    #[error("{repository} has no branch {branch:?}")]
    NoBranch {
        /// The repository.
        repository: String,
        /// The branch.
        branch: String,
    },
    /// A text that is no commit's id.
    #[error("{0:?} is no commit's id: give all of its 40 hexadecimal digits")]
    NoCommit(String),
    /// The process ends.
    #[error("stopped")]
    Stopped,
}

/// A commit, and what people want to know of it.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its files.
    pub content: Arc<GitContent>,
    /// The commit itself.
    pub commit: Commit,
    /// Keeps what it holds while the store is tidied.
    _hold: Hold,
}

impl Head {
    /// Its id.
    pub fn id(&self) -> Oid {
        self.content.id()
    }
}

/// A commit that is to be made and pushed.
#[derive(Clone, Debug)]
pub struct Change {
    /// The branch that it goes to, which is at `base`.
    pub branch: String,
    /// The commit that it is made upon.
    pub base: Oid,
    /// Where the branch is expected; none where it is to be new.
    pub expected: Option<Oid>,
    /// What it changes.
    pub edits: Edits,
    /// Its message.
    pub message: String,
    /// Who makes it, and when.
    pub who: Who,
}

/// How to get at a repository.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// The credential.
    pub credential: Option<Credential>,
    /// Certificates that are trusted besides the machine's, in PEM.
    pub ca: Option<Vec<u8>>,
    /// The key that commits are signed with.
    pub key: Option<Arc<SshKey>>,
    /// Take `http://` beyond this machine too.
    pub allow_http: bool,
}

/// A manifest repository.
#[derive(Clone, Debug)]
pub struct Source {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    remote: Remote,
    local: Option<Arc<Local>>,
    store: Arc<Store>,
    key: Option<Arc<SshKey>>,
    cancel: Cancel,
    heads: Mutex<VecDeque<Head>>,
}

impl Source {
    /// The repository at `address`, fetched into the folder `data`, or into a temporary one. Asks nothing yet.
    ///
    /// # Errors
    /// An address that is none, a folder that cannot be used.
    pub fn open(
        address: &str,
        access: Access,
        data: Option<&Path>,
        handle: Handle,
    ) -> Result<Self, SourceError> {
        let address = Address::parse(address, access.allow_http)?;
        let http = Arc::new(Client::new(handle, access.ca.as_deref())?);
        let remote = Remote::new(address, access.credential, http, MAX_OBJECT)?;
        let store = Arc::new(match data {
            Some(path) => Store::open(path, MAX_OBJECT)?,
            None => Store::temporary(MAX_OBJECT)?,
        });
        Ok(Self::new(remote, store, access.key, None))
    }

    /// The repository of this machine that `dir` lies in.
    ///
    /// # Errors
    /// Where it lies in none.
    pub fn local(dir: &Path) -> Result<Self, SourceError> {
        let local = Arc::new(Local::discover(dir, MAX_OBJECT)?);
        let remote = Remote::folder(Local::discover(dir, MAX_OBJECT)?)?;
        // A checkout is called like what it was cloned from: others follow the same repository under that name.
        let origin = local.remote_address("origin").ok().flatten().map(|address| called(&address));
        let mut source = Self::new(remote, Arc::new(Store::temporary(MAX_OBJECT)?), None, Some(local));
        if let (Some(origin), Some(inner)) = (origin, Arc::get_mut(&mut source.inner)) {
            inner.name = origin;
        }
        Ok(source)
    }

    fn new(remote: Remote, store: Arc<Store>, key: Option<Arc<SshKey>>, local: Option<Arc<Local>>) -> Self {
        let name = remote.name().to_owned();
        let (cancel, heads) = (Cancel::default(), Mutex::default());
        Self { inner: Arc::new(Inner { name, remote, local, store, key, cancel, heads }) }
    }

    /// The commit that is checked out, where this is a repository of this machine with a checkout.
    ///
    /// # Errors
    /// A repository that cannot be read.
    pub async fn checked_out(&self) -> Result<Option<String>, SourceError> {
        let Some(local) = self.inner.local.clone() else { return Ok(None) };
        self.work(move |_, _| {
            if local.is_bare() {
                return Ok(None);
            }
            Ok(local.resolve("HEAD")?.map(|id| id.to_string()))
        })
        .await
    }

    /// What people call it: its address, without credentials.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Ends what is under way.
    pub fn stop(&self) {
        self.inner.cancel.cancel();
    }

    /// Where a branch is: the default one where none is named. One small request.
    ///
    /// # Errors
    /// No such branch, or no answer.
    pub async fn tip(&self, branch: Option<&str>) -> Result<(String, Oid), SourceError> {
        let branch = branch.map(str::to_owned);
        self.work(move |inner, task| {
            let branch = match branch {
                Some(branch) => branch,
                None => {
                    let head = inner.remote.default_branch(task)?.unwrap_or_else(|| "main".into());
                    head.strip_prefix("refs/heads/").unwrap_or(&head).to_owned()
                }
            };
            match inner.remote.find(&format!("refs/heads/{branch}"), task)? {
                Some(id) => Ok((branch, id)),
                None => Err(SourceError::NoBranch { repository: inner.name.clone(), branch }),
            }
        })
        .await
    }

    /// The commit at the tip of a branch, fetched.
    ///
    /// # Errors
    /// As [`tip`](Self::tip), and what cannot be fetched.
    pub async fn head(&self, branch: &str) -> Result<Head, SourceError> {
        let branch = branch.to_owned();
        self.work(move |inner, task| {
            let fetch = Fetch {
                want: Want::Ref(format!("refs/heads/{branch}")),
                depth: Depth::Follow(HISTORY),
                into: Some(format!("refs/heads/{branch}")),
            };
            let fetched = inner.remote.fetch(&inner.store, &fetch, task)?;
            let head = inner.head(fetched.commit)?;
            // What nobody looks at any more goes, once it is much.
            if let Some(tidied) = inner.store.tidy(Tidy::default(), task)? {
                tracing::info!(repository = inner.name, ?tidied, "the store was tidied");
            }
            Ok(head)
        })
        .await
    }

    /// A commit by its id, fetched where it is not there.
    ///
    /// # Errors
    /// No commit's id, or one that the repository does not give.
    pub async fn at(&self, commit: &str) -> Result<Head, SourceError> {
        let Some(id) = kiban_git::id_from_hex(commit.as_bytes()) else {
            return Err(SourceError::NoCommit(commit.to_owned()));
        };
        if let Some(head) = self.inner.remembered(id) {
            return Ok(head);
        }
        self.work(move |inner, task| {
            if !inner.store.objects().contains(&id)? {
                let fetch = Fetch { want: Want::Commit(id), depth: Depth::Exactly(1), into: None };
                inner.remote.fetch(&inner.store, &fetch, task)?;
            }
            inner.head(id)
        })
        .await
    }

    /// Whether `old` comes before `new`, or is the same; unknown where history does not tell.
    ///
    /// # Errors
    /// What cannot be fetched.
    pub async fn is_ancestor(&self, old: Oid, new: Oid) -> Result<Ancestry, SourceError> {
        self.work(move |inner, task| {
            for depth in [None].into_iter().chain(DEEPER.map(Some)) {
                if let Some(depth) = depth {
                    let fetch = Fetch { want: Want::Commit(new), depth: Depth::Exactly(depth), into: None };
                    inner.remote.fetch(&inner.store, &fetch, task)?;
                }
                let found = inner.store.objects().is_ancestor(old, new, task)?;
                if found != Ancestry::Unknown {
                    return Ok(found);
                }
            }
            Ok(Ancestry::Unknown)
        })
        .await
    }

    /// The commits that `to` has and `from` has not, the newest first, at most `limit`; and how `to` lies to `from`.
    ///
    /// # Errors
    /// What cannot be fetched.
    pub async fn log(&self, from: Oid, to: Oid, limit: usize) -> Result<(Log, [Ancestry; 2]), SourceError> {
        let onward = self.is_ancestor(from, to).await?;
        let back = if onward == Ancestry::Yes { Ancestry::No } else { self.is_ancestor(to, from).await? };
        self.work(move |inner, task| {
            let log = inner.store.objects().log(Some(from), to, "", limit, task)?;
            Ok((log, [onward, back]))
        })
        .await
    }

    /// Removes a branch, if it is there.
    ///
    /// # Errors
    /// What the other side refuses.
    pub async fn remove(&self, branch: &str) -> Result<Pushed, SourceError> {
        let name = format!("refs/heads/{branch}");
        self.work(move |inner, task| {
            let Some(at) = inner.remote.find(&name, task)? else { return Ok(Pushed::Done) };
            let push = Push { name, expected: Some(at), new: None };
            Ok(inner.remote.push(&inner.store, &push, task)?)
        })
        .await
    }

    /// Makes a commit and pushes it, if the branch is still where it is expected. None where it changes nothing.
    ///
    /// # Errors
    /// What cannot be written or pushed.
    pub async fn push(&self, change: Change) -> Result<Option<(Oid, Pushed)>, SourceError> {
        let Change { branch, base, expected, edits, message, who } = change;
        let new = NewCommit {
            base: Some(base),
            edits: as_edits(edits),
            author: who.clone(),
            committer: who,
            message,
        };
        self.work(move |inner, task| inner.push(&branch, expected, &new, task)).await
    }

    /// Makes the first commit of a branch that is not there yet, with these files.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub async fn begin(
        &self,
        branch: &str,
        files: Edits,
        message: &str,
        who: Who,
    ) -> Result<Pushed, SourceError> {
        let new = NewCommit {
            base: None,
            edits: as_edits(files),
            author: who.clone(),
            committer: who,
            message: message.to_owned(),
        };
        let branch = branch.to_owned();
        let pushed = self.work(move |inner, task| inner.push(&branch, None, &new, task)).await?;
        Ok(pushed.map_or(Pushed::Done, |(_, pushed)| pushed))
    }

    /// Work that may wait, on a thread that may.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, &Task) -> Result<T, SourceError> + Send + 'static,
    ) -> Result<T, SourceError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || {
            let task = Task::new(Limits::default(), inner.cancel.clone());
            work(&inner, &task)
        });
        done.await.unwrap_or(Err(SourceError::Stopped))
    }
}

/// An address as it is noted: like [`Remote::name`] has it, and never with a credential.
fn called(address: &str) -> String {
    match Address::parse(address, true) {
        Ok(Address::Http(address)) => address.to_string(),
        Ok(Address::Folder(path)) => path.display().to_string(),
        // Over SSH, most often.
        Err(_) => match address
            .split_once("://")
            .and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1)))
        {
            Some((scheme, rest)) => format!("{scheme}://{rest}"),
            None => address.to_owned(),
        },
    }
}

fn as_edits(edits: Edits) -> BTreeMap<String, Edit> {
    let edit = |bytes: Option<Vec<u8>>| bytes.map_or(Edit::Delete, |b| Edit::Write(b.into()));
    edits.into_iter().map(|(path, bytes)| (path, edit(bytes))).collect()
}

impl Inner {
    fn push(
        &self,
        branch: &str,
        expected: Option<Oid>,
        new: &NewCommit,
        task: &Task,
    ) -> Result<Option<(Oid, Pushed)>, SourceError> {
        let Some(hold) = self.store.commit(new, self.key.as_deref())? else { return Ok(None) };
        let push = Push { name: format!("refs/heads/{branch}"), expected, new: Some(hold.id()) };
        let pushed = self.remote.push(&self.store, &push, task)?;
        Ok(Some((hold.id(), pushed)))
    }

    fn head(&self, id: Oid) -> Result<Head, SourceError> {
        if let Some(head) = self.remembered(id) {
            return Ok(head);
        }
        let commit = self.store.objects().commit(id)?;
        let content = Arc::new(GitContent::new(Place::Store(Arc::clone(&self.store)), id));
        let head = Head { content, commit, _hold: self.store.hold(id) };
        let mut heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.push_front(head.clone());
        heads.truncate(REMEMBERED);
        Ok(head)
    }

    fn remembered(&self, id: Oid) -> Option<Head> {
        let heads = self.heads.lock().unwrap_or_else(PoisonError::into_inner);
        heads.iter().find(|head| head.id() == id).cloned()
    }
}
