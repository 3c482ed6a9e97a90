package watch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"dlm"
	"dlm/serve"
)

// fakeEngine is an engine with fixed numbers.
type fakeEngine struct{}

func (fakeEngine) Stats() dlm.EngineStats {
	return dlm.EngineStats{Running: 3, Waiting: 2, CacheBlocks: 100, CacheUsed: 40, CacheKept: 25, Prompt: 1000, Cached: 600, Preempted: 7, AdapterLoads: 5, AdapterBytes: 1 << 20}
}
func (fakeEngine) LoadAdapter(context.Context, string, bool) error { return nil }
func (fakeEngine) UnloadAdapter(context.Context, string) error     { return nil }
func (fakeEngine) Adapters() []dlm.HeldAdapter {
	return []dlm.HeldAdapter{{Dir: "a", Pinned: true}, {Dir: "b"}, {Dir: "c"}}
}

// fakeOperator has one upstream, whose breaker is open.
type fakeOperator struct{}

func (fakeOperator) Refresh(context.Context) error { return nil }
func (fakeOperator) Problems() []string            { return []string{"prod stays where it was"} }
func (fakeOperator) Upstreams() []serve.UpstreamStats {
	return []serve.UpstreamStats{{Upstream: "gpu", Replica: "http://gpu:8000", Breaker: "open", Requests: 10, Failures: 4, Retries: 2, Opened: 1}}
}

// clock is a time that tests set.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func target() serve.Target {
	return serve.Target{Model: "bank@canary", Name: "bank", Alias: "canary", Adapter: dlm.Digest("sha256:" + strings.Repeat("ab", 32)), Base: "sha256:00", Template: "t", Engine: "native"}
}

// answer lets one request go by: a first token after 250 ms, two more 20 ms apart.
func answer(w *Watch, c *clock, r *http.Request) context.Context {
	ctx, rec := w.Begin(r, serve.Call{ID: "req-1", Endpoint: "chat", Tenant: "app", Stream: true, Prompt: "a secret question"})
	rec.Route(target())
	c.now = c.now.Add(250 * time.Millisecond)
	rec.Token(0)
	for range 2 {
		c.now = c.now.Add(20 * time.Millisecond)
		rec.Token(0)
	}
	rec.End(serve.Outcome{Status: 200, Finish: "stop", Prompt: 12, Cached: 8, Completion: 3, Queued: 30 * time.Millisecond, Text: "a secret answer"})
	rec.End(serve.Outcome{Status: 500})
	rec.Token(0)
	return ctx
}

