//! Packs as nobody honest makes them: each is refused in words, and nothing of it is kept.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::pack::read::{Around, Pack};
use crate::task::Cancel;

/// Small limits: a test that reaches them is fast.
fn limits() -> Limits {
    Limits {
        pack_bytes: 1 << 20,
        objects: 10_000,
        object_bytes: 1 << 20,
        unpacked_bytes: 8 << 20,
        time: Duration::from_secs(60),
        ..Limits::default()
    }
}

/// Writes a pack by hand.
struct Raw {
    bytes: Vec<u8>,
    count: u32,
}

impl Raw {
    fn new() -> Self {
        Self { bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(), count: 0 }
    }

    /// An entry of any number and size, and what follows it.
    fn entry(mut self, number: u8, size: u64, rest: &[u8]) -> Self {
        let (mut byte, mut left) = ((number << 4) | (size & 15) as u8, size >> 4);
        while left > 0 {
            self.bytes.push(byte | 128);
            (byte, left) = ((left & 127) as u8, left >> 7);
        }
        self.bytes.push(byte);
        self.bytes.extend_from_slice(rest);
        self.count += 1;
        self
    }

    fn whole(self, kind: Kind, data: &[u8]) -> Self {
        let packed = deflate(data).unwrap();
        self.entry(kind.number(), data.len() as u64, &packed)
    }

    fn blob(self, data: &[u8]) -> Self {
        self.whole(Kind::Blob, data)
    }

    /// A difference to the entry at this offset of the pack.
    fn delta_at(self, base: u64, delta: &[u8]) -> Self {
        let mut distance = self.bytes.len() as u64 - base;
        let mut spelled = vec![(distance & 127) as u8];
        while distance > 127 {
            distance = (distance >> 7) - 1;
            spelled.insert(0, 128 | (distance & 127) as u8);
        }
        let packed = deflate(delta).unwrap();
        self.entry(6, delta.len() as u64, &[spelled, packed].concat())
    }

    fn delta_of(self, base: Oid, delta: &[u8]) -> Self {
        let packed = deflate(delta).unwrap();
        self.entry(7, delta.len() as u64, &[base.as_slice(), &packed].concat())
    }

    fn at(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn done(self) -> Vec<u8> {
        let count = self.count;
        self.claiming(count)
    }

    fn claiming(mut self, count: u32) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&count.to_be_bytes());
        let mut hasher = gix_hash::hasher(HashKind::Sha1);
        hasher.update(&self.bytes);
        self.bytes.extend_from_slice(hasher.try_finalize().unwrap().as_slice());
        self.bytes
    }
}

