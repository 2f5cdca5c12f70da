//! Addresses and ports of Services: which the server gives, which it keeps, which it takes back.

use serde_json::{Map, Value, json};

use crate::validate::at::{dig, field, list, text};
use crate::validate::{Cause, Reason};

/// The addresses and node ports of a cluster, as the store keeps them.
pub trait ServicePool {
    /// Takes a free address, or the one that the Service asks for. The error is the sentence after
    /// `failed to allocate IP …:`.
    ///
    /// # Errors
    /// The address is taken or lies outside of the Service network, or there is none left.
    fn cluster_ip(&mut self, wanted: Option<&str>) -> Result<String, String>;

    /// Takes a free node port, or the one that the Service asks for, for a protocol.
    ///
    /// # Errors
    /// `provided port is already allocated`, `provided port is not in the valid range. …`, or that there
    /// is none left.
    fn node_port(&mut self, protocol: &str, wanted: Option<u16>) -> Result<u16, String>;
}

fn kind(service: &Value) -> &str {
    text(dig(service, "spec.type"))
}

fn needs_cluster_ip(service: &Value) -> bool {
    matches!(kind(service), "ClusterIP" | "NodePort" | "LoadBalancer")
}

fn needs_node_port(service: &Value) -> bool {
    match kind(service) {
        "NodePort" => true,
        "LoadBalancer" => dig(service, "spec.allocateLoadBalancerNodePorts").as_bool() != Some(false),
        _ => false,
    }
}

fn needs_health_port(service: &Value) -> bool {
    kind(service) == "LoadBalancer" && text(dig(service, "spec.externalTrafficPolicy")) == "Local"
}

fn is_external(service: &Value) -> bool {
    match kind(service) {
        "LoadBalancer" | "NodePort" => true,
        "ClusterIP" => !list(dig(service, "spec.externalIPs")).is_empty(),
        _ => false,
    }
}

fn spec_mut(service: &mut Value) -> Option<&mut Map<String, Value>> {
    service.get_mut("spec").and_then(Value::as_object_mut)
}

/// Brings the one address and the list of addresses together: whoever knows only one writes only one.
pub(crate) fn sync_cluster_ips(old: Option<&Value>, new: &mut Value) {
    let one = text(dig(new, "spec.clusterIP")).to_string();
    let many = list(dig(new, "spec.clusterIPs")).to_vec();
    let Some(spec) = spec_mut(new) else { return };
    let Some(old) = old else {
        if !one.is_empty() && many.is_empty() {
            spec.insert("clusterIPs".to_string(), json!([one]));
        }
        return;
    };
    let old_one = text(dig(old, "spec.clusterIP"));
    let old_many = list(dig(old, "spec.clusterIPs"));
    let same_list = many == old_many;
    if old_one.is_empty() && !one.is_empty() && many.is_empty() {
        spec.insert("clusterIPs".to_string(), json!([one]));
    } else if !old_one.is_empty() && one.is_empty() && same_list {
        spec.remove("clusterIPs");
    } else if !old_one.is_empty() && !one.is_empty() && old_one != one && same_list {
        spec.insert("clusterIPs".to_string(), json!([one]));
    }
}

/// Keeps what the server gave the old Service where the new one does not speak of it, and drops what the
/// new type has no use for.
pub(crate) fn update(old: &Value, new: &mut Value) {
    keep_given(old, new);
    sync_cluster_ips(Some(old), new);
    drop_useless(old, new);
}

fn keep_given(old: &Value, new: &mut Value) {
    let both = |needs: fn(&Value) -> bool, new: &Value| needs(old) && needs(new);
    if both(needs_cluster_ip, new) {
        let is_unset = text(dig(new, "spec.clusterIP")).is_empty();
        let same = is_unset || dig(new, "spec.clusterIP") == dig(old, "spec.clusterIP");
        let no_list = list(dig(new, "spec.clusterIPs")).is_empty();
        if let Some(spec) = spec_mut(new) {
            if is_unset {
                copy(old, spec, "clusterIP");
            }
            if no_list && same {
                copy(old, spec, "clusterIPs");
            }
            for name in ["ipFamilies", "ipFamilyPolicy"] {
                if spec.get(name).is_none_or(|v| v.is_null() || v.as_array().is_some_and(Vec::is_empty)) {
                    copy(old, spec, name);
                }
            }
        }
    }
    if both(needs_node_port, new) {
        keep_node_ports(old, new);
    }
    if both(needs_health_port, new)
        && dig(new, "spec.healthCheckNodePort").as_i64().unwrap_or(0) == 0
        && let Some(spec) = spec_mut(new)
    {
        copy(old, spec, "healthCheckNodePort");
    }
}

