//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"dlm"
	"dlm/stage/registry"
)

// state is what a name may mean from one moment on.
type state struct {
	digests []string // "" = nothing: it may be refused
}

// truth is what each alias may mean over time, as far as the operator knows. A
// move has three states: before, under way (either), after.
type truth struct {
	is map[string][]state // guarded by chaos.mu
}

// now is the place in the history of a name from which a request that begins now
// may be answered.
func (c *chaos) now(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return max(0, len(c.truth.is[name])-1)
}

// since are all that a name may have meant since then.
func (c *chaos) since(name string, from int) (digests []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.truth.is[name][min(from, len(c.truth.is[name])):] {
		digests = append(digests, s.digests...)
	}
	return digests
}

func (c *chaos) becomes(name string, digests ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.truth.is[name] = append(c.truth.is[name], state{digests: digests})
}

func (c *chaos) count(outcome string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[outcome]++
}

func (c *chaos) counts() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for _, k := range slices.Sorted(maps.Keys(c.seen)) {
		out = append(out, fmt.Sprintf("%s %d", k, c.seen[k]))
	}
	return strings.Join(out, ", ")
}

// request is what a client asks.
type request struct {
	Model  string
	Stream bool
	N      int
	User   string
	prompt string
}

// answer is what came.
type answer struct {
	text    string
	model   string // X-Dlm-Model
	adapter string // X-Dlm-Adapter
	retry   string // Retry-After
	body    string // of an error
}

// complete asks once. A body that breaks off is an error.
func (c *chaos) complete(ctx context.Context, client *http.Client, q request) (answer, int, error) {
	body := map[string]any{"model": q.Model, "messages": []map[string]string{{"role": "user", "content": q.prompt}}, "temperature": 0,
		"max_tokens": markerTokens, "stream": q.Stream, "n": max(q.N, 1)}
	if q.User != "" {
		body["user"] = q.User
	}
	b, err := json.Marshal(body)
	if err != nil {
		return answer{}, 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/v1/chat/completions", bytes.NewReader(b))
	if err != nil {
		return answer{}, 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := client.Do(r)
	if err != nil {
		return answer{}, 0, err
	}
	defer resp.Body.Close()
	a := answer{model: resp.Header.Get("X-Dlm-Model"), adapter: resp.Header.Get("X-Dlm-Adapter"), retry: resp.Header.Get("Retry-After")}
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(resp.Body)
		a.body = string(text)
		return a, resp.StatusCode, err
	}
	if q.Stream {
		a.text, err = streamed(resp.Body)
		return a, resp.StatusCode, err
	}
	var whole struct {
		Choices []struct{ Message struct{ Content string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&whole); err != nil {
		return a, resp.StatusCode, err
	}
	if len(whole.Choices) != max(q.N, 1) {
		return a, resp.StatusCode, fmt.Errorf("%d choices, asked for %d", len(whole.Choices), max(q.N, 1))
	}
	a.text = whole.Choices[0].Message.Content
	for _, ch := range whole.Choices {
		if ch.Message.Content != a.text {
			return a, resp.StatusCode, fmt.Errorf("greedy choices differ: %+v", whole.Choices)
		}
	}
	return a, resp.StatusCode, nil
}

// streamed joins the pieces of a stream, which must end with [DONE].
func streamed(r io.Reader) (string, error) {
	var text strings.Builder
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			return text.String(), nil
		}
		var chunk struct {
			Error   json.RawMessage
			Choices []struct{ Delta struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(data), &chunk); err != nil {
			return "", fmt.Errorf("%w: %s", err, data)
		}
		if chunk.Error != nil {
			return "", fmt.Errorf("the stream ended with %s", chunk.Error)
		}
		for _, ch := range chunk.Choices {
			text.WriteString(ch.Delta.Content)
		}
	}
	return "", fmt.Errorf("the stream ended without [DONE]: %w", cmpErr(lines.Err(), io.ErrUnexpectedEOF))
}

func cmpErr(err, fallback error) error {
	if err != nil {
		return err
	}
	return fallback
}

// ask is one request by chance, and the check of its answer.
func (c *chaos) ask(r *rand.Rand) {
	q := request{Stream: r.IntN(2) == 0, prompt: c.prompt(r)}
	if !q.Stream && r.IntN(8) == 0 {
		q.N = 1 + r.IntN(3)
	}
	if r.IntN(3) == 0 {
		q.User = fmt.Sprint("user-", r.IntN(50))
	}
	stored := []string{"bank", "sql"}[r.IntN(2)]
	extra := []string{"extra-1", "extra-2"}[r.IntN(2)]
	fixed := c.stored[stored][r.IntN(2)]
	q.Model = []string{stored, stored + "@prod", stored + "@canary", stored + "@" + fixed.Short(), stored + "@" + string(fixed), extra, extra, c.base, "nobody"}[r.IntN(9)]
	ctx := context.Background()
	if r.IntN(5) == 0 { // the client leaves
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(40))*time.Millisecond)
		defer cancel()
	}
	from := map[string]int{}
	for _, name := range []string{stored + "@prod", stored + "@canary", extra} {
		from[name] = c.now(name)
	}
	a, status, err := c.complete(ctx, c.client, q)
	if ctx.Err() != nil {
		c.count("left")
		return
	}
	wrong := func(format string, args ...any) {
		c.t.Errorf("%s (stream %v): %s: status %d, %+v, %v", q.Model, q.Stream, fmt.Sprintf(format, args...), status, a, err)
	}
	switch {
	case err != nil:
		wrong("lost")
	case (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) && a.retry != "":
		c.count("busy")
		time.Sleep(5 * time.Millisecond)
	case q.Model == "nobody" || status == http.StatusNotFound && q.Model == extra:
		if status != http.StatusNotFound || q.Model == extra && !slices.Contains(c.since(extra, from[extra]), "") {
			wrong("not as it should be")
		}
		c.count("unknown")
	case status != http.StatusOK:
		wrong("no proper answer")
	case q.Model == c.base:
		if a.adapter != "base" || a.text != c.answers["base"][q.prompt] {
			wrong("not the base, which says %q", c.answers["base"][q.prompt])
		}
		c.count("base")
	default:
		c.check(q, a, stored, extra, fixed, from, wrong)
	}
}