fn number(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value > 127 {
        out.push(128 | (value & 127) as u8);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A difference: sizes and instructions.
fn delta(base: u64, result: u64, instructions: &[u8]) -> Vec<u8> {
    [number(base), number(result), instructions.to_vec()].concat()
}

/// Copies the first 100 bytes of the base.
const COPY_100: &[u8] = &[0x80 | 0x10, 100];

fn blob_id(data: &[u8]) -> Oid {
    id_of(Kind::Blob, data).unwrap()
}

fn take(
    pack: &[u8],
    limits: Limits,
    present: &HashMap<Oid, Object>,
    folder: &Path,
) -> Result<Option<Received>, Error> {
    let task = Task::new(limits, Cancel::default());
    let receiver = Receiver {
        folder,
        from: "https://git.example/m",
        shallow: &HashSet::new(),
        present: &|id| Ok(present.get(id).cloned()),
        exists: &|id| Ok(present.contains_key(id)),
        task: &task,
    };
    receiver.receive(&mut &pack[..])
}

/// What is said about a pack. Nothing may be left of it.
fn refusal(pack: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let why = take(pack, limits(), &HashMap::new(), folder.path()).expect_err("a pack that must be refused");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "something of the pack was kept");
    why.to_string()
}

struct Nothing;

impl Around for Nothing {
    fn outside(&self, _: &Oid) -> Result<Option<Object>, Error> {
        Ok(None)
    }
    fn known(&self, _: u64) -> Option<Object> {
        None
    }
    fn note(&self, _: u64, _: &Object) {}
}

fn open(folder: &Path) -> Pack {
    let names = std::fs::read_dir(folder).unwrap().flatten().map(|e| e.path());
    Pack::open(&names.into_iter().find(|p| p.extension().is_some_and(|e| e == "idx")).unwrap()).unwrap()
}

fn good() -> Vec<u8> {
    let base = [b'a'; 200];
    let raw = Raw::new().blob(&base);
    raw.delta_at(12, &delta(200, 103, &[&[3, b'x', b'y', b'z'], COPY_100].concat())).blob(b"").done()
}

#[test]
fn what_is_whole_is_kept_and_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let received = take(&good(), limits(), &HashMap::new(), folder.path()).unwrap().unwrap();
    assert_eq!((received.objects, received.bytes), (3, good().len() as u64));
    let pack = open(folder.path());
    let made = [b"xyz".to_vec(), vec![b'a'; 100]].concat();
    let offset = pack.index.find(&blob_id(&made)).unwrap().unwrap();
    assert_eq!(pack.read(offset, 1000, &Nothing).unwrap().data, made);
    assert!(pack.read(offset, 102, &Nothing).unwrap_err().to_string().contains("an object of 200 bytes"));
    assert_eq!(pack.index.find(&blob_id(b"other")).unwrap(), None);
}

#[test]
fn a_pack_without_objects_is_no_pack() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(take(&Raw::new().done(), limits(), &HashMap::new(), folder.path()).unwrap(), None);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_pack_that_is_cut_off_anywhere_is_refused() {
    let pack = good();
    for end in 0..pack.len() {
        assert!(refusal(&pack[..end]).contains("is broken"), "cut at {end}");
    }
}

#[test]
fn a_pack_with_any_byte_changed_is_refused() {
    let pack = good();
    for at in 0..pack.len() {
        let mut bad = pack.clone();
        bad[at] ^= 1;
        refusal(&bad);
    }
}

