package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/sqlite"
	"dlm/driver/vllm"
	"dlm/lifecycle"
	"dlm/stage/curate"
)

// pipeline is a project with its inputs registered in the store: what the stages
// of the graph work on. Its methods make the graph's nodes.
type pipeline struct {
	a     *app
	p     *lifecycle.Project
	store *sqlite.Store

	pulled dlm.PulledModel
	engine *native.Native // opened when a stage first needs it
	text   *native.Text   // the base without weights, for other trainers
	served *vllm.Engine   // likewise, where engine: vllm

	rows, heldRows []dlm.Row
	items          []dlm.Item

	base, data, held, golden dlm.Artifact // held and golden may be empty
	adapterName              string
}

// newPipeline reads the project and registers base, data and golden set.
func (a *app) newPipeline(set []string) (*pipeline, error) {
	p, err := a.project(set)
	if err != nil {
		return nil, err
	}
	store, err := a.store()
	if err != nil {
		return nil, err
	}
	l := &pipeline{a: a, p: p, store: store, adapterName: p.Name}
	for _, step := range []func() error{l.addBase, l.addData, l.addGolden} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (l *pipeline) addBase() (err error) {
	if l.pulled, err = l.a.pull(projectBase(l.p)); err != nil {
		return err
	}
	l.base, err = l.store.Put(l.a.ctx, dlm.Artifact{
		ID: native.Quantized(l.pulled.Digest, l.p.Quantize), Kind: dlm.KindBase, Name: l.p.Base, Params: baseParams(l.pulled, l.p.Quantize),
	}, "")
	return err
}

func (l *pipeline) addData() error {
	if len(l.p.Data.Train) == 0 {
		return usageError("%s: data.train is missing: this project serves what others put into its store, and has nothing to train; expected -C with the folder of one that does", l.p.File)
	}
	o := curate.Options{Format: curate.Format(l.p.Data.Format), Prompt: l.p.Data.Prompt, Completion: l.p.Data.Completion, System: l.p.System}
	for _, path := range l.p.Data.Train {
		rows, err := curate.Read(l.a.rel(l.p.Path(path)), o)
		if err != nil {
			return err
		}
		l.rows = append(l.rows, rows...)
	}
	if l.p.Data.HeldOut.File != "" {
		rows, err := curate.Read(l.a.rel(l.p.Path(l.p.Data.HeldOut.File)), o)
		if err != nil {
			return err
		}
		l.heldRows = rows
	} else {
		l.rows, l.heldRows = lifecycle.SplitHeld(l.rows, l.p.Data.HeldOut, l.p.Train.Seed)
	}
	var err error
	if l.data, err = l.putRows("train.jsonl", l.rows); err != nil || len(l.heldRows) == 0 {
		return err
	}
	l.held, err = l.putRows("held.jsonl", l.heldRows)
	return err
}

// putRows stores rows as they are trained on, not as their file happens to be written.
func (l *pipeline) putRows(name string, rows []dlm.Row) (dlm.Artifact, error) {
	dir, err := os.MkdirTemp(l.p.State(), "rows-")
	if err != nil {
		return dlm.Artifact{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, name)
	if err := curate.WriteFile(path, rows); err != nil {
		return dlm.Artifact{}, err
	}
	return l.store.Put(l.a.ctx, dlm.Artifact{
		Kind: dlm.KindDataset, Name: l.p.Name + "/" + strings.TrimSuffix(name, ".jsonl"),
		Params: map[string]string{"files": strings.Join(l.p.Data.Train, ", "), "rows": fmt.Sprint(len(rows)), "held_out": l.p.Data.HeldOut.String()},
		Seed:   l.p.Train.Seed,
	}, path)
}

func (l *pipeline) addGolden() error {
	if l.p.Golden.File == "" {
		return nil
	}
	set, err := lifecycle.OpenGolden(l.a.rel(l.p.Path(l.p.Golden.File)))
	if err != nil {
		return err
	}
	l.items = withSystem(set.Items, l.p.System)
	l.golden, err = l.store.Put(l.a.ctx, dlm.Artifact{
		Kind: dlm.KindGolden, Name: l.p.Golden.Name,
		Params: map[string]string{"items": fmt.Sprint(len(set.Items)), "version": fmt.Sprint(set.Version()), "locked": fmt.Sprint(set.Locked)},
	}, set.Path)
	return err
}

// withSystem puts the project's system message before conversations without one.
func withSystem(items []dlm.Item, system string) []dlm.Item {
	if system == "" {
		return items
	}
	out := make([]dlm.Item, len(items))
	for i, it := range items {
		if len(it.Messages) > 0 && it.Messages[0].Role != "system" {
			it.Messages = append([]dlm.Message{{Role: "system", Content: system}}, it.Messages...)
		}
		out[i] = it
	}
	return out
}

// native opens the engine once.
func (l *pipeline) native() (*native.Native, error) {
	if l.engine != nil {
		return l.engine, nil
	}
	n, err := native.OpenPulled(l.pulled, native.Options{
		Precision: l.p.Train.Precision, Quantize: l.p.Quantize, Threads: l.a.flags.Threads, Code: version(), ProbePlan: true,
	})
	if err != nil {
		return nil, err
	}
	l.a.onClose(n.Close)
	l.engine = n
	return n, nil
}

// needGolden is the error of a stage that cannot do without a golden set.
func (l *pipeline) needGolden() error {
	if l.golden.ID != "" && len(l.items) > 0 {
		return nil
	}
	if l.golden.ID != "" {
		return fmt.Errorf("%s: the golden set has no items: add some with \"dlm golden add\", or take them out of a training file with \"dlm golden split\"", l.p.Golden.File)
	}
	return fmt.Errorf("%s names no golden set: make one with \"dlm golden split\" or \"dlm golden new\", and name it under golden:", l.p.File)
}

// params flattens a part of the project file into settings of a stage: the JSON
// value of each field by its name.
func params(v any) map[string]string {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // a struct of plain values
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		panic(err)
	}
	out := make(map[string]string, len(fields))
	for k, f := range fields {
		out[k] = strings.Trim(string(f), `"`)
	}
	return out
}
