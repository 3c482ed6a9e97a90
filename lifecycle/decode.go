package lifecycle

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// position is where a field stands.
type position struct{ line, column int }

// decoder turns YAML nodes into fields, strictly: every unknown, doubled or
// mistyped field is an error with its place, and all are reported together.
type decoder struct {
	file  string
	lines []string            // of the source, for the excerpt
	at    map[string]position // place of every field that was given
	set   map[string]string   // fields set on the command line, and by which flag
	errs  []error
}

// fieldDecoder is a type with a form of its own in the file.
type fieldDecoder interface {
	decodeField(d *decoder, n ast.Node, path string)
}

// decodeYAML decodes src over what v (a pointer to a struct) holds.
func decodeYAML(file string, src []byte, v any) (*decoder, error) {
	d := &decoder{file: file, lines: strings.Split(string(src), "\n"), at: map[string]position{}}
	f, err := parser.ParseBytes(src, 0)
	if err != nil {
		return d, d.syntax(err)
	}
	if len(f.Docs) > 1 && f.Docs[1].Body != nil {
		return d, d.errorAt(f.Docs[1].Body, "", "a second document begins here", "one document", "delete the --- line")
	}
	if len(f.Docs) > 0 && f.Docs[0].Body != nil {
		d.decode(f.Docs[0].Body, reflect.ValueOf(v).Elem(), "")
	}
	return d, errors.Join(d.errs...)
}

// syntax gives a parser error this package's form.
func (d *decoder) syntax(err error) error {
	e := &FieldError{File: d.file, Problem: "is not valid YAML: " + err.Error()}
	var se *yaml.SyntaxError
	var tok *token.Token
	msg := ""
	if errors.As(err, &se) {
		tok, msg = se.GetToken(), se.GetMessage()
	} else {
		var ye interface {
			GetToken() *token.Token
			GetMessage() string
		}
		if errors.As(err, &ye) {
			tok, msg = ye.GetToken(), ye.GetMessage()
		}
	}
	if tok != nil && tok.Position != nil {
		e.Line, e.Column, e.Problem = tok.Position.Line, tok.Position.Column, msg
		if name, ok := strings.CutPrefix(msg, "mapping key "); ok {
			name, _, _ = strings.Cut(name, " already defined")
			e.Field, e.Problem, e.Expected = strings.Trim(name, `"`), "this field stands here a second time", "each field once"
		} else {
			e.Problem = "is not valid YAML: " + msg
		}
		e.Source = d.source(e.Line)
	}
	return e
}

func (d *decoder) source(line int) string {
	if line < 1 || line > len(d.lines) {
		return ""
	}
	return strings.ReplaceAll(strings.TrimRight(d.lines[line-1], "\r"), "\t", " ")
}

func (d *decoder) errorAt(n ast.Node, path, problem, expected, hint string) *FieldError {
	e := &FieldError{File: d.file, Field: path, Problem: problem, Expected: expected, Hint: hint}
	if p := place(n); p.line > 0 {
		e.Line, e.Column, e.Source = p.line, p.column, d.source(p.line)
	}
	return e
}

// place is where a node starts: for a mapping, where its first key stands.
func place(n ast.Node) position {
	switch n := n.(type) {
	case *ast.MappingNode:
		if len(n.Values) > 0 && !n.IsFlowStyle {
			return place(n.Values[0])
		}
	case *ast.MappingValueNode:
		return place(n.Key)
	}
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return position{}
	}
	p := n.GetToken().Position
	return position{p.Line, p.Column}
}

func (d *decoder) fail(n ast.Node, path, problem, expected, hint string) {
	d.errs = append(d.errs, d.errorAt(n, path, problem, expected, hint))
}

// what says what a node is, for people.
func what(n ast.Node) string {
	switch n := n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "fields"
	case *ast.SequenceNode:
		return "a list"
	case *ast.NullNode:
		return "nothing"
	case *ast.StringNode:
		return strconv.Quote(n.Value)
	case *ast.LiteralNode:
		return "a text block"
	}
	return n.String()
}

func (d *decoder) decode(n ast.Node, v reflect.Value, path string) {
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fail(n, path, "anchors, aliases, merges and tags are not used in this file", "the value itself", "")
		return
	}
	if path != "" {
		if _, given := d.at[path]; !given {
			d.at[path] = place(n)
		}
	}
	if f, ok := v.Addr().Interface().(fieldDecoder); ok {
		f.decodeField(d, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Pointer: // nil until it is given
		to := reflect.New(v.Type().Elem())
		d.decode(n, to.Elem(), path)
		v.Set(to)
	case reflect.Struct:
		d.decodeStruct(n, v, path)
	case reflect.Slice:
		d.decodeSlice(n, v, path)
	case reflect.String:
		if s, ok := scalarText(n); ok {
			v.SetString(s)
			return
		}
		d.fail(n, path, "is "+what(n), "text", "")
	case reflect.Bool:
		if b, ok := n.(*ast.BoolNode); ok {
			v.SetBool(b.Value)
			return
		}
		d.fail(n, path, "is "+what(n), "true or false", "")
	case reflect.Int, reflect.Uint64, reflect.Float64:
		d.decodeNumber(n, v, path)
	default:
		panic("dlm.yaml has no form for " + v.Type().String())
	}
}

