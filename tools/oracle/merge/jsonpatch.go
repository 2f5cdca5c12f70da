package main

import (
	"math/rand/v2"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
)

// applyJSON applies a JSON patch or a merge patch with the library that the API server uses.
func applyJSON(doc object, patch any, merge bool) (result any, problem string, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	var out []byte
	var err error
	if merge {
		out, err = jsonpatch.MergePatch([]byte(text(doc)), []byte(text(patch)))
	} else {
		var decoded jsonpatch.Patch
		decoded, err = jsonpatch.DecodePatch([]byte(text(patch)))
		if err == nil {
			out, err = decoded.Apply([]byte(text(doc)))
		}
	}
	if err != nil {
		return nil, err.Error(), true
	}
	result, err = parse(string(out))
	return result, "", err == nil
}

// againCases: {doc, patch} → {o: document after the merge patch, again: after it a second time}. Half
// of them put lists that hold nulls where objects were, the one thing that does not come out the same.
func againCases(random *rand.Rand, count int) []any {
	s := source{Rand: random}
	var cases []any
	for len(cases) < count {
		doc, patch := s.tree(0), s.tree(0)
		if len(cases)%2 == 0 {
			if keys := keysOf(doc); len(keys) > 0 {
				key := pick(s, keys)
				doc[key] = s.tree(1)
				patch[key] = []any{s.tree(1), nil, object{"a": nil, "b": []any{object{"c": nil, "d": "x"}}}}
			}
		}
		once, problem, ok := applyJSON(doc, patch, true)
		if !ok || problem != "" {
			continue
		}
		twice, problem, ok := applyJSON(once.(object), patch, true)
		if !ok || problem != "" {
			continue
		}
		cases = append(cases, object{"doc": doc, "patch": patch, "o": once, "again": twice})
	}
	return cases
}
