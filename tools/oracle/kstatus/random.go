package main

import (
	"math/rand/v2"
	"slices"
)

// generator makes objects that lie near the borders of the rules: small numbers that are often
// equal, fields that are often absent, and now and then a value of the wrong type.
type generator struct{ *rand.Rand }

type object = map[string]any

// kind says what a random object of one kind consists of.
type kind struct {
	apiVersion, name string
	spec, status     map[string]func(*generator) any
	conditions       []string
	reasons          []string
}

var kinds = []kind{
	{"apps/v1", "Deployment",
		fields{"replicas": small, "progressDeadlineSeconds": deadline},
		fields{"replicas": small, "readyReplicas": small, "availableReplicas": small, "updatedReplicas": small},
		[]string{"Progressing", "Available", "ReplicaFailure"},
		[]string{"NewReplicaSetAvailable", "ProgressDeadlineExceeded", "ReplicaSetUpdated", "MinimumReplicasAvailable"}},
	{"extensions/v1beta1", "Deployment", fields{"replicas": small}, fields{"replicas": small, "readyReplicas": small, "availableReplicas": small, "updatedReplicas": small},
		[]string{"Progressing", "Available"}, []string{"NewReplicaSetAvailable"}},
	{"apps/v1", "StatefulSet",
		fields{"replicas": small, "updateStrategy": updateStrategy},
		fields{"replicas": small, "readyReplicas": small, "currentReplicas": small, "updatedReplicas": small, "currentRevision": revision, "updateRevision": revision}, nil, nil},
	{"apps/v1", "DaemonSet", nil,
		fields{"desiredNumberScheduled": small, "currentNumberScheduled": small, "updatedNumberScheduled": small, "numberAvailable": small, "numberReady": small}, nil, nil},
	{"apps/v1", "ReplicaSet", fields{"replicas": small},
		fields{"replicas": small, "readyReplicas": small, "availableReplicas": small, "fullyLabeledReplicas": small},
		[]string{"ReplicaFailure"}, []string{"FailedCreate"}},
	{"v1", "Pod", nil, fields{"phase": oneOf("Pending", "Running", "Succeeded", "Failed", "Unknown", ""), "containerStatuses": containerStatuses},
		[]string{"Ready", "PodScheduled", "Initialized", "ContainersReady"}, []string{"Unschedulable", "ContainersNotReady"}},
	{"v1", "PersistentVolumeClaim", nil, fields{"phase": oneOf("Pending", "Bound", "Lost")}, nil, nil},
	{"v1", "Service", fields{"type": oneOf("ClusterIP", "LoadBalancer", "NodePort", "ExternalName"), "clusterIP": oneOf("", "None", "10.0.0.1")}, fields{}, nil, nil},
	{"batch/v1", "Job", fields{"parallelism": small, "completions": small},
		fields{"succeeded": small, "active": small, "failed": small, "startTime": oneOf("2020-01-01T00:00:00Z", "")},
		[]string{"Complete", "Failed", "Suspended"}, []string{"BackoffLimitExceeded"}},
	{"batch/v1", "CronJob", fields{}, fields{}, nil, nil},
	{"policy/v1", "PodDisruptionBudget", fields{}, fields{"disruptionsAllowed": small}, []string{"DisruptionAllowed"}, []string{"SufficientPods"}},
	{"apiextensions.k8s.io/v1", "CustomResourceDefinition", fields{}, fields{},
		[]string{"NamesAccepted", "Established"}, []string{"Installing", "NoConflicts", "MultipleNamesNotAllowed"}},
	{"v1", "ConfigMap", nil, nil, nil, nil},
	{"v1", "Secret", nil, nil, nil, nil},
	{"v1", "Namespace", nil, fields{"phase": oneOf("Active", "Terminating")}, nil, nil},
	{"autoscaling/v2", "HorizontalPodAutoscaler", fields{}, fields{"currentReplicas": small},
		[]string{"ScalingActive", "AbleToScale"}, []string{"FailedGetResourceMetric"}},
	{"example.com/v1", "Thing", fields{}, fields{"ready": small}, []string{"Ready", "Synced"}, []string{"Waiting"}},
}

type fields = map[string]func(*generator) any

func small(g *generator) any { return g.IntN(4) }

func revision(g *generator) any { return []string{"a", "b"}[g.IntN(2)] }

func deadline(g *generator) any { return []any{600, 2147483647}[g.IntN(2)] }

func oneOf(words ...string) func(*generator) any {
	return func(g *generator) any { return words[g.IntN(len(words))] }
}

