package lora_test

import (
	"fmt"
	"os"
	"path/filepath"

	"dlm/engine/kernel"
	"dlm/engine/lora"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// Example makes an adapter, writes it as a PEFT folder, and reads it back.
func Example() {
	x, _ := kernel.New(1)
	defer x.Close()
	ck, err := weights.Open("../testdata/tiny/llama-tied")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ck.Close()
	m, _ := model.Load(ck, x, kernel.BF16)
	a := lora.New(m, lora.Config{Rank: 4, Alpha: 8}, 1)
	tmp, _ := os.MkdirTemp("", "adapter")
	defer os.RemoveAll(tmp)
	dir := filepath.Join(tmp, "claims")
	id := lora.BaseIdentity{BaseName: "llama-tied", BaseHash: "sha256:0"}
	fmt.Println(a.Save(dir, id))
	b, err := lora.Load(dir, m, id)
	fmt.Println(b.Parameters(), b.Zero(), err)
	id.BaseHash = "sha256:1"
	_, err = lora.Load(dir, m, id)
	fmt.Println(err != nil)
	// Output:
	// <nil>
	// 8192 true <nil>
	// true
}
