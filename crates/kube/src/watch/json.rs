//! JSON by its outline: where values begin and end, without reading what is in them.
//!
//! A watch of 150,000 pods is a gigabyte of JSON of which a few fields count. What is here finds them at
//! the speed of a search for quotes, and cuts the items of a list out of its body as it arrives, so that
//! no list is ever in memory. Only the outline is checked: who reads a value finds out what is in it.

use bytes::{Buf, Bytes, BytesMut};

/// The longest value that is read: an event, an item of a list.
pub(crate) const MAX_VALUE: usize = 64 * 1024 * 1024;

/// Follows one value to its end, through pieces of any size.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scan {
    depth: u32,
    in_string: bool,
    escaped: bool,
    /// A number or a word on the outermost level.
    scalar: bool,
}

impl Scan {
    /// Reads on. Returns the offset behind the value's last byte once that is reached; a number or a
    /// word has its end only at the byte that follows it.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Option<usize> {
        let mut at = 0;
        if self.escaped && !bytes.is_empty() {
            self.escaped = false;
            at = 1;
        }
        while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
            if self.in_string {
                at += memchr::memchr2(b'"', b'\\', rest)?;
                if bytes.get(at) == Some(&b'\\') {
                    self.escaped = at + 1 == bytes.len();
                    at += 2;
                    continue;
                }
                at += 1;
                self.in_string = false;
                if self.depth == 0 {
                    return Some(at);
                }
                continue;
            }
            for byte in rest {
                match byte {
                    b'"' => {
                        self.in_string = true;
                        at += 1;
                        break;
                    }
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' if self.depth == 0 => return Some(at),
                    b'}' | b']' => {
                        self.depth -= 1;
                        if self.depth == 0 {
                            return Some(at + 1);
                        }
                    }
                    b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' if self.depth == 0 && self.scalar => {
                        return Some(at);
                    }
                    _ => self.scalar = true,
                }
                at += 1;
            }
        }
        None
    }

    /// The end of the value that begins with the first byte of a whole document.
    fn whole(bytes: &[u8]) -> Option<usize> {
        let mut scan = Self::default();
        match scan.push(bytes) {
            Some(0) => None,
            Some(end) => Some(end),
            None => (scan.depth == 0 && scan.scalar && !scan.in_string).then_some(bytes.len()),
        }
    }
}

/// A part of a document: from, to.
pub(crate) type Span = std::ops::Range<usize>;

/// The fields of the object that begins at `from`, in their order; ends at the first thing that is no
/// field. Of a value that is no object there are none.
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    done: bool,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(bytes: &'a [u8], from: usize) -> Self {
        let mut fields = Self { bytes, at: from, done: false };
        fields.done = !fields.eat(b'{');
        fields
    }

    fn peek(&mut self) -> Option<u8> {
        let rest = self.bytes.get(self.at..)?;
        self.at += rest.iter().position(|b| !b.is_ascii_whitespace())?;
        self.bytes.get(self.at).copied()
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let there = self.peek() == Some(wanted);
        self.at += usize::from(there);
        there
    }

    fn value(&mut self) -> Option<Span> {
        self.peek()?;
        let from = self.at;
        self.at += Scan::whole(self.bytes.get(from..)?)?;
        Some(from..self.at)
    }

    /// The next key as it is written, without its quotes; [`Self::pass`] comes next.
    pub(crate) fn key(&mut self) -> Option<&'a [u8]> {
        if self.done {
            return None;
        }
        let key = if self.peek() == Some(b'"') { self.value() } else { None };
        self.done = key.is_none() || !self.eat(b':');
        let key = key.filter(|_| !self.done)?;
        self.bytes.get(key.start + 1..key.end - 1)
    }

    /// Where the value of that key is.
    pub(crate) fn pass(&mut self) -> Option<Span> {
        let value = self.value();
        self.done = value.is_none() || !self.eat(b',');
        value
    }

    /// Behind the object's last brace, where all of its fields were seen and it is whole.
    pub(crate) fn end(&mut self) -> Option<usize> {
        self.eat(b'}').then_some(self.at)
    }
}

impl<'a> Iterator for Fields<'a> {
    /// The key, and where the value is.
    type Item = (&'a [u8], Span);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.key()?;
        Some((key, self.pass()?))
    }
}

