package serve

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"dlm"
)

func TestRefusals(t *testing.T) {
	chatOf := func(more string) string {
		return `{"model":"bank","messages":[{"role":"user","content":"hi"}]` + more + `}`
	}
	for _, c := range []struct {
		name, path, body, key string
		status                int
		param, code           any
	}{
		{"no key", "/v1/chat/completions", chatOf(""), "none", 401, nil, "invalid_api_key"},
		{"too often", "/v1/chat/completions", chatOf(""), "often", 429, nil, "rate_limit_exceeded"},
		{"no such adapter", "/v1/chat/completions", `{"model":"other","messages":[{"role":"user","content":"hi"}]}`, "user", 404, "model", "model_not_found"},
		{"no such alias", "/v1/completions", `{"model":"bank@nope","prompt":"hi"}`, "user", 404, "model", "model_not_found"},
		{"another's adapter", "/v1/chat/completions", `{"model":"base","messages":[{"role":"user","content":"hi"}]}`, "user", 403, "model", "forbidden"},
		{"no model", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}]}`, "user", 400, "model", nil},
		{"no JSON", "/v1/chat/completions", `{"model":`, "user", 400, nil, nil},
		{"two objects", "/v1/chat/completions", chatOf("") + "{}", "user", 400, nil, nil},
		{"a list", "/v1/chat/completions", `[]`, "user", 400, nil, nil},
		{"null", "/v1/completions", `null`, "user", 400, nil, nil},
		{"a million choices", "/v1/chat/completions", chatOf(`,"n":1000000`), "user", 400, "n", nil},
		{"more choices than the key may have", "/v1/chat/completions", chatOf(`,"n":9`), "user", 400, "n", nil},
		{"more tokens than the key may have", "/v1/chat/completions", chatOf(`,"max_tokens":101`), "user", 400, "max_tokens", nil},
		{"more tokens than the quota", "/v1/completions", `{"model":"bank","prompt":"` + strings.Repeat("x", 200) + `"}`, "user", 429, nil, "rate_limit_exceeded"},
		{"a prompt longer than the context", "/v1/completions", `{"model":"bank","prompt":"` + strings.Repeat("x", 600) + `"}`, "user", 400, "prompt", "context_length_exceeded"},
		{"prompt and completion longer than the context", "/v1/completions", `{"model":"bank","max_tokens":100,"prompt":"` + strings.Repeat("x", 450) + `"}`, "user", 400, "max_tokens", "context_length_exceeded"},
		{"a body too large", "/v1/completions", `{"model":"bank","prompt":"` + strings.Repeat("x", 3000) + `"}`, "user", 413, nil, "request_too_large"},
		{"an unknown field", "/v1/chat/completions", chatOf(`,"temprature":0`), "user", 400, "temprature", nil},
		{"tools", "/v1/chat/completions", chatOf(`,"tools":[{"type":"function"}]`), "user", 400, "tools", "unsupported"},
		{"embeddings", "/v1/embeddings", `{"model":"bank","input":"hi"}`, "user", 400, "model", "unsupported"},
		{"load without being an admin", "/v1/load_lora_adapter", `{"lora_name":"x","lora_path":"y"}`, "user", 403, nil, "forbidden"},
		{"unload without being an admin", "/v1/unload_lora_adapter", `{"lora_name":"x"}`, "user", 403, nil, "forbidden"},
		{"no such endpoint", "/v1/images", `{}`, "user", 404, nil, nil},
		{"a method", "/v1/chat/completions", "", "user", 405, nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlace(t, func(p *place, _ *Options) {
				p.door.open, p.door.only = false, "bank"
				p.door.limits, p.door.quota = Limits{Body: 2000, Choices: 8, Tokens: 100}, 210
			})
			status, h, body := p.ask(t, c.path, c.body, "Authorization", "Bearer "+c.key, "X-Request-Id", "mine-1")
			e, _ := tree(t, body)["error"].(map[string]any)
			if status != c.status || e["param"] != c.param || e["code"] != c.code || e["message"] == "" || e["type"] == "" {
				t.Errorf("%d %s", status, body)
			}
			if got := shapeOf(t, body); !strings.HasPrefix(got, "{error:{code:") || !strings.HasSuffix(got, " type:str}}") {
				t.Error(got)
			}
			if (status == 429 || status == 503) != (h.Get("Retry-After") != "") {
				t.Error("Retry-After", h.Get("Retry-After"))
			}
			if h.Get("X-Request-Id") != "mine-1" {
				t.Error(h)
			}
			if len(p.gen.seen) != 0 {
				t.Error("the generator was asked")
			}
			eventually(t, "the end", func() bool { return len(p.ledger.outcomes()) > 0 })
			if ends := p.ledger.outcomes(); len(ends) != 1 || ends[0].Status != c.status || ends[0].Err == nil {
				t.Error(ends)
			}
			for _, n := range p.door.spent {
				if n != 0 {
					t.Errorf("%d tokens were counted", n)
				}
			}
		})
	}
}

func TestFaultsOfTheGenerator(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{
		{dlm.Faultf(dlm.FaultRequest, "response_format", "the schema cannot be met"), 400},
		{dlm.Faultf(dlm.FaultUnsupported, "logit_bias", "not here"), 400},
		{dlm.Faultf(dlm.FaultUpstream, "", "it is down"), 502},
		{dlm.Faultf(dlm.FaultTimeout, "", "it is slow"), 504},
		{&dlm.Fault{Kind: dlm.FaultBusy, Err: errors.New("full")}, 503},
		{errors.New("open /secret/path: denied"), 500},
	} {
		for _, stream := range []string{"false", "true"} {
			p := newPlace(t, func(p *place, _ *Options) { p.gen.hook = func([]dlm.GenerateRequest) error { return c.err } })
			status, h, body := p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi","stream":`+stream+`}`)
			if status != c.status || h.Get("Content-Type") != "application/json" {
				t.Errorf("%v: %d %s %s", c.err, status, h.Get("Content-Type"), body)
			}
			if strings.Contains(body, "secret") {
				t.Error("a client sees what is the machine's:", body)
			}
			if c.status == 500 && !strings.Contains(body, h.Get("X-Request-Id")) {
				t.Error("no id in", body)
			}
			if c.status == 503 && h.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
			if h.Get("X-Dlm-Model") != "bank@prod" {
				t.Error("an error does not say what answered:", h)
			}
		}
	}
}

