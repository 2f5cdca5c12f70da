//! Laws on `calls`: the graph that network policies and the mesh are made from.

use super::{report, report_key};
use crate::app::{App, Call, CallTarget, PortRef};
use crate::problem::{Problem, did_you_mean};
use crate::resolved::Resolved;
use crate::yaml::Node;

pub(super) fn check(caller: &Resolved, apps: &[Resolved], known: &[&str], problems: &mut Vec<Problem>) {
    let tree = &*caller.tree;
    for (target, call) in &caller.app.calls {
        let key = target.to_string();
        let key = written(caller, &key, target);
        match target {
            CallTarget::App { team, app } => {
                let own = team.as_ref().is_none_or(|t| *t == caller.app.team);
                if *app == caller.app.name && own {
                    report_key(tree, &["calls", &key], "an app does not call itself".into(), problems);
                    continue;
                }
                let Some(callee) = apps.iter().find(|r| r.app.name == *app) else {
                    // One that is there but cannot be read was reported already.
                    if team.is_none() && !known.contains(&app.as_str()) {
                        let hint = did_you_mean(
                            app,
                            known.iter().copied().filter(|k| *k != caller.app.name.as_str()),
                        );
                        let message = format!(
                            "no app {:?} in this repository{hint} (another's is written team/app)",
                            app.as_str()
                        );
                        report_key(tree, &["calls", &key], message, problems);
                    }
                    continue;
                };
                if team.as_ref().is_some_and(|t| *t != callee.app.team) {
                    let message = format!("{app} belongs to team {}", callee.app.team);
                    report_key(tree, &["calls", &key], message, problems);
                }
                if callee.sound {
                    check_port(caller, callee, call.port.as_ref(), &key, problems);
                }
            }
            CallTarget::Cidr(_) if call.port.is_none() => {
                report_key(tree, &["calls", &key], "a block of addresses needs a port".into(), problems);
            }
            CallTarget::Resource { .. } => {
                check_external(caller, target, &key, problems);
                check_number(tree, call, &key, problems);
            }
            CallTarget::Cidr(_) | CallTarget::Host { .. } => check_number(tree, call, &key, problems),
        }
    }
    targets_twice(tree, problems);
    callers(caller, problems);
    callers_twice(&caller.app, tree, problems);
}

/// A service outside that nothing declares would be reached anywhere: its name may as well be a typo.
fn check_external(caller: &Resolved, target: &CallTarget, key: &str, problems: &mut Vec<Problem>) {
    let externals = &caller.platform.externals;
    if externals.contains_key(target) {
        return;
    }
    let known: Vec<String> = externals.keys().map(ToString::to_string).collect();
    let hint = did_you_mean(&target.to_string(), known.iter().map(String::as_str));
    let list = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    let message = format!("externals of platform.yaml declares no {target}{hint} (there are: {list})");
    report_key(&caller.tree, &["calls", key], message, problems);
}

/// Outside of the repository no port has a name.
fn check_number(tree: &Node, call: &Call, key: &str, problems: &mut Vec<Problem>) {
    if let Some(PortRef::Name(name)) = &call.port {
        let message = format!("port {:?} must be a number: the target is no app", name.as_str());
        report(tree, &["calls", key, "port"], message, problems);
    }
}

/// A target is called once, however it is written (`api.example.com`, `api.example.com:443`).
pub(super) fn targets_twice(tree: &Node, problems: &mut Vec<Problem>) {
    let mut seen: Vec<(CallTarget, &str)> = Vec::new();
    for entry in tree.get("calls").map(Node::entries).unwrap_or_default() {
        let Ok(target) = CallTarget::new(entry.name()) else { continue };
        match seen.iter().find(|(other, _)| *other == target) {
            Some((_, other)) => {
                let message = format!("{} is {other}, which is called already", entry.name());
                report_key(tree, &["calls", entry.name()], message, problems);
            }
            None => seen.push((target, entry.name())),
        }
    }
}

/// A caller is listed once.
pub(super) fn callers_twice(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    for (index, target) in app.callers.iter().enumerate() {
        if app.callers.iter().take(index).any(|earlier| earlier == target) {
            report(tree, &["callers", &index.to_string()], format!("{target} is listed twice"), problems);
        }
    }
}

/// The key as the file has it: `api.example.com:443` and `api.example.com` are the same target.
fn written(caller: &Resolved, canonical: &str, target: &CallTarget) -> String {
    let entries = caller.tree.get("calls").map(Node::entries).unwrap_or_default();
    let same = entries.iter().find(|e| CallTarget::new(e.name()).as_ref() == Ok(target));
    same.map_or_else(|| canonical.to_owned(), |e| e.name().to_owned())
}

fn check_port(
    caller: &Resolved,
    callee: &Resolved,
    port: Option<&PortRef>,
    key: &str,
    problems: &mut Vec<Problem>,
) {
    if callee.app.find_port(port).is_some() {
        return;
    }
    let name = &callee.app.name;
    let message = match port {
        Some(PortRef::Name(port)) => {
            let hint = did_you_mean(port, callee.app.ports.keys().map(|n| n.as_str()));
            format!("{name} has no port {:?}{hint}", port.as_str())
        }
        Some(PortRef::Number(number)) => format!("{name} has no port {number}"),
        None if callee.app.ports.is_empty() => format!("{name} has no ports: it cannot be called"),
        None => format!(
            "which port of {name}? None is called http or grpc, and there is not exactly one; name it"
        ),
    };
    match port {
        Some(_) => report(&caller.tree, &["calls", key, "port"], message, problems),
        None => report_key(&caller.tree, &["calls", key], message, problems),
    }
}

fn callers(resolved: &Resolved, problems: &mut Vec<Problem>) {
    for (index, target) in resolved.app.callers.iter().enumerate() {
        let index = index.to_string();
        let path = ["callers", index.as_str()];
        match target {
            CallTarget::App { team: Some(_), .. } | CallTarget::Cidr(_) => {}
            _ => {
                let message = format!("{target} is no caller: team/app or a block of addresses is needed");
                report(&resolved.tree, &path, message, problems);
            }
        }
        if resolved.app.ports.is_empty() {
            report(&resolved.tree, &path, "the app has no ports: nobody can call it".into(), problems);
        }
    }
}
