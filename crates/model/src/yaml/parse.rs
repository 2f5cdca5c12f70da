//! Events of the YAML parser to a tree with places.

use std::collections::HashMap;
use std::sync::Arc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{Entry, MAX_BYTES, MAX_DEPTH, MAX_KEYS, MAX_NODES, Mark, Node, Scalar, Source, Style, Tree};
use crate::origin::Layer;
use crate::problem::{Kind, Problem};

/// What a reader lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Kiban's own files: no anchors, no tags.
    Strict,
    /// Kubernetes manifests: anchors within bounds, standard tags.
    Manifest,
}

/// Reads the documents of one of Kiban's own files; empty documents are left out.
///
/// # Errors
/// The first thing that is no YAML, or that Kiban's files must not hold.
pub fn parse(name: &str, bytes: &[u8], layer: Layer) -> Result<Vec<Node>, Problem> {
    documents(name, bytes, layer, Mode::Strict)
}

/// Reads a file that holds one document, a map.
///
/// # Errors
/// As [`parse`], and a file that is empty, holds several documents or no map.
pub fn parse_one(name: &str, bytes: &[u8], layer: Layer) -> Result<Node, Problem> {
    let mut all = parse(name, bytes, layer)?.into_iter();
    let Some(first) = all.next() else {
        return Err(Problem::of_file(name, Kind::Syntax, "the file is empty"));
    };
    if let Some(second) = all.next() {
        return Err(Problem::at(
            &second.mark,
            Kind::Syntax,
            "a second document begins here; one is expected",
        ));
    }
    if !matches!(first.tree, Tree::Map(_)) {
        let message = format!("expected a map of keys and values, found {}", first.describe());
        return Err(Problem::at(&first.mark, Kind::Syntax, message));
    }
    Ok(first)
}

pub(super) fn documents(name: &str, bytes: &[u8], layer: Layer, mode: Mode) -> Result<Vec<Node>, Problem> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the file has {} bytes, at most {MAX_BYTES} are read", bytes.len());
        return Err(Problem::of_file(name, Kind::Syntax, message));
    }
    let text = decode_utf8(name, bytes)?;
    let source = Arc::new(Source { name: name.into(), text: text.to_owned(), layer });
    let mut builder = Builder {
        source: Arc::clone(&source),
        mode,
        nodes: 0,
        anchors: HashMap::new(),
        parser: Parser::new_from_str(&source.text),
    };
    builder.stream()
}

fn decode_utf8<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
        let good = String::from_utf8_lossy(good);
        let line = u32::try_from(good.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
        let column = good.rsplit('\n').next().unwrap_or_default().chars().count();
        let mut problem = Problem::of_file(name, Kind::Syntax, "the file is no UTF-8");
        problem.line = line;
        problem.column = u32::try_from(column).unwrap_or(u32::MAX).saturating_add(1);
        problem
    })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// Lines of comments behind which a tab is still looked for.
const MAX_COMMENT: usize = 200;

struct Builder<'a> {
    source: Arc<Source>,
    mode: Mode,
    nodes: usize,
    /// What an anchor names; `None` while it is being read, because it must not hold itself.
    anchors: HashMap<usize, Option<Node>>,
    parser: Parser<'a, StrInput<'a>>,
}

/// A node that is being read.
enum Open {
    List { mark: Mark, anchor: usize, items: Vec<Node> },
    Map { mark: Mark, anchor: usize, entries: Vec<Entry>, seen: HashMap<String, u32>, key: Option<Node> },
}

