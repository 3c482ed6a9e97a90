package native

import (
	"path/filepath"
	"testing"
)

// TestGGUFAnswersAsTheFolder: base and adapter in a GGUF file of f16 are the very
// numbers of a folder in f16, whatever the order in which the file keeps them; the
// types with fewer bits stay near.
func TestGGUFAnswersAsTheFolder(t *testing.T) {
	for _, base := range bases {
		n := open(t, base, Options{Precision: "f32"})
		adapter := bound(t, n, 3, false)
		dir := filepath.Join(t.TempDir(), "folder")
		if err := n.WriteHF(dir, FolderOptions{Dtype: "f16", Adapter: adapter}); err != nil {
			t.Fatal(base, err)
		}
		folder, err := Open(dir, Options{Precision: "f32"})
		if err != nil {
			t.Fatal(base, err)
		}
		defer folder.Close()
		for _, typ := range GGUFTypes() {
			path := filepath.Join(t.TempDir(), typ+".gguf")
			if err := n.WriteGGUF(path, GGUFOptions{Type: typ, Adapter: adapter, License: "apache-2.0"}); err != nil {
				t.Fatal(base, err)
			}
			back, err := Open(path, Options{Precision: "f32"})
			if err != nil {
				t.Fatal(base, err)
			}
			defer back.Close()
			d := largest(t, folder, back, "", "")
			if typ == "f16" && d != 0 {
				t.Errorf("%s: log-probabilities of f16 differ by %g", base, d)
			}
			if d > 4 { // random weights: their answers hang by little
				t.Errorf("%s: log-probabilities of %s differ by %g", base, typ, d)
			}
			if a, b := n.Identity(), back.Identity(); a.TemplateHash != b.TemplateHash || len(a.StopIDs) != len(b.StopIDs) {
				t.Errorf("%s: identity %+v, expected %+v", base, b, a)
			}
		}
	}
}

func TestGGUFLoRANeedsAnAdapter(t *testing.T) {
	n := open(t, "qwen2", Options{})
	wants(t, n.WriteGGUFLoRA(filepath.Join(t.TempDir(), "x.gguf"), ""), "adapter")
	if err := n.WriteGGUFLoRA(filepath.Join(t.TempDir(), "x.gguf"), bound(t, n, 3, false)); err != nil {
		t.Fatal(err)
	}
}
