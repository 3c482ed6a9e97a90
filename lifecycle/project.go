package lifecycle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"dlm/stage/evals"
)

// FileName is the project file's name.
const FileName = "dlm.yaml"

// StateDir is the folder in the project that holds its store.
const StateDir = ".dlm"

// ErrNoProject is returned by Discover outside of a project.
var ErrNoProject = errors.New("no " + FileName + " here or above")

// Discover finds the project file in dir or the nearest folder above it.
func Discover(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := abs; ; d = filepath.Dir(d) {
		p := filepath.Join(d, FileName)
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p, nil
		}
		if filepath.Dir(d) == d {
			return "", fmt.Errorf("%s: %w: run dlm init to make one, or dlm init --from FILE to make one for your data", abs, ErrNoProject)
		}
	}
}

// Load reads a project file, with overrides such as "train.lr=1e-4" on top, and
// checks it. The error lists every wrong field (see FieldErrors).
func Load(file string, set []string) (*Project, error) {
	src, err := os.ReadFile(file)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s is not there: run dlm init to make one", file)
		}
		return nil, err
	}
	return Parse(file, src, set)
}

// Parse is Load on text. Paths in it are relative to the file's folder.
func Parse(file string, src []byte, set []string) (*Project, error) {
	abs, err := filepath.Abs(file)
	if err != nil {
		return nil, err
	}
	p := defaults()
	p.Root, p.File = filepath.Dir(abs), file
	d, err := decodeYAML(file, src, &p)
	if err != nil {
		return nil, err
	}
	for _, s := range set {
		if err := p.override(d, s); err != nil {
			return nil, err
		}
	}
	_, given := d.at["data.max_len"]
	p.Data.MaxLenDefault = !given
	p.methodDefaults(d.at)
	p.derive()
	if err := p.validate(d); err != nil {
		return nil, err
	}
	return &p, nil
}

// derive fills in what follows from other fields.
func (p *Project) derive() {
	if p.Name == "" {
		p.Name = filepath.Base(p.Root)
	}
	if p.Golden.File != "" && p.Golden.Name == "" {
		p.Golden.Name = strings.TrimSuffix(filepath.Base(p.Golden.File), filepath.Ext(p.Golden.File))
	}
	if p.Golden.File != "" && len(p.Eval.Scorers) == 0 {
		p.Eval.Scorers = []evals.ScorerSpec{{Name: "exact"}}
	}
	if p.Eval.Primary == "" && len(p.Eval.Scorers) > 0 {
		if s, err := evals.New(p.scorer(0)); err == nil {
			p.Eval.Primary = s.Metrics()[0]
		}
	}
}

// scorer is the scorer's settings with paths made absolute.
func (p *Project) scorer(i int) evals.ScorerSpec {
	s := p.Eval.Scorers[i]
	if s.Schema != "" && !strings.HasPrefix(strings.TrimSpace(s.Schema), "{") {
		s.Schema = p.Path(s.Schema)
	}
	return s
}

// Scorers returns the scorers' settings with paths made absolute.
func (p *Project) Scorers() []evals.ScorerSpec {
	out := make([]evals.ScorerSpec, len(p.Eval.Scorers))
	for i := range out {
		out[i] = p.scorer(i)
	}
	return out
}

// Path makes a path of the project file absolute.
func (p *Project) Path(rel string) string {
	if rel == "" || filepath.IsAbs(rel) {
		return rel
	}
	return filepath.Join(p.Root, filepath.FromSlash(rel))
}

// State is the folder of the project's store. Projects that name one and the
// same folder under store: share it: their adapters, verdicts and lineage stand
// together, so that one server can answer with all of them.
func (p *Project) State() string {
	if p.Store == "" {
		return filepath.Join(p.Root, StateDir)
	}
	return filepath.Join(p.Path(p.Store), StateDir)
}

// override applies one "field=value" of --set.
func (p *Project) override(base *decoder, s string) error {
	name, value, ok := strings.Cut(s, "=")
	name = strings.TrimSpace(name)
	where := "--set " + s
	if !ok || name == "" {
		return &FieldError{File: where, Problem: "has no =", Expected: "field=value, such as train.lr=1e-4"}
	}
	// The override is a project file of one field, decoded over the other.
	var b strings.Builder
	parts := strings.Split(name, ".")
	for i, part := range parts {
		b.WriteString(strings.Repeat("  ", i) + part + ":")
		if i < len(parts)-1 {
			b.WriteByte('\n')
		}
	}
	// A field that is text takes what stands there as it is: on a command line
	// nobody quotes for YAML.
	if isText(reflect.TypeFor[Project](), parts) {
		quoted, err := json.Marshal(value)
		if err != nil {
			return err
		}
		value = string(quoted)
	}
	b.WriteString(" " + value + "\n")
	d, err := decodeYAML(where, []byte(b.String()), p)
	for _, e := range FieldErrors(err) {
		e.Line, e.Column, e.Source = 0, 0, ""
	}
	if err != nil {
		return err
	}
	for path := range d.at {
		base.at[path] = position{} // it does not stand in the file any more
		base.overridden(path, where)
	}
	return nil
}

// isText says whether the field at this path is plain text.
func isText(t reflect.Type, path []string) bool {
	for _, name := range path {
		if t.Kind() != reflect.Struct {
			return false
		}
		_, index := fieldNames(t)
		i, ok := index[name]
		if !ok {
			return false
		}
		t = t.Field(i).Type
	}
	return t.Kind() == reflect.String
}

// overridden remembers that a field was set on the command line.
func (d *decoder) overridden(path, where string) {
	if d.set == nil {
		d.set = map[string]string{}
	}
	d.set[path] = where
}

// validator collects what is wrong with values of the right type.
type validator struct {
	d    *decoder
	errs []error
}

// check reports problem at path unless ok.
func (v *validator) check(ok bool, path, problem, expected, hint string) {
	if ok {
		return
	}
	e := &FieldError{File: v.d.file, Field: path, Problem: problem, Expected: expected, Hint: hint}
	for at := path; ; {
		if where, set := v.d.set[at]; set {
			e.File = where
			break
		}
		if p, given := v.d.at[at]; given && p.line > 0 {
			e.Line, e.Column, e.Source = p.line, p.column, v.d.source(p.line)
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	v.errs = append(v.errs, e)
}

// oneOf reports a value that is none of the known ones.
func (v *validator) oneOf(path, got string, known ...string) {
	v.check(slices.Contains(known, got), path, fmt.Sprintf("is %q", got), strings.Join(known, ", "), didYouMean(got, known))
}

// file reports a path at which there is no file.
func (v *validator) file(path, given, abs string) {
	info, err := os.Stat(abs)
	switch {
	case err != nil && errors.Is(err, fs.ErrNotExist):
		v.check(false, path, fmt.Sprintf("%s is not there", given), "a file, relative to the folder of "+FileName, nearFile(abs))
	case err != nil:
		v.check(false, path, err.Error(), "a file that can be read", "")
	case info.IsDir():
		v.check(false, path, fmt.Sprintf("%s is a folder", given), "a file", "")
	}
}

// nearFile suggests a file beside a path at which there is none.
func nearFile(abs string) string {
	entries, err := os.ReadDir(filepath.Dir(abs))
	if err != nil {
		return fmt.Sprintf("the folder %s is not there either", filepath.Dir(abs))
	}
	var names []string
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return didYouMean(filepath.Base(abs), names)
}