// scalarText is the text of a scalar. Numbers and truth values count as text
// too: a project may be called 2026.
func scalarText(n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	}
	return "", false
}

// numberText is the text of a scalar that is not quoted.
func numberText(n ast.Node) (string, bool) {
	if s, ok := n.(*ast.StringNode); ok && s.GetToken().Type != token.StringType {
		return "", false
	}
	if _, ok := n.(*ast.BoolNode); ok {
		return "", false
	}
	return scalarText(n)
}

func (d *decoder) decodeNumber(n ast.Node, v reflect.Value, path string) {
	s, ok := numberText(n)
	s = strings.ReplaceAll(strings.TrimSpace(s), "_", "")
	want := "a whole number"
	switch v.Kind() {
	case reflect.Int:
		if i, err := strconv.ParseInt(s, 10, 64); ok && err == nil {
			v.SetInt(i)
			return
		}
	case reflect.Uint64:
		want = "a whole number, not negative"
		if i, err := strconv.ParseUint(s, 10, 64); ok && err == nil {
			v.SetUint(i)
			return
		}
	default:
		want = "a number"
		if f, err := strconv.ParseFloat(s, 64); ok && err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			v.SetFloat(f)
			return
		}
	}
	d.fail(n, path, "is "+what(n), want, "")
}

func (d *decoder) decodeSlice(n ast.Node, v reflect.Value, path string) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(n, path, "is "+what(n), "a list", "write it as [a, b] or as lines that begin with -")
		return
	}
	out := reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values))
	for i, e := range seq.Values {
		d.decode(e, out.Index(i), fmt.Sprintf("%s[%d]", path, i))
	}
	v.Set(out)
}

// mappings returns the key-value pairs of a mapping.
func mappings(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func (d *decoder) decodeStruct(n ast.Node, v reflect.Value, path string) {
	if _, null := n.(*ast.NullNode); null {
		return // "train:" with nothing below: the defaults
	}
	names, index := fieldNames(v.Type())
	// A single text stands for the field that names the whole: scorers: [exact].
	if s, ok := n.(*ast.StringNode); ok {
		for _, short := range []string{"name", "file"} {
			if i, has := index[short]; has && names[0] == short {
				v.Field(i).SetString(s.Value)
				return
			}
		}
	}
	pairs, ok := mappings(n)
	if !ok {
		d.fail(n, path, "is "+what(n), "fields: "+strings.Join(names, ", "), "")
		return
	}
	seen := map[string]bool{}
	for _, kv := range pairs {
		key, ok := scalarText(kv.Key)
		full := join(path, key)
		i, known := index[key]
		switch {
		case !ok:
			d.fail(kv.Key, path, "a field has no plain name", "one of "+strings.Join(names, ", "), "")
		case seen[key]:
			d.fail(kv.Key, full, "this field stands here a second time", "each field once", "")
		case !known:
			d.unknown(kv.Key, path, key, names)
		default:
			d.at[full] = place(kv.Value)
			if _, block := mappings(kv.Value); block {
				d.at[full] = place(kv.Key)
			}
			d.decode(kv.Value, v.Field(i), full)
		}
		seen[key] = true
	}
}

// unknown reports a field that is not known here, with the nearest that is.
func (d *decoder) unknown(n ast.Node, path, key string, names []string) {
	hint := ""
	if near := nearest(key, names); near != "" {
		hint = fmt.Sprintf("did you mean %s?", near)
	} else if elsewhere := findField(reflect.TypeFor[Project](), "", key); elsewhere != "" {
		hint = fmt.Sprintf("it belongs at %s", elsewhere)
	}
	d.fail(n, join(path, key), "unknown field", "one of "+strings.Join(names, ", "), hint)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fieldNames lists the fields of a struct type by their names in the file.
func fieldNames(t reflect.Type) ([]string, map[string]int) {
	var names []string
	index := map[string]int{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == "" || name == "-" {
			continue
		}
		names = append(names, name)
		index[name] = i
	}
	return names, index
}

// findField returns the path of a field of that name anywhere in the schema.
func findField(t reflect.Type, path, key string) string {
	if t.Kind() != reflect.Struct {
		return ""
	}
	names, index := fieldNames(t)
	if slices.Contains(names, key) && path != "" {
		return join(path, key)
	}
	for _, n := range names {
		if p := findField(t.Field(index[n]).Type, join(path, n), key); p != "" {
			return p
		}
	}
	return ""
}
