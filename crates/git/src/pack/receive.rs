//! Takes a pack from a stream, checks all of it, and puts it beside its index. Nothing of a pack that is
//! broken, too large or not whole is ever seen by a reader.

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use bytes::Bytes;
use flate2::Crc;
use gix_hash::{Hasher, Kind as HashKind};

use crate::Oid;
use crate::error::Error;
use crate::files;
use crate::object::{self, Kind, Object, id_from, id_of};
use crate::pack::index::Place;
use crate::pack::read::{FileAt, within};
use crate::pack::write::keep;
use crate::pack::{HEADER, Head, TRAILER, delta, head, put_head};
use crate::task::{Limits, Task};
use crate::zlib::{Inflater, ZlibError, deflate};

/// What a pack is received into.
pub(crate) struct Receiver<'a> {
    /// The folder that it shall lie in.
    pub(crate) folder: &'a Path,
    /// Where it comes from, for messages.
    pub(crate) from: &'a str,
    /// Commits whose parents need not be there.
    pub(crate) shallow: &'a HashSet<Oid>,
    /// An object that is there already: a difference may be to it, a link may point at it.
    pub(crate) present: &'a dyn Fn(&Oid) -> Result<Option<Object>, Error>,
    /// Whether an object is there already.
    pub(crate) exists: &'a dyn Fn(&Oid) -> Result<bool, Error>,
    /// Limits and end.
    pub(crate) task: &'a Task,
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Received {
    /// Objects in the pack.
    pub(crate) objects: u64,
    /// Bytes of the pack as it came.
    pub(crate) bytes: u64,
}

/// What a difference is to.
#[derive(Clone, Copy)]
enum Base {
    None,
    At(u64),
    Id(Oid),
}

struct Entry {
    offset: u64,
    size: u64,
    /// Bytes before the compressed data.
    head: u8,
    crc: u32,
    base: Base,
    id: Option<Oid>,
}

impl Receiver<'_> {
    /// Reads a pack to its end. `None` where it holds no object.
    pub(crate) fn receive(&self, input: &mut dyn Read) -> Result<Option<Received>, Error> {
        let file = tempfile::Builder::new().prefix("tmp_pack_").tempfile_in(self.folder);
        let mut file = file.map_err(Error::io("create a file in", self.folder))?;
        let mut work =
            Work { to: self, entries: Vec::new(), links: HashSet::new(), unpacked: 0, resolved: 0 };
        let mut stream = Stream::new(input, file.as_file_mut(), self.task.limits.pack_bytes);
        let count = work.header(&mut stream)?;
        let read = work.entries(&mut stream, count).and_then(|()| work.trailer(&mut stream));
        let (over, bytes) = (stream.over, stream.offset + TRAILER as u64);
        drop(stream);
        let mut sum = read.map_err(|why| if over { self.too_long() } else { why })?;
        if count == 0 {
            return Ok(None);
        }
        work.resolve(file.as_file())?;
        if work.complete(file.as_file_mut(), bytes)? {
            sum = checksum_again(file.as_file_mut(), work.entries.len())
                .map_err(Error::io("write a pack in", self.folder))?;
        }
        let places = work.finish()?;
        keep(file, &places, sum, self.folder)?;
        Ok(Some(Received { objects: places.len() as u64, bytes }))
    }

    fn too_long(&self) -> Error {
        let limit = self.task.limits.pack_bytes;
        Error::Limit { what: format!("the pack from {}", self.from), limit: format!("{limit} bytes") }
    }

    fn broken(&self, why: impl Into<String>) -> Error {
        Error::pack(self.from, why)
    }

    /// An error while the stream was read: one of ours that came through it, or its own.
    fn failed(&self, why: io::Error) -> Error {
        files::inner(why, |why| {
            self.broken(if why.kind() == io::ErrorKind::UnexpectedEof {
                "it is cut off".to_owned()
            } else {
                why.to_string()
            })
        })
    }

    fn damaged(&self, offset: u64, why: ZlibError) -> Error {
        match why {
            ZlibError::Read(why) => self.failed(why),
            other => self.broken(format!("at byte {offset}: {other}")),
        }
    }
}

struct Work<'a> {
    to: &'a Receiver<'a>,
    entries: Vec<Entry>,
    /// All that the objects of this pack point at.
    links: HashSet<Oid>,
    unpacked: u64,
    resolved: usize,
}

