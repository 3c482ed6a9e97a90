package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The part of the Hub's HTTP interface that a download needs:
//
//	GET  /api/models/{id}/revision/{rev}          {"sha": commit, "siblings": [{"rfilename"}]}
//	GET  /api/models/{id}/tree/{sha}?recursive=1  [{"type","oid","size","path","lfs":{"oid","size"}}], pages by Link
//	HEAD /{id}/resolve/{sha}/{path}               X-Repo-Commit; ETag, or X-Linked-Etag and X-Linked-Size with a redirect
//	GET  /{id}/resolve/{sha}/{path}               the bytes, perhaps after redirects to other hosts
//
// An ETag of 64 hex digits is the content's sha256 (LFS), one of 40 its git blob
// sha1. Errors carry X-Error-Code.

// remote is one file of a repository at a commit.
type remote struct {
	path   string
	size   int64  // -1 = not known
	sha256 string // of LFS files
	blob   string // git blob sha1 of small files
}

var (
	hex40 = regexp.MustCompile(`^[0-9a-f]{40}$`)
	hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// maxAnswer bounds a JSON answer, in bytes.
const maxAnswer = 64 << 20

// repoInfo is what the Hub says of a repository at a revision.
type repoInfo struct {
	SHA      string `json:"sha"`
	Private  bool   `json:"private"`
	Siblings []struct {
		Rfilename string `json:"rfilename"`
	} `json:"siblings"`
}

// about asks for a repository at a revision.
func (h *Hub) about(ctx context.Context, r Ref) (repoInfo, error) {
	var info repoInfo
	u := h.opt.Endpoint + "/api/models/" + r.Repo + "/revision/" + url.PathEscape(r.Revision)
	if _, err := h.getJSON(ctx, r, u, &info); err != nil {
		return info, err
	}
	if !hex40.MatchString(info.SHA) {
		return info, &answerError{msg: fmt.Sprintf("%s does not speak the Hub's protocol: no commit in its answer about %s", h.opt.Endpoint, r.Repo)}
	}
	return info, nil
}

// repository is about with the files.
func (h *Hub) repository(ctx context.Context, r Ref) (repoInfo, []remote, error) {
	info, err := h.about(ctx, r)
	if err != nil {
		return info, nil, err
	}
	files, err := h.tree(ctx, r, info.SHA)
	var a *answerError
	if errors.As(err, &a) && a.status == http.StatusNotFound && a.code == "" {
		files, err = nil, nil // a mirror without trees: the names are in the first answer
		for _, s := range info.Siblings {
			files = append(files, remote{path: s.Rfilename, size: -1})
		}
	}
	return info, files, err
}

// resolve asks which commit a revision is and which files it has.
func (h *Hub) resolve(ctx context.Context, r Ref) (string, []remote, error) {
	info, files, err := h.repository(ctx, r)
	if err == nil && hex40.MatchString(r.Revision) && info.SHA != r.Revision {
		err = &answerError{msg: fmt.Sprintf("asked for commit %s of %s, the Hub answers with %s", r.Revision, r.Repo, info.SHA)}
	}
	return info.SHA, files, err
}

// tree lists all files at a commit, over all pages.
func (h *Hub) tree(ctx context.Context, r Ref, sha string) ([]remote, error) {
	var files []remote
	next := h.opt.Endpoint + "/api/models/" + r.Repo + "/tree/" + sha + "?recursive=true&expand=false"
	for page := 0; next != ""; page++ {
		if page == 1000 {
			return nil, &answerError{msg: "the Hub's list of files does not end"}
		}
		var entries []struct {
			Type, Oid, Path string
			Size            int64
			LFS             *struct {
				Oid  string
				Size int64
			}
		}
		head, err := h.getJSON(ctx, r, next, &entries)
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if e.Type != "file" {
				continue
			}
			f := remote{path: e.Path, size: e.Size, blob: e.Oid}
			if e.LFS != nil {
				f.size, f.sha256, f.blob = e.LFS.Size, strings.TrimPrefix(e.LFS.Oid, "sha256:"), ""
			}
			files = append(files, f)
		}
		if next, err = h.nextPage(head, next); err != nil {
			return nil, err
		}
	}
	return files, nil
}

