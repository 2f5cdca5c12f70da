// Command merge records what Kubernetes' own libraries answer to patches and applies: the golden
// files that Kiban's crate `schema` is tested against.
//
// To make them anew (Go 1.26, modules from the Go proxy), in this directory:
//
//	go run . -out ../../../crates/schema/tests/golden/merge
//
// The cases are random but for the seed: the same program writes the same files.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", ".", "folder for the golden files")
	seed := flag.Uint64("seed", 37, "seed of all randomness")
	smp := flag.Int("smp", 1400, "strategic merge cases")
	ssa := flag.Int("ssa", 650, "apply scenarios over built-in kinds")
	untyped := flag.Int("untyped", 90, "apply scenarios over an undeclared kind")
	scale := flag.Int("scale", 100, "scale subresource cases")
	patches := flag.Int("json", 400, "JSON patch and merge patch cases, each")
	odd := flag.Int("odd", 7, "one of how many apply scenarios over items with odd identities")
	again := flag.Int("again", 150, "merge patches applied twice")
	quantities := flag.Int("quantities", 800, "quantities, most of them beyond 64 bits")
	flag.Parse()

	random := func(stream uint64) *rand.Rand { return rand.New(rand.NewPCG(*seed, stream)) }
	write(*out, "strategic.jsonl", strategicCases(random(1), *smp))
	write(*out, "apply.jsonl", applyCases(random(2), *ssa))
	write(*out, "untyped.jsonl", untypedCases(random(3), *untyped))
	write(*out, "scale.jsonl", scaleCases(random(4), *scale))
	write(*out, "json.jsonl", jsonCases(random(5), *patches))
	write(*out, "again.jsonl", againCases(random(6), *again))
	write(*out, "quantity.jsonl", quantityCases(random(7), *quantities))
	write(*out, "odd.jsonl", oddCases(*odd))
}

// write puts one case a line into a file.
func write(folder, name string, cases []any) {
	file, err := os.Create(filepath.Join(folder, name))
	check(err)
	buffer := bufio.NewWriter(file)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	for _, c := range cases {
		check(encoder.Encode(c))
	}
	check(buffer.Flush())
	check(file.Close())
	fmt.Println(name, len(cases))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "merge:", err)
		os.Exit(1)
	}
}
