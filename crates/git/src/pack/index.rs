//! The index of a pack: which object lies where. Version 2, the one that git writes since 2007.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use gix_hash::Kind as HashKind;

use crate::Oid;
use crate::error::Error;

const MARK: [u8; 8] = [0xff, b't', b'O', b'c', 0, 0, 0, 2];
const FANOUT: u64 = 8;
const NAMES: u64 = FANOUT + 1024;
/// An index up to this size is kept in memory; of a larger one each question reads a few bytes.
const KEPT: u64 = 8 << 20;
/// Above this, an offset lies in the table of large ones.
const LARGE: u64 = 0x8000_0000;

/// An object of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) id: Oid,
    pub(crate) offset: u64,
    pub(crate) crc: u32,
}

enum Source {
    Memory(Vec<u8>),
    File(File),
}

/// An index that is open.
pub(crate) struct Index {
    source: Source,
    fanout: Vec<u32>,
    count: u64,
    length: u64,
}

impl Index {
    /// Opens an index and checks its form. Its checksum is not: what it says is checked where it is used.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let bad = |why: &str| Error::pack(&path.display().to_string(), why);
        let file = File::open(path).map_err(Error::io("open", path))?;
        let length = file.metadata().map_err(Error::io("read", path))?.len();
        let source = if length <= KEPT {
            let mut all = vec![0; usize::try_from(length).unwrap_or(0)];
            file.read_exact_at(&mut all, 0).map_err(Error::io("read", path))?;
            Source::Memory(all)
        } else {
            Source::File(file)
        };
        let mut index = Self { source, fanout: Vec::new(), count: 0, length };
        let mut start = vec![0; 8 + 1024];
        index.at(0, &mut start).map_err(|_| bad("its index is cut off"))?;
        let (mark, table) = start.split_at(8);
        if mark != MARK {
            return Err(bad("its index is not of version 2 (git index-pack makes one)"));
        }
        index.fanout = table.chunks_exact(4).map(|b| b.try_into().map_or(0, u32::from_be_bytes)).collect();
        if index.fanout.windows(2).any(|pair| matches!(pair, [a, b] if a > b)) {
            return Err(bad("the table of its index is out of order"));
        }
        index.count = u64::from(index.fanout.last().copied().unwrap_or(0));
        if length < NAMES + index.count * 28 + 40 {
            return Err(bad("its index is cut off"));
        }
        Ok(index)
    }

    /// How many objects there are.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    fn at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match &self.source {
            Source::File(file) => file.read_exact_at(buffer, offset),
            Source::Memory(all) => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let piece = all.get(from..from.saturating_add(buffer.len()));
                buffer.copy_from_slice(piece.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
        }
    }

    fn id_at(&self, number: u64) -> io::Result<[u8; 20]> {
        let mut id = [0; 20];
        self.at(NAMES + number * 20, &mut id)?;
        Ok(id)
    }

    /// Where an object begins in the pack.
    pub(crate) fn find(&self, id: &Oid) -> io::Result<Option<u64>> {
        let Ok(wanted) = <[u8; 20]>::try_from(id.as_slice()) else { return Ok(None) };
        let first = usize::from(wanted[0]);
        let mut low = first.checked_sub(1).and_then(|i| self.fanout.get(i)).map_or(0, |n| u64::from(*n));
        let mut high = self.fanout.get(first).map_or(0, |n| u64::from(*n));
        while low < high {
            let middle = low + (high - low) / 2;
            match self.id_at(middle)?.cmp(&wanted) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return self.offset_at(middle).map(Some),
            }
        }
        Ok(None)
    }

    fn offset_at(&self, number: u64) -> io::Result<u64> {
        let offsets = NAMES + self.count * 24;
        let mut small = [0; 4];
        self.at(offsets + number * 4, &mut small)?;
        let small = u64::from(u32::from_be_bytes(small));
        if small < LARGE {
            return Ok(small);
        }
        let at = offsets + self.count * 4 + (small - LARGE) * 8;
        if at + 8 > self.length.saturating_sub(40) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut large = [0; 8];
        self.at(at, &mut large)?;
        Ok(u64::from_be_bytes(large))
    }
}

/// Writes the index of a pack. The places are sorted by id.
pub(crate) fn write(out: &mut dyn Write, places: &[Place], pack: Oid) -> io::Result<()> {
    let mut bytes = Vec::with_capacity(1024 + 8 + places.len() * 28 + 40);
    bytes.extend_from_slice(&MARK);
    let mut at = 0;
    for first in 0..=255u8 {
        at += places.get(at..).unwrap_or_default().iter().take_while(|p| p.id.first_byte() <= first).count();
        bytes.extend_from_slice(&u32::try_from(at).map_err(io::Error::other)?.to_be_bytes());
    }
    places.iter().for_each(|p| bytes.extend_from_slice(p.id.as_slice()));
    places.iter().for_each(|p| bytes.extend_from_slice(&p.crc.to_be_bytes()));
    let mut large = Vec::new();
    for place in places {
        let small = if place.offset < LARGE {
            place.offset
        } else {
            large.extend_from_slice(&place.offset.to_be_bytes());
            LARGE + (large.len() / 8 - 1) as u64
        };
        bytes.extend_from_slice(&u32::try_from(small).map_err(io::Error::other)?.to_be_bytes());
    }
    bytes.extend_from_slice(&large);
    bytes.extend_from_slice(pack.as_slice());
    let mut hasher = gix_hash::hasher(HashKind::Sha1);
    hasher.update(&bytes);
    bytes.extend_from_slice(hasher.try_finalize().map_err(io::Error::other)?.as_slice());
    out.write_all(&bytes)
}
