package chat

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/ardanlabs/jinja"
)

// toJSON is the filter tojson of Hugging Face's template environment, that is
// Python's json.dumps with ensure_ascii=False: keys in their order, no escapes
// for HTML, ", " and ": " between elements.
func toJSON(args []jinja.Value, kwargs map[string]jinja.Value) (jinja.Value, error) {
	if len(args) == 0 {
		return jinja.Undefined(), fmt.Errorf("tojson: nothing to write")
	}
	w := jsonWriter{item: ", ", key: ": ", indent: -1}
	for i, name := range []string{"ensure_ascii", "indent", "separators", "sort_keys"} {
		v, ok := kwargs[name]
		if i+1 < len(args) {
			v, ok = args[i+1], true
		}
		if !ok || v.IsNone() || v.IsUndefined() {
			continue
		}
		switch {
		case name == "indent" && v.IsInt() && v.AsInt() >= 0 && v.AsInt() <= 64:
			w.indent, w.item = int(v.AsInt()), ","
		case name == "separators" && v.IsList() && v.AsList().Len() == 2 && v.AsList().Get(0).IsString() && v.AsList().Get(1).IsString():
			w.item, w.key = v.AsList().Get(0).AsString(), v.AsList().Get(1).AsString()
		case v.IsBool() && !v.AsBool(): // the default of both flags
		default:
			return jinja.Undefined(), fmt.Errorf("tojson: %s=%s is not supported", name, v.String())
		}
	}
	if err := w.value(args[0], 0); err != nil {
		return jinja.Undefined(), err
	}
	return jinja.NewString(w.b.String()), nil
}

// jsonWriter writes one value; indent < 0 puts all on one line.
type jsonWriter struct {
	b         strings.Builder
	item, key string
	indent    int
}

func (w *jsonWriter) value(v jinja.Value, depth int) error {
	switch {
	case v.IsNone():
		w.b.WriteString("null")
	case v.IsBool(), v.IsInt():
		w.b.WriteString(strings.ToLower(v.String()))
	case v.IsFloat():
		w.float(v.AsFloat())
	case v.IsString():
		w.text(v.AsString())
	case v.IsList():
		items := v.AsList().Items
		return w.sequence('[', ']', len(items), depth, func(i int) error { return w.value(items[i], depth+1) })
	case v.IsDict():
		d := v.AsDict()
		keys := d.OrderedKeys()
		return w.sequence('{', '}', len(keys), depth, func(i int) error {
			w.text(keys[i])
			w.b.WriteString(w.key)
			x, _ := d.Get(keys[i])
			return w.value(x, depth+1)
		})
	default:
		return fmt.Errorf("tojson: %s is not a JSON value", v.String())
	}
	return nil
}

func (w *jsonWriter) sequence(open, closing byte, n, depth int, element func(i int) error) error {
	w.b.WriteByte(open)
	for i := range n {
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.line(depth + 1)
		if err := element(i); err != nil {
			return err
		}
	}
	if n > 0 {
		w.line(depth)
	}
	w.b.WriteByte(closing)
	return nil
}

func (w *jsonWriter) line(depth int) {
	if w.indent >= 0 {
		w.b.WriteByte('\n')
		w.b.WriteString(strings.Repeat(" ", w.indent*depth))
	}
}

// text writes a string as json.dumps does.
func (w *jsonWriter) text(s string) {
	w.b.WriteByte('"')
	for i := range len(s) {
		switch c := s[i]; c {
		case '"', '\\':
			w.b.WriteByte('\\')
			w.b.WriteByte(c)
		case '\n':
			w.b.WriteString(`\n`)
		case '\r':
			w.b.WriteString(`\r`)
		case '\t':
			w.b.WriteString(`\t`)
		case '\b':
			w.b.WriteString(`\b`)
		case '\f':
			w.b.WriteString(`\f`)
		default:
			if c < 0x20 {
				fmt.Fprintf(&w.b, `\u%04x`, c)
			} else {
				w.b.WriteByte(c)
			}
		}
	}
	w.b.WriteByte('"')
}

// float writes a number as Python's repr does.
func (w *jsonWriter) float(f float64) {
	switch {
	case math.IsNaN(f):
		w.b.WriteString("NaN")
	case math.IsInf(f, 1):
		w.b.WriteString("Infinity")
	case math.IsInf(f, -1):
		w.b.WriteString("-Infinity")
	default:
		s := strconv.FormatFloat(f, 'g', -1, 64)
		if a := math.Abs(f); a != 0 && a < 1e16 && a >= 1e-4 {
			s = strconv.FormatFloat(f, 'f', -1, 64)
		}
		if !strings.ContainsAny(s, ".e") {
			s += ".0"
		}
		w.b.WriteString(s)
	}
}