fn copy(old: &Value, spec: &mut Map<String, Value>, name: &str) {
    let value = field(field(old, "spec"), name);
    if !value.is_null() {
        spec.insert(name.to_string(), value.clone());
    }
}

fn port_key(port: &Value) -> (String, i64) {
    (text(field(port, "protocol")).to_string(), field(port, "port").as_i64().unwrap_or(0))
}

fn keep_node_ports(old: &Value, new: &mut Value) {
    let used: Vec<i64> =
        list(dig(new, "spec.ports")).iter().filter_map(|p| field(p, "nodePort").as_i64()).collect();
    let Some(ports) = spec_mut(new).and_then(|s| s.get_mut("ports")).and_then(Value::as_array_mut) else {
        return;
    };
    for port in ports {
        if field(port, "nodePort").as_i64().unwrap_or(0) != 0 {
            continue;
        }
        let key = port_key(port);
        let given = list(dig(old, "spec.ports"))
            .iter()
            .find(|p| port_key(p) == key)
            .and_then(|p| field(p, "nodePort").as_i64())
            .filter(|number| *number != 0 && !used.contains(number));
        if let (Some(number), Some(port)) = (given, port.as_object_mut()) {
            port.insert("nodePort".to_string(), json!(number));
        }
    }
}

/// Fields that one type needs and the next does not go, unless the client wrote them anew.
fn drop_useless(old: &Value, new: &mut Value) {
    let unneeded = |needs: fn(&Value) -> bool, new: &Value| needs(old) && !needs(new);
    let mut useless: Vec<&str> = Vec::new();
    if unneeded(needs_cluster_ip, new) {
        useless.extend(["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"]);
    }
    if unneeded(needs_health_port, new) {
        useless.push("healthCheckNodePort");
    }
    let balanced: fn(&Value) -> bool = |service| kind(service) == "LoadBalancer";
    if unneeded(balanced, new) {
        useless.extend(["allocateLoadBalancerNodePorts", "loadBalancerClass"]);
    }
    if unneeded(is_external, new) {
        useless.push("externalTrafficPolicy");
    }
    let drops_ports = unneeded(needs_node_port, new);
    let Some(spec) = spec_mut(new) else { return };
    for name in useless {
        if spec.get(name) == field(old, "spec").get(name) {
            spec.remove(name);
        }
    }
    if !drops_ports {
        return;
    }
    let old_ports: Vec<&Value> =
        list(dig(old, "spec.ports")).iter().map(|p| field(p, "nodePort")).filter(|n| !n.is_null()).collect();
    for port in spec.get_mut("ports").and_then(Value::as_array_mut).into_iter().flatten() {
        let is_old = old_ports.contains(&field(port, "nodePort"));
        if let Some(port) = port.as_object_mut()
            && is_old
        {
            port.remove("nodePort");
        }
    }
}

/// Gives a Service its address and node ports. `old` is the Service that an update replaces.
///
/// The cluster has one family of addresses, IPv4. Causes name what could not be given.
pub fn allocate(old: Option<&Value>, new: &mut Value, pool: &mut dyn ServicePool) -> Vec<Cause> {
    let mut causes = Vec::new();
    if !needs_cluster_ip(new) {
        return causes;
    }
    families(new);
    let headless = text(dig(new, "spec.clusterIP")) == "None";
    let had_ip = old
        .is_some_and(|old| needs_cluster_ip(old) && dig(old, "spec.clusterIP") == dig(new, "spec.clusterIP"));
    if !headless && !had_ip {
        cluster_ip(new, pool, &mut causes);
    }
    if needs_node_port(new) {
        node_ports(old, new, pool, &mut causes);
    }
    let had_health = old.is_some_and(needs_health_port);
    if needs_health_port(new) && !had_health {
        health_port(new, pool, &mut causes);
    }
    causes
}

fn families(service: &mut Value) {
    let is_headless = text(dig(service, "spec.clusterIP")) == "None";
    let selects = dig(service, "spec.selector").as_object().is_some_and(|s| !s.is_empty());
    let unset = |name: &str, service: &Value| {
        let value = field(field(service, "spec"), name);
        value.is_null() || value.as_array().is_some_and(Vec::is_empty)
    };
    let (no_policy, no_families) = (unset("ipFamilyPolicy", service), unset("ipFamilies", service));
    // A headless Service without selector may have endpoints of either family.
    let both = is_headless && !selects && no_policy && no_families;
    let Some(spec) = spec_mut(service) else { return };
    if no_policy {
        spec.insert(
            "ipFamilyPolicy".to_string(),
            json!(if both { "RequireDualStack" } else { "SingleStack" }),
        );
    }
    if no_families {
        spec.insert("ipFamilies".to_string(), if both { json!(["IPv4", "IPv6"]) } else { json!(["IPv4"]) });
    }
}

