package serve

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"dlm"
)

// dial opens a connection on which a test writes what it likes.
func (p *place) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func raw(path, body string) string {
	return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", path, len(body), body)
}

func TestClientGone(t *testing.T) {
	for _, stream := range []string{"false", "true"} {
		p := newPlace(t, func(p *place, _ *Options) {
			p.gen.text, p.gen.pause = strings.Repeat("x", 400), 20*time.Millisecond
		})
		c := p.dial(t)
		_, _ = io.WriteString(c, raw("/v1/completions", `{"model":"bank","prompt":"hi","max_tokens":400,"stream":`+stream+`}`))
		eventually(t, "the generator starts", func() bool { active, _ := p.gen.counts(); return active == 1 })
		time.Sleep(50 * time.Millisecond)
		c.Close()
		start := time.Now()
		eventually(t, "the generator stops", func() bool { active, ended := p.gen.counts(); return active == 0 && ended == 1 })
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("stream %s: it went on for %v", stream, d)
		}
		eventually(t, "the end", func() bool { return len(p.ledger.outcomes()) == 1 })
		if o := p.ledger.outcomes()[0]; o.Status != statusGone || o.Completion == 0 || o.Completion > 300 {
			t.Errorf("stream %s: %+v", stream, o)
		}
		if p.Running() != 0 {
			t.Error(p.Running(), "are under way")
		}
	}
}

// A client that keeps its connection and reads nothing must not hold a place in
// the batch: what is written to it fills the connection, then nothing moves.
func TestStuckClient(t *testing.T) {
	p := newPlace(t, func(p *place, o *Options) {
		o.Stall = 200 * time.Millisecond
		p.gen.text = strings.Repeat("x", 1<<30)
		p.names.target = func(t *Target) { t.Codec = nil }
	})
	p.gen.text = p.gen.text[:1<<24]
	c := p.dial(t)
	_ = c.(*net.TCPConn).SetReadBuffer(4096)
	_, _ = io.WriteString(c, raw("/v1/completions", `{"model":"bank","prompt":"hi","max_tokens":16777216,"logprobs":5,"stream":true}`))
	eventually(t, "the generator stops", func() bool { active, ended := p.gen.counts(); return active == 0 && ended == 1 })
	eventually(t, "the end", func() bool { return len(p.ledger.outcomes()) == 1 })
	if o := p.ledger.outcomes()[0]; o.Status != statusGone {
		t.Errorf("%+v", o)
	}
}

// Headers and bodies that come byte by byte end the connection, not the server.
func TestSlowLoris(t *testing.T) {
	p := newPlace(t, func(_ *place, o *Options) { o.BodyTime = 150 * time.Millisecond })
	c := p.dial(t)
	_, _ = io.WriteString(c, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || res.StatusCode != http.StatusRequestTimeout {
		t.Fatal(res, err)
	}
	// One that is refused before its body is read holds the connection no longer.
	p = newPlace(t, func(p *place, o *Options) { p.door.open, o.BodyTime = false, 150*time.Millisecond })
	c = p.dial(t)
	_, _ = io.WriteString(c, "POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer none\r\nContent-Length: 1000\r\n\r\n{")
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if res, err = http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != http.StatusUnauthorized {
		t.Fatal(res, err)
	}
	s := HTTPServer(p.Server)
	if s.ReadHeaderTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("%+v", s)
	}
	if s.WriteTimeout != 0 {
		t.Error("it would end long answers")
	}
}

// A body's deadline must not end the wait for the answer.
func TestAnswerTakesLongerThanABodyMay(t *testing.T) {
	p := newPlace(t, func(p *place, o *Options) { o.BodyTime, p.gen.pause = 100*time.Millisecond, 100*time.Millisecond })
	if status, _, body := p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi"}`); status != 200 {
		t.Error(status, body)
	}
}

func TestBodyWithoutLength(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) { p.door.limits.Body = 1000 })
	r, _ := http.NewRequest("POST", p.http.URL+"/v1/completions", io.MultiReader(strings.NewReader(`{"model":"bank","prompt":"`), strings.NewReader(strings.Repeat("x", 1<<20))))
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Skip("the connection was closed while the client wrote; that is a refusal too:", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(res.Status)
	}
}

