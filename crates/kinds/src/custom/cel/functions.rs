//! The functions of expressions.

use std::borrow::Cow;
use std::net::IpAddr;

use super::super::pattern::Pattern;
use super::eval::{V, equal, order};
use super::parse::Expr;

/// Items or bytes that a function may make.
const MAX_RESULT: usize = 1 << 20;

/// Functions by name, with how many values they take, the one they are called on included.
const FUNCTIONS: &[(&str, &[usize])] = &[
    ("charAt", &[2]),
    ("contains", &[2]),
    ("double", &[1]),
    ("duration", &[1]),
    ("endsWith", &[2]),
    ("find", &[2]),
    ("getHours", &[1]),
    ("getMilliseconds", &[1]),
    ("getMinutes", &[1]),
    ("getSeconds", &[1]),
    ("hasValue", &[1]),
    ("indexOf", &[2]),
    ("int", &[1]),
    ("isCIDR", &[1]),
    ("isIP", &[1]),
    ("isSorted", &[1]),
    ("join", &[1, 2]),
    ("lastIndexOf", &[2]),
    ("lowerAscii", &[1]),
    ("matches", &[2]),
    ("max", &[1]),
    ("min", &[1]),
    ("none", &[0]),
    ("of", &[1]),
    ("or", &[2]),
    ("orValue", &[2]),
    ("replace", &[3]),
    ("size", &[1]),
    ("split", &[2]),
    ("startsWith", &[2]),
    ("string", &[1]),
    ("substring", &[2, 3]),
    ("sum", &[1]),
    ("trim", &[1]),
    ("uint", &[1]),
    ("upperAscii", &[1]),
    ("value", &[1]),
];

/// Whether all functions of an expression are known, and its regular expressions sound.
pub(super) fn check(expr: &Expr) -> Result<(), String> {
    if let Expr::Call(on, name, arguments) = expr {
        let space = matches!(on.as_deref(), Some(Expr::Name(n)) if n == "optional")
            && matches!(name.as_str(), "of" | "none");
        let given = arguments.len() + usize::from(on.is_some() && !space);
        let known = FUNCTIONS.iter().find(|(own, _)| own == name);
        match known {
            None => return Err(format!("undeclared reference to '{name}'")),
            Some((_, counts)) if !counts.contains(&given) => {
                return Err(format!("found no matching overload for '{name}'"));
            }
            Some(_) => {}
        }
        if let ("matches", Some(Expr::Text(pattern))) = (name.as_str(), arguments.last()) {
            Pattern::new(pattern)?;
        }
    }
    expr.children().into_iter().try_for_each(check)
}

/// A value as text; `None` for one that has none.
pub(super) fn text(value: &V<'_>) -> Option<String> {
    Some(match value {
        V::Text(text) => text.to_string(),
        V::Int(n) => n.to_string(),
        V::Double(n) => n.to_string(),
        V::Bool(b) => b.to_string(),
        V::Duration(nanos) => kiban_base::duration::format_go_nanos(*nanos),
        _ => return None,
    })
}

fn owned<'v>(text: impl Into<String>) -> V<'v> {
    V::Text(Cow::Owned(text.into()))
}

