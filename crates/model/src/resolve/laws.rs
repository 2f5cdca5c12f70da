//! Laws on references: what an app names must exist, and exist once.

use std::collections::BTreeMap;

use crate::app::{App, Check, EnvValue, PortRef, Protocol, Resources, SecretUse, Size};
use crate::problem::{Kind, Problem, did_you_mean};
use crate::profile::Platform;
use crate::resolved::{DEFAULT_SIZE, Resolved};
use crate::yaml::{Node, find};

mod calls;
mod paths;
mod words;

pub(super) use paths::files;

/// Kubernetes' limit for a CronJob's name: eleven characters of a Job's are the run's time.
const MAX_CRONJOB: usize = 52;

/// Reports a problem at the value at `path` of an app's tree, or at the nearest one around it.
pub(super) fn report(tree: &Node, path: &[&str], message: String, problems: &mut Vec<Problem>) {
    problems.push(Problem::at(find(tree, path, false), Kind::Law, message));
}

/// As [`report`], at the last key of the path.
fn report_key(tree: &Node, path: &[&str], message: String, problems: &mut Vec<Problem>) {
    problems.push(Problem::at(find(tree, path, true), Kind::Law, message));
}

/// The amounts of a size; `None`: it names none of the platform's.
pub(super) fn size(
    size: Option<&Size>,
    path: &str,
    platform: &Platform,
    tree: &Node,
    problems: &mut Vec<Problem>,
) -> Option<Resources> {
    let name = match size {
        Some(Size::Explicit(resources)) => return Some(resources.clone()),
        Some(Size::Named(name)) => name.as_str(),
        None => DEFAULT_SIZE,
    };
    let row = platform.sizes.get(name).cloned();
    if row.is_none() {
        let known: Vec<&str> = platform.sizes.keys().map(|n| n.as_str()).collect();
        let hint = did_you_mean(name, known.iter().copied());
        let path: Vec<&str> = path.split('.').collect();
        report(tree, &path, format!("no size {name:?}{hint} (there are: {})", known.join(", ")), problems);
    }
    row
}

/// Checks all apps of an environment. `known`: the folders that hold an app; `sound`: all of them could be read,
/// so that one app may be held against another.
pub(super) fn check(apps: &[Resolved], known: &[&str], sound: bool, problems: &mut Vec<Problem>) {
    for resolved in apps {
        if !resolved.sound {
            continue;
        }
        let (app, tree) = (&resolved.app, &*resolved.tree);
        ports(app, tree, problems);
        public(app, tree, problems);
        health(app, tree, problems);
        jobs(resolved, tree, problems);
        secrets(app, tree, problems);
        identity(resolved, tree, problems);
        overrides(app, tree, problems);
        words::check(app, tree, problems);
        paths::clashes(app, tree, problems);
        namespace(resolved, tree, problems);
        if app.slo.as_ref().is_some_and(|slo| slo.availability.is_none() && slo.latency.is_none()) {
            report(tree, &["slo"], "slo promises nothing: give availability or latency".into(), problems);
        }
        calls::check(resolved, apps, known, problems);
    }
    if sound {
        hosts(apps, problems);
    }
}

/// Checks one app's file by itself, whatever an environment sets instead: what stands in it twice.
/// `profile`: with the rows of all environments, where it could be read.
pub(super) fn alone(app: &App, profile: Option<&Platform>, tree: &Node, problems: &mut Vec<Problem>) {
    if let Some(profile) = profile {
        if app.size.is_some() {
            size(app.size.as_ref(), "size", profile, tree, problems);
        }
        for (name, job) in app.jobs.iter().filter(|(_, job)| job.size.is_some()) {
            size(job.size.as_ref(), &format!("jobs.{name}.size"), profile, tree, problems);
        }
        role(app, profile, tree, problems);
    }
    numbers(app, tree, problems);
    twice(app, tree, problems);
    job_names(app, tree, problems);
    overrides(app, tree, problems);
    paths::clashes(app, tree, problems);
    calls::callers_twice(app, tree, problems);
    calls::targets_twice(tree, problems);
    words::check(app, tree, problems);
}

