//! The value checks of a structural schema, in the words of the API server.
//!
//! Contract: kube-openapi `pkg/validation/validate`, and how apiextensions turns its results into causes.

mod format;

use serde_json::Value;

use super::schema::{Additional, Checks, MAX_DEPTH, Node, Type};
use crate::validate::at::Path;
use crate::validate::cause::{Cause, Causes, Raw, quote};

/// Causes that one object gets at most: a list of a million wrong items is as wrong as one of a hundred.
const MAX_CAUSES: usize = 200;
/// Alternatives (`oneOf` and the like) that one object's check tries at most.
const MAX_TRIES: usize = 200_000;

/// What in a value does not fit its schema.
pub fn validate(value: &Value, schema: &Node) -> Vec<Cause> {
    let mut out = Causes::default();
    let mut walk = Walk { tries: 0 };
    walk.value(value, schema, &Path::ROOT, &mut out, 0);
    out.into_vec()
}

/// The same for a value that stands at a path.
pub(crate) fn validate_at(value: &Value, schema: &Node, path: &Path<'_>, out: &mut Causes) {
    Walk { tries: 0 }.value(value, schema, path, out, 0);
}

struct Walk {
    tries: usize,
}

impl Walk {
    fn value(&mut self, value: &Value, node: &Node, path: &Path<'_>, out: &mut Causes, depth: usize) {
        if depth > MAX_DEPTH || out.len() >= MAX_CAUSES {
            return;
        }
        let known = value.is_null() && node.nullable;
        if !known && !fits(value, node) {
            let wanted = if node.int_or_string { "integer,string" } else { node.type_.name() };
            type_invalid(path, word(value), wanted, out);
        }
        let empty = Checks::default();
        let checks = node.checks.as_deref().unwrap_or(&empty);
        if value.is_null() {
            allowed(value, checks, path, out);
            return;
        }
        self.alternatives(value, checks, path, out, depth);
        match value {
            Value::String(text) => texts(text, checks, path, out),
            Value::Number(_) => numbers(value, node, checks, path, out),
            Value::Array(items) => {
                item_count(items.len(), checks, path, out);
                if let Some(item) = &node.items {
                    for (i, child) in items.iter().enumerate() {
                        self.value(child, item, &path.index(i), out, depth + 1);
                    }
                }
            }
            _ => {}
        }
        allowed(value, checks, path, out);
        if let Value::Object(members) = value {
            field_count(members.len(), checks, path, out);
            for name in checks.required.iter().filter(|n| !members.contains_key(*n)) {
                out.required(path.child(name), "");
            }
            for (name, child) in members {
                let below = match (&node.additional, node.properties.get(name)) {
                    (_, Some(below)) => below,
                    (Additional::Of(below), None) => below,
                    _ => continue,
                };
                self.value(child, below, &path.child(name), out, depth + 1);
            }
        }
    }

    fn alternatives(
        &mut self,
        value: &Value,
        checks: &Checks,
        path: &Path<'_>,
        out: &mut Causes,
        depth: usize,
    ) {
        let quoted = quote(&path.to_string());
        let mut all_hold = true;
        for node in &checks.all_of {
            let causes = self.tried(value, node, path, depth);
            all_hold &= causes.len() == 0;
            out.append(causes);
        }
        if !all_hold {
            composite(&format!("{quoted} must validate all the schemas (allOf)"), out);
        }
        if !checks.any_of.is_empty() {
            let (held, best) = self.best(value, &checks.any_of, path, depth, true);
            if held == 0 {
                composite(&format!("{quoted} must validate at least one schema (anyOf)"), out);
                out.append(best);
            }
        }
        if !checks.one_of.is_empty() {
            let (held, best) = self.best(value, &checks.one_of, path, depth, false);
            if held != 1 {
                let found = match held {
                    0 => "Found none valid".to_owned(),
                    n => format!("Found {n} valid alternatives"),
                };
                composite(&format!("{quoted} must validate one and only one schema (oneOf). {found}"), out);
                out.append(best);
            }
        }
        if let Some(not) = &checks.not
            && self.tried(value, not, path, depth).len() == 0
        {
            composite(&format!("{quoted} must not validate the schema (not)"), out);
        }
    }

    /// How many alternatives hold, and what the one says that is nearest to it.
    fn best(
        &mut self,
        value: &Value,
        nodes: &[Node],
        path: &Path<'_>,
        depth: usize,
        first: bool,
    ) -> (usize, Causes) {
        let (mut held, mut best) = (0, None::<Causes>);
        for node in nodes {
            let causes = self.tried(value, node, path, depth);
            if causes.len() == 0 {
                held += 1;
                if first {
                    break;
                }
            } else if best.as_ref().is_none_or(|b| causes.len() < b.len()) {
                best = Some(causes);
            }
        }
        (held, if held == 0 { best.unwrap_or_default() } else { Causes::default() })
    }

