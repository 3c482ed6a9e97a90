package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dlm"
)

// VerdictFile is the name of the file in a verdict artifact.
const VerdictFile = "verdict.json"

// VerdictRecord is a verdict artifact's content: the decision with what it was
// decided on. The adapter stands in the content, not only in the lineage, so
// that the verdicts of two adapters that answer alike are two artifacts.
type VerdictRecord struct {
	dlm.Verdict
	Adapter         dlm.Digest `json:"adapter"`          // the candidate
	BaselineAdapter dlm.Digest `json:"baseline_adapter"` // empty when the baseline is no adapter
	Report          dlm.Digest `json:"report"`           // the evaluation it was read from
	Golden          dlm.Digest `json:"golden"`           // the golden set
	OnInconclusive  string     `json:"on_inconclusive"`  // block, warn, pass
	Exit            int        `json:"exit"`             // exit code of the gate
}

// Allows says whether the verdict lets its adapter be promoted: it passed, or
// it is inconclusive and the project accepts that.
func (v VerdictRecord) Allows() bool {
	return v.Outcome == dlm.Pass || v.Outcome == dlm.Inconclusive && (v.OnInconclusive == "warn" || v.OnInconclusive == "pass")
}

// WriteVerdict writes the record as VerdictFile into dir, ready for Store.Put.
func WriteVerdict(dir string, v VerdictRecord) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, VerdictFile), append(b, '\n'), 0o644)
}

// ReadVerdict reads a verdict artifact.
func ReadVerdict(ctx context.Context, store dlm.Store, id dlm.Digest) (VerdictRecord, error) {
	var v VerdictRecord
	a, err := store.Artifact(ctx, id)
	if err != nil {
		return v, err
	}
	if a.Kind != dlm.KindVerdict {
		return v, fmt.Errorf("%s is a %s, expected a verdict", id.Short(), a.Kind)
	}
	return v, readJSON(ctx, store, a, VerdictFile, &v)
}

// readJSON decodes one file of an artifact.
func readJSON(ctx context.Context, store dlm.Store, a dlm.Artifact, name string, v any) error {
	for _, f := range a.Files {
		if f.Path != name {
			continue
		}
		r, err := store.Open(ctx, f.Digest)
		if err != nil {
			return err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := json.NewDecoder(bytes.NewReader(b)).Decode(v); err != nil {
			return fmt.Errorf("%s %s: %s: %w", a.Kind, a.ID.Short(), name, err)
		}
		return nil
	}
	return fmt.Errorf("%s %s holds no %s", a.Kind, a.ID.Short(), name)
}

// Verdicts returns the verdicts on one adapter, newest first, with their ids.
func Verdicts(ctx context.Context, store dlm.Store, adapter dlm.Digest) ([]dlm.Digest, []VerdictRecord, error) {
	all, err := store.Artifacts(ctx, dlm.KindVerdict)
	if err != nil {
		return nil, nil, err
	}
	var ids []dlm.Digest
	var out []VerdictRecord
	for _, a := range all {
		v, err := ReadVerdict(ctx, store, a.ID)
		if err != nil {
			return nil, nil, err
		}
		if v.Adapter == adapter {
			ids, out = append(ids, a.ID), append(out, v)
		}
	}
	return ids, out, nil
}
