package testkit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm"
)

// Memory is a dlm.Store for tests of those who use one. It passes the Store
// suite, except that a second handle on it is the same one.
type Memory struct {
	mu        sync.Mutex
	dir       string // where Materialise lays files out
	blobs     map[dlm.Digest][]byte
	artifacts []dlm.Artifact // oldest first
	runs      []dlm.Run
	aliases   []dlm.AliasChange
}

var _ dlm.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory(t testing.TB) *Memory {
	t.Helper()
	return &Memory{dir: t.TempDir(), blobs: map[dlm.Digest][]byte{}}
}

func digestOf(b []byte) dlm.Digest {
	sum := sha256.Sum256(b)
	return dlm.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// Put implements dlm.Store.
func (m *Memory) Put(_ context.Context, a dlm.Artifact, dir string) (dlm.Artifact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if dir == "" {
		if _, err := dlm.ParseDigest(string(a.ID)); err != nil {
			return a, err
		}
	} else if err := m.putFiles(&a, dir); err != nil {
		return a, err
	}
	if have, err := m.get(a.ID); err == nil {
		return have, nil
	}
	for _, p := range a.Parents {
		if _, err := m.get(p.ID); err != nil {
			return a, fmt.Errorf("its parent %s (%s) is not in the store", p.Role, p.ID)
		}
	}
	if a.Created.IsZero() {
		a.Created = time.Now().UTC()
	}
	m.artifacts = append(m.artifacts, a)
	return a, nil
}

func (m *Memory) putFiles(a *dlm.Artifact, dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	top := dir
	if !info.IsDir() {
		top = filepath.Dir(dir)
	}
	a.Files = nil
	manifest := string(a.Kind)
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, p)
		if err != nil {
			return err
		}
		f := dlm.File{Path: filepath.ToSlash(rel), Digest: digestOf(b), Size: int64(len(b))}
		m.blobs[f.Digest] = b
		a.Files = append(a.Files, f)
		return nil
	})
	if err == nil && len(a.Files) == 0 {
		err = fmt.Errorf("%s: no files", dir)
	}
	slices.SortFunc(a.Files, func(x, y dlm.File) int { return strings.Compare(x.Path, y.Path) })
	for _, f := range a.Files {
		manifest += fmt.Sprintf("\n%q %s", f.Path, f.Digest)
	}
	a.ID = digestOf([]byte(manifest))
	return err
}

func (m *Memory) get(id dlm.Digest) (dlm.Artifact, error) {
	for _, a := range m.artifacts {
		if a.ID == id {
			return a, nil
		}
	}
	return dlm.Artifact{}, fmt.Errorf("artifact %s: not found", id)
}

// Artifact implements dlm.Store.
func (m *Memory) Artifact(_ context.Context, id dlm.Digest) (dlm.Artifact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.get(id)
}

var hexPrefix = regexp.MustCompile(`^[0-9a-f]{4,64}$`)

// Find implements dlm.Store.
func (m *Memory) Find(_ context.Context, kind dlm.Kind, ref string) (dlm.Artifact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := strings.TrimPrefix(ref, "sha256:")
	var named, prefixed []dlm.Artifact
	for _, a := range slices.Backward(m.artifacts) {
		switch {
		case kind != "" && a.Kind != kind:
		case a.Name == ref && ref != "":
			named = append(named, a)
		case hexPrefix.MatchString(h) && strings.HasPrefix(a.ID.Hex(), h):
			prefixed = append(prefixed, a)
		}
	}
	if len(named) > 0 {
		return named[0], nil
	}
	if len(prefixed) == 1 {
		return prefixed[0], nil
	}
	return dlm.Artifact{}, fmt.Errorf("%s %q: %d found", kind, ref, len(prefixed))
}

// Artifacts implements dlm.Store.
func (m *Memory) Artifacts(_ context.Context, kind dlm.Kind) ([]dlm.Artifact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []dlm.Artifact
	for _, a := range slices.Backward(m.artifacts) {
		if kind == "" || a.Kind == kind {
			out = append(out, a)
		}
	}
	return out, nil
}

