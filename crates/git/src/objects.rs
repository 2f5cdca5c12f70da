//! The objects of a repository on disk: packs, single files, and those of repositories that it borrows from.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::Oid;
use crate::error::Error;
use crate::files;
use crate::object::{Kind, Object, id_of};
use crate::pack::read::{Around, Pack};
use crate::pack::write::NewPack;
use crate::zlib::Inflater;

/// Bytes of unpacked objects that are kept, so that the next in a chain is not unpacked from its start.
const CACHE: usize = 8 << 20;
/// A larger object is not kept.
const CACHED: usize = 256 << 10;
/// How far a repository may borrow from one that borrows itself.
const BORROWED: usize = 5;

/// Reads the objects of a repository. Can be used from many threads at once.
pub struct Objects {
    /// The folders `objects` of the repository, then those that it borrows from.
    folders: Vec<PathBuf>,
    packs: RwLock<Arc<Packs>>,
    looking: Mutex<()>,
    cache: Mutex<Cache>,
    shallow: RwLock<Arc<HashSet<Oid>>>,
    /// The largest object that is read.
    most: u64,
    /// Whether others change the folder: then it is looked at again before an object is missing.
    shared: bool,
    reads: AtomicU64,
    /// The number of the next pack. None is given twice: what is kept of unpacked objects goes by it.
    serial: AtomicU64,
}

type Packs = Vec<(u64, Arc<Pack>)>;

impl Objects {
    /// Opens the folder `objects` of a repository.
    pub(crate) fn open(folder: &Path, shallow: HashSet<Oid>, most: u64, shared: bool) -> Result<Self, Error> {
        let folders = borrowed(folder)?;
        let objects = Self {
            folders,
            packs: RwLock::default(),
            looking: Mutex::default(),
            cache: Mutex::default(),
            shallow: RwLock::new(Arc::new(shallow)),
            most,
            shared,
            reads: AtomicU64::new(0),
            serial: AtomicU64::new(0),
        };
        objects.refresh()?;
        Ok(objects)
    }

    /// The repository's own folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folders.first().map_or(Path::new("."), PathBuf::as_path)
    }

    /// Commits whose parents are left out.
    pub(crate) fn shallow(&self) -> Arc<HashSet<Oid>> {
        self.shallow.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_shallow(&self, shallow: HashSet<Oid>) {
        *self.shallow.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(shallow);
    }

    pub(crate) fn packs(&self) -> Arc<Packs> {
        self.packs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the folders again. Says whether there is a pack that was not known.
    pub(crate) fn refresh(&self) -> Result<bool, Error> {
        // One at a time: an older look must not take the place of a newer one.
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.packs();
        let mut new = Vec::with_capacity(old.len());
        let mut fresh = false;
        for index in self.folders.iter().flat_map(|folder| indexes(&folder.join("pack"))) {
            let known = old.iter().find(|(_, pack)| pack.path == index.with_extension("pack"));
            match known {
                Some(known) => new.push(known.clone()),
                None => match Pack::open(&index) {
                    Ok(pack) => {
                        new.push((self.serial.fetch_add(1, Ordering::Relaxed), Arc::new(pack)));
                        fresh = true;
                    }
                    // Its pack went between the listing and now.
                    Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                    Err(why) => return Err(why),
                },
            }
        }
        // The newest is asked first: what was fetched last is read most.
        new.sort_by_key(|(serial, _)| std::cmp::Reverse(*serial));
        *self.packs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(fresh)
    }

    /// An object, or nothing.
    ///
    /// # Errors
    /// Where it is there and cannot be read, or is larger than the limit of this reader.
    pub fn find(&self, id: &Oid) -> Result<Option<Object>, Error> {
        if let Some(found) = self.look(id)? {
            return Ok(Some(found));
        }
        if self.shared && self.refresh()? { self.look(id) } else { Ok(None) }
    }

    /// How many objects were read since the repository was opened.
    pub fn reads(&self) -> u64 {
        self.reads.load(Ordering::Relaxed)
    }

    /// An object that must be there.
    ///
    /// # Errors
    /// As [`Self::find`], and where it is missing.
    pub fn get(&self, id: &Oid) -> Result<Object, Error> {
        self.find(id)?.ok_or_else(|| Error::Missing { id: *id, place: self.folder().to_owned() })
    }

    /// An object that must be there, and be of this kind.
    pub(crate) fn get_as(&self, id: &Oid, kind: Kind) -> Result<Object, Error> {
        let object = self.get(id)?;
        if object.kind != kind {
            return Err(Error::object(
                *id,
                format!("it is a {}, where a {} is expected", object.kind.word(), kind.word()),
            ));
        }
        Ok(object)
    }

    /// Whether an object is there.
    ///
    /// # Errors
    /// Where that cannot be told.
    pub fn contains(&self, id: &Oid) -> Result<bool, Error> {
        for (_, pack) in self.packs().iter() {
            if pack.index.find(id).map_err(Error::io("read", &pack.path))?.is_some() {
                return Ok(true);
            }
        }
        if self.folders.iter().any(|folder| loose_path(folder, id).is_file()) {
            return Ok(true);
        }
        Ok(self.shared && self.refresh()? && self.contains(id)?)
    }

    /// What kind an object is, without unpacking more than its start.
    pub(crate) fn kind(&self, id: &Oid) -> Result<Option<Kind>, Error> {
        for (_, pack) in self.packs().iter() {
            if let Some(offset) = pack.index.find(id).map_err(Error::io("read", &pack.path))? {
                return pack.kind(offset);
            }
        }
        Ok(self.find(id)?.map(|object| object.kind))
    }

    fn look(&self, id: &Oid) -> Result<Option<Object>, Error> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        for (serial, pack) in self.packs().iter() {
            if let Some(offset) = pack.index.find(id).map_err(Error::io("read", &pack.path))? {
                return pack.read(offset, self.most, &InPack { objects: self, serial: *serial }).map(Some);
            }
        }
        for folder in &self.folders {
            if let Some(object) = self.loose(&loose_path(folder, id), id)? {
                return Ok(Some(object));
            }
        }
        Ok(None)
    }

    /// An object that is a file of its own.
    fn loose(&self, path: &Path, id: &Oid) -> Result<Option<Object>, Error> {
        let Some(packed) = files::read(path, self.most)? else { return Ok(None) };
        let broken = |why: String| Error::object(*id, format!("{} {why}", path.display()));
        let (mut inflater, header) = (Inflater::new(), "has no header".to_owned());
        let start = inflater.start(&mut packed.as_slice(), 64).map_err(|why| broken(why.to_string()))?;
        let end = start.iter().position(|b| *b == 0).ok_or_else(|| broken(header.clone()))?;
        let mut words = start.get(..end).unwrap_or_default().split(|b| *b == b' ');
        let kind = words.next().and_then(Kind::of_word).ok_or_else(|| broken(header.clone()))?;
        let size = words.next().and_then(|w| std::str::from_utf8(w).ok()?.parse::<u64>().ok());
        let size = size.ok_or_else(|| broken(header))?;
        crate::pack::read::within(size, self.most)?;
        let whole = inflater.inflate(&mut BufReader::new(packed.as_slice()), size + end as u64 + 1);
        let data = bytes::Bytes::from(whole.map_err(|why| broken(why.to_string()))?).slice(end + 1..);
        if id_of(kind, &data)? != *id {
            return Err(broken("holds another object than its name says".to_owned()));
        }
        Ok(Some(Object { kind, data }))
    }

    /// Writes objects as a pack, and makes them readable. Those that are there already are left out.
    pub(crate) fn write(&self, objects: &[(Oid, Object)]) -> Result<(), Error> {
        let mut new: Vec<&(Oid, Object)> = Vec::with_capacity(objects.len());
        let mut seen = HashSet::new();
        for object in objects {
            if seen.insert(object.0) && !self.contains(&object.0)? {
                new.push(object);
            }
        }
        if new.is_empty() {
            return Ok(());
        }
        let folder = self.folder().join("pack");
        let file = NewPack::begin(&folder, new.len())?;
        let file = new.into_iter().try_fold(file, |file, (id, object)| file.add(*id, object))?;
        file.keep()?;
        self.refresh().map(drop)
    }
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("folders", &self.folders).finish_non_exhaustive()
    }
}

