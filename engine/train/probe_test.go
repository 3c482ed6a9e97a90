package train

import (
	"context"
	"errors"
	"testing"

	"dlm/engine/kernel"
	"dlm/engine/lora"
)

func TestProbeMeasuresAndChangesNothing(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	a := lora.New(m, adapterConfig(), 3)
	before := valueHash(a)
	data := synthetic(20, m.Config().Vocab)
	speed, err := Probe(context.Background(), m, a, data, short())
	if err != nil || speed <= 0 {
		t.Fatalf("%v tokens a second, error %v", speed, err)
	}
	if valueHash(a) != before {
		t.Error("the probe changed the adapter")
	}
	for _, p := range a.Params() {
		for _, g := range p.Grad {
			if g != 0 {
				t.Fatal("the probe left gradients")
			}
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Probe(ctx, m, a, data, short()); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

// TestStepDoesNotGrow: after the first step of a size, further ones allocate
// next to nothing (engine law 5); what is left are the closures of fork-join.
func TestStepDoesNotGrow(t *testing.T) {
	m := tiny(t, "llama-tied", kernel.BF16, 1)
	nr, err := newRunner(m, lora.New(m, adapterConfig(), 3), synthetic(20, m.Config().Vocab), nil, short())
	r := stepper(t, nr, err)
	mustStep(t, r, 0)
	mustStep(t, r, 0)
	if res := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			mustStep(b, r, 0)
		}
	}); res.AllocedBytesPerOp() > 64<<10 {
		t.Errorf("a step allocates %d bytes in %d pieces", res.AllocedBytesPerOp(), res.AllocsPerOp())
	} else {
		t.Logf("a step allocates %d bytes in %d pieces", res.AllocedBytesPerOp(), res.AllocsPerOp())
	}
}
