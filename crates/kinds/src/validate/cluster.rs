//! Checks of Nodes, Namespaces, endpoints, Events, Leases and the classes of pods.

use std::collections::BTreeSet;

use kiban_base::names;
use serde_json::Value;

use super::at::{At, field, list, text};
use super::cause::Causes;
use super::container::PROTOCOLS;
use super::meta::{immutable, immutable_paths, kube_finalizer};
use super::probe::port_number;
use super::resources::quantity;
use super::rule::{self, Check, Rule, qualified_name, rule as r, run};
use super::scheduling::{taints, tolerations};
use super::{net, pod_update, resources};

/// A Namespace's finalizers, which its spec has of its own.
pub(crate) fn namespace(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let finalizers = spec.get("finalizers");
    for item in finalizers.items() {
        let name = finalizers.with(item.value);
        qualified_name(&name, out);
        kube_finalizer(&name, out);
    }
}

/// A Namespace's phase follows its deletion.
pub(crate) fn namespace_status(_old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let (meta, status) = (at.get("metadata"), at.get("status"));
    let is_deleted = meta.get("deletionTimestamp").is_set();
    let (wanted, word) = if is_deleted { ("Terminating", "not empty") } else { ("Active", "empty") };
    let phase = status.get("phase");
    if phase.str() != wanted {
        let detail = format!("may only be '{wanted}' if `deletionTimestamp` is {word}");
        out.invalid(status.path.child("Phase"), phase.str(), &detail);
    }
}

/// A Node. Upstream names `metadata` for what is wrong with taints.
pub(crate) fn node(at: &At<'_, '_>, out: &mut Causes) {
    let (meta, spec) = (at.get("metadata"), at.get("spec"));
    taints(&At { value: spec.get("taints").value, path: meta.path.child("taints") }, out);
    node_amounts(at, out);
    let blocks = spec.get("podCIDRs");
    for block in blocks.items() {
        net::cidr(&block, out);
    }
    if blocks.len() > 1 {
        if blocks.len() > 2 || !net::blocks_are_dual(&blocks) {
            out.invalid(blocks, &blocks, "may specify no more than one CIDR for each IP family");
        }
        let mut seen = BTreeSet::new();
        for block in blocks.items() {
            if !seen.insert(block.str()) {
                out.duplicate(block, block.str());
            }
        }
    }
}

fn node_amounts(at: &At<'_, '_>, out: &mut Causes) {
    let status = at.get("status");
    for name in ["capacity", "allocatable"] {
        let part = status.get(name);
        for (key, _) in part.entries() {
            quantity(key, &part.get(key), out);
        }
    }
}

/// A Node in an old one's place: its pod addresses and its provider's id stay.
pub(crate) fn node_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let (status, spec) = (at.get("status"), at.get("spec"));
    let addresses = status.get("addresses");
    let mut seen: Vec<&Value> = Vec::new();
    for address in addresses.items() {
        if seen.contains(&address.value) {
            out.duplicate(address, &address);
        }
        seen.push(address.value);
    }
    let before = field(old, "spec");
    let (was, is) = (list(field(before, "podCIDRs")), list(field(spec.value, "podCIDRs")));
    if !was.is_empty() && was != is {
        let detail = "node updates may not change podCIDR except from \"\" to valid";
        out.forbidden(spec.get("podCIDRs"), detail);
    }
    let id = text(field(before, "providerID"));
    if !id.is_empty() && spec.get("providerID").str() != id {
        out.forbidden(
            spec.get("providerID"),
            "node updates may not change providerID except from \"\" to valid",
        );
    }
}

/// The status of a Node is checked like the Node.
pub(crate) fn node_status(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    node_amounts(at, out);
    node_update(old, at, out);
}

const ENDPOINT_PORT: &[Rule] = &[
    r("port", Check::Always(port_number)),
    r("protocol", Check::MustBe(PROTOCOLS)),
    r("appProtocol", Check::With(qualified_name)),
];

/// Endpoints.
pub(crate) fn endpoints(at: &At<'_, '_>, out: &mut Causes) {
    for subset in at.get("subsets").items() {
        if subset.get("addresses").is_empty() && subset.get("notReadyAddresses").is_empty() {
            out.required(subset, "must specify `addresses` or `notReadyAddresses`");
        }
        for name in ["addresses", "notReadyAddresses"] {
            for address in subset.get(name).items() {
                let ip = address.get("ip");
                net::ip(&ip, out);
                run(&[r("hostname", Check::Text(names::check_dns1123_label))], &address, out);
                run(&[r("nodeName", Check::With(rule::dns_subdomain))], &address, out);
                net::non_special_ip(&ip, out);
            }
        }
        let ports = subset.get("ports");
        for port in ports.items() {
            let name = port.get("name");
            if name.is_empty() && ports.len() > 1 {
                out.required(name, "");
            } else if !name.is_empty() {
                rule::dns_label(&name, out);
            }
            run(ENDPOINT_PORT, &port, out);
        }
    }
}

