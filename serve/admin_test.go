package serve

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"net/http"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

func (p *place) codec() dlm.Codec { return testkit.ByteCodec{} }

func TestAdaptersLoadAndUnload(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) { p.door.open = false })
	for _, c := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"/v1/load_lora_adapter", `{"lora_name":"new","lora_path":"adapters/new"}`, 200, "Success: LoRA adapter 'new' added successfully."},
		{"/v1/load_lora_adapter", `{"lora_name":"new","lora_path":"adapters/new"}`, 400, "loaded already"},
		{"/v1/load_lora_adapter", `{"lora_name":"lost","lora_path":"gone"}`, 404, "no adapter in gone"},
		{"/v1/load_lora_adapter", `{"lora_name":"a@prod","lora_path":"x"}`, 400, "without @"},
		{"/v1/load_lora_adapter", `{"lora_name":"a"}`, 400, "lora_path is missing"},
		{"/v1/load_lora_adapter", `{"lora_path":"a"}`, 400, "lora_name is missing"},
		{"/v1/unload_lora_adapter", `{"lora_name":"new","lora_int_id":3}`, 200, "Success: LoRA adapter 'new' removed successfully."},
		{"/v1/unload_lora_adapter", `{"lora_name":"new"}`, 404, "not loaded"},
		{"/admin/refresh", `{}`, 400, "do not change"},
	} {
		status, _, body := p.ask(t, c.path, c.body, "Authorization", "Bearer admin")
		if status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s: %d %s", c.path, c.body, status, body)
		}
	}
}

// operated is a router that can be refreshed.
type operated struct {
	*names
	refreshed int
}

func (o *operated) Refresh(context.Context) error { o.refreshed++; return nil }
func (o *operated) Problems() []string            { return []string{"prod points nowhere"} }
func (o *operated) Upstreams() []UpstreamStats {
	return []UpstreamStats{{Upstream: "gpu", Healthy: true, Breaker: "closed"}}
}

func TestHealth(t *testing.T) {
	var o *operated
	p := newPlace(t, func(p *place, opt *Options) { o = &operated{names: p.names}; opt.Router = o })
	for _, c := range []struct{ path, says string }{
		{"/healthz", `"ok"`}, {"/health", `"ok"`}, {"/version", `"test"`}, {"/metrics", "metrics 1"}, {"/readyz", "prod points nowhere"}, {"/readyz", `"upstream":"gpu"`},
	} {
		if status, _, body := p.ask(t, c.path, ""); status != 200 || !strings.Contains(body, c.says) {
			t.Errorf("%s: %d %s", c.path, status, body)
		}
	}
	o.ready = errors.New("the weights are being read")
	if status, h, body := p.ask(t, "/readyz", ""); status != 503 || h.Get("Retry-After") == "" || !strings.Contains(body, "being read") {
		t.Error(status, body)
	}
	if status, _, body := p.ask(t, "/admin/refresh", "{}", "Authorization", "Bearer admin"); status != 200 || o.refreshed != 1 {
		t.Error(status, body)
	}
	r, err := http.Head(p.http.URL + "/healthz")
	if err != nil || r.StatusCode != 200 {
		t.Error(r, err)
	}
}

func TestModelsAreThoseOfTheKey(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) { p.door.only = "bank" })
	_, _, body := p.ask(t, "/v1/models", "")
	if strings.Contains(body, `"id":"base"`) || !strings.Contains(body, `"id":"bank"`) {
		t.Error(body)
	}
	if status, _, body := p.ask(t, "/v1/models/bank@prod", ""); status != 200 || !strings.Contains(body, `"id":"bank@prod"`) || !strings.Contains(body, string(fakeAdapter)) {
		t.Error(status, body)
	}
	for id, want := range map[string]int{"base": 403, "other": 404, "other/x": 404} {
		if status, _, body := p.ask(t, "/v1/models/"+id, ""); status != want {
			t.Error(id, status, body)
		}
	}
}

