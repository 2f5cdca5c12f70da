//! Laws on one app: scale, health, promises, folders, secrets, image.

use std::collections::BTreeMap;

use kiban_base::quantity::Quantity;
use kiban_model::app::{EnvValue, Probe};
use kiban_model::profile::{CpuLimit, DeliveryMode};
use kiban_model::text::{Duration, Percent};

use super::{Finding, Severity, at, at_origin, in_production};
use crate::facts::{DEFAULT_DISK, Facts, Graph, longest_call};

pub(super) fn check(graph: &Graph<'_>, f: &Facts<'_>, findings: &mut Vec<Finding>) {
    scale(f, findings);
    targets(f, findings);
    disruption(f, findings);
    health(f, findings);
    drain(graph, f, findings);
    public(f, findings);
    slo(graph, f, findings);
    writable(f, findings);
    sensitive(f, findings);
    secrets(f, findings);
    image(f, findings);
}

fn scale(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    if !f.has_workload || !f.r.environment.production {
        return;
    }
    let least = f.r.least_replicas();
    if f.bounds.from < least {
        let message = format!(
            "{} replicas are too few for tier {} in {}: at least {least}",
            f.bounds.from, f.r.app.tier, f.r.env
        );
        findings.push(at(f, &["scale", "from"], "scale-minimum", Severity::Error, message));
    }
    if f.bounds.to <= f.bounds.from {
        let message = format!(
            "a fixed number of replicas cannot follow load, which {} demands; write scale: {{ from: {}, to: {} }}",
            f.r.env,
            f.bounds.from,
            f.bounds.from.saturating_mul(f.r.platform.scaling.headroom.max(2)),
        );
        findings.push(at(f, &["scale", "to"], "scale-range", Severity::Error, message));
    }
}

/// A container gets no more CPU than its limit and no more memory than its request: a target at or above that
/// is never exceeded, so the autoscaler would add nothing, ever.
fn targets(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    if !f.scales() {
        return;
    }
    let scale = f.r.app.scale.as_ref();
    let whole = |times: u32| Percent::whole(times.saturating_mul(100));
    if let CpuLimit::Times(times) = f.r.platform.cpu_limit {
        let own = scale.and_then(|scale| scale.cpu);
        let target = own.unwrap_or(f.r.platform.scaling.cpu);
        if target >= whole(times) {
            let message = format!(
                "a target of {target} cpu is never exceeded: the limit is {times}x the request ({})",
                whole(times)
            );
            findings.push(match own {
                Some(_) => at(f, &["scale", "cpu"], "scale-target", Severity::Error, message),
                None => at_origin(f.profile_origin("scaling.cpu"), "scale-target", Severity::Error, message),
            });
        }
    }
    if let Some(target) = scale.and_then(|scale| scale.memory).filter(|target| *target >= whole(1)) {
        let message = format!("a target of {target} memory is never exceeded: the limit is the request");
        findings.push(at(f, &["scale", "memory"], "scale-target", Severity::Error, message));
    }
}

fn disruption(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    if !f.has_workload {
        return;
    }
    let budget = f.r.tier.disruption;
    let taken = budget.of(f.bounds.from);
    let origin = f.profile_origin(&format!("tiers.{}.disruption", f.r.app.tier));
    if budget.of(100) == 0 {
        let message = format!("a disruption of {budget} lets no node be drained");
        findings.push(at_origin(origin, "disruption", Severity::Error, message));
    } else if f.bounds.from > 1 && taken >= f.bounds.from {
        let message = format!(
            "a drain may take {taken} replicas of {} at once (tier {}: {budget}), and it has {} at least; raise from",
            f.name(),
            f.r.app.tier,
            f.bounds.from
        );
        findings.push(at(f, &["scale", "from"], "disruption", in_production(f), message));
    }
}

fn health(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    if !f.has_workload {
        return;
    }
    let health = f.r.app.health.as_ref();
    let ready = health.and_then(|health| health.ready.as_ref());
    let live = health.and_then(|health| health.live.as_ref());
    let what = match (ready, live) {
        (None, None) => "health is missing: say ready and live",
        (None, Some(_)) => "health.ready is missing: when may the app get requests?",
        (Some(_), None) => "health.live is missing: when must the app be restarted?",
        (Some(ready), Some(live)) => return probes(f, ready, live, findings),
    };
    let path: &[&str] = if health.is_some() { &["health"] } else { &["name"] };
    findings.push(at(f, path, "health", in_production(f), what.to_owned()));
}

