package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// drawn is a schema with a way to draw values that meet it.
type drawn struct {
	schema string
	value  func(t *rapid.T) string // as canonical JSON
}

func marshal(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// anyText leaves out what Go's encoder escapes although JSON need not.
var (
	anyRune = rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("ab\"\\\n\x01é€😀"))).Filter(func(r rune) bool { return r != 0x2028 && r != 0x2029 })
	anyText = rapid.StringOfN(anyRune, 0, 8, -1)
)

// drawSchema draws a schema that nests at most depth deep.
func drawSchema(t *rapid.T, depth int) drawn {
	kinds := []string{"null", "boolean", "integer", "number", "string", "enum", "pattern"}
	if depth > 0 {
		kinds = append(kinds, "array", "object", "map", "tuple", "anyOf", "allOf", "anything")
	}
	switch rapid.SampledFrom(kinds).Draw(t, "kind") {
	case "null":
		return drawn{`{"type":"null"}`, func(*rapid.T) string { return "null" }}
	case "boolean":
		return drawn{`{"type":"boolean"}`, func(t *rapid.T) string { return fmt.Sprint(rapid.Bool().Draw(t, "b")) }}
	case "integer":
		lo := rapid.IntRange(-2000, 2000).Draw(t, "lo")
		hi := lo + rapid.IntRange(0, 3000).Draw(t, "hi")
		return drawn{fmt.Sprintf(`{"type":"integer","minimum":%d,"maximum":%d}`, lo, hi), func(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(lo, hi).Draw(t, "i")) }}
	case "number":
		lo := rapid.IntRange(-2000, 2000).Draw(t, "lo")
		hi := lo + rapid.IntRange(1, 3000).Draw(t, "hi")
		return drawn{fmt.Sprintf(`{"type":"number","exclusiveMinimum":%v,"maximum":%v}`, float64(lo)/100, float64(hi)/100), func(t *rapid.T) string {
			return fmt.Sprint(float64(rapid.IntRange(lo*10+1, hi*10).Draw(t, "f")) / 1000)
		}}
	case "string":
		lo := rapid.IntRange(0, 5).Draw(t, "lo")
		hi := lo + rapid.IntRange(0, 20).Draw(t, "hi")
		return drawn{fmt.Sprintf(`{"type":"string","minLength":%d,"maxLength":%d}`, lo, hi), func(t *rapid.T) string {
			return marshal(rapid.StringOfN(anyRune, lo, hi, -1).Draw(t, "s"))
		}}
	case "enum":
		list := rapid.SliceOfN(anyText, 1, 5).Draw(t, "enum")
		return drawn{`{"enum":` + marshal(list) + `}`, func(t *rapid.T) string { return marshal(rapid.SampledFrom(list).Draw(t, "e")) }}
	case "pattern":
		expr := rapid.SampledFrom([]string{`^[a-c]{2,4}(x|yz)?$`, `^\d+-[^0-9]$`, `^.{3}$`, `^(\w|é)+ "\\$`}).Draw(t, "expr")
		return drawn{`{"type":"string","pattern":` + marshal(expr) + `}`, func(t *rapid.T) string { return marshal(escapeLines(rapid.StringMatching(expr).Draw(t, "p"))) }}
	case "array":
		item := drawSchema(t, depth-1)
		lo := rapid.IntRange(0, 2).Draw(t, "lo")
		hi := lo + rapid.IntRange(0, 3).Draw(t, "hi")
		return drawn{fmt.Sprintf(`{"type":"array","items":%s,"minItems":%d,"maxItems":%d}`, item.schema, lo, hi), func(t *rapid.T) string {
			return list(t, "[", "]", rapid.IntRange(lo, hi).Draw(t, "n"), func(int) string { return item.value(t) })
		}}
	case "tuple":
		a, b := drawSchema(t, depth-1), drawSchema(t, depth-1)
		return drawn{fmt.Sprintf(`{"type":"array","prefixItems":[%s,%s],"minItems":2}`, a.schema, b.schema), func(t *rapid.T) string {
			return list(t, "[", "]", 2, func(i int) string { return []drawn{a, b}[i].value(t) })
		}}
	case "map":
		v := drawSchema(t, depth-1)
		return drawn{`{"type":"object","additionalProperties":` + v.schema + `}`, func(t *rapid.T) string {
			names := rapid.SliceOfNDistinct(anyText, 0, 3, rapid.ID).Draw(t, "names")
			return list(t, "{", "}", len(names), func(i int) string { return marshal(names[i]) + ":" + v.value(t) })
		}}
	case "object":
		return drawObject(t, depth)
	case "anyOf":
		a, b := drawSchema(t, depth-1), drawSchema(t, depth-1)
		return drawn{`{"anyOf":[` + a.schema + `,` + b.schema + `]}`, func(t *rapid.T) string {
			return rapid.SampledFrom([]drawn{a, b}).Draw(t, "branch").value(t)
		}}
	case "allOf":
		a := drawObject(t, depth)
		return drawn{`{"allOf":[` + a.schema + `,{"description":"x"}]}`, a.value}
	}
	a := drawSchema(t, depth-1)
	return drawn{`{"type":["array","object","string","number","boolean","null"]}`, a.value}
}

