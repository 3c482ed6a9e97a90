package hub

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// uploadState is a large file's upload as it is kept on disk, in the cache's
// folder uploads/: where the parts go, and which are through. It names the
// content by its hash, so a file that changed is another upload. The addresses
// are signed: the file is for its owner alone.
type uploadState struct {
	Format   int               `json:"format"`
	Endpoint string            `json:"endpoint"`
	Repo     string            `json:"repo"`
	Oid      string            `json:"oid"`  // sha256 of the content
	Size     int64             `json:"size"` // bytes
	Chunk    int64             `json:"chunk"`
	Href     string            `json:"href"`   // where the whole goes, or where it is told that all parts are there
	Header   map[string]string `json:"header"` // of the whole
	Parts    []string          `json:"parts"`  // addresses, in order; nil = in one piece
	Verify   string            `json:"verify"`
	ETags    map[int]string    `json:"etags"`   // of the parts that are through, counted from 1
	Expires  time.Time         `json:"expires"` // of the addresses; zero = they do not say
}

const uploadFormat = 1

// uploads is the folder of unfinished uploads.
func (h *Hub) uploads() string { return filepath.Join(h.cache, "uploads") }

func (h *Hub) uploadFile(repo, oid string) string {
	sum := sha256.Sum256([]byte(h.opt.Endpoint + "\n" + repo + "\n" + oid))
	return filepath.Join(h.uploads(), fmt.Sprintf("%x.json", sum[:16]))
}

// newUploadState makes the state of an upload that the batch has described.
func (h *Hub) newUploadState(r Ref, f *outgoing, o lfsObject) (*uploadState, error) {
	up := o.Actions.Upload
	chunk, parts, err := partsOf(up, f.size)
	if err != nil {
		return nil, err
	}
	s := &uploadState{Format: uploadFormat, Endpoint: h.opt.Endpoint, Repo: r.Repo, Oid: f.sha256, Size: f.size, Chunk: chunk, ETags: map[int]string{}}
	if s.Href, err = h.address(up.Href); err != nil {
		return nil, err
	}
	if parts == nil {
		s.Header = up.Header
	}
	for _, p := range parts {
		if p, err = h.address(p); err != nil {
			return nil, err
		}
		s.Parts = append(s.Parts, p)
		if e := expiry(p); !e.IsZero() && (s.Expires.IsZero() || e.Before(s.Expires)) {
			s.Expires = e
		}
	}
	if v := o.Actions.Verify; v != nil {
		s.Verify, err = h.address(v.Href)
	}
	return s, err
}

// expiry reads until when a signed address is good; zero where it does not say.
func expiry(address string) time.Time {
	u, err := url.Parse(address)
	if err != nil {
		return time.Time{}
	}
	q := u.Query()
	from, err := time.Parse("20060102T150405Z", q.Get("X-Amz-Date"))
	seconds, err2 := strconv.ParseUint(q.Get("X-Amz-Expires"), 10, 31)
	if err != nil || err2 != nil {
		return time.Time{}
	}
	return from.Add(time.Duration(seconds) * time.Second)
}

// recallUpload returns the upload of this content that was cut off, nil when
// there is none that can be gone on with.
func (h *Hub) recallUpload(r Ref, f *outgoing) *uploadState {
	raw, err := os.ReadFile(h.uploadFile(r.Repo, f.sha256))
	if err != nil {
		return nil
	}
	s, err := h.parseUpload(raw)
	if err != nil || s.Repo != r.Repo || s.Oid != f.sha256 || s.Size != f.size {
		return nil
	}
	if !s.Expires.IsZero() && time.Now().Add(time.Minute).After(s.Expires) {
		h.note(fmt.Sprintf("%s: the addresses of the upload that was cut off have run out; starting it again", f.path))
		return nil
	}
	return s
}

// parseUpload reads a state and checks that it fits together.
func (h *Hub) parseUpload(raw []byte) (*uploadState, error) {
	var s uploadState
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, err
	}
	n := int64(len(s.Parts))
	if s.Format != uploadFormat || s.Endpoint != h.opt.Endpoint || s.Size <= 0 || n == 0 || n > maxParts || s.Chunk <= 0 || (s.Size-1)/s.Chunk+1 != n {
		return nil, errors.New("not an upload that can be gone on with")
	}
	for _, a := range append([]string{s.Href}, s.Parts...) {
		if _, err := h.address(a); err != nil {
			return nil, err
		}
	}
	if s.Verify != "" {
		if _, err := h.address(s.Verify); err != nil {
			return nil, err
		}
	}
	for i, tag := range s.ETags {
		if i < 1 || int64(i) > n || tag == "" {
			return nil, fmt.Errorf("part %d of %d", i, n)
		}
	}
	if s.ETags == nil {
		s.ETags = map[int]string{}
	}
	return &s, nil
}

// keepUpload writes the state, whole or not at all. An upload in one piece has
// nothing to go on from.
func (h *Hub) keepUpload(s *uploadState) error {
	if s.Parts == nil {
		return nil
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := h.uploadFile(s.Repo, s.Oid)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp := path + ".part"
	if err := writeSynced(tmp, raw); err != nil {
		os.Remove(tmp)
		return diskError(path, err)
	}
	return os.Rename(tmp, path)
}

func writeSynced(path string, raw []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	return errors.Join(err, f.Sync(), f.Close())
}

// forgetUpload removes the state of an upload that is finished or refused.
func (h *Hub) forgetUpload(r Ref, f *outgoing) { os.Remove(h.uploadFile(r.Repo, f.sha256)) }