fn probes(f: &Facts<'_>, ready: &Probe, live: &Probe, findings: &mut Vec<Finding>) {
    if ready.check == live.check {
        let message =
            "live asks the same as ready: an app that only waits for another would be restarted".to_owned();
        findings.push(at(f, &["health", "live"], "health", in_production(f), message));
    }
    let defaults = &f.r.platform.probes;
    let patience = |probe: &Probe, failures: u32| {
        let every = probe.every.unwrap_or(defaults.every).as_secs_up();
        every.saturating_mul(u64::from(probe.failures.unwrap_or(failures)))
    };
    let until_unready = patience(ready, defaults.ready_failures);
    let until_restart = patience(live, defaults.live_failures);
    if until_restart < until_unready {
        let message = format!(
            "a replica would be restarted after {until_restart}s, before it leaves the Service after {until_unready}s; raise every or failures"
        );
        findings.push(at(f, &["health", "live"], "probe-patience", Severity::Error, message));
    }
}

/// The time to drain covers what a request may wait for: the app's own calls, and its callers' patience.
fn drain(graph: &Graph<'_>, f: &Facts<'_>, findings: &mut Vec<Finding>) {
    if !f.has_workload {
        return;
    }
    let own =
        longest_call(f.r).map(|(timeout, target)| (timeout, format!("waits up to {timeout} for {target}")));
    let incoming = graph
        .calls_to(f.name())
        .filter(|edge| edge.call.timeout.is_some())
        .filter_map(|edge| Some((edge.patience.per_try, graph.ends(edge)?.0.name())))
        .max()
        .map(|(patience, caller)| (patience, format!("is given up to {patience} a try by {caller}")));
    let longest = own.into_iter().chain(incoming).max_by_key(|(time, _)| *time);
    if let Some((time, why)) = longest.filter(|(time, _)| *time > Duration::secs(f.drain)) {
        let message = format!(
            "{} drains for {}s, but a request of it {why}; at least {}s",
            f.name(),
            f.drain,
            time.as_secs_up()
        );
        let finding = match f.r.app.shutdown.as_ref().and_then(|shutdown| shutdown.drain) {
            Some(_) => at(f, &["shutdown", "drain"], "drain", Severity::Error, message),
            None => at(f, &["calls"], "drain", Severity::Error, message),
        };
        findings.push(finding);
    }
}

fn public(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    for (index, route) in f.r.app.public.0.iter().enumerate() {
        let found = f.r.app.find_port(route.port.as_ref());
        if found.is_some_and(|(name, port)| Some(port.port) == f.metrics || name.as_str() == "metrics") {
            let message = format!("{} would show the app's metrics to everyone", route.host);
            let index = index.to_string();
            findings.push(at(f, &["public", &index, "port"], "metrics-private", Severity::Error, message));
        }
    }
    if f.on_nodes()
        && f.r.platform.network.policies
        && f.r.platform.network.nodes.is_empty()
        && !f.ports.is_empty()
    {
        let message =
            "node ports and network policies together need network.nodes: the addresses from which \
             nodes and load balancers reach pods"
                .to_owned();
        let origin = f.profile_origin("service").or_else(|| f.profile_origin("entry"));
        findings.push(at_origin(origin, "node-sources", Severity::Error, message));
    }
}

/// Node ports are one space for all apps of a cluster.
pub(super) fn check_node_ports(graph: &Graph<'_>, findings: &mut Vec<Finding>) {
    let mut taken: BTreeMap<u16, String> = BTreeMap::new();
    for f in graph.apps.iter().filter(|f| f.on_nodes()) {
        for port in &f.ports {
            let path = ["ports", port.name, "nodePort"];
            let Some(number) = port.port.node_port else {
                let message = format!(
                    "port {:?} needs a nodePort: a number that the cluster chooses changes with the cluster",
                    port.name
                );
                findings.push(at(f, &path, "node-port", in_production(f), message));
                continue;
            };
            let me = format!("{} ({})", f.name(), port.name);
            if let Some(other) = taken.insert(number, me) {
                let message = format!("nodePort {number} belongs to {other} already");
                findings.push(at(f, &path, "node-port", Severity::Error, message));
            }
        }
    }
}

