package trl

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dlm/driver/native"
	"dlm/driver/trl"
	"dlm/internal/testkit"
)

// TestTrainer: TRL passes the suite of the Trainer port on a tiny base, in f32 on
// the CPU: also that a run which was cut off and resumed gives the adapter bytes of
// one that never was. The native engine checks and answers.
func TestTrainer(t *testing.T) {
	python := os.Getenv("DLM_PYTHON")
	if os.Getenv("DLM_INTEROP") != "1" || python == "" {
		t.Skip("set DLM_INTEROP=1, and DLM_PYTHON to a Python with torch, trl and peft, to run it")
	}
	base, err := filepath.Abs("../../engine/testdata/tiny/llama-tied")
	if err != nil {
		t.Fatal(err)
	}
	n, err := native.Open(base, native.Options{Precision: "f32"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	tr, err := trl.New(trl.Options{
		Encoder: n, Order: native.Order, Place: trl.NewLocal(), Python: python, Pad: n.PadID(), Threads: 1, Precision: "f32",
		Device:     trl.Device{Name: "cpu", Bytes: 8 << 30},
		PollEvery:  10 * time.Millisecond, // the tiny base is through its steps in less than a second: cancelling in the middle must not come too late
		Base:       func(context.Context) (string, error) { return base, nil },
		BaseDigest: n.Digest(), Init: n.NewAdapter, Bind: n.ImportAdapter,
	})
	if err != nil {
		t.Fatal(err)
	}
	testkit.Trainer(t, tr, n)
}
