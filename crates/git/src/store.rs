//! A repository that belongs to Kiban alone: what was fetched, what is about to be pushed. It can be lost
//! without loss, as everything in it comes from a remote, and it is never broken: a process that is killed
//! leaves what was there before, and rubbish that the next one removes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Oid;
use crate::error::Error;
use crate::files;
use crate::local::{Config, read_shallow};
use crate::object::{Commit, Kind, Mode, Object, rows};
use crate::objects::Objects;
use crate::pack::receive::{Received, Receiver};
use crate::pack::write::NewPack;
use crate::refs::Refs;
use crate::task::Task;

/// The version of the store's form, in its configuration.
const VERSION: u32 = 1;

/// A bare repository of our own. One process at a time has it open.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    objects: Objects,
    pub(crate) refs: Refs,
    /// Held while something is written: one at a time.
    writing: Mutex<()>,
    held: Arc<Mutex<HashMap<Oid, usize>>>,
    _lock: File,
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

/// When a store is tidied, and what it keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tidy {
    /// From how many packs on.
    pub packs: usize,
    /// From how many bytes on.
    pub bytes: u64,
    /// How many commits of each ref are kept. `None`: all.
    pub commits: Option<usize>,
}

impl Default for Tidy {
    fn default() -> Self {
        Self { packs: 50, bytes: 1 << 30, commits: Some(100) }
    }
}

/// What tidying did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tidied {
    /// What the store took before.
    pub before: Size,
    /// What it takes now.
    pub after: Size,
}

