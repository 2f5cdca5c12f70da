//! What people do with a cluster, done with real kubectl and judged by output and exit code.
//!
//! One module a subject; between them they hold the acceptance commands of a Kubernetes API and
//! the neighbours of each.

mod apply;
mod look;
mod nodes;
mod pages;
mod patches;
mod run;
mod watch;
mod workloads;

use kiban_testkit::{Kubectl, Sim};

/// A namespace with a Deployment, its Service, an autoscaler and a budget.
const APP: &str = include_str!("acceptance/app.yaml");

/// A cluster of three nodes and kubectl; `None` where there is no kubectl.
fn cluster(test: &str) -> Option<(Sim, Kubectl)> {
    let sim = Sim::start(3);
    let kubectl = sim.kubectl(test)?;
    Some((sim, kubectl))
}

/// The words of one line of a table, found by its first word.
#[track_caller]
fn cells(table: &str, first: &str) -> Vec<String> {
    let line = table.lines().find(|l| l.split_whitespace().next() == Some(first));
    let line = line.unwrap_or_else(|| panic!("no line {first} in:\n{table}"));
    line.split_whitespace().map(str::to_owned).collect()
}

/// Each of these is somewhere in the text.
#[track_caller]
fn holds(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no \"{part}\" in:\n{text}");
    }
}
