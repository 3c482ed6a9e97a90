package native

import (
	"cmp"
	"fmt"
	"strings"
	"sync"
	"time"

	"dlm"
	"dlm/engine/infer"
	"dlm/engine/kernel"
	"dlm/engine/model"
	"dlm/engine/weights"
)

var (
	_ dlm.Generator = (*Native)(nil)
	_ dlm.Scorer    = (*Native)(nil)
	_ dlm.Encoder   = (*Native)(nil)
	_ dlm.Codec     = (*Native)(nil)
	_ dlm.Codec     = (*Text)(nil)
	_ dlm.Trainer   = (*Native)(nil)

	_ dlm.AdapterHost   = (*Native)(nil)
	_ dlm.StatsReporter = (*Native)(nil)
)

// Options choose how a base is run. The zero value is bf16 with all cores and
// the best kernels.
type Options struct {
	Precision    string        // "bf16" (weights at their stored width) or "f32" (for comparisons); "" = bf16
	Quantize     string        // "nf4": a base of 16 or 32 bits is quantised as it is loaded, as QLoRA does; "" or "none": as it is
	Threads      int           // 0 = as many as this process may use
	Kernels      string        // name of a kernel set; "" = the best, or what DLM_KERNELS says
	MaxTokens    int           // rows of a pass; 0 = 512
	PrefillChunk int           // tokens of one prompt in a pass; 0 = MaxTokens
	MaxSequences int           // run at once; 0 = 32
	CacheBytes   int64         // of the key-value cache; 0 = what the sequences need, at most 1 GiB
	AdapterBytes int64         // of adapters in memory, as far as they are not in use or pinned; 0 = 1 GiB
	OwnPrefixes  bool          // what prompts begin with alike is computed once a tenant, not once for all
	MaxQueue     int           // sequences that may wait for a place; more are refused; 0 = any number
	Draft        int           // tokens that may be guessed ahead, where it pays, and verified in one step; 0 = none; changes no answer
	MaxITL       time.Duration // that a step may take while somebody waits for the next token, as far as prompts can wait; 0 = no matter
	ProbePlan    bool          // Plan measures the speed of a step
	Code         string        // version of dlm, recorded in checkpoints and adapters
}

// Native is one base in memory. Its methods may be called from several
// goroutines: completions and scorings of all calls share steps, and whatever else
// computes (training, merging) runs between two steps, one at a time.
type Native struct {
	*Text
	o     Options
	x     *kernel.Exec
	side  *kernel.Exec // one worker, for what goes on beside the steps
	m     *model.Model
	shelf *shelf

	mu      sync.Mutex // held while something computes, a step of the loop too
	engine  *infer.Engine
	budget  *infer.Budget // of rows of prompts in the engine's steps
	live    []live        // sequences that the loop steps for
	looping bool
	closed  bool
}

// OpenPulled loads a base that a hub brought, and refuses a file that is not
// the one that was pulled.
func OpenPulled(p dlm.PulledModel, o Options) (*Native, error) {
	n, err := Open(p.Path, o)
	if err != nil {
		return nil, err
	}
	if p.Digest != "" && strings.HasSuffix(p.Path, ".gguf") && n.Digest() != Quantized(p.Digest, o.Quantize) {
		n.Close()
		return nil, fmt.Errorf("%s has sha256 %s, but %s was pulled with %s: the file was changed; remove it and pull again",
			p.Path, n.file, p.Ref, p.Digest)
	}
	return n, nil
}

// Open loads the base at path: a GGUF file or a folder with safetensors.
func Open(path string, o Options) (*Native, error) {
	mode, err := parsePrecision(o.Precision)
	if err != nil {
		return nil, err
	}
	quantize, err := parseQuantize(o.Quantize)
	if err != nil {
		return nil, err
	}
	ck, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	defer ck.Close()
	n := &Native{o: o}
	if n.Text, err = textOf(ck, path, o.Quantize); err != nil {
		return nil, err
	}
	if quantize {
		if err := ck.QuantizeNF4(); err != nil {
			return nil, err
		}
	}
	if n.x, err = newExec(o); err != nil {
		return nil, err
	}
	beside := o
	beside.Threads = 1
	if n.side, err = newExec(beside); err != nil {
		n.x.Close()
		return nil, err
	}
	if n.m, err = model.Load(ck, n.x, mode); err != nil {
		n.x.Close()
		n.side.Close()
		return nil, err
	}
	n.shelf = &shelf{budget: cmp.Or(o.AdapterBytes, 1<<30), held: map[string]*held{}, load: n.readServed}
	return n, nil
}

func parsePrecision(s string) (kernel.Mode, error) {
	switch s {
	case "", "bf16":
		return kernel.BF16, nil
	case "f32":
		return kernel.F32, nil
	}
	return 0, fmt.Errorf("precision %q: expected bf16 or f32", s)
}

func parseQuantize(s string) (nf4 bool, err error) {
	switch s {
	case "", "none":
		return false, nil
	case "nf4":
		return true, nil
	}
	return false, fmt.Errorf("quantize %q: expected none or nf4", s)
}

// Quantized names the base that one of digest d becomes when it is quantised as it
// is loaded: an adapter that was trained on one is not for the other.
func Quantized(d dlm.Digest, quantize string) dlm.Digest {
	if nf4, err := parseQuantize(quantize); err == nil && nf4 {
		return dlm.Digest(weights.NF4Hash(string(d)))
	}
	return d
}

func newExec(o Options) (*kernel.Exec, error) {
	if o.Kernels != "" {
		return kernel.NewWith(o.Kernels, o.Threads)
	}
	return kernel.New(o.Threads)
}

// Close stops the workers; what is under way ends with an error. The Native must
// not be used afterwards.
func (n *Native) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return nil
	}
	n.closed = true
	n.fail(errClosed)
	n.x.Close()
	n.side.Close()
	return nil
}

// infer returns the inference engine, which is made when it is first needed:
// training alone needs no cache.
func (n *Native) infer() (*infer.Engine, error) {
	if n.engine != nil {
		return n.engine, nil
	}
	var err error
	n.engine, err = infer.New(n.m, n.tok, infer.Options{
		MaxTokens: n.o.MaxTokens, PrefillChunk: n.o.PrefillChunk, MaxSequences: n.o.MaxSequences, CacheBytes: n.o.CacheBytes, OwnPrefixes: n.o.OwnPrefixes,
	})
	n.budget = infer.NewBudget(n.o.MaxITL, cmp.Or(n.o.MaxTokens, infer.DefaultTokens))
	return n.engine, err
}
