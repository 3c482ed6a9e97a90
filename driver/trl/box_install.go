package trl

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path"
	"strings"
)

// installScript makes an environment in a folder on another machine. What stands
// before it sets dir, hash, torch (an index for torch, or nothing), again and pins.
const installScript = `set -eu
case $dir in "~/"*) dir=$HOME/${dir#"~/"};; esac
if [ "$again" = no ] && [ "$(cat "$dir/env/dlm-pins" 2>/dev/null)" = "$hash" ]; then echo "dlm: whole already"; exit 0; fi
if [ -e "$dir/env" ] && [ ! -e "$dir/env/pyvenv.cfg" ] && [ -n "$(ls -A "$dir/env")" ]; then
  echo "$dir/env holds something else than a Python environment: name another folder with trl.dir" >&2; exit 3; fi
mkdir -p "$dir"
rm -rf "$dir/env"
printf '%s\n' "$pins" > "$dir/requirements.txt"
if command -v uv >/dev/null 2>&1; then
  uv venv --quiet --python ">=3.10" "$dir/env"
  uv pip install --python "$dir/env/bin/python" ${torch:+--index-strategy unsafe-best-match --extra-index-url "$torch"} -r "$dir/requirements.txt" 2>&1
else
  python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "python3 is older than 3.10: install a newer one, or uv" >&2; exit 4; }
  python3 -m venv "$dir/env" || { echo "python3 makes no environment: install python3-venv, or uv" >&2; exit 4; }
  "$dir/env/bin/python" -m pip install --disable-pip-version-check --progress-bar off ${torch:+--extra-index-url "$torch"} -r "$dir/requirements.txt" 2>&1
fi
"$dir/env/bin/python" -c 'import torch, transformers, peft, trl'
printf '%s' "$hash" > "$dir/env/dlm-pins"
`

// Install makes the environment of the pinned versions on the other machine, with
// uv where it is there, else venv and pip; a half-made one is made anew, a whole one
// left alone. cuda is as Install.CUDA. It returns the environment's interpreter.
func (s *SSH) Install(ctx context.Context, cuda string, again bool, progress func(line string)) (python string, err error) {
	if cuda != "" && !cudaName.MatchString(cuda) {
		return "", fmt.Errorf("--cuda %s: expected cpu, or a CUDA version as PyTorch writes it, such as cu128", cuda)
	}
	index := ""
	if cuda != "" {
		index = torchIndex + cuda
	}
	word := map[bool]string{true: "yes", false: "no"}[again]
	script := fmt.Sprintf("dir=%s hash=%s torch=%s again=%s pins=%s\n%s", shQuote(s.o.Dir), shQuote(requirementsHash()+" "+cuda), shQuote(index), word, shQuote(requirements), installScript)
	said := &lastBytes{}
	cmd := exec.CommandContext(ctx, "ssh", append(s.options(), s.o.Host, "sh -s")...) //nolint:gosec // the user's own ssh
	cmd.Stdin, cmd.Stderr = strings.NewReader(script), said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	last := ""
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if last = lines.Text(); progress != nil && (strings.HasPrefix(last, "Collecting") || strings.HasPrefix(last, "Installing") || strings.HasPrefix(last, "dlm: ") || strings.HasPrefix(last, "Resolved") || strings.HasPrefix(last, "Installed")) {
			progress(last)
		}
	}
	if err := cmd.Wait(); err != nil {
		why := said.String()
		if why == "" {
			why = last
		}
		next := "; the same command tries again"
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 255 {
			next = nextStep(&lost{why, 255})
		}
		return "", fmt.Errorf("%s: %w: %s%s", s.o.Host, err, why, next)
	}
	return path.Join(s.o.Dir, "env", "bin", "python"), nil
}

// shQuote quotes a word for a POSIX shell.
func shQuote(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }

// Examine looks at what an interpreter there can train with.
func (s *SSH) Examine(ctx context.Context, python string, n Needs) Environment {
	e := examine(ctx, Python{Path: python, From: s.Name()}, n, func(ctx context.Context, packages []string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, "ssh", append(s.options(), s.o.Host, remoteQuote(python)+" - "+strings.Join(packages, " "))...) //nolint:gosec // the user's own ssh
		cmd.Stdin = strings.NewReader(probe)
		return cmd
	})
	return e
}
