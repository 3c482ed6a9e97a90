//go:build unix

package trl

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// boxPython3 makes an environment out of nothing, as python3 -m venv and pip would.
const boxPython3 = `#!/bin/sh
echo "python3 $*" >> "$CALLS"
case "$1 $2" in
"-m venv") mkdir -p "$3/bin"; touch "$3/pyvenv.cfg"; cp "$0" "$3/bin/python" ;;
"-m pip") echo "Collecting torch"; if test -e "$BREAK"; then echo "ERROR: No matching distribution found for torch"; exit 1; fi ;;
esac
`

// TestSSHInstall: the environment there is made once, a half-made one anew, and
// what fails is told in its own words.
func TestSSHInstall(t *testing.T) {
	f := newFarAway(t)
	calls, broken := filepath.Join(f.bin, "calls"), filepath.Join(f.bin, "break")
	t.Setenv("CALLS", calls)
	t.Setenv("BREAK", broken)
	if err := os.WriteFile(filepath.Join(f.bin, "python3"), []byte(boxPython3), 0o755); err != nil { //nolint:gosec // a command
		t.Fatal(err)
	}
	t.Setenv("PATH", f.bin+string(os.PathListSeparator)+"/usr/bin"+string(os.PathListSeparator)+"/bin") // no uv
	s := f.place()
	if err := os.WriteFile(broken, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Install(t.Context(), "", false, nil); err == nil || !strings.Contains(err.Error(), "No matching distribution") {
		t.Errorf("a failure: %v", err)
	}
	os.Remove(broken)
	var told []string
	python, err := s.Install(t.Context(), "cpu", false, func(l string) { told = append(told, l) })
	if err != nil || python != filepath.Join(f.dir, "env", "bin", "python") || !exists(python) || len(told) != 1 {
		t.Fatalf("%s, %v, %q", python, err, told)
	}
	raw, err := os.ReadFile(calls)
	if err != nil || !strings.Contains(string(raw), "--extra-index-url https://download.pytorch.org/whl/cpu -r") {
		t.Errorf("called %s, %v", raw, err)
	}
	if pins, err := os.ReadFile(filepath.Join(f.dir, "requirements.txt")); err != nil || !strings.Contains(string(pins), "trl==") {
		t.Errorf("pins %s, %v", pins, err)
	}
	told = nil
	if _, err := s.Install(t.Context(), "cpu", false, func(l string) { told = append(told, l) }); err != nil || len(told) != 1 || told[0] != "dlm: whole already" {
		t.Errorf("again: %v, %q", err, told)
	}
	if err := os.RemoveAll(filepath.Join(f.dir, "env", "pyvenv.cfg")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Install(t.Context(), "cpu", true, nil); err == nil || !strings.Contains(err.Error(), "something else") {
		t.Errorf("over something else: %v", err)
	}
	if _, err := s.Install(t.Context(), "12.8", false, nil); err == nil || !strings.Contains(err.Error(), "cu128") {
		t.Errorf("a CUDA that is none: %v", err)
	}
}
