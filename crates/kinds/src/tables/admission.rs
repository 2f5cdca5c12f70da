//! Who may do what, and what is checked on the way in: rbac, admission, certificates, flow control
//! and aggregation.

use kiban_base::clock::Timestamp;
use serde_json::Value;

use super::cell::{age, at, cells, condition, filled_or, human_duration, items, number, text};
use super::selector::{debug, labels};
use super::{AGE, Column, NAME, Printer, integer, string};

pub(super) static PRINTERS: &[Printer] = &[
    Printer { group: RBAC, kind: "RoleBinding", columns: BINDING, cells: role_binding },
    Printer { group: RBAC, kind: "ClusterRoleBinding", columns: BINDING, cells: role_binding },
    Printer { group: ADMISSION, kind: "MutatingWebhookConfiguration", columns: WEBHOOKS, cells: webhooks },
    Printer { group: ADMISSION, kind: "ValidatingWebhookConfiguration", columns: WEBHOOKS, cells: webhooks },
    Printer {
        group: ADMISSION,
        kind: "ValidatingAdmissionPolicy",
        columns: &[
            NAME,
            integer("Validations", "Number of rules."),
            string("ParamKind", "Kind of the policy's parameters."),
            AGE,
        ],
        cells: |o, now| policy(o, "spec.validations", now),
    },
    Printer {
        group: ADMISSION,
        kind: "MutatingAdmissionPolicy",
        columns: &[
            NAME,
            integer("Mutations", "Number of rules."),
            string("ParamKind", "Kind of the policy's parameters."),
            AGE,
        ],
        cells: |o, now| policy(o, "spec.mutations", now),
    },
    Printer {
        group: ADMISSION,
        kind: "ValidatingAdmissionPolicyBinding",
        columns: POLICY_BINDING,
        cells: policy_binding,
    },
    Printer {
        group: ADMISSION,
        kind: "MutatingAdmissionPolicyBinding",
        columns: POLICY_BINDING,
        cells: policy_binding,
    },
    Printer {
        group: CERTIFICATES,
        kind: "CertificateSigningRequest",
        columns: &[
            NAME,
            AGE,
            string("SignerName", "Signer that is asked."),
            string("Requestor", "User who asks."),
            string("RequestedDuration", "How long the certificate ought to last."),
            string("Condition", "What was decided, and whether it was done."),
        ],
        cells: signing_request,
    },
    Printer {
        group: CERTIFICATES,
        kind: "ClusterTrustBundle",
        columns: &[NAME, string("SignerName", "Signer whose roots these are.")],
        cells: |o, _| cells![text(o, "metadata.name"), filled_or(o, "spec.signerName", "<none>")],
    },
    Printer {
        group: CERTIFICATES,
        kind: "PodCertificateRequest",
        columns: &[
            NAME,
            string("PodName", "Pod that the certificate is for."),
            string("ServiceAccountName", "Service account of the pod."),
            string("NodeName", "Node of the pod."),
            string("SignerName", "Signer that is asked."),
            string("State", "Pending, Issued, Denied or Failed."),
            string("UnverifiedUserAnnotations", "What the pod tells the signer, unchecked."),
        ],
        cells: pod_certificate_request,
    },
    Printer {
        group: FLOW,
        kind: "FlowSchema",
        columns: &[
            NAME,
            string("PriorityLevel", "Priority level of the requests."),
            string("MatchingPrecedence", "Place among the schemas; the lowest that matches wins."),
            string("DistinguisherMethod", "What tells the flows apart."),
            AGE,
            string("MissingPL", "Whether the priority level is missing."),
        ],
        cells: flow_schema,
    },
    Printer {
        group: FLOW,
        kind: "PriorityLevelConfiguration",
        columns: &[
            NAME,
            string("Type", "Whether requests are limited."),
            string("NominalConcurrencyShares", "Share of the server's concurrency."),
            string("Queues", "Number of queues."),
            string("HandSize", "Queues that one flow may use."),
            string("QueueLengthLimit", "Requests that may wait in one queue."),
            AGE,
        ],
        cells: priority_level,
    },
    Printer {
        group: "apiregistration.k8s.io",
        kind: "APIService",
        columns: &[
            NAME,
            string("Service", "Service behind the API, or Local."),
            string("Available", "Whether the API answers."),
            AGE,
        ],
        cells: api_service,
    },
];

const RBAC: &str = "rbac.authorization.k8s.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const FLOW: &str = "flowcontrol.apiserver.k8s.io";

const BINDING: &[Column] = &[
    NAME,
    string("Role", "Role that is given."),
    AGE,
    string("Users", "Users who get it.").wide(),
    string("Groups", "Groups that get it.").wide(),
    string("ServiceAccounts", "Service accounts that get it.").wide(),
];

const WEBHOOKS: &[Column] = &[NAME, integer("Webhooks", "Number of webhooks."), AGE];

const POLICY_BINDING: &[Column] = &[
    NAME,
    string("PolicyName", "Policy that is bound."),
    string("ParamRef", "Parameters that the policy gets."),
    AGE,
];