/// Port numbers are used once.
fn numbers(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<(u16, &str), &str> = BTreeMap::new();
    let mut node_ports: BTreeMap<(u16, &str), &str> = BTreeMap::new();
    for (name, port) in &app.ports {
        let transport = port.protocol(name).transport();
        if let Some(other) = seen.insert((port.port, transport), name) {
            let message =
                format!("ports {other:?} and {:?} have the same number {}", name.as_str(), port.port);
            report(tree, &["ports", name], message, problems);
        }
        let Some(number) = port.node_port else { continue };
        if let Some(other) = node_ports.insert((number, transport), name) {
            let message = format!("ports {other:?} and {:?} have the same nodePort {number}", name.as_str());
            report(tree, &["ports", name, "nodePort"], message, problems);
        }
    }
}

fn ports(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    numbers(app, tree, problems);
    if let Some(port) = app.metrics.as_ref().and_then(|m| m.port.as_ref()) {
        refer(app, port, tree, &["metrics", "port"], problems);
    } else if app.metrics.is_some() && !app.ports.contains_key("metrics") && app.main_port().is_none() {
        report(tree, &["metrics"], "no port is called metrics: say which one it is".into(), problems);
    }
}

/// Reports a reference to a port that the app does not declare.
fn refer(app: &App, port: &PortRef, tree: &Node, path: &[&str], problems: &mut Vec<Problem>) -> bool {
    if app.find_port(Some(port)).is_some() {
        return true;
    }
    let message = match port {
        PortRef::Number(number) => format!("port {number} is none of the app's ports"),
        PortRef::Name(name) => {
            let hint = did_you_mean(name, app.ports.keys().map(|n| n.as_str()));
            format!("no port is called {:?}{hint}", name.as_str())
        }
    };
    report(tree, path, message, problems);
    false
}

const NO_MAIN_PORT: &str = "which port? None is called http or grpc, and there is not exactly one; name it";

fn public(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    for (index, route) in app.public.0.iter().enumerate() {
        let index = index.to_string();
        let path = ["public", index.as_str(), "port"];
        let direct = ["public", "port"];
        let path: &[&str] =
            if tree.get("public").is_some_and(|n| n.items().is_empty()) { &direct } else { &path };
        match &route.port {
            Some(port) if !refer(app, port, tree, path, problems) => {}
            port => match app.find_port(port.as_ref()) {
                None => report(tree, path, NO_MAIN_PORT.into(), problems),
                Some((name, port))
                    if !port.protocol(name).is_http() && port.protocol(name) != Protocol::Https =>
                {
                    let message = format!("port {:?} speaks no HTTP: it cannot be public", name.as_str());
                    report(tree, path, message, problems);
                }
                Some(_) => {}
            },
        }
    }
}

fn health(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    let Some(health) = &app.health else { return };
    for (name, probe) in [("ready", &health.ready), ("live", &health.live)] {
        let Some(probe) = probe else { continue };
        match &probe.check {
            Check::Http { port: Some(port), .. } => {
                refer(app, port, tree, &["health", name, "port"], problems);
            }
            Check::Http { port: None, .. } if app.main_port().is_none() => {
                report(tree, &["health", name], NO_MAIN_PORT.into(), problems);
            }
            Check::Tcp { tcp: port } => {
                refer(app, port, tree, &["health", name, "tcp"], problems);
            }
            Check::Grpc { grpc: port, .. } => {
                refer(app, port, tree, &["health", name, "grpc"], problems);
            }
            Check::Http { .. } | Check::Exec { .. } => {}
        }
    }
}

fn job_names(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    for name in app.jobs.keys() {
        let full = app.name.len() + 1 + name.len();
        if full > MAX_CRONJOB {
            let message =
                format!("{}-{name} has {full} characters, a CronJob's name at most {MAX_CRONJOB}", app.name);
            report_key(tree, &["jobs", name], message, problems);
        }
    }
}

fn jobs(resolved: &Resolved, tree: &Node, problems: &mut Vec<Problem>) {
    let app = &resolved.app;
    job_names(app, tree, problems);
    for (name, job) in &app.jobs {
        if job.run.is_none() {
            report_key(
                tree,
                &["jobs", name],
                format!("missing key \"run\" in jobs.{name}: what does it run?"),
                problems,
            );
        }
        if let Some(named @ Size::Named(_)) = &job.size {
            let path = format!("jobs.{name}.size");
            size(Some(named), &path, &resolved.platform, tree, problems);
        }
        for (var, value) in &job.env {
            secret_exists(app, value, tree, &["jobs", name, "env", var], problems);
        }
    }
}

