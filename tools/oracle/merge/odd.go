package main

import (
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	smd "sigs.k8s.io/structured-merge-diff/v6/schema"
)

// place is a list with identity somewhere in a kind: the members that lead to it from the object.
type place struct {
	gvk  schema.GroupVersionKind
	path []step
	list *smd.List
}

// step is a member on the way to a place; through a list, the item needs its keys.
type step struct {
	name string
	list *smd.List // nil: an object
}

// oddCases apply lists whose items have strange identities: without their keys, with null or empty
// ones, twice the same, null themselves. Each configuration is applied twice, then by another
// manager, then without the list, and at last somebody writes it. Of all cases every `every`th is
// kept, and all of the kinds that are known for trouble.
func oddCases(every int) []any {
	var cases []any
	seen := map[string]bool{}
	number := 0
	for _, gvk := range unique(append(append([]schema.GroupVersionKind{}, kinds...), others...)) {
		types, ref := typeOf(gvk)
		w := walker{types: types, gvk: gvk, seen: seen}
		w.walk(ref, nil, "")
		for _, p := range w.found {
			for _, items := range w.oddItems(p.list) {
				for _, live := range []bool{false, true} {
					number++
					last := p.path[len(p.path)-1].name
					if number%every != 0 && last != "webhooks" && last != "secrets" {
						continue
					}
					if c := oddCase(w, p, items, live); c != nil {
						cases = append(cases, c)
					}
				}
			}
		}
	}
	return cases
}

func unique(in []schema.GroupVersionKind) []schema.GroupVersionKind {
	var out []schema.GroupVersionKind
	seen := map[schema.GroupVersionKind]bool{}
	for _, gvk := range in {
		if !seen[gvk] {
			seen[gvk] = true
			out = append(out, gvk)
		}
	}
	return out
}

type walker struct {
	types *smd.Schema
	gvk   schema.GroupVersionKind
	seen  map[string]bool
	found []place
}

// walk collects the lists with identity below a type, each once for all kinds.
func (w *walker) walk(ref smd.TypeRef, path []step, owner string) {
	if ref.NamedType != nil {
		owner = *ref.NamedType
		if strings.HasPrefix(owner, "__") || len(path) > 9 {
			return
		}
	}
	atom, ok := w.types.Resolve(ref)
	if !ok {
		return
	}
	if atom.Map != nil && atom.Map.ElementRelationship != smd.Atomic {
		for _, field := range atom.Map.Fields {
			if field.Name == "managedFields" {
				continue
			}
			w.member(field, append(path[:len(path):len(path)], step{name: field.Name}), owner)
		}
	}
}

func (w *walker) member(field smd.StructField, path []step, owner string) {
	atom, _ := w.types.Resolve(field.Type)
	id := owner + "." + field.Name
	if w.seen[id] {
		return
	}
	w.seen[id] = true
	if atom.List == nil {
		w.walk(field.Type, path, owner)
		return
	}
	if atom.List.ElementRelationship != smd.Associative {
		return
	}
	w.found = append(w.found, place{w.gvk, path, atom.List})
	if len(atom.List.Keys) > 0 {
		through := append([]step{}, path...)
		through[len(through)-1].list = atom.List
		w.walk(atom.List.ElementType, through, owner)
	}
}

// sound is an ordinary value for a key of an item.
func (w *walker) sound(list *smd.List, key, text string) any {
	atom, _ := w.types.Resolve(list.ElementType)
	field, _ := atom.Map.FindField(key)
	scalar, _ := w.types.Resolve(field.Type)
	if scalar.Scalar != nil && *scalar.Scalar == smd.Numeric {
		return int64(len(text))
	}
	if key == "protocol" {
		return map[string]any{"a": "TCP", "bb": "UDP"}[text]
	}
	return text
}

// item has ordinary keys, but for the changed ones; what "absent" stands for is left out.
func (w *walker) item(list *smd.List, text string, changed object) object {
	out := object{}
	for _, key := range list.Keys {
		out[key] = w.sound(list, key, text)
	}
	for key, v := range changed {
		if v == "absent" {
			delete(out, key)
		} else {
			out[key] = v
		}
	}
	return out
}

