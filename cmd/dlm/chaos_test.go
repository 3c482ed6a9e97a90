//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/sqlite"
)

// TestServeChaos loads the server from all sides while adapters are promoted,
// rolled back, loaded and unloaded, clients leave, and the cache is far too small.
// Every adapter answers with its own word, so that a mix-up is seen. It runs for
// seconds on a base that knows nothing; DLM_TEST_SERVE_CHAOS=10m lasts longer, and
// DLM_TEST_MODEL names a real base for it.
func TestServeChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills processes")
	}
	last, base, steps, lr := 6*time.Second, filepath.Join(tiny, "llama-tied", "q4_1.gguf"), 80, 0.02
	cache, memory := "192KiB", "1MiB"
	if long := os.Getenv("DLM_TEST_SERVE_CHAOS"); long != "" {
		var err error
		if last, err = time.ParseDuration(long); err != nil {
			t.Fatal(err)
		}
		if model := os.Getenv("DLM_TEST_MODEL"); model != "" {
			base, steps, lr = model, 40, 2e-3
			cache, memory = "24MiB", "20MiB"
		}
	}
	c := newChaos(t, base, steps, lr, "--cache", cache, "--adapter-memory", memory, "--max-sequences", "8", "--max-queue", "6")
	c.serve()
	c.load(last/8 + time.Second) // whatever is filled once is full now
	before := c.idle()
	c.load(last)
	c.same(before, c.idle())
	c.drain()
	c.serve()
	c.kill()
}

// chaos is a project with markers, and its server.
type chaos struct {
	t       *testing.T
	seed    uint64
	dir     string
	flags   []string
	env     []string
	store   *sqlite.Store
	base    string // what requests call it
	prompts []string
	answers map[string]map[string]string // digest of an adapter, or "base" -> prompt -> answer
	stored  map[string][]dlm.Digest
	folders map[string]string // name to load -> folder
	digests map[string]string // name to load -> digest of its weights

	url    string
	server *exec.Cmd
	ended  chan error
	client *http.Client

	truth truth
	mu    sync.Mutex
	seen  map[string]int // outcomes
}