func scrape(t *testing.T, w *Watch) string {
	t.Helper()
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if rec.Code != http.StatusOK {
		t.Fatalf("/metrics: %d\n%s", rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func newTest(o Options) (*Watch, *clock) {
	c := &clock{now: time.Unix(1000, 0)}
	o.Now, o.Version, o.Engines, o.Operator = c.Now, "test", []Engine{{"native", fakeEngine{}, fakeEngine{}}}, fakeOperator{}
	return New(o), c
}

func chat() *http.Request {
	return httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil)
}

func TestMetrics(t *testing.T) {
	w, c := newTest(Options{})
	answer(w, c, chat())
	_, rec := w.Begin(chat(), serve.Call{Endpoint: "chat", Tenant: "app"})
	rec.End(serve.Outcome{Status: 404, Err: dlm.Faultf(dlm.FaultUnknown, "model", "no such adapter")})
	got := scrape(t, w)
	for _, want := range []string{
		`dlm_requests_total{alias="canary",code="200",endpoint="chat",model="bank",tenant="app"} 1`,
		`dlm_requests_total{alias="",code="404",endpoint="chat",model="unknown",tenant="app"} 1`,
		`dlm_requests_running{endpoint="chat"} 0`,
		`dlm_time_to_first_token_seconds_sum{alias="canary",model="bank"} 0.25`,
		`dlm_inter_token_latency_seconds_count{alias="canary",model="bank"} 2`,
		`dlm_inter_token_latency_seconds_sum{alias="canary",model="bank"} 0.04`,
		`dlm_request_duration_seconds_sum{alias="canary",endpoint="chat",model="bank"} 0.29`,
		`dlm_queue_seconds_sum{alias="canary",model="bank"} 0.03`,
		`dlm_prompt_tokens_total{alias="canary",model="bank",tenant="app"} 12`,
		`dlm_cached_tokens_total{alias="canary",model="bank",tenant="app"} 8`,
		`dlm_generation_tokens_total{alias="canary",model="bank",tenant="app"} 3`,
		`dlm_request_success_total{alias="canary",model="bank",reason="stop"} 1`,
		`dlm_adapter_info{adapter="sha256:abababababab",alias="canary",engine="native",model="bank"} 1`,
		`dlm_sequences_running{engine="native"} 3`,
		`dlm_cache_blocks{engine="native",state="free"} 35`,
		`dlm_cache_usage_ratio{engine="native"} 0.4`,
		`dlm_prefix_hits_total{engine="native"} 600`,
		`dlm_preemptions_total{engine="native"} 7`,
		`dlm_adapters_loaded{engine="native",state="pinned"} 1`,
		`dlm_adapters_loaded{engine="native",state="unpinned"} 2`,
		`dlm_upstream_healthy{replica="http://gpu:8000",upstream="gpu"} 0`,
		`dlm_upstream_breaker{replica="http://gpu:8000",state="open",upstream="gpu"} 1`,
		`dlm_upstream_failures_total{replica="http://gpu:8000",upstream="gpu"} 4`,
		`dlm_problems 1`,
		`process_resident_memory_bytes`, `go_goroutines`, `dlm_build_info{`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}

// TestPromtool: the names and texts are as Prometheus wants them. promtool has
// the last word where it is installed.
func TestPromtool(t *testing.T) {
	w, c := newTest(Options{})
	answer(w, c, chat())
	got := scrape(t, w)
	problems, err := promlint.New(strings.NewReader(got)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v %v", problems, err)
	}
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Log("promtool is not installed: only its Go part has looked")
		return
	}
	cmd := exec.Command(path, "check", "metrics")
	cmd.Stdin = strings.NewReader(got)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestLabelsAreBounded: whatever names come, the number of series has a bound.
func TestLabelsAreBounded(t *testing.T) {
	w, _ := newTest(Options{})
	for i := range 3 * MostNames {
		_, rec := w.Begin(chat(), serve.Call{Endpoint: "chat", Tenant: fmt.Sprintf("t%d", i)})
		rec.Route(serve.Target{Name: fmt.Sprintf("m%d", i)})
		rec.End(serve.Outcome{Status: 200})
	}
	got := scrape(t, w)
	if n := strings.Count(got, "\ndlm_requests_total{"); n > MostNames+1 {
		t.Errorf("%d series of dlm_requests_total, expected at most %d", n, MostNames+1)
	}
	if !strings.Contains(got, `model="other",tenant="other"} 2000`) {
		t.Error("the rest is not counted under other")
	}
}

func TestManyRequests(t *testing.T) {
	w := New(Options{Log: slog.New(slog.NewJSONHandler(&locked{}, nil))})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 50 {
				_, rec := w.Begin(chat(), serve.Call{Endpoint: "chat"})
				rec.Route(serve.Target{Name: fmt.Sprintf("m%d", i)})
				for k := range 4 {
					rec.Token(k % 2)
				}
				rec.End(serve.Outcome{Status: 200, Completion: 4})
			}
		})
	}
	wg.Wait()
	if got := scrape(t, w); strings.Count(got, `_inter_token_latency_seconds_count{alias="",model="m0"} 100`) != 1 {
		t.Error("two choices of two tokens, 50 times: 100 times between tokens expected")
	}
}

