//! Checks of NetworkPolicies, Ingresses and what belongs to them.

use kiban_base::names;
use serde_json::Value;

use super::at::{At, dig, field};
use super::cause::Causes;
use super::meta::{immutable_paths, label_selector};
use super::net::{self, Block};
use super::rule::{self, Check, Rule, rule as r, run};
use super::service::load_balancer_status;

const PATH_TYPES: &[&str] = &["Exact", "ImplementationSpecific", "Prefix"];
const CONTROLLER_MAX: usize = 250;
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
const REFERENCE: &[Rule] = &[
    r("apiGroup", Check::With(rule::dns_subdomain)),
    r("kind", Check::RequiredAs("kind is required")),
    r("kind", Check::Text(names::check_path_segment)),
    r("name", Check::RequiredAs("name is required")),
    r("name", Check::Text(names::check_path_segment)),
];

/// A NetworkPolicy.
pub(crate) fn network_policy(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    label_selector(&spec.get("podSelector"), out);
    for (direction, peers) in [("ingress", "from"), ("egress", "to")] {
        for item in spec.get(direction).items() {
            for port in item.get("ports").items() {
                policy_port(&port, out);
            }
            for peer in item.get(peers).items() {
                policy_peer(&peer, out);
            }
        }
    }
    let types = spec.get("policyTypes");
    if types.len() > 2 {
        return out.invalid(types, &types, "may not specify more than two policyTypes");
    }
    for kind in types.items() {
        rule::one_of(&kind, &["Ingress", "Egress"], out);
    }
}

fn policy_port(at: &At<'_, '_>, out: &mut Causes) {
    let (protocol, port, end) = (at.get("protocol"), at.get("port"), at.get("endPort"));
    if protocol.is_set() {
        rule::one_of(&protocol, &["TCP", "UDP", "SCTP"], out);
    }
    if port.value.is_string() {
        if let Some(end_port) = end.int() {
            out.invalid(end, end_port, "may not be specified when `port` is non-numeric");
        }
        out.invalid_each(port, port.str(), names::check_port_name(port.str()));
    } else if let Some(number) = port.int() {
        rule::within(&port, 1, 65535, out);
        if end.int().is_some_and(|end_port| end_port < number) {
            out.invalid(end, number, "must be greater than or equal to `port`");
        }
        rule::within(&end, 1, 65535, out);
    } else if let Some(end_port) = end.int() {
        out.invalid(end, end_port, "may not be specified when `port` is not specified");
    }
}

fn policy_peer(at: &At<'_, '_>, out: &mut Causes) {
    let (pods, spaces, block) = (at.get("podSelector"), at.get("namespaceSelector"), at.get("ipBlock"));
    label_selector(&pods, out);
    label_selector(&spaces, out);
    if block.is_set() {
        ip_block(&block, out);
    }
    let count = [&pods, &spaces, &block].iter().filter(|p| p.is_set()).count();
    if count == 0 {
        out.required(at, "must specify a peer");
    } else if count > 1 && block.is_set() {
        out.forbidden(at, "may not specify both ipBlock and another peer");
    }
}

fn ip_block(at: &At<'_, '_>, out: &mut Causes) {
    let cidr = at.get("cidr");
    if cidr.is_empty() {
        return out.required(cidr, "");
    }
    net::cidr(&cidr, out);
    let Some(outer) = Block::parse(cidr.str()) else { return };
    for except in at.get("except").items() {
        net::cidr(&except, out);
        if Block::parse(except.str()).is_some_and(|inner| !outer.strictly_contains(inner)) {
            out.invalid(except, except.str(), "must be a strict subset of `cidr`");
        }
    }
}

/// A new Ingress.
pub(crate) fn ingress_create(at: &At<'_, '_>, out: &mut Causes) {
    ingress(at, out);
    let annotation = field(dig(at.value, "metadata.annotations"), CLASS_ANNOTATION);
    let class = dig(at.value, "spec.ingressClassName");
    if annotation.is_string() && class.is_string() && annotation != class {
        let place = format!("annotations.{CLASS_ANNOTATION}");
        out.invalid(place.as_str(), annotation, "must match `ingressClassName` when both are specified");
    }
}

/// An Ingress.
pub(crate) fn ingress(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let (rules, fallback) = (spec.get("rules"), spec.get("defaultBackend"));
    if rules.is_empty() && !fallback.is_set() {
        out.invalid(spec, rules.value, "either `defaultBackend` or `rules` must be specified");
    }
    if fallback.is_set() {
        backend(&fallback, out);
    }
    for item in rules.items() {
        let host = item.get("host");
        if !host.is_empty() {
            ingress_host(&host, out);
        }
        let http = item.get("http");
        if http.is_set() {
            ingress_paths(&http.get("paths"), out);
        }
    }
    for tls in spec.get("tls").items() {
        for host in tls.get("hosts").items() {
            host_or_wildcard(&host, out);
        }
        run(&[r("secretName", Check::Text(names::check_dns1123_subdomain))], &tls, out);
    }
    run(&[r("ingressClassName", Check::With(rule::dns_subdomain))], &spec, out);
}

fn ingress_host(at: &At<'_, '_>, out: &mut Causes) {
    if net::parse_ip(at.str()).is_some() {
        out.invalid(at, at.str(), "must be a DNS name, not an IP address");
    }
    host_or_wildcard(at, out);
}

