//! Defaults that the API server fills in when an object is written.
//!
//! [`apply`] is upstream's `SetDefaults` of Kubernetes 1.37, with what its conversions and encoders add:
//! amounts in canonical form, the old name of the service account beside the new one, empty lists and
//! maps dropped where they are never written. Most defaults are rows of tables; the rest are
//! functions that the tables name. What needs more than the object (identities, other objects, time) is
//! in [`crate::prepare`].

use serde_json::Value;

mod amounts;
mod claims;
mod extension;
pub(crate) mod fill;
mod image;
mod network;
mod objects;
mod pod;
mod workload;

use fill::{Default, fill};

/// Fills in the defaults of a built-in kind; other kinds stay as they are. Twice is as good as once.
pub fn apply(group: &str, kind: &str, object: &mut Value) {
    if !object.is_object() {
        return;
    }
    if let Some(row) = ROWS.iter().find(|row| row.0 == group && row.1 == kind) {
        fill(object, row.2);
    }
    fill::drop_empty(object, "metadata", &["labels", "annotations", "finalizers", "ownerReferences"]);
}

type Row = (&'static str, &'static str, &'static [(&'static str, Default)]);

const ADMISSION: &str = "admissionregistration.k8s.io";

/// Which table is whose.
const ROWS: &[Row] = &[
    ("", "Endpoints", network::ENDPOINTS),
    ("", "LimitRange", objects::LIMIT_RANGE),
    ("", "Namespace", objects::NAMESPACE),
    ("", "Node", objects::NODE),
    ("", "PersistentVolume", claims::VOLUME),
    ("", "PersistentVolumeClaim", claims::CLAIM),
    ("", "Pod", pod::POD),
    ("", "PodTemplate", workload::POD_TEMPLATE),
    ("", "ReplicationController", workload::REPLICATION_CONTROLLER),
    ("", "ResourceQuota", objects::RESOURCE_QUOTA),
    ("", "Secret", objects::SECRET),
    ("", "Service", network::SERVICE),
    (ADMISSION, "MutatingAdmissionPolicy", extension::MUTATING_POLICY),
    (ADMISSION, "MutatingAdmissionPolicyBinding", extension::POLICY_BINDING),
    (ADMISSION, "MutatingWebhookConfiguration", extension::MUTATING),
    (ADMISSION, "ValidatingAdmissionPolicy", extension::POLICY),
    (ADMISSION, "ValidatingAdmissionPolicyBinding", extension::POLICY_BINDING),
    (ADMISSION, "ValidatingWebhookConfiguration", extension::VALIDATING),
    ("apiextensions.k8s.io", "CustomResourceDefinition", extension::DEFINITION),
    ("apiregistration.k8s.io", "APIService", extension::API_SERVICE),
    ("apps", "DaemonSet", workload::DAEMON_SET),
    ("apps", "Deployment", workload::DEPLOYMENT),
    ("apps", "ReplicaSet", workload::REPLICA_SET),
    ("apps", "StatefulSet", workload::STATEFUL_SET),
    ("autoscaling", "HorizontalPodAutoscaler", workload::AUTOSCALER),
    ("batch", "CronJob", workload::CRON_JOB),
    ("batch", "Job", workload::JOB),
    ("certificates.k8s.io", "PodCertificateRequest", objects::POD_CERTIFICATE_REQUEST),
    ("discovery.k8s.io", "EndpointSlice", network::ENDPOINT_SLICE),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", objects::FLOW_SCHEMA),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", objects::PRIORITY_LEVEL),
    ("networking.k8s.io", "IngressClass", network::INGRESS_CLASS),
    ("networking.k8s.io", "NetworkPolicy", network::NETWORK_POLICY),
    ("node.k8s.io", "RuntimeClass", objects::RUNTIME_CLASS),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", objects::ROLE_BINDING),
    ("rbac.authorization.k8s.io", "RoleBinding", objects::ROLE_BINDING),
    ("resource.k8s.io", "ResourceClaim", claims::RESOURCE_CLAIM),
    ("resource.k8s.io", "ResourceClaimTemplate", claims::RESOURCE_CLAIM_TEMPLATE),
    ("scheduling.k8s.io", "PriorityClass", objects::PRIORITY_CLASS),
    ("storage.k8s.io", "CSIDriver", claims::CSI_DRIVER),
    ("storage.k8s.io", "CSIStorageCapacity", claims::STORAGE_CAPACITY),
    ("storage.k8s.io", "StorageClass", claims::STORAGE_CLASS),
];

#[cfg(test)]
mod tests;
