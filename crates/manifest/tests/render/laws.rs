//! Each law: files that break it, the line that is named, and the words.

use std::collections::BTreeSet;

use kiban_manifest::laws::LAWS;
use kiban_manifest::{Finding, Severity};

use crate::support::{PLATFORM, app, pin, platform_with, render};

/// Files that break one law in prod.
struct Case {
    law: &'static str,
    severity: Severity,
    platform: String,
    apps: Vec<(&'static str, &'static str)>,
    /// `file:line` that is named.
    place: &'static str,
    /// A part of the message.
    says: &'static str,
}

const MESH: &str = "mesh: istio\n";

fn case(
    law: &'static str,
    apps: &[(&'static str, &'static str)],
    place: &'static str,
    says: &'static str,
) -> Case {
    Case { law, severity: Severity::Error, platform: PLATFORM.into(), apps: apps.to_vec(), place, says }
}

impl Case {
    fn under(mut self, more: &str) -> Self {
        self.platform.push_str(more);
        self
    }

    fn warns(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }
}

/// Lines of [`app`] before what a case adds: it begins at line 10.
#[rustfmt::skip]
fn cases() -> Vec<Case> {
    vec![
        case("timeout-chain",
            &[("a", "calls: { b: { timeout: 500ms, retries: 0 } }\n"), ("b", "calls: { c: { timeout: 800ms } }\n"), ("c", "")],
            "a/app.yaml:10", "a gives b 500ms, but b itself waits up to 800ms for c (b/app.yaml:10:24)"),
        case("timeout-chain",
            &[("a", "calls: { b: { timeout: 900ms, retries: 2 } }\n"), ("b", "calls: { pg:db: { timeout: 400ms } }\n")],
            "a/app.yaml:10", "a gives one try of b 300ms, but b itself waits up to 400ms for pg:db"),
        case("timeout-chain",
            &[("a", "calls:\n  b: {}\n"), ("b", "calls: { c: { timeout: 9s } }\n"), ("c", "")],
            "a/app.yaml:11", "a gives one try of b 1666ms").under(MESH),
        case("retry-time",
            &[("a", "calls:\n  b:\n    timeout: 1s\n    retries: 2\n    perTry: 500ms\n"), ("b", "")],
            "a/app.yaml:14", "3 tries of 500ms take 1500ms, more than the timeout of 1s"),
        case("retry-time", &[("a", "calls: { b: { timeout: 2ms, retries: 3 } }\n"), ("b", "")],
            "a/app.yaml:10", "4 tries do not fit into 2ms"),
        case("retry-budget",
            &[("a", "calls: { b: { timeout: 9s, retries: 3 } }\n"), ("b", "calls: { c: { timeout: 2s, retries: 3 } }\n"), ("c", "")],
            "b/app.yaml:10", "one request may become 16 at c (a > b > c)").warns(),
        case("call-cycle",
            &[("a", "calls: { b: { timeout: 9s, retries: 0 } }\n"), ("b", "calls: { a: { timeout: 9s, retries: 0 } }\n")],
            "b/app.yaml:10", "a cycle: a calls b calls a"),
        case("call-port", &[("a", "calls: { risk/scoring: {} }\n")],
            "a/app.yaml:10", "risk/scoring is not in this repository: say which port"),
        case("drain", &[("a", "calls: { pg:db: { timeout: 20s } }\nshutdown: 5s\n")],
            "a/app.yaml:11", "a drains for 5s, but a request of it waits up to 20s for pg:db; at least 20s"),
        case("drain", &[("a", "calls: { pg:db: { timeout: 2m } }\n")],
            "a/app.yaml:10", "a drains for 30s"),
        case("drain", &[("a", "calls: { b: { timeout: 8s, retries: 0 } }\n"), ("b", "shutdown: { drain: 5s }\n")],
            "b/app.yaml:10", "a request of it is given up to 8s a try by a"),
        case("scale-minimum", &[("a", "")], "a/env/prod.yaml:1", "1 replicas are too few for tier 2 in prod: at least 2"),
        case("scale-range", &[("a", "")], "a/env/prod.yaml:1", "write scale: { from: 3, to: 9 }"),
        case("scale-target", &[("a", "")], "a/env/prod.yaml:1",
            "a target of 600% cpu is never exceeded: the limit is 4x the request (400%)"),
        case("scale-target", &[("a", "")], "a/env/prod.yaml:1", "a target of 100% memory is never exceeded"),
        case("scale-target", &[("a", "")], "platform.yaml:6", "a target of 100% cpu is never exceeded: the limit is 1x")
            .under("scaling: { cpu: 100% }\ncpuLimit: 1x\n"),
        case("disruption", &[("a", "")], "a/app.yaml:9",
            "a drain may take 3 replicas of a at once (tier 2: 3), and it has 3 at least; raise from")
            .under("tiers: { 2: { priority: 1, replicas: 2, disruption: 3 } }\n"),
        case("disruption", &[("a", "")], "platform.yaml:6", "a disruption of 0 lets no node be drained")
            .under("tiers: { 2: { priority: 1, replicas: 2, disruption: 0 } }\n"),
        case("health", &[("a", "")], "a/env/prod.yaml:1", "health.live is missing"),
        case("health", &[("a", "")], "a/env/prod.yaml:1", "live asks the same as ready"),
        case("probe-patience", &[("a", "")], "a/env/prod.yaml:1",
            "a replica would be restarted after 5s, before it leaves the Service after 30s"),
        case("metrics-private", &[("a", "public: { host: a.example.com, port: metrics }\n")],
            "a/app.yaml:10", "a.example.com would show the app's metrics to everyone"),
        case("slo", &[("a", "slo: { availability: 99% }\n")], "a/app.yaml:10", "99% is less than tier 2 promises: 99.5%"),
        case("slo",
            &[("a", "calls: { b: { timeout: 300ms, retries: 0 } }\n"), ("b", "slo: { latency: 99% < 500ms }\n")],
            "b/app.yaml:10", "b promises 99% < 500ms, but a gives a try only 300ms").warns(),
        case("writable-size", &[("a", "writable: { /cache: 9Gi }\n")], "a/app.yaml:10",
            "writable folders may hold 9Gi, but a replica has 512Mi of disk"),
        case("writable-size", &[("a", "writable: { /cache: { size: 300Mi, memory: true } }\n")], "a/app.yaml:10",
            "but a replica has 256Mi of memory"),
        case("sensitive-env", &[("a", "env: { DB_PASSWORD: hunter2 }\n")], "a/app.yaml:10",
            "DB_PASSWORD looks like a credential").warns(),
        case("sensitive-env", &[("a", "env: { KEY: \"-----BEGIN RSA PRIVATE KEY-----\" }\n")], "a/app.yaml:10",
            "KEY looks like a credential"),
        case("secret-file", &[("a", "secrets: [db]\n")], "a/app.yaml:10",
            "secret \"db\" has no file a/secrets/prod/db.enc.yaml").warns(),
        case("secret-file", &[("a", "secrets: [db, cache]\n")], "a/app.yaml:10", "secret \"cache\" has no file"),
        case("image-pin", &[("unpinned", "")], "unpinned/app.yaml:6", "nothing says which image of"),
        case("image-pin", &[("a", "override: { \"Deployment.spec.template.spec.containers[a].image\": \"x.example/y:1\" }\n")],
            "a/app.yaml:10", "\"x.example/y:1\" is no digest"),
        case("node-port", &[("a", "")], "a/app.yaml:7", "port \"http\" needs a nodePort")
            .under("service: nodeport\nnetwork: { nodes: [10.0.0.0/8] }\n"),
        case("node-port", &[("a", ""), ("b", "")], "b/env/prod.yaml:1", "nodePort 30080 belongs to a (http) already")
            .under("service: nodeport\nnetwork: { nodes: [10.0.0.0/8] }\n"),
        case("node-sources", &[("a", "")], "platform.yaml:6", "need network.nodes").under("service: nodeport\n"),
        case("job-time", &[("a", "jobs:\n  j: { schedule: \"*/5 * * * *\", run: [x], timeout: 6m }\n")],
            "a/app.yaml:11", "a run may take 6m, but the next is due 5m after it"),
        case("job-time", &[("a", "jobs:\n  j: { schedule: \"*/5 * * * *\", run: [x] }\n")],
            "a/app.yaml:11", "a run may take 1h"),
        case("job-start", &[("a", "jobs:\n  j: { schedule: \"@hourly\", run: [x], timeout: 5m, deadline: 2h }\n")],
            "a/app.yaml:11", "a run may start 2h late, after the next is due (1h)"),
        case("job-start", &[("a", "jobs:\n  j: { schedule: \"@hourly\", run: [x], timeout: 5m, deadline: 5s }\n")],
            "a/app.yaml:11", "a deadline of 5s may miss every run"),
        case("renderer", &[("a", "")], "platform.yaml:6", "this repository is rendered by Kiban 0.0.1")
            .under("renderer: 0.0.1\n"),
        case("namespace-env", &[("a", "")], "platform.yaml:6", "prod and dev would share namespaces").warns()
            .under("namespace: \"{team}\"\n"),
        case("override", &[("a", "override: { Deployment.spec.replica: 3 }\n")], "a/app.yaml:10",
            "DeploymentSpec has no field \"replica\"; did you mean \"replicas\"?"),
        case("replicas", &[("a", "override: { Deployment.spec.replicas: 3 }\n")], "a/app.yaml:10",
            "a number of replicas beside an autoscaler"),
        case("memory-limit",
            &[("a", "override: { \"Deployment.spec.template.spec.containers[a].resources.limits.memory\": 1Gi }\n")],
            "a/app.yaml:10", "must have one memory request and limit"),
        case("schema", &[("a", "override: { \"Deployment.spec.template.spec.containers[a].name\": null }\n")], "a/app.yaml:10",
            "Container needs \"name\""),
        case("extra-objects", &[("a", "")], "a/extra/x.yaml:1", "no object: metadata.name is missing"),
        case("duplicate", &[("a", "")], "a/extra/x.yaml:3", "service/a in checkout-prod is there already"),
        case("name-length", &[("a", "")], "a/extra/x.yaml:3", "has 254 characters, at most 253"),
        case("values", &[("a", "override:\n  Deployment.spec.minReadySeconds: -4\n")], "a/app.yaml:11",
            "spec.minReadySeconds: Invalid value: -4: must be greater than or equal to 0"),
    ]
}

