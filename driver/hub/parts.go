package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"dlm"
)

// upload is one large file on its way.
type upload struct {
	h        *Hub
	r        Ref
	f        *outgoing
	progress dlm.PullProgress
	state    *uploadState

	sent atomic.Int64 // bytes that went out, repeated ones too

	mu   sync.Mutex
	busy map[int]int64 // bytes of each part on its way
	told int64         // progress that was reported
}

// partWorkers is how many parts go up at once.
const partWorkers = 4

// transfer sends what is missing and has it checked.
func (u *upload) transfer(ctx context.Context) error {
	in, size, err := u.f.open()
	if err != nil {
		return err
	}
	defer in.Close()
	if size != u.f.size {
		return fmt.Errorf("%s changed while it was pushed; push again", u.f.from)
	}
	u.busy, u.told = map[int]int64{}, 0
	if u.state.Parts == nil {
		_, err = u.sendPart(ctx, in, 0, u.state.Href, 0, u.f.size)
	} else if err = u.sendParts(ctx, in); err == nil {
		err = u.finish(ctx)
	}
	if err != nil {
		return err
	}
	return u.verify(ctx)
}

// sendParts sends the parts whose ETag is not known yet, some at once. The first
// failure stops the others; what is through by then is kept.
func (u *upload) sendParts(ctx context.Context, in content) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	todo := make(chan int)
	var wg sync.WaitGroup
	for range min(partWorkers, len(u.state.Parts)) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for n := range todo {
				if err := u.sendAndKeep(ctx, in, n); err != nil {
					cancel(err) // the first one counts
				}
			}
		}()
	}
	for n := 1; n <= len(u.state.Parts); n++ {
		u.mu.Lock()
		_, done := u.state.ETags[n]
		u.mu.Unlock()
		if done {
			continue
		}
		select {
		case todo <- n:
		case <-ctx.Done():
		}
	}
	close(todo)
	wg.Wait()
	return context.Cause(ctx)
}

// sendAndKeep sends part n, counted from 1, and writes down that it is through.
func (u *upload) sendAndKeep(ctx context.Context, in content, n int) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	at := int64(n-1) * u.state.Chunk
	tag, err := u.sendPart(ctx, in, n, u.state.Parts[n-1], at, min(u.state.Chunk, u.f.size-at))
	if err != nil {
		return err
	}
	if tag == "" {
		return &answerError{msg: fmt.Sprintf("%s: the store gives no ETag for part %d, without which the parts cannot be put together", u.f.path, n)}
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state.ETags[n] = tag
	u.report()
	return u.h.keepUpload(u.state)
}

// sendPart sends size bytes from at, with retries, and returns their ETag.
func (u *upload) sendPart(ctx context.Context, in content, n int, to string, at, size int64) (tag string, err error) {
	err = u.h.retry(ctx, func(ctx context.Context) (bool, error) {
		defer u.count(n, 0)
		tag, err = u.put(ctx, io.NewSectionReader(in, at, size), n, to, size)
		return false, err
	})
	return tag, err
}

// put makes one PUT; no byte for too long ends it.
func (u *upload) put(ctx context.Context, in io.Reader, n int, to string, size int64) (string, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := fmt.Errorf("it took no byte for %v", u.h.policy.stall)
	watch := time.AfterFunc(u.h.policy.stall, func() { cancel(stalled) })
	defer watch.Stop()
	body := &counted{in: in, each: func(k, all int64) {
		watch.Reset(u.h.policy.stall)
		u.sent.Add(k)
		u.count(n, all)
	}}
	var headers []string
	if n == 0 {
		for k, v := range u.state.Header {
			headers = append(headers, k, v)
		}
	}
	resp, err := u.h.exchange(ctx, u.h.data, call{method: http.MethodPut, url: to, body: body, size: size, bare: true}, headers...)
	if err != nil {
		var reach *reachError
		if errors.As(err, &reach) && errors.Is(context.Cause(ctx), stalled) {
			reach.err = stalled
		}
		return "", err
	}
	defer resp.Body.Close()
	switch s := resp.StatusCode; {
	case s >= 200 && s < 300:
		return resp.Header.Get("ETag"), nil
	case s == http.StatusForbidden || s == http.StatusNotFound || s == http.StatusGone || s == http.StatusUnauthorized:
		return "", fmt.Errorf("%w (%s answers %d%s)", errExpired, resp.Request.URL.Host, s, colon(reason(resp)))
	case s == http.StatusBadRequest:
		said := reason(resp)
		if n > 0 {
			return "", fmt.Errorf("%w (%s answers 400%s)", errExpired, resp.Request.URL.Host, colon(said))
		}
	}
	return "", u.h.failed(resp, u.r)
}

// counted tells how many bytes were read: now, and of the whole.
type counted struct {
	in   io.Reader
	all  int64
	each func(n, all int64)
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.in.Read(b)
	c.all += int64(n)
	c.each(int64(n), c.all)
	return n, err
}

// count notes how many bytes of part n are on their way.
func (u *upload) count(n int, all int64) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.busy[n] = all
	u.report()
}

// report tells the progress: the parts that are through, and what of the others
// is on its way. What must be sent again does not make it go back. Callers hold
// u.mu.
func (u *upload) report() {
	var done int64
	if u.state.Parts != nil {
		for p := range u.state.ETags {
			done += min(u.state.Chunk, u.f.size-int64(p-1)*u.state.Chunk)
		}
	}
	for p, b := range u.busy {
		if _, through := u.state.ETags[p]; !through {
			done += b
		}
	}
	if done > u.told {
		u.told = done
		u.progress(u.f.path, done, u.f.size)
	}
}
