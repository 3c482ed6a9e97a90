//go:build unix

package trl

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
)

func TestExportModal(t *testing.T) {
	j, base := job(t), smallBase(t)
	tr := trainer(t, "plain", func(o *Options) {
		o.Base = func(context.Context) (string, error) { return base, nil }
		o.Device = Device{}
	})
	dir := filepath.Join(t.TempDir(), "modal")
	plan, err := tr.ExportModal(t.Context(), j, dir)
	if err != nil || plan.PeakBytes == 0 {
		t.Fatalf("%+v, %v", plan, err)
	}
	for _, name := range []string{ModalFile, "plan.json", "requirements.txt", "bundle/" + JobFile, "bundle/" + ProgramFile, "bundle/dlm_ids.py", "bundle/dlm_book.py", "bundle/dlm_bundle.py", "bundle/" + RowsFile, "bundle/" + ManifestFile} {
		if !exists(filepath.Join(dir, name)) {
			t.Errorf("%s is not there", name)
		}
	}
	var got dlm.TrainPlan
	raw, err := os.ReadFile(filepath.Join(dir, "plan.json"))
	if err != nil || json.Unmarshal(raw, &got) != nil || got.PeakBytes != plan.PeakBytes {
		t.Errorf("plan.json: %s, %v", raw, err)
	}
	if _, err := tr.ExportModal(t.Context(), j, dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("over another: %v", err)
	}
	j.Recipe.Method = "grpo"
	if _, err := tr.ExportModal(t.Context(), j, dir+"2"); err == nil || !strings.Contains(err.Error(), "grpo") {
		t.Errorf("grpo: %v", err)
	}
	if python, err := exec.LookPath("python3"); err == nil {
		check := exec.Command(python, "-c", "import ast, sys; ast.parse(open(sys.argv[1]).read())", filepath.Join(dir, ModalFile)) //nolint:gosec // a syntax check
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", ModalFile, err, out)
		}
	}
}
