package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPullAdapter(t *testing.T) {
	f, cache := newPushHub(t), t.TempDir()
	h, notes := newClient(t, f.URL, cache, token("hf_ann"))
	job := adapterJob(t, 95_000)
	pushed := mustPush(t, h, job)
	f.Cut, f.Cuts = 40_000, 1 // and the pull goes on after a cut
	a, err := h.PullAdapter(context.Background(), job.Ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.Repo != pushRepo || a.Commit != pushed.Commit || a.Digest != pushed.Files[1].Digest || !strings.Contains(a.Source, a.Commit[:12]) {
		t.Errorf("%+v", a)
	}
	for _, x := range job.Files {
		want := x.Data
		if x.From != "" {
			want, _ = os.ReadFile(x.From)
		}
		if got, err := os.ReadFile(filepath.Join(a.Path, x.Path)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", x.Path, len(got), err)
		}
	}
	// It is no base, before and after it was pulled.
	for _, c := range []string{cache, t.TempDir()} {
		b, _ := newClient(t, f.URL, c, token("hf_ann"))
		if _, err := b.Pull(context.Background(), job.Ref, nil); !errors.Is(err, ErrAdapter) {
			t.Errorf("pulled as a base: %v", err)
		}
	}
	// A branch that moved is seen; out of reach, what was pulled is used.
	job.Files[3].Data = []byte("# two\n")
	second := mustPush(t, h, job)
	if a, err = h.PullAdapter(context.Background(), job.Ref, nil); err != nil || a.Commit != second.Commit {
		t.Errorf("%+v, %v", a, err)
	}
	away, notes2 := newClient(t, "http://127.0.0.1:1", cache)
	if b, err := away.PullAdapter(context.Background(), job.Ref, nil); err != nil || b.Path != a.Path || b.Commit != a.Commit || !strings.Contains(fmt.Sprint(*notes2), "pulled before") {
		t.Errorf("%+v, %v, notes %q", b, err, *notes2)
	}
	if len(*notes) != 0 {
		t.Errorf("notes %q", *notes)
	}
}

func TestPullAdapterRefusals(t *testing.T) {
	f := newFake(t)
	f.AddRepo("acme/pickle", fakeCommit, map[string][]byte{adapterConfig: []byte("{}"), "adapter_model.bin": []byte("x")}, nil)
	f.AddRepo("acme/many", fakeCommit, map[string][]byte{"a/" + adapterConfig: []byte("{}"), "b/" + adapterConfig: []byte("{}")}, nil)
	f.AddRepo("acme/gated", fakeCommit, map[string][]byte{adapterConfig: []byte("{}"), adapterWeights: []byte("x")}, nil).Gated = true
	f.AddRepo("acme/wrong", fakeCommit, map[string][]byte{adapterConfig: []byte("{}"), adapterWeights: []byte("right")}, map[string]bool{adapterWeights: true})
	f.Serve[adapterWeights] = []byte("wrong")
	h, _ := f.client(t.TempDir())
	for ref, parts := range map[string][]string{
		"hf:acme/tiny":     {"is no adapter", adapterConfig},
		"hf:acme/pickle":   {"adapter_model.bin", "pickle"},
		"hf:acme/many":     {"folders a, b"},
		"hf:acme/gated":    {"gated", "accept its conditions"},
		"hf:acme/wrong":    {"wrong hash", sha256Hex([]byte("right"))},
		"hf:acme/none":     {"no acme/none"},
		"hf:acme/x:a.gguf": {"expected hf:owner/name"},
	} {
		_, err := h.PullAdapter(context.Background(), ref, nil)
		expectError(t, err, parts...)
	}
}

func TestOrigin(t *testing.T) {
	for _, c := range []struct{ ref, source, repo, commit string }{
		{"hf:acme/tiny", "Hub https://h, acme/tiny at commit 0123456789ab", "acme/tiny", "0123456789ab"},
		{"hf:acme/tiny:a.gguf", "already here since 2026-01-02, from Hub https://h, acme/tiny at commit 0123456789ab, a.gguf", "acme/tiny", "0123456789ab"},
		{"smollm2-135m-instruct", "the Python package", smolRepo, ""},
		{"smollm2-135m-instruct:q4_1", "the Python package", smolRepo, ""},
		{"/nowhere/base.gguf", "a file", "", ""},
		{".", "a folder", "", ""},
	} {
		if repo, commit := Origin(c.ref, c.source); repo != c.repo || commit != c.commit {
			t.Errorf("%s: %q at %q", c.ref, repo, commit)
		}
	}
}