// check says whether an answer came from an adapter that the name meant, and is its own.
func (c *chaos) check(q request, a answer, stored, extra string, fixed dlm.Digest, from map[string]int, wrong func(string, ...any)) {
	var may []string
	switch {
	case q.Model == extra:
		may = c.since(extra, from[extra])
	case strings.Contains(q.Model, fixed.Short()):
		may = []string{string(fixed)}
	default: // as the answer says by which alias; the name alone may be either
		alias := a.model
		if alias != stored+"@prod" && alias != stored+"@canary" || strings.Contains(q.Model, "@") && alias != q.Model {
			wrong("answered as %q", alias)
		}
		may = c.since(alias, from[alias])
	}
	if !slices.Contains(may, a.adapter) {
		wrong("another adapter than %q", may)
	}
	if want := c.answers[a.adapter][q.prompt]; a.text != want {
		wrong("the adapter says %q when nothing else runs", want)
	}
	c.count("answered")
}

// operate moves something.
func (c *chaos) operate(r *rand.Rand) {
	name := []string{"bank", "sql"}[r.IntN(2)]
	switch r.IntN(6) {
	case 0, 1:
		c.move(name+"@prod", func() error {
			_, err := registry.Promote(context.Background(), c.store, registry.Promotion{Alias: name + "@prod", Adapter: c.stored[name][r.IntN(2)], Force: true, Reason: "chaos"})
			return err
		})
		c.count("promoted")
	case 2:
		c.move(name+"@prod", func() error {
			_, err := registry.Rollback(context.Background(), c.store, name+"@prod", "chaos", "")
			if err != nil && !strings.Contains(err.Error(), "no other adapter") {
				return err
			}
			return nil
		})
		c.count("rolled back")
	case 3:
		c.move(name+"@canary", func() error {
			_, err := registry.Promote(context.Background(), c.store, registry.Promotion{Alias: name + "@canary", Adapter: c.stored[name][r.IntN(2)], Share: r.Float64(), Force: true, Reason: "chaos"})
			return err
		})
		c.count("canary")
	default:
		extra := []string{"extra-1", "extra-2"}[r.IntN(2)]
		loaded := slices.Contains(c.since(extra, c.now(extra)), c.digests[extra])
		c.setLoaded(extra, !loaded)
	}
}

// move changes an alias in the store, as another process does, and has the server look.
func (c *chaos) move(alias string, f func() error) {
	all := []string{}
	name, _, _ := strings.Cut(alias, "@")
	for _, id := range c.stored[name] {
		all = append(all, string(id))
	}
	c.becomes(alias, all...) // either, until the server has looked
	if err := f(); err != nil {
		c.t.Errorf("%s: %v", alias, err)
		return
	}
	c.refresh()
	at, err := c.store.Alias(context.Background(), alias)
	if err != nil {
		c.t.Error(err)
		return
	}
	c.becomes(alias, string(at.Adapter))
}

// point sets an alias before the server looks.
func (c *chaos) point(alias string, id dlm.Digest, share float64) {
	c.t.Helper()
	if err := c.store.SetAlias(context.Background(), dlm.AliasChange{Alias: alias, Adapter: id, Share: share, Forced: true, Why: "forced: set"}); err != nil {
		c.t.Fatal(err)
	}
	c.becomes(alias, string(id))
}

func (c *chaos) refresh() {
	if status, body := c.post("/admin/refresh", map[string]string{}); status != http.StatusOK || !strings.Contains(body, `"problems":[]`) {
		c.t.Errorf("refresh: %d %s", status, body)
	}
}

// setLoaded loads or unloads an adapter by vLLM's endpoints.
func (c *chaos) setLoaded(name string, loaded bool) {
	if is := slices.Contains(c.since(name, c.now(name)), c.digests[name]); is == loaded {
		return
	}
	c.becomes(name, "", c.digests[name])
	path, body, after := "/v1/unload_lora_adapter", map[string]string{"lora_name": name}, ""
	if loaded {
		path, body, after = "/v1/load_lora_adapter", map[string]string{"lora_name": name, "lora_path": c.folders[name]}, c.digests[name]
	}
	status, text := c.post(path, body)
	for try := 0; status == http.StatusServiceUnavailable && try < 100; try++ { // no room just now
		time.Sleep(20 * time.Millisecond)
		status, text = c.post(path, body)
	}
	if status != http.StatusOK {
		c.t.Errorf("%s %s: %d %s", path, name, status, text)
	}
	c.becomes(name, after)
	c.count("loaded or unloaded")
}

func (c *chaos) post(path string, v any) (int, string) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, err.Error()
	}
	r, err := c.client.Post(c.url+path, "application/json", bytes.NewReader(b))
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, err.Error()
	}
	return r.StatusCode, string(text)
}
