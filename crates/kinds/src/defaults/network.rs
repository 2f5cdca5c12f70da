//! Defaults of Services, endpoints, Ingress classes and network policies.

use serde_json::{Value, json};

use super::fill::Default::{self, Bool, Text, TextIfAbsent, With};
use crate::validate::at::{dig, field, list, text};

type Rows = &'static [(&'static str, Default)];

const AFFINITY_SECONDS: i64 = 10800;

/// A Service.
pub(crate) const SERVICE: Rows = &[
    ("spec.sessionAffinity", Text("None")),
    ("spec", With(session_affinity)),
    ("spec.type", Text("ClusterIP")),
    ("spec.ports[].protocol", Text("TCP")),
    ("spec.ports[]", With(target_port)),
    ("spec", With(by_type)),
    ("", With(ingress_mode)),
];

fn session_affinity(spec: &mut Value) {
    let kind = text(field(spec, "sessionAffinity")).to_string();
    let has_seconds = !dig(spec, "sessionAffinityConfig.clientIP.timeoutSeconds").is_null();
    let Some(map) = spec.as_object_mut() else { return };
    if kind == "None" {
        map.remove("sessionAffinityConfig");
    } else if kind == "ClientIP" && !has_seconds {
        let config = json!({"clientIP": {"timeoutSeconds": AFFINITY_SECONDS}});
        map.insert("sessionAffinityConfig".to_string(), config);
    }
}

fn target_port(port: &mut Value) {
    let target = field(port, "targetPort");
    let is_unset = target.is_null() || target == "" || target.as_i64() == Some(0);
    let own = field(port, "port").clone();
    if let Some(map) = port.as_object_mut()
        && is_unset
        && own.is_number()
    {
        map.insert("targetPort".to_string(), own);
    }
}

fn by_type(spec: &mut Value) {
    let kind = text(field(spec, "type")).to_string();
    let has_ips = !list(field(spec, "externalIPs")).is_empty();
    let balanced = kind == "LoadBalancer";
    let external = balanced || kind == "NodePort" || (kind == "ClusterIP" && has_ips);
    if external {
        super::fill::fill(spec, &[("externalTrafficPolicy", Text("Cluster"))]);
    }
    if matches!(kind.as_str(), "NodePort" | "LoadBalancer" | "ClusterIP") {
        super::fill::fill(spec, &[("internalTrafficPolicy", TextIfAbsent("Cluster"))]);
    }
    if balanced {
        super::fill::fill(spec, &[("allocateLoadBalancerNodePorts", Bool(true))]);
    }
}

/// An address of a load balancer is its own unless it says that it is a proxy's.
fn ingress_mode(service: &mut Value) {
    if text(dig(service, "spec.type")) != "LoadBalancer" {
        return;
    }
    let ingress = service.pointer_mut("/status/loadBalancer/ingress").and_then(Value::as_array_mut);
    for item in ingress.into_iter().flatten() {
        if !text(field(item, "ip")).is_empty() {
            super::fill::fill(item, &[("ipMode", TextIfAbsent("VIP"))]);
        }
    }
}

/// Endpoints.
pub(crate) const ENDPOINTS: Rows = &[("subsets[].ports[].protocol", Text("TCP"))];

/// An EndpointSlice.
pub(crate) const ENDPOINT_SLICE: Rows =
    &[("ports[].name", TextIfAbsent("")), ("ports[].protocol", TextIfAbsent("TCP"))];

/// An IngressClass.
pub(crate) const INGRESS_CLASS: Rows = &[("spec.parameters?.scope", TextIfAbsent("Cluster"))];

/// A NetworkPolicy.
pub(crate) const NETWORK_POLICY: Rows = &[
    ("spec.ingress[].ports[].protocol", TextIfAbsent("TCP")),
    ("spec.egress[].ports[].protocol", TextIfAbsent("TCP")),
    ("spec", With(policy_types)),
];

fn policy_types(spec: &mut Value) {
    let has_egress = !list(field(spec, "egress")).is_empty();
    let is_unset = list(field(spec, "policyTypes")).is_empty();
    if let Some(map) = spec.as_object_mut()
        && is_unset
    {
        let types = if has_egress { json!(["Ingress", "Egress"]) } else { json!(["Ingress"]) };
        map.insert("policyTypes".to_string(), types);
        map.entry("podSelector").or_insert_with(|| json!({}));
    }
}
