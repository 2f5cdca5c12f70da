//! The table of kinds: whose status is written apart, and what counts as a new generation.

use serde_json::{Value, json};

/// What makes a new generation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counts {
    /// The kind has no generations.
    Nothing,
    /// The first generation is the only one.
    Never,
    /// A change in this field.
    Field(&'static str),
    /// A change in the spec or in annotations.
    SpecAndAnnotations,
    /// A change in anything but metadata.
    AllButMetadata,
}

/// How a kind is written.
pub(crate) struct Strategy {
    group: &'static str,
    kind: &'static str,
    /// The status of a new object, for kinds whose status is a subresource.
    pub(crate) status: Option<fn() -> Value>,
    /// Whether a create may bring a status.
    pub(crate) keeps_status_on_create: bool,
    /// What makes a new generation.
    pub(crate) counts: Counts,
}

const fn with_status(
    group: &'static str,
    kind: &'static str,
    status: fn() -> Value,
    counts: Counts,
) -> Strategy {
    Strategy { group, kind, status: Some(status), keeps_status_on_create: false, counts }
}

const fn plain(group: &'static str, kind: &'static str, counts: Counts) -> Strategy {
    Strategy { group, kind, status: None, keeps_status_on_create: false, counts }
}

const SPEC: Counts = Counts::Field("spec");
const ADMISSION: &str = "admissionregistration.k8s.io";
const FLOWCONTROL: &str = "flowcontrol.apiserver.k8s.io";
const OTHER: Strategy = plain("", "", Counts::Nothing);

fn nothing() -> Value {
    json!({})
}
fn replicas() -> Value {
    json!({"replicas": 0})
}
fn load_balancer() -> Value {
    json!({"loadBalancer": {}})
}
fn pending() -> Value {
    json!({"phase": "Pending"})
}
fn active() -> Value {
    json!({"phase": "Active"})
}
fn daemon_set() -> Value {
    json!({"currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0})
}
fn budget() -> Value {
    json!({"currentHealthy": 0, "desiredHealthy": 0, "disruptionsAllowed": 0, "expectedPods": 0})
}
fn definition() -> Value {
    json!({"acceptedNames": {"kind": "", "plural": ""}, "conditions": null, "storedVersions": null})
}

#[rustfmt::skip]
const STRATEGIES: &[Strategy] = &[
    with_status("", "Namespace", active, Counts::Nothing),
    Strategy { keeps_status_on_create: true, ..with_status("", "Node", nothing, Counts::Nothing) },
    with_status("", "PersistentVolume", pending, Counts::Nothing),
    with_status("", "PersistentVolumeClaim", pending, Counts::Nothing),
    with_status("", "Pod", pending, SPEC),
    plain("", "PodTemplate", Counts::Field("template")),
    with_status("", "ReplicationController", replicas, SPEC),
    with_status("", "ResourceQuota", nothing, Counts::Nothing),
    with_status("", "Service", load_balancer, Counts::Nothing),
    plain(ADMISSION, "MutatingAdmissionPolicy", SPEC),
    plain(ADMISSION, "MutatingAdmissionPolicyBinding", SPEC),
    plain(ADMISSION, "MutatingWebhookConfiguration", Counts::Field("webhooks")),
    with_status(ADMISSION, "ValidatingAdmissionPolicy", nothing, SPEC),
    plain(ADMISSION, "ValidatingAdmissionPolicyBinding", SPEC),
    plain(ADMISSION, "ValidatingWebhookConfiguration", Counts::Field("webhooks")),
    with_status("apiextensions.k8s.io", "CustomResourceDefinition", definition, SPEC),
    with_status("apiregistration.k8s.io", "APIService", nothing, Counts::Nothing),
    with_status("apps", "DaemonSet", daemon_set, SPEC),
    with_status("apps", "Deployment", nothing, Counts::SpecAndAnnotations),
    with_status("apps", "ReplicaSet", replicas, SPEC),
    with_status("apps", "StatefulSet", || json!({"availableReplicas": 0, "replicas": 0}), SPEC),
    with_status("autoscaling", "HorizontalPodAutoscaler", || json!({"currentMetrics": null, "desiredReplicas": 0}), Counts::Nothing),
    with_status("batch", "CronJob", nothing, SPEC),
    with_status("batch", "Job", nothing, SPEC),
    with_status("certificates.k8s.io", "CertificateSigningRequest", nothing, Counts::Nothing),
    with_status("certificates.k8s.io", "PodCertificateRequest", nothing, Counts::Nothing),
    plain("discovery.k8s.io", "EndpointSlice", Counts::AllButMetadata),
    with_status(FLOWCONTROL, "FlowSchema", || json!({"conditions": null}), SPEC),
    with_status(FLOWCONTROL, "PriorityLevelConfiguration", || json!({"conditions": null}), SPEC),
    with_status("networking.k8s.io", "Ingress", load_balancer, SPEC),
    plain("networking.k8s.io", "IngressClass", SPEC),
    plain("networking.k8s.io", "NetworkPolicy", SPEC),
    with_status("networking.k8s.io", "ServiceCIDR", nothing, Counts::Nothing),
    with_status("policy", "PodDisruptionBudget", budget, SPEC),
    with_status("resource.k8s.io", "DeviceTaintRule", nothing, SPEC),
    plain("resource.k8s.io", "DeviceClass", SPEC),
    with_status("resource.k8s.io", "ResourceClaim", nothing, Counts::Nothing),
    plain("resource.k8s.io", "ResourceSlice", SPEC),
    plain("scheduling.k8s.io", "PriorityClass", Counts::Never),
    with_status("scheduling.k8s.io", "PodGroup", nothing, SPEC),
    plain("scheduling.k8s.io", "Workload", SPEC),
    with_status("internal.apiserver.k8s.io", "StorageVersion", nothing, Counts::Nothing),
    with_status("storage.k8s.io", "VolumeAttachment", || json!({"attached": false}), Counts::Nothing),
    with_status("storagemigration.k8s.io", "StorageVersionMigration", nothing, SPEC),
];

/// The row of a kind; for one that has none, a row that changes nothing.
pub(crate) fn strategy(group: &str, kind: &str) -> &'static Strategy {
    STRATEGIES.iter().find(|s| s.kind == kind && s.group == group).unwrap_or(&OTHER)
}
