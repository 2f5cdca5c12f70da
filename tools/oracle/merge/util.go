package main

import (
	"encoding/json"
	"reflect"

	"k8s.io/apimachinery/pkg/runtime"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

func copyOf(v any) any { return runtime.DeepCopyJSONValue(v) }

func text(v any) string {
	b, err := json.Marshal(v)
	check(err)
	return string(b)
}

// parse reads JSON as the API server does: integers stay integers.
func parse(b string) (any, error) {
	var out any
	err := utiljson.Unmarshal([]byte(b), &out)
	return out, err
}

// change describes how to get from one value to another: as a JSON merge patch where that is
// possible, so that golden files stay small, else by the new value.
func change(from, to any) (key string, how any) {
	from, to = packed(from), packed(to)
	if patch, ok := mergePatch(from, to); ok {
		return "d", patch
	}
	return "o", to
}

// packed is an object with its managedFields as a map of entries and a list of its keys, of which
// a patch can change a part.
func packed(v any) any {
	m, ok := v.(object)
	if !ok {
		return v
	}
	metadata, _ := m["metadata"].(object)
	list, ok := metadata["managedFields"].([]any)
	if !ok {
		return v
	}
	keys, entries := []any{}, object{}
	for _, item := range list {
		entry := item.(object)
		key := ""
		for _, field := range []string{"manager", "operation", "apiVersion", "subresource"} {
			part, _ := entry[field].(string)
			key += part + " "
		}
		if _, ok := entries[key]; ok {
			return v
		}
		keys = append(keys, key)
		entries[key] = entry
	}
	out := copyOf(m).(object)
	out["metadata"].(object)["managedFields"] = object{"keys": keys, "entries": entries}
	return out
}

func mergePatch(from, to any) (any, bool) {
	a, okA := from.(object)
	b, okB := to.(object)
	if !okA || !okB {
		return to, to != nil
	}
	out := object{}
	for _, key := range keysOf(a, b) {
		va, hasA := a[key]
		vb, hasB := b[key]
		switch {
		case !hasB:
			out[key] = nil
		case hasA && reflect.DeepEqual(va, vb):
		case vb == nil:
			return nil, false
		default:
			_, objectA := va.(object)
			_, objectB := vb.(object)
			inner, ok := mergePatch(va, vb)
			if !ok || !(objectA && objectB) && holdsNull(vb) {
				return nil, false
			}
			out[key] = inner
		}
	}
	return out, true
}

func holdsNull(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case object:
		for _, inner := range v {
			if holdsNull(inner) {
				return true
			}
		}
	case []any:
		for _, inner := range v {
			if holdsNull(inner) {
				return true
			}
		}
	}
	return false
}
