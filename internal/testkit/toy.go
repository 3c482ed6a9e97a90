package testkit

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"

	"dlm"
)

// Toy is a language model over the bytes of a ByteCodec, for fake servers: the
// distribution of a token depends on the four before it. An adapter is another
// seed and its strength. Most of what it writes is printable.
type Toy struct {
	Base, Adapter uint64
	Strength      float64
	Printable     bool // no other token has a chance
}

// LogProbs is the distribution of the token after ids.
func (m Toy) LogProbs(ids []int32) []float64 {
	h := fnv.New64a()
	for _, id := range ids[max(0, len(ids)-4):] {
		fmt.Fprint(h, id, ",")
	}
	base := rand.New(rand.NewPCG(h.Sum64(), m.Base))
	own := rand.New(rand.NewPCG(h.Sum64(), m.Adapter))
	out, sum := make([]float64, ByteVocab), 0.0
	for i := range out {
		out[i] = base.NormFloat64()*2 + m.Strength*own.NormFloat64()
		switch printable := i >= 32 && i < 127; {
		case printable:
			out[i] += 6
		case m.Printable:
			out[i] -= 40
		}
		sum += math.Exp(out[i])
	}
	for i := range out {
		out[i] -= math.Log(sum)
	}
	return out
}

// Scores are the log-probabilities of ids[1:].
func (m Toy) Scores(ids []int32) []float64 {
	out := make([]float64, len(ids)-1)
	for i := range out {
		out[i] = m.LogProbs(ids[:i+1])[ids[i+1]]
	}
	return out
}

// Top are the k likeliest tokens of a distribution, likeliest first.
func (m Toy) Top(logps []float64, k int) []dlm.Alternative {
	all := make([]dlm.Alternative, len(logps))
	for i, v := range logps {
		all[i] = dlm.Alternative{ID: int32(i), LogProb: v, Bytes: ByteCodec{}.Bytes(int32(i))}
	}
	slices.SortStableFunc(all, func(a, b dlm.Alternative) int { return cmp.Compare(b.LogProb, a.LogProb) })
	return all[:min(k, len(all))]
}

// Complete generates after a prompt and calls f with each token's id and the
// distribution that it was drawn from, until f says no or the completion ends.
// It returns why it ended: "stop" at a token that ends the turn, "length". Stop
// strings are the caller's. A format is answered with FormatExample.
func (m Toy) Complete(prompt []int32, s dlm.Sampling, format *dlm.Format, f func(id int32, logps []float64) bool) string {
	ids := slices.Clone(prompt)
	script := []int32(nil)
	if format != nil {
		script = append(byteIDs(FormatExample(*format)), ByteEnd)
	}
	stops := s.StopIDs
	if !s.IgnoreEOS {
		stops = append(slices.Clone(stops), ByteEnd)
	}
	if s.MaxTokens == 0 {
		s.MaxTokens = byteContext - len(prompt)
	}
	for n := range s.MaxTokens {
		logps := m.LogProbs(ids)
		id := m.next(logps, ids, len(prompt), stops, s)
		if script != nil {
			id = script[n]
		}
		ids = append(ids, id)
		if !f(id, logps) {
			return "stop"
		}
		if slices.Contains(stops, id) {
			return "stop"
		}
	}
	return "length"
}

// next chooses a token: the likeliest, or one drawn, after all that changes logits.
func (m Toy) next(logps []float64, ids []int32, from int, stops []int32, s dlm.Sampling) int32 {
	draw := rand.New(rand.NewPCG(s.Seed+1000*s.Sequence, uint64(len(ids))))
	count := map[int32]int{}
	for _, id := range ids[from:] {
		count[id]++
	}
	best, most := 0, math.Inf(-1)
	for i, v := range logps {
		id := int32(i)
		if s.RepetitionPenalty > 1 && slices.Contains(ids, id) {
			v *= s.RepetitionPenalty
		}
		v += s.LogitBias[id] - s.FrequencyPenalty*float64(count[id])
		if count[id] > 0 {
			v -= s.PresencePenalty
		}
		if len(ids)-from < s.MinTokens && slices.Contains(stops, id) {
			v = math.Inf(-1)
		}
		if s.Temperature > 0 {
			v = v/s.Temperature - math.Log(-math.Log(draw.Float64()))
		}
		if v > most {
			best, most = i, v
		}
	}
	return int32(best)
}

// ToyGenerator is a Toy behind the port, which the suite itself is tested with.
type ToyGenerator struct{ Toy }

// Generate answers every request, one after the other.
func (g ToyGenerator) Generate(ctx context.Context, reqs []dlm.GenerateRequest, emit func(i int, t dlm.Token)) ([]dlm.Completion, error) {
	out := make([]dlm.Completion, len(reqs))
	for i, r := range reqs {
		err := r.Validate()
		if err == nil && r.Adapter != "" {
			err = dlm.Faultf(dlm.FaultUnknown, "model", "no adapter %s", r.Adapter)
		}
		if err != nil {
			return nil, fmt.Errorf("request %d: %w", i+1, err)
		}
		if r.IDs == nil {
			r.IDs, _ = ByteCodec{}.Prompt(r.Messages, r.Raw) // it has one, says Validate
		}
		out[i] = g.answer(ctx, r, func(t dlm.Token) {
			if emit != nil && ctx.Err() == nil {
				emit(i, t)
			}
		})
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (g ToyGenerator) answer(ctx context.Context, r dlm.GenerateRequest, emit func(dlm.Token)) (c dlm.Completion) {
	c.PromptTokens, c.Latency = len(r.IDs), 1
	if r.PromptLogProbs {
		c.Prompt = g.Reported(r.IDs, r.TopLogProbs)
	}
	if r.PromptOnly {
		c.Finish = "length"
		return c
	}
	text, stopped := ByteCodec{}.Spell(r.Sampling.Stop), false
	c.Finish = g.Complete(r.IDs, r.Sampling, r.Format, func(id int32, logps []float64) bool {
		t := dlm.Token{ID: id, LogProb: logps[id]}
		if id != ByteEnd || r.Sampling.IgnoreEOS {
			t.Text, stopped = text.Push(id)
		}
		if len(c.Tokens)+1 == r.Sampling.MaxTokens || id == ByteEnd || slices.Contains(r.Sampling.StopIDs, id) {
			t.Text += text.Flush()
		}
		if r.TopLogProbs > 0 {
			t.Bytes, t.Top = ByteCodec{}.Bytes(id), g.Top(logps, r.TopLogProbs)
		}
		c.Text, c.Tokens = c.Text+t.Text, append(c.Tokens, t)
		emit(t)
		return !stopped && ctx.Err() == nil
	})
	return c
}

// Reported are a prompt's tokens with their log-probabilities.
func (m Toy) Reported(ids []int32, top int) []dlm.Token {
	out := make([]dlm.Token, len(ids))
	for i, id := range ids {
		out[i] = dlm.Token{ID: id, Bytes: ByteCodec{}.Bytes(id)}
		if i > 0 {
			logps := m.LogProbs(ids[:i])
			out[i].LogProb = logps[id]
			if top > 0 {
				out[i].Top = m.Top(logps, top)
			}
		}
	}
	return out
}
