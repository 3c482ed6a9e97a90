package serve

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"dlm"
	"dlm/serve/openai"
)

// job is what a request of either kind asks of the generator, and how its answer is written.
type job struct {
	shared   *openai.Sampled
	reqs     []dlm.GenerateRequest // n for each prompt
	explicit bool                  // the client said how many tokens it wants at most
	answer   func(openai.Head, []dlm.Completion) (any, error)
	wire     wire
}

// perform reserves, generates and answers.
func (x *exchange) perform(j job) error {
	if err := x.budget(&j); err != nil {
		return err
	}
	x.seed(&j)
	for i := range j.reqs {
		j.reqs[i].Adapter, j.reqs[i].Tenant = x.target.Ref, x.call.Tenant
	}
	if j.shared.Stream {
		return x.stream(j)
	}
	all, err := x.generate(x.ctx, j.reqs, func(i int, _ dlm.Token) { x.record.Token(i) })
	if err != nil {
		return err
	}
	body, err := j.answer(x.head(j.shared.Model), all)
	if err != nil {
		return err
	}
	return x.json(http.StatusOK, body)
}

// budget finds out what the request may cost, refuses what is more than who asks
// may have or the context holds, and takes the rest from the quota.
func (x *exchange) budget(j *job) error {
	if l := x.limits.Choices; l > 0 && len(j.reqs) > l {
		return dlm.Faultf(dlm.FaultRequest, "n", "the request asks for %d completions; at most %d are given at once", len(j.reqs), l)
	}
	most := x.limits.Tokens
	n, total := j.shared.Choices(), 0
	for i := 0; i < len(j.reqs); i += n {
		s := &j.reqs[i].Sampling
		if most > 0 && s.MaxTokens > most {
			return dlm.Faultf(dlm.FaultRequest, "max_tokens", "max_tokens is %d; at most %d are given", s.MaxTokens, most)
		}
		prompt, room, err := x.measure(j.reqs[i], j.explicit)
		if err != nil {
			return err
		}
		x.spent += prompt
		tokens := s.MaxTokens
		if tokens == 0 && !j.reqs[i].PromptOnly {
			tokens = most
		}
		if room >= 0 && (tokens == 0 || tokens > room) {
			tokens = room
		}
		for k := i; k < i+n; k++ {
			j.reqs[k].Sampling.MaxTokens = tokens
		}
		total += prompt + n*cost(tokens, j.reqs[i].PromptOnly)
	}
	if err := x.grant.Reserve(total); err != nil {
		x.spent = 0
		return err
	}
	x.out.Prompt = x.spent
	return nil
}

// unknownTokens is what a completion is taken to cost where neither the request nor the
// context says how long it may be.
const unknownTokens = 256

func cost(tokens int, promptOnly bool) int {
	if tokens == 0 && !promptOnly {
		return unknownTokens
	}
	return tokens
}

// measure counts a prompt's tokens, and those that the context has room for after
// it. Where the engine sees text alone the count is a guess and room -1.
func (x *exchange) measure(r dlm.GenerateRequest, explicit bool) (tokens, room int, err error) {
	c := x.target.Codec
	switch {
	case r.IDs != nil:
		tokens = len(r.IDs)
	case c != nil:
		ids, err := c.Prompt(r.Messages, r.Raw)
		if err != nil {
			return 0, 0, promptFault(promptParam(r), err)
		}
		tokens = len(ids)
	default:
		bytes := len(r.Raw)
		for _, m := range r.Messages {
			bytes += len(m.Content)
		}
		tokens = bytes/4 + 1
	}
	if c == nil || c.Context() <= 0 {
		return tokens, -1, nil
	}
	return fit(tokens, c.Context(), r, explicit)
}

// fit says how much room the context has after a prompt, or that it has not enough.
func fit(prompt, context int, r dlm.GenerateRequest, explicit bool) (int, int, error) {
	room, want, param := context-prompt, r.Sampling.MaxTokens, "max_tokens"
	if r.PromptOnly && room >= 0 {
		return prompt, 0, nil
	}
	why := ""
	switch {
	case room < 1:
		param = promptParam(r)
		why = fmt.Sprintf("the context has %d tokens; the prompt has %d, which leaves none for a completion; shorten the prompt", context, prompt)
	case explicit && want > room:
		why = fmt.Sprintf("the context has %d tokens; the prompt has %d and max_tokens asks for %d; shorten one of them", context, prompt, want)
	default:
		return prompt, room, nil
	}
	return 0, 0, &dlm.Fault{Kind: dlm.FaultRequest, Param: param, Err: &openai.ContextError{Text: why}}
}

// promptParam is the field that the prompt came in.
func promptParam(r dlm.GenerateRequest) string {
	if r.Messages != nil {
		return "messages"
	}
	return "prompt"
}

// promptFault is an error of a template or tokenizer: what it was given is the client's.
func promptFault(param string, err error) error {
	if dlm.FaultOf(err) != "" {
		return err
	}
	return &dlm.Fault{Kind: dlm.FaultRequest, Param: param, Err: err}
}

// seed draws one where the client gave none, and tells it, so that any answer can be had again.
func (x *exchange) seed(j *job) {
	seed := int64(0)
	if s := j.shared.Seed; s != nil {
		seed = *s
	} else {
		var b [8]byte
		_, _ = rand.Read(b[:])                                       // never fails
		seed = int64(binary.LittleEndian.Uint64(b[:])) & (1<<53 - 1) // JSON's numbers hold that many bits
		for i := range j.reqs {
			j.reqs[i].Sampling.Seed = uint64(seed)
		}
	}
	x.w.Header().Set("X-Dlm-Seed", strconv.FormatInt(seed, 10))
}

// generate asks the generator and keeps the books of what came.
func (x *exchange) generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(int, dlm.Token)) (all []dlm.Completion, err error) {
	came := 0
	defer func() {
		if p := recover(); p != nil {
			err = caught(p)
		}
		if err != nil {
			x.spent += came
			x.out.Completion = came
		}
	}()
	all, err = x.target.Generator.Generate(ctx, reqs, func(i int, t dlm.Token) {
		came++
		emit(i, t)
	})
	if err == nil && len(all) != len(reqs) {
		err = errors.New("the generator answered another number of requests than it was asked")
	}
	return all, err
}

// account notes what the completions used.
func (x *exchange) account(all []dlm.Completion, n int) openai.Usage {
	u := openai.UsageOf(all, n)
	x.spent = u.Total
	x.out.Prompt, x.out.Cached, x.out.Completion = u.Prompt, u.Details.Cached, u.Completion
	for _, c := range all {
		x.out.Queued = max(x.out.Queued, c.Queued)
	}
	if len(all) > 0 {
		x.out.Finish = all[0].Finish
		if x.s.o.Text {
			x.out.Text = all[0].Text
		}
	}
	return u
}

// head is what each body of the answer begins with.
func (x *exchange) head(model string) openai.Head {
	prefix := "cmpl-"
	if x.call.Endpoint == "chat" {
		prefix = "chatcmpl-"
	}
	fp := "fp_" + x.target.Base.Short()
	if x.target.Adapter != "" {
		fp += "_" + x.target.Adapter.Short()
	}
	return openai.Head{ID: prefix + x.id, Created: time.Now().Unix(), Model: model, System: fp}
}