func TestDrain(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) { p.gen.pause = 50 * time.Millisecond })
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		if status, _, body := p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi"}`); status != 200 || !strings.Contains(body, "hello") {
			t.Error(status, body)
		}
	})
	eventually(t, "the generator starts", func() bool { active, _ := p.gen.counts(); return active == 1 })
	p.Drain()
	status, h, body := p.ask(t, "/v1/completions", `{"model":"bank","prompt":"hi"}`)
	if status != 503 || h.Get("Retry-After") == "" || !strings.Contains(body, `"error"`) {
		t.Error(status, h, body)
	}
	if status, _, body := p.ask(t, "/readyz", ""); status != 503 || !strings.Contains(body, "draining") {
		t.Error(status, body)
	}
	if status, _, _ := p.ask(t, "/healthz", ""); status != 200 {
		t.Error("it does live:", status)
	}
	if p.Running() != 1 {
		t.Error(p.Running(), "are under way, expected one")
	}
}

func TestManyAtOnce(t *testing.T) {
	p := newPlace(t, func(p *place, _ *Options) { p.gen.pause = time.Millisecond })
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			body := `{"model":"bank","prompt":"hi","n":2}`
			if i%2 == 1 {
				body = `{"model":"base","prompt":"hi","stream":true}`
			}
			if status, _, answer := p.ask(t, "/v1/completions", body); status != 200 || i%2 == 0 && strings.Count(answer, "hello") != 2 {
				t.Error(status, answer)
			}
		})
	}
	wg.Wait()
	eventually(t, "the ends", func() bool { return len(p.ledger.outcomes()) == 40 && p.Running() == 0 })
	if len(p.door.spent) != 40 {
		t.Error(len(p.door.spent), "grants were closed")
	}
}

func TestQuotaIsReservedAndSettled(t *testing.T) {
	p := newPlace(t, nil)
	p.ask(t, "/v1/completions", `{"model":"bank","prompt":["hi","you"],"n":2,"max_tokens":10}`)
	eventually(t, "the grant is closed", func() bool { p.door.mu.Lock(); defer p.door.mu.Unlock(); return len(p.door.spent) == 1 })
	if got, want := p.door.reserved[0], 2+3+4*10; got != want {
		t.Errorf("%d tokens were reserved, expected %d", got, want)
	}
	if got, want := p.door.spent[0], 2+3+4*6; got != want { // hello and the end of the turn
		t.Errorf("%d tokens were counted, expected %d", got, want)
	}
	o := p.ledger.outcomes()[0]
	if o.Prompt != 5 || o.Cached != 2 || o.Completion != 24 || o.Finish != "stop" || o.Queued != time.Millisecond || o.Text != "" {
		t.Errorf("%+v", o)
	}
	if p.ledger.tokens != 24 || p.ledger.routes[0] != "bank" {
		t.Error(p.ledger.tokens, p.ledger.routes)
	}
}

func TestWhatIsSaidReachesTheLogWhenAsked(t *testing.T) {
	for _, on := range []bool{false, true} {
		p := newPlace(t, func(_ *place, o *Options) { o.Text = on })
		p.ask(t, "/v1/chat/completions", helloChat)
		eventually(t, "the end", func() bool { return len(p.ledger.outcomes()) == 1 })
		if got := p.ledger.calls[0].Prompt == "user: hi\n" && p.ledger.outcomes()[0].Text == "hello"; got != on {
			t.Errorf("%v: %+v", on, p.ledger.calls[0])
		}
	}
}

func TestMaxTokensAbsent(t *testing.T) {
	for _, c := range []struct {
		path, body  string
		limit, want int
		codec       bool
	}{
		{"/v1/chat/completions", helloChat, 0, 512 - 19, true},
		{"/v1/chat/completions", helloChat, 100, 100, true},
		{"/v1/chat/completions", helloChat, 0, 0, false},
		{"/v1/completions", `{"model":"bank","prompt":"hi"}`, 0, 16, true},
		{"/v1/completions", `{"model":"bank","prompt":"` + strings.Repeat("x", 505) + `"}`, 0, 7, true},
	} {
		p := newPlace(t, func(p *place, _ *Options) {
			p.door.limits.Tokens = c.limit
			p.names.target = func(t *Target) {
				if !c.codec {
					t.Codec = nil
				}
			}
		})
		if status, _, body := p.ask(t, c.path, c.body); status != 200 {
			t.Fatal(status, body)
		}
		got := p.gen.seen[0].Sampling.MaxTokens
		if c.want == 512-19 {
			ids, _ := p.codec().Prompt([]dlm.Message{{Role: "user", Content: "hi"}}, "")
			c.want = 512 - len(ids)
		}
		if got != c.want {
			t.Errorf("%s, limit %d: %d tokens, expected %d", c.path, c.limit, got, c.want)
		}
	}
}
