//! Evaluating expressions, within a budget of steps.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::functions;
use super::parse::{Expr, Macro, Op};

/// A value of the language.
#[derive(Debug, Clone)]
pub(crate) enum V<'v> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'v, str>),
    /// A list or an object of the value that is checked.
    Json(&'v Value),
    List(Vec<V<'v>>),
    Map(Vec<(V<'v>, V<'v>)>),
    Optional(Option<Box<V<'v>>>),
    /// Nanoseconds.
    Duration(i64),
}

impl<'v> V<'v> {
    /// A value of JSON.
    pub(crate) fn of(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Number(n) => n.as_i64().map_or_else(|| Self::Double(n.as_f64().unwrap_or(0.0)), Self::Int),
            Value::String(text) => Self::Text(Cow::Borrowed(text)),
            other => Self::Json(other),
        }
    }

    /// Items of a list, or keys of a map, as macros walk them.
    pub(super) fn items(&self) -> Result<Vec<V<'v>>, String> {
        match self {
            Self::Json(Value::Array(items)) => Ok(items.iter().map(V::of).collect()),
            Self::Json(Value::Object(map)) => {
                Ok(map.keys().map(|k| V::Text(Cow::Borrowed(k.as_str()))).collect())
            }
            Self::List(items) => Ok(items.clone()),
            Self::Map(entries) => Ok(entries.iter().map(|(k, _)| k.clone()).collect()),
            _ => Err("no such overload".to_owned()),
        }
    }

    fn get(&self, key: &V<'v>) -> Option<V<'v>> {
        match (self, key) {
            (Self::Json(Value::Object(map)), Self::Text(name)) => map.get(name.as_ref()).map(V::of),
            (Self::Json(Value::Array(items)), Self::Int(i)) => {
                usize::try_from(*i).ok().and_then(|i| items.get(i)).map(V::of)
            }
            (Self::List(items), Self::Int(i)) => usize::try_from(*i).ok().and_then(|i| items.get(i)).cloned(),
            (Self::Map(entries), _) => entries.iter().find(|(k, _)| equal(k, key)).map(|(_, v)| v.clone()),
            _ => None,
        }
    }
}

/// Steps that may still be taken.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
    /// It was not enough.
    pub(crate) spent: bool,
}

/// Levels of evaluation: expressions are no deeper.
const MAX_DEPTH: usize = 2_000;

impl Budget {
    /// A budget of so many steps.
    pub(crate) fn of(steps: usize) -> Self {
        Self { left: steps, spent: false }
    }

    /// Steps that were taken of so many.
    pub(crate) fn used(&self, given: usize) -> usize {
        given.saturating_sub(self.left)
    }

    pub(super) fn take(&mut self, steps: usize) -> Result<(), String> {
        match self.left.checked_sub(steps) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.spent = true;
                Err("operation cancelled: actual cost limit exceeded".to_owned())
            }
        }
    }
}

/// Evaluates with these variables.
pub(super) fn run<'v>(
    expr: &Expr,
    variables: Vec<(String, V<'v>)>,
    budget: &mut Budget,
) -> Result<V<'v>, String> {
    Run { variables, budget, depth: 0 }.value(expr)
}