func updateStrategy(g *generator) any {
	s := object{"type": []string{"RollingUpdate", "RollingUpdate", "RollingUpdate", "OnDelete"}[g.IntN(4)]}
	if g.chance(40) {
		s["rollingUpdate"] = object{"partition": g.IntN(4)}
	}
	return s
}

func containerStatuses(g *generator) any {
	list := []any{}
	for i := range g.IntN(3) {
		c := object{"name": []string{"app", "proxy", "tail"}[i], "ready": g.chance(50)}
		switch g.IntN(4) {
		case 0:
			c["state"] = object{"running": object{}}
		case 1:
			c["state"] = object{"waiting": object{"reason": "CrashLoopBackOff"}}
		case 2:
			c["state"] = object{"waiting": object{"reason": "ImagePullBackOff"}}
		}
		if g.chance(2) {
			delete(c, "name")
		}
		if g.chance(2) {
			c["state"] = g.garbage()
		}
		list = append(list, c)
	}
	return list
}

func (g *generator) chance(percent int) bool { return g.IntN(100) < percent }

func (g *generator) garbage() any {
	return []any{nil, "x", 7, 1.5, true, []any{}, object{}, []any{object{}}, "", -1}[g.IntN(10)]
}

// object makes one object of a random kind, more often than not near the end of its rollout.
func (g *generator) object() object {
	k := kinds[g.IntN(len(kinds))]
	meta := object{"name": "x", "creationTimestamp": []string{"2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"}[g.IntN(2)]}
	o := object{"apiVersion": k.apiVersion, "kind": k.name, "metadata": meta}
	if g.chance(6) {
		meta["deletionTimestamp"] = []any{"2020-01-01T00:00:00Z", ""}[g.IntN(2)]
	}
	status := object{}
	if g.chance(60) {
		meta["generation"] = 1 + g.IntN(2)
		if g.chance(85) {
			status["observedGeneration"] = meta["generation"]
			if g.chance(15) {
				status["observedGeneration"] = g.IntN(3)
			}
		}
	}
	if k.spec != nil {
		o["spec"] = g.fill(object{}, k.spec, -1)
	}
	if k.status != nil {
		settled := -1
		if g.chance(55) {
			settled = g.IntN(3)
			if s, ok := o["spec"].(object); ok && s["replicas"] != nil {
				s["replicas"] = settled
			}
		}
		g.fill(status, k.status, settled)
	}
	if g.chance(80) {
		g.addConditions(status, k)
	}
	if g.chance(92) {
		o["status"] = status
	}
	if g.chance(5) {
		g.spoil(o)
	}
	return o
}

// fill sets most of the fields; numbers all to the same value where settled is not negative, but
// for a few.
func (g *generator) fill(into object, from fields, settled int) object {
	names := make([]string, 0, len(from))
	for name := range from {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		v := from[name](g)
		if _, number := v.(int); number && settled >= 0 && !g.chance(8) {
			v = settled
		}
		if g.chance(88) {
			into[name] = v
		}
	}
	return into
}

func (g *generator) addConditions(status object, k kind) {
	types := append([]string{}, k.conditions...)
	if g.chance(15) {
		types = append(types, []string{"Reconciling", "Stalled", "Ready"}[g.IntN(3)])
	}
	g.Shuffle(len(types), func(i, j int) { types[i], types[j] = types[j], types[i] })
	list := []any{}
	for _, t := range types {
		if g.chance(25) {
			continue
		}
		c := object{"type": t, "status": []string{"True", "True", "False", "Unknown", "Maybe"}[g.IntN(5)]}
		if g.chance(80) {
			c["reason"] = "Because"
			if len(k.reasons) > 0 && g.chance(75) {
				c["reason"] = k.reasons[g.IntN(len(k.reasons))]
			}
		}
		if g.chance(70) {
			c["message"] = "message of " + t
		}
		list = append(list, c)
	}
	status["conditions"] = list
}

// spoil puts a value of a random type in a random place.
func (g *generator) spoil(o object) {
	at := o
	for {
		names := make([]string, 0, len(at))
		for name := range at {
			names = append(names, name)
		}
		if len(names) == 0 {
			return
		}
		slices.Sort(names)
		name := names[g.IntN(len(names))]
		if at["apiVersion"] != nil && name == "apiVersion" || name == "kind" {
			continue
		}
		next, ok := at[name].(object)
		if list, isList := at[name].([]any); isList && len(list) > 0 && g.chance(70) {
			if item, isObject := list[g.IntN(len(list))].(object); isObject {
				next, ok = item, true
			}
		}
		if !ok || g.chance(20) {
			at[name] = g.garbage()
			return
		}
		at = next
	}
}
