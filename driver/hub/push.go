package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"dlm"
)

// Push brings files to the repository of job.Ref in one commit, in the Hub's own
// protocol:
//
//	GET  /api/whoami-v2                        who one is, and what the token may do
//	POST /api/repos/create                     409 = it is there
//	POST /api/validate-yaml                    what the Hub thinks of the model card
//	POST /api/models/{id}/branch/{rev}         where the branch is not there
//	POST /api/models/{id}/preupload/{rev}      which files are large
//	POST /{id}.git/info/lfs/objects/batch      where those go, in one piece or in parts; see upload.go
//	POST /api/models/{id}/commit/{rev}         NDJSON: header, small files, the names of large ones
//
// Files that are there already are left alone; when all are, no commit is made.
// Other files of the repository stay. The commit names the one it is made on, so
// that nothing that came in between is overwritten.
func (h *Hub) Push(ctx context.Context, job dlm.PushJob, progress dlm.PullProgress) (dlm.PushResult, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	p, err := h.newPush(job, progress)
	if err != nil {
		return dlm.PushResult{}, err
	}
	if err := p.run(ctx); err != nil {
		return p.res, fmt.Errorf("push %s: %w", job.Ref, err)
	}
	return p.res, nil
}

// push is one push on its way.
type push struct {
	h        *Hub
	job      dlm.PushJob
	r        Ref
	files    []*outgoing
	progress dlm.PullProgress
	head     string // commit that the revision is at; empty: no repository yet
	res      dlm.PushResult
}

