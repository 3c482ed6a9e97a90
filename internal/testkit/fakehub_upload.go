package testkit

import (
	"bufio"
	"bytes"
	"crypto/sha1" // git's names
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// fakeUpload is a large file on its way.
type fakeUpload struct {
	oid     string
	size    int64
	chunk   int64 // 0 = in one piece
	parts   map[int][]byte
	expired bool
}

// ExpireUploads makes the other host refuse every address it has given out.
func (f *FakeHub) ExpireUploads() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.uploads {
		u.expired = true
	}
}

// FinishedParts returns how many parts of multipart uploads are whole.
func (f *FakeHub) FinishedParts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for _, u := range f.uploads {
		n += len(u.parts)
	}
	return n
}

func (f *FakeHub) whoami(w http.ResponseWriter, u FakeUser) {
	switch {
	case f.NoWhoami:
		w.WriteHeader(404)
	case u.Name == "":
		refuse(w, 401, "", "Invalid username or password.")
	default:
		orgs := []map[string]string{}
		for _, o := range u.Orgs {
			orgs = append(orgs, map[string]string{"name": o, "roleInOrg": "write"})
		}
		sendJSON(w, map[string]any{"type": "user", "name": u.Name, "orgs": orgs,
			"auth": map[string]any{"type": "access_token", "accessToken": map[string]string{"displayName": "t", "role": u.Role}}})
	}
}

