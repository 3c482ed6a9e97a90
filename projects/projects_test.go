package projects_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// TestProjectsAreComplete: what belongs to a project's folder is there, and its
// README names no file that is not.
func TestProjectsAreComplete(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)\)`)
	for project := range files {
		for _, name := range []string{"README.md", "LIFT.md", "dlm.yaml", "demo.sh", "expected_stdout.txt", "compose.yaml", "data/README.md"} {
			raw, err := os.ReadFile(filepath.Join(project, name))
			if err != nil {
				t.Error(err)
				continue
			}
			if !strings.HasSuffix(name, ".md") {
				continue
			}
			for _, m := range link.FindAllStringSubmatch(string(raw), -1) {
				if _, err := os.Stat(filepath.Join(project, filepath.Dir(name), m[1])); err != nil {
					t.Errorf("%s/%s links to %s: %v", project, name, m[1], err)
				}
			}
		}
		if info, err := os.Stat(filepath.Join(project, "demo.sh")); err == nil && info.Mode()&0o111 == 0 {
			t.Errorf("%s/demo.sh is not executable", project)
		}
	}
}

// load reads a compose file as docker compose does: schema, interpolation,
// consistency.
func load(t *testing.T, dir string, content []byte) (*types.Project, error) {
	t.Helper()
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml"), Content: content}},
		Environment: types.Mapping{"DLM_USER": "1000:1000"},
	}, func(o *loader.Options) { o.Profiles = []string{"*"} })
}

func TestComposeFiles(t *testing.T) {
	bin := buildCommand(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	for project := range files {
		dir := filepath.Join(root, "projects", project)
		p, err := load(t, dir, nil)
		if err != nil {
			t.Errorf("%s/compose.yaml: %v", project, err)
			continue
		}
		if p.Name != project || len(p.Services) != 2 {
			t.Errorf("%s/compose.yaml: project %s with %d services", project, p.Name, len(p.Services))
		}
		for name, s := range p.Services {
			where := project + "/compose.yaml: " + name
			if s.Build == nil || s.Build.Context != root {
				t.Errorf("%s: build context %+v, expected the repository", where, s.Build)
			}
			if s.User != "1000:1000" || s.Environment["HF_ENDPOINT"] == nil {
				t.Errorf("%s: user %q, environment %v", where, s.User, s.Environment)
			}
			mounts := map[string]string{}
			for _, v := range s.Volumes {
				mounts[v.Target] = v.Type + " " + v.Source
			}
			if mounts["/project"] != "bind "+dir || mounts["/cache"] != "volume models" {
				t.Errorf("%s: mounts %v", where, mounts)
			}
			if out, err := exec.Command(bin, append(slices.Clone([]string(s.Command)), "--help")...).CombinedOutput(); err != nil {
				t.Errorf("%s: dlm %v is no command: %v\n%s", where, s.Command, err, out)
			}
			if (name == "chat") != (s.Tty && s.StdinOpen) {
				t.Errorf("%s: a terminal is for chat alone", where)
			}
		}
	}
	// The check can fail.
	for what, text := range map[string]string{
		"unknown field":  "name: x\nservices: {a: {image: b, comand: [run]}}\n",
		"unknown volume": "name: x\nservices: {a: {image: b, volumes: [\"none:/cache\"]}}\n",
	} {
		if _, err := load(t, t.TempDir(), []byte(text)); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// TestDockerfile: the image is built with the Go version of go.mod, from files
// that are there, and the cache is where the binary looks for it.
func TestDockerfile(t *testing.T) {
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	docker := read("Dockerfile")
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read("go.mod"))
	for _, want := range []string{"FROM golang:" + version[1] + " AS build", "CGO_ENABLED=0 go build", "./cmd/dlm", "ENV XDG_CACHE_HOME=/cache", `ENTRYPOINT ["/usr/local/bin/dlm"]`} {
		if !strings.Contains(docker, want) {
			t.Errorf("Dockerfile: expected %q", want)
		}
	}
	if ignore := read(".dockerignore"); !strings.Contains(ignore, "**/.dlm") {
		t.Error(".dockerignore: a project's state would be sent to the builder")
	}
}
