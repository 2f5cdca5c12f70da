//! What a cluster is made of: nodes, namespaces, configuration, events, leases and classes.

use std::collections::BTreeSet;

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::cell::{
    age, at, cells, condition, filled_or, flag, items, map, number, or, quantity, since, size, text, time,
};
use super::{AGE, Column, NAME, Printer, boolean, integer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer {
        group: "",
        kind: "Node",
        columns: &[
            NAME,
            string("Status", "Whether the node is ready and takes pods."),
            string("Roles", "Roles that the node's labels give it."),
            AGE,
            string("Version", "Version of the kubelet."),
            string("Internal-IP", "First address inside the cluster's network.").wide(),
            string("External-IP", "First address that the outside reaches.").wide(),
            string("OS-Image", "Operating system.").wide(),
            string("Kernel-Version", "Kernel, and the machine's architecture.").wide(),
            string("Container-Runtime", "Container runtime and its version.").wide(),
        ],
        cells: node,
    },
    Printer {
        group: "",
        kind: "Namespace",
        columns: &[NAME, string("Status", "Active, or Terminating while it is emptied."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), text(o, "status.phase"), age(o, now)],
    },
    Printer { group: "", kind: "Event", columns: EVENT, cells: |o, now| event(o, &CORE_EVENT, now) },
    Printer {
        group: "events.k8s.io",
        kind: "Event",
        columns: EVENT,
        cells: |o, now| event(o, &EVENTS_EVENT, now),
    },
    Printer {
        group: "",
        kind: "ConfigMap",
        columns: &[NAME, string("Data", "Number of entries, text and binary."), AGE],
        cells: |o, now| {
            cells![text(o, "metadata.name"), size(o, "data") + size(o, "binaryData"), age(o, now)]
        },
    },
    Printer {
        group: "",
        kind: "Secret",
        columns: &[
            NAME,
            string("Type", "What the secret is for."),
            string("Data", "Number of entries."),
            AGE,
        ],
        cells: |o, now| cells![text(o, "metadata.name"), text(o, "type"), size(o, "data"), age(o, now)],
    },
    Printer { group: "", kind: "ServiceAccount", columns: NAME_AND_AGE, cells: name_and_age },
    Printer {
        group: "",
        kind: "ResourceQuota",
        columns: &[
            NAME,
            string("Request", "Used and allowed, of all that is no limit."),
            string("Limit", "Used and allowed, of limits."),
            AGE,
        ],
        cells: resource_quota,
    },
    Printer {
        group: "",
        kind: "ComponentStatus",
        columns: &[
            NAME,
            string("Status", "Whether the component is healthy."),
            string("Message", "What the component says."),
            string("Error", "Why it is not healthy."),
        ],
        cells: component_status,
    },
    Printer {
        group: "coordination.k8s.io",
        kind: "Lease",
        columns: &[NAME, string("Holder", "Who holds the lease."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), text(o, "spec.holderIdentity"), age(o, now)],
    },
    Printer {
        group: "coordination.k8s.io",
        kind: "LeaseCandidate",
        columns: &[
            NAME,
            string("LeaseName", "Lease that is contended for."),
            string("BinaryVersion", "Version of the candidate."),
            string("EmulationVersion", "Version that the candidate behaves as."),
            AGE,
        ],
        cells: |o, now| {
            cells![
                text(o, "metadata.name"),
                text(o, "spec.leaseName"),
                text(o, "spec.binaryVersion"),
                text(o, "spec.emulationVersion"),
                age(o, now),
            ]
        },
    },
    Printer {
        group: "scheduling.k8s.io",
        kind: "PriorityClass",
        columns: &[
            NAME,
            integer("Value", "Priority of the pods of the class."),
            boolean("Global-Default", "Whether pods that name no class get this one."),
            AGE,
            string("PreemptionPolicy", "Whether pods of the class push others away."),
        ],
        cells: |o, now| {
            cells![
                text(o, "metadata.name"),
                number(o, "value"),
                flag(o, "globalDefault", false),
                age(o, now),
                text(o, "preemptionPolicy"),
            ]
        },
    },
    Printer {
        group: "node.k8s.io",
        kind: "RuntimeClass",
        columns: &[NAME, string("Handler", "Name of the runtime's configuration on the node."), AGE],
        cells: |o, now| cells![text(o, "metadata.name"), text(o, "handler"), age(o, now)],
    },
];

/// Columns of kinds that show nothing of their own.
pub(super) const NAME_AND_AGE: &[Column] = &[NAME, AGE];

pub(super) fn name_and_age(o: &Value, now: Timestamp) -> Vec<Value> {
    cells![text(o, "metadata.name"), age(o, now)]
}

const EVENT: &[Column] = &[
    string("Last Seen", "Time since it last happened."),
    string("Type", "Normal or Warning."),
    string("Reason", "What happened, in one word."),
    string("Object", "Object that it happened to."),
    string("Subobject", "Part of the object.").wide(),
    string("Source", "Who reported it, and from where.").wide(),
    string("Message", "What happened, in a sentence."),
    string("First Seen", "Time since it first happened.").wide(),
    string("Count", "How often it happened.").wide(),
    Column { format: "name", ..string("Name", "Name of the event.").wide() },
];

