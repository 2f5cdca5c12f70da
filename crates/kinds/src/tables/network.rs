//! Services, endpoints, ingresses and policies: the networking and discovery groups.

use std::collections::BTreeSet;

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::cell::{
    age, at, cells, entry, filled_or, items, number, or, qualified, some_of, strings, text, text_or,
};
use super::selector::{labels, selector};
use super::{AGE, NAME, Printer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        group: "",
        kind: "Service",
        columns: &[
            NAME,
            string("Type", "How the service is exposed."),
            string("Cluster-IP", "First address inside the cluster."),
            string("External-IP", "Addresses outside the cluster."),
            string("Port(s)", "Ports, with the nodes' ports behind a colon."),
            AGE,
            string("Selector", "Labels of the pods behind the service.").wide(),
        ],
        cells: service,
    },
    Printer {
        group: "networking.k8s.io",
        kind: "Ingress",
        columns: &[
            NAME,
            string("Class", "Ingress class that serves the rules."),
            string("Hosts", "Host names of the rules."),
            string("Address", "Addresses of the load balancer."),
            string("Ports", "Ports that are open."),
            AGE,
        ],
        cells: ingress,
    },
    Printer {
        group: "networking.k8s.io",
        kind: "IngressClass",
        columns: &[
            NAME,
            string("Controller", "Controller that serves the class."),
            string("Parameters", "Object with settings for the controller."),
            AGE,
        ],
        cells: ingress_class,
    },
    Printer {
        group: "networking.k8s.io",
        kind: "NetworkPolicy",
        columns: &[NAME, string("Pod-Selector", "Labels of the pods that the policy is for."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), selector(o, "spec.podSelector"), age(o, now)],
    },
    Printer {
        group: "networking.k8s.io",
        kind: "ServiceCIDR",
        columns: &[NAME, string("CIDRs", "Ranges that services get addresses from."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), strings(o, "spec.cidrs").join(","), age(o, now)],
    },
    Printer {
        group: "networking.k8s.io",
        kind: "IPAddress",
        columns: &[NAME, string("ParentRef", "Object that holds the address.")],
        cells: ip_address,
    },
    Printer {
        group: "",
        kind: "Endpoints",
        columns: &[NAME, string("Endpoints", "Addresses and ports of ready endpoints."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), endpoints(o), age(o, now)],
    },
    Printer {
        group: "discovery.k8s.io",
        kind: "EndpointSlice",
        columns: &[
            NAME,
            string("AddressType", "Kind of the addresses."),
            string("Ports", "Ports of each endpoint."),
            string("Endpoints", "Addresses of the endpoints."),
            AGE,
        ],
        cells: endpoint_slice,
    },
];

/// How many addresses, hosts or ports are shown before the rest is only counted.
const SHOWN: usize = 3;

fn service(o: &Value, now: Timestamp) -> Vec<Value> {
    let ips = items(o, "spec.clusterIPs");
    let cluster_ip = ips.first().and_then(Value::as_str).unwrap_or(text(o, "spec.clusterIP"));
    cells![
        text(o, "metadata.name"),
        text(o, "spec.type"),
        or(cluster_ip, "<none>"),
        external_ip(o),
        ports(o),
        age(o, now),
        labels(o, "spec.selector"),
    ]
}

