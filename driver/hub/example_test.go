package hub_test

import (
	"fmt"

	"dlm/driver/hub"
)

func ExampleParseRef() {
	ref, err := hub.ParseRef("hf:acme/tiny@v1.0:tiny.Q4_1.gguf")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(ref.Repo, ref.Revision, ref.File)
	// Output: acme/tiny v1.0 tiny.Q4_1.gguf
}
