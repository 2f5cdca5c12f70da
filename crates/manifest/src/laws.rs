//! Laws across fields: values that are good alone and wrong together.
//!
//! Laws on references (an app that does not exist, a host that two apps claim, a port without a
//! name) are checked where files are resolved, in the model. Here are those that need to know what
//! will be rendered.

use kiban_model::origin::Origin;
use kiban_model::problem::{Kind, Problem};
use kiban_model::resolve::Resolution;

use crate::facts::{Facts, Graph};
use crate::render::Object;

mod app;
mod calls;
mod jobs;
mod objects;
mod platform;
mod values;

/// How much a finding weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing is written or applied.
    Error,
    /// It is said, and the render goes on.
    Warning,
}

/// A law that files break.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The law's id, a row of [`LAWS`].
    pub law: &'static str,
    /// How much it weighs.
    pub severity: Severity,
    /// The line to change, and what is wrong.
    pub problem: Problem,
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let word = if self.severity == Severity::Error { "" } else { "warning: " };
        if f.alternate() {
            write!(f, "{word}{:#} [{}]", self.problem, self.law)
        } else {
            write!(f, "{word}{} [{}]", self.problem, self.law)
        }
    }
}

/// Every law: its id and what it demands.
pub const LAWS: &[(&str, &str)] = &[
    ("timeout-chain", "a try of a call is granted at least the longest call that the callee makes itself"),
    ("retry-time", "all tries of a call fit into its timeout"),
    ("retry-budget", "the tries along a chain of calls multiply to ten at most (a warning)"),
    ("call-cycle", "no app calls itself through others"),
    ("call-port", "a call to an app of another repository names its port by number"),
    ("drain", "the time to drain covers the calls that a request may wait for"),
    ("scale-minimum", "in production at least the tier's number of replicas"),
    ("scale-range", "in production room for the autoscaler"),
    ("scale-target", "an autoscaler's target lies below what a container can use"),
    ("disruption", "a drain may take pods away, and not all of them at once"),
    ("health", "an app with ports says when it is ready and alive, in two different ways"),
    ("probe-patience", "liveness is more patient than readiness"),
    ("metrics-private", "the metrics port is not public"),
    ("slo", "an app promises at least what its tier promises, and no more slowly than its callers wait"),
    ("writable-size", "writable folders fit into the replica's disk, those in memory into its memory"),
    ("sensitive-env", "what looks like a credential is a secret and no variable (a warning)"),
    ("secret-file", "a secret has its encrypted file in the environment"),
    ("image-pin", "in an environment with review an image runs by digest"),
    ("node-port", "a node port is stated, and once in an environment"),
    ("node-sources", "where policies hold, the addresses that reach node ports are known"),
    ("job-time", "a run ends before the next is due"),
    ("job-start", "a late run starts before the next is due, and later than the controller looks"),
    ("renderer", "the version of Kiban is the one that the profile names"),
    ("namespace-env", "environments of one cluster have namespaces of their own"),
    ("override", "an override names a field that exists, with a value of its type"),
    ("extra-objects", "an object that an app brings is valid and lies in its namespace"),
    ("duplicate", "no two objects have the same identity or file"),
    ("replicas", "no number of replicas beside an autoscaler"),
    ("memory-limit", "a container's memory limit is its request"),
    ("name-length", "names have 253 characters at most, label values are valid"),
    ("schema", "every object is valid for Kubernetes"),
    ("values", "every value is one that Kubernetes' API takes"),
];

/// Laws on the apps of an environment.
pub(crate) fn on_apps(graph: &Graph<'_>, resolution: &Resolution) -> Vec<Finding> {
    let mut findings = Vec::new();
    platform::check(resolution, &mut findings);
    for f in &graph.apps {
        app::check(graph, f, &mut findings);
        jobs::check(f, &mut findings);
    }
    calls::check(graph, &mut findings);
    app::check_node_ports(graph, &mut findings);
    findings
}

/// Laws on the objects, escape hatches included.
pub(crate) fn on_objects(graph: &Graph<'_>, resolution: &Resolution, all: &[Object]) -> Vec<Finding> {
    let mut findings = Vec::new();
    objects::check(graph, resolution, all, &mut findings);
    findings
}

/// Puts findings into the order in which a person reads the files, errors first, each once.
pub(crate) fn tidy(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        let key = |f: &Finding| (f.severity, f.problem.file.clone(), f.problem.line, f.problem.column, f.law);
        key(a).cmp(&key(b)).then_with(|| a.problem.message.cmp(&b.problem.message))
    });
    findings.dedup();
}

/// A finding at a key of an app's files, or at what is nearest to it.
fn at(f: &Facts<'_>, path: &[&str], law: &'static str, severity: Severity, message: String) -> Finding {
    Finding { law, severity, problem: f.r.problem(path, message) }
}

/// A finding at a place that a value came from; without one at the profile.
fn at_origin(origin: Option<&Origin>, law: &'static str, severity: Severity, message: String) -> Finding {
    let problem = match origin {
        Some(origin) => Problem {
            file: origin.file.clone(),
            line: origin.line,
            column: origin.column,
            kind: Kind::Law,
            message,
            excerpt: None,
        },
        None => Problem::of_file("platform.yaml", Kind::Law, message),
    };
    Finding { law, severity, problem }
}

/// An error in production, a warning elsewhere.
fn in_production(f: &Facts<'_>) -> Severity {
    if f.r.environment.production { Severity::Error } else { Severity::Warning }
}