impl Work<'_> {
    fn limits(&self) -> &Limits {
        &self.to.task.limits
    }

    fn header(&self, stream: &mut Stream<'_>) -> Result<u32, Error> {
        let mut start = [0; HEADER];
        for slot in &mut start {
            *slot = super::byte(stream).map_err(|why| self.to.failed(why))?;
        }
        let (mark, count) = start.split_at(8);
        if mark != b"PACK\0\0\0\x02" && mark != b"PACK\0\0\0\x03" {
            return Err(self.to.broken("it does not begin as a pack of version 2 does"));
        }
        let count = count.try_into().map_or(0, u32::from_be_bytes);
        if count > self.limits().objects {
            let limit = format!("{} objects", self.limits().objects);
            return Err(Error::Limit {
                what: format!("the pack from {} ({count} objects)", self.to.from),
                limit,
            });
        }
        Ok(count)
    }

    fn entries(&mut self, stream: &mut Stream<'_>, count: u32) -> Result<(), Error> {
        let mut inflater = Inflater::new();
        for number in 0..count {
            if number % 64 == 0 {
                self.to.task.check("receive the pack")?;
            }
            let offset = stream.offset;
            stream.crc = Crc::new();
            let (head, size) = head(stream).map_err(|why| self.to.failed(why))?;
            let length = u8::try_from(stream.offset - offset).unwrap_or(u8::MAX);
            within(size, self.limits().object_bytes)?;
            let data = inflater.inflate(stream, size).map_err(|why| self.to.damaged(offset, why))?;
            self.count(size)?;
            let crc = stream.crc.sum();
            let (base, id) = match head {
                Head::Whole(kind) => (Base::None, Some(self.seen(kind, &data)?)),
                Head::Id(id) => (Base::Id(id), None),
                Head::Offset(distance) => {
                    let base = offset.checked_sub(distance);
                    let known = base.filter(|b| self.entries.binary_search_by_key(b, |e| e.offset).is_ok());
                    let base = known.ok_or_else(|| {
                        self.to.broken(format!("at byte {offset}: its base is no entry before it"))
                    })?;
                    (Base::At(base), None)
                }
            };
            self.resolved += usize::from(id.is_some());
            self.entries.push(Entry { offset, size, head: length, crc, base, id });
        }
        Ok(())
    }

    /// Bounds what all objects take together: small packs can hold very much.
    fn count(&mut self, size: u64) -> Result<(), Error> {
        self.unpacked = self.unpacked.saturating_add(size);
        let limit = self.limits().unpacked_bytes;
        if self.unpacked > limit {
            let what = format!("what the pack from {} unpacks to", self.to.from);
            return Err(Error::Limit { what, limit: format!("{limit} bytes") });
        }
        Ok(())
    }

    /// The id of an object of this pack. What it points at is noted.
    fn seen(&mut self, kind: Kind, data: &[u8]) -> Result<Oid, Error> {
        let id = id_of(kind, data)?;
        let (links, shallow) = (&mut self.links, self.to.shallow);
        object::links(id, kind, data, &mut |link, parent| {
            if !(parent && shallow.contains(&id)) {
                links.insert(link);
            }
        })?;
        Ok(id)
    }

    /// The checksum at the end, and that it is right.
    fn trailer(&self, stream: &mut Stream<'_>) -> Result<Oid, Error> {
        let hasher = std::mem::replace(&mut stream.hasher, gix_hash::hasher(HashKind::Sha1));
        let real = hasher.try_finalize().map_err(|why| self.to.broken(why.to_string()))?;
        let at = stream.offset;
        let mut said = [0; TRAILER];
        for slot in &mut said {
            *slot = super::byte(stream).map_err(|why| self.to.failed(why))?;
        }
        stream.offset = at;
        if id_from(&said) != Some(real) {
            return Err(self.to.broken("its checksum is another one than its content has"));
        }
        stream.flush().map_err(Error::io("write a pack in", self.to.folder))?;
        Ok(real)
    }

    /// Makes all objects that are differences to others of this pack.
    fn resolve(&mut self, file: &File) -> Result<(), Error> {
        let children = Children::of(&self.entries);
        let wholes: Vec<usize> = (0..self.entries.len())
            .filter(|n| self.entries.get(*n).is_some_and(|e| e.id.is_some()))
            .collect();
        for number in wholes {
            let Some(entry) = self.entries.get(number) else { continue };
            let below = children.below(entry);
            if below.is_empty() {
                continue;
            }
            let (kind, data) = self.whole(file, entry)?;
            self.descend(file, &children, Object { kind, data: data.into() }, below)?;
        }
        Ok(())
    }

    fn whole(&self, file: &File, entry: &Entry) -> Result<(Kind, Vec<u8>), Error> {
        let mut input = BufReader::with_capacity(4096, FileAt { file, offset: entry.offset });
        let (head, size) = head(&mut input).map_err(|why| self.to.failed(why))?;
        let data =
            Inflater::new().inflate(&mut input, size).map_err(|why| self.to.damaged(entry.offset, why))?;
        match head {
            Head::Whole(kind) => Ok((kind, data)),
            _ => Err(self.to.broken("it changed while it was read")),
        }
    }

    /// Everything that stands on one object, depth first: one chain's objects are in memory at a time.
    fn descend(
        &mut self,
        file: &File,
        children: &Children,
        base: Object,
        below: Vec<usize>,
    ) -> Result<(), Error> {
        let kind = base.kind;
        let mut inflater = Inflater::new();
        let mut live = base.data.len() as u64;
        let mut stack: Vec<(Bytes, Vec<usize>)> = vec![(base.data, below)];
        while let Some((base, below)) = stack.last_mut() {
            let Some(number) = below.pop() else {
                live -= base.len() as u64;
                stack.pop();
                continue;
            };
            let base = base.clone();
            let Some(data) = self.child(file, kind, &base, number, &mut inflater)? else { continue };
            let Some(entry) = self.entries.get(number) else { continue };
            let below = children.below(entry);
            if !below.is_empty() {
                live += data.len() as u64;
                let most = self.limits().object_bytes.saturating_mul(4);
                if live > most || stack.len() > super::MAX_CHAIN {
                    let what = format!("a chain of differences in the pack from {}", self.to.from);
                    return Err(Error::Limit {
                        what,
                        limit: format!("{most} bytes, {} objects", super::MAX_CHAIN),
                    });
                }
                stack.push((data.into(), below));
            }
        }
        Ok(())
    }

    /// Makes one object. `None` where it was made before.
    fn child(
        &mut self,
        file: &File,
        kind: Kind,
        base: &[u8],
        number: usize,
        inflater: &mut Inflater,
    ) -> Result<Option<Vec<u8>>, Error> {
        if self.resolved.is_multiple_of(64) {
            self.to.task.check("unpack the pack")?;
        }
        let Some(entry) = self.entries.get(number).filter(|entry| entry.id.is_none()) else {
            return Ok(None);
        };
        let (at, size) = (entry.offset, entry.size);
        let offset = at + u64::from(entry.head);
        let mut input = BufReader::with_capacity(4096, FileAt { file, offset });
        let instructions = inflater.inflate(&mut input, size).map_err(|why| self.to.damaged(at, why))?;
        let (_, result) = delta::sizes(&instructions)
            .ok_or_else(|| self.to.broken(format!("at byte {at}: a difference is cut off")))?;
        within(result, self.limits().object_bytes)?;
        self.count(result)?;
        let data = delta::apply(base, &instructions)
            .map_err(|why| self.to.broken(format!("at byte {at}: {why}")))?;
        let id = self.seen(kind, &data)?;
        if let Some(entry) = self.entries.get_mut(number) {
            entry.id = Some(id);
        }
        self.resolved += 1;
        Ok(Some(data))
    }

    /// Adds the bases that the sender knew to be here. Says whether there were any.
    fn complete(&mut self, file: &mut File, length: u64) -> Result<bool, Error> {
        let mut end = length - TRAILER as u64;
        let mut added = false;
        while self.resolved < self.entries.len() {
            let wanted = self.entries.iter().filter(|e| e.id.is_none());
            let wanted: HashSet<Oid> =
                wanted.filter_map(|e| if let Base::Id(id) = e.base { Some(id) } else { None }).collect();
            let before = self.resolved;
            for id in wanted {
                let Some(base) = (self.to.present)(&id)? else { continue };
                let children = Children::of(&self.entries);
                let bytes = entry_bytes(base.kind, &base.data)
                    .map_err(Error::io("pack an object in", self.to.folder))?;
                file.write_all_at(&bytes, end).map_err(Error::io("write a pack in", self.to.folder))?;
                let mut crc = Crc::new();
                crc.update(&bytes);
                let new = Entry {
                    offset: end,
                    size: base.data.len() as u64,
                    head: 0,
                    crc: crc.sum(),
                    base: Base::None,
                    id: Some(id),
                };
                let below = children.below(&new);
                self.entries.push(new);
                self.resolved += 1;
                (end, added) = (end + bytes.len() as u64, true);
                self.descend(file, &children, base, below)?;
            }
            if self.resolved == before {
                let left = self.entries.len() - self.resolved;
                return Err(self.to.broken(format!(
                    "{left} of its objects are differences to objects that are nowhere, or to each other"
                )));
            }
        }
        if added {
            file.set_len(end).map_err(Error::io("write a pack in", self.to.folder))?;
        }
        Ok(added)
    }

    /// All objects by id, once it is sure that nothing that they need is missing.
    fn finish(self) -> Result<Vec<Place>, Error> {
        let places =
            self.entries.iter().filter_map(|e| Some(Place { id: e.id?, offset: e.offset, crc: e.crc }));
        let mut places: Vec<Place> = places.collect();
        places.sort_unstable_by_key(|place| place.id);
        places.dedup_by_key(|place| place.id);
        for link in &self.links {
            if places.binary_search_by_key(link, |place| place.id).is_err() && !(self.to.exists)(link)? {
                return Err(self
                    .to
                    .broken(format!("it is not whole: object {link} is needed and was not sent")));
            }
        }
        Ok(places)
    }
}

