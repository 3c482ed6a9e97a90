package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dlm"
)

// receipt records a finished pull, so that the next one needs no network:
// FOLDER/pulled-KEY.json in the cache.
type receipt struct {
	Model  dlm.PulledModel `json:"model"`  // its path is relative to the cache
	Pulled time.Time       `json:"pulled"` //
	Files  []receiptFile   `json:"files"`

	Adapter bool `json:"adapter,omitempty"` // it is one, not a base
}

// receiptFile is one file as it was when the pull was finished.
type receiptFile struct {
	Path  string `json:"path"` // slash-separated, relative to the cache
	Size  int64  `json:"size"`
	MTime int64  `json:"mtime_ns"`
}

// folder is the cache folder of a reference.
func (h *Hub) folder(r Ref) string {
	if r.Named != nil {
		return filepath.Join(h.cache, r.Named.folder)
	}
	return filepath.Join(h.cache, repoFolder(r.Repo))
}

// receiptPath is where the receipt of a reference lies.
func (h *Hub) receiptPath(r Ref) string {
	key := ""
	switch {
	case r.Named != nil:
		_, variant, _ := strings.Cut(r.Named.name, ":")
		key = variant
	case r.File != "":
		key = r.Revision + ":" + r.File
	default:
		key = r.Revision
	}
	name := "pulled.json"
	if key != "" {
		name = "pulled-" + url.PathEscape(key) + ".json"
	}
	return filepath.Join(h.folder(r), name)
}

// recall returns what an earlier pull of a base or an adapter left, if all of it
// is still as it was.
func (h *Hub) recall(r Ref, adapter bool) (dlm.PulledModel, bool) {
	if h.opt.Refresh && !h.opt.Offline && !hex40.MatchString(r.Revision) {
		return dlm.PulledModel{}, false
	}
	raw, err := os.ReadFile(h.receiptPath(r))
	if err != nil {
		return dlm.PulledModel{}, false
	}
	var c receipt
	if json.Unmarshal(raw, &c) != nil || c.Adapter != adapter || len(c.Files) == 0 || !filepath.IsLocal(filepath.FromSlash(c.Model.Path)) {
		return dlm.PulledModel{}, false
	}
	for _, f := range c.Files {
		st, err := os.Stat(filepath.Join(h.cache, filepath.FromSlash(f.Path)))
		if err != nil || st.Size() != f.Size || st.ModTime().UnixNano() != f.MTime {
			h.note(fmt.Sprintf("%s was pulled before, but %s has changed since; pulling it again", r.Text, f.Path))
			return dlm.PulledModel{}, false
		}
	}
	m := c.Model
	m.Ref, m.Path = r.Text, filepath.Join(h.cache, filepath.FromSlash(m.Path))
	m.Source = fmt.Sprintf("already here since %s, from %s", c.Pulled.Format(time.DateOnly), m.Source)
	return m, true
}

// remember writes the receipt of a finished pull.
func (h *Hub) remember(r Ref, m dlm.PulledModel, adapter bool) error {
	rel, err := filepath.Rel(h.cache, m.Path)
	if err != nil {
		return err
	}
	c := receipt{Model: m, Adapter: adapter, Pulled: time.Now().UTC().Truncate(time.Second)}
	c.Model.Path = filepath.ToSlash(rel)
	err = filepath.WalkDir(m.Path, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(p, ".part") || strings.HasSuffix(p, ".etag") {
			return err
		}
		st, err := e.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(h.cache, p)
		c.Files = append(c.Files, receiptFile{filepath.ToSlash(name), st.Size(), st.ModTime().UnixNano()})
		return err
	})
	if err != nil {
		return err
	}
	raw, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	path := h.receiptPath(r)
	tmp := path + ".part"
	if err := os.WriteFile(tmp, append(raw, '\n'), 0o644); err != nil {
		return diskError(path, errors.Join(err, os.Remove(tmp)))
	}
	return os.Rename(tmp, path)
}

// lock keeps two pulls of one base from writing the same files.
func (h *Hub) lock(ctx context.Context, r Ref) (func(), error) {
	return h.lockFolder(ctx, h.folder(r), "another dlm is pulling "+r.Text)
}

// lockFolder takes a folder for this process; a second one says who has it and
// waits. The operating system lets go of the lock when the process ends.
func (h *Hub) lockFolder(ctx context.Context, dir, who string) (func(), error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, diskError(dir, err)
	}
	path := filepath.Join(dir, ".lock")
	told := false
	for {
		unlock, err := tryLock(path)
		if err == nil {
			return unlock, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if !told {
			told = true
			h.note(who + "; waiting for it")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

var errLocked = errors.New("held by another process")

// syncFolder makes a rename durable where the platform allows it.
func syncFolder(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync() // some file systems refuse to sync folders
		d.Close()
	}
}
