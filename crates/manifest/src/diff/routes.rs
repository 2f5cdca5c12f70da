//! What can be reached from outside: Services, Ingresses, routes and gateways, compared by what they expose.

use std::collections::BTreeSet;

use kiban_base::object::ObjectId;
use serde_json::Value;

use super::network::within;
use super::{Reason, Risk};

/// Service types that listen beyond the cluster's network.
const OUTSIDE: [&str; 2] = ["NodePort", "LoadBalancer"];

/// Annotations that say who reaches an address: the value that keeps it private, or, without one, a list of
/// blocks that may.
const ANNOTATIONS: [(&str, Option<&str>); 9] = [
    ("service.beta.kubernetes.io/aws-load-balancer-scheme", Some("internal")),
    ("service.beta.kubernetes.io/aws-load-balancer-internal", Some("true")),
    ("service.beta.kubernetes.io/azure-load-balancer-internal", Some("true")),
    ("networking.gke.io/load-balancer-type", Some("Internal")),
    ("alb.ingress.kubernetes.io/scheme", Some("internal")),
    ("alb.ingress.kubernetes.io/inbound-cidrs", None),
    ("nginx.ingress.kubernetes.io/whitelist-source-range", None),
    ("nginx.ingress.kubernetes.io/allowlist-source-range", None),
    ("service.beta.kubernetes.io/load-balancer-source-ranges", None),
];

/// What an object exposes that it did not before; `before` is null for a new one.
pub(super) fn opened(id: &ObjectId, before: &Value, after: &Value) -> Vec<Reason> {
    let (group, kind) = (id.group.as_str(), id.kind.as_str());
    let mut reasons = Vec::new();
    let what = match (group, kind) {
        ("", "Service") => "can be reached from outside",
        ("networking.k8s.io" | "extensions", "Ingress")
        | ("gateway.networking.k8s.io", _)
        | ("networking.istio.io", "VirtualService" | "Gateway") => "can be reached at",
        ("networking.istio.io", "ServiceEntry") => "can reach",
        _ => return reasons,
    };
    let was = exposed(group, kind, before);
    let about: BTreeSet<String> = exposed(group, kind, after).difference(&was).cloned().collect();
    reasons.extend(Reason::of(Risk::OpensNetwork, what, about));
    if before.is_object() {
        reasons.extend(Reason::of(Risk::OpensNetwork, "is open to more addresses", unguarded(before, after)));
    }
    reasons
}

fn strings(of: &Value) -> Vec<String> {
    of.as_array().into_iter().flatten().filter_map(|v| v.as_str().map(str::to_owned)).collect()
}

fn items(of: &Value) -> &[Value] {
    of.as_array().map_or(&[], Vec::as_slice)
}

fn text(of: &Value) -> String {
    of.as_str().map_or_else(|| of.to_string(), str::to_owned)
}

/// Everything that is exposed, each in words that are equal only where the same is exposed.
fn exposed(group: &str, kind: &str, object: &Value) -> BTreeSet<String> {
    let spec = &object["spec"];
    match (group, kind) {
        ("", "Service") => service(spec),
        (_, "Ingress") => ingress(spec),
        ("networking.istio.io", "VirtualService") => virtual_service(spec),
        ("networking.istio.io", "ServiceEntry") => strings(&spec["hosts"]).into_iter().collect(),
        ("networking.istio.io", "Gateway") => {
            let servers = items(&spec["servers"]).iter();
            servers
                .flat_map(|server| {
                    let port = text(&server["port"]["number"]);
                    strings(&server["hosts"]).into_iter().map(move |host| format!("{host} port {port}"))
                })
                .collect()
        }
        (_, "Gateway") => gateway(spec),
        (_, kind) if kind.ends_with("Route") => route(spec),
        _ => BTreeSet::new(),
    }
}

fn service(spec: &Value) -> BTreeSet<String> {
    let mut out: BTreeSet<String> =
        strings(&spec["externalIPs"]).into_iter().map(|ip| format!("external address {ip}")).collect();
    let Some(outside) = spec["type"].as_str().filter(|t| OUTSIDE.contains(t)) else { return out };
    for port in items(&spec["ports"]) {
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        out.insert(format!("{outside}, {protocol} {}", text(&port["port"])));
        if port["nodePort"].is_u64() {
            out.insert(format!("node port {}", text(&port["nodePort"])));
        }
    }
    if out.is_empty() {
        out.insert(outside.to_owned());
    }
    out
}

fn ingress(spec: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    if spec["defaultBackend"].is_object() {
        out.insert("every host (default backend)".to_owned());
    }
    for rule in items(&spec["rules"]) {
        let host = rule["host"].as_str().filter(|h| !h.is_empty()).unwrap_or("every host ");
        for path in items(&rule["http"]["paths"]) {
            out.insert(format!(
                "{host}{} ({})",
                path["path"].as_str().unwrap_or("/"),
                text(&path["pathType"])
            ));
        }
    }
    out
}

