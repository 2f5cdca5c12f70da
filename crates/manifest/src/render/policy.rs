//! The NetworkPolicy: who may call the app, and what the app may call.
//!
//! One policy carries both directions, and picks its pods by one label: Polaris asks for exactly
//! that. The label is the app's name, so the pods of its jobs are in it.

use kiban_model::app::CallTarget;
use kiban_model::origin::child;
use kiban_model::profile::{EntryKind, Peer};
use serde_json::{Map, Value, json};

use super::meta;
use crate::facts::{Facts, Graph};
use crate::node::Node;
use crate::rules;

/// Istio's ports: configuration and certificates; the proxy's merged and own metrics.
const MESH_CONTROL: u16 = 15012;
const MESH_METRICS: [u16; 2] = [15020, 15090];
/// All addresses of both families.
const EVERYWHERE: [&str; 2] = ["0.0.0.0/0", "::/0"];

/// The app's NetworkPolicy, where the platform has policies.
pub(super) fn policy(graph: &Graph<'_>, f: &Facts<'_>) -> Option<Node> {
    if !f.r.platform.network.policies {
        return None;
    }
    let selector = json!({"matchLabels": {meta::LABEL_NAME: f.name()}});
    let spec = Node::map([
        ("podSelector", Node::new(&rules::SELECTOR, selector)),
        ("policyTypes", Node::new(&rules::POLICY_TYPES, json!(["Egress", "Ingress"]))),
        ("ingress", list(ingress(graph, f))),
        ("egress", list(egress(graph, f))),
    ]);
    Some(meta::app_header(f, "networking.k8s.io/v1", "NetworkPolicy").with("spec", spec))
}

/// A list of rules; an empty one closes the direction.
fn list(rules_of: Vec<Node>) -> Node {
    if rules_of.is_empty() { Node::new(&rules::POLICY_TYPES, json!([])) } else { Node::List(rules_of) }
}

fn ingress(graph: &Graph<'_>, f: &Facts<'_>) -> Vec<Node> {
    let mut out = Vec::new();
    for edge in graph.calls_to(f.name()) {
        let Some((caller, _)) = graph.ends(edge) else { continue };
        let Some(number) = target_port(f, edge.call.port.as_ref()) else { continue };
        let origin = caller.origin(&child("calls", &edge.target.to_string()));
        let rule = json!({"from": [app_peer(&caller.namespace, caller.name())], "ports": [number]});
        out.push(Node::from(&rules::POLICY_CALLERS, origin, rule));
    }
    for (index, caller) in f.r.app.callers.iter().enumerate() {
        let ports: Vec<Value> =
            f.ports.iter().map(|port| port_of(port.target, port.protocol.transport())).collect();
        if let Some(peers) = foreign_peers(f, caller).filter(|_| !ports.is_empty()) {
            let origin = f.origin(&format!("callers[{index}]"));
            out.push(Node::from(&rules::POLICY_FOREIGN, origin, json!({"from": peers, "ports": ports})));
        }
    }
    out.extend(entry(f));
    let monitoring = peers(&f.r.platform.network.monitoring);
    let origin = f.profile_origin("network.monitoring");
    let metrics = f.metrics.map(|port| (&rules::POLICY_METRICS, vec![port_of(port, "TCP")]));
    let proxy = f.in_mesh().then(|| (&rules::POLICY_MESH, MESH_METRICS.map(|p| port_of(p, "TCP")).to_vec()));
    for (rule, ports) in metrics.into_iter().chain(proxy).filter(|_| !monitoring.is_empty()) {
        out.push(Node::from(rule, origin, json!({"from": monitoring, "ports": ports})));
    }
    out
}

/// Requests from outside, for a public app.
fn entry(f: &Facts<'_>) -> Vec<Node> {
    let network = &f.r.platform.network;
    let mut ports: Vec<Value> = Vec::new();
    for route in &f.r.app.public.0 {
        let port = target_port(f, route.port.as_ref());
        ports.extend(port.into_iter().filter(|port| !ports.contains(port)).collect::<Vec<_>>());
    }
    let mut out = Vec::new();
    let from = peers(&network.entry);
    let through_entry = matches!(f.r.platform.entry.kind, EntryKind::Gateway | EntryKind::Ingress);
    if through_entry && !ports.is_empty() && !from.is_empty() {
        let rule = json!({"from": from, "ports": ports});
        out.push(Node::from(&rules::POLICY_GATEWAY, f.origin("public"), rule));
    }
    if f.on_nodes() && !network.nodes.is_empty() && !f.ports.is_empty() {
        let from: Vec<Value> =
            network.nodes.iter().map(|cidr| json!({"ipBlock": {"cidr": cidr.as_str()}})).collect();
        let ports: Vec<Value> =
            f.ports.iter().map(|port| port_of(port.target, port.protocol.transport())).collect();
        let origin = f.profile_origin("network.nodes");
        out.push(Node::from(&rules::POLICY_NODES, origin, json!({"from": from, "ports": ports})));
    }
    out
}

