// Command facts prints what Kubernetes' own Go types say of themselves, as JSON on standard
// output: Go names, JSON names, presence rules, protobuf numbers, enum constants, and the list
// rules and defaults that server-side apply uses. tools/schema/generate.py reads it.
package main

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"reflect"
	"sort"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/applyconfigurations"
	"k8s.io/client-go/kubernetes/scheme"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/structured-merge-diff/v6/schema"
)

// field is one JSON field (or one embedded struct) of a Go struct.
type field struct {
	Name      string   `json:"name,omitempty"`
	Inline    string   `json:"inline,omitempty"`
	Shape     string   `json:"shape,omitempty"`
	Go        string   `json:"go,omitempty"`
	Pointer   bool     `json:"pointer,omitempty"`
	OmitEmpty bool     `json:"omitempty,omitempty"`
	OmitZero  bool     `json:"omitzero,omitempty"`
	Proto     int      `json:"proto,omitempty"`
	Strategy  string   `json:"strategy,omitempty"`
	MergeKey  string   `json:"mergeKey,omitempty"`
	Enum      []string `json:"enum,omitempty"`
}

type kind struct {
	Group   string `json:"group"`
	Version string `json:"version"`
	Kind    string `json:"kind"`
	Type    string `json:"type"`
}

type collector struct {
	types map[string][]field
	todo  []reflect.Type
	enums map[string][]string
}

// special names the types whose JSON form is not the one of their Go structure.
var special = map[string]string{
	"k8s.io/apimachinery/pkg/api/resource.Quantity":                                         "quantity",
	"k8s.io/apimachinery/pkg/util/intstr.IntOrString":                                       "intorstring",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Time":                                             "time",
	"k8s.io/apimachinery/pkg/apis/meta/v1.MicroTime":                                        "microtime",
	"k8s.io/apimachinery/pkg/apis/meta/v1.Duration":                                         "duration",
	"k8s.io/apimachinery/pkg/apis/meta/v1.FieldsV1":                                         "any",
	"k8s.io/apimachinery/pkg/runtime.RawExtension":                                          "any",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSON":                         "any",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrArray":       "any",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrBool":        "any",
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1.JSONSchemaPropsOrStringArray": "any",
}

func fullName(t reflect.Type) string { return t.PkgPath() + "." + t.Name() }

// shape renders a type in the table's notation and queues the structs it meets.
func (c *collector) shape(t reflect.Type) string {
	if s, ok := special[fullName(t)]; ok {
		return s
	}
	switch t.Kind() {
	case reflect.Pointer:
		return c.shape(t.Elem())
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	case reflect.Int32:
		return "int32"
	case reflect.Int64, reflect.Int:
		return "int64"
	case reflect.Float64:
		return "float"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return "bytes"
		}
		return "[]" + c.shape(t.Elem())
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			fail("map key of %v is no string", t)
		}
		return "{}" + c.shape(t.Elem())
	case reflect.Struct:
		c.todo = append(c.todo, t)
		return fullName(t)
	}
	fail("no shape for %v", t)
	return ""
}

// goName is the type as Go's errors print it; pointers are followed, as the decoder does.
func goName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.String()
}

func (c *collector) enum(t reflect.Type) []string {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return c.enums[fullName(t)]
}

func (c *collector) visit(t reflect.Type) {
	if _, done := c.types[fullName(t)]; done {
		return
	}
	c.types[fullName(t)] = nil
	var out []field
	for i := 0; i < t.NumField(); i++ {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		number := 0
		if parts := strings.Split(f.Tag.Get("protobuf"), ","); len(parts) > 1 {
			number, _ = strconv.Atoi(parts[1])
		}
		if name == "" {
			if !f.Anonymous {
				fail("%v.%s has no JSON name", t, f.Name)
			}
			out = append(out, field{Inline: c.shape(f.Type), Proto: number})
			continue
		}
		out = append(out, field{
			Name: name, Shape: c.shape(f.Type), Go: goName(f.Type),
			Pointer:   f.Type.Kind() == reflect.Pointer,
			OmitEmpty: strings.Contains(options, "omitempty"),
			OmitZero:  strings.Contains(options, "omitzero"),
			Proto:     number,
			Strategy:  f.Tag.Get("patchStrategy"), MergeKey: f.Tag.Get("patchMergeKey"),
			Enum: c.enum(f.Type),
		})
	}
	c.types[fullName(t)] = out
}

