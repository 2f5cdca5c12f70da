//! Checks of Services.

use std::collections::BTreeSet;

use kiban_base::names;
use serde_json::{Value, json};

use super::at::{At, dig, field, list, text};
use super::cause::{Causes, in_order};
use super::container::PROTOCOLS;
use super::meta::labels;
use super::net;
use super::probe::{port_number, port_or_name};
use super::rule::{self, Check, Rule, dns_label, qualified_name, rule as r, run};

const TYPES: &[&str] = &["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"];
const POLICIES: &[&str] = &["Cluster", "Local"];
const FAMILY_POLICIES: &[&str] = &["PreferDualStack", "RequireDualStack", "SingleStack"];
const DISTRIBUTIONS: &[&str] = &["PreferClose", "PreferSameNode", "PreferSameZone"];
const ONLY_LOAD_BALANCER: &str = "may only be used when `type` is 'LoadBalancer'";
const NOT_EXTERNAL_NAME: &str = "may not be set for ExternalName services";
const ONE_PER_FAMILY: &str = "may specify no more than one IP for each IP family";
const ONCE: &str = "may not change once set";
const AFFINITY_MAX_SECONDS: i64 = 86400;
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";

const PORT: &[Rule] = &[
    r("port", Check::Always(port_number)),
    r("protocol", Check::MustBe(PROTOCOLS)),
    r("targetPort", Check::Always(port_or_name)),
    r("appProtocol", Check::With(qualified_name)),
];

/// Whether a Service has no address of its own.
fn is_headless(spec: &Value) -> bool {
    let ips = list(field(spec, "clusterIPs"));
    match ips {
        [] => text(field(spec, "clusterIP")) == "None",
        [one] => text(one) == "None",
        _ => false,
    }
}

fn is_external(spec: &Value) -> bool {
    let has_ips = !list(field(spec, "externalIPs")).is_empty();
    match text(field(spec, "type")) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => has_ips,
        _ => false,
    }
}

/// A Service.
pub(crate) fn service(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let kind = spec.get("type");
    let ports = spec.get("ports");
    let headless = is_headless(spec.value);
    if ports.is_empty() && !headless && kind.str() != "ExternalName" {
        out.required(ports, "");
    }
    by_type(&spec, headless, out);
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if name.is_empty() {
            if ports.len() > 1 {
                out.required(name, "");
            }
        } else {
            dns_label(&name, out);
            if !seen.insert(name.str()) {
                out.duplicate(name, name.str());
            }
        }
        run(PORT, &port, out);
    }
    labels(&spec.get("selector"), out);
    affinity(&spec, out);
    if kind.str() != "ExternalName" {
        cluster_ips(&spec, out);
    }
    for ip in spec.get("externalIPs").items() {
        let mark = out.len();
        net::ip(&ip, out);
        if out.len() == mark {
            net::non_special_ip(&ip, out);
        }
    }
    rule::must_be(&kind, TYPES, out);
    port_collisions(&spec, out);
    load_balancer(at, &spec, out);
    traffic(&spec, out);
}

fn by_type(spec: &At<'_, '_>, headless: bool, out: &mut Causes) {
    let kind = spec.get("type");
    match kind.str() {
        "LoadBalancer" | "NodePort" if headless => {
            let detail = format!("may not be set to 'None' for {} services", kind.str());
            out.invalid(spec.get("clusterIPs").path.index(0), "None", &detail);
        }
        "ExternalName" => {
            for name in ["clusterIPs", "ipFamilies"] {
                if !spec.get(name).is_empty() {
                    out.forbidden(spec.get(name), NOT_EXTERNAL_NAME);
                }
            }
            if spec.get("ipFamilyPolicy").is_set() {
                out.forbidden(spec.get("ipFamilyPolicy"), NOT_EXTERNAL_NAME);
            }
            let name = spec.get("externalName");
            let host = name.str().strip_suffix('.').unwrap_or(name.str());
            if host.is_empty() {
                out.required(name, "");
            } else {
                out.invalid_each(name, host, names::check_dns1123_subdomain(host));
            }
        }
        _ => {}
    }
}

fn affinity(spec: &At<'_, '_>, out: &mut Causes) {
    let (kind, config) = (spec.get("sessionAffinity"), spec.get("sessionAffinityConfig"));
    rule::must_be(&kind, &["ClientIP", "None"], out);
    match kind.str() {
        "ClientIP" => {
            let client = config.get("clientIP");
            let seconds = client.get("timeoutSeconds");
            for place in [&config, &client, &seconds] {
                if !place.is_set() {
                    return out.required(place, "when session affinity type is ClientIP");
                }
            }
            if !(1..=AFFINITY_MAX_SECONDS).contains(&seconds.int_or_zero()) {
                let detail = format!("must be greater than 0 and less than {AFFINITY_MAX_SECONDS}");
                out.invalid(seconds, &seconds, &detail);
            }
        }
        "None" if config.is_set() => {
            out.forbidden(config, "must not be set when session affinity is None");
        }
        _ => {}
    }
}