impl Builder<'_> {
    fn stream(&mut self) -> Result<Vec<Node>, Problem> {
        let mut documents = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        while let Some(event) = self.parser.next_event() {
            let (event, span) = event.map_err(|error| self.scan_error(&error))?;
            let done = match event {
                Event::StreamEnd => break,
                Event::DocumentStart(_) => {
                    self.anchors.clear();
                    None
                }
                Event::Nothing | Event::StreamStart | Event::DocumentEnd => None,
                Event::Alias(id) => Some(self.alias(id, span)?),
                Event::Scalar(text, style, anchor, tag) => {
                    let node = self.scalar(text.into_owned(), style, tag.as_deref(), span)?;
                    Some(self.anchored(anchor, node)?)
                }
                Event::SequenceStart(anchor, tag) => {
                    let mark = self.begin(open.len(), anchor, tag.as_deref(), span)?;
                    open.push(Open::List { mark, anchor, items: Vec::new() });
                    None
                }
                Event::MappingStart(anchor, tag) => {
                    let mark = self.begin(open.len(), anchor, tag.as_deref(), span)?;
                    open.push(Open::Map {
                        mark,
                        anchor,
                        entries: Vec::new(),
                        seen: HashMap::new(),
                        key: None,
                    });
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                    Some(closed) => Some(self.close(closed)?),
                    None => None,
                },
            };
            match (done, open.last_mut()) {
                (Some(node), Some(parent)) => self.add(parent, node)?,
                (Some(node), None) if !node.is_null() => documents.push(node),
                _ => {}
            }
        }
        Ok(documents)
    }

    fn close(&mut self, closed: Open) -> Result<Node, Problem> {
        let (anchor, node) = match closed {
            Open::List { mark, anchor, items } => (anchor, Node { mark, tree: Tree::List(items) }),
            Open::Map { mark, anchor, entries, .. } => (anchor, Node { mark, tree: Tree::Map(entries) }),
        };
        self.anchored(anchor, node)
    }

    /// Puts a finished node into the list or map around it.
    fn add(&self, parent: &mut Open, mut node: Node) -> Result<(), Problem> {
        match parent {
            Open::List { items, .. } => items.push(node),
            Open::Map { entries, seen, key, .. } => match key.take() {
                None => {
                    let Some(text) = node.text() else {
                        let message = format!("expected a key, found {}", node.describe());
                        return Err(Problem::at(&node.mark, Kind::Syntax, message));
                    };
                    let merges = self.mode == Mode::Manifest && text == "<<";
                    if let Some(line) = seen.insert(text.to_owned(), node.mark.line).filter(|_| !merges) {
                        let message = format!("key {text:?} is given twice; first in line {line}");
                        return Err(Problem::at(&node.mark, Kind::Syntax, message));
                    }
                    if self.mode == Mode::Strict && entries.len() >= MAX_KEYS {
                        let message = format!("more than {MAX_KEYS} keys in one map");
                        return Err(Problem::at(&node.mark, Kind::Syntax, message));
                    }
                    *key = Some(node);
                }
                Some(key) => {
                    // Nothing was written: the key is what a person can look at.
                    if node.mark.width == 0 && node.is_null() {
                        node.mark = key.mark.clone();
                    }
                    entries.push(Entry { key, value: node });
                }
            },
        }
        Ok(())
    }

    fn begin(&mut self, depth: usize, anchor: usize, tag: Option<&Tag>, span: Span) -> Result<Mark, Problem> {
        let mark = self.mark(span, 1);
        if depth >= MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(Problem::at(&mark, Kind::Syntax, message));
        }
        self.count(1, &mark)?;
        self.check_tag(tag, &mark)?;
        if anchor > 0 {
            self.check_anchor(&mark)?;
            self.anchors.insert(anchor, None);
        }
        Ok(mark)
    }

    fn scalar(
        &mut self,
        text: String,
        style: ScalarStyle,
        tag: Option<&Tag>,
        span: Span,
    ) -> Result<Node, Problem> {
        let one_line = span.start.line() == span.end.line();
        let width = if one_line { span.end.col().saturating_sub(span.start.col()) } else { 1 };
        let mark = self.mark(span, width);
        self.count(1, &mark)?;
        let tag = self.check_tag(tag, &mark)?;
        let style = if style == ScalarStyle::Plain { Style::Plain } else { Style::Quoted };
        Ok(Node { mark, tree: Tree::Scalar(Scalar { text, style, tag }) })
    }

    fn check_tag(&self, tag: Option<&Tag>, mark: &Mark) -> Result<Option<String>, Problem> {
        match tag {
            None => Ok(None),
            Some(tag) if self.mode == Mode::Strict => {
                let shown = tag.to_string().replace("tag:yaml.org,2002:!", "!!");
                Err(Problem::at(
                    mark,
                    Kind::Syntax,
                    format!("the tag {shown} is not read here; write the value itself"),
                ))
            }
            Some(tag) if tag.is_yaml_core_schema() => Ok(Some(tag.suffix.clone())),
            // A tag that nobody knows makes a text of a scalar, as in Kubernetes' reader.
            Some(_) => Ok(Some("str".into())),
        }
    }

    fn check_anchor(&self, mark: &Mark) -> Result<(), Problem> {
        if self.mode == Mode::Manifest {
            return Ok(());
        }
        Err(Problem::at(
            mark,
            Kind::Syntax,
            "anchors (&) and aliases (*) are not read here; write the value itself",
        ))
    }

    fn anchored(&mut self, anchor: usize, node: Node) -> Result<Node, Problem> {
        if anchor > 0 {
            self.check_anchor(&node.mark)?;
            self.anchors.insert(anchor, Some(node.clone()));
        }
        Ok(node)
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<Node, Problem> {
        let mark = self.mark(span, 1);
        self.check_anchor(&mark)?;
        let Some(Some(node)) = self.anchors.get(&id).cloned() else {
            return Err(Problem::at(&mark, Kind::Syntax, "the alias stands inside of what it names"));
        };
        self.count(size(&node), &mark)?;
        Ok(Node { mark, tree: node.tree })
    }

    fn count(&mut self, nodes: usize, mark: &Mark) -> Result<(), Problem> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > MAX_NODES {
            return Err(Problem::at(mark, Kind::Syntax, format!("more than {MAX_NODES} values")));
        }
        Ok(())
    }

    fn mark(&self, span: Span, width: usize) -> Mark {
        place(&self.source, span.start.line(), span.start.col(), width)
    }

    fn scan_error(&self, error: &ScanError) -> Problem {
        let at = error.marker();
        let tab = self.tab_near(at.line()).or_else(|| {
            // Of a value that might go on the parser names the end, and the tab stands below comments.
            let below = (at.line()..at.line().saturating_add(MAX_COMMENT)).skip(2);
            below.take_while(|_| error.info().contains("tab")).find_map(|line| self.tab_in(line))
        });
        if let Some(tab) = tab {
            return Problem::at(&tab, Kind::Syntax, "a tab indents the line; YAML takes spaces only");
        }
        let mark = place(&self.source, at.line(), at.col(), 1);
        Problem::at(&mark, Kind::Syntax, format!("no valid YAML: {}", error.info()))
    }

    /// A tab in the indentation of the line in which the parser stopped, or of its neighbours.
    fn tab_near(&self, line: usize) -> Option<Mark> {
        [line, line.saturating_add(1), line.saturating_sub(1)].into_iter().find_map(|line| self.tab_in(line))
    }

    fn tab_in(&self, number: usize) -> Option<Mark> {
        let text = self.source.line(u32::try_from(number).ok()?)?;
        let indent = text.find(|c: char| c != ' ' && c != '\t' && c != '-').unwrap_or(text.len());
        let at = text.get(..indent)?.find('\t')?;
        Some(place(&self.source, number, at, 1))
    }
}

fn place(source: &Arc<Source>, line: usize, column: usize, width: usize) -> Mark {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark {
        source: Arc::clone(source),
        line: number(line.max(1)),
        column: number(column).saturating_add(1),
        width: number(width),
    }
}

/// Nodes of a tree.
fn size(node: &Node) -> usize {
    match &node.tree {
        Tree::Scalar(_) => 1,
        Tree::List(items) => items.iter().map(size).fold(1, usize::saturating_add),
        Tree::Map(entries) => entries.iter().map(|e| size(&e.value)).fold(1, usize::saturating_add),
    }
}
