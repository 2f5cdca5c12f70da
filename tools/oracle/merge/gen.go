package main

import (
	"math/rand/v2"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
)

type object = map[string]any

// kinds are the ones that cases are about.
var kinds = []schema.GroupVersionKind{
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "Deployment"},
	{Group: "apps", Version: "v1", Kind: "StatefulSet"},
	{Group: "apps", Version: "v1", Kind: "DaemonSet"},
	{Version: "v1", Kind: "Pod"},
	{Version: "v1", Kind: "Pod"},
	{Version: "v1", Kind: "Service"},
	{Version: "v1", Kind: "Service"},
	{Version: "v1", Kind: "ConfigMap"},
	{Version: "v1", Kind: "Node"},
	{Version: "v1", Kind: "ServiceAccount"},
	{Version: "v1", Kind: "Namespace"},
	{Version: "v1", Kind: "PersistentVolume"},
	{Version: "v1", Kind: "PersistentVolumeClaim"},
	{Group: "autoscaling", Version: "v2", Kind: "HorizontalPodAutoscaler"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "NetworkPolicy"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "Ingress"},
	{Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
	{Group: "batch", Version: "v1", Kind: "CronJob"},
	{Group: "batch", Version: "v1", Kind: "Job"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "Role"},
	{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"},
	{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"},
	{Group: "apps", Version: "v1", Kind: "ControllerRevision"},
}

// others are the rest of the API: seldom asked for, so that no type goes untried.
var others = []schema.GroupVersionKind{
	{Version: "v1", Kind: "Endpoints"},
	{Version: "v1", Kind: "Event"},
	{Version: "v1", Kind: "LimitRange"},
	{Version: "v1", Kind: "PodTemplate"},
	{Version: "v1", Kind: "ReplicationController"},
	{Version: "v1", Kind: "ResourceQuota"},
	{Version: "v1", Kind: "Secret"},
	{Group: "apps", Version: "v1", Kind: "ReplicaSet"},
	{Group: "events.k8s.io", Version: "v1", Kind: "Event"},
	{Group: "certificates.k8s.io", Version: "v1", Kind: "CertificateSigningRequest"},
	{Group: "certificates.k8s.io", Version: "v1", Kind: "ClusterTrustBundle"},
	{Group: "certificates.k8s.io", Version: "v1", Kind: "PodCertificateRequest"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "IngressClass"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "IPAddress"},
	{Group: "networking.k8s.io", Version: "v1", Kind: "ServiceCIDR"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRoleBinding"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "ClusterRole"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Kind: "RoleBinding"},
	{Group: "storage.k8s.io", Version: "v1", Kind: "CSIDriver"},
	{Group: "storage.k8s.io", Version: "v1", Kind: "CSINode"},
	{Group: "storage.k8s.io", Version: "v1", Kind: "CSIStorageCapacity"},
	{Group: "storage.k8s.io", Version: "v1", Kind: "StorageClass"},
	{Group: "storage.k8s.io", Version: "v1", Kind: "VolumeAttachment"},
	{Group: "storage.k8s.io", Version: "v1", Kind: "VolumeAttributesClass"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingAdmissionPolicy"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingAdmissionPolicyBinding"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicy"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
	{Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
	{Group: "scheduling.k8s.io", Version: "v1", Kind: "PriorityClass"},
	{Group: "node.k8s.io", Version: "v1", Kind: "RuntimeClass"},
	{Group: "resource.k8s.io", Version: "v1", Kind: "DeviceClass"},
	{Group: "resource.k8s.io", Version: "v1", Kind: "DeviceTaintRule"},
	{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaim"},
	{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceClaimTemplate"},
	{Group: "resource.k8s.io", Version: "v1", Kind: "ResourceSlice"},
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "FlowSchema"},
	{Group: "flowcontrol.apiserver.k8s.io", Version: "v1", Kind: "PriorityLevelConfiguration"},
	{Group: "storagemigration.k8s.io", Version: "v1", Kind: "StorageVersionMigration"},
}

// kind picks what a case is about.
func (s source) kind() schema.GroupVersionKind {
	if s.chance(25) {
		return pick(s, others)
	}
	return pick(s, kinds)
}

// fields limits the fields of the large types, so that random objects meet each other.
var fields = map[string]string{
	"ObjectMeta":                  "labels annotations finalizers ownerReferences",
	"PodSpec":                     "containers initContainers volumes nodeSelector tolerations imagePullSecrets hostAliases securityContext affinity topologySpreadConstraints hostNetwork serviceAccountName terminationGracePeriodSeconds overhead readinessGates",
	"Container":                   "name image ports env args resources volumeMounts livenessProbe securityContext command",
	"Probe":                       "httpGet periodSeconds initialDelaySeconds",
	"Volume":                      "name configMap secret emptyDir hostPath projected",
	"VolumeProjection":            "configMap secret",
	"PodSecurityContext":          "runAsUser runAsNonRoot supplementalGroups sysctls",
	"SecurityContext":             "runAsUser privileged capabilities",
	"EnvVarSource":                "configMapKeyRef fieldRef",
	"Affinity":                    "podAntiAffinity",
	"PodStatus":                   "phase conditions podIP podIPs containerStatuses",
	"ContainerStatus":             "name ready restartCount image imageID",
	"NodeStatus":                  "conditions addresses capacity images",
	"NodeSpec":                    "taints unschedulable podCIDR podCIDRs providerID",
	"PersistentVolumeSpec":        "capacity accessModes claimRef storageClassName mountOptions hostPath",
	"PersistentVolumeClaimSpec":   "accessModes resources selector storageClassName volumeName",
	"PersistentVolumeClaimStatus": "phase conditions capacity accessModes",
	"ServiceStatus":               "conditions loadBalancer",
	"JobSpec":                     "template parallelism completions selector backoffLimit suspend",
	"JobStatus":                   "conditions active succeeded",
}

var (
	converter = applyconfigurations.NewTypeConverter(scheme.Scheme)
	words     = []string{"a", "b", "c"}
	numbers   = []int64{1, 2, 3, 80}
)

// source makes random values of declared types.
type source struct {
	*rand.Rand
	types *smd.Schema
}

func (s source) chance(percent int) bool { return s.IntN(100) < percent }

func pick[T any](s source, from []T) T { return from[s.IntN(len(from))] }

// typeOf is the declared type of a kind.
func typeOf(gvk schema.GroupVersionKind) (*smd.Schema, smd.TypeRef) {
	empty := &unstructured.Unstructured{Object: object{}}
	empty.SetGroupVersionKind(gvk)
	typed, err := converter.ObjectToTyped(empty)
	check(err)
	return typed.Schema(), typed.TypeRef()
}

// object makes an object of a kind; richness is the chance, in percent, of each field to be there.
func (s source) object(gvk schema.GroupVersionKind, richness int) object {
	types, ref := typeOf(gvk)
	s.types = types
	out := s.value(ref, "", "", 0, richness).(object)
	delete(out, "managedFields")
	s.name(out, gvk)
	return out
}

// name gives an object its identity.
func (s source) name(out object, gvk schema.GroupVersionKind) {
	out["apiVersion"], out["kind"] = gvk.GroupVersion().String(), gvk.Kind
	metadata, ok := out["metadata"].(object)
	if !ok {
		metadata = object{}
		out["metadata"] = metadata
	}
	for _, field := range []string{"managedFields", "resourceVersion", "generation", "uid", "selfLink", "creationTimestamp", "deletionTimestamp"} {
		delete(metadata, field)
	}
	metadata["name"], metadata["namespace"] = "web", "shop"
}

func (s source) value(ref smd.TypeRef, owner, name string, depth, richness int) any {
	if ref.NamedType != nil {
		if v, ok := s.special(*ref.NamedType); ok {
			return v
		}
		owner = (*ref.NamedType)[strings.LastIndex(*ref.NamedType, ".")+1:]
	}
	atom, _ := s.types.Resolve(ref)
	switch {
	case atom.Map != nil:
		return s.members(atom.Map, owner, name, depth, richness)
	case atom.List != nil:
		return s.items(atom.List, owner, name, depth, richness)
	case *atom.Scalar == smd.Numeric:
		return pick(s, numbers)
	case *atom.Scalar == smd.Boolean:
		return s.chance(50)
	default:
		return s.text(owner, name)
	}
}

// text makes a string that decodes where it stands.
func (s source) text(owner, name string) string {
	switch {
	case strings.Contains(" binaryData stubPKCS10Request pkixPublicKey proofOfPossession request certificate caBundle ", " "+name+" "),
		owner == "Secret" && name == "data":
		return pick(s, []string{"YQ==", "Yg=="})
	case name == "protocol":
		return pick(s, []string{"TCP", "UDP"})
	default:
		return pick(s, words)
	}
}

func (s source) special(name string) (any, bool) {
	switch name[strings.LastIndex(name, ".")+1:] {
	case "Time":
		return pick(s, []string{"2020-01-01T00:00:00Z", "2020-02-02T00:00:00Z"}), true
	case "MicroTime":
		return pick(s, []string{"2020-01-01T00:00:00.000001Z", "2020-02-02T00:00:00.000002Z"}), true
	case "Quantity":
		return pick(s, []string{"1", "2", "500m", "1Gi"}), true
	case "IntOrString":
		if s.chance(50) {
			return pick(s, numbers), true
		}
		return pick(s, words), true
	case "RawExtension", "__untyped_deduced_", "__untyped_atomic_":
		return s.free(0), true
	}
	return nil, false
}

// free makes an object that nobody declared.
func (s source) free(depth int) any {
	out := object{}
	for _, key := range words {
		switch n := s.IntN(10); {
		case n < 2 && depth < 2:
			out[key] = s.free(depth + 1)
		case n < 4:
			out[key] = []any{pick(s, words), pick(s, words)}
		case n < 5:
			out[key] = []any{object{"name": pick(s, words), "x": pick(s, numbers)}}
		case n < 7:
			out[key] = pick(s, words)
		case n < 8:
			out[key] = pick(s, numbers)
		}
	}
	return out
}

func (s source) members(m *smd.Map, owner, name string, depth, richness int) any {
	out := object{}
	if len(m.Fields) == 0 {
		for _, key := range words {
			if s.chance(40) {
				out[key] = s.value(m.ElementType, owner, name, depth+1, richness)
			}
		}
		return out
	}
	allowed := " " + fields[owner] + " "
	for _, field := range m.Fields {
		if fields[owner] != "" && !strings.Contains(allowed, " "+field.Name+" ") {
			continue
		}
		// Deep down objects grow thin, or a pod would be a page.
		percent := richness
		if depth > 4 {
			percent = richness * 2 / 3
		}
		if field.Name == "spec" || field.Name == "metadata" || field.Name == "containers" || field.Name == "template" {
			percent = 95
		}
		if s.chance(percent) {
			out[field.Name] = s.value(field.Type, owner, field.Name, depth+1, richness)
		}
	}
	return out
}

func (s source) items(l *smd.List, owner, name string, depth, richness int) any {
	out := []any{}
	seen := map[string]bool{}
	for range s.IntN(4) {
		item := s.value(l.ElementType, owner, name, depth+1, richness)
		id := ""
		if m, ok := item.(object); ok {
			for _, key := range l.Keys {
				atom, _ := s.types.Resolve(l.ElementType)
				field, _ := atom.Map.FindField(key)
				if _, ok := m[key]; !ok && (field.Default == nil || field.Default == "" || s.chance(70)) {
					m[key] = s.value(field.Type, owner, key, depth+2, richness)
				}
				v := m[key]
				if v == nil {
					v = field.Default
				}
				id += text(v) + "/"
			}
		} else {
			id = text(item)
		}
		if l.ElementRelationship == smd.Associative && seen[id] {
			continue
		}
		seen[id] = true
		out = append(out, item)
	}
	return out
}

// mix makes an object that has something of both.
func (s source) mix(a, b any) any {
	switch a := a.(type) {
	case object:
		b, ok := b.(object)
		if !ok {
			return copyOf(a)
		}
		out := object{}
		for _, key := range keysOf(a, b) {
			va, hasA := a[key]
			vb, hasB := b[key]
			switch n := s.IntN(100); {
			case hasA && hasB && n < 60:
				out[key] = s.mix(va, vb)
			case hasA && n < 85:
				out[key] = copyOf(va)
			case hasB && (n < 95 || !hasA && n < 30):
				out[key] = copyOf(vb)
			}
		}
		return out
	case []any:
		b, ok := b.([]any)
		if !ok || s.chance(40) {
			return copyOf(a)
		}
		out := []any{}
		seen := map[string]bool{}
		for _, v := range append(append([]any{}, a...), b...) {
			id := identity(v)
			if s.chance(60) && !seen[id] {
				seen[id] = true
				out = append(out, copyOf(v))
			}
		}
		if s.chance(30) {
			s.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
		}
		return out
	}
	if s.chance(50) {
		return copyOf(b)
	}
	return a
}

// identity is what two items of a list must not have in common: whatever may be their key.
func identity(v any) string {
	m, ok := v.(object)
	if !ok {
		return text(v)
	}
	id := ""
	for _, key := range []string{"name", "key", "type", "uid", "ip", "port", "containerPort", "mountPath", "topologyKey", "address"} {
		if v, ok := m[key]; ok {
			id += key + "=" + text(v) + "/"
		}
	}
	return id
}

func keysOf(maps ...object) []string {
	seen := map[string]bool{}
	for _, m := range maps {
		for key := range m {
			seen[key] = true
		}
	}
	out := make([]string, 0, len(seen))
	for key := range seen {
		out = append(out, key)
	}
	sort.Strings(out)
	return out
}

// stored is an object as the API has it after decoding it into its type.
func stored(in object) (object, error) {
	typed, err := decode(in)
	if err != nil {
		return nil, err
	}
	return encode(typed), nil
}

func decode(in object) (runtime.Object, error) {
	u := &unstructured.Unstructured{Object: in}
	gvk := u.GroupVersionKind()
	typed, err := scheme.Scheme.New(gvk)
	if err != nil {
		return nil, err
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(in, typed); err != nil {
		return nil, err
	}
	typed.GetObjectKind().SetGroupVersionKind(gvk)
	return typed, nil
}

func encode(typed runtime.Object) object {
	if u, ok := typed.(*unstructured.Unstructured); ok {
		return copyOf(u.Object).(object)
	}
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(typed)
	check(err)
	return out
}
