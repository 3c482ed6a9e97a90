package hub

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	fakeRepo   = "acme/tiny"
	fakeCommit = "0123456789abcdef0123456789abcdef01234567"
)

// fake speaks the part of the Hub's protocol that a download needs, with two
// servers: the Hub, and another host (port) that holds the large files. Its
// fields make it misbehave. The Hugging Face client accepts it too (interop_test.go).
type fake struct {
	t     *testing.T
	files map[string][]byte // by path
	lfs   map[string]bool   // of them on the other host

	hub, cdn *httptest.Server

	deny     func(r *http.Request) (status int, code, message string) // refuses requests to the Hub
	serve    map[string][]byte                                        // what the other host really sends
	cut      int                                                      // closes the connection after so many bytes of a large file
	cuts     int                                                      // how often
	noRange  bool                                                     // the other host ignores Range
	noTree   bool                                                     // a mirror without trees
	pageSize int                                                      // entries of a tree page, 0 = all
	cdnTag   string                                                   // ETag of the other host
	stall    chan struct{}                                            // closed = the other host goes on
	before   func()                                                   // called before a large file is sent

	mu       sync.Mutex
	requests []string // "HOST METHOD PATH RANGE"
	tokens   []string // Authorization headers that the other host saw
}

// newFake returns a running fake with a small safetensors repository.
func newFake(t *testing.T) *fake {
	f := &fake{t: t, lfs: map[string]bool{"model.safetensors": true, "sub/m.gguf": true, "split-00001-of-00002.gguf": true}, cdnTag: `"cdn-1"`, serve: map[string][]byte{}}
	big := make([]byte, 300_000)
	for i := range big {
		big[i] = byte(i * i >> 7)
	}
	f.files = map[string][]byte{
		"config.json": []byte(`{"model_type":"llama"}`), "tokenizer.json": []byte(`{"model":{}}`), "tokenizer_config.json": []byte(`{}`),
		"README.md": []byte("# not needed"), "pytorch_model.bin": []byte("not needed"), "model.safetensors": big,
		"sub/m.gguf": append([]byte("GGUF"), big[:1000]...), "empty.txt": {},
	}
	f.cdn = httptest.NewServer(http.HandlerFunc(f.large))
	f.hub = httptest.NewServer(http.HandlerFunc(f.answer))
	t.Cleanup(f.hub.Close)
	t.Cleanup(f.cdn.Close)
	return f
}

func (f *fake) log(host string, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, strings.TrimSpace(strings.Join([]string{host, r.Method, r.URL.Path, r.Header.Get("Range")}, " ")))
	if host == "cdn" {
		f.tokens = append(f.tokens, r.Header.Get("Authorization"))
	}
}

// count returns how many requests contain all parts.
func (f *fake) count(parts ...string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, r := range f.requests {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(r, p) }) {
			n++
		}
	}
	return n
}

