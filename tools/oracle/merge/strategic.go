package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes/scheme"
)

// strategicCases: {gvk, original, patch} → {d or o: result} or {error}.
func strategicCases(random *rand.Rand, count int) []any {
	s := source{Rand: random}
	var cases []any
	for len(cases) < count {
		gvk := s.kind()
		original, err := stored(s.object(gvk, 25))
		if err != nil {
			continue
		}
		patch, ok := s.strategicPatch(gvk, original)
		if !ok {
			continue
		}
		result, problem, ok := strategic(gvk, original, patch)
		if !ok {
			continue
		}
		c := object{"kind": gvk.GroupVersion().String() + " " + gvk.Kind, "original": original, "patch": patch}
		if problem != "" {
			c["error"] = problem
		} else {
			key, how := change(original, result)
			c[key] = how
		}
		cases = append(cases, c)
	}
	return cases
}

// strategic asks upstream several times: what depends on the order of a Go map is no answer.
func strategic(gvk schema.GroupVersionKind, original, patch object) (result any, problem string, ok bool) {
	for i := range 40 {
		r, p, ok := strategicOnce(gvk, original, patch)
		if !ok || i > 0 && (p != problem || !reflect.DeepEqual(r, result)) {
			return nil, "", false
		}
		result, problem = r, p
	}
	return result, problem, true
}

func strategicOnce(gvk schema.GroupVersionKind, original, patch object) (result any, problem string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	dataStruct, err := scheme.Scheme.New(gvk)
	check(err)
	merged, err := strategicpatch.StrategicMergeMapPatch(copyOf(original).(object), copyOf(patch).(object), dataStruct)
	if err != nil {
		return nil, err.Error(), true
	}
	return copyOf(map[string]any(merged)), "", true
}

// strategicPatch makes a patch: what a client computes between two versions, a random object, or
// either with directives strewn in.
func (s source) strategicPatch(gvk schema.GroupVersionKind, original object) (object, bool) {
	other, err := stored(s.object(gvk, 20))
	if err != nil {
		return nil, false
	}
	modified, _ := s.mix(original, other).(object)
	s.name(modified, gvk)
	modified, err = stored(modified)
	if err != nil {
		return nil, false
	}
	var patch object
	switch n := s.IntN(10); {
	case n < 4:
		dataStruct, _ := scheme.Scheme.New(gvk)
		made, err := strategicpatch.CreateTwoWayMergePatch([]byte(text(original)), []byte(text(modified)), dataStruct)
		if err != nil {
			return nil, false
		}
		v, err := parse(string(made))
		check(err)
		patch = v.(object)
		if s.chance(50) {
			return patch, true
		}
	case n < 7:
		patch = copyOf(modified).(object)
	default:
		patch = copyOf(other).(object)
	}
	types, _ := typeOf(gvk)
	s.types = types
	s.disturb(patch, original, 0)
	return patch, true
}

// disturb puts nulls and directives into a patch.
func (s source) disturb(patch, original object, depth int) {
	for _, key := range keysOf(patch) {
		value := patch[key]
		before := original[key]
		if strings.HasPrefix(key, "$") {
			continue
		}
		switch v := value.(type) {
		case object:
			inner, _ := before.(object)
			if inner == nil {
				inner = object{}
			}
			s.disturb(v, inner, depth+1)
			switch n := s.IntN(100); {
			case n < 3 && depth > 0:
				v["$patch"] = pick(s, []any{"replace", "delete", "merge", "replace"})
			case n < 5:
				keep := []any{}
				for _, k := range keysOf(v) {
					if !strings.HasPrefix(k, "$") && !s.chance(10) {
						keep = append(keep, k)
					}
				}
				v["$retainKeys"] = keep
			case n < 6:
				patch[key] = pick(s, []any{"a", int64(1), []any{}, nil})
			}
		case []any:
			list, _ := before.([]any)
			patch[key] = s.disturbList(patch, key, v, list, depth)
		default:
			if depth > 0 && s.chance(4) {
				patch[key] = nil
			}
		}
	}
	for _, key := range keysOf(original) {
		if _, ok := patch[key]; !ok && depth > 0 && s.chance(8) {
			patch[key] = nil
		}
	}
}

