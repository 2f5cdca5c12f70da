//! Remotes: where a repository comes from and where commits go, over HTTPS or in a folder of this machine.

mod fetch;
mod folder;
mod push;
mod report;
mod smart;

use std::sync::Arc;

use crate::Oid;
use crate::address::Address;
use crate::credential::Credential;
use crate::error::Error;
use crate::history::Ancestry;
use crate::http::Http;
use crate::local::Local;
use crate::object::Kind;
use crate::objects::Objects;
use crate::refs::check_name;
use crate::store::{Hold, Store};
use crate::task::Task;

pub use report::{Report, read_report};

/// How many commits of ours a server is told of, so that it leaves out what they have.
const HAVES: usize = 256;

/// How many commits are fetched first where an answer needs more history.
const DEEPEN: u32 = 50;

/// A repository to fetch from and push to.
#[derive(Debug)]
pub struct Remote {
    name: String,
    way: Way,
}

#[derive(Debug)]
enum Way {
    Http(Box<smart::Server>),
    Folder(Box<Local>),
}

/// A ref of a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteRef {
    /// Its full name.
    pub name: String,
    /// Where it is.
    pub id: Oid,
    /// The commit that it stands for, where it is a tag with a message.
    pub peeled: Option<Oid>,
    /// The name that it stands for: of HEAD, the default branch.
    pub target: Option<String>,
}

/// What is fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// The commit at a ref, by its full name.
    Ref(String),
    /// A commit by its id.
    Commit(Oid),
}

/// How much history comes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// All commits since the last fetch into the same ref; that many where there was none.
    Follow(u32),
    /// That many commits, more than the store has already.
    Exactly(u32),
    /// All that there is.
    All,
}

/// A fetch.
#[derive(Debug, Clone)]
pub struct Fetch {
    /// What.
    pub want: Want,
    /// How much history.
    pub depth: Depth,
    /// The store's ref that is set to it, `refs/…`. Without one, it is kept as long as the answer lives.
    pub into: Option<String>,
}

/// What a fetch brought.
#[derive(Debug, Clone)]
pub struct Fetched {
    /// The commit.
    pub commit: Oid,
    /// What keeps it.
    pub hold: Hold,
    /// Objects that were sent: none where all was there.
    pub objects: u64,
    /// Bytes that were sent for them.
    pub bytes: u64,
}

/// A push of one ref.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Push {
    /// The full name.
    pub name: String,
    /// Where it must be for the push to happen. `None`: it must not be there.
    pub expected: Option<Oid>,
    /// Where it shall be. `None`: it shall go.
    pub new: Option<Oid>,
}

/// What became of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// The ref is where it shall be.
    Done,
    /// It was not where it was expected, or somebody else is just moving it. Nothing was changed.
    Raced {
        /// Where it is: where it was expected, as long as the other one is not done.
        current: Option<Oid>,
    },
    /// The other side does not want it: a hook, a protected branch. Nothing was changed.
    Rejected {
        /// The reason that it gives.
        reason: String,
        /// What it told people besides.
        words: String,
    },
}

impl Remote {
    /// A remote at an address. Nothing is asked before it is used.
    ///
    /// # Errors
    /// Where a folder holds no repository, or a credential is given that could not be used.
    pub fn new(
        address: Address,
        credential: Option<Credential>,
        http: Arc<dyn Http>,
        object_bytes: u64,
    ) -> Result<Self, Error> {
        match address {
            Address::Folder(path) => Self::folder(Local::open(&path, object_bytes)?),
            Address::Http(address) => {
                let name = address.to_string();
                Ok(Self { way: Way::Http(Box::new(smart::Server::new(address, credential, http))), name })
            }
        }
    }

    /// A repository of this machine as a remote.
    ///
    /// # Errors
    /// Where its HEAD cannot be read.
    pub fn folder(local: Local) -> Result<Self, Error> {
        local.head()?;
        Ok(Self { name: local.refs.common.display().to_string(), way: Way::Folder(Box::new(local)) })
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its refs whose names begin with one of the prefixes. Over HTTP one small request, once the server is known.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn refs(&self, prefixes: &[&str], task: &Task) -> Result<Vec<RemoteRef>, Error> {
        match &self.way {
            Way::Http(server) => server.refs(prefixes, task).map_err(|why| server.masked(why)),
            Way::Folder(local) => folder::refs(local, prefixes),
        }
    }

    /// Where a ref is, by its full name (or HEAD). After a lost answer ([`Error::Lost`]) this tells whether the
    /// push landed.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn find(&self, name: &str, task: &Task) -> Result<Option<Oid>, Error> {
        if name != "HEAD" {
            check_name(name)?;
        }
        Ok(self.refs(&[name], task)?.into_iter().find(|found| found.name == name).map(|found| found.id))
    }