fn role_binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let subjects = |kind: &str, show: fn(&Value) -> String| {
        let of_kind = items(o, "subjects").iter().filter(|s| text(s, "kind") == kind);
        of_kind.map(show).collect::<Vec<_>>().join(", ")
    };
    let name = |s: &Value| text(s, "name").to_owned();
    cells![
        text(o, "metadata.name"),
        format!("{}/{}", text(o, "roleRef.kind"), text(o, "roleRef.name")),
        age(o, now),
        subjects("User", name),
        subjects("Group", name),
        subjects("ServiceAccount", |s| format!("{}/{}", text(s, "namespace"), text(s, "name"))),
    ]
}

fn webhooks(o: &Value, now: Timestamp) -> Vec<Value> {
    cells![text(o, "metadata.name"), items(o, "webhooks").len(), age(o, now)]
}

fn policy(o: &Value, rules: &str, now: Timestamp) -> Vec<Value> {
    let kind = at(o, "spec.paramKind");
    let kind = match kind.is_object() {
        true => format!("{}/{}", text(kind, "apiVersion"), text(kind, "kind")),
        false => "<unset>".to_owned(),
    };
    cells![text(o, "metadata.name"), items(o, rules).len(), kind, age(o, now)]
}

fn policy_binding(o: &Value, now: Timestamp) -> Vec<Value> {
    let reference = at(o, "spec.paramRef");
    let name = text(reference, "name");
    let reference = match at(reference, "selector") {
        // Whether the parameter lies in a namespace at all cannot be told from here.
        _ if !name.is_empty() => format!("{}/{name}", filled_or(reference, "namespace", "*")),
        selector @ Value::Object(_) => debug(selector),
        _ => "<unset>".to_owned(),
    };
    cells![text(o, "metadata.name"), text(o, "spec.policyName"), reference, age(o, now)]
}

fn signing_request(o: &Value, now: Timestamp) -> Vec<Value> {
    let duration = match at(o, "spec.expirationSeconds").as_i64() {
        Some(seconds) => human_duration(seconds.saturating_mul(1_000_000)),
        None => "<none>".to_owned(),
    };
    cells![
        text(o, "metadata.name"),
        age(o, now),
        filled_or(o, "spec.signerName", "<none>"),
        text(o, "spec.username"),
        duration,
        signing_state(o),
    ]
}

fn signing_state(o: &Value) -> String {
    let has = |type_| condition(o, "status.conditions", type_).is_some();
    let decision = match () {
        () if has("Denied") => "Denied",
        () if has("Approved") => "Approved",
        () => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if text(o, "status.certificate").is_empty() { "" } else { ",Issued" };
    format!("{decision}{failed}{issued}")
}

fn pod_certificate_request(o: &Value, _: Timestamp) -> Vec<Value> {
    let state = items(o, "status.conditions")
        .iter()
        .map(|c| text(c, "type"))
        .rfind(|type_| matches!(*type_, "Issued" | "Denied" | "Failed"));
    cells![
        text(o, "metadata.name"),
        text(o, "spec.podName"),
        text(o, "spec.serviceAccountName"),
        text(o, "spec.nodeName"),
        text(o, "spec.signerName"),
        state.unwrap_or("Pending"),
        labels(o, "spec.unverifiedUserAnnotations"),
    ]
}

fn flow_schema(o: &Value, now: Timestamp) -> Vec<Value> {
    let method = at(o, "spec.distinguisherMethod");
    cells![
        text(o, "metadata.name"),
        text(o, "spec.priorityLevelConfiguration.name"),
        number(o, "spec.matchingPrecedence"),
        if method.is_object() { text(method, "type") } else { "<none>" },
        age(o, now),
        condition(o, "status.conditions", "Dangling").map_or("?", |c| text(c, "status")),
    ]
}

fn priority_level(o: &Value, now: Timestamp) -> Vec<Value> {
    let none = || Value::from("<none>");
    let limited = at(o, "spec.limited");
    let shares = match limited.is_object() {
        true => Value::from(number(limited, "nominalConcurrencyShares")),
        false => none(),
    };
    let queuing = at(limited, "limitResponse.queuing");
    let queuing = |key| if queuing.is_object() { Value::from(number(queuing, key)) } else { none() };
    cells![
        text(o, "metadata.name"),
        text(o, "spec.type"),
        shares,
        queuing("queues"),
        queuing("handSize"),
        queuing("queueLengthLimit"),
        age(o, now),
    ]
}

fn api_service(o: &Value, now: Timestamp) -> Vec<Value> {
    let service = at(o, "spec.service");
    let service = match service.is_object() {
        true => format!("{}/{}", text(service, "namespace"), text(service, "name")),
        false => "Local".to_owned(),
    };
    let available = match condition(o, "status.conditions", "Available") {
        None => "Unknown".to_owned(),
        Some(c) => match (text(c, "status"), text(c, "reason")) {
            ("True", _) => "True".to_owned(),
            (status, "") => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
    };
    cells![text(o, "metadata.name"), service, available, age(o, now)]
}
