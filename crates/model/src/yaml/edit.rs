//! Changes single scalars of a YAML text and leaves every other byte as it was: comments, order, quotes,
//! line ends, anchors.
//!
//! [`scalars`] says where each scalar of a stream stands; [`apply`] puts new values into such places, and holds
//! the result against the text before: what would change anything else is refused.

#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, Span};

use super::{MAX_BYTES, MAX_DEPTH, MAX_NODES, Mark, Source};
use crate::origin::Layer;
use crate::problem::{Kind, Problem};

pub use write::{Change, Insert, apply, beside};

/// One step from the root of a document to a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The value of a key.
    Key(Arc<str>),
    /// An item of a list, from 0.
    Item(usize),
}

/// How a scalar is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quotes {
    /// Not at all.
    None,
    /// `'…'`.
    Single,
    /// `"…"`.
    Double,
    /// A block, `|` or `>`.
    Block,
}

/// A scalar that is a value (no key), and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The document in the stream, from 0; empty ones count.
    pub document: usize,
    /// The way to it.
    pub path: Vec<Step>,
    /// Its bytes, quotes included, tag and anchor not. Of a block from its `|` or `>` to the end of its last
    /// line that is not blank, without the line's end; of an empty value none, directly behind the colon.
    pub range: Range<usize>,
    /// Its text, escapes resolved.
    pub text: String,
    /// How it is quoted.
    pub quotes: Quotes,
    /// Whether it stands in a flow list or map (`[…]`, `{…}`), or is a key's JSON value.
    pub flow: bool,
    /// The number of its anchor (`&name`); aliases of it follow what is written here.
    pub anchor: Option<usize>,
    /// It is no scalar but an alias (`*name`) of the anchor with this number.
    pub alias: Option<usize>,
    /// It carries a tag (`!!str`).
    pub tagged: bool,
    /// The column of its key in characters, from 1; 0 for items of lists.
    pub key_column: u32,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// Which event of the parser it is.
    event: usize,
}

impl Place {
    /// Whether the way to it ends with these keys; `*` stands for any item of a list.
    pub fn ends_with(&self, keys: &[&str]) -> bool {
        let Some(start) = self.path.len().checked_sub(keys.len()) else { return false };
        let tail = self.path.get(start..).unwrap_or_default();
        tail.iter().zip(keys).all(|(step, key)| match step {
            Step::Key(name) => name.as_ref() == *key,
            Step::Item(_) => *key == "*",
        })
    }

    /// The value of a step's key, for paths that are compared.
    pub fn key(&self, index: usize) -> Option<&str> {
        match self.path.get(index)? {
            Step::Key(name) => Some(name),
            Step::Item(_) => None,
        }
    }
}

/// A text and its scalars.
#[derive(Debug)]
pub struct Scalars {
    /// The file, for errors.
    pub source: Arc<Source>,
    /// All scalars that are values, in the order of the text.
    pub places: Vec<Place>,
    /// Number of documents.
    pub documents: usize,
}

impl Scalars {
    /// A problem at a place.
    pub fn problem(&self, place: &Place, message: impl Into<String>) -> Problem {
        let mark = Mark {
            source: Arc::clone(&self.source),
            line: place.line,
            column: place.column,
            width: u32::try_from(place.range.len()).unwrap_or(1),
        };
        Problem::at(&mark, Kind::Value, message)
    }

    /// What follows a place on its line as a comment, `#` included, with its bytes; of a block what follows its
    /// `|` or `>`.
    pub fn comment_after(&self, place: &Place) -> Option<Range<usize>> {
        if place.quotes == Quotes::Block && !place.text.trim().is_empty() {
            let comment = write::Block::of(self.source.text.get(place.range.clone())?).comment?;
            return Some(place.range.start + comment.start..place.range.start + comment.end);
        }
        let rest = self.source.text.get(place.range.end..)?;
        let line = rest.split(['\n', '\r']).next().unwrap_or_default();
        let mut at = 0;
        // What closes flow lists and maps may stand between.
        for (index, c) in line.char_indices() {
            match c {
                '#' if index == 0 || line.as_bytes().get(index - 1).is_some_and(u8::is_ascii_whitespace) => {
                    at = index;
                    break;
                }
                ' ' | '\t' | ']' | '}' | ',' => {}
                _ => return None,
            }
        }
        let comment = line.get(at..).filter(|c| c.starts_with('#'))?;
        let start = place.range.end + at;
        Some(start..start + comment.trim_end().len())
    }
}