/// Where the value of a field is, by path from the object that begins at `from`.
pub(crate) fn find(bytes: &[u8], from: usize, path: &[&str]) -> Option<Span> {
    let mut span = from..bytes.len();
    for step in path {
        span = Fields::of(bytes, span.start).find(|(key, _)| *key == step.as_bytes())?.1;
    }
    Some(span)
}

/// What is between the quotes of a text without escapes; none of anything else.
pub(crate) fn plain(bytes: &[u8], span: &Span) -> Option<Span> {
    let inner = bytes.get(span.clone())?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!inner.contains(&b'\\') && std::str::from_utf8(inner).is_ok()).then(|| span.start + 1..span.end - 1)
}

/// Where in a list's body the splitter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Before the brace.
    Body,
    /// Before a field, or the end.
    Field,
    /// In a field's name.
    Name,
    /// Behind the name that was read last.
    Colon,
    /// Before the value of that field.
    Value,
    /// In that value.
    InValue,
    /// Before an item, or the end of the items.
    Item,
    /// In an item.
    InItem,
    /// Behind the body's last brace.
    End,
}

/// Cuts the items of a list out of its body as it arrives.
#[derive(Debug)]
pub(crate) struct Splitter {
    buffer: BytesMut,
    /// How much of the buffer `scan` has seen.
    scanned: usize,
    scan: Scan,
    at: At,
    field: Bytes,
    metadata: Bytes,
}

/// What a list says beside its items.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Page {
    /// The revision of the list.
    pub(crate) revision: String,
    /// What to ask the next page with; empty on the last one.
    pub(crate) next: String,
}

impl Splitter {
    pub(crate) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            scanned: 0,
            scan: Scan::default(),
            at: At::Body,
            field: Bytes::new(),
            metadata: Bytes::new(),
        }
    }

    /// Takes the next piece of the body.
    pub(crate) fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next item that is there as a whole; none where more of the body is needed, or at its end.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            if matches!(self.at, At::Name | At::InValue | At::InItem) {
                let Some(value) = self.value()? else { return Ok(None) };
                match self.at {
                    At::Name => (self.field, self.at) = (value, At::Colon),
                    At::InItem => {
                        self.at = At::Item;
                        return Ok(Some(value));
                    }
                    _ => {
                        self.at = At::Field;
                        if &self.field[..] == b"\"metadata\"" {
                            self.metadata = value;
                        }
                    }
                }
                continue;
            }
            let blank = self.buffer.iter().take_while(|b| b.is_ascii_whitespace()).count();
            self.buffer.advance(blank);
            let Some(byte) = self.buffer.first().copied() else { return Ok(None) };
            let items = &self.field[..] == b"\"items\"";
            let (eat, next) = match (self.at, byte) {
                (At::Body, b'{') => (true, At::Field),
                (At::Field | At::Item, b',') => (true, self.at),
                (At::Field, b'}') => (true, At::End),
                (At::Field, b'"') => (false, At::Name),
                (At::Colon, b':') => (true, At::Value),
                (At::Value, b'[') if items => (true, At::Item),
                (At::Value, _) => (false, At::InValue),
                (At::Item, b']') => (true, At::Field),
                (At::Item, b'{') => (false, At::InItem),
                _ => return Err(format!("no list of objects: {:?} at an odd place", char::from(byte))),
            };
            self.buffer.advance(usize::from(eat));
            self.at = next;
        }
    }

    /// The value at the buffer's start, once it is whole.
    fn value(&mut self) -> Result<Option<Bytes>, String> {
        let fresh = self.buffer.get(self.scanned..).unwrap_or_default();
        let Some(end) = self.scan.push(fresh) else {
            self.scanned = self.buffer.len();
            if self.scanned > MAX_VALUE {
                return Err(format!("a value of more than {MAX_VALUE} bytes"));
            }
            return Ok(None);
        };
        let value = self.buffer.split_to(self.scanned + end).freeze();
        (self.scan, self.scanned) = (Scan::default(), 0);
        Ok(Some(value))
    }

    /// What the list says of itself, at the end of its body.
    pub(crate) fn finish(&self) -> Result<Page, String> {
        if self.at != At::End {
            return Err("the list broke off".into());
        }
        let text = |name: &str| {
            let span = find(&self.metadata, 0, &[name]);
            span.and_then(|s| serde_json::from_slice::<String>(self.metadata.get(s)?).ok())
                .unwrap_or_default()
        };
        Ok(Page { revision: text("resourceVersion"), next: text("continue") })
    }
}

#[cfg(test)]
mod tests;
