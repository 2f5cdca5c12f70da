//! A repository that belongs to Kiban alone: what was fetched, what is about to be pushed. It can be lost
//! without loss, as everything in it comes from a remote, and it is never broken: a process that is killed
//! leaves what was there before, and rubbish that the next one removes.

mod hold;
mod tidy;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard};

use crate::Oid;
use crate::error::Error;
use crate::files;
use crate::local::{Config, read_shallow};
use crate::object::{Kind, Object};
use crate::objects::Objects;
use crate::pack::receive::{Received, Receiver};
use crate::refs::Refs;
use crate::task::Task;

use hold::Held;
pub use hold::Hold;
pub use tidy::{Tidied, Tidy};

/// The version of the store's form, in its configuration.
const VERSION: u32 = 1;

/// A bare repository of our own. One process at a time has it open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    objects: Objects,
    pub(crate) refs: Refs,
    /// Written while the store is tidied, read while something is added.
    tidying: RwLock<()>,
    /// Held while a ref or the list of cuts is changed: one at a time.
    changing: Mutex<()>,
    held: Held,
    _lock: Lock,
    _temporary: Option<tempfile::TempDir>,
}

/// What a store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Packs; each fetch that brought something, and each commit, made one.
    pub packs: usize,
    /// Objects, counted in each pack that has them.
    pub objects: u64,
    /// Bytes of all packs.
    pub bytes: u64,
}

impl Store {
    /// Opens the store in a folder, or makes one. `object_bytes` is the largest object that is read.
    ///
    /// # Errors
    /// Where another process has it open, a newer version of Kiban made it, or it cannot be read.
    pub fn open(path: &Path, object_bytes: u64) -> Result<Self, Error> {
        Self::with(path.to_owned(), None, object_bytes)
    }

