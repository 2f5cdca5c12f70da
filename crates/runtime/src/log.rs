//! Logs on stderr: lines for a person at a terminal, JSON where there is none. Nothing else goes there.
//!
//! A small subscriber of our own: events with their fields, and the fields of the spans around them.

use std::fmt::{self, Write as _};
use std::io::Write;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::{cell::RefCell, collections::HashMap};

use kiban_base::clock::{Clock, Timestamp};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// From which level on something is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    /// Something failed that needs someone.
    Error,
    /// Something is odd.
    Warn,
    /// What happens.
    #[default]
    Info,
    /// How it happens.
    Debug,
    /// Every step.
    Trace,
}

/// All levels, by name.
const LEVELS: [(&str, Level); 5] = [
    ("error", Level::Error),
    ("warn", Level::Warn),
    ("info", Level::Info),
    ("debug", Level::Debug),
    ("trace", Level::Trace),
];

impl FromStr for Level {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = LEVELS.iter().find(|(name, _)| *name == text).map(|(_, level)| *level);
        found.ok_or_else(|| format!("{text:?} is no level; there are error, warn, info, debug and trace"))
    }
}

impl Level {
    fn of(level: tracing::Level) -> Self {
        match level {
            tracing::Level::ERROR => Self::Error,
            tracing::Level::WARN => Self::Warn,
            tracing::Level::INFO => Self::Info,
            tracing::Level::DEBUG => Self::Debug,
            tracing::Level::TRACE => Self::Trace,
        }
    }

    fn as_str(self) -> &'static str {
        LEVELS.iter().find(|(_, level)| *level == self).map_or("", |(name, _)| name)
    }
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For a person.
    Human,
    /// For a collector: one JSON object a line.
    Json,
}

/// Changes the level of a log that is set up.
#[derive(Debug, Clone)]
pub struct Handle(Arc<AtomicU8>);

impl Handle {
    /// From now on, this level.
    pub fn set(&self, level: Level) {
        self.0.store(level as u8, Ordering::Relaxed);
        tracing::callsite::rebuild_interest_cache();
    }
}

/// The longest value of a field, in bytes; longer ones are cut.
const MAX_VALUE: usize = 8 << 10;

/// A log that writes to `out`.
struct Log<W> {
    level: Arc<AtomicU8>,
    format: Format,
    clock: Arc<dyn Clock>,
    out: Mutex<W>,
    spans: Mutex<HashMap<u64, Span>>,
    next: AtomicU64,
}

struct Span {
    fields: Fields,
    parent: Option<u64>,
    references: u64,
}

type Fields = Vec<(&'static str, Value)>;

thread_local! {
    /// The spans that this thread is in.
    static ENTERED: RefCell<Vec<u64>> = const { RefCell::new(Vec::new()) };
}

/// Makes stderr the log of the process. What was there before stays.
pub fn to_stderr(level: Level, format: Format, clock: Arc<dyn Clock>) -> Handle {
    let handle = Handle(Arc::new(AtomicU8::new(level as u8)));
    let log = make(&handle, format, clock, std::io::stderr());
    let _ = tracing::subscriber::set_global_default(log);
    handle
}

/// Says what panics in the log instead of beside it.
pub fn panics() {
    std::panic::set_hook(Box::new(|info| {
        let words = crate::panic_words(info.payload());
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, words, "a fault in the program (a panic)");
    }));
}

fn make<W: Write + Send + 'static>(handle: &Handle, format: Format, clock: Arc<dyn Clock>, out: W) -> Log<W> {
    Log {
        level: handle.0.clone(),
        format,
        clock,
        out: Mutex::new(out),
        spans: Mutex::default(),
        next: AtomicU64::new(1),
    }
}

impl<W: Write + Send + 'static> Log<W> {
    fn spans(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Span>> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self) -> Option<u64> {
        ENTERED.with_borrow(|entered| entered.last().copied())
    }

    /// Fields of a span and of those around it, the outermost first.
    fn around(&self, span: Option<u64>) -> Fields {
        let spans = self.spans();
        let mut chain = Vec::new();
        let mut at = span;
        while let Some(span) = at.and_then(|id| spans.get(&id)) {
            chain.push(span.fields.clone());
            at = span.parent;
            if chain.len() >= 32 {
                break;
            }
        }
        chain.into_iter().rev().flatten().collect()
    }

    fn write(&self, level: Level, target: &str, fields: &Fields) {
        let now = self.clock.now();
        let line = match self.format {
            Format::Human => human(now, level, fields),
            Format::Json => json(now, level, target, fields),
        };
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        // Where the log cannot be written there is nowhere to say so.
        let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
    }
}