struct Run<'v, 'b> {
    variables: Vec<(String, V<'v>)>,
    budget: &'b mut Budget,
    depth: usize,
}

impl<'v> Run<'v, '_> {
    fn value(&mut self, expr: &Expr) -> Result<V<'v>, String> {
        self.budget.take(1)?;
        if self.depth > MAX_DEPTH {
            return Err("the expression is nested too deeply".to_owned());
        }
        self.depth += 1;
        let out = self.step(expr);
        self.depth -= 1;
        out
    }

    fn step(&mut self, expr: &Expr) -> Result<V<'v>, String> {
        Ok(match expr {
            Expr::Null => V::Null,
            Expr::Bool(b) => V::Bool(*b),
            Expr::Int(n) => V::Int(*n),
            Expr::Double(n) => V::Double(*n),
            Expr::Text(text) => V::Text(Cow::Owned(text.clone())),
            Expr::List(items) => V::List(items.iter().map(|i| self.value(i)).collect::<Result<_, _>>()?),
            Expr::Map(entries) => {
                let pair = |(k, v): &(Expr, Expr)| Ok::<_, String>((self.value(k)?, self.value(v)?));
                V::Map(entries.iter().map(pair).collect::<Result<_, _>>()?)
            }
            Expr::Name(name) => {
                let found = self.variables.iter().rev().find(|(own, _)| own == name);
                found.map(|(_, v)| v.clone()).ok_or_else(|| format!("undeclared reference to '{name}'"))?
            }
            Expr::Field(on, name) => match self.value(on)? {
                V::Optional(held) => V::Optional(held.and_then(|v| field(&v, name)).map(Box::new)),
                value => field(&value, name).ok_or_else(|| format!("no such key: {name}"))?,
            },
            Expr::OptionalField(on, name) => match self.value(on)? {
                V::Optional(held) => V::Optional(held.and_then(|v| field(&v, name)).map(Box::new)),
                value => V::Optional(field(&value, name).map(Box::new)),
            },
            Expr::Index(on, key) => {
                let (on, key) = (self.value(on)?, self.value(key)?);
                on.get(&key).ok_or_else(|| match &key {
                    V::Int(i) => format!("index out of bounds: {i}"),
                    other => format!("no such key: {}", functions::text(other).unwrap_or_default()),
                })?
            }
            Expr::Has(on, name) => match self.value(on)? {
                V::Optional(held) => V::Bool(held.is_some_and(|v| field(&v, name).is_some())),
                value => V::Bool(field(&value, name).is_some()),
            },
            Expr::Not(inner) => match self.value(inner)? {
                V::Bool(b) => V::Bool(!b),
                _ => return Err("no such overload".to_owned()),
            },
            Expr::Negative(inner) => match self.value(inner)? {
                V::Int(n) => V::Int(n.checked_neg().ok_or("integer overflow")?),
                V::Double(n) => V::Double(-n),
                _ => return Err("no such overload".to_owned()),
            },
            Expr::If(condition, yes, no) => match self.value(condition)? {
                V::Bool(true) => self.value(yes)?,
                V::Bool(false) => self.value(no)?,
                _ => return Err("no such overload".to_owned()),
            },
            Expr::Binary(op @ (Op::And | Op::Or), left, right) => self.logic(*op, left, right)?,
            Expr::Binary(op, left, right) => {
                let (left, right) = (self.value(left)?, self.value(right)?);
                self.budget.take(size(&left) / 16 + size(&right) / 16)?;
                binary(*op, &left, &right)?
            }
            Expr::Macro(which, on, variable, rest) => self.each(*which, on, variable, rest)?,
            Expr::Call(on, name, arguments) => {
                let on = match on.as_deref() {
                    Some(Expr::Name(space)) if space == "optional" && !self.knows(space) => None,
                    Some(on) => Some(self.value(on)?),
                    None => None,
                };
                let arguments = arguments.iter().map(|a| self.value(a)).collect::<Result<Vec<_>, _>>()?;
                let cost = on.as_ref().map_or(0, size) + arguments.iter().map(size).sum::<usize>();
                self.budget.take(cost / 8)?;
                functions::call(name, on, arguments)?
            }
        })
    }

    fn knows(&self, name: &str) -> bool {
        self.variables.iter().any(|(own, _)| own == name)
    }

    /// `&&` and `||`: what one side decides, the other cannot spoil.
    fn logic(&mut self, op: Op, left: &Expr, right: &Expr) -> Result<V<'v>, String> {
        let deciding = op == Op::Or;
        let first = self.value(left);
        if matches!(first, Ok(V::Bool(b)) if b == deciding) {
            return Ok(V::Bool(deciding));
        }
        match (first, self.value(right)?) {
            (_, V::Bool(b)) if b == deciding => Ok(V::Bool(deciding)),
            (Ok(V::Bool(_)), V::Bool(b)) => Ok(V::Bool(b)),
            (Err(error), _) => Err(error),
            _ => Err("no such overload".to_owned()),
        }
    }

    fn each(&mut self, which: Macro, on: &Expr, variable: &str, rest: &[Expr]) -> Result<V<'v>, String> {
        let items = self.value(on)?.items()?;
        self.budget.take(items.len())?;
        let (mut out, mut count, mut failed) = (Vec::new(), 0_usize, None);
        for item in items {
            self.variables.push((variable.to_owned(), item.clone()));
            let result = self.turn(which, rest);
            self.variables.pop();
            match (which, result) {
                (Macro::All, Ok(Some(V::Bool(false)))) => return Ok(V::Bool(false)),
                (Macro::Exists, Ok(Some(V::Bool(true)))) => return Ok(V::Bool(true)),
                (Macro::ExistsOne, Ok(Some(V::Bool(true)))) => count += 1,
                (Macro::Filter, Ok(Some(V::Bool(true)))) => out.push(item),
                (Macro::Map, Ok(Some(value))) => out.push(value),
                (_, Ok(_)) => {}
                (Macro::All | Macro::Exists, Err(error)) if !self.budget.spent => failed = Some(error),
                (_, Err(error)) => return Err(error),
            }
        }
        match (which, failed) {
            (_, Some(error)) => Err(error),
            (Macro::All, None) => Ok(V::Bool(true)),
            (Macro::Exists, None) => Ok(V::Bool(false)),
            (Macro::ExistsOne, None) => Ok(V::Bool(count == 1)),
            (Macro::Filter | Macro::Map, None) => Ok(V::List(out)),
        }
    }

    /// One turn of a macro; `map` with a condition may give nothing.
    fn turn(&mut self, which: Macro, rest: &[Expr]) -> Result<Option<V<'v>>, String> {
        match rest {
            [one] => self.value(one).map(Some),
            [condition, then] if which == Macro::Map => match self.value(condition)? {
                V::Bool(true) => self.value(then).map(Some),
                _ => Ok(None),
            },
            _ => Err("no such overload".to_owned()),
        }
    }
}

