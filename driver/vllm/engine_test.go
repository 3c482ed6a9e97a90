package vllm

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

const baseSeed = 11

// serve starts a fake and connects to it.
func serve(t *testing.T, f *fake, change func(*Options)) (*Engine, error) {
	t.Helper()
	if f.seed == 0 {
		f.seed = baseSeed
	}
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	o := Options{URL: s.URL + "/v1/", Codec: testkit.ByteCodec{}, APIKey: f.key, Probe: toyProbe}
	if change != nil {
		change(&o)
	}
	e, err := Open(context.Background(), o)
	if err == nil {
		t.Cleanup(func() { e.Close() })
	}
	return e, err
}

func mustServe(t *testing.T, f *fake) *Engine {
	t.Helper()
	e, err := serve(t, f, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// toyProbe computes the probe that a native engine would.
func toyProbe(_ context.Context, dir string) (dlm.Probe, error) {
	if dir == "" {
		return newToy(baseSeed, 0, 0).probe(), nil
	}
	m, err := readToy(dir, baseSeed)
	return m.probe(), err
}

// adapter writes a toy adapter of rank 8 and its probe.
func adapter(t *testing.T, seed uint64, strength float64) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "adapter-"+strconv.Itoa(int(seed)))
	writeAdapter(t, dir, seed, strength, true)
	return dir
}

