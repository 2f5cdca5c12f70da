//! Packs: many objects in one file, many of them as differences to others. Written here rather than taken
//! from a library because what they unpack to is the sender's choice: every size is bounded where it is read.

pub(crate) mod delta;
pub(crate) mod index;
pub(crate) mod read;
pub(crate) mod receive;
pub(crate) mod write;

use std::io::{self, BufRead};

use crate::Oid;
use crate::object::{Kind, id_from};

/// The first bytes of a pack: mark, version, count.
pub(crate) const HEADER: usize = 12;
/// The checksum at the end of a pack or an index.
pub(crate) const TRAILER: usize = 20;
/// How long a chain of differences may be. git makes them of 50 at most, and refuses what is beyond 4,095.
pub(crate) const MAX_CHAIN: usize = 4095;

/// What stands before the compressed data of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Head {
    /// A whole object.
    Whole(Kind),
    /// A difference to the entry that many bytes before this one.
    Offset(u64),
    /// A difference to an object by its id.
    Id(Oid),
}

/// The checksum that stands behind this content of a pack. Content made to collide with another's SHA-1
/// has that of nothing.
pub fn checksum(content: &[u8]) -> Oid {
    let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
    hasher.update(content);
    hasher.try_finalize().unwrap_or_else(|_| Oid::null(gix_hash::Kind::Sha1))
}

/// A byte that must be there.
fn byte(input: &mut impl BufRead) -> io::Result<u8> {
    let found = input.fill_buf()?.first().copied();
    let found = found
        .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle of an entry"))?;
    input.consume(1);
    Ok(found)
}

fn wrong(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// Reads what stands before an entry's data: what it is, and the size that its data unpacks to.
pub(crate) fn head(input: &mut impl BufRead) -> io::Result<(Head, u64)> {
    let first = byte(input)?;
    let (number, mut size, mut shift, mut more) =
        ((first >> 4) & 7, u64::from(first & 15), 4u32, first & 128 != 0);
    while more {
        let next = byte(input)?;
        if shift > 56 {
            return Err(wrong("an entry has a size that no object can have"));
        }
        size |= u64::from(next & 127) << shift;
        (shift, more) = (shift + 7, next & 128 != 0);
    }
    let head = match number {
        6 => Head::Offset(distance(input)?),
        7 => {
            let mut id = [0; 20];
            for slot in &mut id {
                *slot = byte(input)?;
            }
            Head::Id(id_from(&id).ok_or_else(|| wrong("an entry has no id"))?)
        }
        other => Head::Whole(Kind::of_number(other).ok_or_else(|| wrong("an entry is of no known kind"))?),
    };
    Ok((head, size))
}

/// The distance to a base: seven bits a byte, each byte but the first one more than it says.
fn distance(input: &mut impl BufRead) -> io::Result<u64> {
    let mut next = byte(input)?;
    let mut distance = u64::from(next & 127);
    while next & 128 != 0 {
        next = byte(input)?;
        if distance > 1 << 48 {
            return Err(wrong("an entry has a base before the begin of the pack"));
        }
        distance = ((distance + 1) << 7) | u64::from(next & 127);
    }
    Ok(distance)
}

/// What stands before the data of a whole object.
pub(crate) fn put_head(out: &mut Vec<u8>, kind: Kind, size: u64) {
    let (mut byte, mut rest) = ((kind.number() << 4) | (size & 15) as u8, size >> 4);
    while rest > 0 {
        out.push(byte | 128);
        (byte, rest) = ((rest & 127) as u8, rest >> 7);
    }
    out.push(byte);
}
