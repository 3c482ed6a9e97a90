package lifecycle

import (
	"embed"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"dlm"
	"dlm/stage/curate"
)

//go:embed example/*.jsonl
var example embed.FS

//go:embed dlm.yaml.tmpl
var projectTemplate string

// InitOptions says how a project is begun. The zero value of everything but Dir
// is fine.
type InitOptions struct {
	Dir    string // folder of the project
	Name   string // empty = the folder's name
	Base   string // empty = smollm2-135m-instruct
	From   string // the user's own file; empty = a small example is written
	Read   curate.Options
	Golden int // items to take out of From; 0 = chosen, negative = none
	Seed   uint64
	Author string

	Profile string   // one of Profiles; empty = none
	Memory  MemoryOf // with a profile: what training will need
}

// InitResult says what was written.
type InitResult struct {
	Project string            `json:"project"` // path of dlm.yaml
	Files   []string          `json:"files"`   // everything that was written
	From    *curate.Detection `json:"from,omitempty"`
	Rows    int               `json:"rows"` // to train on
	Items   int               `json:"items"`
	Split   *SplitResult      `json:"split,omitempty"`
	Notes   []string          `json:"notes,omitempty"` // what was chosen, and why
	Sample  []dlm.Row         `json:"-"`               // the first rows, to show as the base will see them
}

// fill is what the template is filled with.
type fill struct {
	Name, Base, Train, Golden, GoldenName, HeldOut, System string
	Format, Prompt, Completion                             string // when they were given
	MaxLen, MaxTokens, Epochs                              int
	JSON, Free                                             bool
	Fields                                                 string
	Method, Trainer                                        string

	Profile, Memory string // with a profile: its name, and what it needs
}

// Init begins a project: with an example, or from the user's own file. Files
// that are there are never replaced, and the user's file is left as it is.
func Init(o InitOptions) (InitResult, error) {
	var res InitResult
	abs, err := filepath.Abs(o.Dir)
	if err != nil {
		return res, err
	}
	res.Project = filepath.Join(o.Dir, FileName)
	if _, err := os.Stat(res.Project); err == nil {
		return res, fmt.Errorf("%s is there already: edit it, or begin in another folder", res.Project)
	}
	f := fill{Name: o.Name, Base: o.Base, HeldOut: "5%", MaxLen: 512, MaxTokens: 96, Epochs: 3, Method: "sft"}
	if f.Name == "" {
		f.Name = filepath.Base(abs)
	}
	if f.Base == "" {
		f.Base = "smollm2-135m-instruct"
	}
	var profile Profile
	if o.Profile != "" {
		if profile, err = FindProfile(o.Profile); err != nil {
			return res, err
		}
	}
	undo, err := makeFolders(filepath.Join(o.Dir, "data"))
	if err != nil {
		return res, fmt.Errorf("init: %w", err)
	}
	if o.From == "" {
		err = res.fromExample(o, &f)
	} else {
		err = res.fromFile(o, &f)
	}
	if err != nil {
		undo()
		return res, err
	}
	if o.Profile != "" {
		profile.apply(&o, &f)
	}
	text, err := f.render()
	if err != nil {
		return res, err
	}
	if o.Profile != "" {
		if f.Memory, err = o.memory(res.Project, text); err != nil {
			return res, err
		}
		if f.Memory != "" {
			res.Notes = append(res.Notes, "memory: "+f.Memory)
		}
		if text, err = f.render(); err != nil {
			return res, err
		}
	}
	if err := writeAtomic(res.Project, []byte(text)); err != nil {
		return res, err
	}
	res.Files = append([]string{res.Project}, res.Files...)
	// What was written must be what Load accepts.
	_, err = Load(res.Project, nil)
	return res, err
}

// render is the project file.
func (f fill) render() (string, error) {
	var b strings.Builder
	t := template.Must(template.New(FileName).Funcs(template.FuncMap{"yaml": yamlText, "pad": func(n int, s string) string { return fmt.Sprintf("%-*s ", n-1, s) }}).Parse(projectTemplate))
	err := t.Execute(&b, f)
	return b.String(), err
}

// makeFolders makes a folder and those above it. undo takes away the ones that
// were not there, as far as they are empty.
func makeFolders(dir string) (undo func(), err error) {
	var made []string
	for d := dir; !fileExists(d) && filepath.Dir(d) != d; d = filepath.Dir(d) {
		made = append(made, d)
	}
	return func() {
		for _, d := range made {
			if os.Remove(d) != nil {
				return
			}
		}
	}, os.MkdirAll(dir, 0o755)
}

