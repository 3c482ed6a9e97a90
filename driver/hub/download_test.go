package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// folderOf is where the fake's repository lands.
func folderOf(cache string) string { return filepath.Join(cache, "hf--acme--tiny", fakeCommit) }

func TestCutConnectionsAreResumed(t *testing.T) {
	f := newFake(t)
	f.Cut, f.Cuts = 100_000, 2
	h, _ := f.client(t.TempDir())
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
	if f.Count("cdn GET", "bytes=100000-") != 1 || f.Count("cdn GET", "bytes=200000-") != 1 || f.Count("cdn GET") != 3 {
		t.Errorf("requests %v", f.Requests())
	}
}

// TestProgressKeepsTryingAlive: more cuts than attempts, but each brings something.
func TestProgressKeepsTryingAlive(t *testing.T) {
	f := newFake(t)
	f.Cut, f.Cuts = 20_000, 14
	h, _ := f.client(t.TempDir())
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
}

func TestGivesUpAndGoesOnLater(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	f.Cut, f.Cuts = 120_000, 1
	dead := 0
	f.Deny = func(r *http.Request) (int, string, string) {
		if r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "model.safetensors") {
			if dead++; dead > 1 {
				return 503, "", ""
			}
		}
		return 0, "", ""
	}
	h, _ := f.client(cache)
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "model.safetensors", "120000 of 300000 bytes are kept", "pull again")
	f.Deny, f.Cuts = nil, 0
	h, _ = f.client(cache) // as another process would
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
	if f.Count("cdn GET", "bytes=120000-") != 1 || leftovers(cache) != nil {
		t.Errorf("requests %v, left %v", f.Requests(), leftovers(cache))
	}
}

func TestCancelKeepsThePart(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	f.Stall = make(chan struct{})
	defer close(f.Stall)
	ctx, cancel := context.WithCancel(context.Background())
	h, _ := f.client(cache)
	_, err := h.Pull(ctx, "hf:acme/tiny", func(file string, done, _ int64) {
		if file == "model.safetensors" && done >= 50_000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error("error", err)
	}
	if st, err := os.Stat(filepath.Join(folderOf(cache), partial)); err != nil || st.Size() != 50_000 {
		t.Error("the part is gone:", err)
	}
}

func TestStallIsNoticed(t *testing.T) {
	f := newFake(t)
	f.Stall = make(chan struct{})
	h, _ := f.client(t.TempDir())
	start := time.Now()
	go func() {
		time.Sleep(quick.stall + 200*time.Millisecond)
		defer f.Lock()()
		close(f.Stall)
	}()
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
	if f.Count("cdn GET", "bytes=50000-") == 0 {
		t.Errorf("no second connection after %v: %v", time.Since(start), f.Requests())
	}
}

func TestWrongHashIsRefused(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	bad := bytes.Clone(f.files["model.safetensors"])
	bad[1234] ^= 1
	f.Serve["model.safetensors"] = bad
	h, _ := f.client(cache)
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "model.safetensors", "wrong hash", "expected sha256 "+sha256Hex(f.files["model.safetensors"]), "got "+sha256Hex(bad))
	if _, err := os.Stat(filepath.Join(folderOf(cache), "model.safetensors")); err == nil || leftovers(cache) != nil {
		t.Errorf("a wrong file was kept: %v", leftovers(cache))
	}
	if n := f.Count("cdn GET"); n != 1 {
		t.Errorf("%d downloads of a wrong file", n)
	}
}

func TestWrongSmallFileIsRefused(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	good := f.files["tokenizer.json"]
	first := true
	f.Deny = func(r *http.Request) (int, string, string) {
		if first && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/tokenizer.json") {
			first = false
			f.files["tokenizer.json"] = []byte(`{"model":[]}`) // same length, other bytes
		}
		return 0, "", ""
	}
	h, _ := f.client(cache)
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "tokenizer.json", "wrong hash", "git blob sha1 "+blobSHA1(good))
}

func TestListAndFileMustAgree(t *testing.T) {
	f := remote{path: "m", size: 5, sha256: strings.Repeat("a", 64)}
	expectError(t, f.complete(strings.Repeat("b", 64), "5"), "list says hash", "aaaa", "bbbb")
	expectError(t, f.complete(strings.Repeat("a", 64), "6"), "5 bytes", "6")
	g := remote{path: "m", size: -1}
	expectError(t, g.complete("W/something", "5"), "could not be checked")
	g = remote{path: "m", size: -1}
	expectError(t, g.complete(strings.Repeat("a", 40), ""), "how large")
}

