package main

import (
	"os"
	"strconv"
	"strings"

	"dlm"
	"dlm/stage/curate"
)

// tokenizeCmd shows how the base's tokenizer splits a text.
type tokenizeCmd struct {
	Text    []string `arg:"" optional:"" help:"Text; several arguments are joined by spaces."`
	File    string   `short:"f" help:"Read the text from a file."`
	Base    string   `help:"Base model (default: the project's)." placeholder:"REF"`
	Special bool     `help:"Parse special tokens in the text; otherwise they are text."`
}

func (c *tokenizeCmd) Run(a *app) error {
	text := strings.Join(c.Text, " ")
	if (c.File == "") == (text == "") {
		return usageError("give a text or --file, not both")
	}
	if c.File != "" {
		if err := needFile("--file", c.File); err != nil {
			return err
		}
		data, err := os.ReadFile(c.File)
		if err != nil {
			return err
		}
		text = string(data)
	}
	enc, err := a.encoder(c.Base)
	if err != nil {
		return err
	}
	toks := enc.Tokenize(text, c.Special)
	type piece struct {
		ID   int32  `json:"id"`
		Text string `json:"text"`
	}
	out := make([]piece, len(toks))
	for i, t := range toks {
		out[i] = piece{t.ID, t.Text}
	}
	a.finish(map[string]any{"tokens": out, "count": len(out)}, func() {
		for _, p := range out {
			a.printf("%7d  %s\n", p.ID, strconv.Quote(p.Text))
		}
		a.printf("%d tokens\n", len(out))
	})
	return nil
}

// renderCmd shows a conversation as the chat template writes it, with its mask.
type renderCmd struct {
	File             string `arg:"" optional:"" help:"JSON file with messages; - reads standard input." placeholder:"FILE"`
	Base             string `help:"Base model (default: the project's)." placeholder:"REF"`
	System           string `help:"System message, with --user."`
	User             string `short:"u" help:"User message instead of a file."`
	GenerationPrompt bool   `help:"End with the prompt for the assistant's turn."`
}

func (c *renderCmd) Run(a *app) error {
	msgs, err := c.messages(a)
	if err != nil {
		return err
	}
	enc, err := a.encoder(c.Base)
	if err != nil {
		return err
	}
	text, err := enc.Render(msgs, c.GenerationPrompt)
	if err != nil {
		return err
	}
	var e dlm.Encoded
	if !c.GenerationPrompt && msgs[len(msgs)-1].Role == "assistant" {
		if e, err = enc.Encode(dlm.Row{Messages: msgs}, 0); err != nil {
			return err
		}
	}
	a.finish(map[string]any{"text": text, "ids": e.IDs, "mask": maskBits(e.Mask)}, func() {
		if e.IDs == nil {
			a.printf("%s", text)
			return
		}
		err = curate.Preview(a.stdout, enc, dlm.Row{Messages: msgs}, e, curate.Style{Colour: a.color()})
	})
	return err
}

func (c *renderCmd) messages(a *app) ([]dlm.Message, error) {
	p := promptFlags{System: c.System, User: c.User, Messages: c.File}
	if (c.User == "") == (c.File == "") {
		return nil, usageError("give a file of messages or --user")
	}
	msgs, _, err := p.read(a)
	return msgs, err
}

// maskBits writes a mask as 0 and 1, as the field's files do.
func maskBits(mask []bool) []int {
	out := make([]int, len(mask))
	for i, m := range mask {
		if m {
			out[i] = 1
		}
	}
	return out
}

// encoder opens the base for its tokenizer and chat template.
func (a *app) encoder(base string) (dlm.Encoder, error) {
	ref, err := a.baseRef(base)
	if err != nil {
		return nil, err
	}
	n, _, err := a.openBase(ref, "bf16")
	return n, err
}
