"""What discovery says of each built-in kind and no machine-readable source states.

One row a kind: group, version, kind, verbs, short names, categories, subresources. Plurals and
scopes come from k8s-openapi; a row whose verbs are empty is the body of a subresource or an
options object and has no collection of its own. Rows stand in the order of discovery: groups as
the aggregator sorts them (by the priority of their APIService), resources by name.
"""

ALL = "create delete deletecollection get list patch update watch"
NO_COLLECTION_DELETE = "create delete get list patch update watch"
CREATE = "create"
READ = "get list"
NONE = ""

CORE = [
    # kind, verbs, short names, categories, subresources
    ("Binding", CREATE, "", "", ""),
    ("ComponentStatus", READ, "cs", "", ""),
    ("ConfigMap", ALL, "cm", "", ""),
    ("Endpoints", ALL, "ep", "", ""),
    ("Event", ALL, "ev", "", ""),
    ("LimitRange", ALL, "limits", "", ""),
    ("Namespace", NO_COLLECTION_DELETE, "ns", "", "finalize status"),
    ("Node", ALL, "no", "", "proxy status"),
    ("PersistentVolumeClaim", ALL, "pvc", "", "status"),
    ("PersistentVolume", ALL, "pv", "", "status"),
    ("Pod", ALL, "po", "all",
     "attach binding ephemeralcontainers eviction exec log portforward proxy resize status"),
    ("PodTemplate", ALL, "", "", ""),
    ("ReplicationController", ALL, "rc", "all", "scale status"),
    ("ResourceQuota", ALL, "quota", "", "status"),
    ("Secret", ALL, "", "", ""),
    ("ServiceAccount", ALL, "sa", "", "token"),
    ("Service", ALL, "svc", "all", "proxy status"),
    ("PodAttachOptions", NONE, "", "", ""),
    ("PodExecOptions", NONE, "", "", ""),
    ("PodLogOptions", NONE, "", "", ""),
    ("PodPortForwardOptions", NONE, "", "", ""),
    ("PodProxyOptions", NONE, "", "", ""),
    ("NodeProxyOptions", NONE, "", "", ""),
    ("ServiceProxyOptions", NONE, "", "", ""),
    ("Status", NONE, "", "", ""),
    ("DeleteOptions", NONE, "", "", ""),
    ("ListOptions", NONE, "", "", ""),
    ("GetOptions", NONE, "", "", ""),
    ("CreateOptions", NONE, "", "", ""),
    ("UpdateOptions", NONE, "", "", ""),
    ("PatchOptions", NONE, "", "", ""),
]

