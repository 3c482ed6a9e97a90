package native

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dlm"
)

// said is what an answer was, log-probabilities included, to be compared to the last bit.
func said(c dlm.Completion) string { return fmt.Sprintf("%q %s %v", c.Text, c.Finish, c.Tokens) }

func asking(i int, adapter string) dlm.GenerateRequest {
	return dlm.GenerateRequest{
		Messages: []dlm.Message{{Role: "user", Content: fmt.Sprintf("question %d: what is to be done?", i%7)}},
		Adapter:  adapter, Tenant: fmt.Sprint(i % 3),
		Sampling: dlm.Sampling{MaxTokens: 4 + i%9, Temperature: float64(i%2) * 0.8, Seed: uint64(i)},
	}
}

// TestCallsShareSteps: calls of many goroutines, some of them cancelled, with
// adapters for which there is no room, answer as each does alone.
func TestCallsShareSteps(t *testing.T) {
	n := open(t, "llama-tied", Options{MaxSequences: 4, AdapterBytes: 1})
	dirs := []string{"", bound(t, n, 2, false), bound(t, n, 3, false), bound(t, n, 4, false)}
	const calls = 60
	want := make([]string, calls)
	for i := range want {
		c, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(i, dirs[i%len(dirs)])}, nil)
		if err != nil {
			t.Fatal(err)
		}
		want[i] = said(c[0])
	}
	var wait sync.WaitGroup
	for i := range calls {
		wait.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var emit func(int, dlm.Token)
			if i%5 == 4 {
				emit = func(int, dlm.Token) { cancel() }
			}
			c, err := n.Generate(ctx, []dlm.GenerateRequest{asking(i, dirs[i%len(dirs)])}, emit)
			switch {
			case i%5 == 4:
				if !errors.Is(err, context.Canceled) {
					t.Errorf("call %d was cancelled and ended with %v", i, err)
				}
			case err != nil:
				t.Errorf("call %d: %v", i, err)
			case said(c[0]) != want[i]:
				t.Errorf("call %d: among others %s, alone %s", i, said(c[0]), want[i])
			case c[0].Queued < 0 || c[0].Queued > c[0].Latency:
				t.Errorf("call %d waited %v of %v", i, c[0].Queued, c[0].Latency)
			}
		})
	}
	wait.Wait()
	for _, h := range n.Adapters() {
		t.Errorf("%s is kept (in use %d) although there is no room for it", h.Dir, h.InUse)
	}
	if s := n.Stats(); s.Running+s.Waiting+s.CacheUsed != 0 || s.AdapterLoads < 3 {
		t.Errorf("after all calls: %+v", s)
	}
}

// TestSlowEmit: a caller that takes its tokens slowly holds up nobody.
func TestSlowEmit(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	block, blocked := make(chan struct{}), make(chan struct{})
	var once sync.Once
	slow := make(chan error, 1)
	go func() {
		_, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(8, "")}, func(int, dlm.Token) {
			once.Do(func() { close(blocked) })
			<-block
		})
		slow <- err
	}()
	<-blocked
	if _, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(1, "")}, nil); err != nil {
		t.Error(err)
	}
	close(block)
	if err := <-slow; err != nil {
		t.Error(err)
	}
}

// TestEmitMayAsk: the loop holds nothing while it emits.
func TestEmitMayAsk(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	asked := false
	_, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(3, "")}, func(int, dlm.Token) {
		if !asked {
			asked = true
			if _, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(4, "")}, nil); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil || !asked {
		t.Error(err, asked)
	}
}

// TestCloseEndsCalls: nobody waits for a base that is gone.
func TestCloseEndsCalls(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	r := asking(0, "")
	r.Sampling.MaxTokens, r.Sampling.IgnoreEOS = 60, true
	var once sync.Once
	_, err := n.Generate(t.Context(), []dlm.GenerateRequest{r, r}, func(int, dlm.Token) { once.Do(func() { n.Close() }) })
	if err == nil {
		t.Skip("the answer was there before the base was closed")
	}
	if !errors.Is(err, errClosed) {
		t.Error(err)
	}
	if _, err := n.Generate(t.Context(), []dlm.GenerateRequest{r}, nil); !errors.Is(err, errClosed) {
		t.Error(err)
	}
}

