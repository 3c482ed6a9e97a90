package train

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"strings"
	"testing"

	"dlm/engine/lora"
)

// memoryCase is one run whose peak is measured.
type memoryCase struct {
	mode          string
	examples      int // of a pass and a step
	tokens        int
	checkpointing string
}

func (c memoryCase) String() string {
	return fmt.Sprintf("%s %d %d %s", c.mode, c.examples, c.tokens, c.checkpointing)
}

const memoryEnv = "DLM_TRAIN_MEMORY_CASE"

// TestMemoryChild is no test: it is the process that TestPlannedPeak measures.
func TestMemoryChild(t *testing.T) {
	var c memoryCase
	if _, err := fmt.Sscan(os.Getenv(memoryEnv), &c.mode, &c.examples, &c.tokens, &c.checkpointing); err != nil {
		t.Skip("only the process that TestPlannedPeak starts runs this")
	}
	m := loadBase(t, realBase(t), modes[c.mode], 2)
	a := lora.New(m, lora.Config{Rank: 16, Alpha: 32}, 1)
	var data []Example
	for i := range c.examples {
		e := example(c.tokens - 1)
		for at := range e.IDs {
			e.IDs[at] = int32(mix(uint64(i)<<32|uint64(at)) % uint64(m.Config().Vocab))
		}
		data = append(data, e)
	}
	cfg := Config{BatchSize: c.examples, MaxSteps: 1, LR: 1e-4, Schedule: "constant", Packing: true, MicroBatch: c.examples, Checkpointing: c.checkpointing}
	plan, err := Preview(m, a, data, nil, cfg)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Run(context.Background(), m, a, data, nil, cfg, t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("PEAK %d %d %v\n", plan.PeakBytes, res.PeakBytes, plan.Bytes)
	if os.Getenv("DLM_TEST_SMAPS") != "" {
		raw, _ := os.ReadFile("/proc/self/smaps_rollup")
		fmt.Printf("%s\n", raw)
		raw, _ = os.ReadFile("/proc/self/status")
		fmt.Printf("%s\n", raw)
	}
}

// TestPlannedPeak holds the plan's peak to within 10% of the largest resident set
// that the system saw, each case in a process of its own. It takes minutes:
// DLM_TEST_MEMORY=1 go test ./engine/train -run PlannedPeak -v.
func TestPlannedPeak(t *testing.T) {
	want := os.Getenv("DLM_TEST_MEMORY")
	if want == "" {
		t.Skip("takes minutes: set DLM_TEST_MEMORY=1")
	}
	base := realBase(t)
	t.Log("mode  batch     checkpointing  planned  measured")
	for _, c := range []memoryCase{
		{"bf16", 1, 256, "off"}, {"bf16", 4, 512, "off"}, {"bf16", 1, 2048, "off"}, {"bf16", 4, 512, "on"}, {"bf16", 1, 8192, "on"},
		{"f32", 1, 256, "off"}, {"f32", 4, 512, "off"}, {"f32", 1, 2048, "on"},
	} {
		if want != "1" && !strings.Contains(c.String(), want) {
			continue
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestMemoryChild$", "-test.v", "-test.timeout=30m")
		cmd.Env = append(os.Environ(), memoryEnv+"="+c.String(), "DLM_TEST_MODEL="+base)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
		var planned, measured int64
		if _, err := fmt.Sscanf(string(out[max(0, strings.Index(string(out), "PEAK")):]), "PEAK %d %d", &planned, &measured); err != nil {
			t.Fatalf("%v: %v\n%s", c, err, out)
		}
		off := float64(planned)/float64(measured) - 1
		t.Logf("%-5s %dx%-7d %-13s  %7s  %8s  %+.1f%%", c.mode, c.examples, c.tokens, c.checkpointing, size(planned), size(measured), 100*off)
		if os.Getenv("DLM_TEST_SMAPS") != "" {
			t.Logf("%s", out)
		}
		if math.Abs(off) > 0.1 {
			t.Errorf("%v: planned %d bytes, measured %d", c, planned, measured)
		}
	}
}