// Open implements dlm.Store.
func (m *Memory) Open(_ context.Context, d dlm.Digest) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.blobs[d]
	if !ok {
		return nil, fmt.Errorf("blob %s: not found", d)
	}
	return io.NopCloser(strings.NewReader(string(b))), nil
}

// Materialise implements dlm.Store.
func (m *Memory) Materialise(_ context.Context, id dlm.Digest) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.get(id)
	if err != nil {
		return "", err
	}
	if len(a.Files) == 0 {
		return "", fmt.Errorf("%s is kept outside the store at %s", id.Short(), a.Params["path"])
	}
	dir := filepath.Join(m.dir, id.Hex())
	for _, f := range a.Files {
		p := filepath.Join(dir, filepath.FromSlash(f.Path))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(p, m.blobs[f.Digest], 0o644); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// BeginRun implements dlm.Store.
func (m *Memory) BeginRun(_ context.Context, r dlm.Run) (dlm.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.ID == "" {
		r.ID = fmt.Sprintf("r-%04d", len(m.runs)+1)
	}
	if r.Started.IsZero() {
		r.Started = time.Now().UTC()
	}
	if r.PID == 0 {
		r.PID = os.Getpid()
	}
	if r.Status == "" {
		r.Status = dlm.RunRunning
	}
	m.runs = append(m.runs, r)
	return r, nil
}

// UpdateRun implements dlm.Store.
func (m *Memory) UpdateRun(ctx context.Context, r dlm.Run) error {
	if err := ctx.Err(); err != nil {
		return err // as a database does
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range m.runs {
		if m.runs[i].ID == r.ID {
			m.runs[i] = r
			return nil
		}
	}
	return fmt.Errorf("run %s: not found", r.ID)
}

// Run implements dlm.Store.
func (m *Memory) Run(_ context.Context, id string) (dlm.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.runs {
		if r.ID == id {
			return r, nil
		}
	}
	return dlm.Run{}, fmt.Errorf("run %q: not found", id)
}

// Runs implements dlm.Store.
func (m *Memory) Runs(context.Context) ([]dlm.Run, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := slices.Clone(m.runs)
	slices.Reverse(out)
	return out, nil
}

// SetAlias implements dlm.Store.
func (m *Memory) SetAlias(_ context.Context, c dlm.AliasChange) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, err := m.get(c.Adapter)
	if err != nil {
		return err
	}
	if _, _, err := dlm.ParseAlias(c.Alias); err != nil {
		return err
	}
	if a.Kind != dlm.KindAdapter || !(c.Share >= 0 && c.Share <= 1) {
		return fmt.Errorf("alias %q to a %s, share %v", c.Alias, a.Kind, c.Share)
	}
	if v, err := m.get(c.Verdict); c.Verdict != "" && (err != nil || v.Kind != dlm.KindVerdict) {
		return fmt.Errorf("alias %q: %s is no verdict", c.Alias, c.Verdict)
	}
	if c.Author == "" {
		c.Author = "tester"
	}
	if c.At.IsZero() {
		c.At = time.Now().UTC()
	}
	m.aliases = append(m.aliases, c)
	return nil
}

// Alias implements dlm.Store.
func (m *Memory) Alias(ctx context.Context, name string) (dlm.AliasChange, error) {
	h, err := m.History(ctx, name)
	if err != nil || len(h) == 0 || name == "" {
		return dlm.AliasChange{}, fmt.Errorf("alias %q: not found", name)
	}
	return h[0], nil
}

// History implements dlm.Store.
func (m *Memory) History(_ context.Context, name string) ([]dlm.AliasChange, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []dlm.AliasChange
	for _, c := range slices.Backward(m.aliases) {
		if name == "" || c.Alias == name {
			out = append(out, c)
		}
	}
	return out, nil
}

// Close implements dlm.Store.
func (m *Memory) Close() error { return nil }