// locked is a buffer for several writers.
type locked struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func TestAccessLog(t *testing.T) {
	for _, prompts := range []bool{false, true} {
		var out bytes.Buffer
		w, c := newTest(Options{Log: slog.New(slog.NewJSONHandler(&out, nil)), Prompts: prompts})
		answer(w, c, chat())
		_, rec := w.Begin(chat(), serve.Call{ID: "req-2", Endpoint: "chat", Tenant: "app"})
		rec.End(serve.Outcome{Status: 400, Err: dlm.Faultf(dlm.FaultRequest, "stop", "the stop string %q is empty", "a secret stop")})
		_, rec = w.Begin(chat(), serve.Call{ID: "req-3", Endpoint: "chat", Tenant: "app"})
		rec.End(serve.Outcome{Status: 500, Err: errors.New("the engine stopped")})
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 3 {
			t.Fatalf("%d lines for 3 requests:\n%s", len(lines), out.String())
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(lines[0]), &got); err != nil {
			t.Fatal(err)
		}
		for k, want := range map[string]any{"msg": "request", "level": "INFO", "id": "req-1", "endpoint": "chat", "tenant": "app", "model": "bank", "alias": "canary", "adapter": "sha256:" + strings.Repeat("ab", 32),
			"engine": "native", "stream": true, "status": 200.0, "finish": "stop", "prompt_tokens": 12.0, "cached_tokens": 8.0, "completion_tokens": 3.0, "queue_s": 0.03, "ttft_s": 0.25, "duration_s": 0.29} {
			if got[k] != want {
				t.Errorf("%s is %v, expected %v", k, got[k], want)
			}
		}
		if strings.Contains(out.String(), "secret") != prompts {
			t.Errorf("prompts: %v, and the log is\n%s", prompts, out.String())
		}
		if !strings.Contains(lines[1], `"fault":"request","param":"stop"`) || !strings.Contains(lines[2], `"level":"ERROR"`) || !strings.Contains(lines[2], `"error":"the engine stopped"`) {
			t.Errorf("errors:\n%s\n%s", lines[1], lines[2])
		}
	}
}

// TestDashboard: every metric that the Grafana dashboard asks for is there.
func TestDashboard(t *testing.T) {
	src, err := os.ReadFile(filepath.Join("..", "..", "docs", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		SchemaVersion int
		Title, UID    string
		Panels        []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ RefID, Expr string }
		}
		Templating struct {
			List []struct{ Name, Definition string }
		}
	}
	if err := json.Unmarshal(src, &board); err != nil {
		t.Fatal(err)
	}
	if board.SchemaVersion < 39 || board.Title == "" || board.UID == "" {
		t.Errorf("schema %d, title %q, uid %q", board.SchemaVersion, board.Title, board.UID)
	}
	w, c := newTest(Options{})
	answer(w, c, chat())
	have := map[string]bool{}
	metric := regexp.MustCompile(`(?m)^([a-z_]+)(\{| )`)
	for _, m := range metric.FindAllStringSubmatch(scrape(t, w), -1) {
		have[m[1]] = true
	}
	var exprs []string
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] || p.GridPos.W < 1 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q: id %d twice, or beside the grid", p.Title, p.ID)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
		for _, q := range p.Targets {
			exprs = append(exprs, q.Expr)
		}
	}
	for _, v := range board.Templating.List {
		exprs = append(exprs, v.Definition)
	}
	name := regexp.MustCompile(`\b(dlm|go|process)_[a-z_]+`)
	asked := 0
	for _, e := range exprs {
		for _, n := range name.FindAllString(e, -1) {
			asked++
			if !have[n] {
				t.Errorf("the dashboard asks for %s, which is not among the metrics", n)
			}
		}
	}
	if asked < 30 {
		t.Errorf("the dashboard asks for %d metrics only", asked)
	}
	checkQueries(t, exprs)
}

// checkQueries lets promtool parse the expressions, where it is installed.
func checkQueries(t *testing.T, exprs []string) {
	path, err := exec.LookPath("promtool")
	if err != nil {
		return
	}
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	for i, e := range exprs {
		if e == "" || strings.HasPrefix(e, "label_values(") {
			continue
		}
		e = strings.ReplaceAll(e, "$__rate_interval", "1m")
		fmt.Fprintf(&rules, "  - record: rule:%d\n    expr: '%s'\n", i, e)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(rules.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(path, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("promtool check rules: %v\n%s", err, out)
	}
}

// TestEngineMetricsAreNamedOnce guards the table.
func TestEngineMetricsAreNamedOnce(t *testing.T) {
	var seen []string
	for _, m := range engineMetrics {
		key := m.desc.String() + m.state
		if slices.Contains(seen, key) {
			t.Errorf("%s twice", key)
		}
		seen = append(seen, key)
	}
}