// yamlText writes a text so that YAML reads it back as that text. Every JSON
// string is one of YAML.
func yamlText(s string) (string, error) {
	for _, r := range s {
		if r != '-' && r != '.' && r != '/' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') {
			b, err := json.Marshal(s)
			return string(b), err
		}
	}
	if s == "" || strings.Trim(s, "0123456789.-_eE") == "" || s[0] == '-' || s[0] == '.' && !strings.HasPrefix(s, "./") && !strings.HasPrefix(s, "../") {
		return `"` + s + `"`, nil
	}
	switch strings.ToLower(s) {
	case "true", "false", "null", "yes", "no", "on", "off":
		return `"` + s + `"`, nil
	}
	return s, nil
}

func (res *InitResult) fromExample(o InitOptions, f *fill) error {
	for _, name := range []string{"train.jsonl", "golden.jsonl"} {
		b, err := example.ReadFile("example/" + name)
		if err != nil {
			return err
		}
		p := filepath.Join(o.Dir, "data", name)
		if fileExists(p) {
			return fmt.Errorf("%s is there already: use dlm init --from %s, or begin in another folder", p, p)
		}
		if err := writeAtomic(p, b); err != nil {
			return err
		}
		res.Files = append(res.Files, p)
	}
	rows, err := curate.Read(res.Files[0], curate.Options{})
	if err != nil {
		return err
	}
	g, err := NewGolden(res.Files[1], "example", authorOr(o.Author), "the example's golden set")
	if err != nil {
		return err
	}
	f.Train, f.Golden, f.GoldenName, f.JSON, f.Fields, f.HeldOut, f.Epochs = "data/train.jsonl", "data/golden.jsonl", "example", true, "team, urgent", "4", 10
	res.Rows, res.Items, res.Sample = len(rows), len(g.Items), rows[:3]
	res.Notes = append(res.Notes, "an example of 40 rows: enough to see every step, too few to prove anything")
	return nil
}

func authorOr(a string) string {
	if a != "" {
		return a
	}
	return "dlm init"
}

func (res *InitResult) fromFile(o InitOptions, f *fill) error {
	records, det, err := curate.ReadRecords(o.From, o.Read)
	res.From = &det
	if err != nil {
		return err
	}
	rows := make([]dlm.Row, len(records))
	for i, r := range records {
		rows[i] = r.Row
	}
	res.Notes = append(res.Notes, fmt.Sprintf("%s is %s: %s", o.From, det, strings.Join(det.Evidence, "; ")))
	if err := res.method(det, f); err != nil {
		return err
	}
	res.choose(rows, f)
	f.Train = res.relative(o, o.From)
	f.System, f.Format = o.Read.System, string(o.Read.Format)
	if o.Read.Prompt != "" {
		f.Prompt, f.Completion = det.Prompt, det.Completion
	}
	res.Rows = len(rows)
	items := o.Golden
	if items == 0 {
		items = proposed(records)
	}
	if items > 0 {
		if err := res.split(o, items, f); err != nil {
			return err
		}
	} else if o.Golden == 0 {
		res.Notes = append(res.Notes, fmt.Sprintf("too few conversations (%d) to take a golden set out of: write one by hand with dlm golden new, 50 items or more", len(rows)))
	}
	path := filepath.FromSlash(f.Train)
	if !filepath.IsAbs(path) {
		path = filepath.Join(o.Dir, path)
	}
	shown, err := curate.Read(path, curate.Options{Format: curate.Format(f.Format), Prompt: f.Prompt, Completion: f.Completion, System: f.System})
	res.Sample = shown[:min(3, len(shown))]
	return err
}

// method is what rows of this shape are trained with.
func (res *InitResult) method(det curate.Detection, f *fill) error {
	switch det.Format {
	case curate.Preference:
		f.Method = "dpo"
	case curate.Labelled:
		f.Method = "kto"
	case curate.PromptOnly:
		return fmt.Errorf("%s holds prompts alone, which only rewards can teach from, and those are yours to choose: dlm init on an example, then name this file under data.train, and set trainer: trl, train.method: grpo and train.rewards", det.File)
	default:
		return nil
	}
	f.Trainer = "trl"
	res.Notes = append(res.Notes, fmt.Sprintf("these rows are trained with method %s, by TRL: dlm trainer install trl makes its Python environment", f.Method))
	return nil
}

// proposed is how many items to take out: a tenth, from 20 to 300, and none of
// a file too small to spare 20.
func proposed(records []curate.Record) int {
	able := 0
	for _, r := range records {
		if _, ok := itemOf(r); ok {
			able++
		}
	}
	if able < 100 {
		return 0
	}
	return min(300, max(20, able/10))
}

