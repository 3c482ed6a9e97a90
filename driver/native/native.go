package native

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"

	"dlm"
	"dlm/engine/chat"
	"dlm/engine/infer"
	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/tokenizer"
	"dlm/engine/weights"
)

var (
	_ dlm.Generator = (*Native)(nil)
	_ dlm.Scorer    = (*Native)(nil)
	_ dlm.Encoder   = (*Native)(nil)
	_ dlm.Trainer   = (*Native)(nil)
)

// Options choose how a base is run. The zero value is bf16 with all cores and
// the best kernels.
type Options struct {
	Precision    string // "bf16" (weights at their stored width) or "f32" (for comparisons); "" = bf16
	Quantize     string // "nf4": a base of 16 or 32 bits is quantised as it is loaded, as QLoRA does; "" or "none": as it is
	Threads      int    // 0 = as many as this process may use
	Kernels      string // name of a kernel set; "" = the best, or what DLM_KERNELS says
	MaxTokens    int    // rows of a pass; 0 = 512
	PrefillChunk int    // tokens of one prompt in a pass; 0 = MaxTokens
	MaxSequences int    // run at once; 0 = 32
	CacheBytes   int64  // of the key-value cache; 0 = what the sequences need, at most 1 GiB
	ProbePlan    bool   // Plan measures the speed of a step
	Code         string // version of dlm, recorded in checkpoints and adapters
}

// Native is one base in memory. Its methods may be called from several
// goroutines; calls that compute run one after another.
type Native struct {
	o        Options
	path     string
	file     string // hash of the base as its files have it
	x        *kernel.Exec
	m        *model.Model
	tok      *tokenizer.Tokenizer
	tmpl     *chat.Template // nil: the base has none, only plain text works
	id       lora.BaseIdentity
	mu       sync.Mutex // held while something computes
	engine   *infer.Engine
	adapters map[string]*loaded // by absolute path
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
	n := &Native{o: o, path: path, adapters: map[string]*loaded{}}
	if err := n.readText(ck); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if n.file, err = ck.Hash(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if quantize {
		if err := ck.QuantizeNF4(); err != nil {
			return nil, err
		}
	}
	n.id.BaseHash = string(Quantized(dlm.Digest(n.file), o.Quantize))
	n.id.BaseName = ck.Config.Name
	if n.id.BaseName == "" {
		n.id.BaseName = strings.TrimSuffix(filepath.Base(path), ".gguf")
	}
	if n.x, err = newExec(o); err != nil {
		return nil, err
	}
	if n.m, err = model.Load(ck, n.x, mode); err != nil {
		n.x.Close()
		return nil, err
	}
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

// readText makes the tokenizer and the chat template, and their part of the
// base's identity.
func (n *Native) readText(ck *weights.Checkpoint) error {
	v, err := ck.Vocab()
	if err != nil {
		return err
	}
	if g := v.GGUF; g != nil {
		n.tok, err = tokenizer.New(tokenizer.Vocab{
			Tokens: g.Tokens, Types: g.Types, Merges: g.Merges, Pre: g.Pre,
			BOS: g.BOS, EOS: g.EOS, Pad: g.Pad, Unknown: g.Unknown, AddBOS: g.AddBOS,
		})
	} else {
		n.tok, err = tokenizer.FromJSON(v.TokenizerJSON, v.TokenizerConfig)
	}
	if err != nil {
		return err
	}
	if n.tok.Size() > ck.Config.Vocab {
		return fmt.Errorf("the tokenizer has %d ids, the weights only %d; they do not belong together", n.tok.Size(), ck.Config.Vocab)
	}
	n.id.TokenizerHash = n.tok.Hash()
	if eos := n.tok.EOS(); eos >= 0 {
		n.id.StopIDs = []int32{eos}
	}
	if ck.ChatTemplate() == "" {
		return nil
	}
	n.tmpl, err = chat.New(ck.ChatTemplate(), n.tok, map[string]string{
		"bos_token": n.text(n.tok.BOS()), "eos_token": n.text(n.tok.EOS()), "pad_token": n.text(n.tok.Pad()),
	})
	if err != nil {
		return fmt.Errorf("chat template: %w", err)
	}
	n.id.TemplateHash, n.id.StopIDs = n.tmpl.Hash(), n.tmpl.StopIDs()
	return nil
}

// text returns a token as it is written, "" for none.
func (n *Native) text(id int32) string {
	if id < 0 {
		return ""
	}
	return string(n.tok.Piece(id))
}

// Close stops the workers. The Native must not be used afterwards.
func (n *Native) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.x.Close()
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
		MaxTokens: n.o.MaxTokens, PrefillChunk: n.o.PrefillChunk, MaxSequences: n.o.MaxSequences, CacheBytes: n.o.CacheBytes,
	})
	return n.engine, err
}

// errNoTemplate is what a conversation gets from a base without a chat template.
var errNoTemplate = errors.New("the base has no chat template, so it cannot be sent messages; send plain text, or choose an instruct base")
