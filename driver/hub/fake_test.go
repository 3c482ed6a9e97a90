package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"dlm/internal/testkit"
)

const (
	fakeRepo   = "acme/tiny"
	fakeCommit = "0123456789abcdef0123456789abcdef01234567"
)

// fake is a Hub with a small safetensors repository.
type fake struct {
	*testkit.FakeHub
	t     *testing.T
	files map[string][]byte // of the repository, by path
	lfs   map[string]bool   // of them on the other host
}

func newFake(t *testing.T) *fake {
	f := &fake{FakeHub: testkit.NewFakeHub(t), t: t, lfs: map[string]bool{"model.safetensors": true, "sub/m.gguf": true, "split-00001-of-00002.gguf": true}}
	big := make([]byte, 300_000)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	f.files = map[string][]byte{
		"config.json": []byte(`{"model_type":"llama"}`), "tokenizer.json": []byte(`{"model":{}}`), "tokenizer_config.json": []byte(`{}`),
		"README.md": []byte("# not needed"), "pytorch_model.bin": []byte("not needed"), "model.safetensors": big,
		"sub/m.gguf": append([]byte("GGUF"), big[:1000]...), "empty.txt": {},
	}
	f.AddRepo(fakeRepo, fakeCommit, f.files, f.lfs).Branches["refs/pr/1"] = fakeCommit
	return f
}

func sha256Hex(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

func blobSHA1(b []byte) string {
	s := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hex.EncodeToString(s[:])
}

// quick is the patience of tests.
var quick = policy{connect: time.Second, answer: 5 * time.Second, stall: time.Second, backoff: time.Millisecond, maxWait: 5 * time.Millisecond, asked: 50 * time.Millisecond, attempts: 3}

// client returns a Hub on the fake with a cache of its own, and its notes.
func (f *fake) client(cache string, change ...func(*Options)) (*Hub, *[]string) {
	f.t.Helper()
	return newClient(f.t, f.URL, cache, change...)
}

func newClient(t *testing.T, endpoint, cache string, change ...func(*Options)) (*Hub, *[]string) {
	t.Helper()
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"} {
		if os.Getenv(name) != "" {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HF_TOKEN_PATH", t.TempDir()+"/none")
	notes := &[]string{}
	o := Options{Cache: cache, Endpoint: endpoint, Note: func(s string) { *notes = append(*notes, s) }}
	for _, c := range change {
		c(&o)
	}
	h, err := newHub(o, quick)
	if err != nil {
		t.Fatal(err)
	}
	return h, notes
}

func token(s string) func(*Options) { return func(o *Options) { o.Token = s } }

func pull(t *testing.T, h *Hub, ref string) string {
	t.Helper()
	m, err := h.Pull(context.Background(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m.Path
}

// expectError fails unless err mentions every part.
func expectError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; expected one that mentions %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not mention %q", err, p)
		}
	}
}
