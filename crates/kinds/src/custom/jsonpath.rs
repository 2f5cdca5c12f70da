//! The simple JSONPaths of printer columns, scale subresources and selectable fields.
//!
//! `.spec.replicas`, `.status.conditions[?(@.type=="Ready")].status`, `.spec.items[0]['a.b']`, `..name`:
//! what client-go's jsonpath reads of paths without text around them.

use serde_json::Value;

/// Steps that a path may have.
const MAX_STEPS: usize = 64;
/// Values that a path may lead to.
const MAX_RESULTS: usize = 1_000;

/// A path that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    Slice(Option<i64>, Option<i64>),
    Each,
    Below(String),
    Filter { path: Vec<String>, test: Test },
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Is(Value),
    IsNot(Value),
    Less(f64),
    LessOrEqual(f64),
    Greater(f64),
    GreaterOrEqual(f64),
    Exists,
}

impl JsonPath {
    /// Reads a path.
    ///
    /// # Errors
    /// What is wrong with it, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        let mut steps = Vec::new();
        let mut rest = inner.strip_prefix('$').unwrap_or(inner);
        while !rest.is_empty() {
            if steps.len() >= MAX_STEPS {
                return Err("the path has too many steps".to_owned());
            }
            rest = if let Some(after) = rest.strip_prefix("..") {
                let (name, after) = name(after)?;
                steps.push(Step::Below(name));
                after
            } else if let Some(after) = rest.strip_prefix('.') {
                if after.is_empty() || after.starts_with('[') {
                    after
                } else {
                    let (name, after) = name(after)?;
                    steps.push(if name == "*" { Step::Each } else { Step::Field(name) });
                    after
                }
            } else if rest.starts_with('[') {
                let end = closing(rest).ok_or("unterminated array")?;
                steps.push(bracket(&rest[1..end])?);
                &rest[end + 1..]
            } else {
                return Err(format!(
                    "unrecognized character in action: {:?}",
                    rest.chars().next().unwrap_or(' ')
                ));
            };
        }
        Ok(Self(steps))
    }

    /// The field names of a path that has nothing else; `None` for others.
    pub fn fields(&self) -> Option<Vec<String>> {
        self.0.iter().map(|s| if let Step::Field(name) = s { Some(name.clone()) } else { None }).collect()
    }

    /// What the path leads to.
    pub fn find<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![value];
        for step in &self.0 {
            let mut next = Vec::new();
            for value in found {
                take(step, value, &mut next);
            }
            next.truncate(MAX_RESULTS);
            found = next;
        }
        found
    }

    /// The first value that the path leads to.
    pub fn first<'v>(&self, value: &'v Value) -> Option<&'v Value> {
        self.find(value).into_iter().next()
    }
}

/// A field's name, with `\.` for a dot in it.
fn name(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped)) => out.push(escaped),
                None => return Err("a name ends in a backslash".to_owned()),
            },
            '.' | '[' => return Ok((out, &text[at..])),
            c if c.is_whitespace() || "{}()$@,|\"'".contains(c) => {
                return Err(format!("unrecognized character in action: {c:?}"));
            }
            other => out.push(other),
        }
    }
    if out.is_empty() { Err("a field has no name".to_owned()) } else { Ok((out, "")) }
}

/// Where the bracket that opens a text is closed, outside of quotes.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0_usize, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if q == c => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

fn bracket(inner: &str) -> Result<Step, String> {
    let inner = inner.trim();
    if let Some(filter) = inner.strip_prefix("?(").and_then(|f| f.strip_suffix(')')) {
        return self::filter(filter.trim());
    }
    if inner == "*" {
        return Ok(Step::Each);
    }
    if let Some(quoted) = unquoted(inner) {
        return Ok(Step::Field(quoted.to_owned()));
    }
    let number = |t: &str| t.trim().parse::<i64>().map_err(|_| format!("invalid array index {inner}"));
    match inner.split_once(':') {
        Some((from, to)) => {
            let part = |t: &str| if t.trim().is_empty() { Ok(None) } else { number(t).map(Some) };
            Ok(Step::Slice(part(from)?, part(to)?))
        }
        None => Ok(Step::Index(number(inner)?)),
    }
}

