package trl

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Python is the interpreter that runs the program.
type Python struct {
	Path string `json:"path"`
	From string `json:"from"` // who named it, for people: "trl.python in dlm.yaml"
}

// FindPython resolves the interpreter: the configured one, else the environment
// variable's, else that of an installed environment below root. A bare name is
// looked up in PATH.
func FindPython(configured, variable, root string) (Python, error) {
	for _, p := range []Python{{configured, "trl.python in dlm.yaml"}, {variable, "DLM_TRL_PYTHON"}} {
		if p.Path == "" {
			continue
		}
		found, err := exec.LookPath(p.Path)
		if err != nil {
			return p, fmt.Errorf("%s is %s, and there is no program; name the python of an environment with TRL, or leave it out and run dlm trainer install trl", p.From, p.Path)
		}
		p.Path, err = filepath.Abs(found)
		return p, err
	}
	if p, ok := Installed(root); ok {
		return p, nil
	}
	return Python{}, errors.New("no Python environment with TRL is there: run dlm trainer install trl, or name the python of one you have (trl.python in dlm.yaml, or DLM_TRL_PYTHON)")
}

// EnvironmentDir is where Install makes the environment of these versions, by
// default, below root.
func EnvironmentDir(root string) string { return filepath.Join(root, "trl-"+requirementsHash()) }

// Installed finds the environment that Install made whole, below root or where
// it was told to.
func Installed(root string) (Python, bool) {
	for _, dir := range []string{pointed(root), EnvironmentDir(root)} {
		if dir == "" {
			continue
		}
		if r, err := ReadReceipt(dir); err == nil && r.Requirements == requirementsHash() {
			return Python{Path: interpreter(dir), From: "dlm trainer install trl"}, true
		}
	}
	return Python{}, false
}

// interpreter is the python of an environment.
func interpreter(dir string) string {
	if runtime.GOOS == "windows" {
		return filepath.Join(dir, "Scripts", "python.exe")
	}
	return filepath.Join(dir, "bin", "python")
}

// exists says whether there is a file or folder.
func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