GROUPS = [
    ("", "v1", CORE),
    ("apiregistration.k8s.io", "v1", [
        ("APIService", ALL, "", "api-extensions", "status"),
    ]),
    ("apps", "v1", [
        ("ControllerRevision", ALL, "", "", ""),
        ("DaemonSet", ALL, "ds", "all", "status"),
        ("Deployment", ALL, "deploy", "all", "scale status"),
        ("ReplicaSet", ALL, "rs", "all", "scale status"),
        ("StatefulSet", ALL, "sts", "all", "scale status"),
    ]),
    ("events.k8s.io", "v1", [
        ("Event", ALL, "ev", "", ""),
    ]),
    ("authentication.k8s.io", "v1", [
        ("SelfSubjectReview", CREATE, "", "", ""),
        ("TokenReview", CREATE, "", "", ""),
        ("TokenRequest", NONE, "", "", ""),
    ]),
    ("authorization.k8s.io", "v1", [
        ("LocalSubjectAccessReview", CREATE, "", "", ""),
        ("SelfSubjectAccessReview", CREATE, "", "", ""),
        ("SelfSubjectRulesReview", CREATE, "", "", ""),
        ("SubjectAccessReview", CREATE, "", "", ""),
    ]),
    ("autoscaling", "v2", [
        ("HorizontalPodAutoscaler", ALL, "hpa", "all", "status"),
    ]),
    ("autoscaling", "v1", [
        ("Scale", NONE, "", "", ""),
        # The real API serves it as a view of autoscaling/v2; Kiban serves one version a kind.
        ("HorizontalPodAutoscaler", NONE, "", "", ""),
    ]),
    ("batch", "v1", [
        ("CronJob", ALL, "cj", "all", "status"),
        ("Job", ALL, "", "all", "status"),
    ]),
    ("certificates.k8s.io", "v1", [
        ("CertificateSigningRequest", ALL, "csr", "", "approval status"),
        ("ClusterTrustBundle", ALL, "", "", ""),
        ("PodCertificateRequest", ALL, "", "", "status"),
    ]),
    ("networking.k8s.io", "v1", [
        ("IngressClass", ALL, "", "", ""),
        ("Ingress", ALL, "ing", "", "status"),
        ("IPAddress", ALL, "ip", "", ""),
        ("NetworkPolicy", ALL, "netpol", "", ""),
        ("ServiceCIDR", ALL, "", "", "status"),
    ]),
    ("policy", "v1", [
        ("PodDisruptionBudget", ALL, "pdb", "", "status"),
        ("Eviction", NONE, "", "", ""),
    ]),
    ("rbac.authorization.k8s.io", "v1", [
        ("ClusterRoleBinding", ALL, "", "", ""),
        ("ClusterRole", ALL, "", "", ""),
        ("RoleBinding", ALL, "", "", ""),
        ("Role", ALL, "", "", ""),
    ]),
    ("storage.k8s.io", "v1", [
        ("CSIDriver", ALL, "", "", ""),
        ("CSINode", ALL, "", "", ""),
        ("CSIStorageCapacity", ALL, "", "", ""),
        ("StorageClass", ALL, "sc", "", ""),
        ("VolumeAttachment", ALL, "", "", "status"),
        ("VolumeAttributesClass", ALL, "vac", "", ""),
    ]),
    ("admissionregistration.k8s.io", "v1", [
        ("MutatingAdmissionPolicy", ALL, "", "api-extensions", ""),
        ("MutatingAdmissionPolicyBinding", ALL, "", "api-extensions", ""),
        ("MutatingWebhookConfiguration", ALL, "", "api-extensions", ""),
        ("ValidatingAdmissionPolicy", ALL, "", "api-extensions", "status"),
        ("ValidatingAdmissionPolicyBinding", ALL, "", "api-extensions", ""),
        ("ValidatingWebhookConfiguration", ALL, "", "api-extensions", ""),
    ]),
    ("apiextensions.k8s.io", "v1", [
        ("CustomResourceDefinition", ALL, "crd crds", "api-extensions", "status"),
    ]),
    ("scheduling.k8s.io", "v1", [
        ("PriorityClass", ALL, "pc", "", ""),
    ]),
    ("coordination.k8s.io", "v1", [
        ("Lease", ALL, "", "", ""),
    ]),
    ("node.k8s.io", "v1", [
        ("RuntimeClass", ALL, "", "", ""),
    ]),
    ("discovery.k8s.io", "v1", [
        ("EndpointSlice", ALL, "", "", ""),
    ]),
    ("resource.k8s.io", "v1", [
        ("DeviceClass", ALL, "", "", ""),
        ("DeviceTaintRule", ALL, "", "", "status"),
        ("ResourceClaim", ALL, "", "", "status"),
        ("ResourceClaimTemplate", ALL, "", "", ""),
        ("ResourceSlice", ALL, "", "", ""),
    ]),
    ("flowcontrol.apiserver.k8s.io", "v1", [
        ("FlowSchema", ALL, "", "", "status"),
        ("PriorityLevelConfiguration", ALL, "", "", "status"),
    ]),
    ("storagemigration.k8s.io", "v1", [
        ("StorageVersionMigration", ALL, "", "", "status"),
    ]),
]