/// Files beside the apps that some cases need: law and words, path, text.
#[rustfmt::skip]
const MORE_FILES: &[(&str, &str, &str)] = &[
    ("1 replicas are too few", "a/env/prod.yaml", "scale: { from: 1, to: 9 }\n"),
    ("write scale: { from: 3", "a/env/prod.yaml", "scale: { from: 3, to: 3 }\n"),
    ("a target of 600% cpu", "a/env/prod.yaml", "scale: { cpu: 600% }\n"),
    ("a target of 100% memory", "a/env/prod.yaml", "scale: { memory: 100% }\n"),
    ("health.live is missing", "a/env/prod.yaml", "health: { live: null }\n"),
    ("live asks the same", "a/env/prod.yaml", "health: { live: /ready }\n"),
    ("a replica would be restarted", "a/env/prod.yaml", "health: { live: { path: /live, every: 1s, failures: 5 } }\n"),
    ("secret \"cache\" has no file", "a/secrets/prod/db.enc.yaml", "x: y\n"),
    ("nodePort 30080 belongs", "a/env/prod.yaml", "ports: { http: { port: 8080, nodePort: 30080 } }\n"),
    ("nodePort 30080 belongs", "b/env/prod.yaml", "ports: { http: { port: 8080, nodePort: 30080 } }\n"),
    ("no object: metadata.name", "a/extra/x.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n"),
    ("is there already", "a/extra/x.yaml", "apiVersion: v1\nkind: Service\nmetadata: { name: a }\nspec: {}\n"),
    ("has 254 characters, at most 253", "a/extra/x.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx }\n"),
];