fn field<'v>(value: &V<'v>, name: &str) -> Option<V<'v>> {
    match value {
        V::Json(Value::Object(map)) => map.get(name).map(V::of),
        V::Map(_) => value.get(&V::Text(Cow::Owned(name.to_owned()))),
        _ => None,
    }
}

/// What walking a value costs, more or less.
fn size(value: &V<'_>) -> usize {
    match value {
        V::Text(text) => text.len(),
        V::Json(Value::Array(items)) => items.len() * 4,
        V::Json(Value::Object(map)) => map.len() * 4,
        V::List(items) => items.len() * 4,
        V::Map(entries) => entries.len() * 4,
        _ => 0,
    }
}

/// Equality across forms: numbers by value, lists and maps by what is in them.
pub(super) fn equal(a: &V<'_>, b: &V<'_>) -> bool {
    match (a, b) {
        (V::Null, V::Null) => true,
        (V::Bool(a), V::Bool(b)) => a == b,
        (V::Text(a), V::Text(b)) => a == b,
        (V::Duration(a), V::Duration(b)) => a == b,
        (V::Json(a), V::Json(b)) => a == b,
        (V::Optional(a), V::Optional(b)) => match (a, b) {
            (Some(a), Some(b)) => equal(a, b),
            (None, None) => true,
            _ => false,
        },
        (V::Int(_) | V::Double(_), V::Int(_) | V::Double(_)) => order(a, b) == Some(Ordering::Equal),
        (V::Map(_) | V::Json(Value::Object(_)), V::Map(_) | V::Json(Value::Object(_))) => {
            let (Ok(left), Ok(right)) = (a.items(), b.items()) else { return false };
            left.len() == right.len()
                && left.iter().all(|k| a.get(k).zip(b.get(k)).is_some_and(|(x, y)| equal(&x, &y)))
        }
        (V::List(_) | V::Json(Value::Array(_)), V::List(_) | V::Json(Value::Array(_))) => {
            let (Ok(left), Ok(right)) = (a.items(), b.items()) else { return false };
            left.len() == right.len() && left.iter().zip(&right).all(|(x, y)| equal(x, y))
        }
        _ => false,
    }
}