fn secret_exists(app: &App, value: &EnvValue, tree: &Node, path: &[&str], problems: &mut Vec<Problem>) {
    let EnvValue::Secret { secret, .. } = value else { return };
    if app.secrets.iter().any(|s| s.name == *secret) {
        return;
    }
    let hint = did_you_mean(secret, app.secrets.iter().map(|s| s.name.as_str()));
    let mut path = path.to_vec();
    path.push("secret");
    report(tree, &path, format!("secrets lists no {:?}{hint}", secret.as_str()), problems);
}

/// A secret is listed once for a use.
fn twice(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    for (index, secret) in app.secrets.iter().enumerate() {
        let twice =
            app.secrets.iter().take(index).any(|s| s.name == secret.name && s.used_as == secret.used_as);
        if twice {
            let used = if secret.used_as == SecretUse::Env { "env" } else { "files" };
            let message = format!("secret {:?} is listed twice as {used}", secret.name.as_str());
            report(tree, &["secrets", &index.to_string()], message, problems);
        }
    }
}

fn secrets(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    twice(app, tree, problems);
    for (name, value) in &app.env {
        secret_exists(app, value, tree, &["env", name], problems);
    }
}

fn identity(resolved: &Resolved, tree: &Node, problems: &mut Vec<Problem>) {
    role(&resolved.app, &resolved.platform, tree, problems);
}

/// The identity is one of the platform's, and for the app's team.
fn role(app: &App, platform: &Platform, tree: &Node, problems: &mut Vec<Problem>) {
    let Some(role) = app.identity.as_ref().and_then(|i| i.role.as_ref()) else { return };
    let path = ["identity", "role"];
    match platform.identities.get(role) {
        None => {
            let hint = did_you_mean(role, platform.identities.keys().map(|n| n.as_str()));
            report(tree, &path, format!("platform.yaml has no identity {:?}{hint}", role.as_str()), problems);
        }
        Some(spec) if !spec.teams.is_empty() && !spec.teams.contains(&app.team) => {
            let message = format!("identity {:?} is not for team {:?}", role.as_str(), app.team.as_str());
            report(tree, &path, message, problems);
        }
        Some(_) => {}
    }
}

/// `Deployment.spec.x` or `CronJob/cleanup.spec.x`.
fn overrides(app: &App, tree: &Node, problems: &mut Vec<Problem>) {
    for key in app.overrides.keys() {
        let (object, path) = key.split_once('.').unwrap_or((key, ""));
        let (kind, name) = object.split_once('/').unwrap_or((object, "x"));
        let kind_is_good = kind.starts_with(|c: char| c.is_ascii_uppercase())
            && kind.chars().all(|c| c.is_ascii_alphanumeric());
        if !kind_is_good || name.is_empty() || path.is_empty() || path.ends_with('.') {
            let message = format!("{key:?} is no path of a field: Kind.path or Kind/name.path is needed");
            report_key(tree, &["override", key], message, problems);
        }
    }
}

fn namespace(resolved: &Resolved, tree: &Node, problems: &mut Vec<Problem>) {
    let name = resolved.namespace();
    if name.len() > 63 {
        let message = format!("namespace {name} has {} characters, at most 63 are allowed", name.len());
        report(tree, &["team"], message, problems);
    } else if name == "default" || name.starts_with("kube-") {
        report(tree, &["team"], format!("namespace {name} belongs to Kubernetes"), problems);
    }
}

/// No two apps of an environment may claim the same host and path.
fn hosts(apps: &[Resolved], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    for resolved in apps {
        for (index, route) in resolved.app.public.0.iter().enumerate() {
            let name = resolved.app.name.as_str();
            let Some(other) = seen.insert((&route.host, &route.path), name) else { continue };
            let who =
                if other == name { "listed twice".to_owned() } else { format!("public for {other} too") };
            let message = format!("{}{} is {who} in {}", route.host, route.path, resolved.env);
            let index = index.to_string();
            report(&resolved.tree, &["public", &index, "host"], message, problems);
        }
    }
}