/// Calls a function.
pub(super) fn call<'v>(name: &str, on: Option<V<'v>>, arguments: Vec<V<'v>>) -> Result<V<'v>, String> {
    let all: Vec<V<'v>> = on.into_iter().chain(arguments).collect();
    match (name, all.as_slice()) {
        ("size", [V::Text(text)]) => Ok(V::Int(length(text.chars().count()))),
        ("size", [value]) => Ok(V::Int(length(value.items()?.len()))),
        ("hasValue", [V::Optional(held)]) => Ok(V::Bool(held.is_some())),
        ("value", [V::Optional(Some(held))]) => Ok((**held).clone()),
        ("value", [V::Optional(None)]) => Err("optional.none() dereference".to_owned()),
        ("orValue", [V::Optional(held), other]) => Ok(held.as_deref().unwrap_or(other).clone()),
        ("or", [V::Optional(Some(_)), _]) => Ok(all[0].clone()),
        ("or", [V::Optional(None), other]) => Ok(other.clone()),
        ("of", [value]) => Ok(V::Optional(Some(Box::new(value.clone())))),
        ("none", []) => Ok(V::Optional(None)),
        ("isSorted" | "sum" | "min" | "max" | "join", [list, ..]) if !matches!(list, V::Text(_)) => {
            lists(name, &all)
        }
        ("indexOf" | "lastIndexOf", [list, wanted]) if !matches!(list, V::Text(_)) => {
            let items = list.items()?;
            let is = |item: &V<'_>| equal(item, wanted);
            let found =
                if name == "indexOf" { items.iter().position(is) } else { items.iter().rposition(is) };
            Ok(V::Int(found.map_or(-1, length)))
        }
        (_, [V::Text(text)]) => one_text(name, text),
        (_, [V::Text(text), V::Text(other)]) => two_texts(name, text, other),
        ("charAt" | "substring", [V::Text(text), V::Int(from), to @ ..]) => cut(name, text, *from, to),
        ("replace", [V::Text(text), V::Text(from), V::Text(to)]) => {
            let grown = text.len().saturating_add(text.len().saturating_mul(to.len()));
            if from.is_empty() || grown > MAX_RESULT {
                return Err("the result would be too large".to_owned());
            }
            Ok(owned(text.replace(from.as_ref(), to)))
        }
        (_, [value]) => conversions(name, value),
        _ => Err("no such overload".to_owned()),
    }
}

fn length(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn conversions<'v>(name: &str, value: &V<'v>) -> Result<V<'v>, String> {
    match (name, value) {
        // A fraction is cut off, and what is out of range refused, as the language has it.
        #[allow(clippy::cast_possible_truncation)]
        ("int" | "uint", V::Double(n)) if n.abs() < 9.2e18 => Ok(V::Int(*n as i64)),
        ("int" | "uint", V::Int(_)) | ("double", V::Double(_)) | ("duration", V::Duration(_)) => {
            Ok(value.clone())
        }
        // A fraction is as exact as it is.
        #[allow(clippy::cast_precision_loss)]
        ("double", V::Int(n)) => Ok(V::Double(*n as f64)),
        ("string", _) => text(value).map(owned).ok_or_else(|| "no such overload".to_owned()),
        ("getHours", V::Duration(n)) => Ok(V::Int(n / 3_600_000_000_000)),
        ("getMinutes", V::Duration(n)) => Ok(V::Int(n / 60_000_000_000)),
        ("getSeconds", V::Duration(n)) => Ok(V::Int(n / 1_000_000_000)),
        ("getMilliseconds", V::Duration(n)) => Ok(V::Int(n / 1_000_000)),
        _ => Err("no such overload".to_owned()),
    }
}

fn one_text<'v>(name: &str, text: &str) -> Result<V<'v>, String> {
    Ok(match name {
        "string" => owned(text),
        "int" | "uint" => {
            V::Int(text.parse().map_err(|_| format!("type conversion error from string to int: {text}"))?)
        }
        "double" => V::Double(
            text.parse().map_err(|_| format!("type conversion error from string to double: {text}"))?,
        ),
        "duration" => V::Duration(
            kiban_base::duration::parse_go_nanos(text).map_err(|e| format!("type conversion error: {e}"))?,
        ),
        "lowerAscii" => owned(text.to_ascii_lowercase()),
        "upperAscii" => owned(text.to_ascii_uppercase()),
        "trim" => owned(text.trim()),
        "isIP" => V::Bool(text.parse::<IpAddr>().is_ok()),
        "isCIDR" => V::Bool(text.split_once('/').is_some_and(|(ip, bits)| {
            let most = match ip.parse::<IpAddr>() {
                Ok(IpAddr::V4(_)) => 32,
                Ok(IpAddr::V6(_)) => 128,
                Err(_) => return false,
            };
            bits.parse::<u8>().is_ok_and(|b| b <= most)
        })),
        _ => return Err("no such overload".to_owned()),
    })
}

