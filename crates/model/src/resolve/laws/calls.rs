//! Laws on `calls`: the graph that network policies and the mesh are made from.

use super::{report, report_key};
use crate::app::{CallTarget, PortRef};
use crate::problem::{Problem, did_you_mean};
use crate::resolved::Resolved;

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
            CallTarget::Cidr(_) | CallTarget::Host { .. } | CallTarget::Resource { .. } => {
                if let Some(PortRef::Name(name)) = &call.port {
                    let message = format!("port {:?} must be a number: the target is no app", name.as_str());
                    report(tree, &["calls", &key, "port"], message, problems);
                }
            }
        }
    }
    callers(caller, problems);
}

/// The key as the file has it: `api.example.com:443` and `api.example.com` are the same target.
fn written(caller: &Resolved, canonical: &str, target: &CallTarget) -> String {
    let entries = caller.tree.get("calls").map(crate::yaml::Node::entries).unwrap_or_default();
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
