package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"dlm"
	"dlm/lifecycle"
	"dlm/stage/evals"
	"dlm/stage/registry"
)

// Files of a report artifact.
const (
	reportJSON = registry.ReportFile
	reportHTML = "report.html"
)

// baselinesNode answers the golden set in every way that needs no adapter.
func (l *pipeline) baselinesNode() lifecycle.Node {
	inputs := []lifecycle.Input{{Role: "base", ID: l.base.ID}, {Role: "golden", ID: l.golden.ID}}
	var specs []evals.ArmSpec
	needRows := false
	for _, s := range l.p.Eval.Arms {
		spec := evals.ArmSpec{Kind: s.Kind, Shots: s.Shots}
		specs = append(specs, spec)
		needRows = needRows || spec.NeedsRows()
	}
	if needRows {
		inputs = append(inputs, lifecycle.Input{Role: "data", ID: l.data.ID})
	}
	ps := l.evalParams()
	ps["arms"] = fmt.Sprint(l.p.Eval.Arms)
	return lifecycle.Node{
		Name: "baselines", Code: stageCode, Inputs: inputs, Params: ps,
		Estimate: func(ctx context.Context, _ []dlm.Parent) (lifecycle.Estimate, error) {
			_, arms, err := l.baselineArms(specs)
			if err != nil {
				return lifecycle.Estimate{}, err
			}
			return l.estimateArms(ctx, arms)
		},
		Do: func(ctx context.Context, j *lifecycle.Job) ([]dlm.Artifact, error) {
			ix, arms, err := l.baselineArms(specs)
			if err != nil {
				return nil, err
			}
			rep, err := l.evaluate(ctx, j, arms)
			if err != nil {
				return nil, err
			}
			if needRows {
				rep.Data = l.data.ID
			}
			if leaks := ix.Leaks(l.items); len(leaks) > 0 {
				rep.Notes = append(rep.Notes, fmt.Sprintf("%d golden prompts also stand in the training rows (%s): few-shot and nearest-copy leave those rows out", len(leaks), leaks[0]))
			}
			return l.putReport(ctx, j, rep, "baselines", "")
		},
	}
}

// baselineArms makes the arms over an index of the training rows.
func (l *pipeline) baselineArms(specs []evals.ArmSpec) (*evals.Index, []evals.Arm, error) {
	ix, err := evals.NewIndex(l.rows)
	if err != nil {
		return nil, nil, err
	}
	var arms []evals.Arm
	for _, s := range specs {
		arm, err := evals.NewArm(s, ix)
		if err != nil {
			return nil, nil, err
		}
		arms = append(arms, arm)
	}
	return ix, arms, nil
}

// evalNode answers the golden set through one adapter and sets it beside the
// baselines. The adapter is given, or the one that the train stage makes.
func (l *pipeline) evalNode(adapter lifecycle.Input) lifecycle.Node {
	adapter.Role = "adapter"
	return lifecycle.Node{
		Name: "eval", Code: stageCode, Params: l.evalParams(),
		Inputs: []lifecycle.Input{
			{Role: "base", ID: l.base.ID}, {Role: "golden", ID: l.golden.ID}, adapter,
			{Role: "baselines", From: "baselines", Kind: dlm.KindReport},
		},
		Estimate: func(ctx context.Context, _ []dlm.Parent) (lifecycle.Estimate, error) {
			return l.estimateArms(ctx, []evals.Arm{evals.AdapterArm("adapter", "", "")})
		},
		Do: func(ctx context.Context, j *lifecycle.Job) ([]dlm.Artifact, error) {
			art, err := j.Input(ctx, "adapter")
			if err != nil {
				return nil, err
			}
			dir, err := j.Folder(ctx, "adapter")
			if err != nil {
				return nil, err
			}
			name := art.Name
			baselines, err := l.readReport(ctx, j, "baselines")
			if err != nil {
				return nil, err
			}
			if _, taken := baselines.Arm(name); taken {
				name += "-" + art.ID.Short()
			}
			rep, err := l.evaluate(ctx, j, []evals.Arm{evals.AdapterArm(name, art.ID, dir)})
			if err != nil {
				return nil, err
			}
			own := rep.Arms
			rep.Arms = append(slices.Clone(baselines.Arms), own...)
			rep.Data, rep.Notes = baselines.Data, append(baselines.Notes, rep.Notes...)
			return l.putReport(ctx, j, rep, name, name)
		},
	}
}

// evalParams are the settings that decide what an arm answers and scores.
func (l *pipeline) evalParams() map[string]string {
	ps := params(l.p.Eval)
	delete(ps, "arms")
	delete(ps, "batch") // results do not depend on it
	ps["precision"] = l.p.Train.Precision
	l.engineParams(ps)
	return ps
}