fn loose_path(folder: &Path, id: &Oid) -> PathBuf {
    let hex = id.to_string();
    let (first, rest) = hex.split_at_checked(2).unwrap_or(("", &hex));
    folder.join(first).join(rest)
}

/// The indexes in a folder of packs. One without its pack is no pack.
fn indexes(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = names
        .filter(|path| path.extension().is_some_and(|e| e == "idx") && path.with_extension("pack").is_file())
        .collect();
    found.sort();
    found
}

/// A folder of objects and all that it borrows from.
fn borrowed(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![folder.to_owned()];
    let mut todo = vec![(folder.to_owned(), 0)];
    while let Some((at, depth)) = todo.pop() {
        let Some(list) = files::read(&at.join("info/alternates"), 64 << 10)? else { continue };
        for line in String::from_utf8_lossy(&list).lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            let path = at.join(line);
            if depth < BORROWED && !found.contains(&path) {
                found.push(path.clone());
                todo.push((path, depth + 1));
            }
        }
    }
    Ok(found)
}

/// What was unpacked lately, by pack and offset.
#[derive(Default)]
struct Cache {
    held: HashMap<(u64, u64), Object>,
    order: VecDeque<(u64, u64)>,
    bytes: usize,
}

impl Cache {
    fn put(&mut self, key: (u64, u64), object: &Object) {
        if object.data.len() > CACHED || self.held.contains_key(&key) {
            return;
        }
        self.bytes += object.data.len();
        self.held.insert(key, object.clone());
        self.order.push_back(key);
        while self.bytes > CACHE {
            let Some(old) = self.order.pop_front() else { break };
            self.bytes -= self.held.remove(&old).map_or(0, |object| object.data.len());
        }
    }
}

struct InPack<'a> {
    objects: &'a Objects,
    serial: u64,
}

impl Around for InPack<'_> {
    /// Bases outside of the pack lie in no pack of git's or of ours: receivers complete what they get.
    fn outside(&self, _: &Oid) -> Result<Option<Object>, Error> {
        Ok(None)
    }

    fn known(&self, offset: u64) -> Option<Object> {
        self.objects
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .held
            .get(&(self.serial, offset))
            .cloned()
    }

    fn note(&self, offset: u64, object: &Object) {
        self.objects.cache.lock().unwrap_or_else(PoisonError::into_inner).put((self.serial, offset), object);
    }
}