/// Where each scalar of a YAML stream stands.
///
/// # Errors
/// What is no YAML, is too large or too deep.
pub fn scalars(name: &str, text: &str) -> Result<Scalars, Problem> {
    if text.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, at most {MAX_BYTES} are read", text.len());
        return Err(Problem::of_file(name, Kind::Syntax, message));
    }
    let source = Arc::new(Source { name: name.into(), text: text.to_owned(), layer: Layer::App });
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut walk = Walk {
        source: Arc::clone(&source),
        offset: text.len() - body.len(),
        bytes: Offsets::new(body),
        open: Vec::new(),
        places: Vec::new(),
        document: None,
        events: 0,
        last: 0,
    };
    let mut parser = Parser::new_from_str(body);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| {
            let at = error.marker();
            let mark = walk.mark(at.line(), at.col());
            Problem::at(&mark, Kind::Syntax, format!("no valid YAML: {}", error.info()))
        })?;
        if matches!(event, Event::StreamEnd) {
            break;
        }
        walk.event(event, span)?;
        walk.events += 1;
    }
    let documents = walk.document.map_or(0, |d| d + 1);
    Ok(Scalars { source, places: walk.places, documents })
}

/// From indices of characters to offsets of bytes, asked in rising order mostly.
struct Offsets<'a> {
    text: &'a str,
    /// Offset of every 64th character.
    every: Vec<usize>,
    ascii: bool,
}

const STRIDE: usize = 64;

impl<'a> Offsets<'a> {
    fn new(text: &'a str) -> Self {
        let ascii = text.is_ascii();
        let every = if ascii {
            Vec::new()
        } else {
            text.char_indices().step_by(STRIDE).map(|(offset, _)| offset).collect()
        };
        Self { text, every, ascii }
    }

    fn of(&self, index: usize) -> usize {
        if self.ascii {
            return index.min(self.text.len());
        }
        let Some(start) = self.every.get(index / STRIDE) else { return self.text.len() };
        let rest = self.text.get(*start..).unwrap_or_default();
        rest.char_indices().nth(index % STRIDE).map_or(self.text.len(), |(offset, _)| start + offset)
    }
}

/// A list or map that is being read.
enum Open {
    List { next: usize, flow: bool },
    Map { key: Option<Arc<str>>, column: u32, flow: bool, complex: usize },
}

struct Walk<'a> {
    source: Arc<Source>,
    /// Bytes before what the parser sees.
    offset: usize,
    bytes: Offsets<'a>,
    open: Vec<Open>,
    places: Vec<Place>,
    document: Option<usize>,
    /// Events so far.
    events: usize,
    /// Where the last scalar ended: between it and the next one stand punctuation, comments, tags and anchors.
    last: usize,
}

