package serve

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"dlm"
	"dlm/serve/openai"
)

// wire makes the events of a streamed answer.
type wire interface {
	first(h openai.Head, i int) any // nil = none
	next(h openai.Head, i int, text string, tokens []dlm.Token) any
	last(h openai.Head, i int, finish string) any
	used(h openai.Head, u openai.Usage) any
	silent(t dlm.Token) bool // nothing to tell of this token yet
}

// stream answers with an event for each token as it comes. The status line waits
// for the first: an engine's refusal is an answer with a status of its own.
func (x *exchange) stream(j job) error {
	q := newQueue()
	var all []dlm.Completion
	var failed error
	go func() {
		defer q.close()
		all, failed = x.generate(x.ctx, j.reqs, func(i int, t dlm.Token) {
			x.record.Token(i)
			q.put(i, t)
		})
	}()
	v := events{x: x, w: j.wire, h: x.head(j.shared.Model), begun: make([]bool, len(j.reqs)), sent: make([]int, len(j.reqs))}
	var stuck error
	var spare []item
	for {
		batch := q.take(spare)
		if len(batch) == 0 {
			break // all and failed are there
		}
		if stuck == nil {
			if stuck = v.tokens(batch); stuck != nil {
				x.cancel() // the batch has no place for an answer that nobody takes
			}
		}
		spare = batch
	}
	switch {
	case stuck != nil:
		if failed == nil {
			x.account(onlyPrompts(j.reqs, all), j.shared.Choices())
		}
		return stuck
	case failed != nil:
		return failed
	}
	return v.finish(j, onlyPrompts(j.reqs, all))
}

// events writes the events of one answer.
type events struct {
	x     *exchange
	w     wire
	h     openai.Head
	begun []bool
	sent  []int // bytes of each choice's text
	buf   bytes.Buffer
}

// tokens writes an event for each.
func (v *events) tokens(batch []item) error {
	for _, it := range batch {
		if err := v.begin(it.i); err != nil {
			return err
		}
		if v.w.silent(it.t) {
			continue
		}
		if err := v.add(v.w.next(v.h, it.i, it.t.Text, []dlm.Token{it.t})); err != nil {
			return err
		}
		v.sent[it.i] += len(it.t.Text)
	}
	return v.flush()
}

func (v *events) begin(i int) error {
	if v.begun[i] {
		return nil
	}
	v.begun[i] = true
	return v.add(v.w.first(v.h, i))
}

// finish writes what tokens have not told yet, why each choice ended, and what all of it used.
func (v *events) finish(j job, all []dlm.Completion) error {
	u := v.x.account(all, j.shared.Choices())
	for i, c := range all {
		if err := v.begin(i); err != nil {
			return err
		}
		if v.sent[i] < len(c.Text) {
			if err := v.add(v.w.next(v.h, i, c.Text[v.sent[i]:], nil)); err != nil {
				return err
			}
		}
		if err := v.add(v.w.last(v.h, i, c.Finish)); err != nil {
			return err
		}
	}
	if j.shared.IncludeUsage() {
		if err := v.add(v.w.used(v.h, u)); err != nil {
			return err
		}
	}
	v.buf.WriteString("data: [DONE]\n\n")
	return v.flush()
}

func (v *events) add(e any) error {
	if e == nil {
		return nil
	}
	v.buf.WriteString("data: ")
	if err := encode(&v.buf, e); err != nil {
		return err
	}
	v.buf.WriteByte('\n')
	return nil
}

func (v *events) flush() error {
	defer v.buf.Reset()
	return v.x.push(v.buf.Bytes())
}

// event writes one event at once.
func (x *exchange) event(e any) error {
	v := events{x: x}
	if err := v.add(e); err != nil {
		return err
	}
	return v.flush()
}

// push sends a part of a stream, and gives up when the client does not take it in time.
func (x *exchange) push(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if !x.headed {
		h := x.w.Header()
		h.Set("Content-Type", "text/event-stream; charset=utf-8")
		h.Set("Cache-Control", "no-cache")
		h.Set("X-Accel-Buffering", "no") // nginx would collect the events
		x.headed, x.out.Status = true, http.StatusOK
		x.w.WriteHeader(http.StatusOK)
	}
	_ = x.rc.SetWriteDeadline(time.Now().Add(x.s.o.Stall))
	if _, err := x.w.Write(b); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	if err := x.rc.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	_ = x.rc.SetWriteDeadline(time.Time{})
	return nil
}
