package hub

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"dlm"
)

// wanted are the small files of a safetensors repository that a base needs; the
// first one is required.
var wanted = []string{
	"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
	"special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json",
}

const (
	oneFile   = "model.safetensors"
	indexFile = "model.safetensors.index.json"
)

// pullRepoOnce is pullRepo that gives up at once where the Hub does not answer
// the first request, for callers with a second source.
func (h *Hub) pullRepoOnce(ctx context.Context, r Ref, progress dlm.PullProgress) (dlm.PulledModel, error) {
	if h.opt.Offline {
		return dlm.PulledModel{}, errOffline
	}
	sha, files, err := h.resolve(context.WithValue(ctx, onceKey{}, true), r)
	if err != nil {
		return dlm.PulledModel{}, err
	}
	return h.pullFiles(ctx, r, sha, files, progress)
}

// pullRepo pulls a repository, or one GGUF file of it, at a pinned commit.
func (h *Hub) pullRepo(ctx context.Context, r Ref, progress dlm.PullProgress) (dlm.PulledModel, error) {
	if h.opt.Offline {
		return dlm.PulledModel{}, fmt.Errorf("%w, and %s was not pulled before; unset it or give a path", errOffline, r.Text)
	}
	sha, files, err := h.resolve(ctx, r)
	if err != nil {
		return dlm.PulledModel{}, err
	}
	return h.pullFiles(ctx, r, sha, files, progress)
}

// pullFiles downloads what is needed into a folder of this commit.
func (h *Hub) pullFiles(ctx context.Context, r Ref, sha string, files []remote, progress dlm.PullProgress) (dlm.PulledModel, error) {
	m := dlm.PulledModel{Ref: r.Text, Source: fmt.Sprintf("Hub %s, %s at commit %s", h.opt.Endpoint, r.Repo, sha[:12])}
	dir := filepath.Join(h.cache, repoFolder(r.Repo), sha)
	get := func(names []string) ([]remote, error) { return h.fetchAll(ctx, r, sha, files, names, dir, progress) }
	if r.File != "" {
		got, err := get([]string{r.File})
		if err != nil {
			return m, err
		}
		m.Path = filepath.Join(dir, filepath.FromSlash(r.File))
		m.Source += ", " + r.File
		m.Digest, err = fileDigest(m.Path, got[0])
		return m, err
	}
	if isAdapter(files) {
		return m, fmt.Errorf("%s is %w", r.Repo, ErrAdapter)
	}
	small, err := h.smallFiles(r, files)
	if err != nil {
		return m, err
	}
	if _, err := get(small); err != nil {
		return m, err
	}
	weights := []string{oneFile}
	if slices.Contains(small, indexFile) {
		if weights, err = shardsOf(filepath.Join(dir, indexFile)); err != nil {
			return m, err
		}
	}
	if _, err := get(weights); err != nil {
		return m, err
	}
	m.Path = dir
	d, err := folderDigest(dir, weights)
	m.Digest = d
	return m, err
}

// smallFiles chooses the files that come before the weights.
func (h *Hub) smallFiles(r Ref, files []remote) ([]string, error) {
	there := map[string]bool{}
	var ggufs []string
	for _, f := range files {
		there[f.path] = true
		if strings.HasSuffix(f.path, ".gguf") {
			ggufs = append(ggufs, f.path)
		}
	}
	var small []string
	for _, w := range wanted {
		if there[w] {
			small = append(small, w)
		}
	}
	switch {
	case there[oneFile] && there["config.json"]:
		return small, nil
	case there[indexFile] && there["config.json"]:
		return append(small, indexFile), nil
	case len(ggufs) > 0:
		slices.Sort(ggufs)
		return nil, fmt.Errorf("%s has GGUF files but no %s; name one of them: hf:%s:%s", r.Repo, oneFile, r.Repo, strings.Join(ggufs[:min(5, len(ggufs))], ", :"))
	}
	return nil, fmt.Errorf("%s at %s holds no base that can be used: expected config.json and %s (or its shards with %s)", r.Repo, r.Revision, oneFile, indexFile)
}

// fetchAll downloads files in turn and returns them with their hashes.
func (h *Hub) fetchAll(ctx context.Context, r Ref, sha string, files []remote, names []string, dir string, progress dlm.PullProgress) ([]remote, error) {
	var list []remote
	var need int64
	for _, n := range names {
		i := slices.IndexFunc(files, func(f remote) bool { return f.path == n })
		if i < 0 {
			return nil, fmt.Errorf("%s at %s has no file %s", r.Repo, r.Revision, n)
		}
		f := files[i]
		if err := h.stat(ctx, r, sha, &f); err != nil {
			return nil, err
		}
		need += missing(filepath.Join(dir, filepath.FromSlash(n)), f.size)
		list = append(list, f)
	}
	if err := checkSpace(dir, need); err != nil {
		return nil, err
	}
	for _, f := range list {
		if err := h.fetch(ctx, r, sha, f, filepath.Join(dir, filepath.FromSlash(f.path)), progress); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// missing returns the bytes that are still to come for a file.
func missing(dest string, size int64) int64 {
	if st, err := os.Stat(dest); err == nil && st.Size() == size {
		return 0
	}
	if st, err := os.Stat(dest + ".part"); err == nil && st.Size() <= size {
		return size - st.Size()
	}
	return size
}

// shardsOf reads the shard names of an index.
func shardsOf(path string) ([]string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var idx struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &idx); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var shards []string
	for tensor, f := range idx.WeightMap {
		if !safePath(f) || strings.Contains(f, "/") || !strings.HasSuffix(f, ".safetensors") {
			return nil, fmt.Errorf("%s: %s: %q is not the name of a safetensors file in this folder", path, tensor, f)
		}
		if !slices.Contains(shards, f) {
			shards = append(shards, f)
		}
	}
	if len(shards) == 0 {
		return nil, fmt.Errorf("%s: weight_map is empty", path)
	}
	slices.Sort(shards)
	return shards, nil
}

func repoFolder(repo string) string { return "hf--" + strings.ReplaceAll(repo, "/", "--") }