// repoName is what the Hub allows beyond ParseRef's characters.
var repoName = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?$`)

func (h *Hub) newPush(job dlm.PushJob, progress dlm.PullProgress) (*push, error) {
	r, err := ParseRef(job.Ref)
	if err != nil {
		return nil, err
	}
	if r.Repo == "" || r.File != "" {
		return nil, fmt.Errorf("%q: expected hf:owner/name[@branch]", job.Ref)
	}
	for _, part := range strings.Split(r.Repo, "/") {
		if !repoName.MatchString(part) || strings.Contains(part, "--") || len(r.Repo) > 96 {
			return nil, fmt.Errorf("%q is no name that the Hub takes: letters, digits, - _ . ; no - or . at either end, no --, 96 characters at most", r.Repo)
		}
	}
	if hex40.MatchString(r.Revision) || strings.HasPrefix(r.Revision, "refs/") && !strings.HasPrefix(r.Revision, "refs/pr/") {
		return nil, fmt.Errorf("%q: a push needs a branch, and %s is none", job.Ref, r.Revision)
	}
	if job.CreatePR && r.Revision != defaultRevision {
		return nil, fmt.Errorf("%q: a pull request is made against main; leave out @%s", job.Ref, r.Revision)
	}
	files, err := outgoingFiles(job.Files)
	if err != nil {
		return nil, err
	}
	p := &push{h: h, job: job, r: r, files: files, progress: progress}
	p.res = dlm.PushResult{Repo: r.Repo, Revision: r.Revision, URL: h.opt.Endpoint + "/" + r.Repo, Private: !job.Public}
	return p, nil
}

func (p *push) run(ctx context.Context) error {
	if p.h.opt.Offline {
		return fmt.Errorf("%w; unset it to push", errOffline)
	}
	if p.job.DryRun && p.h.opt.Token == "" {
		p.h.note("there is no token, so the Hub was not asked what it holds")
		p.states(nil)
		return nil
	}
	if err := p.h.mayPush(ctx, p.r, p.job.CreatePR); err != nil {
		return err
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	if p.job.DryRun {
		return nil
	}
	if p.res.Unchanged {
		p.res.Commit = p.head
		return nil
	}
	unlock, err := p.h.lockFolder(ctx, p.h.uploads(), "another dlm is pushing")
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.checkCard(ctx); err != nil {
		return err
	}
	if err := p.open(ctx); err != nil {
		return err
	}
	if err := p.preupload(ctx); err != nil {
		return err
	}
	sent, err := p.h.sendLarge(ctx, p.r, p.files, p.progress)
	p.res.SentBytes = sent
	if err != nil {
		return p.explain(err)
	}
	return p.commit(ctx)
}

// look compares what the repository holds with what is to go there.
func (p *push) look(ctx context.Context) error {
	info, files, err := p.h.repository(ctx, p.r)
	var a *answerError
	if errors.As(err, &a) && (a.code == "RepoNotFound" || a.code == "RevisionNotFound") {
		if p.job.CreatePR {
			return fmt.Errorf("%w; a pull request needs a repository that is there", err)
		}
		if a.code == "RevisionNotFound" {
			// The branch will begin at main; whether it may is main's business.
			main := p.r
			main.Revision = defaultRevision
			if info, files, err = p.h.repository(ctx, main); err != nil {
				return err
			}
			if err := p.mayHold(info, files); err != nil {
				return err
			}
		}
		p.res.Created = a.code == "RepoNotFound"
		p.states(nil)
		return nil
	}
	if err != nil {
		return p.explain(err)
	}
	if err := p.mayHold(info, files); err != nil {
		return err
	}
	p.head, p.res.Unchanged = info.SHA, p.states(files)
	return nil
}

// mayHold refuses to publish by mistake, and to mix an adapter with what else a
// repository holds.
func (p *push) mayHold(info repoInfo, files []remote) error {
	if !info.Private && !p.job.Public && !p.job.CreatePR {
		return fmt.Errorf("%s is public, so everyone could read what is pushed: add --public if that is meant, or choose another name", p.r.Repo)
	}
	if info.Private && p.job.Public {
		p.h.note(fmt.Sprintf("%s stays private; a person can change that at %s/settings", p.r.Repo, p.res.URL))
	}
	p.res.Private = info.Private
	var other []string
	for _, f := range files {
		if f.path == adapterConfig {
			return nil
		}
		switch name := strings.ToUpper(f.path); {
		case f.path == ".gitattributes", strings.HasPrefix(name, "README"), strings.HasPrefix(name, "LICENSE"):
		default:
			other = append(other, f.path)
		}
	}
	if len(other) > 0 && !p.job.Force {
		return fmt.Errorf("the name %s is taken by something that is no adapter (%s); choose another name, or add --force to put the adapter beside it", p.r.Repo, strings.Join(other[:min(4, len(other))], ", "))
	}
	return nil
}

// states fills in the result's files and says whether all are there already.
func (p *push) states(there []remote) (unchanged bool) {
	unchanged = true
	for _, f := range p.files {
		state := "new"
		for _, t := range there {
			if t.path != f.path {
				continue
			}
			state = "changed"
			if t.sha256 != "" && t.sha256 == f.sha256 || t.sha256 == "" && t.blob == f.blob {
				state = "same"
			}
		}
		f.same = state == "same"
		unchanged = unchanged && f.same
		p.res.Files = append(p.res.Files, dlm.PushedFile{Path: f.path, Size: f.size, State: state, Digest: dlm.Digest("sha256:" + f.sha256)})
	}
	return unchanged
}

// checkCard lets the Hub judge the model card before anything is uploaded.
func (p *push) checkCard(ctx context.Context) error {
	i := slices.IndexFunc(p.files, func(f *outgoing) bool { return f.path == "README.md" && !f.same })
	if i < 0 {
		return nil
	}
	card, err := p.files[i].bytes()
	if err != nil {
		return err
	}
	err = p.h.post(ctx, p.r, posting{url: p.h.opt.Endpoint + "/api/validate-yaml", body: encode(map[string]string{"repoType": "model", "content": string(card)})})
	var a *answerError
	if errors.As(err, &a) && a.status == http.StatusBadRequest {
		return fmt.Errorf("the Hub does not take the model card%s; mend card: in dlm.yaml, or give another card with --card FILE", colon(a.said))
	}
	if errors.As(err, &a) && a.status == http.StatusNotFound {
		return nil // a mirror that does not look at cards
	}
	return p.explain(err)
}

// open makes the repository and the branch where they are not there.
func (p *push) open(ctx context.Context) error {
	if p.res.Created {
		if err := p.create(ctx); err != nil {
			return err
		}
	}
	if p.head != "" {
		return nil
	}
	info, err := p.h.about(ctx, p.r)
	var a *answerError
	if errors.As(err, &a) && a.code == "RevisionNotFound" {
		u := p.h.opt.Endpoint + "/api/models/" + p.r.Repo + "/branch/" + url.PathEscape(p.r.Revision)
		if err := p.h.post(ctx, p.r, posting{url: u, body: []byte("{}")}); err != nil {
			return p.explain(err)
		}
		info, err = p.h.about(ctx, p.r)
	}
	if err != nil {
		return p.explain(err)
	}
	if p.res.Created && !p.job.Public && !info.Private {
		return fmt.Errorf("the Hub made %s public although it was asked for a private repository, so nothing was uploaded; make it private at %s/settings and push again", p.r.Repo, p.res.URL)
	}
	p.head = info.SHA
	return nil
}

// create makes the repository. That it is there by now is no error, unless the
// name belongs to something that cannot be shown.
func (p *push) create(ctx context.Context) error {
	owner, name, _ := strings.Cut(p.r.Repo, "/")
	visibility := "private"
	if p.job.Public {
		visibility = "public"
	}
	body := map[string]any{"name": name, "organization": owner, "type": "model", "visibility": visibility} //nolint:misspell // the Hub's word
	err := p.h.post(ctx, p.r, posting{url: p.h.opt.Endpoint + "/api/repos/create", body: encode(body)})
	var a *answerError
	if !errors.As(err, &a) || a.status != http.StatusConflict {
		return p.explain(err)
	}
	p.res.Created = false
	info, files, infoErr := p.h.repository(ctx, Ref{Text: p.r.Text, Repo: p.r.Repo, Revision: defaultRevision})
	if infoErr != nil {
		return fmt.Errorf("the name %s is taken, and not by a repository that an adapter can go into%s; choose another name", p.r.Repo, colon(a.said))
	}
	return p.mayHold(info, files)
}
