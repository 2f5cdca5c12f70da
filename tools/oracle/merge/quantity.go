package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
)

// quantityCases: {text} → {error} or {stored, canonical, digits, scale}; pairs: {a, b} → {cmp, sum,
// difference}. Digits and scale are the exact amount (digits × 10^-scale). Most are beyond int64.
func quantityCases(random *rand.Rand, count int) []any {
	s := source{Rand: random}
	var cases []any
	for range count {
		text := s.quantity()
		c := object{"text": text}
		q, err := resource.ParseQuantity(text)
		if err != nil {
			c["error"] = err.Error()
			cases = append(cases, c)
			continue
		}
		c["stored"] = q.String()
		number, suffix := q.CanonicalizeBytes(nil)
		c["canonical"] = string(number) + string(suffix)
		amount := q.DeepCopy()
		dec := amount.AsDec()
		c["digits"], c["scale"] = dec.UnscaledBig().String(), int64(dec.Scale())
		other := s.quantity()
		if o, err := resource.ParseQuantity(other); err == nil {
			sum, difference := q.DeepCopy(), q.DeepCopy()
			sum.Add(o)
			difference.Sub(o)
			c["other"], c["cmp"] = other, int64(q.Cmp(o))
			c["sum"], c["difference"] = sum.String(), difference.String()
		}
		cases = append(cases, c)
	}
	return cases
}

func (s source) digits(most int) string {
	var out strings.Builder
	for range s.IntN(most + 1) {
		out.WriteByte(pick(s, []byte("0001234567899")))
	}
	return out.String()
}

// quantity makes the text of one, up to 36 digits long, now and then of none.
func (s source) quantity() string {
	sign := pick(s, []string{"", "", "", "", "-", "+"})
	whole := s.digits(pick(s, []int{3, 6, 19, 20, 26}))
	if s.chance(5) {
		whole = pick(s, []string{"9223372036854775807", "9223372036854775808", "18446744073709551616", "0", "00"})
	}
	fraction := ""
	if s.chance(40) {
		fraction = "." + s.digits(pick(s, []int{3, 9, 10}))
	}
	suffix := pick(s, []string{"", "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"})
	if s.chance(20) {
		suffix = fmt.Sprintf("%s%d", pick(s, []string{"e", "E"}), s.IntN(50)-20)
	}
	if s.chance(4) {
		suffix = pick(s, []string{"K", "mi", "e", "E+3", "e+3", "i", "kk", "e1.5", " "})
	}
	return sign + whole + fraction + suffix
}
