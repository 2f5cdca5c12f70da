// Writes objects with the readiness that sigs.k8s.io/cli-utils (pkg/kstatus/status) gives them:
// the golden file that crates/kube/src/readiness.rs is compared with.
//
// To make it again, in this folder:
//
//	go run . -seed 1 -random 4000 > ../../../crates/kube/tests/golden/kstatus.jsonl
//
// One JSON object a line: "object" as it was judged, and either "status", "message" and
// "conditions", or "error": true where the library answers with an error or gives up.
// The same seed gives the same bytes. Nothing depends on the day: creation times are in 2020
// (long ago for the rule about unscheduled pods) or in 2099 (always just now).
package main

import (
	"bufio"
	"bytes"
	stdjson "encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

type row struct {
	Object     stdjson.RawMessage `json:"object"`
	Error      bool               `json:"error,omitempty"`
	Status     string             `json:"status,omitempty"`
	Message    string             `json:"message,omitempty"`
	Conditions []condition        `json:"conditions,omitempty"`
}

func main() {
	seed := flag.Uint64("seed", 1, "seed of the random objects")
	count := flag.Int("random", 4000, "how many random objects")
	flag.Parse()

	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for _, text := range handMade {
		emit(out, []byte(text))
	}
	g := &generator{rand.New(rand.NewPCG(*seed, 0))}
	for range *count {
		data, err := stdjson.Marshal(g.object())
		if err != nil {
			fail(err)
		}
		emit(out, data)
	}
}

func emit(out *bufio.Writer, data []byte) {
	var compact bytes.Buffer
	if err := stdjson.Compact(&compact, data); err != nil {
		fail(fmt.Errorf("%w in %s", err, data))
	}
	line, err := stdjson.Marshal(judge(compact.Bytes()))
	if err != nil {
		fail(err)
	}
	out.Write(line)
	out.WriteByte('\n')
}

// judge asks the library. Some of its type assertions panic on objects that no API server
// would accept: that counts as an error too.
func judge(data []byte) (r row) {
	r.Object = data
	defer func() {
		if recover() != nil {
			r = row{Object: data, Error: true}
		}
	}()
	var content map[string]any
	if err := json.Unmarshal(data, &content); err != nil {
		fail(fmt.Errorf("%w in %s", err, data))
	}
	res, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		r.Error = true
		return r
	}
	r.Status, r.Message = string(res.Status), res.Message
	for _, c := range res.Conditions {
		r.Conditions = append(r.Conditions, condition{string(c.Type), string(c.Status), c.Reason, c.Message})
	}
	return r
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(3)
}
