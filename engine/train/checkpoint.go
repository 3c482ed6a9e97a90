package train

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"

	"dlm/engine/lora"
	"dlm/engine/weights"
)

// A checkpoint is a folder DIR/checkpoints/step-NNNNNNNN (see CHECKPOINTS.md)
// with two files. It gets its name only when both are on disk, so a folder of
// that name is complete unless the disk itself damaged it, which the hash shows.
const (
	checkpointsDir  = "checkpoints"
	stepPrefix      = "step-"
	stateFile       = "state.json"
	tensorsFile     = "tensors.safetensors"
	checkpointForm  = 1
	keptCheckpoints = 2 // besides the best
)

// state is state.json.
type state struct {
	Format   int       `json:"format"`
	Step     int       `json:"step"`    // steps made; also the data position and the generators' counter
	Tokens   int       `json:"tokens"`  // seen
	Seconds  float64   `json:"seconds"` // of training
	Identity []field   `json:"identity"`
	Hash     string    `json:"config_hash"` // of Identity
	Kernels  string    `json:"kernels"`
	Code     string    `json:"code"`
	Best     *Eval     `json:"best"`    // null before the first evaluation
	Pending  bool      `json:"pending"` // the evaluation due after Step was cut off
	Losses   []float64 `json:"losses"`
	Evals    []Eval    `json:"evals"`
	Tensors  string    `json:"tensors_sha256"`
}

func stepDir(dir string, step int) string {
	return filepath.Join(dir, checkpointsDir, fmt.Sprintf("%s%08d", stepPrefix, step))
}

// save writes a checkpoint of the run as it stands and removes those that are
// not needed any more.
func (r *runner) save() (string, error) {
	path := stepDir(r.dir, r.st.Step)
	err := lora.ReplaceFolder(path, r.fillCheckpoint)
	if err != nil {
		what := "the checkpoints written before are intact"
		if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
			what = fmt.Sprintf("the disk is full: a checkpoint takes %s; free some space and start the same run again, it goes on from the newest checkpoint, which is intact", size(r.adapter.Parameters()*12))
		}
		return "", fmt.Errorf("checkpoint of step %d: %w; %s", r.st.Step, err, what)
	}
	return path, r.prune()
}

func (r *runner) fillCheckpoint(tmp string) error {
	var ts []weights.Named
	for i, p := range r.tensors {
		m, v := r.opt.Moments(i)
		for kind, values := range map[string][]float32{"value": p.Value, "m": m, "v": v} {
			ts = append(ts, weights.NamedF32(kind+"/"+p.Name, []int{len(values)}, values))
		}
	}
	path := filepath.Join(tmp, tensorsFile)
	if err := weights.WriteSafetensors(path, ts, nil); err != nil {
		return err
	}
	sum, err := fileHash(path)
	if err != nil {
		return err
	}
	st := r.st
	st.Tensors = sum
	raw, err := json.MarshalIndent(st, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tmp, stateFile), append(raw, '\n'), 0o644)
}

// prune removes all checkpoints but the newest two and the best.
func (r *runner) prune() error {
	steps, err := checkpointSteps(r.dir)
	if err != nil {
		return err
	}
	for i, s := range steps {
		if i < keptCheckpoints || (r.st.Best != nil && s == r.st.Best.Step) {
			continue
		}
		if err := os.RemoveAll(stepDir(r.dir, s)); err != nil {
			return err
		}
	}
	return nil
}

// checkpointSteps lists the checkpoints of a folder, newest first.
func checkpointSteps(dir string) ([]int, error) {
	entries, err := os.ReadDir(filepath.Join(dir, checkpointsDir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, e := range entries {
		num, ok := strings.CutPrefix(e.Name(), stepPrefix)
		if n, err := strconv.Atoi(num); ok && err == nil && e.IsDir() && n >= 0 {
			steps = append(steps, n)
		}
	}
	sort.Sort(sort.Reverse(sort.IntSlice(steps)))
	return steps, nil
}

// sweep removes what a killed process left half written.
func sweep(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, checkpointsDir, "."+stepPrefix+"*.tmp-*"))
	if err != nil {
		return err
	}
	for _, path := range left {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// readState reads and checks a checkpoint's state.json and the hash of its
// tensors.
func readState(path string) (state, error) {
	raw, err := os.ReadFile(filepath.Join(path, stateFile))
	if err != nil {
		return state{}, err
	}
	st, err := parseState(raw)
	if err != nil {
		return state{}, fmt.Errorf("%s: %w", filepath.Join(path, stateFile), err)
	}
	sum, err := fileHash(filepath.Join(path, tensorsFile))
	if err != nil {
		return state{}, err
	}
	if sum != st.Tensors {
		return state{}, fmt.Errorf("%s is damaged: its hash is %s, expected %s", filepath.Join(path, tensorsFile), brief(sum), brief(st.Tensors))
	}
	return st, nil
}

func parseState(raw []byte) (state, error) {
	var st state
	if err := json.Unmarshal(raw, &st); err != nil {
		return state{}, fmt.Errorf("broken: %w", err)
	}
	switch {
	case st.Format != checkpointForm:
		return state{}, fmt.Errorf("format %d; this version reads format %d", st.Format, checkpointForm)
	case st.Step < 0 || len(st.Losses) != st.Step:
		return state{}, fmt.Errorf("it says step %d and holds %d losses", st.Step, len(st.Losses))
	case st.Hash != identityHash(st.Identity):
		return state{}, errors.New("its settings do not have the hash it names")
	}
	return st, nil
}

// restore reads the tensors of a checkpoint: masters, and the moments too unless
// only the adapter is wanted.
func (r *runner) restore(step int, valuesOnly bool) error {
	path := filepath.Join(stepDir(r.dir, step), tensorsFile)
	f, err := weights.OpenSafetensors(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for i, p := range r.tensors {
		m, v := r.opt.Moments(i)
		for _, part := range []struct {
			kind string
			dst  []float32
		}{{"value", p.Value}, {"m", m}, {"v", v}} {
			if valuesOnly && part.kind != "value" {
				continue
			}
			t, err := f.Tensor(part.kind + "/" + p.Name)
			if err != nil {
				return err
			}
			if t.Type != weights.F32 || t.Rows*t.Cols != len(part.dst) || t.Rows != 1 {
				return fmt.Errorf("%s: tensor %s has shape %v of %s; expected [%d] of F32", path, t.Name, t.Shape, t.Type, len(part.dst))
			}
			t.RowF32(0, part.dst)
		}
	}
	r.adapter.Repack(r.exec)
	return nil
}

func fileHash(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

func identityHash(id []field) string {
	h := sha256.New()
	for _, f := range id {
		fmt.Fprintf(h, "%d %s %d %s\n", len(f.Name), f.Name, len(f.Value), f.Value)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// valueHash names the values of an adapter.
func valueHash(a *lora.Adapter) string {
	h := sha256.New()
	var b []byte
	for _, p := range a.Params() {
		b = b[:0]
		for _, v := range p.Value {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		h.Write(b)
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