func escapeLines(s string) string {
	return strings.NewReplacer("\u2028", "a", "\u2029", "a").Replace(s)
}

func list(t *rapid.T, open, shut string, n int, item func(int) string) string {
	if n == 0 {
		return open + shut
	}
	space := rapid.SampledFrom([]string{"", " ", "\n  "}).Draw(t, "space")
	var b strings.Builder
	b.WriteString(open)
	for i := range n {
		if i > 0 {
			b.WriteString(",")
		}
		b.WriteString(space + item(i))
	}
	return b.String() + space + shut
}

func drawObject(t *rapid.T, depth int) drawn {
	names := rapid.SliceOfNDistinct(anyText, 1, 4, rapid.ID).Draw(t, "names")
	var subs []drawn
	var must []string
	isMust := map[string]bool{}
	var props []string
	for _, n := range names {
		s := drawSchema(t, depth-1)
		subs = append(subs, s)
		props = append(props, marshal(n)+":"+s.schema)
		if rapid.Bool().Draw(t, "required") {
			must = append(must, n)
			isMust[n] = true
		}
	}
	open := rapid.SampledFrom([]string{"", `,"additionalProperties":false`, `,"additionalProperties":{"type":"integer"}`}).Draw(t, "open")
	if must == nil {
		must = []string{}
	}
	return drawn{`{"type":"object","properties":{` + strings.Join(props, ",") + `},"required":` + marshal(must) + open + `}`, func(t *rapid.T) string {
		var members []string
		for i, n := range names {
			if isMust[n] || rapid.Bool().Draw(t, "there") {
				members = append(members, marshal(n)+":"+subs[i].value(t))
			}
		}
		if strings.Contains(open, "integer") && rapid.Bool().Draw(t, "more") {
			members = append(members, `"something else":7`)
		}
		return list(t, "{", "}", len(members), func(i int) string { return members[i] })
	}}
}

// TestDrawnSchemas: values that meet a schema are taken, and whatever is made by
// choosing among allowed tokens meets it.
func TestDrawnSchemas(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := drawSchema(rt, 3)
		s := validator(t, d.schema)
		g, err := JSONSchema([]byte(d.schema))
		if err != nil {
			rt.Fatalf("%s: %v", d.schema, err)
		}
		a, err := New(g, shared)
		if err != nil {
			rt.Fatal(err)
		}
		for range 3 {
			text := d.value(rt)
			if err := validate(t, s, text); err != nil {
				rt.Fatalf("the test is wrong: %s\n%s: %v", d.schema, text, err)
			}
			if !accepts(a, text) {
				rt.Fatalf("%s\ndoes not take %s", d.schema, text)
			}
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		for range 3 {
			text := walk(t, a, r, 60)
			if err := validate(t, s, text); err != nil {
				rt.Fatalf("%s\nmade %s: %v", d.schema, text, err)
			}
		}
	})
}

func FuzzSchema(f *testing.F) {
	for _, c := range cases {
		f.Add(c.schema)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		g, err := JSONSchema([]byte(raw))
		if err != nil {
			return
		}
		a, err := New(g, shared)
		if err != nil {
			return
		}
		m := a.Matcher()
		mask := make([]uint64, shared.words)
		r := rand.New(rand.NewPCG(1, 1))
		var text []byte
		for range 30 {
			m.Mask(mask)
			ids := allowedIDs(mask)
			if m.Err() != nil {
				return
			}
			if len(ids) == 0 {
				t.Fatalf("nothing may follow %q", text)
			}
			id := ids[r.IntN(len(ids))]
			if !m.Advance(id) {
				t.Fatalf("%d is allowed and not taken", id)
			}
			if len(shared.pieces[id]) == 0 {
				if !json.Valid(text) {
					t.Fatalf("made %q", text)
				}
				return
			}
			text = append(text, shared.pieces[id]...)
		}
	})
}

func FuzzRegex(f *testing.F) {
	for _, expr := range regexes {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		g, err := Regex(expr)
		if err != nil {
			return
		}
		a, err := New(g, shared)
		if err != nil {
			return
		}
		m := a.Matcher()
		mask := make([]uint64, shared.words)
		for n := range 20 {
			m.Mask(mask)
			ids := allowedIDs(mask)
			if m.Err() != nil {
				return
			}
			if len(ids) == 0 {
				t.Fatal("nothing may follow")
			}
			id := ids[(n*7+1)%len(ids)]
			if !m.Advance(id) {
				t.Fatalf("%d is allowed and not taken", id)
			}
			if len(shared.pieces[id]) == 0 {
				return
			}
		}
	})
}