fn slo(graph: &Graph<'_>, f: &Facts<'_>, findings: &mut Vec<Finding>) {
    let Some(slo) = &f.r.app.slo else { return };
    if let (Some(own), Some(least)) = (slo.availability, f.r.tier.availability)
        && own < least
    {
        let message = format!("{own} is less than tier {} promises: {least}", f.r.app.tier);
        findings.push(at(f, &["slo", "availability"], "slo", in_production(f), message));
    }
    let Some(latency) = slo.latency else { return };
    for edge in graph.calls_to(f.name()).filter(|edge| edge.call.timeout.is_some()) {
        if let Some((caller, _)) = graph.ends(edge).filter(|_| latency.within > edge.patience.per_try) {
            let message = format!(
                "{} promises {latency}, but {} gives a try only {}: what keeps the promise fails there",
                f.name(),
                caller.name(),
                edge.patience.per_try
            );
            findings.push(at(f, &["slo", "latency"], "slo", Severity::Warning, message));
        }
    }
}

fn writable(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    let amount = |text: &str| Quantity::parse(text).unwrap_or(Quantity::ZERO);
    let disk = f.r.resources.ephemeral.as_ref().map_or(DEFAULT_DISK, |disk| disk.as_str());
    for (in_memory, have, what) in [(true, f.r.resources.memory.as_str(), "memory"), (false, disk, "disk")] {
        let folders = f.r.app.writable.values().filter(|folder| folder.memory == in_memory);
        let sizes = folders.filter_map(|folder| folder.size.as_ref());
        let sum = sizes.fold(Quantity::ZERO, |sum, size| sum + amount(size));
        let fits = if in_memory { sum < amount(have) || sum.is_zero() } else { sum <= amount(have) };
        if !fits {
            let message = format!("writable folders may hold {sum}, but a replica has {have} of {what}");
            findings.push(at(f, &["writable"], "writable-size", Severity::Error, message));
        }
    }
}

/// Words in the name of a variable that tell of a credential.
const CREDENTIALS: [&str; 8] =
    ["password", "passwd", "token", "bearer", "secret", "api_key", "apikey", "private_key"];

fn sensitive(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    for (name, value) in &f.r.app.env {
        let EnvValue::Text(text) = value else { continue };
        let lower = name.to_lowercase();
        let by_name = CREDENTIALS.iter().any(|word| lower.contains(word));
        let by_value = text.contains("-----BEGIN") && text.contains("PRIVATE KEY");
        if by_name || by_value {
            let message =
                format!("{name} looks like a credential in clear text; secrets are encrypted files");
            let severity = if by_value { Severity::Error } else { Severity::Warning };
            findings.push(at(f, &["env", name], "sensitive-env", severity, message));
        }
    }
}

/// Where an app has encrypted files for the environment, one that is missing was forgotten. Where it
/// has none, another tool may bring its secrets.
fn secrets(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    for (index, secret) in f.r.app.secrets.iter().enumerate() {
        if f.r.secret_files.contains_key(&secret.name) {
            continue;
        }
        let file = format!("{}/secrets/{}/{}.enc.yaml", f.name(), f.r.env, secret.name);
        let severity = if f.r.secret_files.is_empty() { Severity::Warning } else { Severity::Error };
        let message = format!("secret {:?} has no file {file}; who brings it?", secret.name.as_str());
        let index = index.to_string();
        findings.push(at(f, &["secrets", &index], "secret-file", severity, message));
    }
}

fn image(f: &Facts<'_>, findings: &mut Vec<Finding>) {
    if f.r.image.is_some() {
        return;
    }
    let review = f.r.environment.delivery == DeliveryMode::Review;
    let severity = if review { Severity::Error } else { Severity::Warning };
    let message = format!(
        "nothing says which image of {} runs in {}: {}/env/{}.pin.yaml is missing or does not name it",
        f.r.app.image,
        f.r.env,
        f.name(),
        f.r.env
    );
    findings.push(at(f, &["image"], "image-pin", severity, message));
}