func TestTokens(t *testing.T) {
	p := newPlace(t, nil)
	_, _, body := p.ask(t, "/v1/tokenize", `{"model":"bank","prompt":"hi","return_token_strs":true}`)
	if !strings.Contains(body, `"count":2`) || !strings.Contains(body, `"tokens":[104,105]`) || !strings.Contains(body, `"token_strs":["h","i"]`) {
		t.Error(body)
	}
	_, _, body = p.ask(t, "/tokenize", `{"model":"bank","messages":[{"role":"user","content":"hi"}]}`)
	if !strings.Contains(body, "[256,117,115,101,114") {
		t.Error(body)
	}
	_, _, body = p.ask(t, "/detokenize", `{"model":"bank","tokens":[104,195,164]}`)
	if body != "{\"prompt\":\"hä\"}\n" {
		t.Error(body)
	}
	for _, c := range [][2]string{
		{"/detokenize", `{"model":"bank","tokens":[-1]}`},
		{"/tokenize", `{"model":"bank","prompt":"a","messages":[{"role":"user","content":"hi"}]}`},
		{"/tokenize", `{"prompt":"a"}`}, {"/detokenize", `{"tokens":[1]}`},
	} {
		if status, _, body := p.ask(t, c[0], c[1]); status != 400 {
			t.Error(c, status, body)
		}
	}
}

type unit struct{}

func (unit) Embed(_ context.Context, texts []string) ([]dlm.Embedded, error) {
	out := make([]dlm.Embedded, len(texts))
	for i, t := range texts {
		out[i] = dlm.Embedded{Vector: []float32{0.6, 0, 0.8}, Tokens: len(t)}
	}
	return out, nil
}

func TestEmbeddings(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) { p.names.target = func(t *Target) { t.Embedder = unit{} } })
	_, _, body := p.ask(t, "/v1/embeddings", `{"model":"bank","input":["hi",  "you"]}`)
	if got, want := shapeOf(t, body), "{data:[{embedding:[num] index:num object:str}] model:str object:str usage:{prompt_tokens:num total_tokens:num}}"; got != want {
		t.Error(got)
	}
	if !strings.Contains(body, `"total_tokens":5`) || !strings.Contains(body, `[0.6,0,0.8]`) || !strings.Contains(body, `"index":1`) {
		t.Error(body)
	}
	_, _, body = p.ask(t, "/v1/embeddings", `{"model":"bank","input":[104,105],"encoding_format":"base64","dimensions":2}`)
	s := tree(t, body)["data"].([]any)[0].(map[string]any)["embedding"].(string)
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil || len(b) != 8 || math.Float32frombits(binary.LittleEndian.Uint32(b)) != 1 {
		t.Error(body, b, err)
	}
	for _, bad := range []string{
		`{"model":"bank","input":[]}`, `{"model":"bank","input":""}`, `{"model":"bank"}`, `{"input":"x"}`, `{"model":"bank","input":"x","dimensions":4}`,
		`{"model":"bank","input":"x","dimensions":0}`, `{"model":"bank","input":"x","encoding_format":"int8"}`, `{"model":"bank","input":{"text":"x"}}`,
	} {
		if status, _, body := p.ask(t, "/v1/embeddings", bad); status != 400 {
			t.Error(bad, status, body)
		}
	}
}

func TestOtherOrigins(t *testing.T) {
	page := []string{"Origin", "https://page.example"}
	p := newPlace(t, nil)
	if _, h, _ := p.ask(t, "/v1/models", "", page...); h.Get("Access-Control-Allow-Origin") != "" {
		t.Error("every page may ask by default")
	}
	if status, _, body := p.ask(t, "/v1/load_lora_adapter", `{"lora_name":"a","lora_path":"b"}`, append(page, "Authorization", "Bearer admin")...); status != 403 || len(p.names.loaded) != 0 {
		t.Error("a page of another origin loads an adapter:", status, body)
	}
	p = newPlace(t, func(_ *place, o *Options) { o.Origins = []string{"https://page.example"} })
	if _, h, _ := p.ask(t, "/v1/models", "", page...); h.Get("Access-Control-Allow-Origin") != page[1] {
		t.Error(h)
	}
	if _, h, _ := p.ask(t, "/v1/models", "", "Origin", "https://other.example"); h.Get("Access-Control-Allow-Origin") != "" {
		t.Error(h)
	}
	if status, _, body := p.ask(t, "/v1/chat/completions", helloChat, page...); status != 200 {
		t.Error(status, body)
	}
	r, _ := http.NewRequest("OPTIONS", p.http.URL+"/v1/chat/completions", nil)
	r.Header.Set("Origin", page[1])
	r.Header.Set("Access-Control-Request-Method", "POST")
	res, err := http.DefaultClient.Do(r)
	if err != nil || res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Methods") == "" {
		t.Error(res, err)
	}
}