    /// A store in a temporary folder, which goes with it.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn temporary(object_bytes: u64) -> Result<Self, Error> {
        let folder = tempfile::Builder::new().prefix("kiban-git-").tempdir();
        let folder = folder.map_err(Error::io("create a folder in", &std::env::temp_dir()))?;
        Self::with(folder.path().to_owned(), Some(folder), object_bytes)
    }

    fn with(path: PathBuf, temporary: Option<tempfile::TempDir>, object_bytes: u64) -> Result<Self, Error> {
        let lock = lock(&path)?;
        let packs = path.join("objects/pack");
        for folder in [&packs, &path.join("refs/heads")] {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        version(&path)?;
        [&packs, &path].into_iter().for_each(|folder| clean(folder));
        let refs = Refs { own: path.clone(), common: path.clone() };
        refs.break_locks();
        let shallow = read_shallow(&path.join("shallow"))?;
        let objects =
            Objects::open(&path.join("objects"), shallow, object_bytes, false).map_err(|why| match why {
                Error::Pack { .. } => {
                    let why = format!("{why}: remove the folder, and everything is fetched again");
                    Error::NotARepository { path: path.clone(), why }
                }
                other => other,
            })?;
        Ok(Self {
            path,
            objects,
            refs,
            tidying: RwLock::default(),
            changing: Mutex::default(),
            held: Held::default(),
            _lock: lock,
            _temporary: temporary,
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Where a ref of the store is.
    ///
    /// # Errors
    /// Where the name is none, or it cannot be read.
    pub fn resolve(&self, name: &str) -> Result<Option<Oid>, Error> {
        self.refs.read(name)
    }

    /// The store's refs whose names begin with one of the prefixes. No prefix means all.
    ///
    /// # Errors
    /// Where they cannot be read.
    pub fn refs(&self, prefixes: &[&str]) -> Result<Vec<(String, Oid)>, Error> {
        self.refs.list(prefixes)
    }

    /// Sets a ref of the store, or removes it, wherever it was. Tidying keeps what refs reach.
    ///
    /// # Errors
    /// Where the name is none, the commit is not there, or it cannot be written.
    pub fn set_ref(&self, name: &str, new: Option<Oid>) -> Result<(), Error> {
        if let Some(id) = new {
            self.objects.get_as(&id, Kind::Commit)?;
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let current = self.refs.read(name)?;
        if current == new { Ok(()) } else { self.refs.update(name, current, new, None) }
    }

    /// Keeps a commit, and all that it needs, for as long as the answer or a clone of it lives.
    pub fn hold(&self, id: Oid) -> Hold {
        Hold::new(id, &self.held)
    }

    /// Held while something is added: tidying waits, and others that add do not.
    pub(crate) fn adding(&self) -> RwLockReadGuard<'_, ()> {
        self.tidying.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store takes.
    pub fn size(&self) -> Size {
        let packs = self.objects.packs();
        let sum = |of: fn(&crate::pack::read::Pack) -> u64| packs.iter().map(|(_, pack)| of(pack)).sum();
        Size { packs: packs.len(), objects: sum(|p| p.index.count()), bytes: sum(|p| p.length) }
    }

    /// Takes a pack that was sent. `shallow` are the commits where it is cut off, `whole` those that no longer are.
    pub(crate) fn receive(
        &self,
        input: &mut dyn Read,
        from: &str,
        shallow: &[Oid],
        whole: &[Oid],
        task: &Task,
    ) -> Result<Option<Received>, Error> {
        // Before the pack: a commit in this list that is not there does no harm, the other way round does.
        self.change_cuts(shallow, &[])?;
        let mut closed = (*self.objects.shallow()).clone();
        closed.retain(|id| !whole.contains(id));
        let packs = self.path.join("objects/pack");
        let receiver = Receiver {
            folder: &packs,
            from,
            shallow: &closed,
            present: &|id| self.objects.find(id),
            exists: &|id| self.objects.contains(id),
            task,
        };
        let received = receiver.receive(input)?;
        self.objects.refresh()?;
        self.change_cuts(&[], whole)?;
        Ok(received)
    }

    /// Writes down where history is cut off, and where it no longer is.
    pub(crate) fn change_cuts(&self, more: &[Oid], fewer: &[Oid]) -> Result<(), Error> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cuts = (*self.objects.shallow()).clone();
        cuts.extend(more);
        cuts.retain(|id| !fewer.contains(id));
        if *self.objects.shallow() == cuts {
            return Ok(());
        }
        let mut ids: Vec<&Oid> = cuts.iter().collect();
        ids.sort_unstable();
        let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
        files::write(&self.path.join("shallow"), text.as_bytes())?;
        self.objects.set_shallow(cuts);
        Ok(())
    }

    /// Writes a commit that is made here, with its objects.
    pub(crate) fn write(&self, id: Oid, objects: &BTreeMap<Oid, Object>) -> Result<Hold, Error> {
        let _adding = self.adding();
        let objects: Vec<(Oid, Object)> = objects.iter().map(|(id, object)| (*id, object.clone())).collect();
        self.objects.write(&objects)?;
        Ok(self.hold(id))
    }
}

/// The file that a store begins with, and that its process holds. The lock goes with the process, however
/// that ends.
const LOCK: &str = "kiban.lock";

/// The lock, while it is held.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A program that is being started right now has the file too, until it has begun.
        let _ = self.0.unlock();
    }
}

/// Takes the store for this process. A folder with other things in it is not taken.
fn lock(folder: &Path) -> Result<Lock, Error> {
    fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
    let path = folder.join(LOCK);
    let mut there = fs::read_dir(folder).map_err(Error::io("read", folder))?;
    if !path.is_file() && there.next().is_some() {
        let why = "there is something else in it: a store has a folder of its own".to_owned();
        return Err(Error::NotARepository { path: folder.to_owned(), why });
    }
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Lock(file)),
        Err(fs::TryLockError::WouldBlock) => {
            let why =
                "another process of Kiban has this store open; give each its own folder (--data)".to_owned();
            Err(Error::Busy { path, why })
        }
        Err(fs::TryLockError::Error(why)) => Err(Error::io("lock", &path)(why)),
    }
}

/// Reads the version of the store's form, and writes it where there is none yet.
fn version(path: &Path) -> Result<(), Error> {
    let config = path.join("config");
    let head = path.join("HEAD");
    if !head.is_file() {
        files::write(&head, b"ref: refs/heads/main\n")?;
    }
    if !config.is_file() {
        let text =
            format!("[core]\n\trepositoryformatversion = 0\n\tbare = true\n[kiban]\n\tstore = {VERSION}\n");
        return files::write(&config, text.as_bytes());
    }
    let found = Config::read(&config)?;
    match found.get("kiban", "store").and_then(|v| v.parse::<u32>().ok()) {
        Some(version) if version <= VERSION => Ok(()),
        Some(version) => {
            let why = format!(
                "a newer Kiban made it (form {version}; this one knows {VERSION}): remove the folder, and it is fetched again"
            );
            Err(Error::NotARepository { path: path.to_owned(), why })
        }
        None => {
            let why =
                "its configuration does not say what form it has: remove the folder, and it is fetched again";
            Err(Error::NotARepository { path: path.to_owned(), why: why.to_owned() })
        }
    }
}

/// Removes what a killed process left in a folder: temporary files, packs without index and the reverse.
fn clean(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        let alone = match path.extension().and_then(|e| e.to_str()) {
            Some("pack") => !path.with_extension("idx").is_file(),
            Some("idx") => !path.with_extension("pack").is_file(),
            _ => false,
        };
        if alone || name.to_string_lossy().starts_with("tmp_") {
            let _ = fs::remove_file(path);
        }
    }
}
