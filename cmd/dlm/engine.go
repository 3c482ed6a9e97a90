package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/vllm"
	"dlm/lifecycle"
	"dlm/stage/evals"
)

// answerer answers prompts and scores completions.
type answerer interface {
	dlm.Generator
	dlm.Scorer
}

// servesElsewhere says whether another engine than the native one answers.
func (l *pipeline) servesElsewhere() bool { return l.p.Engine == lifecycle.EngineVLLM }

// engineParams adds the engine to the settings that decide what an arm answers.
// The native engine adds nothing: it was there first.
func (l *pipeline) engineParams(ps map[string]string) {
	if !l.servesElsewhere() {
		return
	}
	ps["engine"] = l.p.Engine
	if l.p.VLLM.DType != "" {
		ps["vllm_dtype"] = l.p.VLLM.DType
	}
	if l.p.VLLM.MaxModelLen > 0 {
		ps["vllm_max_model_len"] = strconv.Itoa(l.p.VLLM.MaxModelLen)
	}
	if len(l.p.VLLM.Args) > 0 {
		args, _ := json.Marshal(l.p.VLLM.Args) // strings always encode
		ps["vllm_args"] = string(args)
	}
}

// answering is the engine that dlm.yaml names, ready for the adapters of these
// arms, and its name for the report: none for the native one.
func (l *pipeline) answering(ctx context.Context, arms []evals.Arm) (answerer, string, error) {
	if !l.servesElsewhere() {
		n, err := l.native()
		return n, "", err
	}
	var dirs []string
	for _, arm := range arms {
		if arm.Dir != "" {
			dirs = append(dirs, arm.Dir)
		}
	}
	rank, known, err := l.adapterSizes(ctx, dirs)
	if err != nil {
		return nil, "", err
	}
	if l.served == nil {
		s := serving{
			spec: l.p.VLLM, pulled: l.pulled, quantize: l.p.Quantize, precision: l.p.Train.Precision,
			python: l.p.Path, dir: filepath.Join(l.p.State(), "vllm"), rank: rank, known: known, engine: l.native,
		}
		if l.served, err = l.a.openVLLM(ctx, s); err != nil {
			return nil, "", err
		}
	}
	return l.served, engineName(l.served, l.p.VLLM.DType), nil
}

// stopServing ends a vLLM that this run started; it is started again when asked.
func (l *pipeline) stopServing() error {
	if l.served == nil {
		return nil
	}
	err := l.served.Close()
	l.served = nil
	return err
}

func engineName(e *vllm.Engine, dtype string) string {
	name := "vllm " + e.Version()
	if dtype != "" {
		name += " " + dtype
	}
	return name
}

// adapterSizes are the largest rank among the adapters that vLLM may be asked
// for, and their number: those named, the project's own and the registry's.
func (l *pipeline) adapterSizes(ctx context.Context, dirs []string) (rank, known int, err error) {
	rank = l.p.Train.Rank
	for _, p := range l.p.Train.RankPattern {
		rank = max(rank, int(p.Value))
	}
	for _, dir := range dirs {
		r, err := vllm.Rank(dir)
		if err != nil {
			return 0, 0, err
		}
		rank = max(rank, r)
	}
	adapters, err := l.store.Artifacts(ctx, dlm.KindAdapter)
	if err != nil {
		return 0, 0, err
	}
	for _, a := range adapters {
		if r, err := strconv.Atoi(a.Params["rank"]); err == nil {
			rank = max(rank, r)
		}
	}
	return rank, len(adapters), nil
}

// serving is what a vLLM is opened with.
type serving struct {
	spec                lifecycle.VLLMSpec
	pulled              dlm.PulledModel
	quantize, precision string
	python              func(string) string // makes a path of the project file absolute; nil outside of a project
	dir                 string              // working folder
	rank, known         int                 // of the adapters that it may be asked for
	engine              func() (*native.Native, error)
}

// mostLoras is how many adapters share a batch at most: each place takes memory
// of the largest rank's size.
const mostLoras = 8

// openVLLM starts a vLLM or connects to one, for the command's life at most.
func (a *app) openVLLM(ctx context.Context, s serving) (*vllm.Engine, error) {
	codec, err := native.OpenText(s.pulled.Path, s.quantize)
	if err != nil {
		return nil, err
	}
	o := vllm.Options{
		URL: s.spec.URL, Python: vllmPython(s.spec.Python, s.python), Args: s.spec.Args, Dir: s.dir,
		DType: s.spec.DType, MaxLen: s.spec.MaxModelLen, GPU: s.spec.GPUMemory, StartTimeout: time.Duration(s.spec.Start),
		Rank: s.rank, Loras: min(max(s.known, 1), mostLoras), Known: s.known,
		Codec: codec, Note: func(text string) { a.notef("%s", a.shorten(text)) },
		Probe: func(_ context.Context, dir string) (dlm.Probe, error) {
			if dir == "" {
				return a.baseProbe(codec.Digest(), s)
			}
			n, err := s.engine()
			if err != nil {
				return dlm.Probe{}, err
			}
			return n.Probe(dir)
		},
	}
	if s.spec.APIKeyEnv != "" {
		if o.APIKey = os.Getenv(s.spec.APIKeyEnv); o.APIKey == "" {
			return nil, usageError("vllm.api_key_env names %s, which is not set", s.spec.APIKeyEnv)
		}
	}
	if o.URL == "" && o.Python != "" {
		if o.Model, err = a.servedFolder(s); err != nil {
			return nil, err
		}
	}
	e, err := vllm.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	a.onClose(e.Close)
	return e, nil
}

