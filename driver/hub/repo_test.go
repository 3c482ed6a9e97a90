package hub

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"dlm"
)

const partial = "model.safetensors.part"

// leftovers lists files below dir that a finished or refused pull must not leave.
func leftovers(dir string) (out []string) {
	_ = filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(p, ".part") || strings.HasSuffix(p, ".etag") || strings.Contains(p, ".pip-")) {
			out = append(out, p)
		}
		return nil
	})
	return out
}

func checkModel(t *testing.T, f *fake, path string) {
	t.Helper()
	for _, n := range []string{"config.json", "tokenizer.json", "model.safetensors"} {
		got, err := os.ReadFile(filepath.Join(path, n))
		if err != nil || !bytes.Equal(got, f.files[n]) {
			t.Errorf("%s is not what the Hub has (%d bytes, %v)", n, len(got), err)
		}
	}
}

func TestPullRepository(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	h, notes := f.client(cache, token("hf_secret"))
	var last int64
	m, err := h.Pull(context.Background(), "hf:acme/tiny", func(file string, done, total int64) {
		if file == "model.safetensors" {
			if done < last || total != 300_000 {
				t.Errorf("progress %d of %d after %d", done, total, last)
			}
			last = done
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	checkModel(t, f, m.Path)
	if want := filepath.Join(cache, "hf--acme--tiny", fakeCommit); m.Path != want {
		t.Errorf("path %s, expected %s", m.Path, want)
	}
	if last != 300_000 {
		t.Errorf("progress ended at %d", last)
	}
	text := fmt.Sprintf("%s  config.json\n%s  model.safetensors\n", sha256Hex(f.files["config.json"]), sha256Hex(f.files["model.safetensors"]))
	if want := dlm.Digest("sha256:" + sha256Hex([]byte(text))); m.Digest != want {
		t.Errorf("digest %s, expected %s", m.Digest, want)
	}
	if !strings.Contains(m.Source, f.URL) || !strings.Contains(m.Source, fakeCommit[:12]) {
		t.Errorf("source %q", m.Source)
	}
	for _, unwanted := range []string{"README", "pytorch", "gguf"} {
		if f.Count("resolve", unwanted) > 0 {
			t.Errorf("%s was downloaded", unwanted)
		}
	}
	for _, tok := range f.Tokens() {
		if tok != "" {
			t.Errorf("the other host saw the token: %q", tok)
		}
	}
	if left := leftovers(cache); left != nil {
		t.Errorf("left behind: %v", left)
	}

	// Again: nothing is asked, and it is said.
	before := len(f.Requests())
	again, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	if err != nil || again.Path != m.Path || again.Digest != m.Digest {
		t.Errorf("second pull %+v, %v", again, err)
	}
	if len(f.Requests()) != before {
		t.Errorf("the second pull asked: %v", f.Requests()[before:])
	}
	if !strings.HasPrefix(again.Source, "already here since ") || !strings.Contains(again.Source, f.URL) || len(*notes) > 0 {
		t.Errorf("the second pull does not say that it did nothing: %q, %q", again.Source, *notes)
	}

	// Refresh asks which commit it is, and downloads nothing that is there.
	h, _ = f.client(cache, func(o *Options) { o.Refresh = true })
	pull(t, h, "hf:acme/tiny")
	if f.Count("cdn GET") != 1 || f.Count("revision/main") != 2 {
		t.Errorf("refresh: %v", f.Requests()[before:])
	}

	// A changed file is noticed, also at the same length, and brought again.
	for _, size := range []int{7, 300_000} {
		if err := os.WriteFile(filepath.Join(m.Path, "model.safetensors"), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		h, notes = f.client(cache)
		checkModel(t, f, pull(t, h, "hf:acme/tiny"))
		if !strings.Contains(fmt.Sprint(*notes), "has changed since") {
			t.Errorf("notes %q", *notes)
		}
	}
}

func TestPullRevisionsAndGGUF(t *testing.T) {
	f := newFake(t)
	h, _ := f.client(t.TempDir())
	checkModel(t, f, pull(t, h, "hf:acme/tiny@"+fakeCommit))
	checkModel(t, f, pull(t, h, "hf:acme/tiny@refs/pr/1"))
	m, err := h.Pull(context.Background(), "hf:acme/tiny:sub/m.gguf", nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(m.Path)
	if err != nil || !bytes.Equal(got, f.files["sub/m.gguf"]) || m.Digest != dlm.Digest("sha256:"+sha256Hex(got)) || filepath.Base(m.Path) != "m.gguf" {
		t.Errorf("GGUF %+v, %v", m, err)
	}
	_, err = h.Pull(context.Background(), "hf:acme/tiny@v9", nil)
	expectError(t, err, "acme/tiny", `no revision "v9"`)
	_, err = h.Pull(context.Background(), "hf:acme/other", nil)
	expectError(t, err, "acme/other", "owner and name", "HF_TOKEN")
	_, err = h.Pull(context.Background(), "hf:acme/tiny:none.gguf", nil)
	expectError(t, err, "none.gguf")
	delete(f.files, "model.safetensors")
	h, _ = f.client(t.TempDir())
	_, err = h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "name one of them", "hf:acme/tiny:sub/m.gguf")
	delete(f.files, "sub/m.gguf")
	_, err = h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "no base that can be used")
}

func TestPullShards(t *testing.T) {
	f := newFake(t)
	whole := f.files["model.safetensors"]
	delete(f.files, "model.safetensors")
	f.files["model-00001-of-00002.safetensors"], f.files["model-00002-of-00002.safetensors"] = whole[:1000], whole[1000:]
	f.files["other.safetensors"] = []byte("not in the index")
	f.lfs["model-00001-of-00002.safetensors"], f.lfs["model-00002-of-00002.safetensors"] = true, true
	f.files[indexFile] = []byte(`{"weight_map":{"b":"model-00002-of-00002.safetensors","a":"model-00001-of-00002.safetensors"}}`)
	f.PageSize = 2 // and the list of files comes in pages
	h, _ := f.client(t.TempDir())
	path := pull(t, h, "hf:acme/tiny")
	one, _ := os.ReadFile(filepath.Join(path, "model-00001-of-00002.safetensors"))
	two, _ := os.ReadFile(filepath.Join(path, "model-00002-of-00002.safetensors"))
	if !bytes.Equal(append(one, two...), whole) || f.Count("other.safetensors") > 0 {
		t.Error("the shards are not those of the index")
	}
	f.files[indexFile] = []byte(`{"weight_map":{"b":"../../x.safetensors"}}`)
	h, _ = f.client(t.TempDir())
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "../../x.safetensors")
}

func TestMirrorWithoutTrees(t *testing.T) {
	f := newFake(t)
	f.NoTree = true
	h, _ := f.client(t.TempDir())
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
}

func TestRefusals(t *testing.T) {
	for what, tc := range map[string]struct {
		status        int
		code, message string
		tok           string
		parts         []string
	}{
		"gated, no token":  {401, "GatedRepo", "Access to model acme/tiny is restricted", "", []string{"gated", "/acme/tiny", "set HF_TOKEN"}},
		"gated, token":     {403, "GatedRepo", "", "hf_secret", []string{"gated", "accept its conditions", "token that is set may not"}},
		"private":          {401, "RepoNotFound", "", "", []string{"owner and name", "set HF_TOKEN"}},
		"bad token":        {401, "", "Invalid credentials in Authorization header", "hf_secret", []string{"does not accept the token"}},
		"disabled":         {403, "", "Access to this resource is disabled.", "", []string{"disabled"}},
		"proxy":            {403, "", "", "", []string{"403", "proxy"}},
		"unavailable":      {503, "", "maintenance", "", []string{"503", "maintenance"}},
		"too many":         {429, "", "", "", []string{"429"}},
		"legal":            {451, "", "", "", []string{"451"}},
		"elsewhere":        {302, "", "", "", []string{"302"}},
		"not the protocol": {200, "", "", "", []string{"protocol"}},
	} {
		f := newFake(t)
		f.Deny = func(*http.Request) (int, string, string) { return tc.status, tc.code, tc.message }
		cache := t.TempDir()
		h, _ := f.client(cache, token(tc.tok))
		_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
		expectError(t, err, append(tc.parts, "pull hf:acme/tiny")...)
		if err != nil && strings.Contains(err.Error(), "hf_secret") {
			t.Errorf("%s: the error shows the token", what)
		}
		want := 1
		if tc.status == 503 || tc.status == 429 {
			want = quick.attempts
		}
		if n := f.Count("hub"); n != want {
			t.Errorf("%s: %d requests, expected %d", what, n, want)
		}
	}
}

func TestTemporaryFailuresAreRetried(t *testing.T) {
	f := newFake(t)
	n := 0
	f.Deny = func(*http.Request) (int, string, string) {
		if n++; n%3 != 0 {
			return 502, "", ""
		}
		return 0, "", ""
	}
	h, _ := f.client(t.TempDir())
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
}

func TestUnreachable(t *testing.T) {
	h, _ := newClient(t, "http://127.0.0.1:1", t.TempDir())
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "127.0.0.1:1", "cannot be reached")
}

func TestOffline(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	h, _ := f.client(cache)
	path := pull(t, h, "hf:acme/tiny")
	t.Setenv("HF_HUB_OFFLINE", "1")
	h, err := newHub(Options{Cache: cache, Endpoint: f.URL, Refresh: true}, quick)
	if err != nil {
		t.Fatal(err)
	}
	if pull(t, h, "hf:acme/tiny") != path {
		t.Error("another path offline")
	}
	before := len(f.Requests())
	_, err = h.Pull(context.Background(), "hf:acme/tiny@v2", nil)
	expectError(t, err, "HF_HUB_OFFLINE")
	if len(f.Requests()) != before {
		t.Error("offline, the Hub was asked")
	}
}

// TestTwoPullersOneDownload starts two pulls of one base at once.
func TestTwoPullersOneDownload(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	var wg sync.WaitGroup
	for range 4 {
		h, _ := f.client(cache)
		wg.Go(func() {
			if _, err := h.Pull(context.Background(), "hf:acme/tiny", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.Count("cdn GET"); n != 1 {
		t.Errorf("the weights were downloaded %d times", n)
	}
}

func TestLockWaitCanBeCancelled(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	h, notes := f.client(cache)
	r, err := ParseRef("hf:acme/tiny")
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := h.lock(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	ctx, cancel := context.WithCancel(context.Background())
	h.opt.Note = func(s string) { *notes = append(*notes, s); cancel() }
	if _, err := h.Pull(ctx, "hf:acme/tiny", nil); err == nil || ctx.Err() == nil {
		t.Error("the second pull did not wait:", err)
	}
	if !strings.Contains(fmt.Sprint(*notes), "another dlm") {
		t.Errorf("notes %q", *notes)
	}
}

func TestInspectDecides(t *testing.T) {
	f := newFake(t)
	h, _ := f.client(t.TempDir(), func(o *Options) {
		o.Inspect = func(string) (dlm.Digest, error) { return "", fmt.Errorf("tensor x is missing") }
	})
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "cannot be used", "tensor x is missing")
}