fn cause(field: String, shown: &str, detail: &str) -> Cause {
    Cause { field, reason: Reason::Invalid, message: format!("Invalid value: {shown}: {detail}") }
}

fn cluster_ip(service: &mut Value, pool: &mut dyn ServicePool, causes: &mut Vec<Cause>) {
    let wanted = text(dig(service, "spec.clusterIP")).to_string();
    let result = pool.cluster_ip(Some(wanted.as_str()).filter(|ip| !ip.is_empty()));
    match (result, spec_mut(service)) {
        (Ok(ip), Some(spec)) => {
            spec.insert("clusterIPs".to_string(), json!([ip]));
            spec.insert("clusterIP".to_string(), json!(ip));
        }
        (Err(why), _) => {
            let shown = json!([wanted]).to_string();
            let detail = format!("failed to allocate IP {wanted}: {why}");
            causes.push(cause("spec.clusterIPs".to_string(), &shown, &detail));
        }
        _ => {}
    }
}

fn node_ports(old: Option<&Value>, new: &mut Value, pool: &mut dyn ServicePool, causes: &mut Vec<Cause>) {
    let held: Vec<(String, i64)> = old
        .filter(|old| needs_node_port(old))
        .map(|old| list(dig(old, "spec.ports")))
        .unwrap_or_default()
        .iter()
        .map(|p| (text(field(p, "protocol")).to_string(), field(p, "nodePort").as_i64().unwrap_or(0)))
        .collect();
    let Some(ports) = spec_mut(new).and_then(|s| s.get_mut("ports")).and_then(Value::as_array_mut) else {
        return;
    };
    let mut given: Vec<(String, i64)> = Vec::new();
    for (index, port) in ports.iter_mut().enumerate() {
        let protocol = text(field(port, "protocol")).to_string();
        let wanted = field(port, "nodePort").as_i64().unwrap_or(0);
        let key = (protocol.clone(), wanted);
        // One port number may serve two protocols; the checks refuse it twice for the same.
        if wanted != 0 && (held.contains(&key) || given.contains(&key)) {
            continue;
        }
        let place = format!("spec.ports[{index}].nodePort");
        let number = match u16::try_from(wanted) {
            Ok(0) => pool.node_port(&protocol, None),
            Ok(port) => pool.node_port(&protocol, Some(port)),
            Err(_) => Err("provided port is not in the valid range. The range of valid ports is 30000-32767"
                .to_string()),
        };
        match (number, port.as_object_mut()) {
            (Ok(number), Some(port)) => {
                port.insert("nodePort".to_string(), json!(number));
                given.push((protocol, i64::from(number)));
            }
            (Err(why), _) => causes.push(cause(place, &wanted.to_string(), &why)),
            _ => {}
        }
    }
}

fn health_port(service: &mut Value, pool: &mut dyn ServicePool, causes: &mut Vec<Cause>) {
    let wanted = dig(service, "spec.healthCheckNodePort").as_i64().unwrap_or(0);
    let wanted = u16::try_from(wanted).ok().filter(|port| *port != 0);
    match (pool.node_port("TCP", wanted), spec_mut(service)) {
        (Ok(number), Some(spec)) => {
            spec.insert("healthCheckNodePort".to_string(), json!(number));
        }
        (Err(why), _) => {
            let shown = wanted.unwrap_or(0).to_string();
            causes.push(cause("spec.healthCheckNodePort".to_string(), &shown, &why));
        }
        _ => {}
    }
}

/// The addresses and node ports that a Service holds and gives back when it goes or changes.
pub fn held(service: &Value) -> (Vec<String>, Vec<(String, u16)>) {
    let ips = list(dig(service, "spec.clusterIPs"))
        .iter()
        .map(|ip| text(ip).to_string())
        .filter(|ip| !ip.is_empty() && ip != "None")
        .collect();
    let health = dig(service, "spec.healthCheckNodePort").as_i64().map(|number| ("TCP".to_string(), number));
    let ports = list(dig(service, "spec.ports"))
        .iter()
        .filter_map(|p| Some((text(field(p, "protocol")).to_string(), field(p, "nodePort").as_i64()?)))
        .chain(health)
        .filter_map(|(protocol, number)| Some((protocol, u16::try_from(number).ok().filter(|n| *n != 0)?)))
        .collect();
    (ips, ports)
}
