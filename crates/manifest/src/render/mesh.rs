//! Istio: how patiently each call is made, and what bounds it.
//!
//! A VirtualService has no selector of clients, and two for one host in one namespace shadow each
//! other. So there is one a callee, in the callee's namespace, with one route a caller. A
//! DestinationRule does select its clients, so there is one a call, in the caller's namespace.

use kiban_model::app::{CallTarget, ResourceKind};
use kiban_model::origin::child;
use kiban_model::text::Duration;
use serde_json::{Map, Value, json};

use super::meta;
use crate::facts::{Edge, Facts, Graph, Patience, ServicePort};
use crate::node::Node;
use crate::rules;

const API: &str = "networking.istio.io/v1";

/// The mesh's objects of an app: its routes as a callee, its bounds as a caller.
pub(super) fn objects(graph: &Graph<'_>, f: &Facts<'_>) -> Vec<Node> {
    if !f.in_mesh() {
        return Vec::new();
    }
    let mut out: Vec<Node> = virtual_service(graph, f).into_iter().collect();
    for edge in graph.calls_of(f.name()) {
        if let Some((caller, callee)) = graph.ends(edge) {
            let origin_key = child("calls", &edge.target.to_string());
            out.push(destination_rule(caller, &origin_key, callee.name(), &callee.host(), true));
        }
    }
    for target in f.r.app.calls.keys() {
        out.extend(external(f, target));
    }
    out
}

/// A duration as Istio reads it.
fn duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// The callee's routes: one a caller, and one for whoever declares nothing.
fn virtual_service(graph: &Graph<'_>, f: &Facts<'_>) -> Option<Node> {
    let mut routes = Vec::new();
    for edge in graph.calls_to(f.name()) {
        let (caller, callee) = graph.ends(edge)?;
        let port = callee.service_port(edge.call.port.as_ref());
        if let Some(port) = port.filter(|port| port.protocol.is_http()) {
            routes.push(route(caller, callee, edge, &port));
        }
    }
    if routes.is_empty() {
        return None;
    }
    let http: Vec<&ServicePort<'_>> = f.ports.iter().filter(|port| port.protocol.is_http()).collect();
    routes.extend(http.iter().map(|port| default_route(f, port)));
    let spec =
        Node::map([("hosts", Node::new(&rules::MESH_HOST, json!([f.host()]))), ("http", Node::List(routes))]);
    Some(meta::app_header(f, API, "VirtualService").with("spec", spec))
}

fn route(caller: &Facts<'_>, callee: &Facts<'_>, edge: &Edge<'_>, port: &ServicePort<'_>) -> Node {
    let key = child("calls", &edge.target.to_string());
    let own = |field: &str, is_own: bool, profile: &str| {
        if is_own { caller.origin(&format!("{key}.{field}")) } else { caller.profile_origin(profile) }
    };
    let Patience { timeout, retries, per_try } = edge.patience;
    let who = json!([{
        "sourceLabels": {meta::LABEL_NAME: caller.name()},
        "sourceNamespace": caller.namespace,
        "port": port.number,
    }]);
    let timeout_origin = own("timeout", edge.call.timeout.is_some(), "mesh.timeout");
    let retries_origin = own("retries", edge.call.retries.is_some(), "mesh.retries");
    let per_try_origin =
        if edge.call.per_try.is_some() { caller.origin(&format!("{key}.perTry")) } else { timeout_origin };
    let mut tries = Node::map([("attempts", Node::from(&rules::MESH_RETRIES, retries_origin, retries))]);
    if retries > 0 {
        tries.put("perTryTimeout", Node::from(&rules::MESH_RETRIES, per_try_origin, duration(per_try)));
        let origin = caller.profile_origin("mesh.retryOn");
        let on = caller.r.platform.mesh.retry_on.as_str();
        tries.put("retryOn", Node::from(&rules::MESH_RETRY_ON, origin, on));
    }
    Node::map([
        (
            "name",
            Node::from(&rules::MESH_CALLER, caller.origin(&key), format!("{}-{}", caller.name(), port.name)),
        ),
        ("match", Node::from(&rules::MESH_CALLER, caller.origin(&key), who)),
        ("route", destination(callee, port)),
        ("timeout", Node::from(&rules::MESH_TIMEOUT, timeout_origin, duration(timeout))),
        ("retries", tries),
    ])
}

/// For callers that declare nothing: the platform's patience, no retries.
fn default_route(f: &Facts<'_>, port: &ServicePort<'_>) -> Node {
    let timeout = duration(f.r.platform.mesh.timeout);
    Node::map([
        ("name", Node::new(&rules::MESH_LOCAL, format!("default-{}", port.name))),
        ("match", Node::new(&rules::MESH_LOCAL, json!([{"port": port.number}]))),
        ("route", destination(f, port)),
        ("timeout", Node::from(&rules::MESH_LOCAL, f.profile_origin("mesh.timeout"), timeout)),
        ("retries", Node::new(&rules::MESH_LOCAL, json!({"attempts": 0}))),
    ])
}

