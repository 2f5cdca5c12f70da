// Command oracle writes golden answers of Kubernetes' own decoders: for request bodies of every
// kind, what they become (or the error they get) in JSON, and what their protobuf form is.
//
//	cd tools/schema && go run ./oracle ../../crates/schema/tests/golden
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"time"

	apiext "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	jsonserializer "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/scheme"
	aggregator "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"
	"sigs.k8s.io/randfill"
)

// jsonCase is one body and what the strict decoder of the API server makes of it.
type jsonCase struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	In         string          `json:"in"`
	Out        json.RawMessage `json:"out,omitempty"`
	Strict     string          `json:"strict,omitempty"`
	Err        string          `json:"err,omitempty"`
}

// protoCase is one object in protobuf and in JSON.
type protoCase struct {
	APIVersion string          `json:"apiVersion"`
	Kind       string          `json:"kind"`
	Proto      string          `json:"proto"`
	Out        json.RawMessage `json:"out"`
}

var words = []string{"a", "web", "x-y", "app.kubernetes.io/name", "ü", "0", "TCP", "long-value-with-many-characters"}

func filler(r *rand.Rand) *randfill.Filler {
	word := func() string { return words[r.Intn(len(words))] }
	return randfill.New().RandSource(rand.NewSource(r.Int63())).NilChance(0.72).NumElements(0, 2).MaxDepth(14).Funcs(
		func(s *string, c randfill.Continue) { *s = word() },
		func(s *types.UID, c randfill.Continue) { *s = types.UID(word()) },
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			if c.Intn(10) == 0 {
				c.FillNoCustom(m)
				return
			}
			m.Name = word()
			if c.Bool() {
				m.Labels = map[string]string{word(): word()}
			}
		},
		func(t *metav1.Time, c randfill.Continue) {
			if c.Intn(3) > 0 {
				*t = metav1.NewTime(time.Unix(c.Int63n(4e9), c.Int63n(1e9)).UTC())
			}
		},
		func(t *metav1.MicroTime, c randfill.Continue) {
			if c.Intn(3) > 0 {
				*t = metav1.NewMicroTime(time.Unix(c.Int63n(4e9), c.Int63n(1e9)).UTC())
			}
		},
		func(d *metav1.Duration, c randfill.Continue) { d.Duration = time.Duration(c.Int63n(1e14)) },
		func(q *resource.Quantity, c randfill.Continue) {
			*q = resource.MustParse([]string{"0", "1", "100m", "1500m", "2Gi", "1536Mi", "12e6", "0.5", "1000k", "-3"}[c.Intn(10)])
		},
		func(v *intstr.IntOrString, c randfill.Continue) {
			if c.Bool() {
				*v = intstr.FromInt32(c.Int31n(70000) - 5)
			} else {
				*v = intstr.FromString("25%")
			}
		},
		func(v *runtime.RawExtension, c randfill.Continue) { v.Raw = []byte(`{"a":{"b":[1,"x"]}}`) },
		func(v *metav1.FieldsV1, c randfill.Continue) { v.Raw = []byte(`{"f:a":{"f:b":{}}}`) },
		func(v *apiext.JSON, c randfill.Continue) { v.Raw = []byte(`[1,{"a":null}]`) },
		func(v *apiext.JSONSchemaProps, c randfill.Continue) {
			v.Type, v.Description = "object", "d"
			v.AdditionalProperties = &apiext.JSONSchemaPropsOrBool{Allows: c.Bool()}
			v.Items = &apiext.JSONSchemaPropsOrArray{Schema: &apiext.JSONSchemaProps{Type: "string"}}
		},
		func(v *[]byte, c randfill.Continue) {
			*v = make([]byte, c.Intn(5)+1)
			r.Read(*v)
		},
		func(v *int64, c randfill.Continue) { *v = c.Int63n(7) * c.Int63n(1e12) },
		func(v *int32, c randfill.Continue) { *v = c.Int31n(7) * c.Int31n(1000) },
		func(v *float64, c randfill.Continue) { *v = float64(c.Intn(100)) / 4 },
	)
}

// weird is a value to put where they do not belong.
func weird(r *rand.Rand) any {
	values := []any{"text", "", float64(7), float64(-1), 1.5, 3e9, true, nil, []any{}, []any{"x"}, map[string]any{}, map[string]any{"k": "v"}}
	return values[r.Intn(len(values))]
}

// mutate changes one random place of a tree; a key with a NUL at its end is written as a duplicate.
func mutate(r *rand.Rand, node any) any {
	switch v := node.(type) {
	case map[string]any:
		keys := sorted(v)
		if len(keys) == 0 || r.Intn(12) == 0 {
			v["extra"] = weird(r)
			return v
		}
		k := keys[r.Intn(len(keys))]
		if _, scalar := v[k].(string); scalar && r.Intn(6) == 0 {
			v[k+"\x00"] = v[k]
			return v
		}
		v[k] = mutate(r, v[k])
		return v
	case []any:
		if len(v) == 0 || r.Intn(8) == 0 {
			return weird(r)
		}
		i := r.Intn(len(v))
		v[i] = mutate(r, v[i])
		return v
	default:
		return weird(r)
	}
}

