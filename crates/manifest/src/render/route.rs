//! The way in from outside: HTTPRoutes or Ingresses.

use kiban_model::app::PublicRoute;
use kiban_model::profile::EntryKind;
use serde_json::{Value, json};

use super::meta;
use crate::facts::{Facts, ServicePort};
use crate::node::Node;
use crate::rules;

/// Routes of one host: their key in the app's file, and the port that answers.
type HostRoutes<'a> = Vec<(String, &'a PublicRoute, ServicePort<'a>)>;

/// HTTPRoutes or Ingresses, one a host.
pub(super) fn routes(f: &Facts<'_>) -> Vec<Node> {
    let mut hosts: Vec<(&str, HostRoutes<'_>)> = Vec::new();
    for (index, route) in f.r.app.public.0.iter().enumerate() {
        let Some(port) = f.service_port(route.port.as_ref()) else { continue };
        let row = (format!("public[{index}]"), route, port);
        match hosts.iter_mut().find(|(host, _)| *host == route.host.as_str()) {
            Some((_, rows)) => rows.push(row),
            None => hosts.push((&route.host, vec![row])),
        }
    }
    let entry = &f.r.platform.entry;
    let many = hosts.len() > 1;
    let object = |(host, rows): (&str, HostRoutes<'_>)| {
        let name = if many {
            format!("{}-{}", f.name(), host.replace('*', "any").replace('.', "-"))
        } else {
            f.name().to_owned()
        };
        match entry.kind {
            EntryKind::Gateway => Some(http_route(f, &name, host, &rows)),
            EntryKind::Ingress => Some(ingress(f, &name, host, &rows)),
            EntryKind::NodePort | EntryKind::None => None,
        }
    };
    hosts.into_iter().filter_map(object).collect()
}

fn header(f: &Facts<'_>, api_version: &str, kind: &str, name: &str, more: &[(String, String)]) -> Node {
    let name = Node::from(&rules::NAME, f.origin("name"), name);
    let mut object = meta::header(f, api_version, kind, name, f.name());
    let entry = &f.r.platform.entry;
    if entry.annotations.is_empty() && more.is_empty() {
        return object;
    }
    let mut annotations = meta::platform_annotations(f).unwrap_or_else(Node::empty_map);
    for (key, value) in &entry.annotations {
        let origin = f.profile_origin("entry.annotations");
        annotations.put(key, Node::from(&rules::ROUTE_ANNOTATIONS, origin, value.as_str()));
    }
    for (key, value) in more {
        annotations.put(key, Node::from(&rules::ROUTE_TLS, f.profile_origin("entry.tls"), value.as_str()));
    }
    meta::put_annotations(&mut object, annotations);
    object
}

fn http_route(f: &Facts<'_>, name: &str, host: &str, rows: &HostRoutes<'_>) -> Node {
    let gateway = &f.r.platform.entry.gateway;
    let mut parent = json!({
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": gateway.name.as_str(),
        "namespace": gateway.namespace.as_str(),
    });
    if let (Value::Object(map), Some(listener)) = (&mut parent, &gateway.listener) {
        map.insert("sectionName".to_owned(), listener.as_str().into());
    }
    let rule = |(key, route, port): &(String, &PublicRoute, ServicePort<'_>)| {
        let path = json!([{"path": {"type": "PathPrefix", "value": route.path.as_str()}}]);
        // No request may last longer than a replica has for it when it ends.
        let timeout = json!({"request": format!("{}s", f.drain)});
        let backend = json!([{
            "group": "",
            "kind": "Service",
            "name": f.name(),
            "port": port.number,
            "weight": 1,
        }]);
        Node::map([
            ("matches", Node::from(&rules::ROUTE_PATH, f.origin(key), path)),
            ("backendRefs", Node::from(&rules::ROUTE_BACKEND, f.origin(key), backend)),
            ("timeouts", Node::from(&rules::ROUTE_TIMEOUT, f.origin_of_shutdown("drain"), timeout)),
        ])
    };
    let first = rows.first().map_or("public", |(key, ..)| key);
    let origin = f.profile_origin("entry.gateway").or_else(|| f.profile_origin("entry"));
    let spec = Node::map([
        ("parentRefs", Node::List(vec![Node::from(&rules::ROUTE_PARENT, origin, parent)])),
        ("hostnames", Node::from(&rules::ROUTE_HOST, f.origin(first), json!([host]))),
        ("rules", Node::List(rows.iter().map(rule).collect())),
    ]);
    header(f, "gateway.networking.k8s.io/v1", "HTTPRoute", name, &[]).with("spec", spec)
}

fn ingress(f: &Facts<'_>, name: &str, host: &str, rows: &HostRoutes<'_>) -> Node {
    let entry = &f.r.platform.entry;
    let first = rows.first().map_or("public", |(key, ..)| key);
    let path = |(key, route, port): &(String, &PublicRoute, ServicePort<'_>)| {
        let backend = json!({"service": {"name": f.name(), "port": {"name": port.name}}});
        Node::from(
            &rules::ROUTE_PATH,
            f.origin(key),
            json!({"path": route.path.as_str(), "pathType": "Prefix"}),
        )
        .with("backend", Node::from(&rules::ROUTE_BACKEND, f.origin(key), backend))
    };
    let rule = Node::map([
        ("host", Node::from(&rules::ROUTE_HOST, f.origin(first), host)),
        ("http", Node::map([("paths", Node::List(rows.iter().map(path).collect()))])),
    ]);
    let mut spec = Node::map([("rules", Node::List(vec![rule]))]);
    if let Some(class) = &entry.class {
        let origin = f.profile_origin("entry.class");
        spec.put("ingressClassName", Node::from(&rules::ROUTE_PARENT, origin, class.as_str()));
    }
    let mut more = Vec::new();
    if let Some(tls) = &entry.tls {
        let secret = tls.secret.as_ref().map_or_else(|| format!("{name}-tls"), ToString::to_string);
        let origin = f.profile_origin("entry.tls");
        let value = json!([{"hosts": [host], "secretName": secret}]);
        spec.put("tls", Node::from(&rules::ROUTE_TLS, origin, value));
        if let Some(issuer) = &tls.issuer {
            more.push(("cert-manager.io/cluster-issuer".to_owned(), issuer.to_string()));
        }
    }
    header(f, "networking.k8s.io/v1", "Ingress", name, &more).with("spec", spec)
}
