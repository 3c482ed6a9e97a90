package hub

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// sampleSize is how much of a file's beginning the Hub looks at, in bytes.
const sampleSize = 512

// preupload asks which files are large, and which are there already.
func (p *push) preupload(ctx context.Context) error {
	type file struct {
		Path   string `json:"path"`
		Sample string `json:"sample"`
		Size   int64  `json:"size"`
	}
	var ask struct {
		Files []file `json:"files"`
	}
	byPath := map[string]*outgoing{}
	for _, f := range p.files {
		ask.Files = append(ask.Files, file{f.path, base64.StdEncoding.EncodeToString(f.sample), f.size})
		byPath[f.path] = f
	}
	var answer preuploadAnswer
	if err := p.h.post(ctx, p.r, posting{url: p.api("preupload"), body: encode(ask), into: &answer}); err != nil {
		return p.explain(err)
	}
	return answer.apply(byPath)
}

// preuploadAnswer says for each file how it is to come.
type preuploadAnswer struct {
	Files []struct {
		Path   string `json:"path"`
		Mode   string `json:"uploadMode"`
		Ignore bool   `json:"shouldIgnore"`
		Oid    string `json:"oid"` // sha256 of a large file, git's sha1 of a small one; empty where there is none
	} `json:"files"`
}

// apply marks the files as the answer says; every file must be in it.
func (a preuploadAnswer) apply(files map[string]*outgoing) error {
	told := map[string]bool{}
	for _, x := range a.Files {
		f := files[x.Path]
		if f == nil {
			return &answerError{msg: fmt.Sprintf("the Hub answers about %q, which was not asked for", oneLine(x.Path))}
		}
		told[x.Path] = true
		switch {
		case x.Ignore:
			return fmt.Errorf("the repository's .gitignore keeps %s out, without which the adapter is incomplete; take it out of the .gitignore and push again", x.Path)
		case x.Mode == "lfs" && f.size > 0: // an empty file cannot be stored as a large one
			f.large, f.same = true, x.Oid == f.sha256
		case x.Mode == "regular" || x.Mode == "lfs":
			f.large, f.same = false, x.Oid == f.blob
		default:
			return &answerError{msg: fmt.Sprintf("the Hub wants %s as %q; expected \"regular\" or \"lfs\"", x.Path, oneLine(x.Mode))}
		}
	}
	if len(told) != len(files) || len(a.Files) != len(files) {
		return &answerError{msg: fmt.Sprintf("the Hub answers about %d of %d files", len(told), len(files))}
	}
	return nil
}

// api is an address of the repository's interface at the revision.
func (p *push) api(verb string) string {
	u := p.h.opt.Endpoint + "/api/models/" + p.r.Repo + "/" + verb + "/" + url.PathEscape(p.r.Revision)
	if p.job.CreatePR {
		u += "?create_pr=1"
	}
	return u
}

// commit makes the commit. Where its answer is lost, the repository is asked
// whether it was made.
func (p *push) commit(ctx context.Context) error {
	body, n, err := p.payload()
	if err != nil {
		return err
	}
	if n == 0 {
		p.res.Unchanged, p.res.Commit = true, p.head
		return nil
	}
	var made struct {
		Oid string `json:"commitOid"`
		PR  string `json:"pullRequestUrl"`
	}
	err = p.h.post(ctx, p.r, posting{url: p.api("commit"), kind: "application/x-ndjson", body: body, into: &made, once: true})
	if err != nil {
		var a *answerError
		if (!errors.As(err, &a) || a.temporary() || a.status == http.StatusPreconditionFailed) && !p.job.CreatePR && ctx.Err() == nil && p.arrived(ctx) {
			return nil
		}
		return p.explain(err)
	}
	if !hex40.MatchString(made.Oid) {
		return &answerError{msg: "the Hub does not say which commit it made"}
	}
	p.res.Commit = made.Oid
	if p.job.CreatePR {
		p.res.PullRequest = oneLine(made.PR)
	}
	return nil
}

// arrived says whether the repository now holds the files.
func (p *push) arrived(ctx context.Context) bool {
	info, files, err := p.h.repository(ctx, p.r)
	if err != nil {
		return false
	}
	again := push{h: p.h, job: p.job, r: p.r, files: p.files}
	if !again.states(files) {
		return false
	}
	p.res.Commit = info.SHA
	return true
}

// payload is the commit as lines of JSON, and how many files it changes.
func (p *push) payload() (body []byte, n int, err error) {
	type line struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	}
	var b bytes.Buffer
	add := func(key string, value map[string]any) {
		b.Write(encode(line{key, value}))
		b.WriteByte('\n')
	}
	message := strings.TrimSpace(p.job.Message)
	if message == "" {
		message = "Upload adapter with dlm"
	}
	head := map[string]any{"summary": message, "description": p.job.Description}
	if p.head != "" {
		head["parentCommit"] = p.head
	}
	add("header", head)
	for _, f := range p.files {
		switch {
		case f.same:
			continue
		case f.large:
			add("lfsFile", map[string]any{"path": f.path, "algo": "sha256", "oid": f.sha256, "size": f.size})
		default:
			raw, err := f.bytes()
			if err != nil {
				return nil, 0, err
			}
			add("file", map[string]any{"path": f.path, "encoding": "base64", "content": base64.StdEncoding.EncodeToString(raw)})
		}
		n++
	}
	return b.Bytes(), n, nil
}
