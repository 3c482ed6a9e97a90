package sqlite

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"dlm"
)

// manifestID names an artifact by its content. The manifest is text:
//
//	dlm artifact 1\n
//	kind <kind>\n
//	<digest> <size> <path as a quoted Go string>\n     (sorted by path)
//
// Name, lineage, settings and dates are not part of it.
func manifestID(kind dlm.Kind, files []dlm.File) dlm.Digest {
	var b strings.Builder
	fmt.Fprintf(&b, "dlm artifact 1\nkind %s\n", kind)
	for _, f := range files {
		fmt.Fprintf(&b, "%s %d %q\n", f.Digest, f.Size, f.Path)
	}
	sum := sha256.Sum256([]byte(b.String()))
	return dlm.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// source is a file on disk that becomes one of an artifact.
type source struct {
	rel  string // slash-separated path inside the artifact
	disk string
}

// listSources finds the regular files below dir (or dir itself when it is a
// file), sorted by their path in the artifact. Links and devices are refused:
// following them would store something else than what a reader sees.
func listSources(dir string) ([]source, error) {
	info, err := os.Stat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []source{{rel: filepath.Base(dir), disk: dir}}, nil
	}
	var out []source
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is not a plain file (%s); an artifact holds plain files only", p, d.Type())
		}
		out = append(out, source{rel: filepath.ToSlash(rel), disk: p})
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s: no files; an artifact needs at least one", dir)
	}
	slices.SortFunc(out, func(a, b source) int { return strings.Compare(a.rel, b.rel) })
	return out, nil
}

// checkPath refuses paths that would leave the folder they are laid out in.
func checkPath(p string) error {
	if p == "" || path.IsAbs(p) || path.Clean(p) != p || p == ".." || strings.HasPrefix(p, "../") ||
		strings.ContainsAny(p, "\\\x00") {
		return fmt.Errorf("path %q: expected a relative slash-separated path without ..", p)
	}
	return nil
}
