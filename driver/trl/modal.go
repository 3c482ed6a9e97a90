package trl

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"dlm"
)

// modalProgram is a file for the command "modal run": image, volumes, the training.
//
//go:embed program/modal_train.py
var modalProgram []byte

// ModalFile is the name of the file that the user runs.
const ModalFile = "modal_train.py"

// ExportModal writes a folder from which "modal run modal_train.py" trains the job
// on a GPU of Modal: bundle, plan, versions and that file. Nothing is sent by dlm:
// the account, and what it costs, is the user's.
func (t *TRL) ExportModal(ctx context.Context, job dlm.TrainJob, dir string) (dlm.TrainPlan, error) {
	if job.Recipe.Method == "grpo" {
		return dlm.TrainPlan{}, errors.New("grpo needs dlm beside it, to score what it samples: train it on this machine, over ssh or on Ray (trl.where)")
	}
	if entries, err := os.ReadDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return dlm.TrainPlan{}, err
	} else if len(entries) > 0 {
		return dlm.TrainPlan{}, fmt.Errorf("%s is not empty: name a new folder", dir)
	}
	p, err := t.prepare(job)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return dlm.TrainPlan{}, err
	}
	b, err := t.bundle(ctx, p, p.job.Recipe, dir)
	if err != nil {
		return dlm.TrainPlan{}, err
	}
	plan, err := t.plan(p, b.Job.Base)
	if err != nil {
		return plan, err
	}
	return plan, errors.Join(
		writeJSON(filepath.Join(dir, "plan.json"), plan),
		os.WriteFile(filepath.Join(dir, "requirements.txt"), []byte(requirements), 0o644),
		os.WriteFile(filepath.Join(dir, ModalFile), modalProgram, 0o644))
}