fn external_ip(o: &Value) -> String {
    let mut external = strings(o, "spec.externalIPs");
    match text(o, "spec.type") {
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external.join(","),
        "LoadBalancer" => {
            let balancer = load_balancer(o);
            match (balancer.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (true, false) => external.join(","),
                (false, _) => {
                    external.insert(0, &balancer);
                    external.join(",")
                }
            }
        }
        "ExternalName" => text(o, "spec.externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses, or else host names, of a load balancer: sorted, each once.
fn load_balancer(o: &Value) -> String {
    let points: BTreeSet<&str> = items(o, "status.loadBalancer.ingress")
        .iter()
        .map(|point| filled_or(point, "ip", text(point, "hostname")))
        .filter(|address| !address.is_empty())
        .collect();
    points.into_iter().collect::<Vec<_>>().join(",")
}

fn ports(o: &Value) -> String {
    let port = |p: &Value| {
        let (port, node, protocol) = (number(p, "port"), number(p, "nodePort"), text(p, "protocol"));
        match node > 0 {
            true => format!("{port}:{node}/{protocol}"),
            false => format!("{port}/{protocol}"),
        }
    };
    let ports: Vec<String> = items(o, "spec.ports").iter().map(port).collect();
    if ports.is_empty() { "<none>".to_owned() } else { ports.join(",") }
}

fn ingress(o: &Value, now: Timestamp) -> Vec<Value> {
    cells![
        text(o, "metadata.name"),
        text_or(o, "spec.ingressClassName", "<none>"),
        hosts(items(o, "spec.rules")),
        load_balancer(o),
        if items(o, "spec.tls").is_empty() { "80" } else { "80, 443" },
        age(o, now),
    ]
}

/// The first hosts. What is left over counts rules, not hosts: a rule for any host counts too.
fn hosts(rules: &[Value]) -> String {
    let mut hosts = Vec::new();
    let mut more = false;
    for rule in rules {
        more = hosts.len() == SHOWN;
        if more {
            break;
        }
        let host = text(rule, "host");
        if !host.is_empty() {
            hosts.push(host);
        }
    }
    match (hosts.is_empty(), more) {
        (true, _) => "*".to_owned(),
        (false, true) => format!("{} + {} more...", hosts.join(","), rules.len().saturating_sub(SHOWN)),
        (false, false) => hosts.join(","),
    }
}

fn ingress_class(o: &Value, now: Timestamp) -> Vec<Value> {
    let default =
        entry(o, "metadata.annotations", "ingressclass.kubernetes.io/is-default-class") == Some("true");
    let parameters = at(o, "spec.parameters");
    let parameters = match parameters.is_object() {
        true => {
            let kind = match at(parameters, "apiGroup").as_str() {
                Some(group) => format!("{}.{group}", text(parameters, "kind")),
                None => text(parameters, "kind").to_owned(),
            };
            format!("{kind}/{}", text(parameters, "name"))
        }
        false => "<none>".to_owned(),
    };
    cells![
        format!("{}{}", text(o, "metadata.name"), if default { " (default)" } else { "" }),
        text(o, "spec.controller"),
        parameters,
        age(o, now),
    ]
}

fn ip_address(o: &Value, now: Timestamp) -> Vec<Value> {
    let parent = at(o, "spec.parentRef");
    let reference = match parent.is_object() {
        true => {
            let mut parts = vec![qualified(text(parent, "resource"), text(parent, "group")).to_lowercase()];
            parts.extend(Some(text(parent, "namespace").to_owned()).filter(|n| !n.is_empty()));
            parts.push(text(parent, "name").to_owned());
            parts.join("/")
        }
        false => "<none>".to_owned(),
    };
    // One cell more than there are columns, see `tables::row`.
    cells![text(o, "metadata.name"), reference, age(o, now)]
}

fn endpoints(o: &Value) -> String {
    let subsets = items(o, "subsets");
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut shown = Vec::new();
    let mut count = 0;
    for subset in subsets {
        let addresses = items(subset, "addresses");
        let ports = items(subset, "ports");
        // A headless service may have no ports: its addresses stand alone, once.
        let suffixes: Vec<Option<i64>> = match ports {
            [] => vec![None],
            ports => ports.iter().map(|p| Some(number(p, "port"))).collect(),
        };
        for port in suffixes {
            count += addresses.len();
            let room = SHOWN - shown.len();
            shown.extend(addresses.iter().take(room).map(|a| address(text(a, "ip"), port)));
        }
    }
    let more = count - shown.len();
    if more == 0 { shown.join(",") } else { format!("{} + {more} more...", shown.join(",")) }
}

fn address(ip: &str, port: Option<i64>) -> String {
    match port {
        None => ip.to_owned(),
        Some(port) if ip.contains(':') => format!("[{ip}]:{port}"),
        Some(port) => format!("{ip}:{port}"),
    }
}

fn endpoint_slice(o: &Value, now: Timestamp) -> Vec<Value> {
    let port = |p: &Value| match at(p, "port").as_i64() {
        Some(number) => number.to_string(),
        None => text_or(p, "name", "*").to_owned(),
    };
    let addresses = items(o, "endpoints").iter().flat_map(|e| strings(e, "addresses"));
    cells![
        text(o, "metadata.name"),
        text(o, "addressType"),
        some_of(items(o, "ports").iter().map(port), SHOWN),
        some_of(addresses, SHOWN),
        age(o, now),
    ]
}
