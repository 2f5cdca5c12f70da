//! Label selectors: the string grammar of query parameters and the objects of the API.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use super::lexer::{Item, Token, scan};
use super::{Lookup, SelectorError};
use crate::names;

/// How a requirement compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operator {
    /// `=`
    Equals,
    /// `==`
    DoubleEquals,
    /// `!=`
    NotEquals,
    /// `in`
    In,
    /// `notin`
    NotIn,
    /// the key alone
    Exists,
    /// `!key`
    DoesNotExist,
    /// `>`, on whole numbers
    GreaterThan,
    /// `<`, on whole numbers
    LessThan,
}

/// One condition on one label.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Requirement {
    key: Arc<str>,
    operator: Operator,
    /// Sorted, without repetition.
    values: Vec<Arc<str>>,
}

impl Requirement {
    /// A condition whose key and values are valid, or the API server's sentence. A caller that has a path of
    /// the object at hand puts it before the sentence.
    pub fn new<S: AsRef<str>>(key: &str, operator: Operator, values: &[S]) -> Result<Self, SelectorError> {
        let mut values: Vec<Arc<str>> = values.iter().map(|v| Arc::from(v.as_ref())).collect();
        values.sort_unstable();
        values.dedup();
        let requirement = Self { key: key.into(), operator, values };
        let mut errors = requirement.errors();
        errors.dedup();
        match errors.as_slice() {
            [] => Ok(requirement),
            [one] => Err(SelectorError(one.clone())),
            many => Err(SelectorError(format!("[{}]", many.join(", ")))),
        }
    }

    /// The label's key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// How the label is compared.
    pub fn operator(&self) -> Operator {
        self.operator
    }

    /// The values it is compared with, sorted.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.iter().map(|v| &**v)
    }

    /// Whether the labels meet the condition.
    pub fn matches<L: Lookup + ?Sized>(&self, labels: &L) -> bool {
        let value = labels.get(&self.key);
        let listed = |v: &str| self.values.iter().any(|w| &**w == v);
        match self.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(listed),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::GreaterThan => self.compare(value).is_some_and(|(a, b)| a > b),
            Operator::LessThan => self.compare(value).is_some_and(|(a, b)| a < b),
        }
    }

    fn compare(&self, value: Option<&str>) -> Option<(i64, i64)> {
        Some((value?.parse().ok()?, self.values.first()?.parse().ok()?))
    }

    fn errors(&self) -> Vec<String> {
        let mut errors = Vec::new();
        let key = names::check_qualified_name(&self.key);
        if !key.is_empty() {
            errors.push(format!("key: Invalid value: {:?}: {}", self.key, key.join("; ")));
        }
        let list = || serde_json::to_string(&self.values.iter().map(|v| &**v).collect::<Vec<_>>());
        let mut wrong = |detail: &str| {
            errors.push(format!("values: Invalid value: {}: {detail}", list().unwrap_or_default()));
        };
        let count = self.values.len();
        match self.operator {
            Operator::In | Operator::NotIn if count == 0 => {
                wrong("for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Equals | Operator::DoubleEquals | Operator::NotEquals if count != 1 => {
                wrong("exact-match compatibility requires one single value");
            }
            Operator::Exists | Operator::DoesNotExist if count != 0 => {
                wrong("values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan if count != 1 => {
                wrong("for 'Gt', 'Lt' operators, exactly one value is required");
            }
            _ => {}
        }
        let numeric = matches!(self.operator, Operator::GreaterThan | Operator::LessThan);
        for (i, value) in self.values.iter().enumerate() {
            if numeric && value.parse::<i64>().is_err() {
                let detail = "for 'Gt', 'Lt' operators, the value must be an integer";
                errors.push(format!("values[{i}]: Invalid value: {value:?}: {detail}"));
            }
        }
        for (i, value) in self.values.iter().enumerate() {
            let wrong = names::check_label_value(value);
            if !wrong.is_empty() {
                let path = format!("values[{i}][{}]", self.key);
                errors.push(format!("{path}: Invalid value: {value:?}: {}", wrong.join("; ")));
            }
        }
        errors
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, sign, after) = match self.operator {
            Operator::Equals => ("", "=", ""),
            Operator::DoubleEquals => ("", "==", ""),
            Operator::NotEquals => ("", "!=", ""),
            Operator::In => ("", " in (", ")"),
            Operator::NotIn => ("", " notin (", ")"),
            Operator::GreaterThan => ("", ">", ""),
            Operator::LessThan => ("", "<", ""),
            Operator::Exists => ("", "", ""),
            Operator::DoesNotExist => ("!", "", ""),
        };
        write!(f, "{before}{}{sign}{}{after}", self.key, self.values.join(","))
    }
}

