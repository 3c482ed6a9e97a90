package hub

import (
	"context"
	"crypto/sha1" // git's name for small files; not a defence by itself, the Hub's is TLS
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dlm"
)

// fetch brings one file of a repository to dest, which appears complete and
// verified or not at all. What came before a cut lies in dest.part and is
// continued by the next attempt, also in another process.
func (h *Hub) fetch(ctx context.Context, r Ref, sha string, f remote, dest string, progress dlm.PullProgress) error {
	if st, err := os.Stat(dest); err == nil && st.Size() == f.size && verify(dest, f) == nil {
		progress(f.path, f.size, f.size)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return diskError(dest, err)
	}
	d := &download{h: h, r: r, f: f, url: h.fileURL(r, sha, f.path), part: dest + ".part", progress: progress}
	old := d.have() > 0
	err := d.run(ctx)
	var wrong *hashError
	if errors.As(err, &wrong) && old {
		// The part was there before; it may have been damaged. Once more from the start.
		h.note(fmt.Sprintf("%s did not fit what had come before; starting it again", f.path))
		err = d.run(ctx)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(d.part, dest); err != nil {
		return diskError(dest, err)
	}
	os.Remove(d.tagFile())
	syncFolder(filepath.Dir(dest))
	return nil
}

// download is one file on its way.
type download struct {
	h        *Hub
	r        Ref
	f        remote
	url      string
	part     string
	progress dlm.PullProgress
}

// maxTries bounds the connections one file may take, however little each brings.
const maxTries = 200

// run fills and verifies the part file.
func (d *download) run(ctx context.Context) error {
	tries := 0
	err := d.h.retry(ctx, func(ctx context.Context) (bool, error) {
		if tries++; tries > maxTries {
			return false, &answerError{msg: fmt.Sprintf("%s: gave up after %d connections", d.f.path, maxTries)}
		}
		before := d.have()
		err := d.attempt(ctx)
		return d.have() > before, err
	})
	if err != nil {
		if n := d.have(); n > 0 && outOfReach(err) {
			return fmt.Errorf("%s: %w; %d of %d bytes are kept, pull again to go on from there", d.f.path, err, n, d.f.size)
		}
		return err
	}
	if err := verify(d.part, d.f); err != nil {
		var wrong *hashError
		if errors.As(err, &wrong) {
			os.Remove(d.part)
			os.Remove(d.tagFile())
		}
		return err
	}
	return nil
}

// have returns the bytes that the part file holds.
func (d *download) have() int64 {
	st, err := os.Stat(d.part)
	if err != nil {
		return 0
	}
	return st.Size()
}

// tagFile keeps the ETag of the bytes in the part file, so that the server can
// tell whether they still belong to what it has.
func (d *download) tagFile() string { return d.part + ".etag" }

// attempt makes one request for what is missing and appends it.
func (d *download) attempt(ctx context.Context) error {
	at := d.have()
	if at > d.f.size {
		os.Remove(d.part)
		at = 0
	}
	if at == d.f.size && at > 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var headers []string
	if at > 0 {
		headers = []string{"Range", fmt.Sprintf("bytes=%d-", at)}
		if tag, err := os.ReadFile(d.tagFile()); err == nil && len(tag) > 0 {
			headers = append(headers, "If-Range", string(tag))
		}
	}
	resp, err := d.h.request(ctx, d.h.data, http.MethodGet, d.url, headers...)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	flag := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	switch {
	case resp.StatusCode == http.StatusPartialContent && at > 0:
		if !strings.HasPrefix(resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", at, d.f.size-1, d.f.size)) {
			os.Remove(d.part)
			return &reachError{resp.Request.URL.Host, fmt.Errorf("asked for bytes from %d of %d, got %q", at, d.f.size, resp.Header.Get("Content-Range"))}
		}
	case resp.StatusCode == http.StatusOK: // also a server that ignores ranges, or whose file changed
		flag, at = os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0
	case resp.StatusCode == http.StatusRequestedRangeNotSatisfiable:
		os.Remove(d.part)
		return &reachError{resp.Request.URL.Host, errors.New("the range is not there (416); starting again")}
	default:
		return d.h.failed(resp, d.r)
	}
	if n := resp.ContentLength; n >= 0 && at+n != d.f.size {
		return &answerError{msg: fmt.Sprintf("%s: expected %d bytes, %s announces %d", d.f.path, d.f.size, resp.Request.URL.Host, at+n)}
	}
	return d.receive(resp, cancel, flag, at)
}

// receive appends the body to the part file; no byte for too long cancels.
func (d *download) receive(resp *http.Response, cancel context.CancelCauseFunc, flag int, at int64) (err error) {
	out, err := os.OpenFile(d.part, flag, 0o644)
	if err != nil {
		return diskError(d.part, err)
	}
	defer func() {
		if cerr := out.Close(); err == nil && cerr != nil {
			err = diskError(d.part, cerr)
		}
	}()
	if tag := resp.Header.Get("ETag"); strings.HasPrefix(tag, `"`) { // weak ones cannot guard a range
		if err := os.WriteFile(d.tagFile(), []byte(tag), 0o644); err != nil {
			return diskError(d.tagFile(), err)
		}
	} else {
		os.Remove(d.tagFile())
	}
	stalled := fmt.Errorf("no byte for %v", d.h.policy.stall)
	watch := time.AfterFunc(d.h.policy.stall, func() { cancel(stalled) })
	defer watch.Stop()
	buf := make([]byte, 256<<10)
	for {
		n, rerr := resp.Body.Read(buf)
		watch.Reset(d.h.policy.stall)
		if at += int64(n); at > d.f.size {
			return &answerError{msg: fmt.Sprintf("%s: %s sends more than the %d bytes it should have", d.f.path, resp.Request.URL.Host, d.f.size)}
		}
		if _, err := out.Write(buf[:n]); err != nil {
			return diskError(d.part, err)
		}
		if n > 0 {
			d.progress(d.f.path, at, d.f.size)
		}
		if errors.Is(rerr, io.EOF) {
			break
		}
		if rerr != nil {
			if errors.Is(context.Cause(resp.Request.Context()), stalled) {
				rerr = stalled
			}
			return &reachError{resp.Request.URL.Host, rerr}
		}
	}
	if at < d.f.size {
		return &reachError{resp.Request.URL.Host, io.ErrUnexpectedEOF}
	}
	if err := out.Sync(); err != nil {
		return diskError(d.part, err)
	}
	return nil
}

// verify compares a file with the hash and size that the Hub announced.
func verify(path string, f remote) error {
	in, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) && f.size == 0 {
		return os.WriteFile(path, nil, 0o644)
	}
	if err != nil {
		return err
	}
	defer in.Close()
	var sum hash.Hash
	expected, kind := f.sha256, "sha256"
	if expected != "" {
		sum = sha256.New()
	} else {
		expected, kind = f.blob, "git blob sha1"
		sum = sha1.New()
		fmt.Fprintf(sum, "blob %d\x00", f.size)
	}
	n, err := io.CopyBuffer(sum, in, make([]byte, 1<<20))
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != expected || n != f.size {
		return &hashError{f.path, fmt.Sprintf("%s %s, %d bytes", kind, expected, f.size), fmt.Sprintf("%s, %d bytes", got, n)}
	}
	return nil
}