// evaluate runs arms, keeping finished samples so that a run that was cut off
// goes on where it was.
func (l *pipeline) evaluate(ctx context.Context, j *lifecycle.Job, arms []evals.Arm) (dlm.Report, error) {
	n, engine, err := l.answering(ctx, arms)
	if err != nil {
		return dlm.Report{}, err
	}
	scorers, err := evals.NewAll(l.p.Scorers())
	if err != nil {
		return dlm.Report{}, err
	}
	kept, done, err := openSamples(filepath.Join(j.Dir, "samples.jsonl"), j.Resumed)
	if err != nil {
		return dlm.Report{}, err
	}
	defer kept.close()
	log := evalLog{a: l.a}
	rep, err := evals.Run(ctx, n, evals.Job{
		Golden: l.golden.ID, Base: l.base.ID, Items: l.items, Arms: arms, Scorers: scorers,
		Primary: l.p.Eval.Primary, Sampling: l.p.Sampling(), Batch: l.evalBatch(), LogProbs: n, Seed: 1, Done: done,
		OnSample: func(p evals.Progress) {
			kept.add(p)
			log.sample(p)
			_ = j.Metric(ctx, p.Arm, float64(p.Done)) // written again at the end of the run
		},
	})
	if err != nil {
		return rep, err
	}
	rep.Engine = engine
	return rep, kept.close()
}

func (l *pipeline) evalBatch() int {
	if l.p.Eval.Batch > 0 {
		return l.p.Eval.Batch
	}
	return 32
}

// keptSamples appends finished samples to a file.
type keptSamples struct {
	f   *os.File
	w   *bufio.Writer
	err error
}

// openSamples opens the file to append to, and reads what an earlier attempt
// finished.
func openSamples(path string, resumed bool) (*keptSamples, []evals.DoneSample, error) {
	var done []evals.DoneSample
	whole := int64(0) // bytes of finished lines; what is behind them is asked again
	if resumed {
		data, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		for _, line := range splitLines(data) {
			var d evals.DoneSample
			if json.Unmarshal(line, &d) != nil {
				break // written half by a process that was killed
			}
			done, whole = append(done, d), whole+int64(len(line))+1
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, nil, err
	}
	_, serr := f.Seek(whole, io.SeekStart)
	if err := errors.Join(f.Truncate(whole), serr); err != nil {
		f.Close()
		return nil, nil, err
	}
	return &keptSamples{f: f, w: bufio.NewWriter(f)}, done, nil
}

func splitLines(data []byte) (lines [][]byte) {
	for len(data) > 0 {
		i := slices.Index(data, '\n')
		if i < 0 {
			return lines
		}
		lines, data = append(lines, data[:i]), data[i+1:]
	}
	return lines
}

func (k *keptSamples) add(p evals.Progress) {
	if k.err != nil || p.Reused { // it stands in the file
		return
	}
	line, err := json.Marshal(evals.DoneSample{Arm: p.Arm, Sample: p.Sample})
	if err == nil {
		_, err = k.w.Write(append(line, '\n'))
	}
	if err == nil {
		err = k.w.Flush()
	}
	k.err = err
}

func (k *keptSamples) close() error {
	if k.f == nil {
		return k.err
	}
	err := errors.Join(k.err, k.f.Close())
	k.f = nil
	return err
}

// readReport reads the report that plays a role in a job.
func (l *pipeline) readReport(ctx context.Context, j *lifecycle.Job, role string) (dlm.Report, error) {
	art, err := j.Input(ctx, role)
	if err != nil {
		return dlm.Report{}, err
	}
	return l.a.reportOf(ctx, art.ID)
}

// reportOf reads a report artifact.
func (a *app) reportOf(ctx context.Context, id dlm.Digest) (dlm.Report, error) {
	s, err := a.store()
	if err != nil {
		return dlm.Report{}, err
	}
	dir, err := s.Materialise(ctx, id)
	if err != nil {
		return dlm.Report{}, err
	}
	f, err := os.Open(filepath.Join(dir, reportJSON))
	if err != nil {
		return dlm.Report{}, err
	}
	defer f.Close()
	return evals.ReadJSON(f)
}

// putReport stores the report as JSON and as a page.
func (l *pipeline) putReport(ctx context.Context, j *lifecycle.Job, rep dlm.Report, name, candidate string) ([]dlm.Artifact, error) {
	dir := filepath.Join(j.Dir, "report")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lineage := []evals.Lineage{{Role: "run", ID: j.Run().ID}}
	if rep.Engine != "" {
		lineage = append(lineage, evals.Lineage{Role: "engine", Name: rep.Engine})
	}
	for _, p := range j.Inputs() {
		lineage = append(lineage, evals.Lineage{Role: p.Role, ID: string(p.ID)})
	}
	if err := writeTo(filepath.Join(dir, reportJSON), func(f *os.File) error { return evals.WriteJSON(f, rep) }); err != nil {
		return nil, err
	}
	o := evals.HTMLOptions{Title: l.p.Name, Candidate: candidate, Lineage: lineage}
	if err := writeTo(filepath.Join(dir, reportHTML), func(f *os.File) error { return evals.WriteHTML(f, rep, o) }); err != nil {
		return nil, err
	}
	art, err := j.Put(ctx, dlm.KindReport, l.p.Name+"/"+name, 1, dir)
	if err != nil {
		return nil, err
	}
	return []dlm.Artifact{art}, nil
}

func writeTo(path string, write func(*os.File) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