fn cluster_ips(spec: &At<'_, '_>, out: &mut Causes) {
    let (ip, ips) = (spec.get("clusterIP"), spec.get("clusterIPs"));
    let first = ips.items().next().map(|f| f.str()).unwrap_or("");
    if !ip.is_empty() {
        if ips.is_empty() {
            out.required(ips, "");
        } else if first != ip.str() {
            out.invalid(ips, &ips, "first value must match `clusterIP`");
        }
    } else if !ips.is_empty() {
        out.invalid(ips, &ips, "must be empty when `clusterIP` is not specified");
    }
    families(spec, out);
    let mark = out.len();
    for (index, item) in ips.items().enumerate() {
        if index == 0 && item.str() == "None" {
            if ips.len() > 1 {
                out.invalid(ips, &ips, "'None' must be the first and only value");
            }
        } else {
            net::ip(&item, out);
        }
    }
    let has_invalid = out.len() != mark;
    if ips.len() > 2 {
        out.invalid(ips, &ips, "may only hold up to 2 values");
    }
    if has_invalid {
        return;
    }
    if ips.len() > 1 && !net::are_dual(&ips) {
        out.invalid(ips, &ips, ONE_PER_FAMILY);
    }
    if is_headless(spec.value) {
        return;
    }
    for (index, (item, family)) in ips.items().zip(list(field(spec.value, "ipFamilies"))).enumerate() {
        let is_v6 = net::parse_ip(item.str()).is_some_and(|ip| ip.is_ipv6());
        let wanted = text(family);
        if (wanted == "IPv4" && is_v6) || (wanted == "IPv6" && !is_v6) {
            let detail = format!("expected an {wanted} value as indicated by `ipFamilies[{index}]`");
            out.invalid(item, item.str(), &detail);
        }
    }
}

fn families(spec: &At<'_, '_>, out: &mut Causes) {
    let mut seen = BTreeSet::new();
    for family in spec.get("ipFamilies").items() {
        rule::one_of(&family, &["IPv4", "IPv6"], out);
        if !seen.insert(family.str()) {
            out.duplicate(family, family.str());
        }
    }
    let policy = spec.get("ipFamilyPolicy");
    if policy.is_set() {
        rule::one_of(&policy, FAMILY_POLICIES, out);
    }
}

fn port_collisions(spec: &At<'_, '_>, out: &mut Causes) {
    let ports = spec.get("ports");
    if spec.get("type").str() == "ClusterIP" {
        for port in ports.items() {
            if port.get("nodePort").int_or_zero() != 0 {
                out.forbidden(port.get("nodePort"), "may not be used when `type` is 'ClusterIP'");
            }
        }
    }
    let mut node_ports = BTreeSet::new();
    for port in ports.items() {
        let number = port.get("nodePort");
        let taken = !node_ports.insert((port.get("protocol").str(), number.int_or_zero()));
        if number.int_or_zero() != 0 && taken {
            out.duplicate(number, number.int_or_zero());
        }
    }
    let mut own = BTreeSet::new();
    for port in ports.items() {
        let (protocol, number) = (port.get("protocol").str(), port.get("port").int_or_zero());
        if !own.insert((protocol, number)) {
            let key = json!({
                "Name": "", "Protocol": protocol, "AppProtocol": null, "Port": number, "TargetPort": 0, "NodePort": 0,
            });
            let order = ["Name", "Protocol", "AppProtocol", "Port", "TargetPort", "NodePort"];
            out.duplicate(port, in_order(&key, &order));
        }
    }
}

fn load_balancer(at: &At<'_, '_>, spec: &At<'_, '_>, out: &mut Causes) {
    let is_balanced = spec.get("type").str() == "LoadBalancer";
    let ranges = spec.get("loadBalancerSourceRanges");
    let place = spec.path.child("LoadBalancerSourceRanges");
    let meta = at.get("metadata");
    let notes = meta.get("annotations");
    let annotation = field(notes.value, SOURCE_RANGES);
    if !ranges.is_empty() {
        if !is_balanced {
            out.forbidden(place, ONLY_LOAD_BALANCER);
        }
        for (index, range) in ranges.items().enumerate() {
            net::cidr_text(&At { value: range.value, path: place.index(index) }, range.str().trim(), out);
        }
    } else if let Some(list) = annotation.as_str() {
        let place = At { value: annotation, path: notes.path.key(SOURCE_RANGES) };
        if !is_balanced {
            out.forbidden(place, ONLY_LOAD_BALANCER);
        }
        for range in list.split(',').map(str::trim).filter(|_| !list.trim().is_empty()) {
            net::cidr_text(&place, range, out);
        }
    }
    let allocates = spec.get("allocateLoadBalancerNodePorts");
    if allocates.is_set() && !is_balanced {
        out.forbidden(allocates, ONLY_LOAD_BALANCER);
    } else if !allocates.is_set() && is_balanced {
        out.required("allocateLoadBalancerNodePorts", "");
    }
    let class = spec.get("loadBalancerClass");
    if class.is_set() && is_balanced {
        qualified_name(&class, out);
    } else if class.is_set() {
        out.forbidden(class, ONLY_LOAD_BALANCER);
    }
}