// TestQueueIsBounded: where a bound is set, more requests are refused at once.
func TestQueueIsBounded(t *testing.T) {
	n := open(t, "llama-tied", Options{MaxSequences: 1, MaxQueue: 1})
	r := asking(0, "")
	if _, err := n.Generate(t.Context(), []dlm.GenerateRequest{r, r, r}, nil); dlm.FaultOf(err) != dlm.FaultBusy {
		t.Errorf("three requests for two places: %v", err)
	}
	if _, err := n.Generate(t.Context(), []dlm.GenerateRequest{r, r}, nil); err != nil {
		t.Error(err)
	}
}

// TestAdapterComesInWhileTheQueueIsFull: its probe is the engine's own work.
func TestAdapterComesInWhileTheQueueIsFull(t *testing.T) {
	n := open(t, "llama-tied", Options{MaxSequences: 1, MaxQueue: 1})
	dir := bound(t, n, 4, false)
	r := asking(0, "")
	r.Sampling.MaxTokens, r.Sampling.IgnoreEOS = 400, true
	asked := false
	_, err := n.Generate(t.Context(), []dlm.GenerateRequest{r, r}, func(int, dlm.Token) {
		if !asked {
			asked = true
			if err := n.LoadAdapter(t.Context(), dir, true); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPinsAndRoom: pinned adapters stay, of the others the least recently used goes first.
func TestPinsAndRoom(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	a, b, c := bound(t, n, 4, false), bound(t, n, 4, false), bound(t, n, 4, false)
	if err := n.LoadAdapter(t.Context(), a, true); err != nil {
		t.Fatal(err)
	}
	n.shelf.budget = 2 * n.Adapters()[0].Bytes
	for _, dir := range []string{b, c} {
		if err := n.LoadAdapter(t.Context(), dir, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	here := map[string]bool{}
	for _, h := range n.Adapters() {
		here[h.Dir] = true
	}
	if !here[a] || here[b] || !here[c] {
		t.Errorf("in memory: %v; expected the pinned and the newest", here)
	}
	if err := n.LoadAdapter(t.Context(), a, false); err != nil {
		t.Fatal(err)
	}
	if err := n.UnloadAdapter(t.Context(), a); err != nil || len(n.Adapters()) != 1 {
		t.Errorf("unloaded: %v, in memory %v", err, n.Adapters())
	}
	if err := n.LoadAdapter(t.Context(), filepath.Join(a, "nowhere"), true); dlm.FaultOf(err) != dlm.FaultUnknown {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestRoomIsWaitedFor: more adapters than the budget holds are asked for at once by
// calls that take long; at no time are more in memory, and all are answered.
func TestRoomIsWaitedFor(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	var dirs []string
	for rank := range 6 {
		dirs = append(dirs, bound(t, n, rank+2, false))
	}
	for _, dir := range dirs { // what each takes is known once it was read
		if err := n.CheckAdapter(dir); err != nil {
			t.Fatal(err)
		}
	}
	n.shelf.budget = 2 * slices.MaxFunc(n.Adapters(), func(a, b dlm.HeldAdapter) int { return int(a.Bytes - b.Bytes) }).Bytes
	var wait sync.WaitGroup
	var most atomic.Int64
	for i := range 48 {
		wait.Go(func() {
			_, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(i, dirs[i%len(dirs)])}, func(int, dlm.Token) {
				n.shelf.mu.Lock()
				total, _ := n.shelf.weigh()
				n.shelf.mu.Unlock()
				most.Store(max(most.Load(), total))
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := most.Load(); got > n.shelf.budget || got == 0 {
		t.Errorf("adapters took up to %d bytes, the budget is %d", got, n.shelf.budget)
	}
	// A call that needs more than the budget by itself is answered too.
	var reqs []dlm.GenerateRequest
	for i, dir := range dirs {
		reqs = append(reqs, asking(i, dir))
	}
	if _, err := n.Generate(t.Context(), reqs, nil); err != nil {
		t.Error(err)
	}
}

// TestUnloadWhileInUse: an adapter that is asked to leave answers to the end.
func TestUnloadWhileInUse(t *testing.T) {
	n := open(t, "llama-tied", Options{})
	dir := bound(t, n, 4, false)
	want, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(8, dir)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	got, err := n.Generate(t.Context(), []dlm.GenerateRequest{asking(8, dir)}, func(int, dlm.Token) {
		once.Do(func() {
			if err := n.UnloadAdapter(t.Context(), dir); err != nil {
				t.Error(err)
			}
		})
	})
	if err != nil || said(got[0]) != said(want[0]) {
		t.Errorf("%v: %s, expected %s", err, said(got[0]), said(want[0]))
	}
	if list := n.Adapters(); len(list) != 0 {
		t.Errorf("still in memory: %v", list)
	}
}
