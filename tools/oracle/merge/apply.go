package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sort"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// typedScheme makes and converts objects of built-in kinds.
type typedScheme struct{}

func (typedScheme) Convert(in, out, context any) error { return errors.New("not supported") }

func (typedScheme) ConvertFieldLabel(gvk schema.GroupVersionKind, label, value string) (string, string, error) {
	return "", "", errors.New("not supported")
}

func (typedScheme) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	gvk := in.GetObjectKind().GroupVersionKind()
	if gvk.Empty() {
		known, _, err := scheme.Scheme.ObjectKinds(in)
		if err != nil {
			return nil, err
		}
		gvk = known[0]
	}
	// The versions that cases know are one and the same; others are not registered.
	wanted := target.(schema.GroupVersion).WithKind(gvk.Kind)
	if gvk != wanted {
		_, err := scheme.Scheme.New(wanted)
		if err == nil {
			err = runtime.NewNotRegisteredErrForKind(scheme.Scheme.Name(), wanted)
		}
		return nil, err
	}
	if u, ok := in.(*unstructured.Unstructured); ok {
		return decode(copyOf(u.Object).(object))
	}
	out := in.DeepCopyObject()
	out.GetObjectKind().SetGroupVersionKind(wanted)
	return out, nil
}

func (typedScheme) Default(runtime.Object) {}

func (typedScheme) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	out, err := scheme.Scheme.New(gvk)
	if err == nil {
		out.GetObjectKind().SetGroupVersionKind(gvk)
	}
	return out, err
}

// freeScheme does the same for a kind that nobody declared.
type freeScheme struct{ typedScheme }

func (freeScheme) ConvertToVersion(in runtime.Object, target runtime.GroupVersioner) (runtime.Object, error) {
	return in, nil
}

func (freeScheme) New(gvk schema.GroupVersionKind) (runtime.Object, error) {
	out := &unstructured.Unstructured{Object: object{}}
	out.SetGroupVersionKind(gvk)
	return out, nil
}

// cluster is one object and the field managers of its endpoints.
type cluster struct {
	gvk   schema.GroupVersionKind
	free  bool
	live  object // nil: it does not exist
	steps int
}

func (c *cluster) manager(subresource string) *managedfields.FieldManager {
	gv := c.gvk.GroupVersion()
	reset := map[fieldpath.APIVersion]fieldpath.Filter{}
	if set := resetFields(c.gvk.Kind, subresource); set != nil {
		reset[fieldpath.APIVersion(gv.String())] = set
	}
	var m *managedfields.FieldManager
	var err error
	if c.free {
		s := freeScheme{}
		m, err = managedfields.NewDefaultCRDFieldManager(managedfields.NewDeducedTypeConverter(), s, s, s, c.gvk, gv, subresource, reset)
	} else {
		s := typedScheme{}
		m, err = managedfields.NewDefaultFieldManager(converter, s, s, s, c.gvk, gv, subresource, reset)
	}
	check(err)
	return m
}

// resetFields says what an endpoint lets nobody own.
func resetFields(kind, subresource string) fieldpath.Filter {
	set := fieldpath.NewSet()
	add := func(parts ...any) { set.Insert(fieldpath.MakePathOrDie(parts...)) }
	switch subresource {
	case "":
		if !hasStatus(kind) {
			return nil
		}
		add("status")
	case "status":
		add("spec")
		switch kind {
		case "Deployment":
			add("metadata", "labels")
		case "Pod":
			add("metadata", "deletionTimestamp")
			add("metadata", "ownerReferences")
		case "VolumeAttachment", "ResourceClaim", "FlowSchema", "PriorityLevelConfiguration":
			add("metadata")
		case "CertificateSigningRequest":
			add("status", "conditions")
		}
	default:
		return nil
	}
	return fieldpath.NewExcludeSetFilter(set)
}

