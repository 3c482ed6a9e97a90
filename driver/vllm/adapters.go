package vllm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"dlm"
)

// The files that make an adapter.
const (
	configFile  = "adapter_config.json"
	weightsFile = "adapter_model.safetensors"
)

// served is an adapter that vLLM holds and that answered as itself.
type served struct {
	name  string // made from the content, so that a changed folder is another adapter
	path  string // that vLLM reads it from
	stamp [2]stamp
}

// stamp tells a file that was written anew.
type stamp struct {
	size int64
	time time.Time
}

// modelOf returns the name by which vLLM serves the adapter in dir, the base's for
// "". A folder is loaded when it is first asked for, and again when it changed.
func (e *Engine) modelOf(ctx context.Context, dir string) (string, error) {
	if dir == "" {
		return e.model, nil
	}
	path, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now, err := stamps(path)
	if err != nil {
		return "", err
	}
	if s := e.adapters[path]; s != nil {
		if s.stamp == now {
			return s.name, nil
		}
		if err := e.unload(ctx, path); err != nil {
			return "", err
		}
	}
	s, err := e.load(ctx, path)
	if err != nil {
		return "", e.failed(ctx, err)
	}
	s.stamp = now
	e.adapters[path] = s
	return s.name, nil
}

func stamps(dir string) (s [2]stamp, err error) {
	for i, f := range []string{configFile, weightsFile} {
		info, err := os.Stat(filepath.Join(dir, f))
		if errors.Is(err, fs.ErrNotExist) {
			return s, dlm.Faultf(dlm.FaultUnknown, "model", "adapter %s has no %s; expected a PEFT folder", dir, f)
		}
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.Size(), info.ModTime()}
	}
	return s, nil
}

// load hands a folder to vLLM and asks the adapter who it is. One that does not
// answer as itself is unloaded again.
func (e *Engine) load(ctx context.Context, dir string) (*served, error) {
	if err := e.checkRank(dir); err != nil {
		return nil, err
	}
	probe, err := e.probe(ctx, dir)
	if err != nil {
		return nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	s := &served{path: dir}
	if s.name, err = contentName(dir); err != nil {
		return nil, err
	}
	if e.child != nil { // what a child reads, now and when it makes room, must not change
		if s.path, err = e.child.keep(dir, s.name); err != nil {
			return nil, err
		}
	}
	body := map[string]string{"lora_name": s.name, "lora_path": s.path}
	switch err := e.call(ctx, http.MethodPost, "/v1/load_lora_adapter", body, nil); {
	case err == nil, isLoaded(err):
	default:
		return nil, fmt.Errorf("adapter %s: %w%s", dir, err, e.loadHint(err))
	}
	if err := e.checkAdapter(ctx, s.name, dir, probe); err != nil {
		_ = e.call(ctx, http.MethodPost, "/v1/unload_lora_adapter", map[string]string{"lora_name": s.name}, nil)
		return nil, err
	}
	return s, nil
}

// isLoaded says that vLLM holds an adapter of this name: of this content, then.
func isLoaded(err error) bool {
	var a *apiError
	return errors.As(err, &a) && a.Status == http.StatusBadRequest && strings.Contains(a.Message, "already been loaded")
}

// loadHint says what to do about a refusal.
func (e *Engine) loadHint(err error) string {
	var a *apiError
	switch {
	case !errors.As(err, &a) || e.child != nil:
		return ""
	case a.Status == http.StatusNotFound && !strings.Contains(strings.ToLower(a.Message), "adapter"):
		return "; start that vLLM with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"
	}
	return "; that vLLM must see the folder under the same path, and its --max-lora-rank must hold the adapter"
}

// unload takes an adapter out. One that vLLM no longer knows is no failure.
func (e *Engine) unload(ctx context.Context, path string) error {
	s := e.adapters[path]
	delete(e.adapters, path)
	err := e.call(ctx, http.MethodPost, "/v1/unload_lora_adapter", map[string]string{"lora_name": s.name}, nil)
	var a *apiError
	if errors.As(err, &a) && a.Status == http.StatusNotFound {
		return nil
	}
	return err
}

// Unload takes the adapter in dir out of vLLM. It is loaded again when it is next
// asked for.
func (e *Engine) Unload(ctx context.Context, dir string) error {
	path, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.adapters[path] == nil {
		return nil
	}
	return e.failed(ctx, e.unload(ctx, path))
}

// checkRank refuses an adapter that is too large for how the child was started.
func (e *Engine) checkRank(dir string) error {
	rank, err := Rank(dir)
	if err != nil {
		return err
	}
	most, err := maxRank(rank)
	if err != nil {
		return fmt.Errorf("adapter %s: %w", dir, err)
	}
	if e.child != nil && most > e.child.rank {
		return fmt.Errorf("adapter %s has rank %d, and this vLLM was started for ranks up to %d; start it anew with this adapter named", dir, rank, e.child.rank)
	}
	return nil
}

// Rank reads the largest rank of an adapter's projections from its folder.
func Rank(dir string) (int, error) {
	path := filepath.Join(dir, configFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var c struct {
		R       int            `json:"r"`
		Pattern map[string]int `json:"rank_pattern"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return 0, fmt.Errorf("%s: %w", path, err)
	}
	for _, r := range c.Pattern {
		c.R = max(c.R, r)
	}
	if c.R < 1 {
		return 0, fmt.Errorf("%s: r is %d; expected a rank of 1 or more", path, c.R)
	}
	return c.R, nil
}

// contentName names an adapter by a hash of its configuration and weights.
func contentName(dir string) (string, error) {
	h := sha256.New()
	for _, name := range []string{configFile, weightsFile} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		n, err := io.Copy(h, f)
		f.Close()
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "|%d|", n)
	}
	return "dlm-" + hex.EncodeToString(h.Sum(nil))[:24], nil
}

// probe is what the adapter in dir should answer: its folder says so, or
// Options.Probe computes it.
func (e *Engine) probe(ctx context.Context, dir string) (dlm.Probe, error) {
	path := filepath.Join(dir, dlm.ProbeFile)
	raw, err := os.ReadFile(path)
	switch {
	case err == nil:
		p, err := dlm.ParseProbe(raw)
		if err == nil && len(p.Adapter) == 0 {
			err = errors.New("it is a probe of the base")
		}
		if err != nil {
			return p, fmt.Errorf("%s: %w; remove the file to have it computed anew", path, err)
		}
		return p, nil
	case !errors.Is(err, fs.ErrNotExist):
		return dlm.Probe{}, err
	case e.o.Probe == nil:
		return dlm.Probe{}, fmt.Errorf("it has no %s, so that nothing says whether vLLM answers as the adapter or as its base; import it with \"dlm adapters import\"", dlm.ProbeFile)
	}
	return e.o.Probe(ctx, dir)
}
