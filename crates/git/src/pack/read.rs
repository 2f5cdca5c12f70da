//! A pack on disk: one object by its offset.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::Oid;
use crate::error::Error;
use crate::object::{Kind, Object};
use crate::pack::index::Index;
use crate::pack::{HEADER, Head, MAX_CHAIN, TRAILER, delta, head};
use crate::zlib::{Inflater, ZlibError};

/// A pack with its index.
pub(crate) struct Pack {
    pub(crate) path: PathBuf,
    pub(crate) index: Index,
    pub(crate) length: u64,
    file: File,
}

/// Reads a file from an offset on, without moving a shared position.
pub(crate) struct FileAt<'a> {
    pub(crate) file: &'a File,
    pub(crate) offset: u64,
}

impl Read for FileAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buffer, self.offset)?;
        self.offset += got as u64;
        Ok(got)
    }
}

/// What an entry holds.
enum Entry {
    Whole(Object),
    Delta(Base, Vec<u8>),
}

/// What a difference is to.
enum Base {
    At(u64),
    Id(Oid),
}

/// Objects that are outside of a pack, and those that were unpacked before.
pub(crate) trait Around {
    /// An object by its id, where it is not in this pack.
    fn outside(&self, id: &Oid) -> Result<Option<Object>, Error>;
    /// What was unpacked at this offset before.
    fn known(&self, offset: u64) -> Option<Object>;
    /// Notes what was unpacked.
    fn note(&self, offset: u64, object: &Object);
}

impl Pack {
    /// Opens the pack that this index is of.
    pub(crate) fn open(index_path: &Path) -> Result<Self, Error> {
        let path = index_path.with_extension("pack");
        let index = Index::open(index_path)?;
        let file = File::open(&path).map_err(Error::io("open", &path))?;
        let length = file.metadata().map_err(Error::io("read", &path))?.len();
        let mut start = [0; HEADER];
        file.read_exact_at(&mut start, 0).map_err(Error::io("read", &path))?;
        if start.get(..4) != Some(b"PACK") || length < (HEADER + TRAILER) as u64 {
            return Err(Error::pack(&path.display().to_string(), "it is no pack"));
        }
        Ok(Self { path, index, length, file })
    }

    fn broken(&self, offset: u64, why: impl std::fmt::Display) -> Error {
        Error::pack(&self.path.display().to_string(), format!("at byte {offset}: {why}"))
    }

    /// The object at an offset, unpacked. None of those on the way may be larger than `most` bytes.
    pub(crate) fn read(&self, offset: u64, most: u64, around: &dyn Around) -> Result<Object, Error> {
        let mut chain: Vec<(u64, Vec<u8>)> = Vec::new();
        let (mut at, mut inflater, mut pending) = (offset, Inflater::new(), 0u64);
        let mut object = loop {
            if let Some(known) = around.known(at) {
                break known;
            }
            match self.entry(at, most, &mut inflater)? {
                Entry::Whole(object) => {
                    around.note(at, &object);
                    break object;
                }
                Entry::Delta(base, delta) => {
                    pending += delta.len() as u64;
                    // A chain this long, or this large, is a loop or an attack.
                    if chain.len() >= MAX_CHAIN || pending > most.saturating_mul(4) {
                        return Err(self.broken(offset, "it is a difference to a difference, without an end"));
                    }
                    chain.push((at, delta));
                    match base {
                        Base::At(place) => at = place,
                        Base::Id(id) => match self.index.find(&id).map_err(Error::io("read", &self.path))? {
                            Some(place) => at = place,
                            None => {
                                let base = around.outside(&id)?;
                                break base.ok_or_else(|| {
                                    self.broken(at, format_args!("its base {id} is missing"))
                                })?;
                            }
                        },
                    }
                }
            }
        };
        while let Some((place, instructions)) = chain.pop() {
            let (_, size) =
                delta::sizes(&instructions).ok_or_else(|| self.broken(place, "a difference is cut off"))?;
            within(size, most)?;
            let data = delta::apply(&object.data, &instructions).map_err(|why| self.broken(place, why))?;
            object = Object { kind: object.kind, data: data.into() };
            around.note(place, &object);
        }
        Ok(object)
    }

    /// The kind of the object at an offset, by its chain's end, without unpacking.
    pub(crate) fn kind(&self, offset: u64) -> Result<Option<Kind>, Error> {
        let mut at = offset;
        for _ in 0..=MAX_CHAIN {
            let mut input = BufReader::with_capacity(64, FileAt { file: &self.file, offset: at });
            match head(&mut input).map_err(|why| self.broken(at, why))?.0 {
                Head::Whole(kind) => return Ok(Some(kind)),
                Head::Offset(distance) => at = self.base(at, distance)?,
                Head::Id(id) => match self.index.find(&id).map_err(Error::io("read", &self.path))? {
                    Some(place) => at = place,
                    None => return Ok(None),
                },
            }
        }
        Err(self.broken(offset, "it is a difference to a difference, without an end"))
    }

    fn base(&self, at: u64, distance: u64) -> Result<u64, Error> {
        let base = at.checked_sub(distance).filter(|base| *base >= HEADER as u64 && distance > 0);
        base.ok_or_else(|| self.broken(at, "its base is before the begin of the pack"))
    }

    fn entry(&self, at: u64, most: u64, inflater: &mut Inflater) -> Result<Entry, Error> {
        if at < HEADER as u64 || at >= self.length.saturating_sub(TRAILER as u64) {
            return Err(self.broken(at, "the index points outside of the pack"));
        }
        let mut input = BufReader::with_capacity(4096, FileAt { file: &self.file, offset: at });
        let (head, size) = head(&mut input).map_err(|why| self.broken(at, why))?;
        within(size, most)?;
        let data = inflater.inflate(&mut input, size).map_err(|why: ZlibError| self.broken(at, why))?;
        Ok(match head {
            Head::Whole(kind) => Entry::Whole(Object { kind, data: data.into() }),
            Head::Offset(distance) => Entry::Delta(Base::At(self.base(at, distance)?), data),
            Head::Id(id) => Entry::Delta(Base::Id(id), data),
        })
    }
}

/// Refuses an object that is too large.
pub(crate) fn within(size: u64, most: u64) -> Result<(), Error> {
    if size > most {
        return Err(Error::Limit {
            what: format!("an object of {size} bytes"),
            limit: format!("{most} bytes"),
        });
    }
    Ok(())
}