// withoutStatus are the kinds without a status subresource.
const withoutStatus = " CSIDriver CSINode CSIStorageCapacity ClusterRole ClusterRoleBinding ClusterTrustBundle ConfigMap ControllerRevision DeviceClass EndpointSlice Endpoints Event IPAddress IngressClass Lease LimitRange MutatingAdmissionPolicy MutatingAdmissionPolicyBinding MutatingWebhookConfiguration NetworkPolicy PodTemplate PriorityClass ResourceClaimTemplate ResourceSlice Role RoleBinding RuntimeClass Secret ServiceAccount StorageClass ValidatingAdmissionPolicyBinding ValidatingWebhookConfiguration VolumeAttributesClass "

func hasStatus(kind string) bool { return !strings.Contains(withoutStatus, " "+kind+" ") }

func (c *cluster) object() runtime.Object {
	if c.free {
		if c.live == nil {
			out, _ := freeScheme{}.New(c.gvk)
			return out
		}
		return &unstructured.Unstructured{Object: copyOf(c.live).(object)}
	}
	if c.live == nil {
		out, err := typedScheme{}.New(c.gvk)
		check(err)
		return out
	}
	out, err := decode(copyOf(c.live).(object))
	check(err)
	return out
}

// moment is the time of a step: golden files have no clock.
func moment(step int) string { return fmt.Sprintf("2001-01-01T00:00:%02dZ", step) }

// stamp gives what was written just now the time of its step.
func (c *cluster) stamp(out object) {
	entries, _, _ := unstructured.NestedSlice(out, "metadata", "managedFields")
	if entries == nil {
		return
	}
	for _, e := range entries {
		m := e.(object)
		if t, ok := m["time"].(string); ok && t > "2010" {
			m["time"] = moment(c.steps)
		}
	}
	check(unstructured.SetNestedSlice(out, entries, "metadata", "managedFields"))
}

// apply runs one apply, and returns what it came to.
func (c *cluster) apply(config object, manager string, force bool, subresource string) object {
	patch := &unstructured.Unstructured{Object: copyOf(config).(object)}
	out, err := c.manager(subresource).Apply(c.object(), patch, manager, force)
	step := object{"op": "apply", "config": config, "manager": manager}
	if force {
		step["force"] = true
	}
	if subresource != "" {
		step["sub"] = subresource
	}
	if err != nil {
		c.fail(step, err)
	} else {
		c.succeed(step, out)
	}
	c.steps++
	return step
}

// update runs one write of another kind.
func (c *cluster) update(to object, manager, subresource string) object {
	key, how := change(orEmpty(c.live), to)
	step := object{"op": "update", "new" + key: how, "manager": manager}
	if subresource != "" {
		step["sub"] = subresource
	}
	var in runtime.Object = &unstructured.Unstructured{Object: copyOf(to).(object)}
	if !c.free {
		typed, err := decode(copyOf(to).(object))
		check(err)
		in = typed
	}
	c.succeed(step, c.manager(subresource).UpdateNoErrors(c.object(), in, manager))
	c.steps++
	return step
}

func orEmpty(o object) object {
	if o == nil {
		return object{}
	}
	return o
}

func (c *cluster) succeed(step object, out runtime.Object) {
	next := encode(out)
	next["apiVersion"], next["kind"] = c.gvk.GroupVersion().String(), c.gvk.Kind
	c.stamp(next)
	// Clients read the API's JSON, where numbers in managedFields are what they are.
	v, err := parse(text(next))
	check(err)
	next = v.(object)
	key, how := change(orEmpty(c.live), next)
	step[key] = how
	c.live = next
	if c.uid() == "" {
		// The store gives what it creates an identity.
		step["created"] = true
		c.live = copyOf(next).(object)
		check(unstructured.SetNestedField(c.live, "u1", "metadata", "uid"))
	}
}

func (c *cluster) uid() string {
	uid, _, _ := unstructured.NestedString(c.live, "metadata", "uid")
	return uid
}

