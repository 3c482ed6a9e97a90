package sqlite

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dlm"
)

// Materialise lays the artifact's files out in a folder below trees/ and
// returns its path. Files are hard links to the blobs where the disk allows it,
// copies elsewhere, read-only either way, and hashed on every call; a folder
// that somebody changed is laid out anew. Callers must not write into it.
func (s *Store) Materialise(ctx context.Context, id dlm.Digest) (string, error) {
	a, err := s.Artifact(ctx, id)
	if err != nil {
		return "", err
	}
	if len(a.Files) == 0 {
		return "", fmt.Errorf("%s %s (%s) is kept outside the store%s: use it from there", a.Kind, a.Name, id.Short(), at(a.Params["path"]))
	}
	dir := filepath.Join(s.dir, "trees", id.Hex())
	if s.treeSound(ctx, dir, a.Files) {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(filepath.Join(s.dir, "tmp"), "tree-*")
	if err != nil {
		return "", explain(err)
	}
	defer os.RemoveAll(tmp)
	fresh := filepath.Join(tmp, "new")
	for _, f := range a.Files {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		if err := s.layOut(fresh, f); err != nil {
			return "", fmt.Errorf("lay out %s %s: %w", a.Kind, id.Short(), explain(err))
		}
	}
	// Move what is there aside first: a folder cannot be renamed over a full
	// one. When another process was faster, its folder is as good as this one.
	for try := 0; ; try++ {
		if err = os.Rename(fresh, dir); err == nil {
			return dir, syncDir(filepath.Dir(dir))
		}
		if s.treeSound(ctx, dir, a.Files) {
			return dir, nil
		}
		if try == 3 {
			return "", fmt.Errorf("lay out %s %s: %w", a.Kind, id.Short(), explain(err))
		}
		_ = os.Rename(dir, filepath.Join(tmp, fmt.Sprintf("old%d", try))) // the next try tells
	}
}

func at(path string) string {
	if path == "" {
		return ""
	}
	return " at " + path
}

// treeSound says whether dir holds exactly these files with the right content.
func (s *Store) treeSound(ctx context.Context, dir string, files []dlm.File) bool {
	have, err := listSources(dir)
	if err != nil || len(have) != len(files) {
		return false
	}
	for i, f := range files {
		if have[i].rel != f.Path || ctx.Err() != nil {
			return false
		}
		r, err := s.openChecked(have[i].disk, f.Digest, f.Size)
		if err != nil {
			return false
		}
		r.Close()
	}
	return true
}

// layOut puts one file into the folder.
func (s *Store) layOut(dir string, f dlm.File) error {
	if err := checkPath(f.Path); err != nil {
		return err
	}
	to := filepath.Join(dir, filepath.FromSlash(f.Path))
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	in, err := s.openChecked(s.blobPath(f.Digest), f.Digest, f.Size)
	if err != nil {
		return err
	}
	defer in.Close()
	if os.Link(s.blobPath(f.Digest), to) == nil {
		return nil
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o444)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	return err
}