// enums reads the constants of the string types that are marked `+enum`.
func enums(packages []string) map[string][]string {
	args := append([]string{"list", "-f", "{{.ImportPath}}\t{{.Dir}}"}, packages...)
	text, err := exec.Command("go", args...).Output()
	if err != nil {
		fail("go list: %v", err)
	}
	found := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		path, dir, _ := strings.Cut(line, "\t")
		parsed, err := parser.ParseDir(token.NewFileSet(), dir, nil, parser.ParseComments)
		if err != nil {
			fail("%s: %v", dir, err)
		}
		for _, p := range parsed {
			for _, f := range p.Files {
				enumsOfFile(path, f, found)
			}
		}
	}
	marked := map[string][]string{}
	for name, values := range found {
		marker := false
		var texts []string
		for _, v := range values {
			if v == "" {
				marker = true
			} else {
				texts = append(texts, v[1:])
			}
		}
		if marker {
			sort.Strings(texts)
			marked[name] = texts
		}
	}
	return marked
}

// enumsOfFile adds "" for a marked type and "=VALUE" for each constant of a type.
func enumsOfFile(path string, f *ast.File, found map[string][]string) {
	for _, d := range f.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, s := range decl.Specs {
			switch spec := s.(type) {
			case *ast.TypeSpec:
				doc := spec.Doc
				if doc == nil {
					doc = decl.Doc
				}
				if doc == nil {
					continue
				}
				for _, line := range doc.List {
					if strings.TrimSpace(strings.TrimPrefix(line.Text, "//")) == "+enum" {
						found[path+"."+spec.Name.Name] = append(found[path+"."+spec.Name.Name], "")
					}
				}
			case *ast.ValueSpec:
				id, ok := spec.Type.(*ast.Ident)
				if !ok || decl.Tok != token.CONST {
					continue
				}
				for _, v := range spec.Values {
					if lit, ok := v.(*ast.BasicLit); ok && lit.Kind == token.STRING {
						text, _ := strconv.Unquote(lit.Value)
						found[path+"."+id.Name] = append(found[path+"."+id.Name], "="+text)
					}
				}
			}
		}
	}
}

// applySchema is the schema that typed server-side apply clients carry: list rules and defaults.
func applySchema(s *runtime.Scheme) any {
	object := &corev1.Pod{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}}
	typed, err := applyconfigurations.NewTypeConverter(s).ObjectToTyped(object)
	if err != nil {
		fail("%v", err)
	}
	out := map[string][]applyField{}
	for _, t := range typed.Schema().Types {
		fields := []applyField{}
		if t.Map != nil {
			fields = append(fields, applyField{Relation: string(t.Map.ElementRelationship)})
			for _, f := range t.Map.Fields {
				fields = append(fields, flat(f))
			}
		}
		out[t.Name] = fields
	}
	return out
}

// applyField is one field's rule; the one without a name is the whole type's.
type applyField struct {
	Name     string   `json:"name,omitempty"`
	List     bool     `json:"list,omitempty"`
	Relation string   `json:"relation,omitempty"`
	Keys     []string `json:"keys,omitempty"`
	Default  any      `json:"default,omitempty"`
}

func flat(f schema.StructField) applyField {
	out := applyField{Name: f.Name}
	switch d := f.Default.(type) {
	case string, bool, int, int64, float64:
		out.Default = d
	}
	if list := f.Type.Inlined.List; list != nil {
		out.List, out.Relation, out.Keys = true, string(list.ElementRelationship), list.Keys
	} else if m := f.Type.Inlined.Map; m != nil {
		out.Relation = string(m.ElementRelationship)
	} else if r := f.Type.ElementRelationship; r != nil {
		out.Relation = string(*r)
	}
	return out
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "facts: "+format+"\n", args...)
	os.Exit(1)
}

func main() {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, apiext.AddToScheme, aggregator.AddToScheme} {
		if err := add(s); err != nil {
			fail("%v", err)
		}
	}
	c := &collector{types: map[string][]field{}}
	packages := map[string]bool{"k8s.io/apimachinery/pkg/apis/meta/v1": true}
	var kinds []kind
	for gvk, t := range s.AllKnownTypes() {
		if gvk.Version == runtime.APIVersionInternal {
			continue
		}
		packages[t.PkgPath()] = true
		kinds = append(kinds, kind{gvk.Group, gvk.Version, gvk.Kind, fullName(t)})
		c.todo = append(c.todo, t)
	}
	sort.Slice(kinds, func(i, j int) bool { return fmt.Sprint(kinds[i]) < fmt.Sprint(kinds[j]) })
	var paths []string
	for p := range packages {
		paths = append(paths, p)
	}
	c.enums = enums(paths)
	for _, extra := range []any{metav1.DeleteOptions{}, metav1.Status{}, metav1.ObjectMeta{}, metav1.ListMeta{}} {
		c.todo = append(c.todo, reflect.TypeOf(extra))
	}
	for len(c.todo) > 0 {
		t := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		if _, isSpecial := special[fullName(t)]; !isSpecial {
			c.visit(t)
		}
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(map[string]any{"kinds": kinds, "types": c.types, "apply": applySchema(s)}); err != nil {
		fail("%v", err)
	}
}