func (c *cluster) fail(step object, err error) {
	step["error"] = err.Error()
	var status *apierrors.StatusError
	if errors.As(err, &status) {
		step["code"] = status.ErrStatus.Code
		if status.ErrStatus.Details != nil && status.ErrStatus.Reason == metav1.StatusReasonConflict {
			causes := []string{}
			for _, cause := range status.ErrStatus.Details.Causes {
				causes = append(causes, fmt.Sprintf("%s|%s|%s", cause.Type, cause.Field, cause.Message))
			}
			sort.Strings(causes)
			step["causes"] = causes
		}
	}
}

// deterministic runs a step several times: some errors name what a Go map has first.
func deterministic(c cluster, run func(c *cluster) object) (cluster, object, bool) {
	var first object
	var after cluster
	for i := range 8 {
		trial := c
		if c.live != nil {
			trial.live = copyOf(c.live).(object)
		}
		step := run(&trial)
		if i > 0 && !reflect.DeepEqual(step, first) {
			return c, nil, false
		}
		first, after = step, trial
	}
	return after, first, true
}

// applyCases: {gvk, steps: [{op, …} → {d or o: the object after it} or {error}]}.
func applyCases(random *rand.Rand, count int) []any {
	s := source{Rand: random}
	var cases []any
	for len(cases) < count {
		gvk := s.kind()
		c := cluster{gvk: gvk}
		steps := s.scenario(&c, func(richness int) object { return s.object(gvk, richness) })
		if len(steps) < 2 {
			continue
		}
		cases = append(cases, object{"kind": gvk.GroupVersion().String() + " " + gvk.Kind, "steps": steps})
	}
	return cases
}

func untypedCases(random *rand.Rand, count int) []any {
	s := source{Rand: random}
	gvk := schema.GroupVersionKind{Group: "example.dev", Version: "v1", Kind: "Widget"}
	var cases []any
	for len(cases) < count {
		c := cluster{gvk: gvk, free: true}
		steps := s.scenario(&c, func(int) object {
			out := object{"spec": s.free(0), "status": s.free(1), "metadata": object{"labels": object{pick(s, words): pick(s, words)}}}
			s.name(out, gvk)
			return out
		})
		if len(steps) < 2 {
			continue
		}
		cases = append(cases, object{"kind": "example.dev/v1 Widget", "steps": steps})
	}
	return cases
}

// scenario runs some steps on an object.
func (s source) scenario(c *cluster, fresh func(richness int) object) []any {
	configs := map[string]object{}
	var steps []any
	wanted := 2 + s.IntN(5)
	if s.chance(3) {
		wanted = 13 // enough to merge managers
	}
	for tries := 0; len(steps) < wanted && tries < 3*wanted; tries++ {
		run := s.step(c, configs, fresh, wanted > 10)
		if run == nil {
			continue
		}
		next, step, ok := deterministic(*c, run)
		if !ok {
			continue
		}
		*c = next
		steps = append(steps, step)
	}
	return steps
}

func (s source) step(c *cluster, configs map[string]object, fresh func(int) object, many bool) func(*cluster) object {
	switch n := s.IntN(100); {
	case c.live == nil && n < 50, c.live != nil && n < 60 && !many:
		return s.applyStep(c, configs, fresh)
	case c.live == nil:
		to, ok := s.storable(c, fresh(14))
		if !ok {
			return nil
		}
		manager := pick(s, []string{"a", "kubectl-client-side-apply", "kube-controller-manager"})
		if manager == "kubectl-client-side-apply" {
			s.annotate(to)
		}
		return func(c *cluster) object { return c.update(to, manager, "") }
	default:
		return s.updateStep(c, fresh, many)
	}
}

// annotate adds what client-side apply leaves behind.
func (s source) annotate(to object) {
	config := copyOf(to).(object)
	delete(config, "status")
	if metadata, ok := config["metadata"].(object); ok {
		metadata["annotations"] = object{}
	}
	check(unstructured.SetNestedField(to, text(config)+"\n", "metadata", "annotations", lastApplied))
}