fn unquoted(text: &str) -> Option<&str> {
    ['\'', '"'].iter().find_map(|q| {
        let inner = text.strip_prefix(*q)?.strip_suffix(*q)?;
        (!inner.contains(*q)).then_some(inner)
    })
}

fn filter(text: &str) -> Result<Step, String> {
    const OPERATORS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];
    let path = |t: &str| -> Result<Vec<String>, String> {
        let inner = t.trim().strip_prefix('@').ok_or("a filter must look at @")?;
        if inner.is_empty() {
            return Ok(Vec::new());
        }
        JsonPath::parse(inner)?.fields().ok_or_else(|| format!("a filter may only look at fields: {t}"))
    };
    let found = OPERATORS
        .iter()
        .filter_map(|op| text.find(op).map(|at| (at, *op)))
        .min_by_key(|(at, op)| (*at, 2 - op.len()));
    let Some((at, operator)) = found else {
        return Ok(Step::Filter { path: path(text)?, test: Test::Exists });
    };
    let right = text[at + operator.len()..].trim();
    let value = match unquoted(right) {
        Some(text) => Value::from(text),
        None => {
            serde_json::from_str(right).map_err(|_| format!("unrecognized value in a filter: {right}"))?
        }
    };
    let number = || value.as_f64().ok_or_else(|| format!("{right} is no number"));
    let test = match operator {
        "==" => Test::Is(value.clone()),
        "!=" => Test::IsNot(value.clone()),
        "<" => Test::Less(number()?),
        "<=" => Test::LessOrEqual(number()?),
        ">" => Test::Greater(number()?),
        _ => Test::GreaterOrEqual(number()?),
    };
    Ok(Step::Filter { path: path(&text[..at])?, test })
}

fn take<'v>(step: &Step, value: &'v Value, out: &mut Vec<&'v Value>) {
    match (step, value) {
        (Step::Field(name), Value::Object(map)) => out.extend(map.get(name)),
        (Step::Each, Value::Object(map)) => out.extend(map.values()),
        (Step::Each, Value::Array(items)) => out.extend(items),
        (Step::Index(i), Value::Array(items)) => {
            out.extend(place(*i, items.len()).and_then(|i| items.get(i)))
        }
        (Step::Slice(from, to), Value::Array(items)) => {
            let bound = |v: Option<i64>, default: usize| match v {
                Some(n) => place(n, items.len()).unwrap_or(if n < 0 { 0 } else { items.len() }),
                None => default,
            };
            let (from, to) = (bound(*from, 0), bound(*to, items.len()));
            out.extend(items.get(from..to.max(from).min(items.len())).unwrap_or_default());
        }
        (Step::Below(name), _) => below(name, value, out, 0),
        (Step::Filter { path, test }, Value::Array(items)) => {
            out.extend(items.iter().filter(|item| {
                let left = path.iter().try_fold(*item, |v, name| v.get(name));
                left.is_some_and(|left| holds(test, left))
            }));
        }
        _ => {}
    }
}

fn below<'v>(name: &str, value: &'v Value, out: &mut Vec<&'v Value>, depth: usize) {
    if depth > super::schema::MAX_DEPTH || out.len() >= MAX_RESULTS {
        return;
    }
    match value {
        Value::Object(map) => {
            out.extend(map.get(name));
            map.values().for_each(|v| below(name, v, out, depth + 1));
        }
        Value::Array(items) => items.iter().for_each(|v| below(name, v, out, depth + 1)),
        _ => {}
    }
}

fn place(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let at = if index < 0 { index + length } else { index };
    usize::try_from(at).ok().filter(|_| at < length)
}

fn holds(test: &Test, left: &Value) -> bool {
    let compare = |f: &dyn Fn(f64) -> bool| left.as_f64().is_some_and(f);
    match test {
        Test::Is(right) => left == right,
        Test::IsNot(right) => left != right,
        Test::Less(n) => compare(&|l| l < *n),
        Test::LessOrEqual(n) => compare(&|l| l <= *n),
        Test::Greater(n) => compare(&|l| l > *n),
        Test::GreaterOrEqual(n) => compare(&|l| l >= *n),
        Test::Exists => true,
    }
}
