package trl

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"dlm"
)

// checked is how many rows TRL tokenises too, to compare.
const checked = 8

// prepared is a job as the program takes it, before it is written.
type prepared struct {
	job        Job
	rows, held encodedRows
	samples    [][]int32
}

// prepare checks a job and turns its rows into ids.
func (t *TRL) prepare(in dlm.TrainJob) (p prepared, err error) {
	r, err := t.checkRecipe(in.Recipe)
	if err != nil {
		return p, err
	}
	if len(in.Rows) == 0 {
		return p, errors.New("there are no training rows")
	}
	if r.EarlyStopping.Patience > 0 && len(in.Held) == 0 {
		return p, errors.New("early_stopping needs held-out rows, whose loss it watches")
	}
	if p.rows, err = t.encode("training", in.Rows, r); err != nil {
		return p, err
	}
	if p.held, err = t.encode("held-out", in.Held, r); err != nil {
		return p, err
	}
	for i, msgs := range in.Samples {
		ids, err := t.o.Encoder.Prompt(msgs, "")
		if err != nil {
			return p, fmt.Errorf("sample prompt %d: %w", i+1, err)
		}
		p.samples = append(p.samples, ids)
	}
	p.job = Job{
		Format: jobFormat, Method: r.Method, BaseDigest: t.o.BaseDigest, Recipe: r, Steps: steps(r, len(in.Rows)),
		Quantize: orNone(t.o.Quantize), Precision: r.Precision, Unsloth: t.o.Unsloth,
		Rows: RowsFile, Held: HeldFile, Order: OrderFile, Samples: SamplesFile,
		EndOfTurn: p.rows.endOfTurn, StopIDs: t.o.Encoder.StopIDs(), Pad: t.o.Pad,
	}
	if t.o.Init != nil {
		p.job.Init = InitDir
	}
	if !t.o.OwnIDs {
		p.job.Check = checks(in.Rows, p.rows, r.Method)
	}
	return p, nil
}

func orNone(quantize string) string {
	if quantize == "" {
		return "none"
	}
	return quantize
}

// bundle writes the job's bundle into its working folder, or finds that the one
// that is there is of this job. Another job's is refused: its checkpoints are not
// this one's.
func (t *TRL) bundle(ctx context.Context, p prepared, r dlm.Recipe, dir string) (Bundle, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Bundle{}, err
	}
	if p.job.Base, err = t.o.Base(ctx); err != nil {
		return Bundle{}, fmt.Errorf("the base as a Hugging Face folder: %w", err)
	}
	if p.job.Base, err = filepath.Abs(p.job.Base); err != nil { // the program works elsewhere
		return Bundle{}, err
	}
	if p.job, err = t.choose(p); err != nil {
		return Bundle{}, err
	}
	b := Bundle{Dir: filepath.Join(abs, BundleDir), Job: p.job, Start: t.start(), Env: t.env()}
	tmp := b.Dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return Bundle{}, err
	}
	defer os.RemoveAll(tmp)
	if b.Manifest, err = t.fill(tmp, p, r); err != nil {
		return Bundle{}, fmt.Errorf("writing the job's bundle: %w", err)
	}
	if _, err := os.Stat(b.Path(ManifestFile)); errors.Is(err, fs.ErrNotExist) {
		return b, os.Rename(tmp, b.Dir)
	}
	diff, err := b.compare()
	if err != nil {
		return Bundle{}, err
	}
	if len(diff) > 0 {
		return Bundle{}, fmt.Errorf("%s holds another job: %s; restore the settings to go on with it, or give this one another folder", dir, firstFive(diff))
	}
	// How a step is cut into passes and where the base lies may have changed.
	for _, name := range append([]string{JobFile}, programFiles...) {
		if err := os.Rename(filepath.Join(tmp, name), b.Path(name)); err != nil {
			return Bundle{}, err
		}
	}
	return b, nil
}

// fill writes a whole bundle into a new folder.
func (t *TRL) fill(dir string, p prepared, r dlm.Recipe) (Manifest, error) {
	m := Manifest{Format: jobFormat, Files: map[string]dlm.Digest{}}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return m, err
	}
	step := t.o.Order(len(p.rows.lines), r.BatchSize, r.Seed, r.Shuffle)
	samples := make([]any, len(p.samples))
	for i, ids := range p.samples {
		samples[i] = map[string]any{"prompt_ids": ids}
	}
	for _, f := range []struct {
		name string
		n    int
		line func(i int) any
	}{
		{RowsFile, len(p.rows.lines), func(i int) any { return p.rows.lines[i] }},
		{HeldFile, len(p.held.lines), func(i int) any { return p.held.lines[i] }},
		{SamplesFile, len(samples), func(i int) any { return samples[i] }},
		{OrderFile, p.job.Steps, func(i int) any { return step(i) }},
	} {
		sum, err := writeLines(filepath.Join(dir, f.name), f.n, f.line)
		if err != nil {
			return m, err
		}
		m.Files[f.name] = sum
	}
	if t.o.Init != nil {
		if err := t.o.Init(r, filepath.Join(dir, InitDir)); err != nil {
			return m, fmt.Errorf("the adapter to start from: %w", err)
		}
		for _, name := range []string{"adapter_config.json", "adapter_model.safetensors"} {
			sum, err := fileDigest(filepath.Join(dir, InitDir, name))
			if err != nil {
				return m, err
			}
			m.Files[InitDir+"/"+name] = sum
		}
	}
	if err := writeProgram(dir); err != nil {
		return m, err
	}
	if err := writeJSON(filepath.Join(dir, JobFile), p.job); err != nil {
		return m, err
	}
	return m, writeJSON(filepath.Join(dir, ManifestFile), m)
}

// writeLines writes n values as JSON lines and returns the file's digest.
func writeLines(path string, n int, line func(i int) any) (dlm.Digest, error) {
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	w := bufio.NewWriterSize(io.MultiWriter(f, h), 1<<16)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range n {
		if err := enc.Encode(line(i)); err != nil {
			return "", err
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return "", err
	}
	return dlm.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

func writeJSON(path string, v any) error {
	raw, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}

func fileDigest(path string) (dlm.Digest, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return dlm.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), nil
}

// firstFive joins at most five entries.
func firstFive(s []string) string {
	const shown = 5
	if len(s) > shown {
		return strings.Join(s[:shown], "; ") + fmt.Sprintf("; and %d more", len(s)-shown)
	}
	return strings.Join(s, "; ")
}
