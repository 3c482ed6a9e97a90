package main

import (
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

// exportFile is the record's name in an exported folder.
const exportFile = "export.json"

// exportFormat is the version of exportFile that this code writes.
const exportFormat = 1

// exportRecord says what an export is, what it was made from, and what its proof
// found. It stands in the folder and in the store.
type exportRecord struct {
	Format  int              `json:"format"`
	Kind    string           `json:"kind"` // "hf", "gguf", "gguf-lora", "ollama"
	Type    string           `json:"type"` // how weights are stored
	Code    string           `json:"code"` // version of dlm
	Base    exportedBase     `json:"base"`
	Adapter *exportedAdapter `json:"adapter"` // null: the base alone
	Files   []dlm.File       `json:"files"`
	NoProof bool             `json:"no_proof"` // it was asked for without one
	Proof   *exportProof     `json:"proof"`    // null without one
}

type exportedBase struct {
	Digest dlm.Digest `json:"digest"`
	Name   string     `json:"name"`
}

type exportedAdapter struct {
	ID      dlm.Digest `json:"id,omitempty"` // of the artifact; empty for a folder outside of the store
	Name    string     `json:"name"`
	Weights dlm.Digest `json:"weights"` // of adapter_model.safetensors
	Bytes   int64      `json:"bytes"`
}

// exportProof is what the golden set says of base and adapter here and of the
// exported files in the engine that will run them.
type exportProof struct {
	Engine   string      `json:"engine"`
	Golden   dlm.Digest  `json:"golden"`
	Items    int         `json:"items"`
	Metric   string      `json:"metric"`
	Native   dlm.Metric  `json:"native"`   // base and adapter, our engine
	Exported dlm.Metric  `json:"exported"` // the files, their engine
	Same     int         `json:"same"`     // items answered by the same text
	LogProbs *logProbGap `json:"logprobs"` // null where the engine gives none
	Verdict  dlm.Verdict `json:"verdict"`
	Exit     int         `json:"exit"` // of the gate: 0, 3 or 4; 0 when every answer is the same text
}

// logProbGap compares what both give the tokens of right answers.
type logProbGap struct {
	Items   int     `json:"items"`
	Tokens  int     `json:"tokens"`
	Mean    float64 `json:"mean"`    // of the differences' magnitudes, nats a token
	Largest float64 `json:"largest"` //
}

// replaceableExport refuses a folder in which something else stands than an export.
func replaceableExport(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return usageError("--out: %w", err)
	}
	if _, err := os.Stat(filepath.Join(dir, exportFile)); err != nil {
		return usageError("--out: %s holds other files; choose a new folder, or one that holds an export (%s)", dir, exportFile)
	}
	return nil
}

// listFiles records what was written.
func (e *export) listFiles() error {
	return filepath.WalkDir(e.part, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(e.part, path)
		if err != nil {
			return err
		}
		sum, size, err := fileDigest(path)
		e.rec.Files = append(e.rec.Files, dlm.File{Path: filepath.ToSlash(rel), Digest: sum, Size: size})
		return err
	})
}

func fileDigest(path string) (dlm.Digest, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	return dlm.Digest("sha256:" + hex.EncodeToString(h.Sum(nil))), n, err
}

// finish writes the record, stores it, and gives the folder its name: Out, or where
// the gate refused it Out with an ending that says so.
func (e *export) finish() error {
	out := strings.TrimSuffix(e.part, ".part")
	exit := exitOK
	if e.rec.Proof != nil && e.rec.Proof.Exit != exitOK {
		exit, out = e.rec.Proof.Exit, out+".refused"
	}
	raw, err := json.MarshalIndent(emptyLists(e.rec), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(e.part, exportFile), append(raw, '\n'), 0o644); err != nil {
		return err
	}
	id, err := e.store()
	if err != nil {
		return err
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.Rename(e.part, out); err != nil {
		return err
	}
	e.a.finish(struct {
		Folder   string     `json:"folder"`
		Artifact dlm.Digest `json:"artifact"` // empty outside of a project
		exportRecord
	}{out, id, e.rec}, func() { e.print(out) })
	if exit != exitOK {
		return &exitError{code: exit}
	}
	return nil
}

// store keeps the record with its lineage; the files themselves stay where they are.
func (e *export) store() (dlm.Digest, error) {
	if e.l == nil {
		return "", nil
	}
	dir, err := os.MkdirTemp(e.l.p.State(), "export-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for _, f := range []string{exportFile, reportJSON} {
		raw, err := os.ReadFile(filepath.Join(e.part, f))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, f), raw, 0o644)
		}
		if err != nil {
			return "", err
		}
	}
	parents := []dlm.Parent{{Role: "base", ID: e.l.base.ID}}
	if e.rec.Adapter != nil && e.rec.Adapter.ID != "" {
		parents = append(parents, dlm.Parent{Role: "adapter", ID: e.rec.Adapter.ID})
	}
	proof := "none"
	if p := e.rec.Proof; p != nil {
		parents, proof = append(parents, dlm.Parent{Role: "golden", ID: p.Golden}), string(p.Verdict.Outcome)
	}
	art, err := e.l.store.Put(e.a.ctx, dlm.Artifact{
		Kind: dlm.KindExport, Name: e.name + "/" + e.rec.Kind, Parents: parents, Code: version(),
		Params: map[string]string{"kind": e.rec.Kind, "type": e.rec.Type, "proof": proof},
	}, dir)
	return art.ID, err
}

func (e *export) print(out string) {
	a := e.a
	for _, f := range e.rec.Files {
		a.printf("  %-44s %8.1f MB\n", f.Path, float64(f.Size)/1e6)
	}
	if p := e.rec.Proof; p != nil {
		a.printf("%s: native %s, exported through %s %s; %d of %d answers are the same text\n", p.Metric,
			metricText(&p.Native), p.Engine, metricText(&p.Exported), p.Same, p.Items)
		if g := p.LogProbs; g != nil {
			a.printf("log-probabilities of %d tokens of right answers differ by %.4f on average, %.3f at most\n", g.Tokens, g.Mean, g.Largest)
		}
		v := p.Verdict
		if p.Same == p.Items {
			a.printf("every answer is the same text: nothing moved\n")
		} else {
			a.printf("gate: %s - %s\n", a.paint(outcomeColor(v.Outcome), string(v.Outcome)), v.Reason)
		}
		if p.Exit != exitOK {
			why := "the golden set moved"
			if p.Exit == exitInconclusive {
				why = "too few items say that nothing moved (more golden items would, or accept it: --set gate.on_inconclusive=warn)"
			}
			a.printf("refused: %s; the files were put aside in %s\n", why, a.rel(out))
			return
		}
	} else {
		a.printf("without a proof, as asked; recorded in %s\n", exportFile)
	}
	a.printf("exported to %s\n", a.rel(out))
	if next := e.next(out); next != "" {
		a.printf("next: %s\n", next)
	}
}

// next is a command that uses the export.
func (e *export) next(out string) string {
	out = e.a.rel(out)
	switch e.rec.Kind {
	case "gguf":
		return "llama-server -m " + filepath.Join(out, e.fileName("-"+e.rec.Type+".gguf"))
	case "gguf-lora":
		return "llama-server -m BASE.gguf --lora " + filepath.Join(out, e.fileName("-lora.gguf"))
	case "ollama":
		return fmt.Sprintf("ollama create %s -f %s", e.fileName(""), filepath.Join(out, "Modelfile"))
	}
	return ""
}
