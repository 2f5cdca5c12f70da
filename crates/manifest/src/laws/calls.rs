//! Laws on the call graph: patience, retries, cycles.

use kiban_model::app::{CallTarget, PortRef};
use kiban_model::origin::child;

use super::{Finding, Severity, at};
use crate::facts::{Edge, Facts, Graph, longest_call, patience};

/// The product of tries along a chain that is still borne.
const MAX_TRIES: u64 = 10;

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

/// Each call that closes a cycle, with the cycle: a walk in depth, without recursion.
fn cycles(graph: &Graph<'_>, findings: &mut Vec<Finding>) {
    let mut done = vec![false; graph.apps.len()];
    for start in 0..graph.apps.len() {
        let mut way: Vec<(usize, std::vec::IntoIter<&Edge<'_>>)> = Vec::new();
        let mut next = (!done.get(start).copied().unwrap_or(true)).then_some(start);
        loop {
            if let Some(app) = next.take() {
                way.push((app, graph.calls_from(app).collect::<Vec<_>>().into_iter()));
            }
            let Some((app, calls)) = way.last_mut() else { break };
            let Some(edge) = calls.next() else {
                if let Some(app) = done.get_mut(*app) {
                    *app = true;
                }
                way.pop();
                continue;
            };
            match way.iter().position(|(app, _)| *app == edge.callee) {
                Some(from) => {
                    let ring: Vec<usize> = way.iter().skip(from).map(|(app, _)| *app).collect();
                    findings.extend(cycle(graph, &ring, edge));
                }
                None if !done.get(edge.callee).copied().unwrap_or(true) => next = Some(edge.callee),
                None => {}
            }
        }
    }
}

fn cycle(graph: &Graph<'_>, ring: &[usize], closing: &Edge<'_>) -> Option<Finding> {
    let name = |index: &usize| graph.apps.get(*index).map_or("", |f| f.name());
    let names: Vec<&str> = ring.iter().chain([&closing.callee]).map(name).collect();
    let message =
        format!("a cycle: {}; each waits for the next, and a slow one stops all", names.join(" calls "));
    let key = closing.target.to_string();
    let f = graph.apps.get(closing.caller)?;
    Some(at(f, &["calls", &key], "call-cycle", Severity::Error, message))
}

/// Where every app of a chain tries again, the last one gets the product. The worst chain to each app
/// is found in the order of the calls; apps on a cycle (an error of its own) are left out.
fn retry_budget(graph: &Graph<'_>, findings: &mut Vec<Finding>) {
    let count = graph.apps.len();
    let mut waiting: Vec<usize> = (0..count).map(|app| graph.calls_into(app).count()).collect();
    let mut ready: Vec<usize> = (0..count).filter(|app| waiting.get(*app) == Some(&0)).collect();
    // The worst product of tries at an app, and the call through which it comes.
    let mut worst: Vec<(u64, Option<&Edge<'_>>)> = vec![(1, None); count];
    while let Some(app) = ready.pop() {
        for edge in graph.calls_from(app) {
            let (so_far, _) = worst.get(app).copied().unwrap_or((1, None));
            let product = so_far.saturating_mul(u64::from(edge.patience.retries) + 1);
            if product > MAX_TRIES {
                findings.extend(too_many(graph, &worst, edge, product));
            }
            if let Some(entry) = worst.get_mut(edge.callee).filter(|entry| product > entry.0) {
                *entry = (product, Some(edge));
            }
            if let Some(left) = waiting.get_mut(edge.callee) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    ready.push(edge.callee);
                }
            }
        }
    }
}

fn too_many(
    graph: &Graph<'_>,
    worst: &[(u64, Option<&Edge<'_>>)],
    last: &Edge<'_>,
    product: u64,
) -> Option<Finding> {
    let mut chain = vec![last.callee, last.caller];
    while let Some((_, Some(edge))) = chain.last().and_then(|app| worst.get(*app)) {
        chain.push(edge.caller);
    }
    let names: Vec<&str> =
        chain.iter().rev().filter_map(|app| graph.apps.get(*app)).map(|f| f.name()).collect();
    let message = format!(
        "one request may become {product} at {} ({}), which drowns an app that struggles; at most {MAX_TRIES}",
        names.last().copied().unwrap_or_default(),
        names.join(" > "),
    );
    let key = last.target.to_string();
    let f = graph.apps.get(last.caller)?;
    Some(at(f, &["calls", &key, "retries"], "retry-budget", Severity::Warning, message))
}