fn two_texts<'v>(name: &str, text: &str, other: &str) -> Result<V<'v>, String> {
    let place = |at: Option<usize>| V::Int(at.map_or(-1, |at| length(text[..at].chars().count())));
    Ok(match name {
        "startsWith" => V::Bool(text.starts_with(other)),
        "endsWith" => V::Bool(text.ends_with(other)),
        "contains" => V::Bool(text.contains(other)),
        "matches" => V::Bool(Pattern::new(other)?.is_match(text)),
        "find" => owned(Pattern::new(other)?.find(text).unwrap_or_default()),
        "indexOf" => place(text.find(other)),
        "lastIndexOf" => place(text.rfind(other)),
        "split" if other.is_empty() => V::List(text.chars().map(owned).collect()),
        "split" => V::List(text.split(other).map(owned).collect()),
        _ => return Err("no such overload".to_owned()),
    })
}

fn cut<'v>(name: &str, text: &str, from: i64, to: &[V<'v>]) -> Result<V<'v>, String> {
    let chars: Vec<char> = text.chars().collect();
    let outside = || format!("index out of range: {from}");
    let start = usize::try_from(from).ok().filter(|s| *s <= chars.len()).ok_or_else(outside)?;
    let end = match (name, to) {
        ("charAt", []) => (start + 1).min(chars.len()),
        ("substring", []) => chars.len(),
        ("substring", [V::Int(to)]) => {
            usize::try_from(*to).ok().filter(|e| *e >= start && *e <= chars.len()).ok_or_else(outside)?
        }
        _ => return Err("no such overload".to_owned()),
    };
    Ok(owned(chars.get(start..end).unwrap_or_default().iter().collect::<String>()))
}

fn lists<'v>(name: &str, all: &[V<'v>]) -> Result<V<'v>, String> {
    let [list, rest @ ..] = all else { return Err("no such overload".to_owned()) };
    let items = list.items()?;
    let none = || "no such overload".to_owned();
    match name {
        "isSorted" => {
            let sorted = items.windows(2).map(|w| order(&w[0], &w[1]).map(std::cmp::Ordering::is_le));
            Ok(V::Bool(sorted.collect::<Option<Vec<_>>>().ok_or_else(none)?.into_iter().all(|s| s)))
        }
        "sum" => {
            let mut whole = 0_i64;
            for item in &items {
                match item {
                    V::Int(n) => whole = whole.checked_add(*n).ok_or("integer overflow")?,
                    _ => return Err(none()),
                }
            }
            Ok(V::Int(whole))
        }
        "min" | "max" => {
            let mut best: Option<V<'v>> = None;
            for item in items {
                let better = match &best {
                    None => true,
                    Some(b) => {
                        let o = order(&item, b).ok_or_else(none)?;
                        if name == "min" { o.is_lt() } else { o.is_gt() }
                    }
                };
                if better {
                    best = Some(item);
                }
            }
            best.ok_or_else(|| format!("{name} called on empty list"))
        }
        _ => {
            let between = match rest {
                [] => "",
                [V::Text(text)] => text.as_ref(),
                _ => return Err(none()),
            };
            let texts: Option<Vec<&str>> =
                items.iter().map(|i| if let V::Text(t) = i { Some(t.as_ref()) } else { None }).collect();
            let texts = texts.ok_or_else(none)?;
            let total: usize = texts.iter().map(|t| t.len() + between.len()).sum();
            if total > MAX_RESULT {
                return Err("the result would be too large".to_owned());
            }
            Ok(owned(texts.join(between)))
        }
    }
}