fn egress(graph: &Graph<'_>, f: &Facts<'_>) -> Vec<Node> {
    let mut out = vec![dns(f)];
    for (target, call) in &f.r.app.calls {
        let origin = f.origin(&child("calls", &target.to_string()));
        let edge = graph.calls_of(f.name()).find(|edge| edge.target == target);
        let ends = edge.and_then(|edge| graph.ends(edge));
        let (rule, to, port) = match (target, ends) {
            (CallTarget::App { .. }, Some((_, callee))) => {
                let Some(port) = target_port(callee, call.port.as_ref()) else { continue };
                let to = vec![app_peer(&callee.namespace, callee.name())];
                (&rules::POLICY_CALLS, to, Some(port))
            }
            (CallTarget::App { team, app }, None) => {
                let team = team.as_ref().unwrap_or(&f.r.app.team);
                let namespace = f.r.platform.namespace(team, app, &f.r.env);
                let number = match &call.port {
                    Some(kiban_model::app::PortRef::Number(number)) => Some(port_of(*number, "TCP")),
                    _ => None,
                };
                (&rules::POLICY_CALLS, vec![app_peer(&namespace, app)], number)
            }
            _ => (&rules::POLICY_EXTERNAL, outside(f, target), outside_port(f, target, call)),
        };
        let mut value = Map::from_iter([("to".to_owned(), Value::Array(to))]);
        if let Some(port) = port {
            value.insert("ports".to_owned(), json!([port]));
        }
        out.push(Node::from(rule, origin, value));
    }
    if f.in_mesh() {
        let to = [namespace_peer(&f.r.platform.mesh.namespace)];
        let rule = json!({"to": to, "ports": [port_of(MESH_CONTROL, "TCP")]});
        out.push(Node::from(&rules::POLICY_MESH, f.profile_origin("mesh"), rule));
    }
    out
}

fn dns(f: &Facts<'_>) -> Node {
    let network = &f.r.platform.network;
    let mut to = peers(&network.dns);
    to.extend(network.node_dns.iter().map(|cidr| json!({"ipBlock": {"cidr": cidr.as_str()}})));
    let ports = [port_of(53, "UDP"), port_of(53, "TCP")];
    Node::from(&rules::POLICY_DNS, f.profile_origin("network.dns"), json!({"to": to, "ports": ports}))
}

/// The container's port behind a reference to a port of the app, as a policy's port.
fn target_port(f: &Facts<'_>, wanted: Option<&kiban_model::app::PortRef>) -> Option<Value> {
    let (name, port) = f.r.app.find_port(wanted)?;
    Some(port_of(port.port, port.protocol(name).transport()))
}

fn port_of(number: u16, transport: &str) -> Value {
    json!({"port": number, "protocol": transport})
}

fn namespace_peer(namespace: &str) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}})
}

/// The pods of an app, its jobs included.
fn app_peer(namespace: &str, app: &str) -> Value {
    json!({
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {meta::LABEL_NAME: app}},
    })
}

fn peers(peers: &[Peer]) -> Vec<Value> {
    let labels =
        |map: &std::collections::BTreeMap<kiban_model::text::LabelKey, kiban_model::text::LabelValue>| {
            map.iter().map(|(k, v)| (k.to_string(), Value::from(v.as_str()))).collect::<Map<_, _>>()
        };
    peers
        .iter()
        .map(|peer| {
            let mut out = json!({"namespaceSelector": {"matchLabels": labels(&peer.namespace)}});
            if let (Value::Object(map), false) = (&mut out, peer.pods.is_empty()) {
                map.insert("podSelector".to_owned(), json!({"matchLabels": labels(&peer.pods)}));
            }
            out
        })
        .collect()
}

/// A caller that this repository does not hold.
fn foreign_peers(f: &Facts<'_>, caller: &CallTarget) -> Option<Vec<Value>> {
    match caller {
        CallTarget::App { team, app } => {
            let team = team.as_ref().unwrap_or(&f.r.app.team);
            Some(vec![app_peer(&f.r.platform.namespace(team, app, &f.r.env), app)])
        }
        CallTarget::Cidr(cidr) => Some(vec![json!({"ipBlock": {"cidr": cidr.as_str()}})]),
        CallTarget::Host { .. } | CallTarget::Resource { .. } => None,
    }
}

/// The addresses of a target outside. A policy cannot name hosts, so without addresses it is
/// everywhere but what the platform forbids.
fn outside(f: &Facts<'_>, target: &CallTarget) -> Vec<Value> {
    if let CallTarget::Cidr(cidr) = target {
        return vec![json!({"ipBlock": {"cidr": cidr.as_str()}})];
    }
    let known = f.r.platform.external(target).map_or(&[][..], |external| &external.cidrs);
    if !known.is_empty() {
        return known.iter().map(|cidr| json!({"ipBlock": {"cidr": cidr.as_str()}})).collect();
    }
    let forbidden = |family: &str| {
        let is_v6 = family.contains(':');
        let all = f.r.platform.network.forbidden.iter();
        all.filter(|cidr| cidr.contains(':') == is_v6).map(|cidr| cidr.as_str()).collect::<Vec<_>>()
    };
    EVERYWHERE
        .iter()
        .map(|family| {
            let except = forbidden(family);
            let block = if except.is_empty() {
                json!({"cidr": family})
            } else {
                json!({"cidr": family, "except": except})
            };
            json!({"ipBlock": block})
        })
        .collect()
}

/// The port of a target outside; addresses alone may be called on any port unless the app names one.
fn outside_port(f: &Facts<'_>, target: &CallTarget, call: &kiban_model::app::Call) -> Option<Value> {
    let stated = match &call.port {
        Some(kiban_model::app::PortRef::Number(number)) => Some(*number),
        _ => None,
    };
    let external = f.r.platform.external(target).and_then(|external| external.port);
    let usual = match target {
        CallTarget::Resource { kind, .. } => Some(kind.port()),
        CallTarget::Host { port, .. } => Some(*port),
        CallTarget::App { .. } | CallTarget::Cidr(_) => None,
    };
    stated.or(external).or(usual).map(|number| port_of(number, "TCP"))
}
