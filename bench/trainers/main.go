// Command trainers trains one adapter twice from the same numbers, with the native
// engine and with TRL, on the same token ids in the same order, both in f32
// without dropout, and writes the loss of each step side by side: a table, a plot,
// and the largest relative difference. It fails when that is above -tolerance.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/trl"
)

// settings are the flags.
type settings struct {
	base, rows, python, out, title string
	steps, batch, micro, maxLen    int
	lr, tolerance                  float64
}

// step is what both trainers say of one step.
type step struct {
	Step       int     `json:"step"`
	Native     float64 `json:"native"`
	TRL        float64 `json:"trl"`
	NativeNorm float64 `json:"native_grad_norm"`
	TRLNorm    float64 `json:"trl_grad_norm"`
}

// difference is the relative difference of the two losses.
func (s step) difference() float64 { return relative(s.Native, s.TRL) }

// results are curves.json of this program.
type results struct {
	Title   string            `json:"title"`
	Rows    string            `json:"rows"`
	Batch   int               `json:"batch"`
	Made    map[string]string `json:"made"` // versions of TRL's side
	Steps   []step            `json:"steps"`
	Largest float64           `json:"largest_difference"` // of the loss, relative
	Mean    float64           `json:"mean_difference"`
}

func main() {
	var s settings
	flag.StringVar(&s.base, "base", "", "GGUF or folder of the base")
	flag.StringVar(&s.rows, "rows", "projects/bank-support/data/quick-train.jsonl", "rows in the messages shape")
	flag.StringVar(&s.python, "python", "", "python of an environment with TRL")
	flag.StringVar(&s.out, "out", "bench/out", "folder of the results")
	flag.StringVar(&s.title, "title", "", "what was measured, for the plot")
	flag.IntVar(&s.steps, "steps", 50, "steps")
	flag.IntVar(&s.batch, "batch", 4, "rows a step")
	flag.IntVar(&s.micro, "micro", 0, "rows a pass of TRL's; 0 = chosen")
	flag.IntVar(&s.maxLen, "max-len", 256, "tokens a row may have")
	flag.Float64Var(&s.lr, "lr", 1e-3, "learning rate")
	flag.Float64Var(&s.tolerance, "tolerance", 1e-3, "largest relative difference of a step's loss")
	flag.Parse()
	if err := run(context.Background(), s); err != nil {
		fmt.Fprintln(os.Stderr, "trainers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	work, err := os.MkdirTemp("", "dlm-trainers-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)
	rows, err := readRows(s.rows, s.steps*s.batch)
	if err != nil {
		return err
	}
	n, err := native.Open(s.base, native.Options{Precision: "f32"})
	if err != nil {
		return err
	}
	defer n.Close()
	other, err := newTRL(n, s, filepath.Join(work, "base"))
	if err != nil {
		return err
	}
	r := results{Title: s.title, Rows: s.rows, Batch: s.batch, Steps: make([]step, s.steps)}
	for i := range r.Steps {
		r.Steps[i].Step = i + 1
	}
	if _, err := train(ctx, n, s, rows, filepath.Join(work, "native"), r.Steps, func(st *step, e dlm.TrainEvent) {
		st.Native, st.NativeNorm = e.Loss, e.GradNorm
	}); err != nil {
		return fmt.Errorf("native: %w", err)
	}
	res, err := train(ctx, other, s, rows, filepath.Join(work, "trl"), r.Steps, func(st *step, e dlm.TrainEvent) {
		st.TRL, st.TRLNorm = e.Loss, e.GradNorm
	})
	if err != nil {
		return fmt.Errorf("TRL: %w", err)
	}
	r.Made = res.Made
	for _, st := range r.Steps {
		r.Largest = max(r.Largest, st.difference())
		r.Mean += st.difference() / float64(len(r.Steps))
	}
	if err := write(s.out, r); err != nil {
		return err
	}
	fmt.Print(table(r))
	if r.Largest > s.tolerance {
		return fmt.Errorf("the largest relative difference is %.2e, more than %.0e", r.Largest, s.tolerance)
	}
	return nil
}

// newTRL is TRL on the base that n holds, in f32.
func newTRL(n *native.Native, s settings, folder string) (*trl.TRL, error) {
	return trl.New(trl.Options{
		Encoder: n, Order: native.Order, Place: trl.NewLocal(), Python: s.python, Pad: n.PadID(), Device: trl.Device{Name: "cpu"},
		Base: func(context.Context) (string, error) {
			if _, err := os.Stat(folder); err == nil {
				return folder, nil
			}
			return folder, n.WriteHF(folder, native.FolderOptions{Dtype: "f32"})
		},
		BaseDigest: n.Digest(), Init: n.NewAdapter, Bind: n.ImportAdapter,
	})
}

// train runs one trainer and hands its steps to take.
func train(ctx context.Context, t dlm.Trainer, s settings, rows []dlm.Row, dir string, steps []step, take func(*step, dlm.TrainEvent)) (dlm.TrainResult, error) {
	seen := 0
	r, err := t.Train(ctx, dlm.TrainJob{
		Recipe: dlm.Recipe{
			Method: "sft", Rank: 16, Alpha: 32, TargetModules: []string{"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"},
			MaxSteps: s.steps, BatchSize: s.batch, MicroBatch: s.micro, MaxLen: s.maxLen, LR: s.lr, Schedule: "cosine", Warmup: 5, WeightDecay: 0.01,
			ClipNorm: 1, Seed: 1, Shuffle: true, Precision: "f32", Checkpointing: "off", SharePrefix: true,
		},
		Rows: rows, Dir: dir, Out: dir + "-adapter",
	}, func(e dlm.TrainEvent) {
		if e.Kind == "step" && e.Step >= 1 && e.Step <= len(steps) {
			take(&steps[e.Step-1], e)
			seen++
		}
	})
	if err == nil && seen != len(steps) {
		err = fmt.Errorf("it told of %d steps, expected %d", seen, len(steps))
	}
	return r, err
}

// readRows reads at most n conversations.
func readRows(path string, n int) ([]dlm.Row, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var rows []dlm.Row
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && len(rows) < n {
		var row struct {
			ID       string
			Messages []dlm.Message
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, len(rows)+1, err)
		}
		if len(row.Messages) == 0 {
			return nil, fmt.Errorf("%s:%d: expected {\"messages\": [...]}", path, len(rows)+1)
		}
		rows = append(rows, dlm.Row{ID: row.ID, Messages: row.Messages, File: path, Line: len(rows) + 1})
	}
	if len(rows) == 0 {
		return nil, errors.Join(fmt.Errorf("%s holds no rows", path), lines.Err())
	}
	return rows, lines.Err()
}

// write leaves the figures, the table and the plot in a folder.
func write(dir string, r results) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return errors.Join(os.MkdirAll(dir, 0o755),
		os.WriteFile(filepath.Join(dir, "trainers.json"), append(raw, '\n'), 0o644),
		os.WriteFile(filepath.Join(dir, "trainers.md"), []byte(table(r)), 0o644),
		os.WriteFile(filepath.Join(dir, "trainers.svg"), []byte(svg(r)), 0o644))
}