func (s source) applyStep(c *cluster, configs map[string]object, fresh func(int) object) func(*cluster) object {
	manager := pick(s, []string{"a", "b", "a", "b", "kubectl", ""})
	subresource := ""
	if s.chance(12) && c.live != nil && hasStatus(c.gvk.Kind) {
		subresource = "status"
	}
	config := fresh(14)
	key := manager + "/" + subresource
	switch last := configs[key]; {
	case last != nil && s.chance(25):
		config = copyOf(last).(object)
	case last != nil && s.chance(70):
		config = s.mix(last, config).(object)
	case c.live != nil && s.chance(40):
		config = s.mix(config, c.live).(object)
	case last != nil && s.chance(20):
		config = object{}
	}
	s.name(config, c.gvk)
	if !s.chance(30) {
		delete(config, "status")
	}
	if s.chance(5) {
		s.spoil(config)
	} else {
		configs[key] = copyOf(config).(object)
	}
	force := s.chance(35)
	return func(c *cluster) object { return c.apply(config, manager, force, subresource) }
}

// spoil makes a configuration wrong, in one place.
func (s source) spoil(config object) {
	spec, _ := config["spec"].(object)
	switch n := s.IntN(8); {
	case n == 0:
		config["unknown"] = "x"
	case n == 1:
		config["metadata"].(object)["managedFields"] = []any{}
	case n == 2:
		config["apiVersion"] = "apps/v2"
	case n == 3:
		config["metadata"].(object)["labels"] = object{"a": int64(1)}
	case n == 4:
		config["metadata"].(object)["labels"] = "a"
	case n == 5:
		config["metadata"].(object)["finalizers"] = []any{"a", "a"}
	case n == 6 && spec != nil:
		spec["ports"] = []any{object{"port": int64(1), "containerPort": int64(1)}, object{"port": int64(1), "containerPort": int64(1)}}
	default:
		config["metadata"].(object)["ownerReferences"] = []any{object{"name": "a", "kind": "a", "apiVersion": "v1"}}
	}
}

func (s source) updateStep(c *cluster, fresh func(int) object, many bool) func(*cluster) object {
	manager := pick(s, []string{"a", "kubectl-edit", "kube-controller-manager", "kubelet"})
	if many {
		manager = fmt.Sprintf("m%d", s.IntN(14))
	}
	subresource := ""
	other := fresh(14)
	to := s.mix(c.live, other).(object)
	if s.chance(30) && hasStatus(c.gvk.Kind) {
		subresource = "status"
		to = copyOf(c.live).(object)
		if status, ok := other["status"]; ok {
			to["status"] = s.mix(status, to["status"])
		}
	}
	if s.chance(8) {
		to = copyOf(c.live).(object)
	}
	s.name(to, c.gvk)
	metadata := to["metadata"].(object)
	if live, ok := c.live["metadata"].(object)["managedFields"]; ok && s.chance(70) {
		metadata["managedFields"] = copyOf(live)
	}
	metadata["uid"] = "u1"
	if s.chance(8) {
		metadata["managedFields"] = s.strangeOwners(c, metadata["managedFields"])
	}
	to, ok := s.storable(c, to)
	if !ok {
		return nil
	}
	return func(c *cluster) object { return c.update(to, manager, subresource) }
}

// strangeOwners is what clients may send for managedFields.
func (s source) strangeOwners(c *cluster, from any) any {
	entry := object{"manager": "x", "operation": "Update", "apiVersion": c.gvk.GroupVersion().String(), "time": "2000-01-01T00:00:00Z",
		"fieldsType": "FieldsV1", "fieldsV1": object{"f:metadata": object{"f:labels": object{"f:a": object{}}}, "f:data": object{".": object{}, "f:a": object{}}}}
	switch s.IntN(9) {
	case 0:
		return []any{}
	case 1:
		return []any{object{}}
	case 2:
		entry["operation"] = "Sing"
	case 3:
		entry["apiVersion"] = "example.dev/v9"
	case 4:
		entry["fieldsV1"] = object{"x": object{}}
	case 5:
		delete(entry, "fieldsType")
	case 6:
		entry["fieldsV1"] = object{"f:spec": object{"f:selector": object{"f:matchLabels": object{"f:a": object{}}}, "f:nodeSelector": object{"f:a": object{}}},
			"f:metadata": object{"f:ownerReferences": object{"k:{\"uid\":\"a\"}": object{".": object{}, "f:uid": object{}}}}}
	}
	list, _ := from.([]any)
	if s.chance(50) {
		list = nil
	}
	return append(copyOf(list).([]any), entry)
}