fn route(spec: &Value) -> BTreeSet<String> {
    if !spec.is_object() {
        return BTreeSet::new();
    }
    let mut out: BTreeSet<String> = strings(&spec["hostnames"]).into_iter().collect();
    if out.is_empty() {
        out.insert("every host of its listeners".to_owned());
    }
    for parent in items(&spec["parentRefs"]) {
        let section = parent["sectionName"].as_str().map_or_else(String::new, |s| format!(", listener {s}"));
        let port = parent["port"].as_u64().map_or_else(String::new, |p| format!(", port {p}"));
        let space = parent["namespace"].as_str().map_or_else(String::new, |n| format!("{n}/"));
        out.insert(format!("gateway {space}{}{section}{port}", text(&parent["name"])));
    }
    for rule in items(&spec["rules"]) {
        let matches = items(&rule["matches"]);
        if matches.is_empty() {
            out.insert("every path".to_owned());
        }
        out.extend(matches.iter().map(path_match));
    }
    out
}

/// `path /orders (PathPrefix), method GET`.
fn path_match(of: &Value) -> String {
    let mut parts = Vec::new();
    if of["path"].is_object() {
        parts.push(format!(
            "path {} ({})",
            text(&of["path"]["value"]),
            of["path"]["type"].as_str().unwrap_or("PathPrefix")
        ));
    }
    for (key, value) in of.as_object().into_iter().flatten().filter(|(key, _)| *key != "path") {
        parts.push(format!("{key} {}", text(value)));
    }
    if parts.is_empty() { "every path".to_owned() } else { parts.join(", ") }
}

fn gateway(spec: &Value) -> BTreeSet<String> {
    let mut out = BTreeSet::new();
    for listener in items(&spec["listeners"]) {
        let host = listener["hostname"].as_str().unwrap_or("every host");
        out.insert(format!("{host}, {} {}", text(&listener["protocol"]), text(&listener["port"])));
        match listener["allowedRoutes"]["namespaces"]["from"].as_str() {
            Some("All") => out.insert(format!("{}: routes of every namespace", text(&listener["name"]))),
            Some("Selector") => out.insert(format!(
                "{}: routes of namespaces {}",
                text(&listener["name"]),
                super::network::selector(listener["allowedRoutes"]["namespaces"].get("selector"))
            )),
            _ => false,
        };
    }
    out.extend(
        items(&spec["addresses"]).iter().map(|address| format!("address {}", text(&address["value"]))),
    );
    out
}

/// A VirtualService reaches beyond the mesh where it names a gateway.
fn virtual_service(spec: &Value) -> BTreeSet<String> {
    let gateways: Vec<String> = strings(&spec["gateways"]).into_iter().filter(|g| g != "mesh").collect();
    if gateways.is_empty() {
        return BTreeSet::new();
    }
    let mut out: BTreeSet<String> = strings(&spec["hosts"]).into_iter().collect();
    out.extend(gateways.iter().map(|gateway| format!("gateway {gateway}")));
    for rule in items(&spec["http"]) {
        let matches = items(&rule["match"]);
        if matches.is_empty() {
            out.insert("every path".to_owned());
        }
        out.extend(matches.iter().map(|of| text(&of["uri"])));
    }
    out
}

/// Guards that went away: lists of blocks that grew or are gone, annotations that kept an address private.
fn unguarded(before: &Value, after: &Value) -> Vec<String> {
    let mut out = Vec::new();
    let ranges = |of: &Value| strings(&of["spec"]["loadBalancerSourceRanges"]);
    out.extend(grown(&ranges(before), &ranges(after)));
    for (name, private) in ANNOTATIONS {
        let of = |object: &Value| object["metadata"]["annotations"][name].as_str().map(str::to_owned);
        let (was, is) = (of(before), of(after));
        match private {
            Some(private) => {
                if was.as_deref() == Some(private) && is.as_deref() != Some(private) {
                    out.push(format!("{name} was {private}"));
                }
            }
            None => {
                let list = |of: Option<String>| -> Vec<String> {
                    of.unwrap_or_default()
                        .split(',')
                        .map(|b| b.trim().to_owned())
                        .filter(|b| !b.is_empty())
                        .collect()
                };
                out.extend(grown(&list(was), &list(is)));
            }
        }
    }
    out
}

/// The blocks that are let in now and were not before; no list lets in everyone.
fn grown(was: &[String], is: &[String]) -> Vec<String> {
    if was.is_empty() {
        return Vec::new();
    }
    if is.is_empty() {
        return vec!["everyone".to_owned()];
    }
    is.iter().filter(|new| !was.iter().any(|old| within(new, old))).cloned().collect()
}
