package hub

import (
	"bytes"
	"crypto/sha1" // git's name for small files
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"dlm"
)

// outgoing is one file to push.
type outgoing struct {
	path   string
	from   string // on this machine; empty = data
	data   []byte
	size   int64
	sha256 string
	blob   string // git's sha1
	sample []byte // its beginning

	large bool // goes to the store of large files
	same  bool // is there already
}

// outgoingFiles reads the files of a job once, for their hashes.
func outgoingFiles(in []dlm.PushFile) ([]*outgoing, error) {
	if len(in) == 0 {
		return nil, errors.New("nothing to push")
	}
	seen := map[string]bool{}
	var out []*outgoing
	for _, x := range in {
		if !safePath(x.Path) || seen[x.Path] {
			return nil, fmt.Errorf("push: %q is not a path of its own in a repository", x.Path)
		}
		seen[x.Path] = true
		f := &outgoing{path: x.Path, from: x.From, data: x.Data}
		if err := f.measure(); err != nil {
			return nil, fmt.Errorf("push %s: %w", x.Path, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// content is what the file's bytes are read from.
type content interface {
	io.ReaderAt
	io.Closer
}

type inMemory struct{ *bytes.Reader }

func (inMemory) Close() error { return nil }

// open returns the content and its size.
func (f *outgoing) open() (content, int64, error) {
	if f.from == "" {
		return inMemory{bytes.NewReader(f.data)}, int64(len(f.data)), nil
	}
	in, err := os.Open(f.from)
	if err != nil {
		return nil, 0, err
	}
	st, err := in.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is no plain file", f.from)
	}
	if err != nil {
		in.Close()
		return nil, 0, err
	}
	return in, st.Size(), nil
}

// measure fills in size and hashes.
func (f *outgoing) measure() error {
	in, size, err := f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	f.size = size
	big, git := sha256.New(), sha1.New()
	fmt.Fprintf(git, "blob %d\x00", size)
	var head bytes.Buffer
	n, err := io.CopyBuffer(io.MultiWriter(big, git, &limited{&head, sampleSize}), io.NewSectionReader(in, 0, size), make([]byte, 1<<20))
	if err != nil {
		return err
	}
	if n != size {
		return fmt.Errorf("%s changed while it was read", f.from)
	}
	f.sha256, f.blob, f.sample = hex.EncodeToString(big.Sum(nil)), hex.EncodeToString(git.Sum(nil)), head.Bytes()
	return nil
}

// limited keeps the first bytes that are written to it.
type limited struct {
	b    *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.b.Write(p[:n])
	l.left -= n
	return len(p), nil
}

// bytes reads a small file whole.
func (f *outgoing) bytes() ([]byte, error) {
	if f.from == "" {
		return f.data, nil
	}
	raw, err := os.ReadFile(f.from)
	if err == nil && int64(len(raw)) != f.size {
		err = fmt.Errorf("%s changed while it was pushed; push again", f.from)
	}
	return raw, err
}
