//! Whether rules give no more than other rules: what keeps a writer of roles from granting what they lack.
//!
//! Contract: Kubernetes component-helpers/auth/rbac/validation/policy_comparator.go.

use super::{Rule, url_matches};

/// Single permissions that one role is taken apart into at most; a larger one is compared no further, and
/// counts as not covered.
const MAX_PARTS: usize = 100_000;

/// The rules of `wanted` that `held` does not give.
pub fn covers(held: &[Rule], wanted: &[Rule]) -> Vec<Rule> {
    let mut parts = 0_usize;
    let mut missing: Vec<Rule> = Vec::new();
    for rule in wanted {
        let count = |n: usize| n.max(1);
        let size = count(rule.verbs.len())
            .saturating_mul(count(rule.groups.len()))
            .saturating_mul(count(rule.resources.len()))
            .saturating_mul(count(rule.names.len()).saturating_add(rule.urls.len()));
        parts = parts.saturating_add(size);
        if parts > MAX_PARTS {
            missing.push(rule.clone());
            continue;
        }
        missing.extend(taken_apart(rule).into_iter().filter(|part| !held.iter().any(|h| covered(h, part))));
    }
    compact(missing)
}

/// Rules of one verb on one thing each.
fn taken_apart(rule: &Rule) -> Vec<Rule> {
    let mut out = Vec::new();
    let one = |text: &String| vec![text.clone()];
    for verb in &rule.verbs {
        for group in &rule.groups {
            for resource in &rule.resources {
                let part = Rule {
                    verbs: one(verb),
                    groups: one(group),
                    resources: one(resource),
                    ..Rule::default()
                };
                match rule.names.is_empty() {
                    true => out.push(part),
                    false => out.extend(rule.names.iter().map(|n| Rule { names: one(n), ..part.clone() })),
                }
            }
        }
        out.extend(rule.urls.iter().map(|u| Rule { verbs: one(verb), urls: one(u), ..Rule::default() }));
    }
    out
}

fn covered(held: &Rule, part: &Rule) -> bool {
    let has = |list: &[String], wanted: &[String]| {
        list.iter().any(|x| x == "*") || wanted.iter().all(|w| list.contains(w))
    };
    let resources = || {
        part.resources.iter().all(|wanted| {
            held.resources.iter().any(|h| {
                let sub = wanted.split_once('/').map(|(_, s)| s);
                h == "*" || h == wanted || h.strip_prefix("*/").zip(sub).is_some_and(|(h, s)| h == s)
            })
        })
    };
    let names = || {
        held.names.is_empty() || (!part.names.is_empty() && part.names.iter().all(|n| held.names.contains(n)))
    };
    let urls = || part.urls.iter().all(|wanted| held.urls.iter().any(|h| url_matches(h, wanted)));
    has(&held.verbs, &part.verbs) && has(&held.groups, &part.groups) && resources() && names() && urls()
}

/// Puts parts together again that differ in their verb alone.
fn compact(parts: Vec<Rule>) -> Vec<Rule> {
    let mut out: Vec<Rule> = Vec::new();
    for part in parts {
        let same = |r: &&mut Rule| {
            r.groups == part.groups
                && r.resources == part.resources
                && r.names == part.names
                && r.urls == part.urls
        };
        match out.iter_mut().find(same) {
            Some(rule) => rule
                .verbs
                .extend(part.verbs.iter().filter(|v| !rule.verbs.contains(v)).cloned().collect::<Vec<_>>()),
            None => out.push(part),
        }
    }
    out
}

/// A rule as refusals print it: `{APIGroups:[""], Resources:["pods"], Verbs:["get"]}`.
pub fn show(rule: &Rule) -> String {
    let list = |all: &[String]| {
        let quoted: Vec<String> = all.iter().map(|t| format!("{t:?}")).collect();
        format!("[{}]", quoted.join(" "))
    };
    let parts: Vec<String> = [
        ("APIGroups", &rule.groups),
        ("Resources", &rule.resources),
        ("ResourceNames", &rule.names),
        ("NonResourceURLs", &rule.urls),
        ("Verbs", &rule.verbs),
    ]
    .iter()
    .filter(|(_, all)| !all.is_empty())
    .map(|(name, all)| format!("{name}:{}", list(all)))
    .collect();
    format!("{{{}}}", parts.join(", "))
}