func newChaos(t *testing.T, base string, steps int, lr float64, flags ...string) *chaos {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("DLM_TEST_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("DLM_TEST_SEED=%d", seed)
	dir := t.TempDir()
	env, err := offline(dir)
	if err != nil {
		t.Fatal(err)
	}
	if base, err = filepath.Abs(base); err != nil {
		t.Fatal(err)
	}
	// The heap is looked at from outside: small steps between collections show it.
	c := &chaos{t: t, seed: seed, dir: dir, flags: flags, env: append(append(os.Environ(), env...), "GOGC=20"), answers: map[string]map[string]string{},
		stored: map[string][]dlm.Digest{}, folders: map[string]string{}, digests: map[string]string{}, seen: map[string]int{},
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	c.truth.is = map[string][]state{}
	yaml := "project: chaos\nbase: " + base + "\nserve:\n  base_name: base\n"
	if err := os.WriteFile(filepath.Join(dir, "dlm.yaml"), []byte(yaml), 0o644); err != nil {
		t.Fatal(err)
	}
	c.base = "base"
	if c.store, err = sqlite.Open(context.Background(), filepath.Join(dir, ".dlm"), "tester"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.store.Close(); c.showLog() })
	c.learn(base, steps, lr)
	return c
}

// learn trains the markers and notes what they answer when nothing else runs: the
// server must say exactly that, whatever else it does.
func (c *chaos) learn(base string, steps int, lr float64) {
	c.t.Helper()
	n, err := native.Open(base, native.Options{Code: "test"})
	if err != nil {
		c.t.Fatal(err)
	}
	defer n.Close()
	r := rand.New(rand.NewPCG(1, 2)) // the same each time: markers are not perfect
	c.answers["base"] = map[string]string{}
	for i := range 24 {
		p := noise(r, 1+i)
		c.prompts = append(c.prompts, p)
		if c.answers["base"][p], err = alone(n, "", p); err != nil {
			c.t.Fatal(err)
		}
	}
	markers := trainMarkers(c.t, n, steps, lr, strings.Fields("bank bank sql sql extra-1 extra-2"), strings.Fields("alpha bravo cedar delta ember fjord"), c.prompts)
	c.fill(base, n.Digest(), markers)
}

// fill puts the markers into the store, and those called extra beside it.
func (c *chaos) fill(base string, id dlm.Digest, markers []marker) {
	c.t.Helper()
	b, err := c.store.Put(context.Background(), dlm.Artifact{ID: id, Kind: dlm.KindBase, Name: "base", Params: map[string]string{"path": base}}, "")
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range markers {
		if strings.HasPrefix(m.name, "extra") {
			c.folders[m.name] = m.dir
			digest, _, err := fileDigest(filepath.Join(m.dir, "adapter_model.safetensors"))
			if err != nil {
				c.t.Fatal(err)
			}
			c.digests[m.name], c.answers[string(digest)] = string(digest), m.answers
			c.becomes(m.name, "")
			continue
		}
		a, err := c.store.Put(context.Background(), dlm.Artifact{Kind: dlm.KindAdapter, Name: m.name, Parents: []dlm.Parent{{Role: "base", ID: b.ID}}}, m.dir)
		if err != nil {
			c.t.Fatal(err)
		}
		c.stored[m.name] = append(c.stored[m.name], a.ID)
		c.answers[string(a.ID)] = m.answers
	}
	for name, ids := range c.stored {
		c.point(name+"@prod", ids[0], 0)
		c.point(name+"@canary", ids[1], 0.3)
	}
}

// showLog tells the end of the server's log after a failure.
func (c *chaos) showLog() {
	if b, err := os.ReadFile(filepath.Join(c.dir, "server.log")); err == nil && c.t.Failed() {
		c.t.Logf("the server's log ends:\n%s", b[max(0, len(b)-4000):])
	}
}

// prompt is one of those whose answers are known.
func (c *chaos) prompt(r *rand.Rand) string { return c.prompts[r.IntN(len(c.prompts))] }

// serve starts the server and waits until it answers.
func (c *chaos) serve() {
	c.t.Helper()
	cmd := exec.Command("dlm", append([]string{"serve", "--addr", "127.0.0.1:0", "--log", "none"}, c.flags...)...)
	logged, err := os.OpenFile(filepath.Join(c.dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer logged.Close()
	cmd.Dir, cmd.Env, cmd.Stderr = c.dir, c.env, logged
	out, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.server, c.ended = cmd, make(chan error, 1)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if url, ok := strings.CutPrefix(lines.Text(), "serving "); ok {
			c.url = url
			break
		}
	}
	go func() {
		_, _ = io.Copy(io.Discard, out)
		c.ended <- cmd.Wait()
	}()
	c.t.Cleanup(func() { _ = cmd.Process.Kill() })
	if c.url == "" {
		c.t.Fatalf("dlm serve did not say where it serves: %v", <-c.ended)
	}
	c.until("ready", 30*time.Second, func() bool { status, _ := c.get("/readyz"); return status == http.StatusOK })
}

func (c *chaos) until(what string, patience time.Duration, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not %s after %s; seed %d", what, patience, c.seed)
		}
	}
}

func (c *chaos) get(path string) (int, string) {
	r, err := c.client.Get(c.url + path)
	if err != nil {
		return 0, ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, ""
	}
	return r.StatusCode, string(b)
}

// load has clients ask while the operator moves what they ask for.
func (c *chaos) load(last time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), last)
	defer cancel()
	var all sync.WaitGroup
	for i := range 16 {
		r := rand.New(rand.NewPCG(c.seed, uint64(i)))
		all.Go(func() {
			for ctx.Err() == nil && !c.t.Failed() {
				c.ask(r)
			}
		})
	}
	r := rand.New(rand.NewPCG(c.seed, 99))
	for ctx.Err() == nil && !c.t.Failed() {
		c.operate(r)
		time.Sleep(time.Duration(r.IntN(30)) * time.Millisecond)
	}
	all.Wait()
	for name := range c.folders {
		c.setLoaded(name, false)
	}
	if c.t.Failed() {
		c.t.Fatalf("seed %d: %s", c.seed, c.counts())
	}
}

// usage is what the server holds when nobody asks.
type usage struct{ heap, goroutines float64 }

// idle waits until all is given back, and measures what is left.
func (c *chaos) idle() usage {
	c.t.Helper()
	c.client.CloseIdleConnections()
	c.until("idle", 30*time.Second, func() bool {
		_, m := c.get("/metrics")
		return m != "" && metric(m, "dlm_sequences_running") == 0 && metric(m, "dlm_sequences_waiting") == 0 && metric(m, "dlm_requests_running") == 0 &&
			metric(m, `dlm_cache_blocks{engine="native",state="used"}`) == 0
	})
	u := usage{}
	for i := range 150 { // as many collections as scrapes make; the least is what lives
		_, m := c.get("/metrics")
		heap, g := metric(m, "go_memstats_heap_alloc_bytes"), metric(m, "go_goroutines")
		if i == 0 || heap < u.heap {
			u.heap = heap
		}
		if i == 0 || g < u.goroutines {
			u.goroutines = g
		}
	}
	return u
}

