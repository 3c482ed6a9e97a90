package lifecycle

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

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
