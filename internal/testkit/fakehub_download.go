package testkit

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

func (f *FakeHub) info(w http.ResponseWriter, repo *FakeRepo, rev string) {
	c := f.at(w, repo, rev)
	if c == nil {
		return
	}
	siblings := []map[string]string{}
	for _, n := range c.paths() {
		siblings = append(siblings, map[string]string{"rfilename": n})
	}
	sendJSON(w, map[string]any{"_id": "1", "id": repo.ID, "modelId": repo.ID, "sha": c.SHA, "siblings": siblings,
		"private": repo.Private, "gated": false, "disabled": false, "tags": []string{}, "downloads": 1, "likes": 1})
}

func (f *FakeHub) tree(w http.ResponseWriter, r *http.Request, repo *FakeRepo, rev, folder string) {
	if f.NoTree {
		w.WriteHeader(404)
		return
	}
	c := f.at(w, repo, rev)
	if c == nil {
		return
	}
	all := []map[string]any{{"type": "directory", "oid": strings.Repeat("1", 40), "size": 0, "path": "sub"}}
	if folder != "" {
		all = nil
	}
	for _, n := range c.paths() {
		b := c.Files[n]
		if folder != "" && !strings.HasPrefix(n, folder+"/") {
			continue
		}
		e := map[string]any{"type": "file", "oid": blobSHA1(b), "size": len(b), "path": n}
		if c.LFS[n] {
			e["oid"] = strings.Repeat("2", 40) // of the pointer
			e["lfs"] = map[string]any{"oid": sha256Hex(b), "size": len(b), "pointerSize": 134}
		}
		all = append(all, e)
	}
	if folder != "" && len(all) == 0 {
		refuse(w, 404, "EntryNotFound", folder+" does not exist")
		return
	}
	at, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
	all = all[min(at, len(all)):]
	if f.PageSize > 0 && len(all) > f.PageSize {
		all = all[:f.PageSize]
		w.Header().Set("Link", fmt.Sprintf(`<%s%s?recursive=true&cursor=%d>; rel="next"`, f.URL, r.URL.Path, at+f.PageSize))
	}
	sendJSON(w, all)
}

func (f *FakeHub) resolve(w http.ResponseWriter, r *http.Request, repo *FakeRepo, rev, path string) {
	c := f.at(w, repo, rev)
	if c == nil {
		return
	}
	b, ok := c.Files[path]
	w.Header().Set("X-Repo-Commit", c.SHA)
	if repo.Gated {
		refuse(w, 403, "GatedRepo", "Access to model "+repo.ID+" is restricted")
		return
	}
	if !ok {
		refuse(w, 404, "EntryNotFound", "Entry not found")
		return
	}
	if c.LFS[path] {
		w.Header().Set("X-Linked-Etag", `"`+sha256Hex(b)+`"`)
		w.Header().Set("X-Linked-Size", strconv.Itoa(len(b)))
		w.Header().Set("ETag", `"pointer"`)
		w.Header().Set("Location", f.CDN+"/blobs/"+repo.ID+"/"+c.SHA+"/"+path+"?signature=secret")
		w.WriteHeader(http.StatusFound)
		return
	}
	w.Header().Set("ETag", `"`+blobSHA1(b)+`"`)
	http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(b)))
}

// large sends a large file from the other host.
func (f *FakeHub) large(w http.ResponseWriter, r *http.Request) {
	parts := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/blobs/"), "/", 4) // owner, name, commit, path
	b, ok := f.Serve[parts[3]]
	if !ok {
		b = f.Repo(parts[0] + "/" + parts[1]).Commits[parts[2]].Files[parts[3]]
	}
	if f.Before != nil {
		f.Before()
	}
	if f.NoRange {
		r.Header.Del("Range")
	}
	w.Header().Set("ETag", f.CDNTag)
	f.mu.Lock()
	cut := f.Cut
	if f.Cuts == 0 {
		cut = 0
	}
	if cut > 0 {
		f.Cuts--
	}
	f.mu.Unlock()
	if cut > 0 {
		w = &cutter{ResponseWriter: w, left: cut}
	}
	if f.Stall != nil {
		w = &cutter{ResponseWriter: w, left: 50_000, stall: f.Stall}
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
		if _, err := c.ResponseWriter.Write(b[:n]); err != nil {
			return 0, err
		}
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
