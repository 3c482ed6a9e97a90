package trl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// newestPython, oldestPython bound the versions that the pins have wheels for.
const oldestPython, newestPython = 10, 14 // of Python 3

// tool makes environments: uv where it is there, for it is many times faster, else
// Python's own venv and pip.
type tool struct {
	name   string // "uv", "pip"
	path   string // of uv
	python string // interpreter to begin with
}

// tool finds what to work with.
func (in Install) tool() (tool, error) {
	python, err := in.findPython()
	uv, uvErr := exec.LookPath("uv")
	switch {
	case uvErr == nil && (err == nil || in.Python == "" && in.Wheels == ""):
		if err != nil {
			python = "3.12" // uv brings its own
		}
		return tool{"uv", uv, python}, nil
	case err != nil:
		return tool{}, err
	}
	return tool{"pip", "", python}, nil
}

// findPython returns an interpreter of a version that will do.
func (in Install) findPython() (string, error) {
	names := []string{in.Python}
	if in.Python == "" {
		names = names[:0]
		for minor := newestPython - 1; minor >= oldestPython; minor-- {
			names = append(names, fmt.Sprintf("python3.%d", minor))
		}
		names = append(names, "python3", "python")
	}
	var seen []string
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		minor, err := pythonMinor(path)
		if err == nil && minor >= oldestPython && minor <= newestPython {
			return filepath.Abs(path)
		}
		if err != nil {
			seen = append(seen, fmt.Sprintf("%s (%v)", path, err))
		} else {
			seen = append(seen, fmt.Sprintf("%s (3.%d)", path, minor))
		}
	}
	what := "there is none in PATH"
	if len(seen) > 0 {
		what = "found " + strings.Join(seen, ", ")
	} else if in.Python != "" {
		what = in.Python + " is not there"
	}
	return "", fmt.Errorf("Python 3.%d to 3.%d is needed, and %s: install one (or uv, which brings its own), or name it with --python", oldestPython, newestPython, what)
}

func pythonMinor(path string) (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "-c", "import sys; print(sys.version_info[0], sys.version_info[1])").Output()
	if err != nil {
		return 0, err
	}
	var major, minor int
	if _, err := fmt.Sscan(string(out), &major, &minor); err != nil || major != 3 {
		return 0, errors.New("not Python 3")
	}
	return minor, nil
}

func (t tool) create(dir string) []string {
	if t.name == "uv" {
		return []string{t.path, "venv", "--no-progress", "--clear", "--python", t.python, dir}
	}
	return []string{t.python, "-m", "venv", dir}
}

func (t tool) install(in Install, dir, wanted string) []string {
	args := []string{interpreter(dir), "-m", "pip", "install", "--progress-bar", "off", "--disable-pip-version-check", "-r", wanted}
	if t.name == "uv" {
		args = []string{t.path, "pip", "install", "--no-progress", "--python", interpreter(dir), "-r", wanted}
	}
	switch {
	case in.Wheels != "":
		if abs, err := filepath.Abs(in.Wheels); err == nil {
			in.Wheels = abs
		}
		args = append(args, "--no-index", "--find-links", in.Wheels)
		if t.name == "uv" {
			args = append(args, "--offline")
		}
	case in.CUDA != "" && t.name == "uv":
		args = append(args, "--torch-backend", in.CUDA)
	case in.CUDA != "":
		args = append(args, "--extra-index-url", torchIndex+in.CUDA)
	}
	return args
}

// requirements are the pins; with pip, torch's names the build that PyTorch's own
// index has, which pip prefers to no other by itself.
func (in Install) requirements(t tool) string {
	if in.CUDA == "" || in.Wheels != "" || t.name == "uv" {
		return requirements
	}
	pin := "torch==" + Pins()["torch"]
	return strings.Replace(requirements, pin+"\n", pin+"+"+in.CUDA+"\n", 1)
}

// lines passes what a command writes on, line by line, and keeps it.
type lines struct {
	tell func(string)
	all  bytes.Buffer
	rest []byte
}

// Write takes a piece of output.
func (l *lines) Write(p []byte) (int, error) {
	l.all.Write(p)
	l.rest = append(l.rest, p...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(p), nil
		}
		l.line(string(l.rest[:i]))
		l.rest = l.rest[i+1:]
	}
}

func (l *lines) flush() { l.line(string(l.rest)); l.rest = nil }

// line tells what is progress, and not each of a hundred packages that was there.
func (l *lines) line(s string) {
	s = strings.TrimRight(s, " \r\t")
	if s == "" || strings.Contains(s, "already satisfied") || strings.Contains(s, "Using cached") || strings.HasPrefix(s, "Looking in") {
		return
	}
	l.tell(s)
}

// missingWheel are the words of pip and uv for a package that no source has.
var missingWheel = []string{"No matching distribution found for ", "Because "}

// explain says what to do about an installation that failed.
func (in Install) explain(said string, err error) error {
	low := strings.ToLower(said)
	has := func(words ...string) bool {
		for _, w := range words {
			if strings.Contains(low, w) {
				return true
			}
		}
		return false
	}
	last := lastLine(said)
	switch {
	case has("no space left"):
		return fmt.Errorf("the disk is full (%s): make room, or choose another disk with --dir", last)
	case has("ensurepip", "no module named venv"):
		return fmt.Errorf("this Python has no venv (%s): install it (Debian and Ubuntu: apt install python3-venv), install uv, or name another with --python", last)
	case has("no module named pip"):
		return fmt.Errorf("this Python has no pip (%s): install it (Debian and Ubuntu: apt install python3-pip), or uv", last)
	case in.Wheels != "" && has("no matching distribution", "not found in the provided package locations", "no solution found", "could not find a version"):
		return fmt.Errorf("%s lacks a wheel for this Python and machine: %s; fill it on a machine like this one: dlm trainer install trl --requirements > requirements.txt, pip download -r requirements.txt -d %s",
			in.Wheels, firstWith(said, missingWheel, last), in.Wheels)
	case has("name resolution", "connection", "timed out", "network is unreachable", "failed to fetch", "proxyerror", "could not fetch", "ssl"):
		return fmt.Errorf("the package index cannot be reached (%s): check the network or the proxy (HTTPS_PROXY, PIP_INDEX_URL or UV_INDEX_URL for a mirror), or install from a folder with --wheels", last)
	case has("no matching distribution", "no solution found", "could not find a version"):
		return fmt.Errorf("the package index has not what is needed: %s; another Python (--python) or CUDA (--cuda) may have wheels", firstWith(said, missingWheel, last))
	case has("permission denied"):
		return fmt.Errorf("no right to write (%s): choose another folder with --dir", last)
	}
	return fmt.Errorf("the installation failed (%w): %s", err, last)
}

// firstWith is the first line with one of the words, else the fallback.
func firstWith(text string, words []string, fallback string) string {
	for line := range strings.Lines(text) {
		for _, w := range words {
			if strings.Contains(line, w) {
				return strings.TrimSpace(line)
			}
		}
	}
	return fallback
}

// Requirements is the file of pins, for pip download.
func Requirements() string { return requirements }

// pointed is the environment that was installed with --dir.
func pointed(root string) string {
	raw, err := os.ReadFile(EnvironmentDir(root) + ".elsewhere")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(raw))
}
