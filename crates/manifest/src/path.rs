//! Paths into rendered objects, as people write them: `spec.containers[0].ports[http]`.

use std::fmt;

use serde_json::Value;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A map key.
    Key(String),
    /// A list index.
    Index(usize),
}

impl Segment {
    /// The key, or the index as a text.
    pub fn text(&self) -> String {
        match self {
            Segment::Key(key) => key.clone(),
            Segment::Index(index) => index.to_string(),
        }
    }
}

/// A path from the root of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Path(pub Vec<Segment>);

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if is_plain(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    f.write_str(key)?;
                }
                Segment::Key(key) => write!(f, "[\"{key}\"]")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// A key that needs no quotes between dots.
fn is_plain(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '$'))
}

/// A step as typed: not yet resolved against an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `.name`: a map key, or a part of a key with dots in it.
    Name(String),
    /// `[…]`: an index, the name of a list item, or a quoted map key.
    Bracket(String),
}

/// A path that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `[` without `]`.
    #[error("path {path:?}: \"[\" at character {at} is not closed")]
    Unclosed {
        /// The path as given.
        path: String,
        /// Character position, from 1.
        at: usize,
    },
    /// Two dots in a row, or a dot at the end.
    #[error("path {path:?}: nothing between the dots at character {at}")]
    Empty {
        /// The path as given.
        path: String,
        /// Character position, from 1.
        at: usize,
    },
}

/// Splits a typed path into steps. `a.b[0]["x.y/z"]`, `a.b[name]`, `/a/b/0` (a JSON pointer).
pub fn parse(text: &str) -> Result<Vec<Step>, PathError> {
    if let Some(pointer) = text.strip_prefix('/') {
        let steps = pointer.split('/').map(|s| Step::Bracket(s.replace("~1", "/").replace("~0", "~")));
        return Ok(steps.collect());
    }
    let chars: Vec<char> = text.chars().collect();
    let mut steps = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars.get(at) == Some(&'[') {
            let (step, next) = bracket(text, &chars, at)?;
            steps.push(step);
            at = next;
            continue;
        }
        if chars.get(at) == Some(&'.') {
            at += 1;
            if matches!(chars.get(at), None | Some('.')) {
                return Err(PathError::Empty { path: text.to_owned(), at: at + 1 });
            }
            if chars.get(at) == Some(&'[') {
                continue;
            }
        }
        let name: String = chars.iter().skip(at).take_while(|c| !matches!(c, '.' | '[')).collect();
        at += name.chars().count();
        steps.push(Step::Name(name));
    }
    Ok(steps)
}

/// Reads `[…]` from `start`; returns the step and the position after it.
fn bracket(text: &str, chars: &[char], start: usize) -> Result<(Step, usize), PathError> {
    let unclosed = || PathError::Unclosed { path: text.to_owned(), at: start + 1 };
    let quote = chars.get(start + 1).filter(|c| matches!(c, '"' | '\'')).copied();
    let from = start + if quote.is_some() { 2 } else { 1 };
    let end_of = |c: &char| *c == quote.unwrap_or(']');
    let length = chars.iter().skip(from).position(end_of).ok_or_else(unclosed)?;
    let content: String = chars.iter().skip(from).take(length).collect();
    let after = from + length + 1;
    if quote.is_none() {
        return Ok((Step::Bracket(content), after));
    }
    match chars.get(after) {
        Some(']') => Ok((Step::Bracket(content), after + 1)),
        _ => Err(unclosed()),
    }
}

/// Where typed steps lead in an object: the exact path, or how far it got and what was there.
pub fn resolve(root: &Value, steps: &[Step]) -> Result<Path, Stuck> {
    let mut path = Path::default();
    let mut here = root;
    let mut rest = steps;
    while let Some(step) = rest.first() {
        let (segment, next, used) = match here {
            Value::Object(map) => match map_step(map, rest) {
                Some((key, value, used)) => (Segment::Key(key), value, used),
                None => return Err(Stuck::new(path, step, map.keys().cloned().collect())),
            },
            Value::Array(list) => match list_step(list, step) {
                Some((index, value)) => (Segment::Index(index), value, 1),
                None => return Err(Stuck::new(path, step, item_names(list))),
            },
            _ => return Err(Stuck::new(path, step, Vec::new())),
        };
        path.0.push(segment);
        here = next;
        rest = rest.get(used..).unwrap_or_default();
    }
    Ok(path)
}

