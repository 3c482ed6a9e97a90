package tenant

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// File is a file of keys: {"version": 1, "keys": [...]}, one [Key] each, readable
// by its owner alone. Several processes may change it: each change takes a lock,
// writes a new file and renames it, so that a reader never sees half of one.
type File struct{ Path string }

// fileForm is the file's content.
type fileForm struct {
	Version int   `json:"version"`
	Keys    []Key `json:"keys"`
}

// Keys reads the keys, in the order in which they were made; none, and no error,
// when there is no file.
func (f File) Keys() ([]Key, error) {
	src, err := os.ReadFile(f.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return parseKeys(f.Path, src)
}

// parseKeys reads a file's content. Fields that are not known are refused: one
// that was misspelt might have been a limit.
func parseKeys(path string, src []byte) ([]Key, error) {
	var form fileForm
	d := json.NewDecoder(bytes.NewReader(src))
	d.DisallowUnknownFields()
	err := d.Decode(&form)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keys: %s: %w; expected {\"version\": 1, \"keys\": [...]} as dlm keys writes it", path, err)
	}
	if form.Version != 1 {
		return nil, fmt.Errorf("keys: %s: version %d; expected 1: a newer dlm wrote it", path, form.Version)
	}
	seen := map[string]bool{}
	for i := range form.Keys {
		k := &form.Keys[i]
		if err := k.check(); err != nil {
			return nil, fmt.Errorf("keys: %s: %w", path, err)
		}
		if seen[k.Name] {
			return nil, fmt.Errorf("keys: %s: %s stands there twice; expected each name once", path, k.Name)
		}
		seen[k.Name] = true
	}
	return form.Keys, nil
}

// change reads the keys, lets f change them and writes them.
func (f File) change(edit func([]Key) ([]Key, error)) error {
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	unlock, err := lockFile(f.Path + ".lock")
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer unlock()
	keys, err := f.Keys()
	if err != nil {
		return err
	}
	if keys, err = edit(keys); err != nil {
		return err
	}
	src, err := json.MarshalIndent(fileForm{1, keys}, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(f.Path, append(src, '\n'))
}

// writeFile replaces a file by one of this content that only its owner can read.
func writeFile(path string, src []byte) (err error) {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*") // mode 0600
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	_, err = tmp.Write(src)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// ErrNoKey is returned (wrapped) for a name that no key has.
var ErrNoKey = errors.New("no such key")

// Add makes a key and returns its secret, which nothing can show again. A name
// is free when no key has it, or one that was revoked.
func (f File) Add(name string, p Policy, expires, now time.Time) (k Key, secret string, err error) {
	secret = newSecret()
	k = Key{Name: name, Hash: hashOf(secret), Prefix: prefixOf(secret), Created: now.UTC().Truncate(time.Second), Expires: expires, Policy: p}
	if err := k.check(); err != nil {
		return k, "", err
	}
	err = f.change(func(keys []Key) ([]Key, error) {
		i := index(keys, name)
		if i >= 0 && keys[i].Revoked.IsZero() {
			return nil, fmt.Errorf("key %s is there already; dlm keys rotate %s gives it a new secret, dlm keys revoke %s ends it", name, name, name)
		}
		if i >= 0 {
			keys = slices.Delete(keys, i, i+1)
		}
		return append(keys, k), nil
	})
	return k, secret, err
}

// Revoke ends a key at once.
func (f File) Revoke(name string, now time.Time) (k Key, err error) {
	err = f.edit(name, func(have *Key) error {
		if have.Revoked.IsZero() {
			have.Revoked = now.UTC().Truncate(time.Second)
		}
		have.Old = nil
		k = *have
		return nil
	})
	return k, err
}

// Rotate gives a key a new secret and returns it. The one before is good for
// grace yet, so that clients can be changed one after another.
func (f File) Rotate(name string, grace time.Duration, now time.Time) (k Key, secret string, err error) {
	secret = newSecret()
	err = f.edit(name, func(have *Key) error {
		if !have.Revoked.IsZero() {
			return fmt.Errorf("key %s was revoked; dlm keys add %s makes it anew", name, name)
		}
		have.Old = slices.DeleteFunc(have.Old, func(o OldHash) bool { return grace <= 0 || !now.Before(o.Until) })
		if grace > 0 {
			have.Old = append(have.Old, OldHash{have.Hash, now.Add(grace).UTC().Truncate(time.Second)})
		}
		have.Hash, have.Prefix = hashOf(secret), prefixOf(secret)
		k = *have
		return nil
	})
	return k, secret, err
}

func (f File) edit(name string, edit func(*Key) error) error {
	return f.change(func(keys []Key) ([]Key, error) {
		i := index(keys, name)
		if i < 0 {
			return nil, fmt.Errorf("key %s: %w in %s; dlm keys list shows those that are there", name, ErrNoKey, f.Path)
		}
		return keys, edit(&keys[i])
	})
}

func index(keys []Key, name string) int {
	return slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
}