fn traffic(spec: &At<'_, '_>, out: &mut Causes) {
    let external = spec.get("externalTrafficPolicy");
    if !is_external(spec.value) {
        if !external.is_empty() {
            out.invalid(external, external.str(), "may only be set for externally-accessible services");
        }
    } else {
        rule::must_be(&external, POLICIES, out);
    }
    let health = spec.get("healthCheckNodePort");
    if spec.get("type").str() == "LoadBalancer" && external.str() == "Local" {
        if health.int_or_zero() == 0 {
            out.required(health, "");
        } else {
            rule::within(&health, 1, 65535, out);
        }
    } else if health.int_or_zero() != 0 {
        let detail = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
        out.invalid(health, health.int_or_zero(), detail);
    }
    let internal = spec.get("internalTrafficPolicy");
    if !internal.is_set() && matches!(spec.get("type").str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        out.required(internal, "");
    } else if internal.is_set() {
        rule::one_of(&internal, POLICIES, out);
    }
    let distribution = spec.get("trafficDistribution");
    if distribution.is_set() {
        rule::one_of(&distribution, DISTRIBUTIONS, out);
    }
}

/// A Service in an old one's place: addresses stay once they are given.
pub(crate) fn update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let (spec, before) = (at.get("spec"), field(old, "spec"));
    let external_name = |spec: &Value| text(field(spec, "type")) == "ExternalName";
    if !external_name(before) && !external_name(spec.value) {
        let was_headless = is_headless(before);
        if !(was_headless && is_headless(spec.value)) {
            kept(before, &spec, "clusterIPs", "primary clusterIP can not be unset", "clusterIP", out);
        }
        if !was_headless && !is_headless(spec.value) {
            kept(before, &spec, "ipFamilies", "primary ipFamily can not be unset", "ipFamily", out);
        }
    }
    let balanced = |spec: &Value| text(field(spec, "type")) == "LoadBalancer";
    let class = spec.get("loadBalancerClass");
    if balanced(before) && balanced(spec.value) && field(before, "loadBalancerClass") != class.value {
        out.invalid(class, &class, ONCE);
    }
    let needs_check = |spec: &Value| balanced(spec) && text(field(spec, "externalTrafficPolicy")) == "Local";
    let port = spec.get("healthCheckNodePort");
    if needs_check(before) && needs_check(spec.value) && field(before, "healthCheckNodePort") != port.value {
        out.forbidden(port, "field is immutable");
    }
}

fn kept(before: &Value, spec: &At<'_, '_>, name: &str, unset: &str, one: &str, out: &mut Causes) {
    let (old, new) = (list(field(before, name)), spec.get(name));
    let primary_changed = !old.is_empty() && !new.is_empty() && old.first() != list(new.value).first();
    match old.len().cmp(&new.len()) {
        std::cmp::Ordering::Equal => {
            for (index, (was, is)) in old.iter().zip(list(new.value)).enumerate() {
                if was != is {
                    let at = if name == "clusterIPs" { index } else { 0 };
                    out.invalid(new.path.index(at), &new, ONCE);
                }
            }
        }
        std::cmp::Ordering::Greater => {
            if new.is_empty() {
                out.invalid(new.path.index(0), &new, unset);
            }
            if primary_changed {
                out.invalid(new.path.index(0), &new, ONCE);
            }
            let policy = spec.get("ipFamilyPolicy");
            if new.len() == 1 && policy.str() != "SingleStack" {
                let detail = format!("must be set to 'SingleStack' when releasing the secondary {one}");
                out.invalid(policy, &policy, &detail);
            }
        }
        std::cmp::Ordering::Less => {
            if primary_changed {
                out.invalid(new.path.index(0), &new, ONCE);
            }
        }
    }
}

/// What a load balancer reports of itself, for Services and Ingresses.
pub(crate) fn load_balancer_status(at: &At<'_, '_>, with_mode: bool, out: &mut Causes) {
    for ingress in at.get("ingress").items() {
        let (ip, host, mode) = (ingress.get("ip"), ingress.get("hostname"), ingress.get("ipMode"));
        if !ip.is_empty() {
            net::ip(&ip, out);
        }
        if with_mode {
            match (ip.is_empty(), mode.is_set()) {
                (false, false) => out.required(mode, "must be specified when `ip` is set"),
                (true, true) => out.forbidden(mode, "may not be specified when `ip` is not set"),
                (false, true) => rule::one_of(&mode, &["Proxy", "VIP"], out),
                (true, false) => {}
            }
        }
        if !host.is_empty() {
            net::host_name(&host, out);
        }
    }
}

/// The status of a Service.
pub(crate) fn status(_old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let status = at.get("status");
    let balancer = status.get("loadBalancer");
    if text(dig(at.value, "spec.type")) != "LoadBalancer" && !balancer.get("ingress").is_empty() {
        out.forbidden(balancer.get("ingress"), "may only be used when `spec.type` is 'LoadBalancer'");
    } else {
        load_balancer_status(&balancer, true, out);
    }
}