impl<W: Write + Send + 'static> Subscriber for Log<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = Level::of(*metadata.level());
        // What libraries say of their insides is for who traces.
        let own = metadata.target().starts_with("kiban");
        let least = self.level.load(Ordering::Relaxed);
        level as u8 <= least && (own || level <= Level::Warn || least == Level::Trace as u8)
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut visitor = Visitor(Vec::new());
        attributes.record(&mut visitor);
        let parent = match attributes.parent() {
            Some(parent) => Some(parent.into_u64()),
            None if attributes.is_contextual() => self.current(),
            None => None,
        };
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let mut spans = self.spans();
        if let Some(parent) = parent.and_then(|parent| spans.get_mut(&parent)) {
            parent.references += 1;
        }
        spans.insert(id, Span { fields: visitor.0, parent, references: 1 });
        Id::from_u64(id)
    }

    fn record(&self, id: &Id, values: &Record<'_>) {
        let mut visitor = Visitor(Vec::new());
        values.record(&mut visitor);
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            for (name, value) in visitor.0 {
                span.fields.retain(|(other, _)| *other != name);
                span.fields.push((name, value));
            }
        }
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let span = event.parent().map(Id::into_u64).or_else(|| self.current());
        let mut visitor = Visitor(self.around(span));
        event.record(&mut visitor);
        self.write(Level::of(*event.metadata().level()), event.metadata().target(), &visitor.0);
    }

    fn enter(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| entered.push(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        ENTERED.with_borrow_mut(|entered| {
            if let Some(at) = entered.iter().rposition(|other| *other == id.into_u64()) {
                entered.remove(at);
            }
        });
    }

    fn clone_span(&self, id: &Id) -> Id {
        if let Some(span) = self.spans().get_mut(&id.into_u64()) {
            span.references += 1;
        }
        id.clone()
    }

    fn try_close(&self, id: Id) -> bool {
        let mut spans = self.spans();
        let mut at = Some(id.into_u64());
        let mut closed = false;
        // A span that goes lets go of the one around it.
        while let Some(number) = at {
            let Some(span) = spans.get_mut(&number) else { break };
            span.references = span.references.saturating_sub(1);
            if span.references > 0 {
                break;
            }
            at = span.parent;
            spans.remove(&number);
            closed |= number == id.into_u64();
        }
        closed
    }
}

/// Collects fields.
struct Visitor(Fields);

impl Visitor {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.push((field.name(), value));
    }
}

impl Visit for Visitor {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, cut(value).into());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, cut(&format!("{value:?}")).into());
    }
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_VALUE);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default().to_owned()
}

/// `10:00:00.123 warn  words key=value`.
fn human(now: Timestamp, level: Level, fields: &Fields) -> String {
    let time = now.rfc3339_micro();
    let time = time.get(11..23).unwrap_or(&time);
    let mut line = format!("{time} {:5} ", level.as_str());
    if let Some((_, message)) = fields.iter().rev().find(|(name, _)| *name == "message") {
        line.push_str(&plain(message.as_str().unwrap_or_default()));
    }
    for (name, value) in fields.iter().filter(|(name, _)| *name != "message") {
        let text = match value {
            Value::String(text) if is_word(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = write!(line, " {name}={text}");
    }
    line.push('\n');
    line
}

/// Whether it can stand without quotes.
fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || "-_./:@+,[]{}*%".contains(c))
}

/// A text that moves no cursor and begins no line.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn json(now: Timestamp, level: Level, target: &str, fields: &Fields) -> String {
    let mut map = Map::new();
    map.insert("time".into(), now.rfc3339_micro().into());
    map.insert("level".into(), level.as_str().into());
    map.insert("target".into(), target.into());
    for (name, value) in fields {
        // The three of every line are theirs.
        let name = if matches!(*name, "time" | "level" | "target") {
            format!("_{name}")
        } else {
            (*name).to_owned()
        };
        map.insert(name, value.clone());
    }
    let mut line = Value::Object(map).to_string();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests;
