//! Makes packs: of whole objects, in the order in which they are given.

use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Crc;
use gix_hash::{Hasher, Kind as HashKind};
use tempfile::NamedTempFile;

use crate::Oid;
use crate::error::Error;
use crate::files;
use crate::object::Object;
use crate::pack::index::{self, Place};
use crate::pack::receive::entry_bytes;

/// Writes a pack. Its count stands at its front, so that it must be known first.
pub(crate) struct Writer<W> {
    out: W,
    hasher: Hasher,
    offset: u64,
    left: u32,
    places: Vec<Place>,
}

impl<W: Write> Writer<W> {
    /// Begins a pack of `count` objects.
    pub(crate) fn new(out: W, count: u32) -> io::Result<Self> {
        let hasher = gix_hash::hasher(HashKind::Sha1);
        let mut writer = Self { out, hasher, offset: 0, left: count, places: Vec::new() };
        let mut start = *b"PACK\0\0\0\x02\0\0\0\0";
        if let Some(slot) = start.get_mut(8..) {
            slot.copy_from_slice(&count.to_be_bytes());
        }
        writer.put(&start)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.offset += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Adds an object.
    pub(crate) fn add(&mut self, id: Oid, object: &Object) -> io::Result<()> {
        let bytes = entry_bytes(object.kind, &object.data)?;
        let mut crc = Crc::new();
        crc.update(&bytes);
        self.places.push(Place { id, offset: self.offset, crc: crc.sum() });
        self.left = self
            .left
            .checked_sub(1)
            .ok_or_else(|| io::Error::other("a pack with more objects than announced"))?;
        self.put(&bytes)
    }

    /// Bytes so far.
    pub(crate) fn length(&self) -> u64 {
        self.offset
    }

    /// Ends the pack: what it was written to, its checksum, and its objects by id.
    pub(crate) fn finish(mut self) -> io::Result<(W, Oid, Vec<Place>)> {
        if self.left > 0 {
            return Err(io::Error::other("a pack with fewer objects than announced"));
        }
        let sum = self.hasher.try_finalize().map_err(io::Error::other)?;
        self.out.write_all(sum.as_slice())?;
        self.out.flush()?;
        self.places.sort_unstable_by_key(|place| place.id);
        Ok((self.out, sum, self.places))
    }
}

/// A pack that is being written beside those of a repository. It is not seen before it is whole.
pub(crate) struct NewPack {
    folder: PathBuf,
    writer: Writer<BufWriter<NamedTempFile>>,
}

impl NewPack {
    /// Begins a pack of `count` objects in the folder.
    pub(crate) fn begin(folder: &Path, count: usize) -> Result<Self, Error> {
        let failed = Error::io("write a pack in", folder);
        let begin = || {
            std::fs::create_dir_all(folder)?;
            let file = tempfile::Builder::new().prefix("tmp_pack_").tempfile_in(folder)?;
            Writer::new(
                BufWriter::with_capacity(256 << 10, file),
                u32::try_from(count).map_err(io::Error::other)?,
            )
        };
        Ok(Self { folder: folder.to_owned(), writer: begin().map_err(failed)? })
    }

    /// Adds an object.
    pub(crate) fn add(mut self, id: Oid, object: &Object) -> Result<Self, Error> {
        self.writer.add(id, object).map_err(Error::io("write a pack in", &self.folder))?;
        Ok(self)
    }

    /// Gives the pack its name, and its index after it. The file of the pack.
    pub(crate) fn keep(self) -> Result<PathBuf, Error> {
        let failed = |why| Error::io("write a pack in", &self.folder)(why);
        let (file, sum, places) = self.writer.finish().map_err(failed)?;
        let file = file.into_inner().map_err(|why| failed(why.into_error()))?;
        keep(file, &places, sum, &self.folder)
    }
}

/// The pack first, then its index: without an index a pack is not there.
pub(crate) fn keep(pack: NamedTempFile, places: &[Place], sum: Oid, folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join(format!("pack-{sum}.pack"));
    let other = tempfile::Builder::new().prefix("tmp_idx_").tempfile_in(folder);
    let mut other = other.map_err(Error::io("create a file in", folder))?;
    index::write(other.as_file_mut(), places, sum)
        .map_err(Error::io("write the index of a pack in", folder))?;
    files::persist(pack, &path)?;
    files::persist(other, &path.with_extension("idx"))?;
    files::sync_folder(folder)?;
    Ok(path)
}