const ENDPOINTS_MAX: usize = 1000;
const ADDRESSES_MAX: usize = 100;
const PORTS_MAX: usize = 20000;
const DEPRECATED_TOPOLOGY_MAX: usize = 16;

/// An EndpointSlice.
pub(crate) fn endpoint_slice(at: &At<'_, '_>, out: &mut Causes) {
    let family = at.get("addressType");
    rule::must_be(&family, &["FQDN", "IPv4", "IPv6"], out);
    let endpoints = at.get("endpoints");
    if endpoints.len() > ENDPOINTS_MAX {
        out.too_many(endpoints, endpoints.len(), ENDPOINTS_MAX);
    } else {
        for endpoint in endpoints.items() {
            slice_endpoint(&endpoint, family.str(), out);
        }
    }
    let ports = at.get("ports");
    if ports.len() > PORTS_MAX {
        return out.too_many(ports, ports.len(), PORTS_MAX);
    }
    let mut seen = BTreeSet::new();
    for port in ports.items() {
        let name = port.get("name");
        if !name.is_empty() {
            rule::dns_label(&name, out);
        }
        if !seen.insert(name.str()) {
            out.duplicate(name, name.str());
        }
        let protocol = port.get("protocol");
        if protocol.is_set() {
            rule::one_of(&protocol, PROTOCOLS, out);
        } else {
            out.required(protocol, "");
        }
        run(&[r("appProtocol", Check::With(qualified_name))], &port, out);
    }
}

fn slice_endpoint(at: &At<'_, '_>, family: &str, out: &mut Causes) {
    let addresses = at.get("addresses");
    if addresses.is_empty() {
        out.required(addresses, "must contain at least 1 address");
    } else if addresses.len() > ADDRESSES_MAX {
        out.too_many(addresses, addresses.len(), ADDRESSES_MAX);
    }
    for address in addresses.items() {
        match family {
            "IPv4" | "IPv6" => {
                let ip = net::parse_ip(address.str());
                if ip.is_none_or(|ip| ip.is_ipv4() != (family == "IPv4")) {
                    let detail = format!("must be a valid {family} address");
                    out.invalid(address, address.str(), &detail);
                }
                net::non_special_ip(&address, out);
            }
            "FQDN" => net::domain_name(&address, out),
            _ => {}
        }
    }
    run(&[r("nodeName", Check::With(rule::dns_subdomain))], at, out);
    let topology = at.get("deprecatedTopology");
    if topology.len() > DEPRECATED_TOPOLOGY_MAX {
        out.too_many(topology, topology.len(), DEPRECATED_TOPOLOGY_MAX);
    }
    super::meta::labels(&topology, out);
    run(&[r("hostname", Check::With(rule::dns_label))], at, out);
    let hints = at.get("hints");
    let mut seen = BTreeSet::new();
    for zone in hints.get("forZones").items() {
        let name = zone.get("name");
        if !seen.insert(name.str()) {
            out.duplicate(name, name.str());
        }
        out.invalid_each(name, name.str(), names::check_label_value(name.str()));
    }
}

/// The address type of an EndpointSlice stays.
pub(crate) fn endpoint_slice_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable(field(old, "addressType"), &at.get("addressType"), out);
}

/// An Event of the core group: it lies where the object lies that it speaks of.
pub(crate) fn event(at: &At<'_, '_>, out: &mut Causes) {
    let (meta, about) = (at.get("metadata"), at.get("involvedObject"));
    let (own, its) = (meta.get("namespace").str(), about.get("namespace"));
    if its.is_empty() {
        if !matches!(own, "" | "default") {
            out.invalid(its, its.str(), "does not match event.namespace");
        }
    } else if own != its.str() {
        out.invalid(its, its.str(), "does not match event.namespace");
    }
    if !names::is_dns1123_subdomain(own) {
        out.invalid("namespace", own, "");
    }
}

/// A Lease.
pub(crate) fn lease(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    let (seconds, transitions) = (spec.get("leaseDurationSeconds"), spec.get("leaseTransitions"));
    if let Some(number) = seconds.int()
        && number <= 0
    {
        out.invalid(seconds, number, "must be greater than 0");
    }
    rule::not_negative(&transitions, out);
    let holder = spec.get("holderIdentity");
    if holder.is_set() && holder.is_empty() && spec.get("strategy").is_set() {
        out.invalid(holder, "", "must not be empty");
    }
}

