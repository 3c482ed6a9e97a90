package testkit

import (
	"crypto/sha1" // git's names
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// FakeHub speaks the part of the Hugging Face Hub's protocol that downloads and
// uploads need, with two servers: the Hub, and another host (port) that holds
// the large files. Its fields make it misbehave; they are set before requests
// come, or from within them. The Hugging Face client accepts it, in both
// directions (make interop).
type FakeHub struct {
	URL string // of the Hub
	CDN string // of the other host

	// Users by their token. Nil: every token may do everything, and so may none.
	Users map[string]FakeUser

	Deny    func(r *http.Request) (status int, code, message string)                  // refuses requests to the Hub
	Instead func(host string, w http.ResponseWriter, r *http.Request) (answered bool) // answers in the place of "hub" or "cdn"

	// Downloads.
	Serve    map[string][]byte // what the other host really sends, by path
	Cut      int               // closes the connection after so many bytes of a large file
	Cuts     int               // how often
	NoRange  bool              // the other host ignores Range
	NoTree   bool              // a mirror without trees
	PageSize int               // entries of a tree page, 0 = all
	CDNTag   string            // ETag of the other host
	Stall    chan struct{}     // closed = the other host goes on
	Before   func()            // called before a large file is sent

	// Uploads.
	ChunkSize  int64                                                 // of multipart uploads; 0 = the basic transfer
	Quota      int64                                                 // bytes of large files that all repositories may hold; 0 = no limit
	PartRate   int64                                                 // bytes a second that the other host takes of each part; 0 = all
	PutCut     int64                                                 // closes the connection after so many bytes of an upload
	PutCuts    int                                                   // how often
	RefusePut  func(part int) (status int, header map[string]string) // of a part, counted from 1; 0 of a basic upload
	NoPrivate  bool                                                  // makes every repository public
	NoWhoami   bool                                                  // a mirror that does not say who one is
	RefuseYAML string                                                // what is wrong with every model card

	mu       sync.Mutex
	repos    map[string]*FakeRepo
	blobs    map[string][]byte // large files by sha256
	uploads  map[string]*fakeUpload
	requests []string // "HOST METHOD PATH RANGE"
	tokens   []string // Authorization headers that the other host saw
	received int64    // bytes of upload bodies that the other host read
	commits  int
}

// FakeUser is who a token belongs to.
type FakeUser struct {
	Name string
	Orgs []string
	Role string // of the token: "write", "read", "fineGrained"
}

// FakeRepo is one repository.
type FakeRepo struct {
	ID       string // owner/name
	Type     string // "model"; another type makes the name taken
	Private  bool
	Gated    bool
	Branches map[string]string // branch -> commit
	Commits  map[string]*FakeCommit
	PRs      int
}

// FakeCommit is the content of a repository at one commit.
type FakeCommit struct {
	SHA, Parent, Message, Description string
	Files                             map[string][]byte
	LFS                               map[string]bool // of them on the other host
}

// NewFakeHub starts an empty Hub that ends with the test.
func NewFakeHub(t interface{ Cleanup(func()) }) *FakeHub {
	f := &FakeHub{CDNTag: `"cdn-1"`, Serve: map[string][]byte{}, repos: map[string]*FakeRepo{}, blobs: map[string][]byte{}, uploads: map[string]*fakeUpload{}}
	cdn := httptest.NewServer(http.HandlerFunc(f.other))
	hub := httptest.NewServer(http.HandlerFunc(f.answer))
	t.Cleanup(hub.Close)
	t.Cleanup(cdn.Close)
	f.URL, f.CDN = hub.URL, cdn.URL
	return f
}

// AddRepo adds a repository with one commit on main.
func (f *FakeHub) AddRepo(id, commit string, files map[string][]byte, lfs map[string]bool) *FakeRepo {
	r := &FakeRepo{ID: id, Type: "model", Branches: map[string]string{"main": commit},
		Commits: map[string]*FakeCommit{commit: {SHA: commit, Files: files, LFS: lfs}}}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.repos[id] = r
	return r
}

// Repo returns a repository, nil when there is none.
func (f *FakeHub) Repo(id string) *FakeRepo {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.repos[id]
}

// Head is the content of a branch.
func (r *FakeRepo) Head(branch string) *FakeCommit { return r.Commits[r.Branches[branch]] }

// Count returns how many requests contain all parts; a request is written
// "hub METHOD PATH RANGE" or "cdn METHOD PATH RANGE".
func (f *FakeHub) Count(parts ...string) int {
	n := 0
	for _, r := range f.Requests() {
		if !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(r, p) }) {
			n++
		}
	}
	return n
}

// Requests lists what was asked so far.
func (f *FakeHub) Requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.requests)
}

// Tokens lists the Authorization headers that the other host saw.
func (f *FakeHub) Tokens() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tokens)
}

// Received returns the bytes of upload bodies that the other host has read,
// those of connections that were cut included.
func (f *FakeHub) Received() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.received
}

