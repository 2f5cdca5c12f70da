//! The table of kinds: which checks are whose.

use serde_json::Value;

use super::at::At;
use super::cause::Causes;
use super::meta::Names;
use super::net::canonical_ip;
use super::{
    Change, admission, apps, batch, claim, cluster, config, limits, meta, networking, pod, pod_update,
    policy, rbac, service, storage,
};

type Create = fn(&At<'_, '_>, &mut Causes);
type Update = fn(&Row, &Value, &At<'_, '_>, &mut Causes);

/// The checks of one kind.
pub(crate) struct Row {
    group: &'static str,
    kind: &'static str,
    /// Whether its objects lie in namespaces; unknown for kinds that are not built in.
    pub(crate) namespaced: Option<bool>,
    /// The rule for its names.
    pub(crate) names: Names,
    /// Whether an update has to say which version it replaces.
    pub(crate) conditional: bool,
    /// Checks of a new object.
    pub(crate) create: Create,
    /// Checks of an object in an old one's place.
    pub(crate) update: Update,
    /// What an update may not change, for [`recheck`].
    change: Change,
    /// Checks of a status.
    pub(crate) status: Change,
}

type MetaCreate = fn(&At<'_, '_>, Option<bool>, Names, &mut Causes);
type MetaUpdate = fn(&Value, &At<'_, '_>, bool, &mut Causes);

impl Row {
    /// Kinds that extend the API take any name for a finalizer.
    fn extends_the_api(&self) -> bool {
        matches!(self.group, "apiextensions.k8s.io" | "apiregistration.k8s.io")
    }

    /// The check of a new object's metadata.
    pub(crate) fn meta_create(&self) -> MetaCreate {
        if self.extends_the_api() { meta::create_any } else { meta::create }
    }

    /// The check of metadata that takes an old one's place.
    pub(crate) fn meta_update(&self) -> MetaUpdate {
        if self.extends_the_api() { meta::update_any } else { meta::update }
    }
}

fn anything(_: &At<'_, '_>, _: &mut Causes) {}
fn any_change(_: &Value, _: &At<'_, '_>, _: &mut Causes) {}

/// The usual update: what may not change, and the checks of a new object.
fn recheck(row: &Row, old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    (row.create)(at, out);
    (row.change)(old, at, out);
}

/// An update that has all its checks in `change`.
fn only_change(row: &Row, old: &Value, at: &At<'_, '_>, out: &mut Causes) {
    (row.change)(old, at, out);
}

const BASE: Row = Row {
    group: "",
    kind: "",
    namespaced: Some(true),
    names: Names::Subdomain,
    conditional: false,
    create: anything,
    update: recheck,
    change: any_change,
    status: any_change,
};

const fn space(group: &'static str, kind: &'static str, create: Create) -> Row {
    Row { group, kind, create, ..BASE }
}

const fn wide(group: &'static str, kind: &'static str, create: Create) -> Row {
    Row { namespaced: Some(false), ..space(group, kind, create) }
}

impl Row {
    const fn named(self, names: Names) -> Row {
        Row { names, ..self }
    }

    const fn change(self, change: Change) -> Row {
        Row { change, ..self }
    }

    const fn only_change(self, change: Change) -> Row {
        Row { change, update: only_change, ..self }
    }

    const fn status(self, status: Change) -> Row {
        Row { status, ..self }
    }