/// The order of two values, where they have one.
pub(super) fn order(a: &V<'_>, b: &V<'_>) -> Option<Ordering> {
    // Beyond 2^53 a comparison of a whole number and a fraction is as exact as the fraction is.
    #[allow(clippy::cast_precision_loss)]
    let real = |n: i64| n as f64;
    match (a, b) {
        (V::Int(a), V::Int(b)) => Some(a.cmp(b)),
        (V::Int(a), V::Double(b)) => real(*a).partial_cmp(b),
        (V::Double(a), V::Int(b)) => a.partial_cmp(&real(*b)),
        (V::Double(a), V::Double(b)) => a.partial_cmp(b),
        (V::Text(a), V::Text(b)) => Some(a.cmp(b)),
        (V::Bool(a), V::Bool(b)) => Some(a.cmp(b)),
        (V::Duration(a), V::Duration(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn binary<'v>(op: Op, left: &V<'v>, right: &V<'v>) -> Result<V<'v>, String> {
    let none = || "no such overload".to_owned();
    let compared = |test: fn(Ordering) -> bool| order(left, right).map(|o| V::Bool(test(o))).ok_or_else(none);
    match op {
        Op::Equal => Ok(V::Bool(equal(left, right))),
        Op::NotEqual => Ok(V::Bool(!equal(left, right))),
        Op::Less => compared(Ordering::is_lt),
        Op::LessOrEqual => compared(Ordering::is_le),
        Op::Greater => compared(Ordering::is_gt),
        Op::GreaterOrEqual => compared(Ordering::is_ge),
        Op::In => match right {
            V::Json(Value::Object(_)) | V::Map(_) => Ok(V::Bool(right.get(left).is_some())),
            _ => Ok(V::Bool(right.items()?.iter().any(|item| equal(item, left)))),
        },
        _ => arithmetic(op, left, right),
    }
}

fn arithmetic<'v>(op: Op, left: &V<'v>, right: &V<'v>) -> Result<V<'v>, String> {
    let none = || "no such overload".to_owned();
    // A whole number beside a fraction becomes one, as exact as a fraction is.
    #[allow(clippy::cast_precision_loss)]
    let real = |v: &V<'_>| match v {
        V::Int(n) => Some(*n as f64),
        V::Double(n) => Some(*n),
        _ => None,
    };
    match (op, left, right) {
        (Op::Add, V::Text(a), V::Text(b)) => Ok(V::Text(Cow::Owned(format!("{a}{b}")))),
        (Op::Add, V::List(_) | V::Json(Value::Array(_)), V::List(_) | V::Json(Value::Array(_))) => {
            Ok(V::List(left.items()?.into_iter().chain(right.items()?).collect()))
        }
        (_, V::Int(a), V::Int(b)) => {
            let result = match op {
                Op::Add => a.checked_add(*b),
                Op::Subtract => a.checked_sub(*b),
                Op::Multiply => a.checked_mul(*b),
                Op::Divide if *b == 0 => return Err("division by zero".to_owned()),
                Op::Divide => a.checked_div(*b),
                Op::Remainder if *b == 0 => return Err("modulus by zero".to_owned()),
                _ => a.checked_rem(*b),
            };
            result.map(V::Int).ok_or_else(|| "integer overflow".to_owned())
        }
        (_, V::Duration(a), V::Duration(b)) => {
            let result = match op {
                Op::Add => a.checked_add(*b),
                Op::Subtract => a.checked_sub(*b),
                _ => return Err(none()),
            };
            result.map(V::Duration).ok_or_else(|| "integer overflow".to_owned())
        }
        _ => {
            let (a, b) = real(left).zip(real(right)).ok_or_else(none)?;
            Ok(V::Double(match op {
                Op::Add => a + b,
                Op::Subtract => a - b,
                Op::Multiply => a * b,
                Op::Divide => a / b,
                _ => return Err(none()),
            }))
        }
    }
}