// split takes the golden set out; the user's file stays as it is.
func (res *InitResult) split(o InitOptions, items int, f *fill) error {
	train, golden := filepath.Join(o.Dir, "data", "train.jsonl"), filepath.Join(o.Dir, "data", "golden.jsonl")
	for _, p := range []string{train, golden} {
		if fileExists(p) {
			return fmt.Errorf("%s is there already: begin in another folder, or make the project file alone with --no-golden", p)
		}
	}
	s, err := SplitGolden(SplitOptions{Data: o.From, Read: curate.Options{Format: o.Read.Format, Prompt: o.Read.Prompt, Completion: o.Read.Completion},
		Out: train, Golden: golden, Name: f.Name, Items: items, Seed: o.Seed, Author: authorOr(o.Author)})
	if err != nil {
		return err
	}
	res.Split, res.Rows, res.Items = &s, s.Train, s.Items
	res.Files = append(res.Files, train, golden, historyPath(golden))
	f.Train, f.Golden, f.GoldenName = "data/train.jsonl", "data/golden.jsonl", f.Name
	if res.From.Container != curate.JSONL {
		f.Format, f.Prompt, f.Completion = "", "", "" // the split wrote messages
	}
	res.Notes = append(res.Notes, fmt.Sprintf("golden set: %d rows taken out into %s, %d left to train on; look through the golden set, then dlm golden lock it", s.Items, golden, s.Train))
	if n := s.Equal + s.Near; n > 0 {
		res.Notes = append(res.Notes, fmt.Sprintf("%d more rows say the same as golden items and were put aside in %s", n, s.Removed))
		res.Files = append(res.Files, s.Removed)
	}
	return nil
}

// relative is a path as dlm.yaml names it.
func (res *InitResult) relative(o InitOptions, path string) string {
	dir, err1 := filepath.Abs(o.Dir)
	abs, err2 := filepath.Abs(path)
	if err1 != nil || err2 != nil {
		return path
	}
	if rel, err := filepath.Rel(dir, abs); err == nil && !strings.HasPrefix(rel, "..") {
		return filepath.ToSlash(rel)
	}
	return filepath.ToSlash(abs)
}

// choose reads the settings off the rows: lengths, and which scorer fits.
func (res *InitResult) choose(rows []dlm.Row, f *fill) {
	longest, longestCompletion, objects, short := 0, 0, 0, 0
	fields := map[string]int{}
	var order []string
	distinct := map[string]bool{}
	for _, r := range rows {
		n := len(r.RawPrompt) + len(r.RawCompletion)
		for _, m := range r.Messages {
			n += len(m.Content) + 16 // the template's part
		}
		c := strings.TrimSpace(r.Completion())
		longest, longestCompletion = max(longest, n), max(longestCompletion, len(c))
		distinct[c] = true
		if len(strings.Fields(c)) <= 6 {
			short++
		}
		var obj map[string]json.RawMessage
		if json.Unmarshal([]byte(c), &obj) == nil && obj != nil {
			objects++
			for k := range obj {
				if fields[k]++; fields[k] == 1 {
					order = append(order, k)
				}
			}
		}
	}
	// English text has three to four bytes a token; two leaves room.
	f.MaxLen = clampUp(longest/2, 256, 2048)
	f.MaxTokens = clampUp(longestCompletion/2, 32, 512)
	switch {
	case 10*objects >= 9*len(rows):
		f.JSON = true
		for _, k := range []string{"intent", "label", "category", "team", "type", "class"} {
			if 10*fields[k] >= 9*len(rows) {
				f.Fields = k
				break
			}
		}
		res.Notes = append(res.Notes, fmt.Sprintf("completions are JSON objects (fields %s): scored field by field", strings.Join(order[:min(6, len(order))], ", ")))
	case 10*short >= 9*len(rows) || 10*len(distinct) <= len(rows):
		res.Notes = append(res.Notes, fmt.Sprintf("completions are short or few (%d distinct): scored as exact text", len(distinct)))
	default:
		f.Free = true
		res.Notes = append(res.Notes, "completions are free text: scored by ROUGE-L, which sees wording, not truth; add regex or contains for what must be in an answer")
	}
	if n := len(rows); n > 0 {
		f.Epochs = int(math.Max(1, math.Min(5, math.Round(3000/float64(n)))))
	}
}

// clampUp rounds up to a multiple of 32 between two bounds.
func clampUp(n, least, most int) int { return min(most, max(least, (n+31)/32*32)) }
