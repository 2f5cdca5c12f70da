//! The Service.

use serde_json::json;

use super::meta;
use crate::facts::{Facts, ServicePort};
use crate::node::Node;
use crate::rules;

/// The app's Service, if it has a port that others may call.
pub(super) fn service(f: &Facts<'_>) -> Option<Node> {
    if f.ports.is_empty() || !f.has_workload {
        return None;
    }
    let on_nodes = f.on_nodes();
    let kind = if on_nodes { "NodePort" } else { "ClusterIP" };
    let origin = f.profile_origin("service").or_else(|| f.profile_origin("entry"));
    let ports = f.ports.iter().map(|port| service_port(f, port, on_nodes)).collect();
    let spec = Node::map([
        ("type", Node::from(&rules::SERVICE_TYPE, origin, kind)),
        ("selector", meta::selector(f, f.name())),
        ("ports", Node::List(ports)),
    ]);
    Some(meta::app_header(f, "v1", "Service").with("spec", spec))
}

fn service_port(f: &Facts<'_>, port: &ServicePort<'_>, on_nodes: bool) -> Node {
    let key = format!("ports.{}", port.name);
    let value = json!({
        "name": port.name,
        "port": port.number,
        "protocol": port.protocol.transport(),
        "targetPort": port.name,
    });
    let mut node = Node::from(&rules::SERVICE_PORT, f.origin(&key), value);
    if let Some(app_protocol) = port.protocol.app_protocol() {
        node.put("appProtocol", Node::from(&rules::SERVICE_PORT, f.origin(&key), app_protocol));
    }
    if let Some(number) = port.port.node_port.filter(|_| on_nodes) {
        node.put("nodePort", Node::from(&rules::NODE_PORT, f.origin(&format!("{key}.nodePort")), number));
    }
    node
}
