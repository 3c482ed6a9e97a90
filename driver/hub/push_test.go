package hub

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

const pushRepo = "acme/desk"

// newPushHub is an empty Hub on which ann may write to acme, and bob may not.
func newPushHub(t *testing.T) *testkit.FakeHub {
	f := testkit.NewFakeHub(t)
	f.Users = map[string]testkit.FakeUser{
		"hf_ann": {Name: "ann", Orgs: []string{"acme"}, Role: "write"}, "hf_bob": {Name: "bob", Role: "write"}, "hf_fine": {Name: "bob", Role: "fineGrained"}, "hf_read": {Name: "ann", Orgs: []string{"acme"}, Role: "read"},
	}
	f.ChunkSize = 10_000
	return f
}

// adapterJob is an adapter with weights of so many bytes.
func adapterJob(t *testing.T, size int) dlm.PushJob {
	t.Helper()
	dir := t.TempDir()
	weights := make([]byte, size)
	for i := range weights {
		weights[i] = byte(i*i>>5 + i>>13)
	}
	files := map[string][]byte{adapterConfig: []byte(`{"peft_type":"LORA"}`), adapterWeights: weights, "tokenizer.json": []byte("{}")}
	job := dlm.PushJob{Ref: "hf:" + pushRepo, Message: "first"}
	for _, name := range []string{adapterConfig, adapterWeights, "tokenizer.json"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, files[name], 0o644); err != nil {
			t.Fatal(err)
		}
		job.Files = append(job.Files, dlm.PushFile{Path: name, From: path})
	}
	job.Files = append(job.Files, dlm.PushFile{Path: "README.md", Data: []byte("---\nlibrary_name: peft\n---\n# desk\n")})
	return job
}