// storable brings an object into its stored form.
func (s source) storable(c *cluster, in object) (object, bool) {
	if c.free {
		return in, true
	}
	out, err := stored(in)
	if err != nil {
		return nil, false
	}
	owners, ok := in["metadata"].(object)["managedFields"].([]any)
	if ok && len(owners) == 0 {
		// Decoding keeps an empty list, encoding does not.
		out["metadata"].(object)["managedFields"] = []any{}
	}
	return out, !strings.Contains(text(out), "\\u003c")
}

// scaleCases: {parent, scale} → {toScale, toParent}.
func scaleCases(random *rand.Rand, count int) []any {
	s := source{Rand: random}
	mappings := managedfields.ResourcePathMappings{"apps/v1": fieldpath.MakePathOrDie("spec", "replicas")}
	var cases []any
	for len(cases) < count {
		parent := s.owners("apps/v1", []string{"", "", "scale", "status"})
		handler := managedfields.NewScaleHandler(parent, schema.GroupVersion{Group: "apps", Version: "v1"}, mappings)
		view, err := handler.ToSubresource()
		check(err)
		c := object{"parent": parent, "toScale": view}
		written := s.owners("autoscaling/v1", []string{"scale"})
		for _, e := range view {
			// Update managers lose the field when another value is written.
			if e.Operation == metav1.ManagedFieldsOperationApply && s.chance(60) {
				written = append(written, e)
			}
		}
		back, err := handler.ToParent(written)
		check(err)
		if repeats(back) {
			// Upstream lists a manager twice here, and the next reader forgets one of the two.
			// Kiban keeps both in one entry.
			continue
		}
		c["scale"], c["toParent"] = written, back
		cases = append(cases, c)
	}
	return cases
}

func repeats(entries []metav1.ManagedFieldsEntry) bool {
	seen := map[string]bool{}
	for _, e := range entries {
		id := fmt.Sprint(e.Manager, " ", e.Operation, " ", e.APIVersion, " ", e.Subresource)
		if seen[id] {
			return true
		}
		seen[id] = true
	}
	return false
}

// ownerTime tells entries apart: those of a Scale are later.
func ownerTime(version string, number int) *metav1.Time {
	year := 2001
	if version == "autoscaling/v1" {
		year = 2002
	}
	return &metav1.Time{Time: time.Date(year, 1, 1, 0, 0, 9-number, 0, time.UTC)}
}

func (s source) owners(version string, subresources []string) []metav1.ManagedFieldsEntry {
	out := []metav1.ManagedFieldsEntry{}
	seen := map[string]bool{}
	for range s.IntN(4) {
		e := metav1.ManagedFieldsEntry{
			Manager:     pick(s, words),
			Operation:   pick(s, []metav1.ManagedFieldsOperationType{metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate}),
			APIVersion:  version,
			Time:        ownerTime(version, len(out)),
			FieldsType:  "FieldsV1",
			Subresource: pick(s, subresources),
			FieldsV1: metav1.NewFieldsV1(pick(s, []string{`{"f:spec":{"f:replicas":{}}}`,
				`{"f:spec":{"f:replicas":{},"f:selector":{}}}`, `{"f:spec":{"f:selector":{}}}`})),
		}
		if s.chance(10) {
			e.APIVersion = "apps/v10"
		}
		id := fmt.Sprint(e.Manager, e.Operation, e.Subresource)
		if seen[id] {
			continue
		}
		seen[id] = true
		out = append(out, e)
	}
	return out
}
