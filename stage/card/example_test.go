package card_test

import (
	"fmt"
	"strings"

	"dlm/stage/card"
)

func ExampleCard_Markdown() {
	c := card.Card{Name: "desk", Base: card.Base{Repo: "acme/base"}}
	_, page, _ := strings.Cut(string(c.Markdown()), "\n---\n")
	fmt.Println(strings.TrimSpace(page[:strings.Index(page, "\n## ")]))
	// Output:
	// # desk
	//
	// A LoRA adapter for [acme/base](https://huggingface.co/acme/base). It has not been evaluated.
}