    /// The branch that HEAD stands for.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub fn default_branch(&self, task: &Task) -> Result<Option<String>, Error> {
        Ok(self
            .refs(&["HEAD"], task)?
            .into_iter()
            .find(|found| found.name == "HEAD")
            .and_then(|found| found.target))
    }

    /// Brings a commit, and what it needs, into the store. What is there already is not sent again: a fetch of
    /// a branch that has not moved costs one small request.
    ///
    /// # Errors
    /// Where the remote has no such ref or commit, cannot be asked, sends what is broken or more than the limits.
    /// The store is as it was then.
    pub fn fetch(&self, store: &Store, fetch: &Fetch, task: &Task) -> Result<Fetched, Error> {
        if let Some(into) = &fetch.into {
            check_name(into)?;
        }
        let id = match &fetch.want {
            Want::Commit(id) => *id,
            Want::Ref(name) => self.find(name, task)?.ok_or_else(|| self.no_ref(name))?,
        };
        let _adding = store.adding();
        let depth = match fetch.depth {
            Depth::Follow(count) => {
                match fetch.into.as_deref().map(|into| store.resolve(into)).transpose()?.flatten() {
                    Some(_) => None,
                    None if store.objects().contains(&id)? => None,
                    None => Some(count.clamp(1, smart::ALL)),
                }
            }
            Depth::Exactly(count) => Some(count.clamp(1, smart::ALL)),
            Depth::All if store.objects().shallow().is_empty() && store.objects().contains(&id)? => None,
            Depth::All => Some(smart::ALL),
        };
        let received = if depth.is_none() && store.objects().contains(&id)? {
            None
        } else {
            match &self.way {
                Way::Http(server) => {
                    server.fetch(store, id, depth, &haves(store)?, task).map_err(|why| server.masked(why))?
                }
                Way::Folder(local) => folder::fetch(local, store, id, depth, task)?,
            }
        };
        let commit = store.objects().peel(id).map_err(|why| match why {
            Error::Missing { .. } => {
                Error::pack(&self.name, format!("it does not hold {id}, which was asked for"))
            }
            other => other,
        })?;
        let hold = store.hold(commit);
        if let Some(into) = &fetch.into {
            store.set_ref(into, Some(commit))?;
        }
        let (objects, bytes) = received.map_or((0, 0), |r| (r.objects, r.bytes));
        Ok(Fetched { commit, hold, objects, bytes })
    }

    /// Whether `old` is `new`, or before it; where history is cut off, more of it is fetched, until the answer
    /// is known or `most` commits are there. `new` must be in the store.
    ///
    /// # Errors
    /// As [`Self::fetch`].
    pub fn is_ancestor(
        &self,
        store: &Store,
        old: Oid,
        new: Oid,
        most: u32,
        task: &Task,
    ) -> Result<Ancestry, Error> {
        let most = most.min(smart::ALL);
        let mut depth = DEEPEN.min(most);
        loop {
            let answer = store.objects().is_ancestor(old, new, task)?;
            if answer != Ancestry::Unknown || depth > most {
                return Ok(answer);
            }
            self.fetch(
                store,
                &Fetch { want: Want::Commit(new), depth: Depth::Exactly(depth), into: None },
                task,
            )?;
            // Few requests however far back it is; the last one goes as far as is allowed.
            depth = if depth == most { u32::MAX } else { depth.saturating_mul(4).min(most) };
        }
    }

    /// Moves one ref, if it is where it is expected, and sends what that needs. Whoever loses a race is told.
    ///
    /// # Errors
    /// Where the remote cannot be asked or does not answer; [`Error::Lost`] where it may have happened.
    pub fn push(&self, store: &Store, push: &Push, task: &Task) -> Result<Pushed, Error> {
        check_name(&push.name)?;
        if let Some(new) = push.new {
            store.objects().get_as(&new, Kind::Commit)?;
        }
        match &self.way {
            Way::Http(server) => server
                .push(store.objects(), push, &haves(store)?, task)
                .map(|pushed| server.masked_answer(pushed))
                .map_err(|why| server.masked(why)),
            Way::Folder(local) => folder::push(local, store.objects(), push, task),
        }
    }

    fn no_ref(&self, name: &str) -> Error {
        Error::NoSuchRef { remote: self.name.clone(), what: name.to_owned() }
    }
}

/// Commits that the store has with all that they need: those at its refs, and some before them.
fn haves(store: &Store) -> Result<Vec<Oid>, Error> {
    let objects = store.objects();
    let shallow = objects.shallow();
    let mut found: Vec<Oid> = Vec::new();
    let mut level: Vec<Oid> = store.refs(&[])?.into_iter().map(|(_, id)| id).collect();
    while !level.is_empty() && found.len() < HAVES {
        let mut next = Vec::new();
        for id in level {
            if found.len() >= HAVES || found.contains(&id) {
                continue;
            }
            found.push(id);
            if !shallow.contains(&id) {
                next.extend(objects.commit(id)?.parents);
            }
        }
        level = next;
    }
    Ok(found)
}

/// The objects that a commit needs, and that whoever has one of `theirs` lacks: commits, trees, blobs.
fn missing(
    objects: &Objects,
    new: Oid,
    theirs: &dyn Fn(&Oid) -> Result<bool, Error>,
    task: &Task,
) -> Result<Vec<Oid>, Error> {
    let mut walk = push::Walk::new(objects, task);
    walk.commits(new, theirs)?;
    walk.trees()
}
