//! Laws on the call graph: patience, retries, cycles.

use std::collections::BTreeSet;

use kiban_model::app::{CallTarget, PortRef};
use kiban_model::origin::child;

use super::{Finding, Severity, at};
use crate::facts::{Edge, Facts, Graph, longest_call, patience};

/// The product of tries along a chain that is still borne.
const MAX_TRIES: u64 = 10;
/// Chains that are longer are not followed.
const MAX_CHAIN: usize = 32;

pub(super) fn check(graph: &Graph<'_>, findings: &mut Vec<Finding>) {
    for f in &graph.apps {
        own_calls(graph, f, findings);
    }
    for edge in &graph.edges {
        timeout_chain(graph, edge, findings);
    }
    cycles(graph, findings);
    retry_budget(graph, findings);
}

/// Each call by itself.
fn own_calls(graph: &Graph<'_>, f: &Facts<'_>, findings: &mut Vec<Finding>) {
    for (target, call) in &f.r.app.calls {
        let key = target.to_string();
        let p = patience(f.r, call);
        let tries = u64::from(p.retries) + 1;
        let all = p.per_try.as_millis().saturating_mul(tries);
        if call.per_try.is_some() && all > p.timeout.as_millis() {
            let message = format!(
                "{tries} tries of {} take {all}ms, more than the timeout of {}; lower perTry or retries, or raise timeout",
                p.per_try, p.timeout
            );
            findings.push(at(f, &["calls", &key, "perTry"], "retry-time", Severity::Error, message));
        } else if p.timeout.as_millis() < tries {
            let message = format!("{tries} tries do not fit into {}", p.timeout);
            findings.push(at(f, &["calls", &key, "timeout"], "retry-time", Severity::Error, message));
        }
        let is_here = graph.calls_of(f.name()).any(|edge| edge.target == target);
        let has_number = matches!(call.port, Some(PortRef::Number(_)));
        if matches!(target, CallTarget::App { .. }) && !is_here && !has_number {
            let message =
                format!("{key} is not in this repository: say which port of its pods is called (port: 8080)");
            findings.push(at(f, &["calls", &key], "call-port", Severity::Error, message));
        }
    }
}

/// What an app grants one try must cover the longest call that the callee makes itself.
fn timeout_chain(graph: &Graph<'_>, edge: &Edge<'_>, findings: &mut Vec<Finding>) {
    let Some((caller, callee)) = graph.ends(edge) else { return };
    if edge.call.timeout.is_none() && !caller.in_mesh() {
        return; // nothing bounds the call
    }
    let Some((longest, target)) = longest_call(callee.r) else { return };
    if longest <= edge.patience.per_try {
        return;
    }
    let key = edge.target.to_string();
    let below = callee.origin(&format!("{}.timeout", child("calls", &target.to_string())));
    let place = below.map(|origin| format!(" ({origin})")).unwrap_or_default();
    let one = if edge.patience.retries > 0 { "one try of " } else { "" };
    let message = format!(
        "{} gives {one}{} {}, but {} itself waits up to {longest} for {target}{place}; the patience must shrink along the calls",
        caller.name(),
        callee.name(),
        edge.patience.per_try,
        callee.name(),
    );
    let path: &[&str] =
        if edge.call.timeout.is_some() { &["calls", &key, "timeout"] } else { &["calls", &key] };
    findings.push(at(caller, path, "timeout-chain", Severity::Error, message));
}

/// Each cycle once, at the call that closes it.
fn cycles(graph: &Graph<'_>, findings: &mut Vec<Finding>) {
    let mut reported: BTreeSet<Vec<usize>> = BTreeSet::new();
    for start in 0..graph.apps.len() {
        let mut way = Vec::new();
        walk(graph, start, &mut way, &mut |way, edge| {
            let Some(from) = way.iter().position(|app| *app == edge.callee) else { return };
            let ring = way.get(from..).unwrap_or_default();
            let mut members = ring.to_vec();
            members.sort_unstable();
            if !reported.insert(members) {
                return;
            }
            let name = |index: &usize| graph.apps.get(*index).map_or("", |f| f.name());
            let names: Vec<&str> = ring.iter().chain([&edge.callee]).map(name).collect();
            if let Some(f) = graph.apps.get(edge.caller) {
                let message = format!(
                    "a cycle: {}; each waits for the next, and a slow one stops all",
                    names.join(" calls ")
                );
                let key = edge.target.to_string();
                findings.push(at(f, &["calls", &key], "call-cycle", Severity::Error, message));
            }
        });
    }
}

/// Visits every call on every way from an app; a way ends where it meets itself.
fn walk<'g, 'a>(
    graph: &'g Graph<'a>,
    app: usize,
    way: &mut Vec<usize>,
    visit: &mut impl FnMut(&[usize], &'g Edge<'a>),
) {
    if way.len() >= MAX_CHAIN {
        return;
    }
    way.push(app);
    for edge in graph.edges.iter().filter(|edge| edge.caller == app) {
        visit(way, edge);
        // A cycle was reported by whoever closed it; only ways from their smallest member go on, so that dense
        // graphs do not multiply.
        if !way.contains(&edge.callee) && way.len() < 8 {
            walk(graph, edge.callee, way, visit);
        }
    }
    way.pop();
}

/// Where every app of a chain tries again, the last one gets the product.
fn retry_budget(graph: &Graph<'_>, findings: &mut Vec<Finding>) {
    let called: BTreeSet<usize> = graph.edges.iter().map(|edge| edge.callee).collect();
    let mut worst: std::collections::BTreeMap<(usize, usize), (u64, Vec<usize>)> =
        std::collections::BTreeMap::new();
    for start in (0..graph.apps.len()).filter(|app| !called.contains(app)) {
        walk(graph, start, &mut Vec::new(), &mut |way, edge| {
            let tries = way.windows(2).map(|pair| tries(graph, pair)).product::<u64>()
                * (u64::from(edge.patience.retries) + 1);
            let entry = worst.entry((edge.caller, edge.callee)).or_insert((0, Vec::new()));
            if tries > entry.0 {
                *entry = (tries, way.to_vec());
            }
        });
    }
    for ((caller, callee), (tries, way)) in worst.into_iter().filter(|(_, (tries, _))| *tries > MAX_TRIES) {
        let Some((f, edge)) = graph
            .apps
            .get(caller)
            .zip(graph.edges.iter().find(|edge| edge.caller == caller && edge.callee == callee))
        else {
            continue;
        };
        let names: Vec<&str> =
            way.iter().chain([&callee]).filter_map(|app| graph.apps.get(*app)).map(|f| f.name()).collect();
        let message = format!(
            "one request may become {tries} at {} ({}), which drowns an app that struggles; at most {MAX_TRIES}",
            names.last().copied().unwrap_or_default(),
            names.join(" > "),
        );
        let key = edge.target.to_string();
        findings.push(at(f, &["calls", &key, "retries"], "retry-budget", Severity::Warning, message));
    }
}

fn tries(graph: &Graph<'_>, pair: &[usize]) -> u64 {
    let edge = graph
        .edges
        .iter()
        .find(|edge| pair.first() == Some(&edge.caller) && pair.get(1) == Some(&edge.callee));
    edge.map_or(1, |edge| u64::from(edge.patience.retries) + 1)
}
