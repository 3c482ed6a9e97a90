package hub

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
)

func TestLocalPaths(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	h, _ := newClient(t, "http://127.0.0.1:1", filepath.Join(dir, "cache"))
	ctx := context.Background()
	gguf := write("m.gguf", "GGUF and more")
	m, err := h.Pull(ctx, gguf, nil)
	if err != nil || m.Path != gguf || m.Digest != dlm.Digest("sha256:"+sha256Hex([]byte("GGUF and more"))) || !strings.Contains(m.Source, "on this machine") {
		t.Errorf("%+v, %v", m, err)
	}
	_, err = h.Pull(ctx, write("m.bin", "PK"), nil)
	expectError(t, err, "m.bin", "not a GGUF")
	_, err = h.Pull(ctx, dir, nil)
	expectError(t, err, "config.json")
	write("config.json", "{}")
	_, err = h.Pull(ctx, dir, nil)
	expectError(t, err, "model.safetensors")
	write(indexFile, `{"weight_map":{"a":"w.safetensors"}}`)
	_, err = h.Pull(ctx, dir, nil)
	expectError(t, err, "w.safetensors", "incomplete")
	write("w.safetensors", "x")
	m, err = h.Pull(ctx, dir, nil)
	want := sha256Hex([]byte(sha256Hex([]byte("{}")) + "  config.json\n" + sha256Hex([]byte("x")) + "  w.safetensors\n"))
	if err != nil || m.Path != dir || m.Digest != dlm.Digest("sha256:"+want) {
		t.Errorf("%+v, %v", m, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cache")); err == nil {
		t.Error("a local base touched the cache")
	}
	_, err = h.Pull(ctx, filepath.Join(dir, "none"), nil)
	expectError(t, err, "none", "smollm2-135m-instruct", "hf:owner/name")
}

func TestParseRef(t *testing.T) {
	for ref, want := range map[string]Ref{
		"hf:a/b":                  {Repo: "a/b", Revision: "main"},
		"hf:a/b@v1.0":             {Repo: "a/b", Revision: "v1.0"},
		"hf:a/b@refs/pr/3:x.gguf": {Repo: "a/b", Revision: "refs/pr/3", File: "x.gguf"},
		"hf:a.b/c-d_e:q/x.gguf":   {Repo: "a.b/c-d_e", Revision: "main", File: "q/x.gguf"},
	} {
		got, err := ParseRef(ref)
		want.Text = ref
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", ref, got, err)
		}
	}
	for ref, part := range map[string]string{
		"": "no base named", "hf:": "owner/name", "hf:a": "owner/name", "hf:a/b/c": "owner/name", "hf:../b": "owner/name", "hf:a/..": "owner/name",
		"hf:a/b@": "revision", "hf:a/b@../x": "revision", "hf:a/b@-x": "revision", "hf:a/b:": "GGUF file", "hf:a/b:x.bin": "GGUF file", "hf:a/b:../x.gguf": "GGUF file",
		"hf:a/b:/x.gguf": "GGUF file", "hf:a/b:x\\..\\y.gguf": "GGUF file", "hf:a/b:m-00001-of-00002.gguf": "split", "hf:a b/c": "owner/name", "smollm": "neither",
	} {
		if _, err := ParseRef(ref); err == nil {
			t.Errorf("%s: accepted", ref)
		} else {
			expectError(t, err, part)
		}
	}
}

func TestEnvironment(t *testing.T) {
	home := t.TempDir()
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_TOKEN_PATH", "HF_ENDPOINT", "HF_HUB_OFFLINE", "XDG_CACHE_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("HF_HOME", home)
	if tok, _ := tokenFromEnv(); tok != "" {
		t.Errorf("token %q from nowhere", tok)
	}
	os.WriteFile(filepath.Join(home, "token"), []byte("from-file\n"), 0o600)
	if tok, _ := tokenFromEnv(); tok != "from-file" {
		t.Errorf("token %q", tok)
	}
	other := filepath.Join(home, "other")
	os.WriteFile(other, []byte(" from-path "), 0o600)
	t.Setenv("HF_TOKEN_PATH", other)
	if tok, _ := tokenFromEnv(); tok != "from-path" {
		t.Errorf("token %q", tok)
	}
	t.Setenv("HF_TOKEN", "from-env\r\n")
	if tok, _ := tokenFromEnv(); tok != "from-env" {
		t.Errorf("token %q", tok)
	}
	t.Setenv("HF_ENDPOINT", "https://mirror.example/hub/")
	if e, err := endpoint(""); err != nil || e != "https://mirror.example/hub" {
		t.Errorf("endpoint %q, %v", e, err)
	}
	t.Setenv("HF_ENDPOINT", "mirror.example")
	if _, err := New(Options{}); err == nil {
		t.Error("an endpoint without a scheme was accepted")
	}
	t.Setenv("HF_ENDPOINT", "")
	t.Setenv("DLM_CACHE", home)
	if h, err := New(Options{}); err != nil || h.cache != filepath.Join(home, "models") || h.opt.Endpoint != publicHub {
		t.Errorf("%+v, %v", h, err)
	}
}

// FuzzParseRef: whatever is accepted names nothing outside its folders.
func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"hf:a/b", "hf:a/b@r:c.gguf", "hf:a/b@refs/pr/1:d/c.gguf", "hf:..", "smollm2-135m-instruct"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		r, err := ParseRef("hf:" + ref)
		if err != nil {
			return
		}
		h := &Hub{cache: "/c"}
		for _, p := range []string{h.folder(r), h.receiptPath(r), filepath.Join(h.folder(r), filepath.FromSlash(r.File))} {
			if rel, err := filepath.Rel("/c", p); err != nil || !filepath.IsLocal(rel) {
				t.Errorf("%q leads to %s", ref, p)
			}
		}
	})
}