func mustPush(t *testing.T, h *Hub, job dlm.PushJob) dlm.PushResult {
	t.Helper()
	res, err := h.Push(context.Background(), job, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func checkPushed(t *testing.T, f *testkit.FakeHub, branch string, job dlm.PushJob) {
	t.Helper()
	c := f.Repo(pushRepo).Head(branch)
	for _, x := range job.Files {
		want := x.Data
		if x.From != "" {
			want, _ = os.ReadFile(x.From)
		}
		if !bytes.Equal(c.Files[x.Path], want) || c.LFS[x.Path] != (x.Path == adapterWeights) {
			t.Errorf("%s on the Hub is not what was pushed (%d bytes, large %v)", x.Path, len(c.Files[x.Path]), c.LFS[x.Path])
		}
	}
}

func TestPush(t *testing.T) {
	for _, chunk := range []int64{0, 10_000, 1 << 20} { // in one piece, in parts, in one part
		f, cache := newPushHub(t), t.TempDir()
		f.ChunkSize = chunk
		h, _ := newClient(t, f.URL, cache, token("hf_ann"))
		job := adapterJob(t, 95_000)
		var last int64
		res, err := h.Push(context.Background(), job, func(file string, done, total int64) {
			if file != adapterWeights || total != 95_000 || done < last {
				t.Errorf("progress of %s: %d of %d after %d", file, done, total, last)
			}
			last = done
		})
		if err != nil {
			t.Fatal(err)
		}
		checkPushed(t, f, "main", job)
		repo := f.Repo(pushRepo)
		if !res.Created || !res.Private || !repo.Private || res.Unchanged || res.SentBytes < 95_000 || last != 95_000 || res.Commit != repo.Branches["main"] || repo.Head("main").Message != "first" {
			t.Errorf("%+v, progress %d, repository private %v", res, last, repo.Private)
		}
		for _, tok := range f.Tokens() {
			if tok != "" {
				t.Error("the store saw the token")
			}
		}
		if left, _ := filepath.Glob(filepath.Join(cache, "uploads", "*.json*")); left != nil {
			t.Errorf("left %v", left)
		}
		// Again: nothing is sent, no commit is made.
		commits, received := len(repo.Commits), f.Received()
		again := mustPush(t, h, job)
		if !again.Unchanged || again.Created || again.Commit != res.Commit || len(repo.Commits) != commits || f.Received() != received || again.SentBytes != 0 {
			t.Errorf("pushed again: %+v", again)
		}
		// One small file changed: one commit, and no large file goes up.
		job.Files[3].Data, job.Message = []byte("# better\n"), "second"
		third := mustPush(t, h, job)
		checkPushed(t, f, "main", job)
		if third.Unchanged || third.Files[3].State != "changed" || third.Files[1].State != "same" || f.Received() != received || len(repo.Commits) != commits+1 {
			t.Errorf("one file changed: %+v", third)
		}
		if repo.Head("main").Parent != res.Commit || repo.Head("main").Files[".gitattributes"] == nil {
			t.Error("the second commit does not stand on the first")
		}
	}
}

func TestPushDryRunChangesNothing(t *testing.T) {
	f := newPushHub(t)
	h, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	job := adapterJob(t, 20_000)
	job.DryRun = true
	res := mustPush(t, h, job)
	if !res.Created || len(res.Files) != 4 || res.Files[0].State != "new" || f.Repo(pushRepo) != nil || f.Count("POST") != 0 || f.Count("PUT") != 0 {
		t.Errorf("%+v\n%v", res, f.Requests())
	}
}

func TestPushWeather(t *testing.T) {
	f := newPushHub(t)
	seen := map[int]int{}
	f.RefusePut = func(part int) (int, map[string]string) {
		seen[part]++
		if seen[part] == 1 && part%2 == 0 {
			return 500, nil
		}
		if seen[part] == 1 && part == 3 {
			return 503, map[string]string{"Retry-After": "1"}
		}
		return 0, nil
	}
	f.PutCut, f.PutCuts = 4_000, 2
	posts := 0
	f.Deny = func(r *http.Request) (int, string, string) {
		if r.Method == http.MethodPost {
			if posts++; posts%2 == 1 && !strings.Contains(r.URL.Path, "/commit/") {
				return 502, "", ""
			}
		}
		return 0, "", ""
	}
	h, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	job := adapterJob(t, 95_000)
	// RefusePut is called by several requests at once.
	f.RefusePut = serial(f.RefusePut)
	res := mustPush(t, h, job)
	checkPushed(t, f, "main", job)
	if res.SentBytes <= 95_000 {
		t.Errorf("sent %d bytes although some were sent again", res.SentBytes)
	}
}

func serial(fn func(int) (int, map[string]string)) func(int) (int, map[string]string) {
	sem := make(chan struct{}, 1)
	return func(p int) (int, map[string]string) {
		sem <- struct{}{}
		defer func() { <-sem }()
		return fn(p)
	}
}

// refuseFrom lets so many parts through, then none.
func refuseFrom(n int) func(int) (int, map[string]string) {
	got := 0
	return serial(func(int) (int, map[string]string) {
		if got++; got > n {
			return 503, nil
		}
		return 0, nil
	})
}

func TestPushGoesOnWhereItWasCutOff(t *testing.T) {
	f, cache := newPushHub(t), t.TempDir()
	job := adapterJob(t, 95_000)
	f.RefusePut = refuseFrom(6)
	h, _ := newClient(t, f.URL, cache, token("hf_ann"))
	_, err := h.Push(context.Background(), job, nil)
	expectError(t, err, "6 of 10 parts", "push again")
	states, _ := filepath.Glob(filepath.Join(cache, "uploads", "*.json"))
	if len(states) != 1 {
		t.Fatalf("states %v", states)
	}
	if st, err := os.Stat(states[0]); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the signed addresses can be read by others: %v %v", st.Mode(), err)
	}
	f.RefusePut = nil
	batches := f.Count("objects/batch")
	h, notes := newClient(t, f.URL, cache, token("hf_ann"))
	res := mustPush(t, h, job)
	checkPushed(t, f, "main", job)
	// Four parts are missing; one of them may be the last, which has 5,000 bytes.
	if sent := res.SentBytes; sent != 35_000 && sent != 40_000 {
		t.Errorf("the second push sent %d bytes, expected the four missing parts", sent)
	}
	if f.Count("objects/batch") != batches {
		t.Error("the addresses were asked for again")
	}
	if !strings.Contains(fmt.Sprint(*notes), "6 of 10 parts went up before") {
		t.Errorf("notes %q", *notes)
	}
}

func TestPushWithAddressesThatRanOut(t *testing.T) {
	f, cache := newPushHub(t), t.TempDir()
	job := adapterJob(t, 95_000)
	f.RefusePut = refuseFrom(6)
	h, _ := newClient(t, f.URL, cache, token("hf_ann"))
	if _, err := h.Push(context.Background(), job, nil); err == nil {
		t.Fatal("no error")
	}
	f.RefusePut = nil
	f.ExpireUploads()
	h, notes := newClient(t, f.URL, cache, token("hf_ann"))
	mustPush(t, h, job)
	checkPushed(t, f, "main", job)
	if !strings.Contains(fmt.Sprint(*notes), "asking where it is to go now") {
		t.Errorf("notes %q", *notes)
	}
	// A store that never takes what it announced ends with an error.
	f.RefusePut = func(int) (int, map[string]string) { return 403, nil }
	_, err := h.Push(context.Background(), adapterJob(t, 90_000), nil)
	expectError(t, err, "no longer takes this upload", "403")
}

// TestPushAfterACompletedUpload: the process died between the last part and the
// commit. Nothing is sent again.
func TestPushAfterACompletedUpload(t *testing.T) {
	f, cache := newPushHub(t), t.TempDir()
	job := adapterJob(t, 95_000)
	f.Deny = func(r *http.Request) (int, string, string) {
		if strings.Contains(r.URL.Path, "/commit/") {
			return 400, "", "not now"
		}
		return 0, "", ""
	}
	h, _ := newClient(t, f.URL, cache, token("hf_ann"))
	_, err := h.Push(context.Background(), job, nil)
	expectError(t, err, "not now")
	f.Deny = nil
	before := f.Received()
	mustPush(t, h, job)
	checkPushed(t, f, "main", job)
	if f.Received() != before {
		t.Error("a file that was there went up again")
	}
}

// TestPushWithALostAnswer: the commit is made and its answer is lost.
func TestPushWithALostAnswer(t *testing.T) {
	f := newPushHub(t)
	h, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	job := adapterJob(t, 20_000)
	inner := false
	f.Instead = func(host string, _ http.ResponseWriter, r *http.Request) bool {
		if host == "hub" && strings.Contains(r.URL.Path, "/commit/") && !inner {
			inner = true
			req, err := http.NewRequest(r.Method, f.URL+r.URL.Path, r.Body)
			if err != nil {
				panic(err)
			}
			req.Header = r.Header
			if resp, err := http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
			panic(http.ErrAbortHandler)
		}
		return false
	}
	res := mustPush(t, h, job)
	checkPushed(t, f, "main", job)
	if repo := f.Repo(pushRepo); len(repo.Commits) != 2 || res.Commit != repo.Branches["main"] {
		t.Errorf("%d commits, %+v", len(repo.Commits), res)
	}
}

// TestPushOverwritesNobody: another push comes between the look and the commit.
func TestPushOverwritesNobody(t *testing.T) {
	f := newPushHub(t)
	h, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	job := adapterJob(t, 20_000)
	mustPush(t, h, job)
	theirs := job
	theirs.Files = append(theirs.Files[:3:3], dlm.PushFile{Path: "README.md", Data: []byte("# theirs\n")})
	job.Files[3].Data = []byte("# ours\n")
	other, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	came := false
	f.Instead = func(_ string, _ http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/preupload/") && !came {
			came = true
			mustPush(t, other, theirs)
		}
		return false
	}
	_, err := h.Push(context.Background(), job, nil)
	expectError(t, err, "changed while", "A commit has happened since", "push again")
	checkPushed(t, f, "main", theirs)
	mustPush(t, h, job)
	checkPushed(t, f, "main", job)
}