#[test]
fn hostile_packs_are_refused_in_words() {
    let long = Raw::new().blob(&[b'a'; 200]);
    let after = long.at();
    let tree = [b"100644 a\0".to_vec(), blob_id(b"absent").as_slice().to_vec()].concat();
    let commit = format!("tree {}\nauthor a <a> 0 +0000\ncommitter a <a> 0 +0000\n\nx\n", blob_id(b"absent"));
    let zeros = deflate(&vec![0; 3 << 20]).unwrap();
    let mut copies = Vec::new();
    (0..1000).for_each(|_| copies.extend_from_slice(&[0x80 | 0x20, 0x80]));
    let table: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no pack", b"<html>not found</html>".to_vec(), "does not begin as a pack"),
        ("a count that is too large", Raw::new().claiming(u32::MAX), "limit of 10000 objects"),
        ("a count without objects", Raw::new().claiming(5000), "an object of 6946865 bytes"),
        ("fewer than announced", Raw::new().blob(b"a").claiming(2), "an object of 16871029 bytes"),
        ("more than announced", Raw::new().blob(b"a").blob(b"b").claiming(1), "checksum"),
        ("an unknown kind", Raw::new().entry(5, 0, &deflate(b"").unwrap()).done(), "no known kind"),
        (
            "a size beyond all",
            Raw::new().entry(3, u64::MAX, &deflate(b"").unwrap()).done(),
            "a size that no object can have",
        ),
        (
            "a size beyond the limit",
            Raw::new().entry(3, 1 << 50, &deflate(b"").unwrap()).done(),
            "limit of 1048576 bytes",
        ),
        (
            "a bomb that says that it is small",
            Raw::new().entry(3, 10, &zeros).done(),
            "unpacks to 11 bytes or more, where its header says 10",
        ),
        (
            "an object that is too large",
            Raw::new().entry(3, 3 << 20, &zeros).done(),
            "limit of 1048576 bytes",
        ),
        (
            "less than announced",
            Raw::new().entry(3, 10, &deflate(b"a").unwrap()).done(),
            "where its header says 10",
        ),
        ("no zlib", Raw::new().entry(3, 10, b"0123456789abcdef").done(), "damaged"),
        (
            "a base before the pack",
            Raw::new().entry(6, 0, &[&[0xff, 0x7f][..], &deflate(b"").unwrap()].concat()).done(),
            "its base is no entry before it",
        ),
        (
            "itself as base",
            Raw::new().entry(6, 0, &[&[0][..], &deflate(b"").unwrap()].concat()).done(),
            "its base is no entry before it",
        ),
        (
            "a base inside of an entry",
            Raw::new().blob(&[b'a'; 200]).delta_at(14, &delta(200, 100, COPY_100)).done(),
            "its base is no entry before it",
        ),
        (
            "a base that is nowhere",
            Raw::new().delta_of(blob_id(b"absent"), &delta(200, 100, COPY_100)).done(),
            "1 of its objects are differences to objects that are nowhere, or to each other",
        ),
        (
            "a base of another size",
            Raw::new().blob(b"abc").delta_at(12, &delta(200, 100, COPY_100)).done(),
            "not to the object that it names",
        ),
        (
            "a result beyond all",
            Raw::new().blob(&[b'a'; 200]).delta_at(12, &delta(200, 1 << 60, COPY_100)).done(),
            "limit of 1048576 bytes",
        ),
        (
            "a result that is not reached",
            Raw::new().blob(&[b'a'; 200]).delta_at(12, &delta(200, 101, COPY_100)).done(),
            "makes less than it announces",
        ),
        (
            "a result that is passed",
            Raw::new().blob(&[b'a'; 200]).delta_at(12, &delta(200, 99, COPY_100)).done(),
            "makes more than it announces",
        ),
        (
            "a copy from beyond",
            Raw::new().blob(&[b'a'; 50]).delta_at(12, &delta(50, 100, COPY_100)).done(),
            "copies from beyond its base",
        ),
        ("a reserved instruction", Raw::new().blob(b"a").delta_at(12, &delta(1, 1, &[0])).done(), "reserved"),
        (
            "an instruction that is cut off",
            Raw::new().blob(b"a").delta_at(12, &delta(1, 9, &[9, b'x'])).done(),
            "cut off",
        ),
        ("a difference without sizes", Raw::new().blob(b"a").delta_at(12, &[0x80]).done(), "cut off"),
        (
            "a difference that makes very much",
            Raw::new().blob(&vec![b'a'; 0x8000]).delta_at(12, &delta(0x8000, 0x8000 * 1000, &copies)).done(),
            "limit of 1048576 bytes",
        ),
        ("a tree without its file", Raw::new().whole(Kind::Tree, &tree).done(), "is needed and was not sent"),
        (
            "a commit without its tree",
            Raw::new().whole(Kind::Commit, commit.as_bytes()).done(),
            "is needed and was not sent",
        ),
        (
            "a tree that is none",
            Raw::new().whole(Kind::Tree, b"hello").done(),
            "cut off or has an unknown mode",
        ),
        ("a commit that is none", Raw::new().whole(Kind::Commit, b"hello").done(), "commit"),
    ];
    assert!(after > 12);
    for (what, pack, words) in table {
        let said = refusal(&pack);
        assert!(said.contains(words), "{what}: {said}");
    }
}