fn host_or_wildcard(at: &At<'_, '_>, out: &mut Causes) {
    if at.str().contains('*') {
        out.invalid_each(at, at.str(), names::check_wildcard_subdomain(at.str()));
    } else {
        rule::dns_subdomain(at, out);
    }
}

fn ingress_paths(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        out.required(at, "");
    }
    for item in at.items() {
        let (path, kind) = (item.get("path"), item.get("pathType"));
        if !kind.is_set() {
            out.required(kind, "pathType must be specified");
            continue;
        }
        match kind.str() {
            "Exact" | "Prefix" => {
                absolute(&path, out);
                for part in ["//", "/./", "/../", "%2f", "%2F"] {
                    if path.str().contains(part) {
                        out.invalid(path, path.str(), &format!("must not contain '{part}'"));
                    }
                }
                for end in ["/..", "/."] {
                    if path.str().ends_with(end) {
                        out.invalid(path, path.str(), &format!("cannot end with '{end}'"));
                    }
                }
            }
            "ImplementationSpecific" if path.is_empty() => {}
            "ImplementationSpecific" => absolute(&path, out),
            other => out.unsupported(kind, other, PATH_TYPES),
        }
        backend(&item.get("backend"), out);
    }
}

fn absolute(at: &At<'_, '_>, out: &mut Causes) {
    if !at.str().starts_with('/') {
        out.invalid(at, at.str(), "must be an absolute path");
    }
}

fn backend(at: &At<'_, '_>, out: &mut Causes) {
    let (resource, service) = (at.get("resource"), at.get("service"));
    match (resource.is_set(), service.is_set()) {
        (true, true) => out.invalid(at, "", "cannot set both resource and service backends"),
        (true, false) => run(REFERENCE, &resource, out),
        (false, true) => service_backend(at, &service, out),
        (false, false) => out.invalid(at, "", "resource or service backend is required"),
    }
}

fn service_backend(at: &At<'_, '_>, service: &At<'_, '_>, out: &mut Causes) {
    run(&[r("name", Check::RequiredText(names::check_dns1123_label))], service, out);
    let port = service.get("port");
    let (name, number) = (port.get("name"), port.get("number"));
    match (!name.is_empty(), number.int_or_zero() != 0) {
        (true, true) => out.invalid(at, "", "cannot set both port name & port number"),
        (true, false) => out.invalid_each(name, name.str(), names::check_port_name(name.str())),
        (false, true) => rule::within(&number, 1, 65535, out),
        (false, false) => out.required(at, "port name or number is required"),
    }
}

/// The status of an Ingress.
pub(crate) fn ingress_status(_old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    load_balancer_status(&at.get("status").get("loadBalancer"), false, out);
}

/// An IngressClass.
pub(crate) fn ingress_class(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let controller = spec.get("controller");
    if controller.len() > CONTROLLER_MAX {
        out.too_long(controller, CONTROLLER_MAX);
    }
    net::domain_path(&controller, out);
    let parameters = spec.get("parameters");
    if !parameters.is_set() {
        return;
    }
    run(REFERENCE, &parameters, out);
    let (scope, namespace) = (parameters.get("scope"), parameters.get("namespace"));
    match scope.str() {
        "" if !scope.is_set() => out.required(scope, ""),
        "Namespace" if !namespace.is_set() => {
            out.required(namespace, "`parameters.scope` is set to 'Namespace'");
        }
        "Namespace" => rule::dns_label(&namespace, out),
        "Cluster" if namespace.is_set() => {
            out.forbidden(namespace, "`parameters.scope` is set to 'Cluster'");
        }
        "Cluster" => {}
        other => out.unsupported(scope, other, &["Cluster", "Namespace"]),
    }
}

/// The controller of an IngressClass stays.
pub(crate) fn ingress_class_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable_paths(old, at, &["spec.controller"], out);
}

/// An IPAddress.
pub(crate) fn ip_address(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let parent = spec.get("parentRef");
    if !parent.is_set() {
        return out.required(parent, "");
    }
    run(
        &[
            r("group", Check::Text(names::check_dns1123_subdomain)),
            r("resource", Check::RequiredText(names::check_path_segment)),
            r("name", Check::RequiredText(names::check_path_segment)),
            r("namespace", Check::Text(names::check_path_segment)),
        ],
        &parent,
        out,
    );
}

/// Whom an IPAddress belongs to stays.
pub(crate) fn ip_address_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable_paths(old, at, &["spec.parentRef"], out);
}

/// A ServiceCIDR.
pub(crate) fn service_cidr(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let blocks = spec.get("cidrs");
    if blocks.is_empty() {
        return out.required(blocks, "at least one CIDR required");
    }
    if blocks.len() > 2 {
        return out.invalid(blocks, &spec, "may only hold up to 2 values");
    }
    if blocks.len() == 2 && !net::blocks_are_dual(&blocks) {
        let detail =
            "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64";
        return out.invalid(blocks, &spec, detail);
    }
    for block in blocks.items() {
        net::canonical_cidr(&block, out);
    }
}

/// The first block of a ServiceCIDR stays; a second of the other family may come.
pub(crate) fn service_cidr_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable_paths(old, at, &["spec.cidrs"], out);
}