/// A whole object as an entry.
pub(crate) fn entry_bytes(kind: Kind, data: &[u8]) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(data.len() / 2 + 16);
    put_head(&mut out, kind, data.len() as u64);
    out.extend_from_slice(&deflate(data)?);
    Ok(out)
}

/// Writes the count and the checksum of a pack that has grown.
fn checksum_again(file: &mut File, count: usize) -> io::Result<Oid> {
    let count = u32::try_from(count).map_err(io::Error::other)?;
    file.write_all_at(&count.to_be_bytes(), 8)?;
    file.seek(SeekFrom::Start(0))?;
    let mut hasher = gix_hash::hasher(HashKind::Sha1);
    let mut buffer = vec![0; 64 << 10];
    loop {
        let got = file.read(&mut buffer)?;
        if got == 0 {
            break;
        }
        hasher.update(buffer.get(..got).unwrap_or_default());
    }
    let sum = hasher.try_finalize().map_err(io::Error::other)?;
    file.write_all(sum.as_slice())?;
    Ok(sum)
}

/// Which entries are differences to what.
struct Children {
    by_offset: Vec<(u64, usize)>,
    by_id: Vec<(Oid, usize)>,
}

impl Children {
    fn of(entries: &[Entry]) -> Self {
        let (mut by_offset, mut by_id) = (Vec::new(), Vec::new());
        for (number, entry) in entries.iter().enumerate().filter(|(_, e)| e.id.is_none()) {
            match entry.base {
                Base::None => {}
                Base::At(offset) => by_offset.push((offset, number)),
                Base::Id(id) => by_id.push((id, number)),
            }
        }
        by_offset.sort_unstable();
        by_id.sort_unstable();
        Self { by_offset, by_id }
    }