fn node(o: &Value, now: Timestamp) -> Vec<Value> {
    let kernel = filled_or(o, "status.nodeInfo.kernelVersion", "<unknown>");
    let architecture = text(o, "status.nodeInfo.architecture");
    let kernel = match architecture.is_empty() {
        true => kernel.to_owned(),
        false => format!("{kernel} ({architecture})"),
    };
    let address = |type_: &str| {
        let found = items(o, "status.addresses").iter().find(|a| text(a, "type") == type_);
        found.map_or("<none>", |a| text(a, "address")).to_owned()
    };
    cells![
        text(o, "metadata.name"),
        node_status(o),
        node_roles(o),
        age(o, now),
        text(o, "status.nodeInfo.kubeletVersion"),
        address("InternalIP"),
        address("ExternalIP"),
        filled_or(o, "status.nodeInfo.osImage", "<unknown>"),
        kernel,
        filled_or(o, "status.nodeInfo.containerRuntimeVersion", "<unknown>"),
    ]
}

fn node_status(o: &Value) -> String {
    // Of two conditions of one type, the last counts here.
    let ready = items(o, "status.conditions").iter().rfind(|c| text(c, "type") == "Ready");
    let status = match ready.map(|c| text(c, "status")) {
        None => "Unknown",
        Some("True") => "Ready",
        Some(_) => "NotReady",
    };
    match flag(o, "spec.unschedulable", false) {
        true => format!("{status},SchedulingDisabled"),
        false => status.to_owned(),
    }
}

fn node_roles(o: &Value) -> String {
    let mut roles = BTreeSet::new();
    for (key, value) in map(o, "metadata.labels").into_iter().flatten() {
        let role = match key.strip_prefix("node-role.kubernetes.io/") {
            Some(role) => role,
            None if key == "kubernetes.io/role" => value.as_str().unwrap_or(""),
            None => "",
        };
        if !role.is_empty() {
            roles.insert(role);
        }
    }
    or(&roles.into_iter().collect::<Vec<_>>().join(","), "<none>").to_owned()
}

/// Where the two groups that serve Events keep the same things.
struct EventFields {
    object: &'static str,
    message: &'static str,
    source: &'static str,
    first: &'static str,
    last: &'static str,
    count: &'static str,
    controller: &'static str,
}

const CORE_EVENT: EventFields = EventFields {
    object: "involvedObject",
    message: "message",
    source: "source",
    first: "firstTimestamp",
    last: "lastTimestamp",
    count: "count",
    controller: "reportingComponent",
};

const EVENTS_EVENT: EventFields = EventFields {
    object: "regarding",
    message: "note",
    source: "deprecatedSource",
    first: "deprecatedFirstTimestamp",
    last: "deprecatedLastTimestamp",
    count: "deprecatedCount",
    controller: "reportingController",
};

fn event(o: &Value, fields: &EventFields, now: Timestamp) -> Vec<Value> {
    let first = at(o, fields.first);
    let first = since(if time(first).is_some() { first } else { at(o, "eventTime") }, now);
    let series = at(o, "series");
    let (last, count) = if series.is_object() {
        (since(at(series, "lastObservedTime"), now), number(series, "count"))
    } else {
        let last = at(o, fields.last);
        let last = if time(last).is_some() { since(last, now) } else { first.clone() };
        // An event that happened once says no count in the new form.
        (last, Some(number(o, fields.count)).filter(|n| *n != 0).unwrap_or(1))
    };
    let object = at(o, fields.object);
    let (kind, name) = (text(object, "kind").to_lowercase(), text(object, "name"));
    cells![
        last,
        text(o, "type"),
        text(o, "reason"),
        if name.is_empty() { kind } else { format!("{kind}/{name}") },
        text(object, "fieldPath"),
        event_source(o, fields),
        text(o, fields.message).trim(),
        first,
        count,
        text(o, "metadata.name"),
    ]
}

fn event_source(o: &Value, fields: &EventFields) -> String {
    let source = at(o, fields.source);
    let component = filled_or(source, "component", text(o, fields.controller));
    match filled_or(source, "host", text(o, "reportingInstance")) {
        "" => component.to_owned(),
        instance => format!("{component}, {instance}"),
    }
}

fn resource_quota(o: &Value, now: Timestamp) -> Vec<Value> {
    let used = at(o, "status.used");
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (resource, hard) in map(o, "status.hard").into_iter().flatten() {
        let used = quantity(used.get(resource).unwrap_or(&Value::Null));
        let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
        column.push(format!("{resource}: {used}/{}", quantity(hard)));
    }
    cells![text(o, "metadata.name"), requests.join(", "), limits.join(", "), age(o, now)]
}

fn component_status(o: &Value, _: Timestamp) -> Vec<Value> {
    let healthy = condition(o, "conditions", "Healthy");
    let status = match healthy.map(|c| text(c, "status")) {
        None => "Unknown",
        Some("True") => "Healthy",
        Some(_) => "Unhealthy",
    };
    let says = |key| healthy.map_or("", |c| text(c, key));
    cells![text(o, "metadata.name"), status, says("message"), says("error")]
}