func writeAdapter(t *testing.T, dir string, seed uint64, strength float64, probe bool) {
	t.Helper()
	files := map[string]string{
		configFile:  `{"r": 8, "lora_alpha": 16}`,
		weightsFile: strconv.Itoa(int(seed)) + " " + strconv.FormatFloat(strength, 'g', -1, 64),
	}
	if probe {
		raw, err := newToy(baseSeed, seed, strength).probe().Marshal()
		if err != nil {
			t.Fatal(err)
		}
		files[dlm.ProbeFile] = string(raw)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConformance(t *testing.T) {
	e := mustServe(t, &fake{key: "secret"})
	o := testkit.GeneratorOptions{Exact: true, Codec: testkit.ByteCodec{}, Adapters: []string{adapter(t, 3, 1), adapter(t, 4, 0.5)}}
	t.Run("generator", func(t *testing.T) { testkit.Generator(t, e, o) })
	t.Run("calls", func(t *testing.T) { testkit.GeneratorCalls(t, e, o) })
	t.Run("fields", func(t *testing.T) { testkit.GeneratorFields(t, e, o) })
	t.Run("scorer", func(t *testing.T) { testkit.Scorer(t, e, o) })
	t.Run("generator and scorer", func(t *testing.T) { testkit.GeneratorScorer(t, e, e, o) })
}

func one(e *Engine, r dlm.GenerateRequest) (dlm.Completion, error) {
	out, err := e.Generate(context.Background(), []dlm.GenerateRequest{r}, nil)
	if err != nil {
		return dlm.Completion{}, err
	}
	return out[0], nil
}

// TestSamplingIsMapped: every field arrives, and what is off here is off there.
func TestSamplingIsMapped(t *testing.T) {
	f := &fake{}
	e := mustServe(t, f)
	for _, c := range []struct {
		s    dlm.Sampling
		want map[string]any
	}{
		{dlm.Sampling{MaxTokens: 2}, map[string]any{"temperature": 0.0, "top_k": -1.0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0,
			"seed": nil, "max_tokens": 2.0, "ignore_eos": true, "skip_special_tokens": false, "add_special_tokens": false, "logprobs": 0.0,
			"stop_token_ids": []any{257.0}, "presence_penalty": 0.0, "frequency_penalty": 0.0, "stream": true, "return_token_ids": true}},
		{dlm.Sampling{MaxTokens: 2, Temperature: 0.7, TopK: 5, TopP: 0.9, MinP: 0.1, RepetitionPenalty: 1.2, Seed: 1<<63 + 5, Stop: []string{"\x01"}},
			map[string]any{"temperature": 0.7, "top_k": 5.0, "top_p": 0.9, "min_p": 0.1, "repetition_penalty": 1.2, "seed": 5.0}},
	} {
		if _, err := one(e, dlm.GenerateRequest{Raw: "Hi", Sampling: c.s}); err != nil {
			t.Fatal(err)
		}
		got := f.seen[len(f.seen)-1]
		for k, want := range c.want {
			if list, ok := want.([]any); ok {
				if g, _ := got[k].([]any); len(g) != len(list) || g[0] != list[0] {
					t.Errorf("%+v: %s is %v, expected %v", c.s, k, got[k], want)
				}
			} else if got[k] != want {
				t.Errorf("%+v: %s is %v, expected %v", c.s, k, got[k], want)
			}
		}
	}
}

// TestIdentity is engine law 8 over another engine: what does not answer as
// itself is refused, with the reason and the table.
func TestIdentity(t *testing.T) {
	ask := func(e *Engine, dir string) error {
		_, err := one(e, dlm.GenerateRequest{Raw: "Hi", Adapter: dir, Sampling: dlm.Sampling{MaxTokens: 1}})
		return err
	}
	good := adapter(t, 3, 1)
	if err := ask(mustServe(t, &fake{}), good); err != nil {
		t.Errorf("a good adapter: %v", err)
	}
	zero := adapter(t, 3, 0)
	if err := ask(mustServe(t, &fake{}), zero); err != nil {
		t.Errorf("an adapter recorded as all zero: %v", err)
	}

	f := &fake{deaf: true}
	err := ask(mustServe(t, f), good)
	mustRefuse(t, err, true, "answers as the base", "token", good)
	if len(f.adapters) != 0 {
		t.Errorf("the refused adapter is still loaded: %v", f.adapters)
	}

	// A planted folder: another adapter's probe beside weights that do nothing.
	planted := adapter(t, 3, 1)
	if err := os.WriteFile(filepath.Join(planted, weightsFile), []byte("3 0"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, ask(mustServe(t, &fake{}), planted), true, "answers as the base")

	// Weights that are not those of the probe.
	swapped := adapter(t, 3, 1)
	if err := os.WriteFile(filepath.Join(swapped, weightsFile), []byte("5 3"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, ask(mustServe(t, &fake{}), swapped), true, swapped)

	// A zero adapter that is none.
	liar := adapter(t, 3, 0)
	if err := os.WriteFile(filepath.Join(liar, weightsFile), []byte("5 2"), 0o644); err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, ask(mustServe(t, &fake{}), liar), true, "all its B are zero")

	// Without a probe file it is computed; without anyone to compute it, refused.
	bare := filepath.Join(t.TempDir(), "bare")
	writeAdapter(t, bare, 6, 1, false)
	if err := ask(mustServe(t, &fake{}), bare); err != nil {
		t.Errorf("a folder without a probe: %v", err)
	}
	e, err := serve(t, &fake{}, func(o *Options) { o.Probe = nil })
	if err != nil {
		t.Fatal(err)
	}
	mustRefuse(t, ask(e, bare), false, dlm.ProbeFile, "import")

	_, err = serve(t, &fake{seed: 99}, nil)
	mustRefuse(t, err, true, "another base", "base")
}

func mustRefuse(t *testing.T, err error, identity bool, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("not refused; expected an error that says %q", words)
		return
	}
	if errors.Is(err, ErrIdentity) != identity {
		t.Errorf("error %q: is it one of identity? expected %v", err, identity)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

// TestChangedFolder: a folder that changed is another adapter, under another name.
func TestChangedFolder(t *testing.T) {
	f := &fake{}
	e := mustServe(t, f)
	dir := adapter(t, 3, 1)
	ctx := context.Background()
	first, err := e.modelOf(ctx, dir)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := e.modelOf(ctx, dir); err != nil || again != first {
		t.Errorf("asked again it is %s (%v), at first %s", again, err, first)
	}
	writeAdapter(t, dir, 4, 1.25, true)
	second, err := e.modelOf(ctx, dir)
	if err != nil || second == first {
		t.Errorf("the changed folder is %s (%v), as before it changed", second, err)
	}
	if _, still := f.adapters[first]; still || len(f.adapters) != 1 {
		t.Errorf("loaded are %v", f.adapters)
	}
	if err := e.Unload(ctx, dir); err != nil || len(f.adapters) != 0 {
		t.Errorf("after unloading (%v): %v", err, f.adapters)
	}
	if err := e.Unload(ctx, dir); err != nil {
		t.Errorf("unloading what is not loaded: %v", err)
	}
	if third, err := e.modelOf(ctx, dir); err != nil || third != second {
		t.Errorf("loaded again it is %s (%v), before %s", third, err, second)
	}
	e.Close()
	if len(f.adapters) != 0 {
		t.Errorf("closing leaves %v loaded", f.adapters)
	}
}

// TestErrors: vLLM's own reason, and what to do.
func TestErrors(t *testing.T) {
	ask := dlm.GenerateRequest{Raw: "Hi", Sampling: dlm.Sampling{MaxTokens: 20}}
	for name, c := range map[string]struct {
		f     *fake
		words []string
	}{
		"no token ids":   {&fake{noIDs: true}, []string{"0.10.2"}},
		"breaks off":     {&fake{breakAt: 5}, []string{"broke off"}},
		"no runtime":     {&fake{onlyBase: true}, []string{"Not Found", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"}},
		"another prompt": {&fake{addBOS: true}, []string{"another"}},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := serve(t, c.f, func(o *Options) {
				if name == "another prompt" {
					o.Probe = nil
				}
			})
			if err == nil {
				r := ask
				if name == "no runtime" {
					r.Adapter = adapter(t, 3, 1)
				}
				_, err = one(e, r)
			}
			mustRefuse(t, err, false, c.words...)
		})
	}
	_, err := serve(t, &fake{key: "secret"}, func(o *Options) { o.APIKey = "wrong" })
	mustRefuse(t, err, false, "Unauthorized", "api_key_env")
	_, err = Open(context.Background(), Options{URL: "http://127.0.0.1:1", Codec: testkit.ByteCodec{}})
	mustRefuse(t, err, false, "does not answer", "refused")
	_, err = Open(context.Background(), Options{Codec: testkit.ByteCodec{}})
	mustRefuse(t, err, false, "vllm.url", "vllm.python")
	_, err = Open(context.Background(), Options{URL: "gpu-box:8000", Codec: testkit.ByteCodec{}})
	mustRefuse(t, err, false, "gpu-box:8000", "http://")

	e := mustServe(t, &fake{})
	long := strings.Repeat("a very long prompt ", 40)
	_, err = e.Generate(context.Background(), []dlm.GenerateRequest{ask, {Raw: long}}, nil)
	mustRefuse(t, err, false, "request 2", "512")
	_, err = e.Score(context.Background(), []dlm.ScoreRequest{{Raw: "a", Completion: long}})
	mustRefuse(t, err, false, "512")
	out, err := one(e, dlm.GenerateRequest{Raw: long[:480]})
	if err != nil || out.PromptTokens+len(out.Tokens) > 512 || out.Finish != "length" && out.Finish != "stop" {
		t.Errorf("without max_tokens: %d + %d tokens, finish %q (%v)", out.PromptTokens, len(out.Tokens), out.Finish, err)
	}
}

// TestRetries: a connection that is dropped before an answer is tried again, an
// answer is not.
func TestRetries(t *testing.T) {
	f := &fake{}
	e := mustServe(t, f)
	f.mu.Lock()
	f.dropped = 2
	f.mu.Unlock()
	if _, err := one(e, dlm.GenerateRequest{Raw: "Hi", Sampling: dlm.Sampling{MaxTokens: 1}}); err != nil {
		t.Errorf("two dropped connections: %v", err)
	}
	before := len(f.seen)
	e.model = "nope"
	_, err := one(e, dlm.GenerateRequest{Raw: "Hi", Sampling: dlm.Sampling{MaxTokens: 1}})
	mustRefuse(t, err, false, "does not exist")
	if len(f.seen) != before+1 {
		t.Errorf("a refusal was asked %d times", len(f.seen)-before)
	}
}

func TestRanks(t *testing.T) {
	for rank, want := range map[int]int{1: 8, 8: 8, 9: 16, 16: 16, 17: 32, 257: 320, 512: 512} {
		if got, err := maxRank(rank); err != nil || got != want {
			t.Errorf("rank %d is served with %d (%v), expected %d", rank, got, err, want)
		}
	}
	if _, err := maxRank(513); err == nil {
		t.Error("rank 513 is served")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, configFile), []byte(`{"r": 8, "rank_pattern": {"q_proj": 24}}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if r, err := Rank(dir); err != nil || r != 24 {
		t.Errorf("rank %d (%v), expected the pattern's 24", r, err)
	}
}
