//! Checks as data: a path pattern and what must hold there.
//!
//! A pattern is a list of field names joined by dots. `[]` after a name goes through the elements of
//! a list, `{}` through the entries of a map; the empty pattern is the place itself.

use kiban_base::names;

use super::at::At;
use super::cause::Causes;

/// What must hold at a place.
pub(crate) struct Rule {
    path: &'static str,
    check: Check,
}

/// Gives the sentences that speak against a text.
pub(crate) type TextCheck = fn(&str) -> Vec<String>;

/// A check of one place. Those that say so pass over an absent field.
pub(crate) enum Check {
    /// There and not empty.
    Required,
    /// There and not empty, with a sentence for when it is not.
    RequiredAs(&'static str),
    /// Zero or more; absent passes.
    NotNegative,
    /// Within these bounds; absent passes.
    Within(i64, i64),
    /// A text, when not empty, that a name check accepts.
    Text(TextCheck),
    /// A text that must be there and that a name check accepts.
    RequiredText(TextCheck),
    /// A text, as it stands even when empty, that a name check accepts.
    TextAsIs(TextCheck),
    /// One of these; absent or empty passes.
    MayBe(&'static [&'static str]),
    /// One of these; absent or empty is a missing value.
    MustBe(&'static [&'static str]),
    /// More rules, for a place that is set.
    All(&'static [Rule]),
    /// Anything else, for a place that is set.
    With(fn(&At<'_, '_>, &mut Causes)),
    /// Anything else, be the place set or not.
    Always(fn(&At<'_, '_>, &mut Causes)),
}

/// A rule as one line of a table.
pub(crate) const fn rule(path: &'static str, check: Check) -> Rule {
    Rule { path, check }
}

/// Runs all rules in their order.
pub(crate) fn run(rules: &[Rule], at: &At<'_, '_>, out: &mut Causes) {
    for rule in rules {
        walk(rule.path, &rule.check, at, out);
    }
}

fn walk(path: &str, check: &Check, at: &At<'_, '_>, out: &mut Causes) {
    if path.is_empty() {
        return apply(check, at, out);
    }
    let (step, rest) = path.split_once('.').unwrap_or((path, ""));
    if let Some(name) = step.strip_suffix("[]") {
        let list = at.get(name);
        for item in list.items() {
            walk(rest, check, &item, out);
        }
    } else if let Some(name) = step.strip_suffix("{}") {
        let map = at.get(name);
        for (_, entry) in map.entries() {
            walk(rest, check, &entry, out);
        }
    } else {
        walk(rest, check, &at.get(step), out);
    }
}

fn apply(check: &Check, at: &At<'_, '_>, out: &mut Causes) {
    match check {
        Check::Required => require(at, "", out),
        Check::RequiredAs(detail) => require(at, detail, out),
        Check::NotNegative => not_negative(at, out),
        Check::Within(low, high) => within(at, *low, *high, out),
        Check::Text(_) if at.is_empty() => {}
        Check::Text(names) | Check::TextAsIs(names) => out.invalid_each(at, at.str(), names(at.str())),
        Check::RequiredText(names) => {
            if at.is_empty() {
                out.required(at, "");
            } else {
                out.invalid_each(at, at.str(), names(at.str()));
            }
        }
        Check::MayBe(allowed) => {
            if !at.is_empty() {
                one_of(at, allowed, out);
            }
        }
        Check::MustBe(allowed) => must_be(at, allowed, out),
        Check::All(rules) => {
            if at.is_set() {
                run(rules, at, out);
            }
        }
        Check::With(check) => {
            if at.is_set() {
                check(at, out);
            }
        }
        Check::Always(check) => check(at, out),
    }
}

fn require(at: &At<'_, '_>, detail: &str, out: &mut Causes) {
    let scalar = at.value.is_number() || at.value.is_boolean();
    if !scalar && at.is_empty() {
        out.required(at, detail);
    }
}

/// A number that may not be below zero.
pub(crate) fn not_negative(at: &At<'_, '_>, out: &mut Causes) {
    if let Some(number) = at.int()
        && number < 0
    {
        out.invalid(at, number, "must be greater than or equal to 0");
    }
}

/// A number between two bounds, both of which it may have.
pub(crate) fn within(at: &At<'_, '_>, low: i64, high: i64, out: &mut Causes) {
    if let Some(number) = at.int()
        && !(low..=high).contains(&number)
    {
        out.invalid(at, number, &range_error(low, high));
    }
}

/// The sentence for a number out of bounds.
pub(crate) fn range_error(low: i64, high: i64) -> String {
    format!("must be between {low} and {high}, inclusive")
}

/// One of a closed list, where the empty text is not.
pub(crate) fn one_of(at: &At<'_, '_>, allowed: &[&str], out: &mut Causes) {
    if !allowed.contains(&at.str()) {
        out.unsupported(at, at.str(), allowed);
    }
}

/// One of a closed list, where the empty text is a missing value.
pub(crate) fn must_be(at: &At<'_, '_>, allowed: &[&str], out: &mut Causes) {
    if at.is_empty() {
        out.required(at, "");
    } else {
        one_of(at, allowed, out);
    }
}

/// A DNS label, checked as it stands.
pub(crate) fn dns_label(at: &At<'_, '_>, out: &mut Causes) {
    out.invalid_each(at, at.str(), names::check_dns1123_label(at.str()));
}

/// A DNS subdomain, checked as it stands.
pub(crate) fn dns_subdomain(at: &At<'_, '_>, out: &mut Causes) {
    out.invalid_each(at, at.str(), names::check_dns1123_subdomain(at.str()));
}

/// A label key, checked as it stands.
pub(crate) fn qualified_name(at: &At<'_, '_>, out: &mut Causes) {
    out.invalid_each(at, at.str(), names::check_qualified_name(at.str()));
}
