package main

import (
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