var nextLink = regexp.MustCompile(`<([^>]*)>\s*;[^,]*rel="?next"?`)

// nextPage reads the Link header; a page on another host is refused, since the
// token goes with the request.
func (h *Hub) nextPage(head http.Header, current string) (string, error) {
	m := nextLink.FindStringSubmatch(head.Get("Link"))
	if m == nil {
		return "", nil
	}
	base, err := url.Parse(current)
	if err != nil {
		return "", err
	}
	u, err := base.Parse(m[1])
	if err != nil || u.Host != base.Host || u.Scheme != base.Scheme {
		return "", &answerError{msg: fmt.Sprintf("the Hub's next page of files lies elsewhere: %q", m[1])}
	}
	return u.String(), nil
}

// getJSON asks the interface, with retries.
func (h *Hub) getJSON(ctx context.Context, r Ref, u string, into any) (http.Header, error) {
	var head http.Header
	err := h.retry(ctx, func(ctx context.Context) (bool, error) {
		resp, err := h.request(ctx, h.api, http.MethodGet, u)
		if err != nil {
			return false, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return false, h.failed(resp, r)
		}
		head = resp.Header
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		if err != nil {
			return false, &reachError{resp.Request.URL.Host, err}
		}
		if len(body) > maxAnswer || json.Unmarshal(body, into) != nil {
			return false, &answerError{msg: fmt.Sprintf("%s does not speak the Hub's protocol: its answer is not JSON (%.40q); a login page or a proxy may stand in between", resp.Request.URL.Host, body)}
		}
		return false, nil
	})
	return head, err
}

// stat asks for a file's size and hash and completes f; what the tree said must
// agree. The commit that the server names must be the one that was asked for.
func (h *Hub) stat(ctx context.Context, r Ref, sha string, f *remote) error {
	return h.retry(ctx, func(ctx context.Context) (bool, error) {
		resp, err := h.request(ctx, h.api, http.MethodHead, h.fileURL(r, sha, f.path))
		if err != nil {
			return false, err
		}
		resp.Body.Close()
		if resp.StatusCode >= 400 {
			return false, h.failed(resp, r)
		}
		if c := resp.Header.Get("X-Repo-Commit"); c != "" && c != sha {
			return false, &answerError{msg: fmt.Sprintf("%s: asked for commit %s, the Hub answers with %s", f.path, sha, c)}
		}
		tag, size := resp.Header.Get("X-Linked-Etag"), resp.Header.Get("X-Linked-Size")
		if tag == "" {
			tag = resp.Header.Get("ETag")
		}
		if size == "" && resp.StatusCode < 300 {
			size = resp.Header.Get("Content-Length")
		}
		return false, f.complete(strings.Trim(strings.TrimPrefix(tag, "W/"), `"`), size)
	})
}

// complete merges what HEAD says into what the tree said.
func (f *remote) complete(tag, size string) error {
	if n, err := strconv.ParseInt(size, 10, 64); err == nil && n >= 0 {
		if f.size >= 0 && f.size != n {
			return &answerError{msg: fmt.Sprintf("%s: the Hub's list says %d bytes, its file %d", f.path, f.size, n)}
		}
		f.size = n
	}
	conflict := func(listed string) error {
		return &answerError{msg: fmt.Sprintf("%s: the Hub's list says hash %s, its file %s", f.path, listed, tag)}
	}
	switch {
	case hex64.MatchString(tag):
		if f.sha256 != "" && f.sha256 != tag {
			return conflict(f.sha256)
		}
		f.sha256 = tag
	case hex40.MatchString(tag) && f.sha256 == "":
		if f.blob != "" && f.blob != tag {
			return conflict(f.blob)
		}
		f.blob = tag
	}
	if !hex64.MatchString(f.sha256) && !hex40.MatchString(f.blob) {
		return &answerError{msg: fmt.Sprintf("%s: the Hub names no sha256 and no git hash, so what would come could not be checked", f.path)}
	}
	if f.size < 0 {
		return &answerError{msg: fmt.Sprintf("%s: the Hub does not say how large it is", f.path)}
	}
	return nil
}

