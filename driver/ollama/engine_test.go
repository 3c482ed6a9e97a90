package ollama

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/remote"
	"dlm/internal/testkit"
)

// write makes a folder with a Modelfile and the file it names.
func write(t *testing.T, m Modelfile) string {
	t.Helper()
	dir := t.TempDir()
	text, err := m.Text()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "Modelfile"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "x.gguf"), []byte("GGUF"), 0o644); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "Modelfile")
}

func open(t *testing.T, kind, from, host string) (*Engine, error) {
	t.Helper()
	t.Setenv("FAKE_OLLAMA", kind)
	e, err := Open(context.Background(), Options{
		Binary: os.Args[0], Host: host, Modelfile: write(t, Modelfile{From: from, Context: 512}), Codec: testkit.ByteCodec{}, Context: 512, Threads: 1,
	})
	if err == nil {
		t.Cleanup(func() { e.Close() })
	}
	return e, err
}

// beyond is what Ollama is not asked.
var beyond = []string{"prompt", "presence_penalty", "frequency_penalty", "logit_bias", "min_tokens", "ignore_eos", "stop_token_ids",
	"top_logprobs", "prompt_logprobs", "guided_regex", "guided_choice"}

func TestConformance(t *testing.T) {
	e, err := open(t, "good", "x.gguf", "")
	if err != nil {
		t.Fatal(err)
	}
	o := testkit.GeneratorOptions{Exact: true, Codec: testkit.ByteCodec{}, Refuses: beyond, Silent: true}
	testkit.Generator(t, e, o)
	testkit.GeneratorCalls(t, e, o)
	testkit.GeneratorFields(t, e, o)
	running, err := Open(context.Background(), Options{Host: e.url, Model: e.name})
	if err != nil {
		t.Fatal(err)
	}
	o.Adapters = []string{e.name} // a model of the same server
	testkit.Generator(t, running, o)
	if err := running.Close(); err != nil {
		t.Error(err)
	}
	if v, err := running.Embed(context.Background(), []string{"a"}); err != nil || len(v) != 1 || v[0].Tokens != 5 || v[0].Vector[1] != 0.8 {
		t.Errorf("embedded as %+v %v", v, err)
	}
	// A second one in the same server leaves it as it was.
	other, err := open(t, "good", "x.gguf", e.url)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if err := e.ready(context.Background()); err != nil {
		t.Error("the server is gone:", err)
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

func TestFailures(t *testing.T) {
	_, err := open(t, "good", "nothing.gguf", "")
	wants(t, err, "refused the Modelfile", "nothing.gguf")
	ask := []dlm.GenerateRequest{{Raw: "Once upon a time", Sampling: dlm.Sampling{MaxTokens: 9}}}
	e, err := open(t, "die", "x.gguf", "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = e.Generate(context.Background(), ask, nil)
	wants(t, err, "ollama ended", "has terminated")
	if e, err = open(t, "error", "x.gguf", ""); err != nil {
		t.Fatal(err)
	}
	_, err = e.Generate(context.Background(), ask, nil)
	wants(t, err, "unexpected EOF of the runner")
	_, err = e.Generate(context.Background(), []dlm.GenerateRequest{{Raw: strings.Repeat("x", 600)}}, nil)
	wants(t, err, "600 tokens", "num_ctx")
	e.name = "gone"
	_, err = e.Generate(context.Background(), ask, nil)
	wants(t, err, "404", "'gone' not found")
}

func TestFind(t *testing.T) {
	if got, err := Find(os.Args[0]); err != nil || !filepath.IsAbs(got) {
		t.Error(got, err)
	}
	_, err := Find("/no/such/ollama")
	wants(t, err, "/no/such/ollama", "expected")
	t.Setenv("DLM_OLLAMA", "")
	t.Setenv("PATH", t.TempDir())
	_, err = Find("")
	wants(t, err, "--ollama", "DLM_OLLAMA")
}

// FuzzLines: whatever a server sends, reading it ends without a panic.
func FuzzLines(f *testing.F) {
	f.Add([]byte(`{"message":{"content":"x"}}` + "\n" + `{"done":true,"done_reason":"stop"}`))
	f.Add([]byte(`{"error":"x"}`))
	f.Add([]byte("5\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = readLines(strings.NewReader(string(data)), func(c chunk) error {
			if c.Done {
				return remote.ErrDone
			}
			return nil
		})
	})
}
