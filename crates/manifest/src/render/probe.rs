//! Ports, probes and the pause before the end: what a container that serves has.

use kiban_model::app::{Check, PortRef, Probe};
use kiban_model::text::Duration;
use serde_json::{Map, Value, json};

use crate::facts::{Facts, STARTUP_PERIOD};
use crate::node::Node;
use crate::rules;
use crate::rules::Rule;

/// Adds ports, probes and the pause before the stop signal to a container.
pub(super) fn add(f: &Facts<'_>, container: &mut Node) {
    let ports: Vec<Node> =
        f.r.app
            .ports
            .iter()
            .map(|(name, port)| {
                let transport = port.protocol(name).transport();
                let value = json!({"name": name.as_str(), "containerPort": port.port, "protocol": transport});
                Node::from(&rules::PORTS, f.origin(&format!("ports.{name}")), value)
            })
            .collect();
    if !ports.is_empty() {
        container.put("ports", Node::List(ports));
    }
    let health = f.r.app.health.as_ref();
    let ready = health.and_then(|health| health.ready.as_ref());
    let live = health.and_then(|health| health.live.as_ref());
    let probes = &f.r.platform.probes;
    if let Some(probe) = ready {
        let node = repeated(f, &rules::READY, "health.ready", probe, probes.ready_failures);
        container.put("readinessProbe", node);
    }
    if let Some(probe) = live {
        container.put("livenessProbe", repeated(f, &rules::LIVE, "health.live", probe, probes.live_failures));
    }
    if let Some((probe, key)) = live.map(|p| (p, "health.live")).or(ready.map(|p| (p, "health.ready"))) {
        container.put("startupProbe", startup(f, probe, key));
    }
    let origin = f.origin_of_shutdown("delay");
    let sleep = Node::from(&rules::PRE_STOP, origin, json!({"sleep": {"seconds": f.delay}}));
    container.put("lifecycle", Node::map([("preStop", sleep)]));
}

/// A probe that goes on as long as the container lives.
fn repeated(f: &Facts<'_>, rule: &'static Rule, key: &str, probe: &Probe, failures: u32) -> Node {
    let defaults = &f.r.platform.probes;
    let seconds = |own: Option<Duration>, default: Duration| own.unwrap_or(default).as_secs_up().max(1);
    let period = seconds(probe.every, defaults.every);
    let value = asked(f, &probe.check)
        .chain([
            ("periodSeconds", Value::from(period)),
            // Kubernetes takes it, but an answer that is longer on its way than the next question is pointless.
            ("timeoutSeconds", Value::from(seconds(probe.timeout, defaults.timeout).min(period))),
            ("failureThreshold", Value::from(probe.failures.unwrap_or(failures).max(1))),
        ])
        .map(|(key, value)| (key.to_owned(), value))
        .collect::<Map<_, _>>();
    Node::from(rule, f.origin(key), value)
}

/// The question of the liveness probe, asked often until the first answer.
fn startup(f: &Facts<'_>, probe: &Probe, key: &str) -> Node {
    let own = f.r.app.health.as_ref().and_then(|health| health.startup);
    let budget = own.unwrap_or(f.r.platform.probes.startup).as_secs_up();
    let timeout = probe.timeout.unwrap_or(f.r.platform.probes.timeout).as_secs_up().max(1);
    let origin = if own.is_some() { f.origin("health.startup") } else { f.profile_origin("probes.startup") };
    let question: Map<String, Value> =
        asked(f, &probe.check).map(|(key, value)| (key.to_owned(), value)).collect();
    let mut node = Node::from(&rules::STARTUP, f.origin(key), question);
    node.put("periodSeconds", Node::new(&rules::STARTUP, STARTUP_PERIOD));
    node.put("timeoutSeconds", Node::new(&rules::STARTUP, timeout));
    let failures = budget.div_ceil(STARTUP_PERIOD).max(1);
    node.put("failureThreshold", Node::from(&rules::STARTUP, origin, failures));
    node
}

/// What a probe asks, as the fields of a Kubernetes probe.
fn asked(f: &Facts<'_>, check: &Check) -> impl Iterator<Item = (&'static str, Value)> + use<> {
    let named = |port: &PortRef| match f.r.app.find_port(Some(port)) {
        Some((name, _)) => Value::from(name.as_str()),
        None => Value::from(port.to_string()),
    };
    let (how, value) = match check {
        Check::Http { path, port } => {
            let port = match port {
                Some(port) => named(port),
                None => f.r.app.main_port().map_or(Value::Null, |(name, _)| name.as_str().into()),
            };
            ("httpGet", json!({"path": path.as_str(), "port": port}))
        }
        Check::Tcp { tcp } => ("tcpSocket", json!({"port": named(tcp)})),
        Check::Grpc { grpc, service } => {
            // Kubernetes takes only a number here.
            let mut value = json!({"port": f.r.app.port_number(Some(grpc)).unwrap_or_default()});
            if let (Value::Object(map), Some(service)) = (&mut value, service) {
                map.insert("service".to_owned(), service.as_str().into());
            }
            ("grpc", value)
        }
        Check::Exec { exec } => ("exec", json!({"command": exec})),
    };
    [(how, value)].into_iter()
}
