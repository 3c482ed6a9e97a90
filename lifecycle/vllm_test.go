package lifecycle

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestVLLMSection(t *testing.T) {
	dir := projectDir(t)
	p, err := parseAt(t, dir, minimal)
	if err != nil || p.Engine != "native" || !reflect.DeepEqual(p.VLLM, VLLMSpec{}) {
		t.Errorf("by default: engine %q, %+v (%v)", p.Engine, p.VLLM, err)
	}
	p, err = parseAt(t, dir, minimal+`engine: vllm
vllm:
  url: http://gpu-box:8000
  api_key_env: VLLM_KEY
  python: env/bin/python
  dtype: bfloat16
  max_model_len: 2048
  gpu_memory_utilization: 0.5
  args: [--max-num-seqs, "16"]
  start_timeout: 15m
`)
	want := VLLMSpec{URL: "http://gpu-box:8000", APIKeyEnv: "VLLM_KEY", Python: "env/bin/python", DType: "bfloat16", MaxModelLen: 2048, GPUMemory: 0.5,
		Args: []string{"--max-num-seqs", "16"}, Start: Duration(15 * time.Minute)}
	if err != nil || p.Engine != EngineVLLM || !reflect.DeepEqual(p.VLLM, want) {
		t.Errorf("engine %q, %+v (%v)", p.Engine, p.VLLM, err)
	}
	for set, words := range map[string]string{
		"engine=vlm":                     "did you mean vllm?",
		"vllm.url=gpu-box:8000":          "vllm.url",
		"vllm.api_key_env=sk-123":        "does not belong in this file",
		"vllm.dtype=int8":                "vllm.dtype",
		"vllm.max_model_len=-1":          "vllm.max_model_len",
		"vllm.gpu_memory_utilization=90": "vllm.gpu_memory_utilization",
		"vllm.start_timeout=ten":         "90s or 10m",
		"vllm.pyhton=x":                  "vllm.pyhton",
	} {
		if _, err := parseAt(t, dir, minimal, set); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("--set %s: error %v does not say %q", set, err, words)
		}
	}
	if _, err := parseAt(t, dir, minimal+"quantize: nf4\nengine: vllm\n"); err == nil || !strings.Contains(err.Error(), "--quantization") {
		t.Errorf("nf4 through vLLM: error %v", err)
	}
	if _, err := parseAt(t, dir, minimal+"quantize: nf4\nengine: vllm\nvllm:\n  args: [--quantization, bitsandbytes]\n"); err != nil {
		t.Error(err)
	}
}