#[test]
fn all_objects_together_are_bounded_however_small_the_pack_is() {
    let zeros = vec![0; 1 << 20];
    let bomb = (0..9).fold(Raw::new(), |raw, _| raw.blob(&zeros)).done();
    assert!(bomb.len() < 20_000);
    assert!(refusal(&bomb).contains("limit of 8388608 bytes"));
    // The same by differences: each entry is a dozen bytes.
    let mut copies = Vec::new();
    (0..16).for_each(|_| copies.extend_from_slice(&[0x80 | 0x20 | 0x40, 0, 1]));
    let raw = Raw::new().blob(&vec![0; 65536]);
    let raw = (0..20).fold(raw, |raw, n| {
        let instructions = [copies.clone(), vec![1, n]].concat();
        raw.delta_at(12, &delta(65536, 65536 * 16 - 65536 + 1, &instructions[3..]))
    });
    assert!(refusal(&raw.done()).contains("limit of 8388608 bytes"));
}

#[test]
fn a_chain_without_an_end_is_refused() {
    let mut raw = Raw::new().blob(b"a");
    let mut base = 12;
    for _ in 0..5000 {
        let next = raw.at();
        raw = raw.delta_at(base, &delta(1, 1, &[0x80 | 0x10, 1]));
        base = next;
    }
    assert!(refusal(&raw.done()).contains("a chain of differences"));
}

#[test]
fn a_pack_longer_than_the_limit_is_refused_while_it_comes() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u8
    };
    let noise: Vec<u8> = (0..600_000).map(|_| next()).collect();
    let pack = Raw::new().blob(&noise).blob(&noise[1..]).blob(&noise[2..]).done();
    assert!(pack.len() > 1 << 20);
    assert!(refusal(&pack).contains("limit of 1048576 bytes"));
}

#[test]
fn bases_that_are_here_complete_a_thin_pack() {
    let base = vec![b'a'; 200];
    let id = blob_id(&base);
    let present = HashMap::from([(id, Object { kind: Kind::Blob, data: base.into() })]);
    let first = delta(200, 103, &[&[3, b'x', b'y', b'z'], COPY_100].concat());
    let made = [b"xyz".to_vec(), vec![b'a'; 100]].concat();
    let second = delta(103, 100, COPY_100);
    // The second one's base is the first, by an id that is known only once the first is made.
    let pack = Raw::new().delta_of(blob_id(&made), &second).delta_of(id, &first).done();
    let folder = tempfile::tempdir().unwrap();
    let received = take(&pack, limits(), &present, folder.path()).unwrap().unwrap();
    assert_eq!(received.objects, 3, "the base is in the pack now");
    let pack = open(folder.path());
    for data in [&made, &made[..100].to_vec(), &vec![b'a'; 200]] {
        let offset = pack.index.find(&blob_id(data)).unwrap().unwrap();
        assert_eq!(pack.read(offset, 1000, &Nothing).unwrap().data, *data);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No bytes panic the reader, also where the checksum is right again.
    #[test]
    fn a_mangled_pack_never_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), fix: bool) {
        let mut pack = good();
        for (at, byte) in changes {
            let at = at.index(pack.len());
            pack[at] = byte;
        }
        if fix {
            let end = pack.len() - 20;
            let mut hasher = gix_hash::hasher(HashKind::Sha1);
            hasher.update(&pack[..end]);
            let sum = hasher.try_finalize().unwrap();
            pack[end..].copy_from_slice(sum.as_slice());
        }
        let folder = tempfile::tempdir().unwrap();
        let _ = take(&pack, limits(), &HashMap::new(), folder.path());
    }

    /// A difference is applied or refused, and what it makes is never more than it announces.
    #[test]
    fn any_difference_is_applied_or_refused(base in proptest::collection::vec(any::<u8>(), 0..300), bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let difference = delta(base.len() as u64, 200, &bytes);
        if let Ok(made) = crate::pack::delta::apply(&base, &difference) {
            prop_assert_eq!(made.len(), 200);
        }
        let _ = crate::pack::delta::apply(&base, &bytes);
    }
}