impl Walk<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        match event {
            Event::DocumentStart(explicit) => {
                self.document = Some(self.document.map_or(0, |d| d + 1));
                if explicit {
                    self.last = self.bytes.of(span.end.index());
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let quotes = quotes(style);
                self.value(span, text.into_owned(), quotes, anchor, None, tag.is_some())?;
            }
            Event::Alias(id) => self.value(span, String::new(), Quotes::None, 0, Some(id), false)?,
            Event::SequenceStart(..) => self.begin(span, |flow| Open::List { next: 0, flow })?,
            Event::MappingStart(..) => {
                self.begin(span, |flow| Open::Map { key: None, column: 0, flow, complex: 0 })?
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                self.end_of_value(None);
            }
            _ => {}
        }
        Ok(())
    }

    fn begin(&mut self, span: Span, open: impl FnOnce(bool) -> Open) -> Result<(), Problem> {
        if self.open.len() >= MAX_DEPTH {
            let mark = self.mark(span.start.line(), span.start.col());
            return Err(Problem::at(&mark, Kind::Syntax, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let at = self.bytes.of(span.start.index());
        let flow = self.is_flow() || self.bytes.text.get(at..).is_some_and(|t| t.starts_with(['[', '{']));
        // A list or map as a key has no path: what it holds is no value.
        if let Some(Open::Map { key: key @ None, complex, .. }) = self.open.last_mut() {
            *key = None;
            *complex += 1;
        }
        self.open.push(open(flow));
        Ok(())
    }

    fn is_flow(&self) -> bool {
        matches!(self.open.last(), Some(Open::List { flow: true, .. } | Open::Map { flow: true, .. }))
    }

    /// A scalar or alias: a key, or a value.
    fn value(
        &mut self,
        span: Span,
        text: String,
        quotes: Quotes,
        anchor: usize,
        alias: Option<usize>,
        tagged: bool,
    ) -> Result<(), Problem> {
        let start = u32::try_from(span.start.col()).unwrap_or(u32::MAX).saturating_add(1);
        let is_key = matches!(self.open.last(), Some(Open::Map { key: None, complex: 0, .. }));
        let is_empty = text.is_empty() && quotes == Quotes::None && alias.is_none();
        let range = match quotes {
            Quotes::Block => self.block(span, &text),
            // Its span is that of what comes next.
            Quotes::None if is_empty && !is_key => self.empty(span, anchor > 0 || tagged),
            _ => self.range(span, quotes),
        };
        self.last = self.last.max(range.end);
        let range = range.start + self.offset..range.end + self.offset;
        if let Some(Open::Map { key: key @ None, column, complex: 0, .. }) = self.open.last_mut() {
            *key = Some(text.into());
            *column = start;
            return Ok(());
        }
        if self.places.len() >= MAX_NODES {
            let mark = self.mark(span.start.line(), span.start.col());
            return Err(Problem::at(&mark, Kind::Syntax, format!("more than {MAX_NODES} values")));
        }
        let place = Place {
            document: self.document.unwrap_or(0),
            path: self.path(),
            range,
            text,
            quotes,
            flow: self.is_flow(),
            anchor: (anchor > 0).then_some(anchor),
            alias,
            tagged,
            line: u32::try_from(span.start.line().max(1)).unwrap_or(u32::MAX),
            column: start,
            key_column: match self.open.last() {
                Some(Open::Map { column, .. }) => *column,
                _ => 0,
            },
            event: self.events,
        };
        self.end_of_value(Some(place));
        Ok(())
    }

    /// Notes a value and moves on to what follows it in its list or map.
    fn end_of_value(&mut self, place: Option<Place>) {
        let inside_key = self.open.iter().any(|o| matches!(o, Open::Map { complex: 1.., .. }));
        match self.open.last_mut() {
            Some(Open::List { next, .. }) => *next += 1,
            Some(Open::Map { key, complex, .. }) => {
                // The end of a key that is a list or map: its value comes next, under no name.
                if *complex > 0 && key.is_none() {
                    *complex = 0;
                    *key = Some("".into());
                } else {
                    *key = None;
                }
            }
            None => {}
        }
        if let Some(place) = place
            && !inside_key
        {
            self.places.push(place);
        }
    }

    fn path(&self) -> Vec<Step> {
        self.open
            .iter()
            .map(|open| match open {
                Open::List { next, .. } => Step::Item(*next),
                Open::Map { key, .. } => Step::Key(key.clone().unwrap_or_else(|| "".into())),
            })
            .collect()
    }

    /// The bytes of a scalar, without its tag and anchor. The parser's end may lie behind the white space
    /// and the comment after it.
    fn range(&self, span: Span, quotes: Quotes) -> Range<usize> {
        let start = self.bytes.of(span.start.index());
        let end = self.bytes.of(span.end.index()).max(start);
        let start = start + properties(self.bytes.text.get(start..end).unwrap_or_default());
        let slice = self.bytes.text.get(start..end).unwrap_or_default();
        let length = match quotes {
            Quotes::Single | Quotes::Double => quoted_length(slice),
            Quotes::None | Quotes::Block => slice.trim_end().len(),
        };
        start..start + length
    }

    /// The bytes of a block. The parser says where its content begins, and an end before the last line break or
    /// behind blank lines and more; both are found in the text.
    fn block(&self, span: Span, text: &str) -> Range<usize> {
        let Some(start) = header(self.bytes.text, self.last) else { return self.range(span, Quotes::Block) };
        let block = self.bytes.text.get(start..).unwrap_or_default();
        start..start + block_length(block, text)
    }

    /// Where an empty value belongs: behind the colon of its key, its tag and anchor.
    fn empty(&self, span: Span, has_properties: bool) -> Range<usize> {
        let rest = self.bytes.text.get(self.last..).unwrap_or_default();
        let behind = rest.trim_start();
        let Some(value) = behind.strip_prefix(':') else {
            let at = self.bytes.of(span.start.index());
            return at..at;
        };
        let mut left = value;
        while has_properties && left.trim_start().starts_with(['&', '!']) {
            left = left.trim_start();
            let end = left.find(|c: char| c.is_ascii_whitespace() || matches!(c, ',' | ']' | '}'));
            left = left.get(end.unwrap_or(left.len())..).unwrap_or_default();
        }
        let at = self.bytes.text.len() - left.len();
        at..at
    }

    fn mark(&self, line: usize, column: usize) -> Mark {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Mark {
            source: Arc::clone(&self.source),
            line: number(line.max(1)),
            column: number(column).saturating_add(1),
            width: 1,
        }
    }
}

/// Where the `|` or `>` of a block stands that follows the scalar before `from`.
fn header(text: &str, from: usize) -> Option<usize> {
    let mut rest = text.get(from..)?;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || ":-?,[]{}".contains(c));
        let end = match rest.chars().next()? {
            '|' | '>' => return Some(text.len() - rest.len()),
            '#' => rest.find(['\n', '\r'])?,
            '&' | '!' => rest.find(char::is_whitespace)?,
            _ => return None,
        };
        rest = rest.get(end..)?;
    }
}

