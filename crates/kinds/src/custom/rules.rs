//! Running the rules of a schema over an object.
//!
//! Contract: apiextensions-apiserver `pkg/apiserver/schema/cel/validation.go`.

use serde_json::Value;

use super::cel::{Budget, Program, Scope};
use super::jsonpath::JsonPath;
use super::schema::{Additional, ListKind, MAX_DEPTH, Node, Rule};
use crate::validate::at::{At, Path};
use crate::validate::cause::{Cause, Causes};

/// Steps of one rule at one place, and of all rules on one object.
const RULE_STEPS: usize = 200_000;
const OBJECT_STEPS: usize = 2_000_000;

/// What the rules of a schema have against an object that takes an old one's place, or that is new.
pub fn check(object: &Value, old: Option<&Value>, schema: &Node) -> Vec<Cause> {
    let mut out = Causes::default();
    if schema.has_rules() {
        let mut walk = Walk { left: OBJECT_STEPS, ended: false };
        walk.place(object, old, schema, &Path::ROOT, &mut out, 0);
    }
    out.into_vec()
}

/// The rules of a schema's document that are not run, with where they stand and why.
pub fn not_run(document: &Value) -> Vec<String> {
    let mut out = Vec::new();
    find(&At::root(document), &mut out, 0);
    out
}

fn find(at: &At<'_, '_>, out: &mut Vec<String>, depth: usize) {
    const MAX: usize = 20;
    if depth > MAX_DEPTH || out.len() >= MAX {
        return;
    }
    for rule in at.get("x-kubernetes-validations").items() {
        let text = rule.get("rule");
        if let Err(why) = Program::new(text.str()) {
            out.push(format!("{}: this rule is not run by the embedded cluster: {why}", text.path));
        }
    }
    for name in ["items", "additionalProperties"] {
        if at.get(name).value.is_object() {
            find(&at.get(name), out, depth + 1);
        }
    }
    for (_, below) in at.get("properties").entries() {
        find(&below, out, depth + 1);
    }
}

struct Walk {
    left: usize,
    ended: bool,
}

impl Walk {
    fn place(
        &mut self,
        value: &Value,
        old: Option<&Value>,
        node: &Node,
        path: &Path<'_>,
        out: &mut Causes,
        depth: usize,
    ) {
        if depth > MAX_DEPTH || self.ended || value.is_null() {
            return;
        }
        for rule in &node.rules {
            self.rule(rule, value, old, node, path, out);
        }
        match value {
            Value::Object(members) => {
                for (name, child) in members {
                    let (below, at) = match (node.properties.get(name), &node.additional) {
                        (Some(below), _) => (below, path.child(name)),
                        (None, Additional::Of(below)) => (&**below, path.key(name)),
                        _ => continue,
                    };
                    let before = old.filter(|_| !node.atomic).and_then(|o| o.get(name));
                    self.place(child, before, below, &at, out, depth + 1);
                }
            }
            Value::Array(items) => {
                let Some(item) = &node.items else { return };
                if !item.has_rules() {
                    return;
                }
                for (i, child) in items.iter().enumerate() {
                    let before = old.and_then(|o| same_item(o, child, &node.list));
                    self.place(child, before, item, &path.index(i), out, depth + 1);
                }
            }
            _ => {}
        }
    }

    fn rule(
        &mut self,
        rule: &Rule,
        value: &Value,
        old: Option<&Value>,
        node: &Node,
        path: &Path<'_>,
        out: &mut Causes,
    ) {
        let Some(program) = &rule.program else { return };
        // Rules on a change run where there was something; others where something changed.
        let runs = match program.uses_old {
            true => old.is_some() || rule.optional_old_self,
            false => old != Some(value),
        };
        if !runs || self.ended {
            return;
        }
        let scope = Scope { this: value, old, optional: rule.optional_old_self };
        let mut budget = Budget::of(self.left.min(RULE_STEPS));
        let before = self.left;
        let result = program.holds(scope, &mut budget);
        self.left = before.saturating_sub(budget.used(before.min(RULE_STEPS)));
        let type_ = if node.int_or_string { "" } else { node.type_.name() };
        match result {
            Ok(true) => {}
            Ok(false) => {
                let text = rule.message_program.as_ref().and_then(|m| m.text(scope, &mut budget));
                let message = text.unwrap_or_else(|| default_message(rule));
                failed(rule, value, &message, path, out);
            }
            Err(error) if budget.spent => {
                let why = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                    named(rule)
                );
                out.invalid(path, type_, &why);
                self.ended = true;
            }
            Err(error) => out.invalid(path, type_, &format!("{error} evaluating rule: {}", named(rule))),
        }
    }
}

fn default_message(rule: &Rule) -> String {
    match rule.message.trim() {
        "" => format!("failed rule: {}", rule.rule.trim()),
        message => message.to_owned(),
    }
}

fn named(rule: &Rule) -> &str {
    let message = rule.message.trim();
    if message.is_empty() { rule.rule.trim() } else { message }
}

fn failed(rule: &Rule, value: &Value, message: &str, path: &Path<'_>, out: &mut Causes) {
    let fields = JsonPath::parse(&rule.field_path).ok().and_then(|p| p.fields()).unwrap_or_default();
    let place = fields.iter().fold(path.to_string(), |at, name| match at.as_str() {
        "" => name.clone(),
        at => format!("{at}.{name}"),
    });
    let place = if place.is_empty() { "<nil>" } else { place.as_str() };
    match rule.reason.as_str() {
        "FieldValueRequired" => out.required(place, message),
        "FieldValueForbidden" => out.forbidden(place, message),
        "FieldValueDuplicate" => out.duplicate(place, value),
        // Whole objects and lists are not repeated.
        _ if value.is_object() || value.is_array() => out.invalid_here(place, message),
        _ => out.invalid(place, value, message),
    }
}

/// The item of an old list that an item is the next state of.
fn same_item<'v>(old: &'v Value, item: &Value, list: &ListKind) -> Option<&'v Value> {
    let ListKind::Map(keys) = list else { return None };
    let same = |o: &&Value| keys.iter().all(|k| o.get(k) == item.get(k));
    old.as_array()?.iter().find(same)
}