/// Conditions on labels, all of which must hold; or the selector that matches nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    nothing: bool,
    /// Sorted by key.
    requirements: Vec<Requirement>,
}

impl LabelSelector {
    /// Matches every object.
    pub fn everything() -> Self {
        Self { nothing: false, requirements: Vec::new() }
    }

    /// Matches no object.
    pub fn nothing() -> Self {
        Self { nothing: true, requirements: Vec::new() }
    }

    /// All of the requirements.
    pub fn new(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { nothing: false, requirements }
    }

    /// Reads a `labelSelector` query parameter: `app=web,tier in (a, b),!canary`.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let items = scan(text);
        Parser { items: &items, position: 0 }.selector().map(Self::new)
    }

    /// Reads a `metav1.LabelSelector`; `null` matches nothing and `{}` everything, as the API has it.
    pub fn from_object(object: &Value) -> Result<Self, SelectorError> {
        if object.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        if let Some(labels) = object.get("matchLabels").and_then(Value::as_object) {
            for (key, value) in labels {
                requirements.push(Requirement::new(key, Operator::Equals, &[text_of(value)])?);
            }
        }
        for expression in object.get("matchExpressions").and_then(Value::as_array).into_iter().flatten() {
            requirements.push(expression_of(expression)?);
        }
        Ok(Self::new(requirements))
    }

    /// Reads a map of labels that must be equal, as Services and ReplicationControllers select; `null` and
    /// `{}` match everything. Values are not checked.
    pub fn from_map(labels: &Value) -> Self {
        let pairs = labels.as_object().into_iter().flatten();
        Self::new(
            pairs
                .map(|(key, value)| Requirement {
                    key: key.as_str().into(),
                    operator: Operator::Equals,
                    values: vec![text_of(value).into()],
                })
                .collect(),
        )
    }

    /// This selector and one more requirement.
    pub fn with(mut self, requirement: Requirement) -> Self {
        let at = self.requirements.partition_point(|r| r.key <= requirement.key);
        self.requirements.insert(at, requirement);
        self
    }

    /// Whether the labels meet all conditions.
    pub fn matches<L: Lookup + ?Sized>(&self, labels: &L) -> bool {
        !self.nothing && self.requirements.iter().all(|r| r.matches(labels))
    }

    /// Whether every object matches.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether this is the selector of no object.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// The conditions, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// The one value that `key` must have, where the selector demands exactly one.
    pub fn exact(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|r| &*r.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [one]) => Some(one),
            _ => None,
        }
    }
}

impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, requirement) in self.requirements.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

fn expression_of(expression: &Value) -> Result<Requirement, SelectorError> {
    let field = |name: &str| expression.get(name).map_or("", text_of);
    let operator = match field("operator") {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        other => return Err(SelectorError(format!("{other:?} is not a valid label selector operator"))),
    };
    let values = expression.get("values").and_then(Value::as_array);
    let values: Vec<&str> = values.into_iter().flatten().map(text_of).collect();
    Requirement::new(field("key"), operator, &values)
}

/// A parser without recursion over the scanned items, the last of which is the end.
struct Parser<'a> {
    items: &'a [Item<'a>],
    position: usize,
}