/// The length of a block from its header on: to the end of its last line that is not blank, and of one without
/// such lines its header without the comment.
fn block_length(block: &str, text: &str) -> usize {
    let is_blank = |line: &str| line.trim().is_empty();
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let Some(first) = text.lines().find(|line| !is_blank(line)) else {
        return write::Block::of(block.lines().next().unwrap_or_default()).indicators;
    };
    let mut indent = None;
    let (mut at, mut end) = (0, 0);
    for (index, whole) in block.split_inclusive('\n').enumerate() {
        let line = whole.trim_end_matches(['\r', '\n']);
        if index == 0 {
            end = line.len();
        } else if !is_blank(line) {
            // The first line may stand further in than the others.
            let indent = *indent.get_or_insert(spaces(line).saturating_sub(spaces(first)));
            let ends_document = indent == 0 && (line.starts_with("---") || line.starts_with("..."));
            if spaces(line) < indent || ends_document {
                break;
            }
            end = at + line.len();
        }
        at += whole.len();
    }
    end
}

/// The length of a quoted scalar, both quotes included.
fn quoted_length(text: &str) -> usize {
    let mut chars = text.char_indices().peekable();
    let Some((_, quote)) = chars.next() else { return 0 };
    while let Some((at, c)) = chars.next() {
        if c == '\\' && quote == '"' {
            chars.next();
        } else if c == quote {
            // Two single quotes are one of the text.
            if quote == '\'' && chars.next_if(|(_, c)| *c == quote).is_some() {
                continue;
            }
            return at + 1;
        }
    }
    text.len()
}

/// The length of the tag and anchor before a scalar, with the white space and comments behind them.
fn properties(text: &str) -> usize {
    let mut rest = text;
    while rest.starts_with(['&', '!']) {
        let end = rest.find(|c: char| c.is_ascii_whitespace()).unwrap_or(rest.len());
        rest = rest.get(end..).unwrap_or_default().trim_start();
        while rest.starts_with('#') {
            let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
            rest = rest.get(line..).unwrap_or_default().trim_start();
        }
    }
    text.len() - rest.len()
}

fn quotes(style: ScalarStyle) -> Quotes {
    match style {
        ScalarStyle::Plain => Quotes::None,
        ScalarStyle::SingleQuoted => Quotes::Single,
        ScalarStyle::DoubleQuoted => Quotes::Double,
        ScalarStyle::Literal | ScalarStyle::Folded => Quotes::Block,
    }
}

/// Aliases of each anchor, by the anchor's number.
pub fn aliases(places: &[Place]) -> HashMap<usize, Vec<&Place>> {
    let mut all: HashMap<usize, Vec<&Place>> = HashMap::new();
    for place in places {
        if let Some(id) = place.alias {
            all.entry(id).or_default().push(place);
        }
    }
    all
}
