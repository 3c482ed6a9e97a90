package lifecycle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// EngineVLLM is the engine of driver/vllm.
const EngineVLLM = "vllm"

// VLLMSpec is which vLLM answers, and how one is started.
type VLLMSpec struct {
	URL         string   `yaml:"url" json:"url"`                                       // of one that runs; empty: one is started
	APIKeyEnv   string   `yaml:"api_key_env" json:"api_key_env"`                       // variable that holds the key it wants
	Python      string   `yaml:"python" json:"python"`                                 // interpreter that has vLLM; empty: DLM_VLLM_PYTHON
	DType       string   `yaml:"dtype" json:"dtype"`                                   // bfloat16, float16 or float32; empty: vLLM's choice
	MaxModelLen int      `yaml:"max_model_len" json:"max_model_len"`                   // tokens of a sequence; 0: the base's context
	GPUMemory   float64  `yaml:"gpu_memory_utilization" json:"gpu_memory_utilization"` // share that it takes; 0: vLLM's default
	Args        []string `yaml:"args" json:"args"`                                     // further arguments
	Start       Duration `yaml:"start_timeout" json:"start_timeout"`                   // 0: 10 minutes
}

// Duration is a time in the file: 90s, 10m.
type Duration time.Duration

// String is the value as the file would have it.
func (t Duration) String() string { return time.Duration(t).String() }

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func (p *Project) validateVLLM(v *validator) {
	s := p.VLLM
	v.oneOf("engine", p.Engine, "native", EngineVLLM)
	v.check(s.URL == "" || strings.HasPrefix(s.URL, "http://") || strings.HasPrefix(s.URL, "https://"), "vllm.url", fmt.Sprintf("is %q", s.URL), "an address such as http://127.0.0.1:8000", "")
	v.check(s.APIKeyEnv == "" || variableName.MatchString(s.APIKeyEnv), "vllm.api_key_env", "is no name of an environment variable", "the name of the variable that holds the key, such as VLLM_API_KEY; the key itself does not belong in this file", "")
	if s.DType != "" {
		v.oneOf("vllm.dtype", s.DType, "bfloat16", "float16", "float32")
	}
	v.check(s.MaxModelLen >= 0, "vllm.max_model_len", fmt.Sprintf("is %d", s.MaxModelLen), "a number of tokens; 0 = the base's context", "")
	v.check(s.GPUMemory >= 0 && s.GPUMemory <= 1, "vllm.gpu_memory_utilization", fmt.Sprintf("is %v", s.GPUMemory), "a share from 0 (vLLM's default) to 1", "")
	v.check(s.Start >= 0, "vllm.start_timeout", "is "+s.Start.String(), "0 or more", "")
	// An adapter trained on a quantised base is not for the whole one.
	v.check(p.Engine != EngineVLLM || p.Quantize != "nf4" || s.URL != "" || slices.ContainsFunc(s.Args, func(a string) bool { return strings.HasPrefix(a, "--quantization") }),
		"vllm.args", "lets vLLM serve the base as it is, and quantize is nf4", "args: [--quantization, bitsandbytes], or a vllm.url where the quantised base is served", "")
}
