package vllm

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"dlm"
)

// ErrIdentity is wrapped by the error of a base or adapter that does not answer
// as itself.
var ErrIdentity = errors.New("it does not answer as itself")

// checkBase asks the served base the text of its probe: another base, another
// tokenizer or a server in between answers otherwise.
func (e *Engine) checkBase(ctx context.Context) error {
	if e.o.Probe == nil {
		return nil
	}
	p, err := e.o.Probe(ctx, "")
	if err != nil {
		return fmt.Errorf("the base's probe: %w", err)
	}
	got, err := e.logProbs(ctx, e.model, p.IDs)
	if err != nil {
		return fmt.Errorf("asking the base for its probe: %w", err)
	}
	d := dlm.MeanDifference(got, p.Base)
	if d > e.o.Tolerance {
		return fmt.Errorf("vLLM serves another base than this project's under the name %s (%w): on the probe its log-probabilities differ by %.3f nats a token on average, where %.2f is accepted\n%s",
			e.model, ErrIdentity, d, e.o.Tolerance, table(e.o.Codec, p, map[string][]float64{"vLLM": got}))
	}
	e.o.Note(fmt.Sprintf("vLLM serves this base: %.4f nats a token from its probe (%s)", d, p.Precision))
	return nil
}

// checkAdapter asks a loaded adapter the text of its probe. Where the adapter
// should stand on this server is where the base stands on it, moved as the
// adapter moved it in the engine that recorded the probe: so what the two engines
// round differently in the base cancels. It must be nearer to that than to the
// base, and within the tolerance of what was recorded.
func (e *Engine) checkAdapter(ctx context.Context, name, dir string, p dlm.Probe) error {
	base, err := e.logProbs(ctx, e.model, p.IDs)
	if err != nil {
		return fmt.Errorf("asking the base for its probe: %w", err)
	}
	got, err := e.logProbs(ctx, name, p.IDs)
	if err != nil {
		return fmt.Errorf("asking adapter %s for its probe: %w", dir, err)
	}
	expected := make([]float64, len(base))
	for i := range base {
		expected[i] = base[i] + p.Adapter[i] - p.Base[i]
	}
	fromAdapter, fromBase, off := dlm.MeanDifference(got, expected), dlm.MeanDifference(got, base), dlm.MeanDifference(got, p.Adapter)
	why := ""
	switch {
	case p.Zero && fromBase > e.o.Tolerance:
		why = fmt.Sprintf("all its B are zero, and yet it moves the base by %.3f nats a token", fromBase)
	case !p.Zero && fromAdapter >= fromBase:
		why = fmt.Sprintf("vLLM answers as the base: it is %.3f nats a token from the base and %.3f from the adapter, which moves the probe by %.3f", fromBase, fromAdapter, p.Moved())
	case off > e.o.Tolerance:
		why = fmt.Sprintf("vLLM answers as neither it nor the base: it is %.3f nats a token from what was recorded (%s), where %.2f is accepted", off, p.Precision, e.o.Tolerance)
	default:
		e.o.Note(fmt.Sprintf("vLLM serves the adapter: %.4f nats a token from its probe (%s), %.4f from the base", off, p.Precision, fromBase))
		return nil
	}
	return fmt.Errorf("adapter %s is refused (%w): %s\n%s", dir, ErrIdentity, why, table(e.o.Codec, p, map[string][]float64{"vLLM": got, "vLLM's base": base}))
}

// tableRows is how many tokens of a probe an error shows.
const tableRows = 12

// table sets the probe beside what vLLM answered.
func table(c dlm.Codec, p dlm.Probe, answers map[string][]float64) string {
	var b strings.Builder
	line := func(first string, rest ...string) {
		fmt.Fprintf(&b, "  %-16s", first)
		for _, s := range rest {
			fmt.Fprintf(&b, " %12s", s)
		}
		b.WriteByte('\n')
	}
	cell := func(v []float64, i int) string { return fmt.Sprintf("%.4f", v[i]) }
	if len(p.Adapter) > 0 {
		line("token", "base", "adapter", "vLLM's base", "vLLM")
	} else {
		line("token", "base", "vLLM")
	}
	for i := range min(len(p.Base), tableRows) {
		token := fmt.Sprintf("%.14q", c.Piece(p.IDs[i+1]))
		if len(p.Adapter) > 0 {
			line(token, cell(p.Base, i), cell(p.Adapter, i), cell(answers["vLLM's base"], i), cell(answers["vLLM"], i))
		} else {
			line(token, cell(p.Base, i), cell(answers["vLLM"], i))
		}
	}
	if n := len(p.Base) - tableRows; n > 0 {
		fmt.Fprintf(&b, "  and %d tokens more\n", n)
	}
	return strings.TrimRight(b.String(), "\n")
}