func sha256Hex(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

func blobSHA1(b []byte) string {
	s := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hex.EncodeToString(s[:])
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	if code != "" {
		w.Header().Set("X-Error-Code", code)
	}
	if message != "" {
		w.Header().Set("X-Error-Message", message)
	}
	w.WriteHeader(status)
}

// answer is the Hub.
func (f *fake) answer(w http.ResponseWriter, r *http.Request) {
	f.log("hub", r)
	if f.deny != nil {
		if status, code, message := f.deny(r); status != 0 {
			refuse(w, status, code, message)
			return
		}
	}
	api := "/api/models/" + fakeRepo
	switch p := r.URL.Path; {
	case p == api+"/revision/main" || p == api+"/revision/"+fakeCommit || p == api+"/revision/refs/pr/1" || p == api:
		f.info(w)
	case strings.HasPrefix(p, api+"/revision/"):
		refuse(w, 404, "RevisionNotFound", "Invalid rev id")
	case strings.HasPrefix(p, api+"/tree/"+fakeCommit) && !f.noTree:
		f.tree(w, r)
	case strings.HasPrefix(p, "/"+fakeRepo+"/resolve/"):
		rest := strings.TrimPrefix(p, "/"+fakeRepo+"/resolve/")
		rev, path, _ := strings.Cut(rest, "/")
		if rev != fakeCommit && rev != "main" {
			refuse(w, 404, "RevisionNotFound", "Invalid rev id")
			return
		}
		f.resolve(w, r, path)
	case f.noTree && strings.Contains(p, "/tree/"):
		w.WriteHeader(404)
	default:
		refuse(w, 404, "RepoNotFound", "Repository not found")
	}
}

func (f *fake) paths() []string {
	var names []string
	for n := range f.files {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (f *fake) info(w http.ResponseWriter) {
	var siblings []map[string]string
	for _, n := range f.paths() {
		siblings = append(siblings, map[string]string{"rfilename": n})
	}
	json.NewEncoder(w).Encode(map[string]any{"_id": "1", "id": fakeRepo, "modelId": fakeRepo, "sha": fakeCommit, "siblings": siblings,
		"private": false, "gated": false, "disabled": false, "tags": []string{}, "downloads": 1, "likes": 1})
}

func (f *fake) tree(w http.ResponseWriter, r *http.Request) {
	all := []map[string]any{{"type": "directory", "oid": strings.Repeat("1", 40), "size": 0, "path": "sub"}}
	for _, n := range f.paths() {
		b := f.files[n]
		e := map[string]any{"type": "file", "oid": blobSHA1(b), "size": len(b), "path": n}
		if f.lfs[n] {
			e["oid"] = strings.Repeat("2", 40) // of the pointer
			e["lfs"] = map[string]any{"oid": sha256Hex(b), "size": len(b), "pointerSize": 134}
		}
		all = append(all, e)
	}
	at, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	all = all[at:]
	if f.pageSize > 0 && len(all) > f.pageSize {
		all = all[:f.pageSize]
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?recursive=true&cursor=%d>; rel="next"`, f.hub.URL, r.URL.Path, at+f.pageSize))
	}
	json.NewEncoder(w).Encode(all)
}

func (f *fake) resolve(w http.ResponseWriter, r *http.Request, path string) {
	b, ok := f.files[path]
	w.Header().Set("X-Repo-Commit", fakeCommit)
	if !ok {
		refuse(w, 404, "EntryNotFound", "Entry not found")
		return
	}
	if f.lfs[path] {
		w.Header().Set("X-Linked-Etag", `"`+sha256Hex(b)+`"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(b)))
		w.Header().Set("ETag", `"pointer"`)
		w.Header().Set("Location", f.cdn.URL+"/blobs/"+path+"?signature=secret")
		w.WriteHeader(http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+blobSHA1(b)+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
}

// large is the other host.
func (f *fake) large(w http.ResponseWriter, r *http.Request) {
	f.log("cdn", r)
	path := strings.TrimPrefix(r.URL.Path, "/blobs/")
	b, ok := f.serve[path]
	if !ok {
		b = f.files[path]
	}
	if f.before != nil {
		f.before()
	}
	if f.noRange {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", f.cdnTag)
	f.mu.Lock()
	cut := f.cut
	if f.cuts == 0 {
		cut = 0
	}
	f.mu.Unlock()
	if cut > 0 {
		f.mu.Lock()
		f.cuts--
		f.mu.Unlock()
		w = &cutter{ResponseWriter: w, left: cut}
	}
	if f.stall != nil {
		w = &cutter{ResponseWriter: w, left: 50_000, stall: f.stall}
	}
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
}

// cutter passes so many bytes, then breaks the connection or waits.
type cutter struct {
	http.ResponseWriter
	left  int
	stall chan struct{}
}

func (c *cutter) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	if n > 0 {
		c.ResponseWriter.Write(b[:n])
		c.ResponseWriter.(http.Flusher).Flush()
	}
	if n < len(b) {
		if c.stall == nil {
			panic(http.ErrAbortHandler)
		}
		<-c.stall
		c.left = 1 << 30
		m, err := c.ResponseWriter.Write(b[n:])
		return n + m, err
	}
	return n, nil
}

// quick is the patience of tests.
var quick = policy{connect: time.Second, answer: 2 * time.Second, stall: 300 * time.Millisecond, backoff: time.Millisecond, maxWait: 5 * time.Millisecond, attempts: 3}

// client returns a Hub on the fake with a cache of its own, and its notes.
func (f *fake) client(cache string, change ...func(*Options)) (*Hub, *[]string) {
	f.t.Helper()
	return newClient(f.t, f.hub.URL, cache, change...)
}

func newClient(t *testing.T, endpoint, cache string, change ...func(*Options)) (*Hub, *[]string) {
	t.Helper()
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE", "HF_ENDPOINT"} {
		if os.Getenv(name) != "" {
			t.Setenv(name, "")
		}
	}
	t.Setenv("HF_TOKEN_PATH", t.TempDir()+"/none")
	notes := &[]string{}
	o := Options{Cache: cache, Endpoint: endpoint, Note: func(s string) { *notes = append(*notes, s) }}
	for _, c := range change {
		c(&o)
	}
	h, err := newHub(o, quick)
	if err != nil {
		t.Fatal(err)
	}
	return h, notes
}

func token(s string) func(*Options) { return func(o *Options) { o.Token = s } }

func pull(t *testing.T, h *Hub, ref string) string {
	t.Helper()
	m, err := h.Pull(context.Background(), ref, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m.Path
}

// expectError fails unless err mentions every part.
func expectError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error; expected one that mentions %q", parts)
		return
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q does not mention %q", err, p)
		}
	}
}