fn findings(case: &Case) -> Vec<Finding> {
    let mut files = platform_with(&case.platform, &case.apps);
    files.retain(|(path, _)| path != "unpinned/env/prod.pin.yaml");
    for (needle, path, text) in MORE_FILES {
        if case.says.contains(needle) || needle.contains(case.says) {
            files.push(((*path).to_owned(), (*text).to_owned()));
        }
    }
    render(&files, "prod").findings
}

#[test]
fn each_law_names_the_line_to_change() {
    for case in cases() {
        let all = findings(&case);
        let found: Vec<&Finding> =
            all.iter().filter(|f| f.law == case.law && f.problem.message.contains(case.says)).collect();
        let context = format!("{}: {:?}\nfound: {all:#?}", case.law, case.says);
        assert_eq!(found.len(), 1, "{context}");
        assert_eq!(found[0].severity, case.severity, "{context}");
        let place = format!("{}:{}", found[0].problem.file, found[0].problem.line);
        assert!(place.starts_with(case.place), "{place}, not {}\n{context}", case.place);
        assert!(found[0].problem.line > 0, "{context}");
    }
}

#[test]
fn a_lawful_app_has_no_findings() {
    let rendered =
        render(&platform_with(PLATFORM, &[("a", ""), ("b", "calls: { a: { timeout: 1s } }\n")]), "prod");
    assert_eq!(rendered.findings, Vec::new());
    assert!(rendered.is_lawful());
}

#[test]
fn every_law_of_the_table_has_a_case_and_every_finding_is_in_the_table() {
    let tested: BTreeSet<&str> = cases().iter().map(|case| case.law).collect();
    let listed: BTreeSet<&str> = LAWS.iter().map(|(id, _)| *id).collect();
    assert_eq!(tested, listed);
    for case in cases() {
        for finding in findings(&case) {
            assert!(listed.contains(finding.law), "{finding}");
        }
    }
}

#[test]
fn what_production_forbids_is_a_warning_elsewhere() {
    let files = vec![
        ("platform.yaml".to_owned(), PLATFORM.to_owned()),
        ("a/app.yaml".to_owned(), app("a", "").replace("health: { ready: /ready, live: /live }\n", "")),
        ("a/env/prod.pin.yaml".to_owned(), pin("a")),
    ];
    let of = |env| render(&files, env).findings.iter().map(|f| (f.law, f.severity)).collect::<Vec<_>>();
    assert_eq!(of("prod"), [("health", Severity::Error)]);
    assert_eq!(of("dev"), [("health", Severity::Warning), ("image-pin", Severity::Warning)]);
}

#[test]
fn the_words_of_a_finding_carry_place_and_law() {
    let case = cases().remove(0);
    let found = findings(&case);
    let text = found[0].to_string();
    assert!(text.starts_with("a/app.yaml:10:"), "{text}");
    assert!(text.ends_with("[timeout-chain]"), "{text}");
    assert!(format!("{:#}", found[0]).contains("^^^"));
}