func (s source) disturbList(patch object, key string, list, before []any, depth int) any {
	mergeKey := keyOf(before, list)
	for _, item := range list {
		m, ok := item.(object)
		if !ok {
			continue
		}
		inner := object{}
		for _, candidate := range before {
			if b, ok := candidate.(object); ok && mergeKey != "" && reflect.DeepEqual(b[mergeKey], m[mergeKey]) {
				inner = b
			}
		}
		s.disturb(m, inner, depth+1)
		switch n := s.IntN(100); {
		case n < 6:
			m["$patch"] = "delete"
		case n < 7:
			m["$patch"] = pick(s, []any{"replace", "merge", "x"})
		case n < 8 && mergeKey != "":
			delete(m, mergeKey)
		}
	}
	if s.chance(3) {
		list = append([]any{object{"$patch": "replace"}}, list...)
	}
	isScalar := mergeKey == "" && len(list)+len(before) > 0
	for _, v := range append(append([]any{}, list...), before...) {
		if _, ok := v.(object); ok {
			isScalar = false
		}
	}
	if isScalar && s.chance(25) {
		patch["$deleteFromPrimitiveList/"+key] = s.some(append(append([]any{}, before...), list...))
	}
	if _, ok := patch["$setElementOrder/"+key]; !ok && s.chance(30) {
		order := []any{}
		seen := map[string]bool{}
		for _, item := range append(append([]any{}, list...), s.some(before)...) {
			var entry any = item
			if m, ok := item.(object); ok {
				if mergeKey == "" || m[mergeKey] == nil || m["$patch"] != nil {
					continue
				}
				entry = object{mergeKey: m[mergeKey]}
			}
			if !seen[text(entry)] {
				seen[text(entry)] = true
				order = append(order, entry)
			}
		}
		if s.chance(20) {
			s.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		patch["$setElementOrder/"+key] = order
	}
	if s.chance(2) {
		return pick(s, []any{nil, "a", object{"a": "b"}})
	}
	return list
}

func (s source) some(list []any) []any {
	out := []any{}
	for _, v := range list {
		if s.chance(50) {
			out = append(out, v)
		}
	}
	return out
}

// keyOf guesses the key of the items of a list.
func keyOf(lists ...[]any) string {
	for _, list := range lists {
		for _, item := range list {
			m, ok := item.(object)
			if !ok {
				return ""
			}
			for _, key := range []string{"mountPath", "containerPort", "port", "uid", "ip", "topologyKey", "type", "name", "key"} {
				if _, ok := m[key]; ok {
					return key
				}
			}
		}
	}
	return ""
}

// jsonCases: {doc, patch, merge: bool} → {d or o} or {error}.
func jsonCases(random *rand.Rand, count int) []any {
	s := source{Rand: random}
	var cases []any
	for len(cases) < 2*count {
		doc := s.tree(0)
		merge := len(cases)%2 == 1
		var patch any
		if merge {
			patch = s.tree(0)
			if s.chance(5) {
				patch = pick(s, []any{[]any{"a", nil, object{"b": nil}}, "a", int64(1)})
			}
		} else {
			operations := []any{}
			for range 1 + s.IntN(3) {
				operations = append(operations, s.operation(doc))
			}
			patch = operations
		}
		c := object{"doc": doc, "patch": patch, "merge": merge}
		result, problem, ok := applyJSON(doc, patch, merge)
		if !ok {
			continue
		}
		if problem != "" {
			c["error"] = problem
		} else {
			c["o"] = result
		}
		cases = append(cases, c)
	}
	return cases
}

// tree makes any JSON object.
func (s source) tree(depth int) object {
	out := object{}
	for _, key := range []string{"a", "b", "c", "d/e", "f~g"} {
		if s.chance(60) {
			out[key] = s.branch(depth)
		}
	}
	return out
}

func (s source) branch(depth int) any {
	switch n := s.IntN(12); {
	case n < 3 && depth < 3:
		return s.tree(depth + 1)
	case n < 6 && depth < 3:
		out := []any{}
		for range s.IntN(4) {
			out = append(out, s.branch(depth+1))
		}
		return out
	case n < 8:
		return pick(s, words)
	case n < 9:
		return pick(s, numbers)
	case n < 10:
		return s.chance(50)
	case n < 11 && depth > 0:
		return nil
	default:
		return "x"
	}
}

func (s source) operation(doc object) any {
	op := object{"op": pick(s, []string{"add", "remove", "replace", "move", "copy", "test"})}
	if s.chance(3) {
		op["op"] = pick(s, []any{"x", int64(1), nil})
	}
	op["path"] = s.pointer(doc)
	if op["op"] == "move" || op["op"] == "copy" || s.chance(5) {
		op["from"] = s.pointer(doc)
	}
	if op["op"] != "remove" && s.chance(95) {
		op["value"] = s.branch(1)
		if op["op"] == "test" && s.chance(60) {
			if v, ok := lookup(doc, op["path"].(string)); ok {
				op["value"] = copyOf(v)
			}
		}
	}
	switch s.IntN(60) {
	case 0:
		delete(op, "path")
	case 1:
		op["path"] = int64(1)
	case 2:
		delete(op, "from")
	}
	return op
}

// pointer makes a path that leads somewhere, or nearly.
func (s source) pointer(at any) string {
	path := ""
	for {
		switch v := at.(type) {
		case object:
			if len(v) == 0 || s.chance(15) {
				return path + "/" + pick(s, []string{"a", "b", "z", "d~1e", "f~0g", "-", ""})
			}
			key := pick(s, keysOf(v))
			path += "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
			at = v[key]
		case []any:
			if len(v) == 0 || s.chance(25) {
				return path + "/" + pick(s, []string{"0", "1", "-", "-1", "-5", "7", "x", "01"})
			}
			i := s.IntN(len(v))
			path += fmt.Sprintf("/%d", i)
			at = v[i]
		default:
			if s.chance(10) {
				return path + "/a"
			}
			return path
		}
		if s.chance(30) {
			return path
		}
	}
}

func lookup(at any, path string) (any, bool) {
	for _, part := range strings.Split(path, "/")[1:] {
		switch v := at.(type) {
		case object:
			at = v[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		case []any:
			var i int
			if err := json.Unmarshal([]byte(part), &i); err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			at = v[i]
		default:
			return nil, false
		}
	}
	return at, true
}
