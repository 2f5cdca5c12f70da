//! Objects: their ids, and the forms of trees, commits and tags. Pure: bytes in, values out.

use bytes::Bytes;
use gix_hash::Kind as HashKind;

use crate::Oid;
use crate::error::Error;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A state of the whole, with its parents.
    Commit,
    /// A folder.
    Tree,
    /// A file's content.
    Blob,
    /// A name for another object, with a message.
    Tag,
}

impl Kind {
    /// The word that git writes.
    pub fn word(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }

    pub(crate) fn of_word(word: &[u8]) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag].into_iter().find(|k| k.word().as_bytes() == word)
    }

    /// The number in a pack's entry.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Commit => 1,
            Self::Tree => 2,
            Self::Blob => 3,
            Self::Tag => 4,
        }
    }

    pub(crate) fn of_number(number: u8) -> Option<Self> {
        [Self::Commit, Self::Tree, Self::Blob, Self::Tag].into_iter().find(|k| k.number() == number)
    }
}

/// An object with its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its content, without the header that is hashed with it.
    pub data: Bytes,
}

/// The id of an object with this content.
///
/// # Errors
/// Where the content is one of those made to collide with another's SHA-1.
pub fn id_of(kind: Kind, data: &[u8]) -> Result<Oid, Error> {
    let mut hasher = gix_hash::hasher(HashKind::Sha1);
    hasher.update(format!("{} {}\0", kind.word(), data.len()).as_bytes());
    hasher.update(data);
    hasher.try_finalize().map_err(|why| Error::Pack { from: "an object".to_owned(), why: why.to_string() })
}

/// Twenty bytes as an id.
pub(crate) fn id_from(bytes: &[u8]) -> Option<Oid> {
    <[u8; 20]>::try_from(bytes).ok().map(Oid::from)
}

/// Forty hexadecimal digits as an id.
pub fn id_from_hex(hex: &[u8]) -> Option<Oid> {
    (hex.len() == 40).then(|| Oid::from_hex(hex).ok()).flatten()
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mode {
    /// A file.
    File,
    /// A file that may be run.
    Executable,
    /// A symbolic link.
    Symlink,
    /// A folder.
    Tree,
    /// A commit of another repository.
    Submodule,
}

impl Mode {
    /// The mode as it is written: octal, as git does.
    pub fn octal(self) -> &'static str {
        match self {
            Self::File => "100644",
            Self::Executable => "100755",
            Self::Symlink => "120000",
            Self::Tree => "40000",
            Self::Submodule => "160000",
        }
    }

    /// Old versions of git wrote group-writable files and leading zeros.
    fn read(octal: &[u8]) -> Option<Self> {
        match octal {
            b"100644" | b"100664" | b"100640" | b"100600" => Some(Self::File),
            b"100755" | b"100775" | b"100750" | b"100700" => Some(Self::Executable),
            b"120000" => Some(Self::Symlink),
            b"40000" | b"040000" => Some(Self::Tree),
            b"160000" => Some(Self::Submodule),
            _ => None,
        }
    }
}

/// One row of a tree, as it lies in the object. Its name is not checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) mode: Mode,
    pub(crate) name: &'a [u8],
    pub(crate) id: Oid,
}

/// The rows of a tree, in their order.
pub(crate) fn rows(id: Oid, mut data: &[u8]) -> Result<Vec<Row<'_>>, Error> {
    let mut rows = Vec::with_capacity(data.len() / 33);
    while !data.is_empty() {
        let (row, rest) = row(data).ok_or_else(|| {
            Error::object(id, "it is a tree with a row that is cut off or has an unknown mode")
        })?;
        rows.push(row);
        data = rest;
    }
    Ok(rows)
}

fn row(data: &[u8]) -> Option<(Row<'_>, &[u8])> {
    let space = data.iter().position(|b| *b == b' ')?;
    let (octal, rest) = data.split_at(space);
    let rest = rest.get(1..)?;
    let end = rest.iter().position(|b| *b == 0)?;
    let (name, rest) = rest.split_at(end);
    let id = id_from(rest.get(1..21)?)?;
    let mode = Mode::read(octal)?;
    if name.is_empty() || name.contains(&b'/') {
        return None;
    }
    Some((Row { mode, name, id }, rest.get(21..)?))
}

/// The order of names in a tree: folders as if their names ended in a slash.
pub(crate) fn tree_order(a: (&[u8], bool), b: (&[u8], bool)) -> std::cmp::Ordering {
    let spelled = |(name, tree): (&[u8], bool)| [name, if tree { b"/" } else { b"" }].concat();
    spelled(a).cmp(&spelled(b))
}

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name.
    pub name: String,
    /// The e-mail address.
    pub email: String,
    /// Seconds since 1970, UTC.
    pub seconds: i64,
    /// The offset of the place from UTC, in minutes.
    pub offset: i32,
}

