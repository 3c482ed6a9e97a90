package native

import (
	"context"
	"os"
	"testing"
)

// BenchmarkTrainStep times a whole LoRA step of the base that DLM_TEST_MODEL
// names, 4 x 512 tokens; -cpuprofile shows where it goes.
func BenchmarkTrainStep(b *testing.B) {
	path := os.Getenv("DLM_TEST_MODEL")
	if path == "" {
		b.Skip("set DLM_TEST_MODEL to a base")
	}
	n, err := Open(path, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer n.Close()
	b.ResetTimer()
	r, err := n.BenchTrain(context.Background(), TrainBench{Batch: 4, Seq: 512, Rank: 16, Steps: b.N})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(r.TokensPerSecond, "tokens/s")
}
