package remote

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dlm"
)

func TestEvents(t *testing.T) {
	read := func(text string) (got []string, err error) {
		err = Events(strings.NewReader(text), func(data []byte) error {
			got = append(got, string(data))
			if string(data) == "stop" {
				return ErrDone
			}
			return nil
		})
		return got, err
	}
	got, err := read(": comment\nevent: x\ndata: one\r\n\ndata:two\n\nid: 3\ndata: [DONE]\ndata: after\n")
	if err != nil || !reflect.DeepEqual(got, []string{"one", "two"}) {
		t.Errorf("%q %v", got, err)
	}
	if got, err = read("data: stop\n\ndata: after\n"); err != nil || len(got) != 1 {
		t.Errorf("%q %v", got, err)
	}
	for _, text := range []string{"", "data: one\n\n", "data: one"} {
		if _, err = read(text); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%q: error %v", text, err)
		}
	}
}

func TestReason(t *testing.T) {
	for _, c := range [][3]string{
		{`{"error":{"message":"no","type":"x","param":"n"}}`, "no", "n"},
		{`{"error":{"message":"no","param":null}}`, "no", ""},
		{`{"error":"no"}`, "no", ""},
		{`{"detail":[{"msg":"bad"}]}`, `[{"msg":"bad"}]`, ""},
		{`{"object":"error","message":"no"}`, "no", ""},
		{"<html>\n502</html>", "502 Bad Gateway: <html> 502</html>", ""},
		{"", "502 Bad Gateway", ""},
	} {
		if m, p := Reason([]byte(c[0]), "502 Bad Gateway"); m != c[1] || p != c[2] {
			t.Errorf("%s: %q, %q", c[0], m, p)
		}
	}
}

func TestRefused(t *testing.T) {
	for code, kind := range map[int]dlm.FaultKind{
		400: dlm.FaultRequest, 401: dlm.FaultUpstream, 404: dlm.FaultUnknown, 413: dlm.FaultTooLarge, 422: dlm.FaultRequest,
		429: dlm.FaultLimit, 500: dlm.FaultUpstream, 502: dlm.FaultUpstream, 503: dlm.FaultBusy, 504: dlm.FaultTimeout,
	} {
		r := &http.Response{StatusCode: code, Status: http.StatusText(code), Header: http.Header{"Retry-After": {"1.5"}}, Body: io.NopCloser(strings.NewReader(`{"error":"no"}`))}
		f := Refused("it", r)
		if f.Kind != kind || f.Retry != 1500*time.Millisecond || !strings.Contains(f.Error(), "it answered") {
			t.Errorf("%d: %+v", code, f)
		}
	}
	now := time.Now()
	if d := retryAfter(now.Add(time.Minute).UTC().Format(http.TimeFormat), now); d < 58*time.Second || d > time.Minute {
		t.Errorf("a date gives %v", d)
	}
	for _, h := range []string{"", "-1", "soon", "1e300", "NaN"} {
		if d := retryAfter(h, now); d != 0 {
			t.Errorf("%q gives %v", h, d)
		}
	}
}

func TestEachStopsAtTheFirst(t *testing.T) {
	var ran atomic.Int32
	no := errors.New("no")
	err := Each(context.Background(), 100, 3, func(ctx context.Context, i int) error {
		ran.Add(1)
		if i == 4 {
			return no
		}
		return nil
	})
	if !errors.Is(err, no) || !strings.Contains(err.Error(), "request 5 of 100") || ran.Load() == 100 {
		t.Errorf("%v after %d", err, ran.Load())
	}
	ctx, cancel := context.WithCancel(context.Background())
	err = Each(ctx, 2, 2, func(ctx context.Context, _ int) error {
		cancel()
		<-ctx.Done()
		return errors.New("cut")
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// TestEmitterKeepsOrder: all tokens arrive in order, and Tell waits for nobody.
func TestEmitterKeepsOrder(t *testing.T) {
	gate, got := make(chan struct{}), []int32{}
	e := NewEmitter(context.Background(), func(_ int, t dlm.Token) {
		<-gate
		got = append(got, t.ID)
	})
	for id := range int32(100) {
		e.Tell(0, dlm.Token{ID: id})
	}
	close(gate)
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	for i, id := range got {
		if int(id) != i {
			t.Fatalf("token %d came at %d", id, i)
		}
	}
	if len(got) != 100 {
		t.Errorf("%d of 100 came", len(got))
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e = NewEmitter(ctx, func(int, dlm.Token) { t.Error("emitted after the end") })
	e.Tell(0, dlm.Token{})
	if err := e.Close(); !errors.Is(err, context.Canceled) {
		t.Errorf("closed after the end: %v", err)
	}
}

// FuzzEvents: whatever a server sends, reading it ends without a panic.
func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: {\"a\":1}\n\ndata: [DONE]\n"))
	f.Add([]byte("error: x\r\n: y\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_ = Events(bytes.NewReader(raw), func(data []byte) error {
			if bytes.ContainsAny(data, "\n") {
				t.Errorf("data %q holds a line's end", data)
			}
			_, _ = Reason(data, "x")
			return nil
		})
	})
}