impl Who {
    /// The line of a commit.
    pub(crate) fn line(&self) -> String {
        let (sign, minutes) = (if self.offset < 0 { '-' } else { '+' }, self.offset.unsigned_abs());
        format!(
            "{} <{}> {} {sign}{:02}{:02}",
            self.name,
            self.email,
            self.seconds,
            minutes / 60,
            minutes % 60
        )
    }

    /// Reads what is there; what is missing stays empty, as old histories hold all kinds of lines.
    fn read(line: &[u8]) -> Self {
        let text = String::from_utf8_lossy(line);
        let (name, rest) = text.split_once('<').unwrap_or((&text, ""));
        let (email, time) = rest.rsplit_once('>').unwrap_or((rest, ""));
        let mut words = time.split_whitespace();
        let seconds = words.next().and_then(|w| w.parse().ok()).unwrap_or(0);
        let offset = words.next().and_then(offset_of).unwrap_or(0);
        Self { name: name.trim().to_owned(), email: email.to_owned(), seconds, offset }
    }
}

fn offset_of(word: &str) -> Option<i32> {
    let number: i32 = word.parse().ok()?;
    Some((number / 100).checked_mul(60)? + number % 100)
}

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its tree.
    pub tree: Oid,
    /// The commits before it; the first is the branch that it was made on.
    pub parents: Vec<Oid>,
    /// Who wrote the change.
    pub author: Who,
    /// Who made the commit.
    pub committer: Who,
    /// The message. Bytes that are no UTF-8 are replaced.
    pub message: String,
    /// Whether it carries a signature. This says nothing about whose.
    pub signed: bool,
}

impl Commit {
    /// Reads the content of a commit.
    ///
    /// # Errors
    /// Where it has no tree, or a header line is broken.
    pub fn read(id: Oid, data: &[u8]) -> Result<Self, Error> {
        let wrong = |why: &str| Error::object(id, format!("it is a commit {why}"));
        let (headers, message) = headers(data).ok_or_else(|| wrong("whose headers do not end"))?;
        let mut headers = headers.into_iter().peekable();
        let tree =
            headers.next().filter(|(key, _)| *key == b"tree").and_then(|(_, value)| id_from_hex(value));
        let tree = tree.ok_or_else(|| wrong("without a tree"))?;
        let mut parents = Vec::new();
        while let Some((_, value)) = headers.next_if(|(key, _)| *key == b"parent") {
            parents.push(id_from_hex(value).ok_or_else(|| wrong("with a parent that is no id"))?);
        }
        let (mut author, mut committer, mut signed) = (None, None, false);
        for (key, value) in headers {
            match key {
                b"author" if author.is_none() => author = Some(Who::read(value)),
                b"committer" if committer.is_none() => committer = Some(Who::read(value)),
                b"gpgsig" => signed = true,
                _ => {}
            }
        }
        let author = author.ok_or_else(|| wrong("without an author"))?;
        let committer = committer.ok_or_else(|| wrong("without a committer"))?;
        let message = String::from_utf8_lossy(message).into_owned();
        Ok(Self { tree, parents, author, committer, message, signed })
    }

    /// The first line of the message.
    pub fn title(&self) -> &str {
        self.message.lines().find(|line| !line.trim().is_empty()).unwrap_or("").trim()
    }
}

/// A header line: its key and its value.
type Header<'a> = (&'a [u8], &'a [u8]);

/// Header lines and what follows the empty line. Lines that begin with a space continue the one before.
fn headers(mut data: &[u8]) -> Option<(Vec<Header<'_>>, &[u8])> {
    let mut found = Vec::new();
    while !data.is_empty() {
        let end = data.iter().position(|b| *b == b'\n')?;
        let (line, rest) = data.split_at(end);
        data = rest.get(1..)?;
        if line.is_empty() {
            return Some((found, data));
        }
        if line.first() == Some(&b' ') {
            continue;
        }
        let space = line.iter().position(|b| *b == b' ')?;
        let (key, value) = line.split_at(space);
        found.push((key, value.get(1..)?));
    }
    // No message at all is allowed.
    Some((found, data))
}

/// What a tag points at.
pub(crate) fn tag_target(id: Oid, data: &[u8]) -> Result<Oid, Error> {
    let target = headers(data).and_then(|(h, _)| h.into_iter().find(|(key, _)| *key == b"object"));
    target
        .and_then(|(_, value)| id_from_hex(value))
        .ok_or_else(|| Error::object(id, "it is a tag without an object"))
}

/// The objects that one needs to be whole: for a commit its tree and parents, apart.
pub(crate) fn links(id: Oid, kind: Kind, data: &[u8], each: &mut dyn FnMut(Oid, bool)) -> Result<(), Error> {
    match kind {
        Kind::Blob => {}
        Kind::Tag => each(tag_target(id, data)?, false),
        Kind::Tree => {
            for row in rows(id, data)?.iter().filter(|row| row.mode != Mode::Submodule) {
                each(row.id, false);
            }
        }
        Kind::Commit => {
            let commit = Commit::read(id, data)?;
            each(commit.tree, false);
            commit.parents.iter().for_each(|parent| each(*parent, true));
        }
    }
    Ok(())
}
