package tokenizer_test

import (
	"fmt"

	"dlm/engine/tokenizer"
)

// A vocabulary of seven tokens: special tokens in text are text unless asked for.
func Example() {
	tok, err := tokenizer.New(tokenizer.Vocab{
		Tokens: []string{"h", "i", "hi", "<", "e", ">", "<e>"},
		Types:  []int32{1, 1, 1, 1, 1, 1, tokenizer.TypeControl},
		Merges: []string{"h i"},
		Pre:    "smollm",
		BOS:    -1, EOS: 6, Pad: -1, Unknown: -1,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(tok.Encode("hi<e>"))
	fmt.Println(tok.EncodeSpecial("hi<e>"))
	fmt.Println(tok.Decode([]int32{2, 6}))
	// Output:
	// [2 3 4 5]
	// [2 6]
	// hi<e>
}