// fileURL is where a file's bytes are asked for.
func (h *Hub) fileURL(r Ref, sha, path string) string {
	var parts []string
	for _, p := range strings.Split(path, "/") {
		parts = append(parts, url.PathEscape(p))
	}
	return h.opt.Endpoint + "/" + r.Repo + "/resolve/" + sha + "/" + strings.Join(parts, "/")
}

// request sends one request without a body.
func (h *Hub) request(ctx context.Context, c *http.Client, method, u string, headers ...string) (*http.Response, error) {
	return h.exchange(ctx, c, call{method: method, url: u}, headers...)
}

// call is one request.
type call struct {
	method, url string
	body        io.Reader
	size        int64 // of the body
	bare        bool  // without the token
}

// exchange sends one request, with the token where it goes to the Hub; errors
// name the host only.
func (h *Hub) exchange(ctx context.Context, c *http.Client, q call, headers ...string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, q.method, q.url, q.body)
	if err != nil {
		return nil, &answerError{msg: fmt.Sprintf("%s gave an address that is none", h.opt.Endpoint)}
	}
	req.ContentLength = q.size
	if q.body != nil && q.size == 0 {
		req.Body = http.NoBody
	}
	version := h.opt.Version
	if version == "" {
		version = "dev"
	}
	req.Header.Set("User-Agent", "dlm/"+version)
	req.Header.Set("Accept-Encoding", "identity")
	if h.opt.Token != "" && !q.bare && h.home(req.URL) {
		req.Header.Set("Authorization", "Bearer "+h.opt.Token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		var ue *url.Error
		if errors.As(err, &ue) {
			err = ue.Err // without the address, whose query may hold a signature
		}
		return nil, &reachError{req.URL.Host, err}
	}
	return resp, nil
}

// home says whether an address is the Hub's own: only there the token goes.
func (h *Hub) home(u *url.URL) bool {
	return strings.HasPrefix(h.opt.Endpoint+"/", u.Scheme+"://"+u.Host+"/")
}

const maxRedirects = 10

// dropAuth follows redirects but takes the token only to the host (and port) it
// is meant for, and never goes from https to http.
func dropAuth(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return errors.New("too many redirects")
	}
	first := via[0].URL
	if first.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("refused a redirect from https to %s://%s", req.URL.Scheme, req.URL.Host)
	}
	if req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		req.Header.Del("Authorization")
	}
	return nil
}

// sameHostOnly follows redirects on one host (a renamed repository) and stops at
// others, whose answers would not carry the Hub's headers.
func sameHostOnly(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return errors.New("too many redirects")
	}
	if first := via[0].URL; req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
		return http.ErrUseLastResponse
	}
	return nil
}

// retry calls try until it succeeds, fails for good, or has failed attempts
// times in a row without progress, with growing pauses.
func (h *Hub) retry(ctx context.Context, try func(context.Context) (progressed bool, err error)) error {
	wait, left := h.policy.backoff, h.attempts(ctx)
	for {
		progressed, err := try(ctx)
		if err == nil || !worthRetry(err) || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if progressed {
			wait, left = h.policy.backoff, h.attempts(ctx)
		}
		if left--; left <= 0 {
			return err
		}
		pause := wait
		var a *answerError
		if errors.As(err, &a) && a.retry > 0 {
			pause = min(a.retry, h.policy.asked)
			if pause >= 3*time.Second {
				h.note(fmt.Sprintf("%v; trying again in %v", err, pause))
			}
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
		wait = min(2*wait, h.policy.maxWait)
	}
}

// onceKey marks a context in which the first failure is final.
type onceKey struct{}

func (h *Hub) attempts(ctx context.Context) int {
	if ctx.Value(onceKey{}) != nil {
		return 1
	}
	return h.policy.attempts
}
