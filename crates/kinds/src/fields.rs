//! Field selectors: which fields a kind can be selected by, and what an object has in them.
//!
//! The API server knows a short list of fields a kind; any other is a 400 BadRequest. Its message is
//! [`UnsupportedField`] alone: the words `Unable to find "/v1, Resource=pods" that match label selector
//! …` that users see before it are kubectl's.

use kiban_base::selector::{FieldRequirement, FieldSelector};
use serde_json::Value;

use crate::tables::cell::{at, filled_or, flag, items, number, text};

/// A field that objects of a kind cannot be selected by. The wording differs by kind, as in the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsupportedField {
    /// Kinds with fields of their own.
    #[error("field label not supported: {0}")]
    Plain(String),
    /// Jobs.
    #[error("field label {0:?} not supported for batchv1.Job")]
    Job(String),
    /// Kinds that are named in full.
    #[error("field label not supported for {kind}: {field}")]
    OfKind {
        /// `group/version, Kind=kind`.
        kind: String,
        /// The field.
        field: String,
    },
    /// Kinds that have nothing but a name and a namespace.
    #[error("{0:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")]
    MetadataOnly(String),
}

/// Checks a selector against the kind and gives it with the names that [`extract`] uses.
///
/// # Errors
/// The first field that the kind does not support.
pub fn supported(
    group: &str,
    version: &str,
    kind: &str,
    selector: &FieldSelector,
) -> Result<FieldSelector, UnsupportedField> {
    let mut terms = Vec::new();
    for requirement in selector.requirements() {
        let field = resolve(group, version, kind, &requirement.field)?.to_owned();
        terms.push(FieldRequirement { field, ..requirement.clone() }.to_string());
    }
    // What a requirement prints can be read again.
    Ok(FieldSelector::parse(&terms.join(",")).unwrap_or_else(|_| selector.clone()))
}

/// The name under which [`extract`] gives a field that a client selects by. Two kinds have other
/// names for their clients: `spec.host` of a Pod, and `regarding.*` of an Event of events.k8s.io.
///
/// # Errors
/// The API server's message for a field that the kind does not support.
pub fn resolve(
    group: &str,
    version: &str,
    kind: &str,
    field: &str,
) -> Result<&'static str, UnsupportedField> {
    let Some(fields) = find(group, kind) else {
        let known = METADATA.iter().copied().find(|name| *name == field);
        return known.ok_or_else(|| UnsupportedField::MetadataOnly(field.to_owned()));
    };
    if let Some(name) = fields.names.iter().copied().find(|name| *name == field) {
        return Ok(name);
    }
    if let Some((_, name)) = fields.aliases.iter().find(|(alias, _)| *alias == field) {
        return Ok(name);
    }
    let field = field.to_owned();
    Err(match fields.refusal {
        Refusal::Plain => UnsupportedField::Plain(field),
        Refusal::Job => UnsupportedField::Job(field),
        Refusal::OfKind => {
            UnsupportedField::OfKind { kind: format!("{group}/{version}, Kind={kind}"), field }
        }
    })
}

/// The fields of an object that clients can select by. One that is not given is empty:
/// `status.podIPs` always, which the API accepts and compares with nothing.
pub fn extract(group: &str, kind: &str, object: &Value) -> Vec<(&'static str, String)> {
    let mut out = Vec::with_capacity(12);
    for name in METADATA {
        let value = text(object, name);
        if !value.is_empty() {
            out.push((*name, value.to_owned()));
        }
    }
    if let Some(fields) = find(group, kind) {
        out.extend((fields.values)(object));
    }
    out
}

/// What one kind can be selected by.
struct Fields {
    group: &'static str,
    kind: &'static str,
    /// Names that clients may use, and [`extract`] too.
    names: &'static [&'static str],
    /// Names that clients may use, and what they mean.
    aliases: &'static [(&'static str, &'static str)],
    refusal: Refusal,
    /// All but the metadata.
    values: fn(&Value) -> Vec<(&'static str, String)>,
}

#[derive(Debug, Clone, Copy)]
enum Refusal {
    Plain,
    Job,
    OfKind,
}

const NAME: &str = "metadata.name";
const NAMESPACE: &str = "metadata.namespace";
/// Fields of every kind that is not listed in [`FIELDS`].
const METADATA: &[&str] = &[NAME, NAMESPACE];

