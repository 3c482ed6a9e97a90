package sqlite

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"dlm"
)

func (s *Store) blobPath(d dlm.Digest) string {
	h := d.Hex()
	return filepath.Join(s.dir, "blobs", "sha256", h[:2], h)
}

// putBlob copies the file at path into the store and returns its digest and
// size. The bytes that are hashed are the bytes that are written.
func (s *Store) putBlob(ctx context.Context, path string) (d dlm.Digest, size int64, err error) {
	in, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer in.Close()
	tmp, err := os.CreateTemp(filepath.Join(s.dir, "tmp"), "blob-*")
	if err != nil {
		return "", 0, explain(err)
	}
	defer os.Remove(tmp.Name()) // fails once renamed, as it should
	h := sha256.New()
	size, err = io.Copy(io.MultiWriter(tmp, h), readerCtx{ctx, in})
	if err == nil {
		err = tmp.Chmod(0o444)
	}
	if err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return "", 0, fmt.Errorf("store %s: %w", path, explain(err))
	}
	d = dlm.Digest("sha256:" + hex.EncodeToString(h.Sum(nil)))
	if s.checkBlob(d, size) == nil {
		return d, size, nil // already there and sound
	}
	// New, or the one that is there is damaged: this one takes its place.
	to := s.blobPath(d)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return "", 0, explain(err)
	}
	if err := os.Rename(tmp.Name(), to); err != nil {
		return "", 0, explain(err)
	}
	if err := syncDir(filepath.Dir(to)); err != nil {
		return "", 0, explain(err)
	}
	return d, size, nil
}

// checkBlob hashes the stored blob again. size < 0 means unknown.
func (s *Store) checkBlob(d dlm.Digest, size int64) error {
	f, err := s.openChecked(s.blobPath(d), d, size)
	if err != nil {
		return err
	}
	return f.Close()
}

// openChecked opens a file that must hold d, and reads it once to be sure.
func (s *Store) openChecked(path string, d dlm.Digest, size int64) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("blob %s: %w in %s", d, ErrNotFound, filepath.Join(s.dir, "blobs"))
		}
		return nil, err
	}
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != d.Hex() || (size >= 0 && n != size) {
		f.Close()
		return nil, fmt.Errorf("%s is damaged: expected %s, found sha256:%s (%d bytes); restore it from a backup or make the artifact again", path, d, got, n)
	}
	return f, nil
}

// Open opens one file's content by its digest. The content is hashed first: a
// damaged blob is an error here, not a surprise later.
func (s *Store) Open(ctx context.Context, d dlm.Digest) (io.ReadCloser, error) {
	if _, err := dlm.ParseDigest(string(d)); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.openChecked(s.blobPath(d), d, -1)
}

// readerCtx ends a long copy when its context ends.
type readerCtx struct {
	ctx context.Context
	r   io.Reader
}

func (r readerCtx) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