func (f *FakeHub) create(w http.ResponseWriter, r *http.Request, u FakeUser) {
	var q struct {
		Name, Type, Visibility string
		Owner                  string `json:"organization"` //nolint:misspell // the Hub's word
		Private                bool
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil || q.Name == "" {
		refuse(w, 400, "", "expected a name")
		return
	}
	owner := q.Owner
	if owner == "" {
		owner = u.Name
	}
	switch {
	case f.Users != nil && u.Name == "":
		refuse(w, 401, "", "Invalid username or password.")
	case !f.member(u, owner):
		refuse(w, 403, "", fmt.Sprintf("You don't have the rights to create a model under the namespace %q", owner))
	case u.Role == "read":
		refuse(w, 403, "", "you must use a write token to create a repository")
	case f.Repo(owner+"/"+q.Name) != nil:
		kind := f.Repo(owner + "/" + q.Name).Type
		w.Header().Set("X-Error-Message", "You already created this "+kind+" repo")
		w.WriteHeader(409)
		fmt.Fprintf(w, `{"error":"You already created this %s repo","url":"%s/%s/%s"}`, kind, f.URL, owner, q.Name)
	default:
		repo := f.AddRepo(owner+"/"+q.Name, commitName("", "initial commit", owner+q.Name), map[string][]byte{".gitattributes": []byte("*.safetensors filter=lfs\n")}, map[string]bool{})
		repo.Private = (q.Private || q.Visibility == "private") && !f.NoPrivate
		sendJSON(w, map[string]string{"url": f.URL + "/" + repo.ID, "name": repo.ID, "id": "1"})
	}
}

func (f *FakeHub) validate(w http.ResponseWriter) {
	if f.RefuseYAML == "" {
		sendJSON(w, map[string]any{"errors": []any{}, "warnings": []any{}})
		return
	}
	w.WriteHeader(400)
	sendJSON(w, map[string]any{"errors": []any{map[string]string{"message": f.RefuseYAML}}, "warnings": []any{}})
}

// write is what changes a repository, or prepares to.
func (f *FakeHub) write(w http.ResponseWriter, r *http.Request, u FakeUser, repo *FakeRepo, verb, arg string) {
	owner, _, _ := strings.Cut(repo.ID, "/")
	pr := r.URL.Query().Get("create_pr") == "1"
	if f.Users != nil && u.Name == "" {
		refuse(w, 401, "", "Invalid username or password.")
		return
	}
	if !pr && (!f.member(u, owner) || u.Role == "read") {
		refuse(w, 403, "", "Forbidden: pass `create_pr=1` as a query parameter to create a Pull Request")
		return
	}
	switch verb {
	case "branch":
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, there := repo.Branches[arg]; there {
			refuse(w, 409, "", "Reference already exists")
			return
		}
		repo.Branches[arg] = repo.Branches["main"]
		sendJSON(w, map[string]any{})
	case "preupload":
		f.preupload(w, r, repo, arg)
	case "commit":
		f.commit(w, r, repo, arg, pr)
	case "info":
		switch arg {
		case "lfs/objects/batch":
			f.batch(w, r, repo)
		case "lfs/verify":
			f.verify(w, r)
		}
	}
}

func (f *FakeHub) preupload(w http.ResponseWriter, r *http.Request, repo *FakeRepo, rev string) {
	c := f.at(w, repo, rev)
	if c == nil {
		return
	}
	var q struct {
		Files []struct {
			Path, Sample string
			Size         int64
		}
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil {
		refuse(w, 400, "", "not JSON")
		return
	}
	out := []map[string]any{}
	for _, x := range q.Files {
		if _, err := base64.StdEncoding.DecodeString(x.Sample); err != nil {
			refuse(w, 400, "", "sample is not base64")
			return
		}
		mode := "regular"
		if strings.HasSuffix(x.Path, ".safetensors") || strings.HasSuffix(x.Path, ".gguf") || x.Size > 10<<20 {
			mode = "lfs"
		}
		e := map[string]any{"path": x.Path, "uploadMode": mode, "shouldIgnore": false}
		if b, ok := c.Files[x.Path]; ok {
			e["oid"] = blobSHA1(b)
			if c.LFS[x.Path] {
				e["oid"] = sha256Hex(b)
			}
		}
		out = append(out, e)
	}
	sendJSON(w, map[string]any{"files": out, "commitOid": c.SHA})
}

func (f *FakeHub) batch(w http.ResponseWriter, r *http.Request, repo *FakeRepo) {
	var q struct {
		Operation string
		Transfers []string
		Objects   []struct {
			Oid  string
			Size int64
		}
	}
	if json.NewDecoder(r.Body).Decode(&q) != nil || q.Operation != "upload" {
		refuse(w, 400, "", "not an upload")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	held := int64(0)
	for _, b := range f.blobs {
		held += int64(len(b))
	}
	out := []map[string]any{}
	for _, o := range q.Objects {
		e := map[string]any{"oid": o.Oid, "size": o.Size}
		out = append(out, e)
		if _, there := f.blobs[o.Oid]; there {
			continue
		}
		if f.Quota > 0 && held+o.Size > f.Quota {
			e["error"] = map[string]any{"code": 403, "message": "Private repository storage limit reached, please upgrade your plan to increase your private storage limit"}
			continue
		}
		id := fmt.Sprintf("u%d", len(f.uploads)+1)
		up := &fakeUpload{oid: o.Oid, size: o.Size, parts: map[int][]byte{}}
		f.uploads[id] = up
		upload := map[string]any{"href": f.CDN + "/upload/" + id + "/0?X-Amz-Signature=secret"}
		if f.ChunkSize > 0 && strings.Contains(strings.Join(q.Transfers, " "), "multipart") {
			up.chunk = f.ChunkSize
			header := map[string]string{"chunk_size": strconv.FormatInt(f.ChunkSize, 10)}
			for p := int64(1); (p-1)*f.ChunkSize < o.Size; p++ {
				header[strconv.FormatInt(p, 10)] = fmt.Sprintf("%s/upload/%s/%d?X-Amz-Signature=secret", f.CDN, id, p)
			}
			upload = map[string]any{"href": f.URL + "/complete?uploadId=" + id, "header": header}
		}
		e["actions"] = map[string]any{"upload": upload, "verify": map[string]any{"href": f.URL + "/" + repo.ID + ".git/info/lfs/verify"}}
	}
	sendJSON(w, map[string]any{"transfer": "multipart", "objects": out})
}

// other is the other host.
func (f *FakeHub) other(w http.ResponseWriter, r *http.Request) {
	f.log("cdn", r)
	if f.Instead != nil && f.Instead("cdn", w, r) {
		return
	}
	if r.Method != http.MethodPut {
		f.large(w, r)
		return
	}
	parts := strings.Split(r.URL.Path, "/") // "", upload, id, part
	f.mu.Lock()
	up := f.uploads[parts[2]]
	gone := up == nil || up.expired
	f.mu.Unlock()
	n, _ := strconv.Atoi(parts[3])
	switch {
	case r.Header.Get("Authorization") != "":
		storageError(w, 400, "InvalidArgument", "Only one auth mechanism allowed")
		return
	case gone:
		storageError(w, 403, "AccessDenied", "Request has expired")
		return
	}
	body, err := f.take(r)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if f.RefusePut != nil {
		if status, header := f.RefusePut(n); status != 0 {
			for k, v := range header {
				w.Header().Set(k, v)
			}
			storageError(w, status, "InternalError", "We encountered an internal error. Please try again.")
			return
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if n == 0 {
		if sha256Hex(body) != up.oid {
			storageError(w, 400, "XAmzContentSHA256Mismatch", "The provided hash does not match")
			return
		}
		f.blobs[up.oid] = body
		return
	}
	if want := min(up.chunk, up.size-int64(n-1)*up.chunk); int64(len(body)) != want {
		storageError(w, 400, "BadDigest", fmt.Sprintf("part %d has %d bytes, expected %d", n, len(body), want))
		return
	}
	up.parts[n] = body
	w.Header().Set("ETag", `"`+blobSHA1(body)+`"`)
}

// take reads an upload's body, as slowly as it is told, and counts it.
func (f *FakeHub) take(r *http.Request) ([]byte, error) {
	f.mu.Lock()
	cut := f.PutCut
	if f.PutCuts == 0 {
		cut = 0
	}
	if cut > 0 {
		f.PutCuts--
	}
	f.mu.Unlock()
	var body bytes.Buffer
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buf)
		body.Write(buf[:n])
		f.mu.Lock()
		f.received += int64(n)
		rate := f.PartRate
		f.mu.Unlock()
		if cut > 0 && int64(body.Len()) >= cut {
			return nil, errors.New("cut")
		}
		if errors.Is(err, io.EOF) {
			return body.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
		if rate > 0 {
			time.Sleep(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
		}
	}
}

// storageError answers as the object store behind the Hub does.
func storageError(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`, code, message)
}

func (f *FakeHub) complete(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Oid   string
		Parts []struct {
			PartNumber int
			Etag       string
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	up := f.uploads[r.URL.Query().Get("uploadId")]
	if json.NewDecoder(r.Body).Decode(&q) != nil || up == nil || up.expired || q.Oid != up.oid {
		refuse(w, 404, "", "NoSuchUpload: the specified upload does not exist")
		return
	}
	var whole []byte
	for i, p := range q.Parts {
		b := up.parts[p.PartNumber]
		if p.PartNumber != i+1 || p.Etag != `"`+blobSHA1(b)+`"` {
			refuse(w, 400, "", fmt.Sprintf("InvalidPart: part %d", p.PartNumber))
			return
		}
		whole = append(whole, b...)
	}
	if sha256Hex(whole) != up.oid {
		refuse(w, 400, "", "the parts do not make the object that was announced")
		return
	}
	f.blobs[up.oid] = whole
	up.expired = true
	sendJSON(w, map[string]any{})
}

func (f *FakeHub) verify(w http.ResponseWriter, r *http.Request) {
	var q struct {
		Oid  string
		Size int
	}
	bad := json.NewDecoder(r.Body).Decode(&q) != nil
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, ok := f.blobs[q.Oid]; bad || !ok || len(b) != q.Size {
		refuse(w, 404, "", "the object is not there")
	}
}

func commitName(parent, message, what string) string {
	s := sha1.Sum([]byte(parent + "\x00" + message + "\x00" + what))
	return hex.EncodeToString(s[:])
}

func (f *FakeHub) commit(w http.ResponseWriter, r *http.Request, repo *FakeRepo, rev string, pr bool) {
	old := f.at(w, repo, rev)
	if old == nil {
		return
	}
	c := &FakeCommit{Parent: old.SHA, Files: maps.Clone(old.Files), LFS: maps.Clone(old.LFS)}
	in := bufio.NewReader(r.Body)
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		line, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(line)) > 0 {
			if status, problem := f.apply(c, line); status != 0 {
				refuse(w, status, "", problem)
				return
			}
		}
		if err != nil {
			break
		}
	}
	if c.Message == "" {
		refuse(w, 400, "", "the commit has no summary")
		return
	}
	f.commits++
	c.SHA = commitName(old.SHA, c.Message, strconv.Itoa(f.commits))
	repo.Commits[c.SHA] = c
	out := map[string]any{"success": true, "commitOid": c.SHA, "commitUrl": f.URL + "/" + repo.ID + "/commit/" + c.SHA, "hookOutput": ""}
	if pr {
		repo.PRs++
		rev = fmt.Sprintf("refs/pr/%d", repo.PRs)
		out["pullRequestUrl"] = fmt.Sprintf("%s/%s/discussions/%d", f.URL, repo.ID, repo.PRs)
	}
	repo.Branches[rev] = c.SHA
	sendJSON(w, out)
}

// apply does what one line of a commit says.
func (f *FakeHub) apply(c *FakeCommit, line []byte) (status int, problem string) {
	var op struct {
		Key   string
		Value struct {
			Summary, Description, ParentCommit string
			Path, Content, Encoding, Algo, Oid string
			Size                               int
		}
	}
	if err := json.Unmarshal(line, &op); err != nil {
		return 400, "a line of the commit is not JSON"
	}
	v := op.Value
	switch op.Key {
	case "header":
		if v.ParentCommit != "" && v.ParentCommit != c.Parent {
			return 412, "A commit has happened since. Please refresh and try again."
		}
		c.Message, c.Description = v.Summary, v.Description
	case "file":
		b, err := base64.StdEncoding.DecodeString(v.Content)
		if err != nil || v.Encoding != "base64" {
			return 400, v.Path + ": not base64"
		}
		c.Files[v.Path], c.LFS[v.Path] = b, false
	case "lfsFile":
		b, ok := f.blobs[v.Oid]
		if !ok || v.Algo != "sha256" || v.Size != len(b) {
			return 400, v.Path + ": LFS object " + v.Oid + " does not exist on the remote server"
		}
		c.Files[v.Path], c.LFS[v.Path] = b, true
	case "deletedFile":
		delete(c.Files, v.Path)
	default:
		return 400, "unknown operation " + op.Key
	}
	return 0, ""
}