/// Keeps a commit from being tidied away while somebody works with it.
#[derive(Debug)]
pub struct Hold {
    id: Oid,
    held: Arc<Mutex<HashMap<Oid, usize>>>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.id);
            }
        }
    }
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
        let packs = path.join("objects/pack");
        for folder in [&packs, &path.join("refs/heads")] {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        let lock = lock(&path)?;
        version(&path)?;
        clean(&packs);
        let refs = Refs { own: path.clone(), common: path.clone() };
        refs.break_locks();
        let shallow = read_shallow(&path.join("shallow"))?;
        let objects = Objects::open(&path.join("objects"), shallow, object_bytes, false)?;
        Ok(Self {
            path,
            objects,
            refs,
            writing: Mutex::default(),
            held: Arc::default(),
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
        let _writing = self.write_lock();
        self.move_ref(name, new)
    }

    pub(crate) fn move_ref(&self, name: &str, new: Option<Oid>) -> Result<(), Error> {
        if let Some(id) = new {
            self.objects.get_as(&id, Kind::Commit)?;
        }
        let current = self.refs.read(name)?;
        if current == new { Ok(()) } else { self.refs.update(name, current, new) }
    }

    /// Keeps a commit, and all that it needs, for as long as the answer lives.
    pub fn hold(&self, id: Oid) -> Hold {
        *self.held.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default() += 1;
        Hold { id, held: self.held.clone() }
    }

    pub(crate) fn write_lock(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
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
        let mut cut = (*self.objects.shallow()).clone();
        cut.extend(shallow);
        self.put_shallow(&cut)?;
        let closed: HashSet<Oid> = cut.iter().copied().filter(|id| !whole.contains(id)).collect();
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
        self.put_shallow(&closed)?;
        Ok(received)
    }

    /// Writes down where history is cut off.
    pub(crate) fn put_shallow(&self, shallow: &HashSet<Oid>) -> Result<(), Error> {
        if *self.objects.shallow() == *shallow {
            return Ok(());
        }
        let mut ids: Vec<&Oid> = shallow.iter().collect();
        ids.sort_unstable();
        let text: String = ids.iter().map(|id| format!("{id}\n")).collect();
        files::write(&self.path.join("shallow"), text.as_bytes())?;
        self.objects.set_shallow(shallow.clone());
        Ok(())
    }

    /// Makes one pack of all that refs and holds reach, where the store has grown beyond what is allowed;
    /// history beyond the number of commits is cut off, and what nothing reaches goes. `None`: it has not.
    ///
    /// # Errors
    /// Where something that is reached cannot be read, or the pack not written. The store is as it was then.
    pub fn tidy(&self, when: Tidy, task: &Task) -> Result<Option<Tidied>, Error> {
        let before = self.size();
        if before.packs < when.packs && before.bytes < when.bytes {
            return Ok(None);
        }
        let _writing = self.write_lock();
        let mut tips: Vec<Oid> = self.refs.list(&[])?.into_iter().map(|(_, id)| id).collect();
        tips.extend(self.held.lock().unwrap_or_else(PoisonError::into_inner).keys());
        let reached = self.reach(&tips, when.commits.unwrap_or(usize::MAX), task)?;
        let mut cut = (*self.objects.shallow()).clone();
        cut.extend(&reached.cut);
        self.put_shallow(&cut)?;
        let old = self.objects.packs();
        let kept = if reached.ids.is_empty() { None } else { Some(self.repack(&reached.ids, task)?) };
        for (_, pack) in old.iter().filter(|(_, pack)| Some(&pack.path) != kept.as_ref()) {
            // The index first: without it the rest is not there.
            for path in [pack.path.with_extension("idx"), pack.path.clone()] {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        self.objects.refresh()?;
        cut.retain(|id| reached.commits.contains(id));
        self.put_shallow(&cut)?;
        Ok(Some(Tidied { before, after: self.size() }))
    }

    fn repack(&self, ids: &[Oid], task: &Task) -> Result<PathBuf, Error> {
        let mut pack = NewPack::begin(&self.path.join("objects/pack"), ids.len())?;
        for (number, id) in ids.iter().enumerate() {
            if number.is_multiple_of(64) {
                task.check("tidy the store")?;
            }
            pack = pack.add(*id, &self.objects.get(id)?)?;
        }
        pack.keep()
    }

    fn reach(&self, tips: &[Oid], commits: usize, task: &Task) -> Result<Reached, Error> {
        let mut reached = Reached::default();
        let shallow = self.objects.shallow();
        // By breadth: the first time that a commit is met is the one with the fewest before it.
        let mut queue: VecDeque<(Oid, usize)> = tips.iter().map(|id| (*id, 1)).collect();
        let mut trees = Vec::new();
        while let Some((id, depth)) = queue.pop_front() {
            if !reached.commits.insert(id) {
                continue;
            }
            task.check("tidy the store")?;
            reached.ids.push(id);
            let commit = Commit::read(id, &self.objects.get_as(&id, Kind::Commit)?.data)?;
            trees.push(commit.tree);
            if shallow.contains(&id) {
                continue;
            }
            if depth < commits {
                queue.extend(commit.parents.iter().map(|parent| (*parent, depth + 1)));
            } else if !commit.parents.is_empty() {
                reached.cut.insert(id);
            }
        }
        // A tip that is before another one's end: nothing is cut off where all parents are kept.
        let whole = |id: &Oid| -> Result<bool, Error> {
            let commit = Commit::read(*id, &self.objects.get_as(id, Kind::Commit)?.data)?;
            Ok(commit.parents.iter().all(|parent| reached.commits.contains(parent)))
        };
        let cut: Vec<Oid> = reached
            .cut
            .iter()
            .copied()
            .map(|id| Ok((id, whole(&id)?)))
            .filter_map(|found: Result<_, Error>| match found {
                Ok((id, whole)) => (!whole).then_some(Ok(id)),
                Err(why) => Some(Err(why)),
            })
            .collect::<Result<_, Error>>()?;
        reached.cut = cut.into_iter().collect();
        let mut seen: HashSet<Oid> = HashSet::new();
        while let Some(tree) = trees.pop() {
            if !seen.insert(tree) {
                continue;
            }
            task.check("tidy the store")?;
            reached.ids.push(tree);
            let object = self.objects.get_as(&tree, Kind::Tree)?;
            for row in rows(tree, &object.data)? {
                match row.mode {
                    Mode::Tree => trees.push(row.id),
                    Mode::Submodule => {}
                    _ if seen.insert(row.id) => reached.ids.push(row.id),
                    _ => {}
                }
            }
        }
        Ok(reached)
    }

    /// Writes objects that are made here.
    pub(crate) fn write(&self, objects: &BTreeMap<Oid, Object>) -> Result<(), Error> {
        let _writing = self.write_lock();
        let objects: Vec<(Oid, Object)> = objects.iter().map(|(id, object)| (*id, object.clone())).collect();
        self.objects.write(&objects)
    }
}

/// What a set of commits reaches.
#[derive(Default)]
struct Reached {
    ids: Vec<Oid>,
    commits: HashSet<Oid>,
    cut: HashSet<Oid>,
}

/// Takes the store for this process. The lock goes with the process, however it ends.
fn lock(path: &Path) -> Result<File, Error> {
    let path = path.join("kiban.lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
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
            let why = "it is a repository of somebody else: a store has a folder of its own".to_owned();
            Err(Error::NotARepository { path: path.to_owned(), why })
        }
    }
}

/// Removes what a killed process left among the packs: temporary files, packs without index and the reverse.
fn clean(packs: &Path) {
    for entry in fs::read_dir(packs).into_iter().flatten().flatten() {
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