    fn tried(&mut self, value: &Value, node: &Node, path: &Path<'_>, depth: usize) -> Causes {
        let mut out = Causes::default();
        self.tries += 1;
        if self.tries > MAX_TRIES {
            composite("the schema has too many alternatives for an object of this size", &mut out);
        } else {
            self.value(value, node, path, &mut out, depth + 1);
        }
        out
    }
}

/// A fault of alternatives: upstream has no path for it, and its nil path prints like this.
fn composite(detail: &str, out: &mut Causes) {
    out.invalid("<nil>", "", detail);
}

fn type_invalid(path: &Path<'_>, shown: &str, wanted: &str, out: &mut Causes) {
    let name = path.to_string();
    out.type_invalid(path, shown, &format!("{name} in body must be of type {wanted}: {}", quote(shown)));
}

/// The word for a value's type in errors.
fn word(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

fn fits(value: &Value, node: &Node) -> bool {
    let whole = |v: &Value| v.as_f64().is_some_and(|n| n.fract() == 0.0);
    if node.int_or_string {
        return value.is_string() || (value.is_number() && whole(value));
    }
    match node.type_ {
        Type::Any => true,
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::String => value.is_string(),
        Type::Integer => value.is_number() && whole(value),
        Type::Number => value.is_number(),
        Type::Boolean => value.is_boolean(),
    }
}

fn allowed(value: &Value, checks: &Checks, path: &Path<'_>, out: &mut Causes) {
    if checks.values.is_empty() || checks.values.iter().any(|v| same(v, value)) {
        return;
    }
    let names: Vec<String> =
        checks.values.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    out.unsupported(path, value, &names);
}

/// Numbers are equal by value, however they are written.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => x == y || x.as_f64() == y.as_f64(),
        _ => a == b,
    }
}

fn texts(text: &str, checks: &Checks, path: &Path<'_>, out: &mut Causes) {
    let name = || path.to_string();
    if checks.min.length.is_some() || checks.max.length.is_some() {
        let length = text.chars().count();
        if let Some(max) = checks.max.length.filter(|max| length > *max) {
            out.too_long(path, max);
        }
        if let Some(min) = checks.min.length.filter(|min| length < *min) {
            out.invalid(path, text, &format!("{} in body should be at least {min} chars long", name()));
        }
    }
    if let Some(pattern) = checks.pattern.as_ref().filter(|p| !p.is_match(text)) {
        out.invalid(path, text, &format!("{} in body should match '{}'", name(), pattern.text()));
    }
    if !checks.format.is_empty() && !format::holds(&checks.format, text) {
        let detail = format!("{} in body must be of type {}: {}", name(), checks.format, quote(text));
        out.type_invalid(path, text, &detail);
    }
}

fn numbers(value: &Value, node: &Node, checks: &Checks, path: &Path<'_>, out: &mut Causes) {
    let Some(number) = value.as_f64() else { return };
    let name = || path.to_string();
    let plain = |n: f64| if n.fract() == 0.0 && n.abs() < 1e15 { format!("{n:.0}") } else { format!("{n}") };
    if let Some(of) = checks.multiple_of.filter(|of| (number / of).fract() != 0.0) {
        out.invalid(path, value, &format!("{} in body should be a multiple of {}", name(), plain(of)));
    }
    if let Some((max, excluded)) = checks.maximum
        && (number > max || (excluded && number >= max))
    {
        let than = if excluded { "less than" } else { "less than or equal to" };
        out.invalid(path, value, &format!("{} in body should be {than} {}", name(), plain(max)));
    }
    if let Some((min, excluded)) = checks.minimum
        && (number < min || (excluded && number <= min))
    {
        let than = if excluded { "greater than" } else { "greater than or equal to" };
        out.invalid(path, value, &format!("{} in body should be {than} {}", name(), plain(min)));
    }
    let small = i32::try_from(value.as_i64().unwrap_or(i64::MAX)).is_ok();
    if node.type_ == Type::Integer && checks.format == "int32" && !small {
        out.invalid(path, value, "Checked value must be of type integer with format int32");
    }
}

fn item_count(count: usize, checks: &Checks, path: &Path<'_>, out: &mut Causes) {
    if let Some(min) = checks.min.items.filter(|min| count < *min) {
        let detail = format!("{path} in body should have at least {min} items");
        out.invalid(path, Raw(count.to_string()), &detail);
    }
    if let Some(max) = checks.max.items.filter(|max| count > *max) {
        out.too_many(path, count, max);
    }
}

fn field_count(count: usize, checks: &Checks, path: &Path<'_>, out: &mut Causes) {
    if let Some(min) = checks.min.properties.filter(|min| count < *min) {
        let detail = format!("{path} in body should have at least {min} properties");
        out.invalid(path, Raw(count.to_string()), &detail);
    }
    if let Some(max) = checks.max.properties.filter(|max| count > *max) {
        out.too_many(path, count, max);
    }
}