func (w *walker) oddItems(list *smd.List) [][]any {
	if len(list.Keys) == 0 {
		return [][]any{{"a", "a"}, {""}, {nil}, {"", ""}, {"a", nil}, {}, {object{}}, {"a", "b", "a"}}
	}
	sound := w.item(list, "a", nil)
	out := [][]any{{object{}}, {object{}, object{}}, {nil}, {sound, sound}, {}, {sound, object{}},
		{sound, nil}, {object{}, w.item(list, "bb", nil), sound}}
	for _, key := range list.Keys {
		zero := any("")
		if _, ok := w.sound(list, key, "a").(int64); ok {
			zero = int64(0)
		}
		for _, v := range []any{nil, zero, "absent"} {
			odd := w.item(list, "a", object{key: v})
			out = append(out, []any{odd}, []any{odd, w.item(list, "bb", nil)}, []any{odd, odd},
				[]any{sound, odd})
		}
		out = append(out, []any{w.item(list, "a", object{key: zero}), w.item(list, "a", object{key: "absent"})},
			[]any{w.item(list, "a", object{key: nil}), w.item(list, "a", object{key: zero})})
	}
	// Something beside the keys.
	atom, _ := w.types.Resolve(list.ElementType)
	if other := beside(w.types, atom.Map, list.Keys); other != "" {
		out = append(out, []any{object{other: "c"}}, []any{object{other: "c"}, object{other: "d"}},
			[]any{w.item(list, "a", object{other: nil})}, []any{object{list.Keys[0]: nil, other: "c"}})
	}
	return out
}

// beside is a text member of an item that is none of its keys.
func beside(types *smd.Schema, m *smd.Map, keys []string) string {
	var names []string
	for _, field := range m.Fields {
		atom, _ := types.Resolve(field.Type)
		isKey := strings.Contains(" "+strings.Join(keys, " ")+" ", " "+field.Name+" ")
		named := field.Type.NamedType != nil && !strings.HasPrefix(*field.Type.NamedType, "__")
		if !isKey && !named && atom.Scalar != nil && *atom.Scalar == smd.String {
			names = append(names, field.Name)
		}
	}
	sort.Strings(names)
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

// at makes an object with a value at a place.
func (w *walker) at(p place, value any) object {
	for i := len(p.path) - 1; i >= 0; i-- {
		s := p.path[i]
		if s.list != nil && i < len(p.path)-1 {
			item := w.item(s.list, "a", nil)
			for key, v := range value.(object) {
				item[key] = v
			}
			value = []any{item}
		}
		value = object{s.name: value}
	}
	out := value.(object)
	source{}.name(out, p.gvk)
	return out
}

func oddCase(w walker, p place, items []any, live bool) any {
	c := cluster{gvk: p.gvk}
	var steps []any
	take := func(run func(c *cluster) object) bool {
		next, step, ok := deterministic(c, run)
		if ok {
			c, steps = next, append(steps, step)
		}
		return ok
	}
	if live {
		// Somebody wrote the list before, and an item of their own.
		before := append([]any{}, items...)
		if len(p.list.Keys) > 0 {
			before = append(before, w.item(p.list, "bb", nil))
		} else {
			before = append(before, "bb")
		}
		to, err := stored(w.at(p, before))
		if err != nil || !take(func(c *cluster) object { return c.update(to, "before", "") }) {
			return nil
		}
	}
	config, none := w.at(p, items), object{}
	source{}.name(none, p.gvk)
	subresource := ""
	if p.path[0].name == "status" {
		subresource = "status"
	}
	apply := func(config object, manager string, force bool) func(c *cluster) object {
		return func(c *cluster) object { return c.apply(config, manager, force, subresource) }
	}
	for _, run := range []func(c *cluster) object{apply(config, "first", true), apply(config, "first", false),
		apply(config, "second", false), apply(none, "first", false), apply(config, "second", true)} {
		if !take(run) {
			break
		}
	}
	if to, err := stored(w.at(p, items)); err == nil && c.live != nil {
		metadata := to["metadata"].(object)
		metadata["uid"] = "u1"
		if owners, ok := c.live["metadata"].(object)["managedFields"]; ok {
			metadata["managedFields"] = copyOf(owners)
		}
		take(func(c *cluster) object { return c.update(to, "after", "") })
	}
	return object{"kind": p.gvk.GroupVersion().String() + " " + p.gvk.Kind, "steps": steps}
}
