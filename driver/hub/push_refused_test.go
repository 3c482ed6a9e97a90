package hub

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

func TestPushRefusals(t *testing.T) {
	deny := func(path string, status int, code, said string) func(*testkit.FakeHub) {
		return func(f *testkit.FakeHub) {
			f.Deny = func(r *http.Request) (int, string, string) {
				if strings.Contains(r.URL.Path, path) {
					return status, code, said
				}
				return 0, "", ""
			}
		}
	}
	other := map[string][]byte{"config.json": []byte("{}"), "model.safetensors": []byte("x")}
	for name, tc := range map[string]struct {
		token  string
		change func(*testkit.FakeHub)
		job    func(*dlm.PushJob)
		expect []string
	}{
		"no token":      {token: "none", expect: []string{"no token", "HF_TOKEN", "settings/tokens"}},
		"wrong token":   {token: "hf_wrong", expect: []string{"does not accept the token", "Invalid credentials", "settings/tokens"}},
		"read token":    {token: "hf_read", expect: []string{"may only read", "settings/tokens"}},
		"not a member":  {token: "hf_bob", expect: []string{"that of bob", "may not push to acme", "bob"}},
		"fine-grained":  {token: "hf_fine", expect: []string{"may not write to acme/desk", "You don't have the rights", "403"}},
		"public mirror": {change: func(f *testkit.FakeHub) { f.NoPrivate = true }, expect: []string{"made acme/desk public", "nothing was uploaded"}},
		"no right to create": {change: deny("repos/create", 403, "", "You don't have the rights to create a model under the namespace"),
			expect: []string{"may not write to acme/desk", "You don't have the rights", "403"}},
		"no right to commit": {change: deny("/commit/", 403, "", "Forbidden: pass `create_pr=1`"), expect: []string{"may not write", "create_pr=1", "--create-pr"}},
		"name taken by another kind": {change: func(f *testkit.FakeHub) { f.AddRepo(pushRepo, fakeCommit, nil, nil).Type = "dataset" },
			expect: []string{"name acme/desk is taken", "You already created this dataset repo", "choose another name"}},
		"name taken by a base":   {change: func(f *testkit.FakeHub) { f.AddRepo(pushRepo, fakeCommit, other, nil).Private = true }, expect: []string{"is taken", "model.safetensors", "--force"}},
		"public by mistake":      {change: func(f *testkit.FakeHub) { f.AddRepo(pushRepo, fakeCommit, map[string][]byte{}, nil) }, expect: []string{"is public", "--public"}},
		"quota in the batch":     {change: func(f *testkit.FakeHub) { f.Quota = 1000 }, expect: []string{"storage is full", "Private repository storage limit reached", "billing"}},
		"quota before the batch": {change: deny("preupload", 403, "", "Your storage patterns tripped our internal systems!"), expect: []string{"storage is full", "tripped our internal systems"}},
		"paid plan":              {change: deny("repos/create", 402, "", "Payment required"), expect: []string{"paid plan", "Payment required"}},
		"too large":              {change: deny("objects/batch", 413, "", "You are trying to upload too large a file"), expect: []string{"too large", "413"}},
		"gated":                  {change: deny("preupload", 403, "GatedRepo", "Access is restricted"), expect: []string{"gated", "Access is restricted", "conditions"}},
		"rate":                   {change: deny("preupload", 429, "", "you hit the quota of 1000 api requests"), expect: []string{"fewer requests", "1000 api requests", "push again"}},
		"bad card":               {change: func(f *testkit.FakeHub) { f.RefuseYAML = `"license" must be one of` }, expect: []string{"model card", `"license" must be one of`}},
		"moved meanwhile":        {change: deny("/commit/", 412, "", "A commit has happened since"), expect: []string{"changed while", "A commit has happened since", "push again"}},
		"ignored":                {change: answer("/preupload/", `{"files":[{"path":"README.md","uploadMode":"regular","shouldIgnore":true}]}`), expect: []string{".gitignore", "README.md"}},
		"half an answer":         {change: answer("/preupload/", `{"files":[]}`), expect: []string{"0 of 4 files"}},
		"not the Hub":            {change: answer("/preupload/", `<html>`), expect: []string{"does not speak the Hub's protocol"}},
		"wrong name":             {job: func(j *dlm.PushJob) { j.Ref = "hf:acme/a--b" }, expect: []string{"no name that the Hub takes"}},
		"onto a commit":          {job: func(j *dlm.PushJob) { j.Ref += "@" + fakeCommit }, expect: []string{"needs a branch"}},
		"a path":                 {job: func(j *dlm.PushJob) { j.Files[0].Path = "../x" }, expect: []string{"../x"}},
		"nothing":                {job: func(j *dlm.PushJob) { j.Files = nil }, expect: []string{"nothing to push"}},
		"no such file":           {job: func(j *dlm.PushJob) { j.Files[0].From += "x" }, expect: []string{"adapter_config.json"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newPushHub(t)
			if tc.change != nil {
				tc.change(f)
			}
			tok := tc.token
			if tok == "" {
				tok = "hf_ann"
			}
			if tok == "none" {
				tok = ""
			}
			h, _ := newClient(t, f.URL, t.TempDir(), token(tok))
			job := adapterJob(t, 20_000)
			if tc.job != nil {
				tc.job(&job)
			}
			_, err := h.Push(context.Background(), job, nil)
			expectError(t, err, tc.expect...)
			if err != nil && strings.Contains(err.Error(), "hf_") {
				t.Errorf("the token stands in the error: %v", err)
			}
		})
	}
}

// answer makes the Hub give this body to requests for such a path.
func answer(path, body string) func(*testkit.FakeHub) {
	return func(f *testkit.FakeHub) {
		f.Instead = func(_ string, w http.ResponseWriter, r *http.Request) bool {
			if strings.Contains(r.URL.Path, path) {
				fmt.Fprint(w, body)
				return true
			}
			return false
		}
	}
}