    fn below(&self, entry: &Entry) -> Vec<usize> {
        let mut below = equal(&self.by_offset, &entry.offset);
        if let Some(id) = &entry.id {
            below.extend(equal(&self.by_id, id));
        }
        below
    }
}

fn equal<K: Ord>(rows: &[(K, usize)], key: &K) -> Vec<usize> {
    let from = rows.partition_point(|(k, _)| k < key);
    rows.get(from..).unwrap_or_default().iter().take_while(|(k, _)| k == key).map(|(_, n)| *n).collect()
}

/// The pack as it comes: what is consumed is written to the file, hashed and counted.
struct Stream<'a> {
    input: &'a mut dyn Read,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    file: BufWriter<&'a mut File>,
    /// A failure to write, which `consume` cannot return.
    failed: Option<io::Error>,
    hasher: Hasher,
    crc: Crc,
    offset: u64,
    most: u64,
    over: bool,
}

impl<'a> Stream<'a> {
    fn new(input: &'a mut dyn Read, file: &'a mut File, most: u64) -> Self {
        Self {
            input,
            buffer: vec![0; 64 << 10],
            start: 0,
            end: 0,
            file: BufWriter::with_capacity(256 << 10, file),
            failed: None,
            hasher: gix_hash::hasher(HashKind::Sha1),
            crc: Crc::new(),
            offset: 0,
            most,
            over: false,
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)?;
        self.file.flush()
    }
}

impl Read for Stream<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let got = self.fill_buf()?.read(out)?;
        self.consume(got);
        Ok(got)
    }
}

impl BufRead for Stream<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.failed.take().map_or(Ok(()), Err)?;
        if self.start == self.end {
            if self.offset > self.most {
                self.over = true;
                return Err(io::Error::other("it is too long"));
            }
            self.start = 0;
            self.end = loop {
                match self.input.read(&mut self.buffer) {
                    Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                    other => break other?,
                }
            };
        }
        Ok(self.buffer.get(self.start..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        let piece = self.buffer.get(self.start..(self.start + count).min(self.end)).unwrap_or_default();
        if let Err(why) = self.file.write_all(piece) {
            self.failed = Some(why);
        }
        self.hasher.update(piece);
        self.crc.update(piece);
        self.offset += piece.len() as u64;
        self.start += piece.len();
    }
}
