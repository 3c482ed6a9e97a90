package tenant

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestFileKeepsNoSecret(t *testing.T) {
	f := File{filepath.Join(t.TempDir(), "state", "keys.json")}
	if keys, err := f.Keys(); err != nil || len(keys) != 0 {
		t.Fatalf("no file: %v, %v", keys, err)
	}
	k, secret, err := f.Add("app", Policy{Adapters: []string{"bank-*"}, Rate: Rate{60, time.Minute}, Tokens: Rate{100_000, time.Hour}, MaxTokens: 64, Admin: true}, day.Add(time.Hour), day)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(secret, "dlm-") || len(secret) != 4+secretDigits {
		t.Errorf("secret %q: expected dlm- and %d digits", secret, secretDigits)
	}
	src, err := os.ReadFile(f.Path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(src), secret) || !strings.Contains(string(src), k.Hash) {
		t.Errorf("the file must hold the hash and not the secret:\n%s", src)
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; expected 0600", info.Mode(), err)
	}
	keys, err := f.Keys()
	if err != nil || len(keys) != 1 {
		t.Fatalf("%v, %v", keys, err)
	}
	a, _ := json.Marshal(keys[0])
	b, _ := json.Marshal(k)
	if string(a) != string(b) {
		t.Errorf("read back\n%s, written\n%s", a, b)
	}
	if _, _, err := f.Add("app", Policy{}, time.Time{}, day); err == nil || !strings.Contains(err.Error(), "rotate") {
		t.Errorf("a name twice: %v", err)
	}
	if _, err := f.Revoke("app", day); err != nil {
		t.Fatal(err)
	}
	if _, _, err := f.Rotate("app", 0, day); err == nil {
		t.Error("a revoked key was rotated")
	}
	if _, _, err := f.Add("app", Policy{}, time.Time{}, day); err != nil {
		t.Errorf("the name of a revoked key is free: %v", err)
	}
	if _, err := f.Revoke("nobody", day); !errors.Is(err, ErrNoKey) {
		t.Errorf("revoking what is not there: %v", err)
	}
	for _, bad := range []string{"", "a b", "../x", strings.Repeat("a", 64)} {
		if _, _, err := f.Add(bad, Policy{}, time.Time{}, day); err == nil {
			t.Errorf("the name %q was taken", bad)
		}
	}
	if _, _, err := f.Add("x", Policy{Adapters: []string{"bank@prod"}}, time.Time{}, day); err == nil {
		t.Error("an adapter with an alias was taken: no name would ever fit it")
	}
}

func TestSecretsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		s := newSecret()
		if seen[s] || strings.Trim(s[4:], base62) != "" {
			t.Fatalf("secret %q", s)
		}
		seen[s] = true
	}
}

// TestManyAtOnce: changes of several writers are all there in the end.
func TestManyAtOnce(t *testing.T) {
	f := File{filepath.Join(t.TempDir(), "keys.json")}
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			if _, _, err := f.Add(fmt.Sprintf("k%d", i), Policy{}, time.Time{}, day); err != nil {
				t.Error(err)
			}
			if _, err := f.Keys(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if keys, err := f.Keys(); err != nil || len(keys) != 16 {
		t.Errorf("%d keys, %v; expected 16", len(keys), err)
	}
}

func FuzzKeys(f *testing.F) {
	hash := strings.Repeat("ab", 32)
	for _, s := range []string{
		"", "{}", `{"version":1,"keys":[]}`, `{"version":2}`, `{"version":1,"keys":[]} x`,
		`{"version":1,"keys":[{"name":"a","hash":"` + hash + `","prefix":"dlm-0000","created":"2026-01-01T00:00:00Z","rate":"60/m","tokens":"1k/h","adapters":["x*"]}]}`,
		`{"version":1,"keys":[{"name":"a","hash":"` + hash + `","ratte":"60/m"}]}`, `{"version":1,"keys":[{"name":"a","hash":"zz"}]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		keys, err := parseKeys("keys.json", src)
		if err != nil {
			return
		}
		b, err := json.Marshal(fileForm{1, keys})
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseKeys("keys.json", b)
		if err != nil || len(again) != len(keys) {
			t.Fatalf("%s: written %s, read again: %v", src, b, err)
		}
	})
}