impl Parser<'_> {
    /// The token at hand. Where a value is expected, the words `in` and `notin` are values.
    fn look(&self, values: bool) -> (Token, &str) {
        match self.items.get(self.position) {
            Some(Item { token: Token::In | Token::NotIn, literal }) if values => (Token::Identifier, literal),
            Some(Item { token, literal }) => (*token, literal),
            None => (Token::End, ""),
        }
    }

    fn take(&mut self, values: bool) -> (Token, String) {
        let (token, literal) = self.look(values);
        let literal = literal.to_string();
        self.position += 1;
        (token, literal)
    }

    fn selector(mut self) -> Result<Vec<Requirement>, SelectorError> {
        let mut requirements = Vec::new();
        loop {
            match self.look(true) {
                (Token::Identifier | Token::Not, _) => {}
                (Token::End, _) => return Ok(requirements),
                (_, found) => return Err(unexpected(found, ", expected: !, identifier, or 'end of string'")),
            }
            let requirement = self
                .requirement()
                .map_err(|e| SelectorError(format!("unable to parse requirement: {}", e.0)))?;
            requirements.push(requirement);
            match self.take(true) {
                (Token::End, _) => return Ok(requirements),
                (Token::Comma, _) => match self.look(true) {
                    (Token::Identifier | Token::Not, _) => {}
                    (_, found) => return Err(unexpected(found, ", expected: identifier after ','")),
                },
                (_, found) => return Err(unexpected(&found, ", expected: ',' or 'end of string'")),
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let (mut token, mut key) = self.take(true);
        let negated = token == Token::Not;
        if negated {
            (token, key) = self.take(true);
        }
        if token != Token::Identifier {
            return Err(unexpected(&key, ", expected: identifier"));
        }
        let wrong = names::check_qualified_name(&key);
        if !wrong.is_empty() {
            // Upstream has no path here and prints Go's text for that.
            return Err(SelectorError(format!("<nil>: Invalid value: {key:?}: {}", wrong.join("; "))));
        }
        let none: [&str; 0] = [];
        if negated {
            return Requirement::new(&key, Operator::DoesNotExist, &none);
        }
        if matches!(self.look(true).0, Token::End | Token::Comma) {
            return Requirement::new(&key, Operator::Exists, &none);
        }
        let operator = self.operator()?;
        let values = match operator {
            Operator::In | Operator::NotIn => self.values()?,
            _ => vec![self.exact_value()?],
        };
        Requirement::new(&key, operator, &values)
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        match self.take(false) {
            (Token::In, _) => Ok(Operator::In),
            (Token::NotIn, _) => Ok(Operator::NotIn),
            (Token::Equals, _) => Ok(Operator::Equals),
            (Token::DoubleEquals, _) => Ok(Operator::DoubleEquals),
            (Token::NotEquals, _) => Ok(Operator::NotEquals),
            (Token::Greater, _) => Ok(Operator::GreaterThan),
            (Token::Less, _) => Ok(Operator::LessThan),
            (_, found) => Err(unexpected(&found, ", expected: in, notin, =, ==, !=, gt, lt")),
        }
    }

    /// `(a,b)`, where empty places stand for the empty value.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let (token, found) = self.take(true);
        if token != Token::Open {
            return Err(unexpected(&found, " expected: '('"));
        }
        match self.look(true) {
            (Token::Identifier | Token::Comma, _) => {}
            (Token::Close, _) => {
                self.position += 1;
                return Ok(vec![String::new()]);
            }
            (_, found) => return Err(unexpected(found, ", expected: ',', ')' or identifier")),
        }
        let mut values = Vec::new();
        loop {
            match self.take(true) {
                (Token::Identifier, value) => {
                    values.push(value);
                    match self.look(true) {
                        (Token::Comma, _) => {}
                        (Token::Close, _) => break,
                        (_, found) => return Err(unexpected(found, ", expected: ',' or ')'")),
                    }
                }
                (Token::Comma, _) => {
                    let next = self.look(true).0;
                    if values.is_empty() || matches!(next, Token::Close | Token::Comma) {
                        values.push(String::new());
                    }
                    if next == Token::Close {
                        break;
                    }
                }
                (_, found) => return Err(unexpected(&found, ", expected: ',', or identifier")),
            }
        }
        // The loop leaves only before a closing parenthesis.
        self.position += 1;
        Ok(values)
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.look(true).0, Token::End | Token::Comma) {
            return Ok(String::new());
        }
        match self.take(true) {
            (Token::Identifier, value) => Ok(value),
            (_, found) => Err(unexpected(&found, ", expected: identifier")),
        }
    }
}

fn unexpected(found: &str, expected: &str) -> SelectorError {
    SelectorError(format!("found '{found}'{expected}"))
}