func sorted(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func write(b *bytes.Buffer, node any) {
	switch v := node.(type) {
	case map[string]any:
		b.WriteByte('{')
		for i, k := range sorted(v) {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, strings.TrimSuffix(k, "\x00"))
			b.WriteByte(':')
			write(b, v[strings.TrimSuffix(k, "\x00")])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			write(b, item)
		}
		b.WriteByte(']')
	default:
		text, err := json.Marshal(v)
		check(err)
		b.Write(text)
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle:", err)
		os.Exit(1)
	}
}

type oracle struct {
	scheme *runtime.Scheme
	json   *jsonserializer.Serializer
	proto  *protobuf.Serializer
}

func (o *oracle) answer(gvk schema.GroupVersionKind, in string) jsonCase {
	c := jsonCase{APIVersion: gvk.GroupVersion().String(), Kind: gvk.Kind, In: in}
	obj, _, err := o.json.Decode([]byte(in), &gvk, nil)
	if err != nil && !runtime.IsStrictDecodingError(err) {
		c.Err = err.Error()
		return c
	}
	if err != nil {
		c.Strict = err.Error()
	}
	c.Out, err = json.Marshal(obj)
	check(err)
	return c
}

func (o *oracle) random(r *rand.Rand, gvk schema.GroupVersionKind) runtime.Object {
	obj, err := o.scheme.New(gvk)
	check(err)
	filler(r).Fill(obj)
	obj.GetObjectKind().SetGroupVersionKind(gvk)
	if accessor, ok := obj.(metav1.Object); ok && r.Intn(4) > 0 {
		accessor.SetManagedFields(nil)
	}
	return obj
}

func tree(obj runtime.Object) map[string]any {
	text, err := json.Marshal(obj)
	check(err)
	var out map[string]any
	check(json.Unmarshal(text, &out))
	return out
}

func create(dir, name string) (*json.Encoder, func()) {
	f, err := os.Create(filepath.Join(dir, name))
	check(err)
	w := bufio.NewWriter(f)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e, func() { check(w.Flush()); check(f.Close()) }
}

// skipped are kinds that no request to the API server carries.
var skipped = map[string]bool{"SerializedReference": true, "RangeAllocation": true, "ConversionReview": true}

func kinds(s *runtime.Scheme) []schema.GroupVersionKind {
	var out []schema.GroupVersionKind
	for gvk, t := range s.AllKnownTypes() {
		options := strings.HasSuffix(gvk.Kind, "Options") && gvk.Group != ""
		generic := t.PkgPath() == reflect.TypeOf(metav1.Status{}).PkgPath() && gvk.Kind != "DeleteOptions"
		stable := len(gvk.Version) == 2 && gvk.Version[0] == 'v'
		list := strings.HasSuffix(gvk.Kind, "List")
		if stable && !options && !generic && !list && !skipped[gvk.Kind] {
			out = append(out, gvk)
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].String() < out[j].String() })
	return out
}

// body is a random request body of a kind, changed in up to three places.
func (o *oracle) body(r *rand.Rand, gvk schema.GroupVersionKind) string {
	t := tree(o.random(r, gvk))
	var body any = t
	for n := r.Intn(4); n > 0; n-- {
		body = mutate(r, body)
	}
	if m, ok := body.(map[string]any); ok {
		m["apiVersion"], m["kind"] = gvk.GroupVersion().String(), gvk.Kind
		delete(m, "kind\x00")
		delete(m, "apiVersion\x00")
	}
	var b bytes.Buffer
	write(&b, body)
	return b.String()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: oracle DIR")
		os.Exit(2)
	}
	s := runtime.NewScheme()
	check(scheme.AddToScheme(s))
	check(apiext.AddToScheme(s))
	check(aggregator.AddToScheme(s))
	o := &oracle{
		scheme: s,
		json:   jsonserializer.NewSerializerWithOptions(jsonserializer.DefaultMetaFactory, s, s, jsonserializer.SerializerOptions{Strict: true}),
		proto:  protobuf.NewSerializer(s, s),
	}
	r := rand.New(rand.NewSource(137))
	bodies, closeBodies := create(os.Args[1], "json.jsonl")
	for _, c := range handmade {
		gvk := schema.FromAPIVersionAndKind(c[0], c[1])
		check(bodies.Encode(o.answer(gvk, c[2])))
	}
	messages, closeMessages := create(os.Args[1], "proto.jsonl")
	for _, gvk := range kinds(s) {
		for found, tries := 0, 0; found < 8 && tries < 200; tries++ {
			if text := o.body(r, gvk); len(text) < 1400 {
				check(bodies.Encode(o.answer(gvk, text)))
				found++
			}
		}
		for found, tries := 0, 0; found < 6 && tries < 200; tries++ {
			var b bytes.Buffer
			check(o.proto.Encode(o.random(r, gvk), &b))
			if b.Len() > 700 {
				continue
			}
			found++
			back, _, err := o.proto.Decode(b.Bytes(), nil, nil)
			check(err)
			back.GetObjectKind().SetGroupVersionKind(gvk)
			out, err := json.Marshal(back)
			check(err)
			check(messages.Encode(protoCase{gvk.GroupVersion().String(), gvk.Kind, base64.StdEncoding.EncodeToString(b.Bytes()), out}))
		}
	}
	closeBodies()
	closeMessages()
}