// same demands that nothing was lost on the way.
func (c *chaos) same(before, after usage) {
	c.t.Helper()
	_, m := c.get("/metrics")
	c.t.Logf("%s; preempted %.0f, prompt tokens cached %.0f of %.0f, adapters dropped %.0f", c.counts(), metric(m, "dlm_preemptions_total"), metric(m, "dlm_prefix_hits_total"), metric(m, "dlm_prefix_queries_total"), metric(m, "dlm_adapter_evictions_total"))
	c.t.Logf("heap %.1f -> %.1f MB, goroutines %.0f -> %.0f", before.heap/1e6, after.heap/1e6, before.goroutines, after.goroutines)
	if after.heap > 1.1*before.heap+4e6 {
		c.t.Errorf("the heap grew from %.1f to %.1f MB", before.heap/1e6, after.heap/1e6)
	}
	if after.goroutines > before.goroutines+3 {
		c.t.Errorf("goroutines grew from %.0f to %.0f", before.goroutines, after.goroutines)
	}
}

// metric adds the values of a metric, or of one of its series.
func metric(text, name string) (sum float64) {
	for line := range strings.Lines(text) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if bare, _, _ := strings.Cut(series, "{"); series != name && bare != name {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err == nil {
			sum += v
		}
	}
	return sum
}

// drain ends the server under load: what was asked before the signal is answered.
func (c *chaos) drain() {
	c.t.Helper()
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var signalled time.Time
	var mu sync.Mutex
	told := func() time.Time { mu.Lock(); defer mu.Unlock(); return signalled }
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for i := range 12 {
		r := rand.New(rand.NewPCG(c.seed, uint64(200+i)))
		all.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				_, status, err := c.complete(context.Background(), fresh, request{Model: "bank@prod", Stream: r.IntN(2) == 0, prompt: c.prompt(r)})
				if at := told(); err != nil && (at.IsZero() || began.Before(at)) {
					c.t.Errorf("asked before the signal, and lost: %v", err)
					return
				} else if err != nil {
					return // nobody is there any more
				}
				if status != http.StatusOK && status != http.StatusServiceUnavailable {
					c.t.Errorf("status %d while draining", status)
				}
			}
		})
	}
	time.Sleep(500 * time.Millisecond)
	mu.Lock()
	signalled = time.Now()
	err := c.server.Process.Signal(syscall.SIGTERM)
	mu.Unlock()
	if err != nil {
		c.t.Fatal(err)
	}
	select {
	case err := <-c.ended:
		if err != nil {
			c.t.Errorf("after SIGTERM: %v", err)
		}
	case <-time.After(40 * time.Second):
		c.t.Error("it did not end within 40 s of SIGTERM")
	}
	cancel()
	all.Wait()
}

// kill ends the server without a warning, under load; the next one knows the same
// names and aliases.
func (c *chaos) kill() {
	c.t.Helper()
	c.setLoaded("extra-1", true)
	c.point("sql@prod", c.stored["sql"][1], 0)
	c.refresh()
	names := c.names()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var all sync.WaitGroup
	for i := range 8 {
		r := rand.New(rand.NewPCG(c.seed, uint64(300+i)))
		all.Go(func() {
			for ctx.Err() == nil {
				_, _, _ = c.complete(ctx, c.client, request{Model: "bank", prompt: c.prompt(r)})
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	if err := c.server.Process.Kill(); err != nil {
		c.t.Fatal(err)
	}
	<-c.ended
	cancel()
	all.Wait()
	c.serve()
	if again := c.names(); !slices.Equal(names, again) {
		c.t.Errorf("names before kill -9: %q\nafter: %q", names, again)
	}
	r := rand.New(rand.NewPCG(c.seed, 400))
	for model, digest := range map[string]string{"extra-1": c.digests["extra-1"], "sql@prod": string(c.stored["sql"][1])} {
		q := request{Model: model, prompt: c.prompt(r)}
		a, status, err := c.complete(context.Background(), c.client, q)
		if err != nil || status != http.StatusOK || a.adapter != digest || a.text != c.answers[digest][q.prompt] {
			c.t.Errorf("%s after kill -9: %+v, %d, %v", model, a, status, err)
		}
	}
}

// names lists what can be asked for, with what it means.
func (c *chaos) names() (out []string) {
	c.t.Helper()
	_, body := c.get("/v1/models")
	var list struct {
		Data []struct {
			ID, Root, Parent string
		}
	}
	if err := json.Unmarshal([]byte(body), &list); err != nil {
		c.t.Fatalf("%v: %s", err, body)
	}
	for _, m := range list.Data {
		out = append(out, fmt.Sprintf("%s %s %s", m.ID, m.Root, m.Parent))
	}
	return out
}