func TestPanics(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) {
		p.gen.during = func(_, token int) {
			if token == 2 {
				panic("a bug")
			}
		}
	})
	status, _, body := p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi"}`)
	if status != 500 || !strings.Contains(body, "internal_error") {
		t.Error(status, body)
	}
	status, _, body = p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi","stream":true}`)
	all := eventsOf(t, body)
	if status != 200 || len(all) != 3 || !strings.Contains(all[2], `"error":`) {
		t.Error(status, body)
	}
	eventually(t, "the end", func() bool { return len(p.ledger.outcomes()) > 1 })
	if ends := p.ledger.outcomes(); len(ends) != 2 || ends[1].Status != 500 || ends[1].Completion != 2 {
		t.Error(ends)
	}
	if n := p.door.spent[1]; n != 2+2 { // the prompt, and what came
		t.Errorf("%d tokens were counted", n)
	}
}

func TestTimeLimit(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) {
		p.gen.pause, p.door.limits.Time = 50*time.Millisecond, 120*time.Millisecond
	})
	status, _, body := p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi"}`)
	if status != http.StatusGatewayTimeout || !strings.Contains(body, `"timeout"`) {
		t.Error(status, body)
	}
	_, _, body = p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi","stream":true}`)
	all := eventsOf(t, body)
	if last := all[len(all)-1]; !strings.Contains(last, `"timeout"`) {
		t.Error(body)
	}
}
