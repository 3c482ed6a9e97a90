package hub

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"dlm"
)

// ErrAdapter is wrapped by Pull's error when a reference names an adapter:
// PullAdapter takes it.
var ErrAdapter = errors.New("an adapter, not a base")

const (
	adapterConfig  = "adapter_config.json"
	adapterWeights = "adapter_model.safetensors"
)

// adapterFiles are the files of a PEFT folder that are pulled where they are
// there; the first two are required.
var adapterFiles = []string{
	adapterConfig, adapterWeights, "dlm_adapter.json", "dlm_lineage.json", "README.md",
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
}

// isAdapter says whether a repository is a PEFT folder: it has an adapter's
// configuration and no weights of a base.
func isAdapter(files []remote) bool {
	has := func(name string) bool {
		return slices.ContainsFunc(files, func(f remote) bool { return f.path == name })
	}
	return has(adapterConfig) && !has(oneFile) && !has(indexFile)
}

// PullAdapter brings the adapter hf:owner/name[@revision] to this machine. The
// Hub is asked each time which commit a branch is at; where it cannot be reached,
// what was pulled before is used, and Note says so.
func (h *Hub) PullAdapter(ctx context.Context, ref string, progress dlm.PullProgress) (dlm.PulledAdapter, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	r, err := ParseRef(ref)
	if err != nil {
		return dlm.PulledAdapter{}, err
	}
	if r.Repo == "" || r.File != "" {
		return dlm.PulledAdapter{}, fmt.Errorf("%q: expected hf:owner/name[@revision] of an adapter", ref)
	}
	unlock, err := h.lock(ctx, r)
	if err != nil {
		return dlm.PulledAdapter{}, err
	}
	defer unlock()
	sha, files, err := h.askAdapter(ctx, r)
	if err != nil {
		m, old := h.recall(r, true)
		if !old || !unreachable(err) {
			return dlm.PulledAdapter{}, fmt.Errorf("pull %s: %w", ref, err)
		}
		if !hex40.MatchString(r.Revision) {
			h.note(fmt.Sprintf("%v; using what was pulled before", err))
		}
		return pulledAdapter(r, m, filepath.Base(m.Path)), nil
	}
	dir := filepath.Join(h.cache, repoFolder(r.Repo), sha)
	got, err := h.fetchAll(ctx, r, sha, files, adapterNames(files), dir, progress)
	if err != nil {
		return dlm.PulledAdapter{}, fmt.Errorf("pull %s: %w", ref, err)
	}
	m := dlm.PulledModel{Ref: r.Text, Path: dir, Source: fmt.Sprintf("Hub %s, %s at commit %s", h.opt.Endpoint, r.Repo, sha[:12])}
	i := slices.IndexFunc(got, func(f remote) bool { return f.path == adapterWeights })
	if m.Digest, err = fileDigest(filepath.Join(dir, adapterWeights), got[i]); err != nil {
		return dlm.PulledAdapter{}, err
	}
	return pulledAdapter(r, m, sha), h.remember(r, m, true)
}

func pulledAdapter(r Ref, m dlm.PulledModel, sha string) dlm.PulledAdapter {
	return dlm.PulledAdapter{Ref: r.Text, Repo: r.Repo, Commit: sha, Source: m.Source, Path: m.Path, Digest: m.Digest}
}

// unreachable says whether the Hub gave no answer of its own about a repository.
func unreachable(err error) bool {
	var a *answerError
	if errors.As(err, &a) {
		return a.temporary()
	}
	return outOfReach(err)
}

// askAdapter asks for the files of a repository and refuses what is no adapter
// that can be used.
func (h *Hub) askAdapter(ctx context.Context, r Ref) (string, []remote, error) {
	if h.opt.Offline {
		return "", nil, errOffline
	}
	sha, files, err := h.resolve(ctx, r)
	if err != nil {
		return "", nil, err
	}
	if !isAdapter(files) {
		return "", nil, fmt.Errorf("%s at %s is no adapter: expected %s and %s at its top%s", r.Repo, r.Revision, adapterConfig, adapterWeights, elsewhere(files))
	}
	if !slices.ContainsFunc(files, func(f remote) bool { return f.path == adapterWeights }) {
		return "", nil, fmt.Errorf("%s at %s has no %s; an adapter_model.bin is a pickle, which can run code and is not read: save it again with PEFT's safe_serialization=True", r.Repo, r.Revision, adapterWeights)
	}
	return sha, files, nil
}

// elsewhere names the folders of a repository in which adapters lie.
func elsewhere(files []remote) string {
	var dirs []string
	for _, f := range files {
		if d, ok := strings.CutSuffix(f.path, "/"+adapterConfig); ok {
			dirs = append(dirs, d)
		}
	}
	if len(dirs) == 0 {
		return ""
	}
	return fmt.Sprintf("; there are some in its folders %s: download one and bind it with dlm adapters import", strings.Join(dirs[:min(5, len(dirs))], ", "))
}

func adapterNames(files []remote) (names []string) {
	for _, n := range adapterFiles {
		if slices.ContainsFunc(files, func(f remote) bool { return f.path == n }) {
			names = append(names, n)
		}
	}
	return names
}

// Origin is where on the Hub a base comes from, read from the reference it was
// asked for and PulledModel.Source: the repository, and the commit where it is
// known. Both are empty for a base that is on no Hub.
func Origin(ref, source string) (repo, commit string) {
	r, err := ParseRef(ref)
	if err != nil {
		return "", ""
	}
	repo = r.Repo
	if r.Named != nil {
		repo = r.Named.repo
		if repo == "" && r.Named.pip != nil {
			repo = r.Named.pip.of
		}
	}
	if _, rest, ok := strings.Cut(source, repo+" at commit "); ok && repo != "" {
		commit, _, _ = strings.Cut(rest, ",")
	}
	return repo, commit
}