// Lock keeps requests from looking at the fields while a test changes them.
func (f *FakeHub) Lock() (unlock func()) {
	f.mu.Lock()
	return f.mu.Unlock
}

func (f *FakeHub) log(host string, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, strings.TrimSpace(strings.Join([]string{host, r.Method, r.URL.Path, r.Header.Get("Range")}, " ")))
	if host == "cdn" {
		f.tokens = append(f.tokens, r.Header.Get("Authorization"))
	}
}

func sha256Hex(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }

func blobSHA1(b []byte) string {
	s := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(b)), b...))
	return hex.EncodeToString(s[:])
}

// refuse answers as the Hub does: a header for machines, one for people, and
// the latter again as JSON.
func refuse(w http.ResponseWriter, status int, code, message string) {
	if code != "" {
		w.Header().Set("X-Error-Code", code)
	}
	if message != "" {
		w.Header().Set("X-Error-Message", message)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if message != "" {
		_ = json.NewEncoder(w).Encode(map[string]string{"error": message})
	}
}

func sendJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// who is the user of a request; ok is false when its token is nobody's, and
// then the answer is given.
func (f *FakeHub) who(w http.ResponseWriter, r *http.Request) (u FakeUser, ok bool) {
	token, given := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if f.Users == nil {
		return FakeUser{Name: "anyone", Role: "write"}, true
	}
	u, known := f.Users[token]
	if given && !known {
		refuse(w, 401, "", "Invalid credentials in Authorization header")
		return u, false
	}
	return u, true
}

// member says whether the user may see and, with a token that writes, change
// what the owner has.
func (f *FakeHub) member(u FakeUser, owner string) bool {
	return f.Users == nil || u.Name == owner || slices.Contains(u.Orgs, owner)
}

// answer is the Hub.
func (f *FakeHub) answer(w http.ResponseWriter, r *http.Request) {
	f.log("hub", r)
	if f.Instead != nil && f.Instead("hub", w, r) {
		return
	}
	if f.Deny != nil {
		if status, code, message := f.Deny(r); status != 0 {
			refuse(w, status, code, message)
			return
		}
	}
	u, ok := f.who(w, r)
	if !ok {
		return
	}
	switch r.URL.Path {
	case "/api/whoami-v2":
		f.whoami(w, u)
		return
	case "/api/repos/create":
		f.create(w, r, u)
		return
	case "/api/validate-yaml":
		f.validate(w)
		return
	case "/complete":
		f.complete(w, r)
		return
	}
	repo, rest, ok := f.find(w, r, u)
	if !ok {
		return
	}
	verb, arg, _ := strings.Cut(rest, "/")
	folder := ""
	if verb == "tree" {
		arg, folder, _ = strings.Cut(arg, "/") // a revision's own slashes are escaped
	}
	arg, _ = url.PathUnescape(arg)
	switch verb {
	case "preupload", "branch", "commit", "info":
		f.write(w, r, u, repo, verb, arg)
	case "", "revision":
		f.info(w, repo, arg)
	case "tree":
		f.tree(w, r, repo, arg, folder)
	case "resolve":
		rev, path, _ := strings.Cut(arg, "/")
		f.resolve(w, r, repo, rev, path)
	default:
		refuse(w, 404, "", "")
	}
}

// find takes the repository out of the path; rest is what follows its name.
func (f *FakeHub) find(w http.ResponseWriter, r *http.Request, u FakeUser) (repo *FakeRepo, rest string, ok bool) {
	p, api := strings.CutPrefix(r.URL.EscapedPath(), "/api/models/")
	p = strings.TrimPrefix(p, "/")
	parts := strings.SplitN(p, "/", 3)
	if len(parts) < 2 {
		refuse(w, 404, "", "Not found")
		return nil, "", false
	}
	name, git := strings.CutSuffix(parts[1], ".git")
	repo = f.Repo(parts[0] + "/" + name)
	if repo == nil || repo.Type != "model" || repo.Private && !f.member(u, parts[0]) {
		refuse(w, 404, "RepoNotFound", "Repository not found")
		return nil, "", false
	}
	if len(parts) == 3 {
		rest = parts[2]
	}
	if !api && !git && !strings.HasPrefix(rest, "resolve/") {
		refuse(w, 404, "", "Not found")
		return nil, "", false
	}
	return repo, rest, true
}

// at is the commit of a revision: a branch, a commit, or a pull request.
func (f *FakeHub) at(w http.ResponseWriter, repo *FakeRepo, rev string) *FakeCommit {
	f.mu.Lock()
	defer f.mu.Unlock()
	if rev == "" {
		rev = "main"
	}
	if sha, ok := repo.Branches[rev]; ok {
		rev = sha
	}
	c := repo.Commits[rev]
	if c == nil {
		refuse(w, 404, "RevisionNotFound", "Invalid rev id")
	}
	return c
}

func (c *FakeCommit) paths() []string { return slices.Sorted(maps.Keys(c.Files)) }
