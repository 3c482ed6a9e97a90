package lifecycle

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"dlm/stage/evals"

	"github.com/google/go-cmp/cmp"
)

// projectDir makes a folder with the data files that the examples name.
func projectDir(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"data/train.jsonl", "data/more.jsonl", "data/golden.jsonl", "data/held.jsonl"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("{}\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const minimal = "base: smollm2-135m-instruct\ndata:\n  train: data/train.jsonl\ngolden: data/golden.jsonl\n"

func parseAt(t testing.TB, dir, src string, set ...string) (*Project, error) {
	t.Helper()
	return Parse(filepath.Join(dir, FileName), []byte(src), set)
}

func TestParseDefaults(t *testing.T) {
	dir := projectDir(t)
	p, err := parseAt(t, dir, minimal)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != filepath.Base(dir) || p.Golden.Name != "golden" || p.Eval.Primary != "exact" || p.Path("data/x") != filepath.Join(dir, "data/x") {
		t.Errorf("derived: %+v", p)
	}
	if q, err := parseAt(t, dir, minimal, "data.max_len=1024"); err != nil || q.Data.MaxLenDefault || !p.Data.MaxLenDefault {
		t.Errorf("max_len that was given and that was not: %+v %+v, %v", q, p.Data, err)
	}
	r := p.Recipe()
	if r.Rank != 16 || r.Alpha != 32 || r.LR != 1e-3 || len(r.TargetModules) != 7 || r.ClipNorm != 1 || !r.KeepBest || r.MaxLen != 1024 || r.Seed != 1 || r.Precision != "bf16" {
		t.Errorf("recipe: %+v", r)
	}
}

func TestParseEverything(t *testing.T) {
	dir := projectDir(t)
	src := `# a comment
project: claims-desk
base: smollm2-135m-instruct
system: "File the customer's message."
data:
  train: [data/train.jsonl, data/more.jsonl]
  held_out: data/held.jsonl
  format: messages
  max_len: 256
  truncate: true
golden: {file: data/golden.jsonl, name: claims}
train:
  rank: 8
  alpha: 16
  lr: 2e-4
  epochs: 2.5
  dropout: .05
  target_modules: [q_proj, v_proj]
  rank_pattern:
    v_proj: 4
    layers\.0\..*q_proj: 12
  alpha_pattern: {q_proj: 1.5}
  eval_every: 5
  early_stopping: {patience: 3, min_delta: 1e-3}
  seed: 18446744073709551615
  schedule: linear
  packing: false
eval:
  scorers:
    - exact
    - name: json
      fields: [intent]
  primary: record
  arms: [zero-shot, few-shot: 4, few-shot-8, nearest-copy, linear]
  max_tokens: 96
  sampling:
    stop: ["\n\n"]
gate:
  baseline: zero-shot
  max_drop: 1.5pp
  level: 0.9
  on_inconclusive: warn
promote:
  alias: prod
`
	p, err := parseAt(t, dir, src)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Root, want.File, want.Name, want.Base, want.System = p.Root, p.File, "claims-desk", "smollm2-135m-instruct", "File the customer's message."
	want.Data = DataSpec{Train: Paths{"data/train.jsonl", "data/more.jsonl"}, HeldOut: Held{File: "data/held.jsonl"}, Format: "messages", MaxLen: 256, Truncate: true}
	want.Golden = GoldenSpec{File: "data/golden.jsonl", Name: "claims"}
	w := &want.Train
	w.Rank, w.Alpha, w.LR, w.Epochs, w.Dropout, w.TargetModules, w.Seed, w.Schedule, w.Packing = 8, 16, 2e-4, 2.5, .05, []string{"q_proj", "v_proj"}, 1<<64-1, "linear", false
	w.RankPattern = Patterns{{Match: "v_proj", Value: 4}, {Match: `layers\.0\..*q_proj`, Value: 12}} // in the order of the file
	w.AlphaPattern, w.EvalEvery, w.EarlyStopping = Patterns{{Match: "q_proj", Value: 1.5}}, 5, EarlySpec{Patience: 3, MinDelta: 1e-3}
	want.Eval = EvalSpec{Scorers: []evals.ScorerSpec{{Name: "exact"}, {Name: "json", Fields: []string{"intent"}}}, Primary: "record",
		Arms:      []ArmSpec{{Kind: "zero-shot"}, {Kind: "few-shot", Shots: 4}, {Kind: "few-shot", Shots: 8}, {Kind: "nearest-copy"}, {Kind: "linear"}},
		MaxTokens: 96, Sampling: SamplingSpec{Stop: []string{"\n\n"}}}
	want.Gate = GateSpec{Baseline: "zero-shot", MaxDrop: 0.015, Level: 0.9, OnInconclusive: "warn"}
	want.Promote.Alias = "prod"
	if d := cmp.Diff(&want, p); d != "" {
		t.Error(d)
	}
}

func TestParseErrors(t *testing.T) {
	dir := projectDir(t)
	for _, c := range []struct {
		name, src string
		line, col int
		field     string
		says      []string
	}{
		{"unknown field", minimal + "train:\n  rnak: 8\n", 6, 3, "train.rnak", []string{"unknown field", "did you mean rank?", "rnak: 8"}},
		{"unknown at the top", minimal + "trian: {}\n", 5, 1, "trian", []string{"did you mean train?"}},
		{"field of another part", minimal + "max_len: 5\n", 5, 1, "max_len", []string{"it belongs at data.max_len"}},
		{"doubled field", minimal + "base: other\n", 5, 1, "base", []string{"a second time"}},
		{"doubled nested", minimal + "train:\n  lr: 1\n  lr: 2\n", 7, 3, "", []string{"a second time"}},
		{"text for a number", minimal + "train:\n  rank: many\n", 6, 9, "train.rank", []string{`is "many"`, "a whole number"}},
		{"quoted number", minimal + "train:\n  rank: \"8\"\n", 6, 9, "train.rank", []string{"a whole number"}},
		{"fraction for a whole number", minimal + "train:\n  rank: 8.5\n", 6, 9, "train.rank", []string{"is 8.5", "a whole number"}},
		{"yes is not true", minimal + "train:\n  packing: yes\n", 6, 12, "train.packing", []string{"true or false"}},
		{"list for text", minimal + "project: [a]\n", 5, 10, "project", []string{"is a list", "text"}},
		{"text for a list", minimal + "train:\n  target_modules: q_proj\n", 6, 19, "train.target_modules", []string{"a list"}},
		{"text for fields", minimal + "train: fast\n", 5, 8, "train", []string{"expected fields"}},
		{"wrong module", minimal + "train:\n  target_modules: [q_proj, v_porj]\n", 6, 28, "train.target_modules[1]", []string{"did you mean v_proj?"}},
		{"lr of zero", minimal + "train:\n  lr: 0\n", 6, 7, "train.lr", []string{"more than 0"}},
		{"negative rank", minimal + "train:\n  rank: -1\n", 6, 9, "train.rank", []string{"1 or more"}},
		{"pattern of rank 0", minimal + "train:\n  rank_pattern: {q_proj: 0}\n", 6, 18, "train.rank_pattern.q_proj", []string{"1 to 1024"}},
		{"pattern of half a rank", minimal + "train:\n  rank_pattern:\n    q_proj: 1.5\n", 7, 5, "train.rank_pattern.q_proj", []string{"whole number"}},
		{"pattern with a text", minimal + "train:\n  alpha_pattern: {q_proj: much}\n", 6, 27, "train.alpha_pattern.q_proj", []string{"a number"}},
		{"pattern that is none", minimal + "train:\n  alpha_pattern: {\"q_proj(\": 1}\n", 6, 19, "train.alpha_pattern.q_proj(", []string{"regular expression"}},
		{"pattern twice", minimal + "train:\n  alpha_pattern: {q_proj: 1, \"q_proj\": 2}\n", 6, 30, "q_proj", []string{"a second time"}},
		{"patterns as a list", minimal + "train:\n  alpha_pattern: [q_proj]\n", 6, 18, "train.alpha_pattern", []string{"q_proj: 32"}},
		{"patience of 0", minimal + "train:\n  eval_every: 5\n  early_stopping: {min_delta: 1}\n", 7, 3, "train.early_stopping.patience", []string{"1 or more"}},
		{"early stopping without evaluations", minimal + "train:\n  early_stopping: {patience: 3}\n", 6, 3, "train.early_stopping", []string{"eval_every: 20"}},
		{"early stopping without held-out rows", "base: b\ndata:\n  train: data/train.jsonl\n  held_out: 0\ntrain:\n  eval_every: 5\n  early_stopping: {patience: 3}\n", 7, 3, "train.early_stopping", []string{"held_out: 5%"}},
		{"unknown field of early stopping", minimal + "train:\n  early_stopping: {patient: 3}\n", 6, 20, "train.early_stopping.patient", []string{"did you mean patience?"}},
		{"drop without a unit", minimal + "gate:\n  max_drop: 2\n", 6, 13, "gate.max_drop", []string{"did you mean 2pp?"}},
		{"unknown policy", minimal + "gate:\n  on_inconclusive: blok\n", 6, 20, "gate.on_inconclusive", []string{"did you mean block?"}},
		{"unknown arm", minimal + "eval:\n  arms: [zero-shoot]\n", 6, 10, "eval.arms[0]", []string{"did you mean zero-shot?"}},
		{"arm with a number", minimal + "eval:\n  arms: [linear: 3]\n", 6, 10, "eval.arms[0]", []string{"takes no number"}},
		{"unknown scorer", minimal + "eval:\n  scorers: [exakt]\n", 6, 13, "eval.scorers[0]", []string{"exact"}},
		{"scorer field", minimal + "eval:\n  scorers: [{name: json, feilds: [a]}]\n", 6, 26, "eval.scorers[0].feilds", []string{"did you mean fields?"}},
		{"primary of no scorer", minimal + "eval:\n  primary: rceord\n  scorers: [json]\n", 6, 12, "eval.primary", []string{"did you mean record?"}},
		{"missing file", "base: b\ndata:\n  train: data/trian.jsonl\n", 3, 10, "data.train", []string{"is not there", "did you mean train.jsonl?"}},
		{"missing in a list", "base: b\ndata:\n  train:\n    - data/train.jsonl\n    - data/none.jsonl\n", 5, 7, "data.train[1]", []string{"is not there"}},
		{"folder for a file", "base: b\ndata:\n  train: data\n", 3, 10, "data.train", []string{"is a folder"}},
		{"golden trained on", "base: b\ndata:\n  train: data/golden.jsonl\ngolden: data/golden.jsonl\n", 4, 9, "golden", []string{"also trained on"}},
		{"no base", "data:\n  train: data/train.jsonl\n", 0, 0, "base", []string{"is missing"}},
		{"no data", "base: b\n", 0, 0, "data.train", []string{"is missing"}},
		{"held out too much", "base: b\ndata:\n  train: data/train.jsonl\n  held_out: 90%\n", 4, 13, "data.held_out", []string{"at most half"}},
		{"no store", minimal + "store: nowhere\n", 5, 8, "store", []string{"nowhere is no folder"}},
		{"serve without a port", minimal + "serve:\n  addr: localhost\n", 6, 9, "serve.addr", []string{"127.0.0.1:8080"}},
		{"serve with an odd size", minimal + "serve:\n  cache: much\n", 6, 10, "serve.cache", []string{"512MiB"}},
		{"serve with a time below 0", minimal + "serve:\n  max_itl: -1s\n", 6, 12, "serve.max_itl", []string{"50ms"}},
		{"serve with an unknown field", minimal + "serve:\n  adrr: 127.0.0.1:80\n", 6, 3, "serve.adrr", []string{"did you mean addr?"}},
		{"serve with an unknown kind", minimal + "serve:\n  upstreams: [{name: a, kind: vlm, url: \"http://x\"}]\n", 6, 31, "serve.upstreams[0].kind", []string{"did you mean vllm?"}},
		{"serve with a key in the file", minimal + "serve:\n  upstreams: [{name: a, kind: vllm, url: \"http://x\", api_key_env: \"sk-1\"}]\n", 6, 67, "serve.upstreams[0].api_key_env", []string{"does not belong in this file"}},
		{"serve with an upstream's alias", minimal + "serve:\n  upstreams: [{name: a, kind: vllm, url: \"http://x\", models: [a@b]}]\n", 6, 63, "serve.upstreams[0].models[0]", []string{"no @"}},
		{"serve with a text for a number", minimal + "serve:\n  draft: many\n", 6, 10, "serve.draft", []string{"a whole number"}},
		{"serve with a number below 0", minimal + "serve:\n  draft: -1\n", 6, 10, "serve.draft", []string{"7"}},
		{"serve nothing", minimal + "serve:\n  native: off\n", 6, 11, "serve.native", []string{"there are no upstreams"}},
		{"bad alias", minimal + "promote:\n  alias: Prod!\n", 6, 10, "promote.alias", []string{"lower-case"}},
		{"one column", "base: b\ndata:\n  train: data/train.jsonl\n  prompt: q\n", 2, 1, "data.completion", []string{"both, or neither"}},
		{"anchor", "base: &b x\ndata:\n  train: data/train.jsonl\n", 1, 7, "base", []string{"anchors"}},
		{"tab", "base: b\ndata:\n\ttrain: x\n", 3, 1, "", []string{"not valid YAML"}},
		{"not a mapping", "- a\n- b\n", 1, 1, "", []string{"expected fields"}},
		{"two documents", minimal + "---\nbase: x\n", 6, 1, "", []string{"second document"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := parseAt(t, dir, c.src)
			if err == nil {
				t.Fatal("accepted")
			}
			all := FieldErrors(err)
			if len(all) == 0 {
				t.Fatalf("no FieldError in %v", err)
			}
			e := all[0]
			if e.Line != c.line || e.Column != c.col || (c.field != "" && e.Field != c.field) {
				t.Errorf("at %d:%d %q, want %d:%d %q\n%v", e.Line, e.Column, e.Field, c.line, c.col, c.field, err)
			}
			for _, s := range c.says {
				if !strings.Contains(e.Error(), s) {
					t.Errorf("does not say %q:\n%v", s, e)
				}
			}
		})
	}
}

func TestErrorsAreReportedTogether(t *testing.T) {
	_, err := parseAt(t, projectDir(t), "base: b\ntrain:\n  rnak: 8\n  lr: fast\ngate: {level: x}\n")
	if n := len(FieldErrors(err)); n != 3 {
		t.Errorf("%d errors, want 3: %v", n, err)
	}
}

func TestErrorText(t *testing.T) {
	_, err := Parse("dlm.yaml", []byte("train:\n  rnak: 8\n"), nil)
	want := `dlm.yaml:2:3: train.rnak: unknown field; expected one of method, rank, alpha, dropout, rslora, target_modules, rank_pattern, alpha_pattern, epochs, max_steps, batch_size, micro_batch, packing, share_prefix, checkpointing, lr, schedule, warmup, weight_decay, clip_norm, seed, shuffle, eval_every, sample_every, save_every, keep_best, early_stopping, precision, samples, beta, group, rollouts, rewards; did you mean rank?
    2 |   rnak: 8
      |   ^`
	if d := cmp.Diff(want, err.Error()); d != "" {
		t.Error(d)
	}
}

func TestSet(t *testing.T) {
	dir := projectDir(t)
	p, err := parseAt(t, dir, minimal+"train:\n  lr: 0.5\n  rank: 4\n", "train.lr=1e-4", "gate.max_drop=1pp", "eval.arms=[zero-shot, few-shot: 2]", "data.train=data/more.jsonl", "train.packing=false", "golden=data/held.jsonl", "system=a: b # c \"d\"", "project=2026")
	if err != nil {
		t.Fatal(err)
	}
	if p.Train.LR != 1e-4 || p.Train.Rank != 4 || p.Gate.MaxDrop != 0.01 || len(p.Eval.Arms) != 2 || p.Data.Train[0] != "data/more.jsonl" || p.Train.Packing || p.System != `a: b # c "d"` || p.Name != "2026" || p.Golden.File != "data/held.jsonl" {
		t.Errorf("%+v", p)
	}
	for set, says := range map[string][]string{
		"train.rnak=8":       {"--set train.rnak=8", "did you mean rank?"},
		"train.lr=fast":      {"--set train.lr=fast", "a number"},
		"train.lr=0":         {"--set train.lr=0", "more than 0"},
		"train.lr":           {"has no ="},
		"train=5":            {"expected fields"},
		"data.train=none":    {"--set data.train=none", "is not there"},
		"train.lr.x=1":       {"--set train.lr.x=1", "a number"},
		"gate.max_drop=many": {"percentage points"},
	} {
		_, err := parseAt(t, dir, minimal, set)
		if err == nil {
			t.Errorf("%s: accepted", set)
			continue
		}
		for _, s := range says {
			if !strings.Contains(err.Error(), s) {
				t.Errorf("%s: does not say %q: %v", set, s, err)
			}
		}
	}
}

func TestDiscover(t *testing.T) {
	dir := t.TempDir()
	deep := filepath.Join(dir, "a", "b")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Discover(deep); err == nil || !strings.Contains(err.Error(), "dlm init") {
		t.Errorf("outside: %v", err)
	}
	want := filepath.Join(dir, FileName)
	if err := os.WriteFile(want, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := Discover(deep); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
}

func TestParsePoints(t *testing.T) {
	for s, want := range map[string]Points{"2pp": 0.02, "2 pp": 0.02, "0.02": 0.02, "0": 0, "1.5%": 0.015, "100pp": 1} {
		if got, err := ParsePoints(s); err != nil || got != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "pp", "2", "-1pp", "NaN", "101pp", "two"} {
		if got, err := ParsePoints(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	if s := Points(0.07).String(); s != "7pp" {
		t.Error(s)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(minimal)
	f.Add("a: [b, {c: d}]\n---\nx")
	f.Add("train: {lr: 1e-4, rank: \"8\"}\neval: {arms: [few-shot: 4], scorers: [exact, {name: json}]}")
	f.Add("base: !!str &a x\n<<: *a\ndata: {held_out: 5%}")
	f.Fuzz(func(t *testing.T, src string) {
		p, err := Parse("dlm.yaml", []byte(src), nil)
		if (p == nil) == (err == nil) {
			t.Errorf("project %v, error %v", p, err)
		}
		if err != nil {
			_ = err.Error()
		}
	})
}

// Projects that share a store keep their results in one place.
func TestStore(t *testing.T) {
	dir := projectDir(t)
	if err := os.Mkdir(filepath.Join(dir, "sql"), 0o755); err != nil {
		t.Fatal(err)
	}
	src := "base: b\nstore: ..\ndata:\n  train: ../data/train.jsonl\npromote:\n  alias: sql@prod\n"
	p, err := parseAt(t, filepath.Join(dir, "sql"), src)
	if err != nil {
		t.Fatal(err)
	}
	if p.State() != filepath.Join(dir, StateDir) || p.Promote.Alias != "sql@prod" {
		t.Errorf("state %s, alias %s", p.State(), p.Promote.Alias)
	}
	if q, err := parseAt(t, dir, minimal); err != nil || q.State() != p.State() {
		t.Errorf("the project in that folder has its store at %s, %v", q.State(), err)
	}
}

// A project may be a gateway alone: no base, no data.
func TestServe(t *testing.T) {
	dir := projectDir(t)
	p, err := parseAt(t, dir, `serve:
  addr: 0.0.0.0:80
  max_itl: 50ms
  cache: 1.5GiB
  native: off
  limits: {body: 512KiB, time: 2m, choices: 8, max_tokens: 256}
  upstreams:
    - {name: gpu, kind: vllm, url: "http://gpu:8000", models: [big=meta/big, small], in_flight: 32}
`)
	if err != nil {
		t.Fatal(err)
	}
	s := p.Serve
	if s.Cache != 3<<29 || s.Limits.Body != 512<<10 || s.MaxITL.String() != "50ms" || len(s.Upstreams) != 1 || s.Upstreams[0].InFlight != 32 {
		t.Errorf("%+v", s)
	}
	if _, err := parseAt(t, dir, "serve: {addr: 127.0.0.1:80}\n"); err == nil {
		t.Error("no base and no upstreams: accepted")
	}
}

func TestParseBytes(t *testing.T) {
	for in, want := range map[string]Bytes{"0": 0, "4096": 4096, "1KiB": 1024, "1.5GiB": 3 << 29, "2 GB": 2_000_000_000, "10B": 10, "1TiB": 1 << 40} {
		got, err := ParseBytes(in)
		if err != nil || got != want {
			t.Errorf("%q is %d, %v; expected %d", in, got, err, want)
		}
		if again, err := ParseBytes(got.String()); err != nil || again != got {
			t.Errorf("%q is written %s, which reads %d, %v", in, got, again, err)
		}
	}
	for _, in := range []string{"", "-1", "1XB", "NaN", "1e300GiB", "GiB"} {
		if got, err := ParseBytes(in); err == nil {
			t.Errorf("%q was read as %d", in, got)
		}
	}
}

// What docs/SERVING.md and the file of a new project show can be written down so.
func TestServeAsDocumented(t *testing.T) {
	dir := projectDir(t)
	doc, err := os.ReadFile(filepath.Join("..", "docs", "SERVING.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(doc), "```yaml\nserve:\n")
	block, _, _ = strings.Cut(block, "```")
	p, err := parseAt(t, dir, "base: b\nserve:\n"+block)
	if err != nil {
		t.Fatalf("docs/SERVING.md: %v", err)
	}
	names, _ := fieldNames(reflect.TypeFor[ServeSpec]())
	for _, n := range names {
		if !strings.Contains(block, "\n  "+n+":") && !strings.HasPrefix(block, "  "+n+":") {
			t.Errorf("docs/SERVING.md does not show serve.%s", n)
		}
	}
	if len(p.Serve.Upstreams) != 3 || p.Serve.Draft == nil || *p.Serve.Draft != 8 {
		t.Errorf("%+v", p.Serve)
	}
	_, block, _ = strings.Cut(projectTemplate, "\n# serve:")
	_, block, _ = strings.Cut(block, "\n")
	if _, err := parseAt(t, dir, "base: b\nserve:\n"+regexp.MustCompile(`(?m)^# ?`).ReplaceAllString(block, "")); err != nil {
		t.Errorf("dlm.yaml of a new project: %v", err)
	}
}