const USER_PRIORITY_MAX: i64 = 1_000_000_000;
/// Priorities that every cluster has.
pub(crate) const SYSTEM_PRIORITIES: &[(&str, i64)] =
    &[("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];

/// A PriorityClass.
pub(crate) fn priority_class(at: &At<'_, '_>, out: &mut Causes) {
    let meta = at.get("metadata");
    let (name, value) = (meta.get("name"), at.get("value"));
    if name.str().starts_with("system-") {
        let known = SYSTEM_PRIORITIES.iter().find(|(known, _)| *known == name.str());
        let right = known.is_some_and(|(_, priority)| *priority == value.int_or_zero());
        if !right || at.get("globalDefault").is_true() {
            let why = match known {
                None => format!(
                    "only system-node-critical and system-cluster-critical are reserved, got {}",
                    name.str()
                ),
                Some((known, priority)) if !right => {
                    format!("value of {known} PriorityClass must be {priority}")
                }
                Some((known, _)) => format!("globalDefault of {known} PriorityClass must be false"),
            };
            let detail = format!(
                "priority class names with 'system-' prefix are reserved for system use only. error: {why}"
            );
            out.forbidden(name, &detail);
        }
    } else if value.int_or_zero() > USER_PRIORITY_MAX {
        out.forbidden(value, "maximum allowed value of a user defined priority is 1000000000");
    }
    let policy = at.get("preemptionPolicy");
    if policy.is_set() {
        rule::must_be(&policy, &["PreemptLowerPriority", "Never"], out);
    }
}

/// What a PriorityClass says stays.
pub(crate) fn priority_class_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    let value = at.get("value");
    if field(old, "value").as_i64().unwrap_or(0) != value.int_or_zero() {
        out.forbidden(value, "may not be changed in an update.");
    }
    immutable_paths(old, at, &["preemptionPolicy"], out);
}

/// A RuntimeClass.
pub(crate) fn runtime_class(at: &At<'_, '_>, out: &mut Causes) {
    rule::dns_label(&at.get("handler"), out);
    let overhead = at.get("overhead");
    let fixed = overhead.get("podFixed");
    for (name, place) in fixed.entries() {
        resources::container_resource(name, &place, out);
        quantity(name, &place, out);
    }
    let scheduling = at.get("scheduling");
    super::meta::labels(&scheduling.get("nodeSelector"), out);
    tolerations(&scheduling.get("tolerations"), out);
    let list = scheduling.get("tolerations");
    let mut seen: Vec<&Value> = Vec::new();
    for toleration in list.items() {
        if seen.contains(&toleration.value) {
            out.duplicate(toleration, &toleration);
        }
        seen.push(toleration.value);
    }
}

/// A RuntimeClass's handler stays.
pub(crate) fn runtime_class_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    immutable(field(old, "handler"), &at.get("handler"), out);
}

/// A CertificateSigningRequest.
pub(crate) fn signing_request(at: &At<'_, '_>, out: &mut Causes) {
    let spec = at.get("spec");
    if spec.get("request").is_empty() {
        out.invalid(spec.get("request"), &spec.get("request"), "PEM block type must be CERTIFICATE REQUEST");
    }
    let usages = spec.get("usages");
    if usages.is_empty() {
        out.required(usages, "");
    }
    let mut seen = BTreeSet::new();
    for usage in usages.items() {
        if !seen.insert(usage.str()) {
            out.duplicate(usage, usage.str());
        }
    }
    signer_name(&spec.get("signerName"), out);
    let seconds = spec.get("expirationSeconds");
    if let Some(number) = seconds.int()
        && number < 600
    {
        out.invalid(seconds, number, "may not specify a duration less than 600 seconds (10 minutes)");
    }
}

fn signer_name(at: &At<'_, '_>, out: &mut Causes) {
    if at.is_empty() {
        return out.required(at, "");
    }
    match at.str().split_once('/') {
        None => {
            out.invalid(
                at,
                at.str(),
                "must be a fully qualified domain and path of the form 'example.com/signer-name'",
            );
        }
        Some((domain, _)) => {
            out.invalid_each(at, domain, names::check_dns1123_subdomain(domain));
            if !domain.contains('.') {
                let detail = "should be a domain with at least two segments separated by dots";
                out.invalid(at, domain, detail);
            }
        }
    }
}

/// What a CertificateSigningRequest asks for stays.
pub(crate) fn signing_request_update(old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    if !super::same::same(field(old, "spec"), at.get("spec").value) {
        let detail =
            format!("field is immutable\n{}", pod_update::changes(field(old, "spec"), at.get("spec").value));
        out.forbidden(at.get("spec"), &detail);
    }
}
