package chat_test

import (
	"fmt"

	"dlm/engine/chat"
	"dlm/engine/tokenizer"
)

// The mask covers what the assistant says and the token that ends its turn.
func Example() {
	tok, err := tokenizer.New(tokenizer.Vocab{
		Tokens: []string{"a", "b", "Ċ", "<user>", "<bot>", "<end>"},
		Types:  []int32{1, 1, 1, tokenizer.TypeControl, tokenizer.TypeControl, tokenizer.TypeControl},
		Pre:    "smollm",
		BOS:    -1, EOS: 5, Pad: -1, Unknown: -1,
	})
	if err != nil {
		panic(err)
	}
	const source = "{% for m in messages %}{{ '<bot>' if m.role == 'assistant' else '<user>' }}{{ m.content }}<end>{{ '\n' }}{% endfor %}" +
		"{% if add_generation_prompt %}<bot>{% endif %}"
	t, err := chat.New(source, tok, nil)
	if err != nil {
		panic(err)
	}
	ids, mask, err := t.Encode([]chat.Message{{Role: "user", Content: "a"}, {Role: "assistant", Content: "b"}}, 0)
	if err != nil {
		panic(err)
	}
	for i, id := range ids {
		fmt.Printf("%q %v\n", tok.Piece(id), mask[i])
	}
	// Output:
	// "<user>" false
	// "a" false
	// "<end>" false
	// "\n" false
	// "<bot>" false
	// "b" true
	// "<end>" true
	// "\n" false
}
