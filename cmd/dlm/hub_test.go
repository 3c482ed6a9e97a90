package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dlm/internal/testkit"
)

func TestPublishedConfigNamesTheBase(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for _, d := range []string{a, b} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own := []byte(`{"r": 16, "base_model_name_or_path": "mine", "target_modules": ["q_proj", "v_proj"]}`)
	os.WriteFile(filepath.Join(a, "adapter_config.json"), own, 0o644)
	raw, err := publishedConfig(filepath.Join(a, "adapter_config.json"), "acme/base")
	if err != nil || !strings.Contains(string(raw), `"base_model_name_or_path": "acme/base"`) || !strings.Contains(string(raw), `"r": 16`) {
		t.Fatalf("%s, %v", raw, err)
	}
	os.WriteFile(filepath.Join(b, "adapter_config.json"), raw, 0o644)
	if same, err := sameConfig(a, b); err != nil || !same {
		t.Errorf("the published configuration is taken for another: %v", err)
	}
	os.WriteFile(filepath.Join(b, "adapter_config.json"), bytes.Replace(raw, []byte("16"), []byte("17"), 1), 0o644)
	if same, err := sameConfig(a, b); err != nil || same {
		t.Errorf("another rank is taken for the same: %v", err)
	}
}

func TestOnlyTheRecipeIsPublished(t *testing.T) {
	got := recipeOf(map[string]string{"method": "sft", "lr": "0.1", "max_len": "512", "trainer": "trl", "rank_pattern": "{}", "stage": "train",
		"from": "/somewhere", "imported": "yes", "host": "me@box", "python": "/opt/python", "pushed_as": "sha256:x"})
	if want := map[string]string{"method": "sft", "lr": "0.1", "max_len": "512", "trainer": "trl", "rank_pattern": "{}"}; !maps.Equal(got, want) {
		t.Errorf("published: %v, expected %v", got, want)
	}
}

// hubEnv is an environment whose Hub is f and whose user is ann.
func hubEnv(t *testing.T, f *testkit.FakeHub) []string {
	t.Helper()
	env, err := offline(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return append(append(os.Environ(), env...), "HF_HUB_OFFLINE=0", "HF_ENDPOINT="+f.URL, "HF_TOKEN=hf_ann")
}

// TestKilledPushGoesOn kills dlm with SIGKILL in the middle of an upload. With
// DLM_INTEROP=1 the adapter has 200 MB, else 6.
func TestKilledPushGoesOn(t *testing.T) {
	if testing.Short() || runtime.GOOS == "windows" {
		t.Skip("starts and kills a process")
	}
	size, chunk := 6_000_000, int64(256<<10)
	if os.Getenv("DLM_INTEROP") == "1" {
		size, chunk = 200_000_000, 8<<20
	}
	parts := (int64(size)-1)/chunk + 1
	f := testkit.NewFakeHub(t)
	f.Users = map[string]testkit.FakeUser{"hf_ann": {Name: "ann", Orgs: []string{"acme"}, Role: "write"}}
	f.ChunkSize, f.PartRate = chunk, int64(size)/8 // of each of four parts at once: two seconds in all
	dir, env := filepath.Join(t.TempDir(), "big"), hubEnv(t, f)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	weights := make([]byte, size)
	rng := rand.NewChaCha8([32]byte{1})
	_, _ = rng.Read(weights)
	for name, b := range map[string][]byte{"adapter_config.json": []byte("{}"), "adapter_model.safetensors": weights} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	push := func() *exec.Cmd {
		cmd := exec.Command("dlm", "push", "hf:acme/big", dir)
		cmd.Env = env
		return cmd
	}
	first := push()
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	for f.Received() < int64(size)*11/20 {
		if time.Since(start) > 5*time.Minute {
			t.Fatal("the upload does not get anywhere")
		}
		time.Sleep(5 * time.Millisecond)
	}
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()                   // killed
	time.Sleep(300 * time.Millisecond) // the server notices the connections that broke
	before := f.Received()
	whole := f.FinishedParts()
	unlock := f.Lock()
	f.PartRate = 0
	unlock()
	out, err := push().CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	after := f.Received() - before
	t.Logf("%d bytes in %d parts of %d: killed after %d bytes with %d parts whole; the second run sent %d bytes", size, parts, chunk, before, whole, after)
	// A part may be whole with the store and not yet written down here when the
	// process died: at most those that were on their way at once.
	if most := (parts-int64(whole))*chunk + 4*chunk; after > most || after >= int64(size) || whole < 4 {
		t.Errorf("the second run sent %d bytes, expected at most %d", after, most)
	}
	if !strings.Contains(string(out), "parts went up before; going on") {
		t.Errorf("the second run does not say that it goes on:\n%s", out)
	}
	if got := f.Repo("acme/big").Head("main").Files["adapter_model.safetensors"]; sha256.Sum256(got) != sha256.Sum256(weights) {
		t.Error("what is on the Hub is not what was pushed")
	}
	// And a third run has nothing to do.
	if out, err := push().CombinedOutput(); err != nil || !strings.Contains(string(out), "nothing was sent") || f.Received() != before+after {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestHubWithTheHuggingFaceClient lets the Hub's own Python client take what dlm
// pushed, and dlm take what the client uploaded: interop/check_hub.py.
func TestHubWithTheHuggingFaceClient(t *testing.T) {
	if os.Getenv("DLM_INTEROP") != "1" {
		t.Skip("set DLM_INTEROP=1 (and DLM_PYTHON to a Python with huggingface_hub and peft) to run it")
	}
	python := os.Getenv("DLM_PYTHON")
	if python == "" {
		python = "python3"
	}
	if out, err := exec.Command(python, "-c", "import huggingface_hub, peft, transformers").CombinedOutput(); err != nil {
		t.Skipf("%s lacks the libraries: %v %s", python, err, out)
	}
	project, err := trained()
	if err != nil {
		t.Fatal(err)
	}
	base, err := filepath.Abs(filepath.Join(tiny, "llama-tied"))
	if err != nil {
		t.Fatal(err)
	}
	dlm, err := exec.LookPath("dlm")
	if err != nil {
		t.Fatal(err)
	}
	f := testkit.NewFakeHub(t)
	f.Users = map[string]testkit.FakeUser{"hf_ann": {Name: "ann", Orgs: []string{"acme"}, Role: "write"}, "hf_bob": {Name: "bob", Role: "write"}}
	f.ChunkSize = 20_000
	work := t.TempDir()
	if err := os.CopyFS(filepath.Join(work, "p"), os.DirFS(project)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "../../interop/check_hub.py", work, base)
	cmd.Env = append(hubEnv(t, f), "DLM="+dlm, "HF_HUB_DISABLE_XET=1", "HF_HUB_DISABLE_TELEMETRY=1", "HF_HUB_DISABLE_PROGRESS_BARS=1", "HF_HOME="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
	out, err := cmd.CombinedOutput()
	fmt.Print(string(out))
	if err != nil {
		t.Fatal(err)
	}
}