// ReplicaSets are not here: the API server keeps their status.replicas but refuses to select by it.
static FIELDS: &[Fields] = &[
    Fields {
        group: "",
        kind: "Pod",
        names: &[
            NAME,
            NAMESPACE,
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ],
        aliases: &[("spec.host", "spec.nodeName")],
        refusal: Refusal::Plain,
        values: pod,
    },
    Fields {
        group: "",
        kind: "Node",
        names: &[NAME, "spec.unschedulable"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| vec![("spec.unschedulable", flag(o, "spec.unschedulable", false).to_string())],
    },
    Fields {
        group: "",
        kind: "ReplicationController",
        names: &[NAME, NAMESPACE, "status.replicas"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| vec![("status.replicas", number(o, "status.replicas").to_string())],
    },
    Fields {
        group: "",
        kind: "Namespace",
        names: &[NAME, "status.phase"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| strings(o, &["status.phase"]),
    },
    Fields {
        group: "",
        kind: "Secret",
        names: &[NAME, NAMESPACE, "type"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| strings(o, &["type"]),
    },
    Fields {
        group: "",
        kind: "Service",
        names: &[NAME, NAMESPACE, "spec.clusterIP", "spec.type"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| strings(o, &["spec.clusterIP", "spec.type"]),
    },
    Fields {
        group: "",
        kind: "Event",
        names: &[
            NAME,
            NAMESPACE,
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
        ],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| event(o, "involvedObject", "source", "reportingComponent"),
    },
    Fields {
        group: "events.k8s.io",
        kind: "Event",
        names: &[NAME, NAMESPACE, "reason", "source", "type"],
        aliases: &[
            ("regarding.kind", "involvedObject.kind"),
            ("regarding.namespace", "involvedObject.namespace"),
            ("regarding.name", "involvedObject.name"),
            ("regarding.uid", "involvedObject.uid"),
            ("regarding.apiVersion", "involvedObject.apiVersion"),
            ("regarding.resourceVersion", "involvedObject.resourceVersion"),
            ("regarding.fieldPath", "involvedObject.fieldPath"),
            ("reportingController", "reportingComponent"),
        ],
        refusal: Refusal::Plain,
        values: |o| event(o, "regarding", "deprecatedSource", "reportingController"),
    },
    Fields {
        group: "batch",
        kind: "Job",
        names: &[NAME, NAMESPACE, "status.successful"],
        aliases: &[],
        refusal: Refusal::Job,
        values: |o| vec![("status.successful", number(o, "status.succeeded").to_string())],
    },
    Fields {
        group: "certificates.k8s.io",
        kind: "CertificateSigningRequest",
        names: &[NAME, "spec.signerName"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| strings(o, &["spec.signerName"]),
    },
    Fields {
        group: "certificates.k8s.io",
        kind: "ClusterTrustBundle",
        names: &[NAME, "spec.signerName"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| strings(o, &["spec.signerName"]),
    },
    Fields {
        group: "certificates.k8s.io",
        kind: "PodCertificateRequest",
        names: &[NAME, "spec.signerName", "spec.podName", "spec.nodeName"],
        aliases: &[],
        refusal: Refusal::Plain,
        values: |o| strings(o, &["spec.signerName", "spec.podName", "spec.nodeName"]),
    },
    Fields {
        group: "resource.k8s.io",
        kind: "ResourceSlice",
        names: &[NAME, "spec.nodeName", "spec.driver"],
        aliases: &[],
        refusal: Refusal::OfKind,
        values: |o| strings(o, &["spec.nodeName", "spec.driver"]),
    },
];

fn find(group: &str, kind: &str) -> Option<&'static Fields> {
    FIELDS.iter().find(|f| f.kind == kind && f.group == group)
}

/// Fields whose name is their path.
fn strings(object: &Value, names: &[&'static str]) -> Vec<(&'static str, String)> {
    names.iter().map(|name| (*name, text(object, name).to_owned())).collect()
}

fn pod(object: &Value) -> Vec<(&'static str, String)> {
    let mut out = strings(
        object,
        &[
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "status.phase",
            "status.nominatedNodeName",
        ],
    );
    let ips = items(object, "status.podIPs");
    let ip = ips.first().map_or(text(object, "status.podIP"), |ip| text(ip, "ip"));
    out.push(("status.podIP", ip.to_owned()));
    out.push(("spec.hostNetwork", flag(object, "spec.hostNetwork", false).to_string()));
    out
}

/// An event, whose two groups keep the object, the old source and the reporter in different places.
fn event(object: &Value, about: &str, source: &str, reporter: &str) -> Vec<(&'static str, String)> {
    let about = at(object, about);
    let reporter = text(object, reporter);
    let reference = |key: &str| text(about, key).to_owned();
    vec![
        ("involvedObject.kind", reference("kind")),
        ("involvedObject.namespace", reference("namespace")),
        ("involvedObject.name", reference("name")),
        ("involvedObject.uid", reference("uid")),
        ("involvedObject.apiVersion", reference("apiVersion")),
        ("involvedObject.resourceVersion", reference("resourceVersion")),
        ("involvedObject.fieldPath", reference("fieldPath")),
        ("reason", text(object, "reason").to_owned()),
        ("reportingComponent", reporter.to_owned()),
        ("source", filled_or(at(object, source), "component", reporter).to_owned()),
        ("type", text(object, "type").to_owned()),
    ]
}

#[cfg(test)]
mod tests;