fn destination(callee: &Facts<'_>, port: &ServicePort<'_>) -> Node {
    let value = json!([{"destination": {"host": callee.host(), "port": {"number": port.number}}}]);
    Node::new(&rules::MESH_HOST, value)
}

/// The bounds of one call.
fn destination_rule(f: &Facts<'_>, key: &str, to: &str, host: &str, is_http: bool) -> Node {
    let origin = f.origin(key);
    let name = Node::from(&rules::MESH_CALLER, origin, format!("{}-to-{to}", f.name()));
    let clients = json!({"matchLabels": {meta::LABEL_NAME: f.name()}});
    let spec = Node::map([
        ("host", Node::new(&rules::MESH_HOST, host)),
        ("workloadSelector", Node::from(&rules::MESH_CALLER, origin, clients)),
        ("exportTo", Node::new(&rules::MESH_VISIBLE, json!(["."]))),
        (
            "trafficPolicy",
            Node::map([("connectionPool", pool(f, is_http)), ("outlierDetection", outliers(f))]),
        ),
    ]);
    meta::header(f, API, "DestinationRule", name, f.name()).with("spec", spec)
}

fn pool(f: &Facts<'_>, is_http: bool) -> Node {
    let pool = &f.r.platform.mesh.pool;
    let tcp = json!({
        "maxConnections": pool.connections,
        "connectTimeout": duration(pool.connect_timeout),
    });
    let origin = f.profile_origin("mesh.pool");
    let mut out = Node::map([("tcp", Node::from(&rules::MESH_POOL, origin, tcp))]);
    if is_http {
        let http = json!({
            "http1MaxPendingRequests": pool.pending,
            "http2MaxRequests": pool.requests,
            "maxRequestsPerConnection": pool.per_connection,
            "maxRetries": pool.retries,
        });
        out.put("http", Node::from(&rules::MESH_POOL, origin, http));
    }
    out
}

fn outliers(f: &Facts<'_>) -> Node {
    let outliers = &f.r.platform.mesh.outliers;
    let value = json!({
        "consecutive5xxErrors": outliers.errors,
        "interval": duration(outliers.interval),
        "baseEjectionTime": duration(outliers.ejection),
        "maxEjectionPercent": outliers.max_ejected.rounded(),
        "minHealthPercent": outliers.min_healthy.rounded(),
    });
    Node::from(&rules::MESH_OUTLIER, f.profile_origin("mesh.outliers"), value)
}

/// A host outside: made known to the mesh, and bounded.
fn external(f: &Facts<'_>, target: &CallTarget) -> Vec<Node> {
    let known = f.r.platform.external(target);
    let (host, port, protocol) = match target {
        CallTarget::Host { host, port } => (host.as_str(), *port, if *port == 443 { "TLS" } else { "TCP" }),
        CallTarget::Resource { kind, .. } => {
            let Some(host) = known.and_then(|external| external.host.as_ref()) else { return Vec::new() };
            let protocol = match kind {
                ResourceKind::Https => "TLS",
                ResourceKind::Http => "HTTP",
                _ => "TCP",
            };
            (host.as_str(), known.and_then(|external| external.port).unwrap_or(kind.port()), protocol)
        }
        CallTarget::App { .. } | CallTarget::Cidr(_) => return Vec::new(),
    };
    let key = child("calls", &target.to_string());
    let short = host.replace('*', "any").replace('.', "-");
    let name = Node::from(&rules::MESH_EXTERNAL, f.origin(&key), format!("{}-to-{short}", f.name()));
    let mut ports = Map::new();
    ports.insert("number".to_owned(), port.into());
    ports.insert("name".to_owned(), format!("{}-{port}", protocol.to_lowercase()).into());
    ports.insert("protocol".to_owned(), protocol.into());
    // A wildcard has no addresses to look up: the client's own lookup stands.
    let resolution = if host.starts_with('*') { "NONE" } else { "DNS" };
    let value = json!({
        "hosts": [host],
        "location": "MESH_EXTERNAL",
        "ports": [Value::Object(ports)],
        "resolution": resolution,
    });
    let spec = Node::from(&rules::MESH_EXTERNAL, f.origin(&key), value)
        .with("exportTo", Node::new(&rules::MESH_VISIBLE, json!(["."])));
    let entry = meta::header(f, API, "ServiceEntry", name, f.name()).with("spec", spec);
    vec![entry, destination_rule(f, &key, &short, host, protocol == "HTTP")]
}