// servedFolder is the base as vLLM loads it.
func (a *app) servedFolder(s serving) (string, error) {
	if info, err := os.Stat(s.pulled.Path); err == nil && info.IsDir() {
		return filepath.Abs(s.pulled.Path)
	}
	n, err := s.engine()
	if err != nil {
		return "", err
	}
	dtype := "bf16"
	if s.spec.DType == "float32" {
		dtype = "f32"
	}
	return a.hfFolder(n, dtype)
}

// vllmPython is the interpreter that has vLLM: the project's, or the environment
// variable's.
func vllmPython(configured string, abs func(string) string) string {
	if configured == "" {
		return os.Getenv("DLM_VLLM_PYTHON")
	}
	if abs != nil && filepath.Base(configured) != configured {
		return abs(configured)
	}
	return configured
}

// baseProbe is the base's probe. It is computed once a base and kept: a server on
// a GPU box should not need the base's weights here each time.
func (a *app) baseProbe(base dlm.Digest, s serving) (dlm.Probe, error) {
	root, err := cacheFolder()
	if err != nil {
		return dlm.Probe{}, err
	}
	path := filepath.Join(root, "probes", base.Hex()+"-"+s.precision+".json")
	raw, err := os.ReadFile(path)
	if err == nil {
		if p, err := dlm.ParseProbe(raw); err == nil {
			return p, nil
		} // else written by another version: computed anew
	} else if !errors.Is(err, fs.ErrNotExist) {
		return dlm.Probe{}, err
	}
	n, err := s.engine()
	if err != nil {
		return dlm.Probe{}, err
	}
	p, err := n.Probe("")
	if err != nil {
		return p, err
	}
	if raw, err = p.Marshal(); err != nil {
		return p, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return p, err
	}
	tmp := path + ".tmp" + strconv.Itoa(os.Getpid())
	if err := os.WriteFile(tmp, raw, 0o644); err != nil {
		return p, err
	}
	return p, os.Rename(tmp, path)
}

// openAnswerer is the engine that answers a command, and the adapter's folder.
func (f *askFlags) openAnswerer(a *app) (answerer, string, error) {
	var p *lifecycle.Project
	if found, err := a.project(nil); err == nil {
		p = found
	} else if !errors.Is(err, lifecycle.ErrNoProject) && f.Base == "" {
		return nil, "", err
	}
	engine := f.Engine
	if engine == "" && f.Base == "" && p != nil {
		engine = p.Engine
	}
	if engine != lifecycle.EngineVLLM {
		return f.open(a)
	}
	ref, quantize, err := a.quantizedRef(f.Base, f.Quantize)
	if err != nil {
		return nil, "", err
	}
	dir, err := a.adapterDir(f.Adapter)
	if err != nil {
		return nil, "", err
	}
	s := serving{quantize: quantize, precision: f.Precision}
	if s.pulled, err = a.pull(ref); err != nil {
		return nil, "", err
	}
	if dir != "" {
		if s.rank, err = vllm.Rank(dir); err != nil {
			return nil, "", err
		}
		s.known = 1
	}
	if p != nil {
		s.spec, s.python, s.dir = p.VLLM, p.Path, filepath.Join(p.State(), "vllm")
	} else {
		if s.dir, err = os.MkdirTemp("", "dlm-vllm-"); err != nil {
			return nil, "", err
		}
		a.onClose(func() error { return os.RemoveAll(s.dir) })
	}
	s.engine = sync.OnceValues(func() (*native.Native, error) {
		n, _, err := a.openQuantized(ref, f.Precision, quantize)
		return n, err
	})
	e, err := a.openVLLM(a.ctx, s)
	if err != nil {
		return nil, "", err
	}
	return e, dir, nil
}

// inspectVLLM looks at the vLLM that a project, or the environment, names; nil
// where neither does.
func (a *app) inspectVLLM(p *lifecycle.Project) *vllm.Found {
	var spec lifecycle.VLLMSpec
	var abs func(string) string
	if p != nil {
		spec, abs = p.VLLM, p.Path
	}
	o := vllm.Options{URL: spec.URL, Python: vllmPython(spec.Python, abs), APIKey: os.Getenv(spec.APIKeyEnv)}
	if o.URL == "" && o.Python == "" && (p == nil || p.Engine != lifecycle.EngineVLLM) {
		return nil
	}
	f := vllm.Inspect(a.ctx, o)
	return &f
}