func TestDamagedPartStartsAgain(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	dir := folderOf(cache)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1000, 300_000, 400_000} { // short, whole, too long
		if err := os.WriteFile(filepath.Join(dir, partial), make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
		h, _ := f.client(cache)
		checkModel(t, f, pull(t, h, "hf:acme/tiny"))
		os.Remove(filepath.Join(dir, "model.safetensors"))
	}
}

func TestServerThatIgnoresRanges(t *testing.T) {
	f := newFake(t)
	f.Cut, f.Cuts, f.NoRange = 100_000, 1, true
	h, _ := f.client(t.TempDir())
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
	if f.Count("cdn GET") != 2 {
		t.Errorf("requests %v", f.Requests())
	}
}

// TestChangedFileIsNotMixed: the other host's file changes between two parts;
// If-Range makes it send the whole.
func TestChangedFileIsNotMixed(t *testing.T) {
	f, cache := newFake(t), t.TempDir()
	dir := folderOf(cache)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, partial), make([]byte, 1000), 0o644)
	os.WriteFile(filepath.Join(dir, partial+".etag"), []byte(`"cdn-0"`), 0o644)
	h, notes := f.client(cache)
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
	if f.Count("cdn GET") != 1 || len(*notes) > 0 {
		t.Errorf("requests %v, notes %v", f.Requests(), *notes)
	}
}

func TestTooLongAndTooShort(t *testing.T) {
	f := newFake(t)
	whole := f.files["model.safetensors"]
	for _, body := range [][]byte{append(bytes.Clone(whole), 1), whole[:1000]} {
		f.Serve["model.safetensors"] = body
		cache := t.TempDir()
		h, _ := f.client(cache)
		_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
		expectError(t, err, "300000 bytes", fmt.Sprint(len(body)))
		if _, err := os.Stat(filepath.Join(folderOf(cache), "model.safetensors")); err == nil {
			t.Error("a file of the wrong length was kept")
		}
	}
}

func TestNoStepDownFromHTTPS(t *testing.T) {
	via, err := http.NewRequest("GET", "https://a.example/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	down, _ := http.NewRequest("GET", "http://a.example/x", nil)
	expectError(t, dropAuth(down, []*http.Request{via}), "https to http")
	for target, kept := range map[string]bool{"https://a.example/y": true, "https://b.a.example/y": false, "https://a.example:444/y": false} {
		to, _ := http.NewRequest("GET", target, nil)
		to.Header.Set("Authorization", "Bearer x")
		if err := dropAuth(to, []*http.Request{via}); err != nil || (to.Header.Get("Authorization") != "") != kept {
			t.Errorf("%s: kept %v, expected %v (%v)", target, !kept, kept, err)
		}
	}
}

// smallDisk mounts a file system of a few hundred kilobytes, where that is allowed.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("needs to mount a small tmpfs, which takes root on linux")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		t.Skipf("cannot mount a tmpfs here: %v %s", err, out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	return dir
}

func TestDiskTooSmall(t *testing.T) {
	f, cache := newFake(t), smallDisk(t, "200k")
	h, _ := f.client(cache)
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "disk is full", "needs", "free", "DLM_CACHE")
	if f.Count("cdn") != 0 {
		t.Error("a download was begun that cannot fit")
	}
}

// TestDiskFullWhileWriting fills the disk after the check, then frees it: the
// pull goes on where it stopped.
func TestDiskFullWhileWriting(t *testing.T) {
	f, cache := newFake(t), smallDisk(t, "600k")
	filler := filepath.Join(cache, "filler")
	f.Before = func() { os.WriteFile(filler, make([]byte, 450_000), 0o644) }
	h, _ := f.client(cache)
	_, err := h.Pull(context.Background(), "hf:acme/tiny", nil)
	expectError(t, err, "disk is full", partial, "kept")
	if _, err := os.Stat(filepath.Join(folderOf(cache), "model.safetensors")); err == nil {
		t.Error("an incomplete file was placed")
	}
	f.Before = nil
	os.Remove(filler)
	h, _ = f.client(cache)
	checkModel(t, f, pull(t, h, "hf:acme/tiny"))
	if f.Count("cdn GET", "bytes=") != 1 {
		t.Errorf("what had come was not used: %v", f.Requests())
	}
}
