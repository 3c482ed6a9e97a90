package llamacpp

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

func open(t *testing.T, kind string) *Engine {
	t.Helper()
	e, err := try(t, kind, "GGUF")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func try(t *testing.T, kind, content string) (*Engine, error) {
	t.Helper()
	t.Setenv("FAKE_LLAMA", kind)
	model := filepath.Join(t.TempDir(), "model.gguf")
	if err := os.WriteFile(model, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return Open(context.Background(), Options{Server: os.Args[0], Model: model, Codec: testkit.ByteCodec{}, Threads: 1})
}

// beyond is what llama.cpp is not asked.
var beyond = []string{"presence_penalty", "frequency_penalty", "min_tokens", "ignore_eos", "prompt_logprobs", "guided_regex"}

func TestConformance(t *testing.T) {
	t.Setenv("FAKE_LLAMA", "good")
	dir := t.TempDir()
	for _, f := range []string{"model.gguf", "bank.gguf", "shop.gguf"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("GGUF"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e, err := Open(context.Background(), Options{Server: os.Args[0], Model: filepath.Join(dir, "model.gguf"), Codec: testkit.ByteCodec{}, Threads: 1,
		LoRAs: []string{filepath.Join(dir, "bank.gguf"), filepath.Join(dir, "shop.gguf")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	running, err := Open(context.Background(), Options{URL: e.url + "/v1/", Codec: testkit.ByteCodec{}})
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*Engine{"a child": e, "one that runs": running} {
		t.Run(name, func(t *testing.T) {
			o := testkit.GeneratorOptions{Exact: true, Codec: testkit.ByteCodec{}, Refuses: beyond, Adapters: []string{"bank", "shop"}}
			t.Run("generator", func(t *testing.T) { testkit.Generator(t, e, o) })
			t.Run("calls", func(t *testing.T) { testkit.GeneratorCalls(t, e, o) })
			t.Run("fields", func(t *testing.T) { testkit.GeneratorFields(t, e, o) })
			t.Run("scorer", func(t *testing.T) { testkit.Scorer(t, e, o) })
			t.Run("generator and scorer", func(t *testing.T) { testkit.GeneratorScorer(t, e, e, o) })
		})
	}
}

func TestChoices(t *testing.T) {
	if got := choices([]string{"a\"b", `c\d`, "e\nf"}); got != `root ::= "a\"b" | "c\\d" | "e\nf"` {
		t.Error(got)
	}
}

func wants(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Errorf("error %v does not say %q", err, w)
		}
	}
}

var question = []dlm.GenerateRequest{{Raw: "Once upon a time", Sampling: dlm.Sampling{MaxTokens: 9}}}

func TestFailures(t *testing.T) {
	_, err := try(t, "good", "no model")
	wants(t, err, "llama-server ended", "invalid magic")
	_, err = open(t, "die").Generate(context.Background(), question, nil)
	wants(t, err, "llama-server ended", "out of memory")
	_, err = open(t, "old").Generate(context.Background(), question, nil)
	wants(t, err, "no log-probability", "2025")
	_, err = Open(context.Background(), Options{Server: os.Args[0], Model: "no.gguf", Codec: testkit.ByteCodec{}})
	wants(t, err, "no.gguf")
	long := []dlm.GenerateRequest{{Raw: strings.Repeat("x", 600)}}
	_, err = open(t, "good").Generate(context.Background(), long, nil)
	wants(t, err, "600 tokens", "shorten")
	_, err = open(t, "good").Score(context.Background(), []dlm.ScoreRequest{{Raw: "a", Completion: "b", Adapter: "lora"}})
	wants(t, err, "adapter lora")
}

// TestEndsByTheFile: an id that ends a text in llama.cpp alone ends it.
func TestEndsByTheFile(t *testing.T) {
	out, err := open(t, "eos").Generate(context.Background(), question, nil)
	if err != nil || out[0].Finish != "stop" || len(out[0].Tokens) != 2 {
		t.Errorf("%+v %v", out, err)
	}
}

func TestFind(t *testing.T) {
	if got, err := Find(os.Args[0]); err != nil || !filepath.IsAbs(got) {
		t.Error(got, err)
	}
	t.Setenv("DLM_LLAMA_SERVER", os.Args[0])
	if _, err := Find(""); err != nil {
		t.Error(err)
	}
	_, err := Find("/no/such/server")
	wants(t, err, "/no/such/server", "expected")
	t.Setenv("DLM_LLAMA_SERVER", "")
	t.Setenv("PATH", t.TempDir())
	_, err = Find("")
	wants(t, err, "--llama-server", "DLM_LLAMA_SERVER")
}

// FuzzEvents: whatever a server sends, reading it ends without a panic.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"tokens\":[1],\"completion_probabilities\":[{\"id\":1,\"logprob\":-1}]}\n\ndata: {\"stop\":true,\"stop_type\":\"eos\"}\n"))
	f.Add([]byte("data: {\"error\":{\"message\":\"x\"}}\n"))
	f.Add([]byte("data: 5\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		codec := testkit.ByteCodec{}
		r := reading{codec: codec, max: 3, top: 2, stopIDs: codec.StopIDs(), text: codec.Spell([]string{"ab"}), emit: func(dlm.Token) {}}
		err := readEvents(strings.NewReader(string(data)), r.event)
		if err == nil && r.out.Finish == "" {
			t.Error("an answer without an end was taken")
		}
	})
}