    const fn conditional(self) -> Row {
        Row { conditional: true, ..self }
    }
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const APPS: &str = "apps";
const AUTOSCALING: &str = "autoscaling";
const BATCH: &str = "batch";
const CERTIFICATES: &str = "certificates.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";
const FLOWCONTROL: &str = "flowcontrol.apiserver.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const POLICY: &str = "policy";
const RBAC: &str = "rbac.authorization.k8s.io";
const RESOURCE: &str = "resource.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";
const STORAGE: &str = "storage.k8s.io";

const OTHER: Row = Row { namespaced: None, ..BASE };

#[rustfmt::skip]
const ROWS: &[Row] = &[
    space("", "ConfigMap", config::config_map).change(config::config_map_update),
    space("", "Endpoints", cluster::endpoints),
    space("", "Event", cluster::event),
    space("", "LimitRange", limits::limit_range),
    wide("", "Namespace", cluster::namespace).named(Names::Label).only_change(any_change).status(cluster::namespace_status),
    wide("", "Node", cluster::node).change(cluster::node_update).status(cluster::node_status),
    wide("", "PersistentVolume", claim::persistent_volume).change(claim::persistent_volume_update),
    space("", "PersistentVolumeClaim", claim::claim).change(claim::claim_update),
    space("", "Pod", pod::create).only_change(pod_update::update).status(pod_update::status),
    space("", "PodTemplate", apps::pod_template),
    space("", "ReplicationController", apps::replication_controller).status(apps::replica_set_status),
    space("", "ResourceQuota", limits::resource_quota).change(limits::resource_quota_update).status(limits::quota_status),
    space("", "Secret", config::secret).change(config::secret_update),
    space("", "Service", service::service).named(Names::Label).change(service::update).status(service::status),
    space("", "ServiceAccount", anything),
    wide(ADMISSION, "MutatingAdmissionPolicy", anything),
    wide(ADMISSION, "MutatingAdmissionPolicyBinding", anything),
    wide(ADMISSION, "MutatingWebhookConfiguration", admission::mutating).conditional(),
    wide(ADMISSION, "ValidatingAdmissionPolicy", anything),
    wide(ADMISSION, "ValidatingAdmissionPolicyBinding", anything),
    wide(ADMISSION, "ValidatingWebhookConfiguration", admission::validating).conditional(),
    wide("apiextensions.k8s.io", "CustomResourceDefinition", admission::definition)
        .change(admission::definition_update).conditional(),
    wide("apiregistration.k8s.io", "APIService", admission::api_service).named(Names::Segment).conditional(),
    space(APPS, "ControllerRevision", apps::controller_revision).change(apps::controller_revision_update),
    space(APPS, "DaemonSet", apps::daemon_set).change(apps::immutable_selector).status(apps::daemon_set_status),
    space(APPS, "Deployment", apps::deployment).change(apps::immutable_selector).status(apps::deployment_status),
    space(APPS, "ReplicaSet", apps::replica_set).change(apps::immutable_selector).status(apps::replica_set_status),
    space(APPS, "StatefulSet", apps::stateful_set).named(Names::Label)
        .change(apps::stateful_set_update).status(apps::stateful_set_status),
    space(AUTOSCALING, "HorizontalPodAutoscaler", policy::autoscaler)
        .only_change(policy::autoscaler_update).status(policy::autoscaler_status),
    space(BATCH, "CronJob", batch::cron_job).only_change(batch::cron_job_update),
    space(BATCH, "Job", batch::job).only_change(batch::job_update).status(batch::job_status),
    wide(CERTIFICATES, "CertificateSigningRequest", cluster::signing_request).change(cluster::signing_request_update),
    wide(CERTIFICATES, "ClusterTrustBundle", anything).named(Names::Segment),
    space(CERTIFICATES, "PodCertificateRequest", anything),
    space(COORDINATION, "Lease", cluster::lease).conditional(),
    space(COORDINATION, "LeaseCandidate", anything),
    space(DISCOVERY, "EndpointSlice", cluster::endpoint_slice).change(cluster::endpoint_slice_update),
    space("events.k8s.io", "Event", anything),
    wide(FLOWCONTROL, "FlowSchema", anything),
    wide(FLOWCONTROL, "PriorityLevelConfiguration", anything),
    wide(NETWORKING, "IPAddress", networking::ip_address).named(Names::Own(canonical_ip))
        .only_change(networking::ip_address_update),
    space(NETWORKING, "Ingress", networking::ingress_create).only_change(|_, at, out| networking::ingress(at, out))
        .status(networking::ingress_status),
    wide(NETWORKING, "IngressClass", networking::ingress_class).change(networking::ingress_class_update),
    space(NETWORKING, "NetworkPolicy", networking::network_policy),
    wide(NETWORKING, "ServiceCIDR", networking::service_cidr).only_change(networking::service_cidr_update),
    wide("node.k8s.io", "RuntimeClass", cluster::runtime_class).change(cluster::runtime_class_update).conditional(),
    space(POLICY, "PodDisruptionBudget", policy::disruption_budget).status(policy::disruption_budget_status).conditional(),
    wide(RBAC, "ClusterRole", rbac::cluster_role).named(Names::Segment),
    wide(RBAC, "ClusterRoleBinding", rbac::cluster_role_binding).named(Names::Segment).change(rbac::binding_update),
    space(RBAC, "Role", rbac::role).named(Names::Segment),
    space(RBAC, "RoleBinding", rbac::role_binding).named(Names::Segment).change(rbac::binding_update),
    wide(RESOURCE, "DeviceClass", anything),
    wide(RESOURCE, "DeviceTaintRule", anything),
    space(RESOURCE, "ResourceClaim", anything),
    space(RESOURCE, "ResourceClaimTemplate", anything),
    wide(RESOURCE, "ResourceSlice", anything),
    wide(SCHEDULING, "PriorityClass", cluster::priority_class).only_change(cluster::priority_class_update),
    space(SCHEDULING, "PodGroup", anything),
    space(SCHEDULING, "Workload", anything),
    wide(STORAGE, "CSIDriver", storage::driver).change(storage::driver_update).conditional(),
    wide(STORAGE, "CSINode", storage::csi_node).conditional(),
    space(STORAGE, "CSIStorageCapacity", storage::capacity).change(storage::capacity_update),
    wide(STORAGE, "StorageClass", storage::storage_class).only_change(storage::storage_class_update),
    wide(STORAGE, "VolumeAttachment", storage::attachment).change(storage::attachment_update).conditional(),
    wide(STORAGE, "VolumeAttributesClass", storage::attributes_class).only_change(storage::attributes_class_update),
    wide("internal.apiserver.k8s.io", "StorageVersion", anything),
    wide("storagemigration.k8s.io", "StorageVersionMigration", anything),
];

/// The row of a kind; for one that is not built in, a row that checks metadata alone.
pub(crate) fn row(group: &str, kind: &str) -> &'static Row {
    ROWS.iter().find(|row| row.kind == kind && row.group == group).unwrap_or(&OTHER)
}
