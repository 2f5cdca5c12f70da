//! Laws on free texts: what the operating system and Kubernetes take in a word, and what says nothing.

use std::collections::BTreeMap;

use super::report;
use crate::app::{App, Check, EnvValue, Run};
use crate::problem::Problem;
use crate::text::VarName;
use crate::yaml::Node;

/// Checks the texts of one app.
pub(super) fn check(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    if let Some(text) = &app.description {
        let what = if text.trim().is_empty() {
            "says nothing: write a sentence, or take the line out"
        } else {
            CONTROL
        };
        if text.trim().is_empty() || text.chars().any(char::is_control) {
            report(tree, &["description"], format!("description {what}"), problems);
        }
    }
    variables(&app.env, &["env"], tree, problems);
    if let Some(run) = &app.run {
        command(run, &["run"], tree, problems);
    }
    for (name, job) in &app.jobs {
        variables(&job.env, &["jobs", name, "env"], tree, problems);
        if let Some(run) = &job.run {
            command(run, &["jobs", name, "run"], tree, problems);
        }
    }
    probes(app, tree, problems);
}

const CONTROL: &str = "holds a control character";
const NUL: &str = "holds the character NUL, at which the operating system ends a text";
const BLANK: &str = "the command is an empty text";

fn variables(env: &BTreeMap<VarName, EnvValue>, path: &[&str], tree: &Node, problems: &mut Vec<Problem>) {
    for (name, value) in env {
        if matches!(value, EnvValue::Text(text) if text.contains('\0')) {
            report(tree, &[path, &[name]].concat(), format!("{name} {NUL}"), problems);
        }
    }
}

fn command(run: &Run, path: &[&str], tree: &Node, problems: &mut Vec<Problem>) {
    let place = path.iter().try_fold(tree, |node, key| node.get(key));
    let is_short = place.is_some_and(|node| !node.items().is_empty());
    for (key, list) in [("command", &run.command), ("args", &run.args)] {
        let key: &[&str] = if is_short { &[] } else { &[key] };
        words(list, &[path, key].concat(), tree, problems);
    }
    if run.command.first().is_some_and(|word| word.trim().is_empty()) {
        let key: &[&str] = if is_short { &["0"] } else { &["command", "0"] };
        report(tree, &[path, key].concat(), BLANK.into(), problems);
    }
}

fn words(list: &[String], path: &[&str], tree: &Node, problems: &mut Vec<Problem>) {
    for (index, _) in list.iter().enumerate().filter(|(_, word)| word.contains('\0')) {
        report(tree, &[path, &[&index.to_string()]].concat(), format!("a word {NUL}"), problems);
    }
}

fn probes(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    let Some(health) = &app.health else { return };
    for (name, probe) in [("ready", &health.ready), ("live", &health.live)] {
        match probe.as_ref().map(|probe| &probe.check) {
            Some(Check::Exec { exec }) => {
                words(exec, &["health", name, "exec"], tree, problems);
                if exec.first().is_some_and(|word| word.trim().is_empty()) {
                    report(tree, &["health", name, "exec", "0"], BLANK.into(), problems);
                }
            }
            Some(Check::Grpc { service: Some(service), .. })
                if service.is_empty() || service.chars().any(|c| c.is_whitespace() || c.is_control()) =>
            {
                let message = format!("{service:?} is no name of a gRPC service such as orders.v1.Orders");
                report(tree, &["health", name, "service"], message, problems);
            }
            _ => {}
        }
    }
}
