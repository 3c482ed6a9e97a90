package vllm

import (
	"context"
	"fmt"
	"strings"
	"time"

	"dlm"
)

// Options say which vLLM is asked and how. Codec is needed always; URL, or Python
// with Model and Dir.
type Options struct {
	URL    string // of a vLLM that runs, such as http://gpu-box:8000; empty: one is started
	APIKey string // that it wants; empty: none. A child gets one of its own

	Python string   // interpreter that has vLLM, for a child
	Model  string   // the base as a Hugging Face folder, for a child
	Dir    string   // working folder of a child: its log, the adapters that it reads
	Args   []string // further arguments of vLLM, after those made here, so that they win
	DType  string   // weights and activations: "bfloat16", "float32", ...; empty: as the folder says
	MaxLen int      // tokens of a sequence; 0: the base's context
	GPU    float64  // share of the GPU's memory that vLLM takes; 0: vLLM's default
	Rank   int      // largest rank among the adapters that will be asked; 0: 16
	Loras  int      // adapters in one batch; 0: 1
	Known  int      // adapters kept in memory; 0: as many as Loras

	StartTimeout time.Duration // 0: 10 minutes
	Parallel     int           // requests under way at once; 0: 64

	Codec dlm.Codec // the base's tokenizer and chat template
	// Probe gives the probe of an adapter folder that holds none, and that of the
	// base for "". Nil: such folders are refused, and the base is not checked.
	Probe     func(ctx context.Context, dir string) (dlm.Probe, error)
	Tolerance float64 // mean difference from the probe that is accepted, in nats a token; 0: DefaultTolerance
	Note      func(string)
}

// DefaultTolerance is the mean difference of a probe's log-probabilities, in nats
// a token, up to which vLLM is taken to serve what the probe describes. Engines
// that round at other places differ by some hundredths; another base or adapter by
// tenths to several.
const DefaultTolerance = 0.15

func (o *Options) check() error {
	switch {
	case o.Codec == nil:
		return fmt.Errorf("vllm: no codec is given; prompts cannot be turned into token ids")
	case o.URL == "" && o.Python == "":
		return fmt.Errorf("vllm: neither the address of a running vLLM nor a Python that has it is given: set vllm.url, or vllm.python or DLM_VLLM_PYTHON (pip install vllm into an environment of its own)")
	case o.URL == "" && (o.Model == "" || o.Dir == ""):
		return fmt.Errorf("vllm: a child needs the base as a Hugging Face folder, and a working folder")
	case o.URL != "" && !strings.HasPrefix(o.URL, "http://") && !strings.HasPrefix(o.URL, "https://"):
		return fmt.Errorf("vllm.url %q: expected an address such as http://127.0.0.1:8000", o.URL)
	}
	o.URL = strings.TrimSuffix(strings.TrimSuffix(o.URL, "/"), "/v1")
	if o.Rank == 0 {
		o.Rank = 16
	}
	o.Loras = max(o.Loras, 1)
	o.Known = max(o.Known, o.Loras)
	if o.StartTimeout == 0 {
		o.StartTimeout = 10 * time.Minute
	}
	if o.Parallel == 0 {
		o.Parallel = 64
	}
	if o.Tolerance == 0 {
		o.Tolerance = DefaultTolerance
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	return nil
}

// ranks are the values that vLLM's --max-lora-rank takes.
var ranks = []int{8, 16, 32, 64, 128, 256, 320, 512}

// maxRank is the least of them that holds rank.
func maxRank(rank int) (int, error) {
	for _, r := range ranks {
		if rank <= r {
			return r, nil
		}
	}
	return 0, fmt.Errorf("vLLM serves adapters up to rank %d, and this one has %d: train with a smaller rank, or merge it into its base", ranks[len(ranks)-1], rank)
}