/// A path that leads nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stuck {
    /// The part that exists.
    pub at: Path,
    /// The step that does not.
    pub step: String,
    /// What is there instead.
    pub known: Vec<String>,
}

impl Stuck {
    fn new(at: Path, step: &Step, known: Vec<String>) -> Stuck {
        let (Step::Name(text) | Step::Bracket(text)) = step;
        Stuck { at, step: text.clone(), known }
    }
}

/// A key of the map: the longest run of dotted names that is one (`kiban.dev/team`).
fn map_step<'v>(
    map: &'v serde_json::Map<String, Value>,
    steps: &[Step],
) -> Option<(String, &'v Value, usize)> {
    if let Some(Step::Bracket(key)) = steps.first() {
        return map.get_key_value(key).map(|(k, v)| (k.clone(), v, 1));
    }
    let mut names = Vec::new();
    for step in steps {
        match step {
            Step::Name(name) => names.push(name.as_str()),
            Step::Bracket(_) => break,
        }
    }
    (1..=names.len()).rev().find_map(|count| {
        let key = names.get(..count)?.join(".");
        map.get(&key).map(|value| (key, value, count))
    })
}

/// An item by index, or by its `name` (or what stands in for a name).
fn list_step<'v>(list: &'v [Value], step: &Step) -> Option<(usize, &'v Value)> {
    let (Step::Name(text) | Step::Bracket(text)) = step;
    if let Ok(index) = text.parse::<usize>() {
        return list.get(index).map(|value| (index, value));
    }
    let is_called = |item: &Value| {
        item.as_str() == Some(text)
            || NAMES.iter().any(|key| item.get(key).and_then(Value::as_str) == Some(text))
    };
    list.iter().enumerate().find(|(_, item)| is_called(item))
}

/// Keys whose value people call a list item by.
const NAMES: [&str; 5] = ["name", "mountPath", "topologyKey", "host", "type"];

/// What a list item is called when the items of a list are enumerated.
fn item_name(item: &Value) -> Option<&str> {
    match item {
        Value::String(text) => Some(text),
        other => NAMES.iter().find_map(|key| other.get(key).and_then(Value::as_str)),
    }
}

fn item_names(list: &[Value]) -> Vec<String> {
    let name = |(i, item): (usize, &Value)| item_name(item).map_or_else(|| i.to_string(), str::to_owned);
    list.iter().enumerate().map(name).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_prints_as_it_is_typed() {
        let value = json!({"a": [{"name": "x", "b.c/d": 1}], "e-f": {"": 2}});
        for (typed, printed) in [
            ("a[0]", "a[0]"),
            ("a[x].b.c/d", "a[0][\"b.c/d\"]"),
            ("a.x[\"b.c/d\"]", "a[0][\"b.c/d\"]"),
            ("/a/0/b.c~1d", "a[0][\"b.c/d\"]"),
            ("e-f['']", "e-f[\"\"]"),
            ("", ""),
        ] {
            let steps = parse(typed).unwrap_or_else(|error| panic!("{typed}: {error}"));
            let path = resolve(&value, &steps).unwrap_or_else(|stuck| panic!("{typed}: {stuck:?}"));
            assert_eq!(path.to_string(), printed, "{typed}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_path_panic(text in "[a-c0-2.\\[\\]\"'/~é]{0,16}") {
            if let Ok(steps) = parse(&text) {
                let _ = resolve(&json!({"a": [{"name": "b", "c": ["0"]}], "0": {"é": 1}}), &steps);
            }
        }
    }
}