// TestTokenStaysWithTheHub: an address for the verification that lies elsewhere is
// asked, but not with the token.
func TestTokenStaysWithTheHub(t *testing.T) {
	f := newPushHub(t)
	f.ChunkSize = 0
	asked := 0
	f.Instead = func(host string, w http.ResponseWriter, r *http.Request) bool {
		if host == "cdn" && r.URL.Path == "/verify" {
			asked++
			if r.Header.Get("Authorization") != "" {
				t.Error("the token went elsewhere")
			}
			return true
		}
		if !strings.HasSuffix(r.URL.Path, "objects/batch") || r.Header.Get("X-Inner") != "" {
			return false
		}
		req, err := http.NewRequest(r.Method, f.URL+r.URL.Path, r.Body)
		if err != nil {
			panic(err)
		}
		req.Header = r.Header.Clone()
		req.Header.Set("X-Inner", "1")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		_, _ = w.Write(bytes.Replace(body, []byte(f.URL+"/"+pushRepo+".git/info/lfs/verify"), []byte(f.CDN+"/verify"), 1))
		return true
	}
	h, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	mustPush(t, h, adapterJob(t, 20_000))
	if asked != 1 {
		t.Errorf("verified %d times", asked)
	}
}

func TestPushBranchesAndPullRequests(t *testing.T) {
	f := newPushHub(t)
	h, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	job := adapterJob(t, 20_000)
	mustPush(t, h, job)
	head := f.Repo(pushRepo).Branches["main"]
	job.Ref, job.Files[3].Data = "hf:"+pushRepo+"@canary", []byte("# canary\n")
	mustPush(t, h, job)
	checkPushed(t, f, "canary", job)
	if f.Repo(pushRepo).Branches["main"] != head {
		t.Error("main moved")
	}
	// bob may not write, but may propose; the repository is public for that.
	f.Repo(pushRepo).Private = false
	b, _ := newClient(t, f.URL, t.TempDir(), token("hf_bob"))
	job.Ref, job.Files[3].Data = "hf:"+pushRepo, []byte("# bob's\n")
	_, err := b.Push(context.Background(), job, nil)
	expectError(t, err, "that of bob", "--create-pr")
	job.CreatePR = true
	res := mustPush(t, b, job)
	if res.PullRequest == "" || f.Repo(pushRepo).Branches["main"] != head {
		t.Errorf("%+v", res)
	}
	checkPushed(t, f, "refs/pr/1", job)
}

func TestPushIsStopped(t *testing.T) {
	f, cache := newPushHub(t), t.TempDir()
	f.PartRate = 20_000
	ctx, cancel := context.WithCancel(context.Background())
	h, _ := newClient(t, f.URL, cache, token("hf_ann"))
	_, err := h.Push(ctx, adapterJob(t, 95_000), func(_ string, done, _ int64) {
		if done > 10_000 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error("error", err)
	}
}

func TestMirrorThatKnowsLess(t *testing.T) {
	f := newPushHub(t)
	f.NoWhoami, f.NoTree = true, true
	f.Deny = func(r *http.Request) (int, string, string) {
		if r.URL.Path == "/api/validate-yaml" {
			return 404, "", ""
		}
		return 0, "", ""
	}
	h, _ := newClient(t, f.URL, t.TempDir(), token("hf_ann"))
	job := adapterJob(t, 20_000)
	first := mustPush(t, h, job)
	checkPushed(t, f, "main", job)
	again := mustPush(t, h, job)
	if !again.Unchanged || again.Commit != first.Commit {
		t.Errorf("%+v", again)
	}
}
