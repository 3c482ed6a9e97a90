package main

import (
	"bufio"
	"fmt"
	"strings"

	"dlm"
)

// chatCmd is a conversation in the terminal.
type chatCmd struct {
	askFlags
	samplingFlags
	System string `help:"System message (default: the project's)."`
}

func (c *chatCmd) Run(a *app) error {
	n, dir, err := c.openAnswerer(a)
	if err != nil {
		return err
	}
	system := c.System
	if system == "" && c.Base == "" {
		if p, err := a.project(nil); err == nil {
			system = p.System
		}
	}
	if a.terminal() {
		a.notef("an empty line or Ctrl-D ends; /new starts over")
	}
	out, err := c.talk(a, n, dir, system)
	if err == nil && a.flags.JSON {
		a.printJSON(out)
	}
	return err
}

// chatOut is the command's JSON.
type chatOut struct {
	Messages []dlm.Message    `json:"messages"` // of the conversation that was open at the end
	Answers  []dlm.Completion `json:"answers"`  // every one, in order
}

func (c *chatCmd) talk(a *app, gen dlm.Generator, dir, system string) (chatOut, error) {
	start := func() []dlm.Message {
		if system == "" {
			return nil
		}
		return []dlm.Message{{Role: "system", Content: system}}
	}
	msgs := start()
	out := chatOut{Messages: []dlm.Message{}, Answers: []dlm.Completion{}}
	in := bufio.NewScanner(a.stdin)
	in.Buffer(nil, 1<<20)
	for {
		if a.terminal() {
			fmt.Fprint(a.stdout, a.paint("1", "> "))
		}
		if !in.Scan() {
			return out, in.Err()
		}
		line := strings.TrimSpace(in.Text())
		switch line {
		case "":
			return out, nil
		case "/new":
			msgs = start()
			continue
		}
		msgs = append(msgs, dlm.Message{Role: "user", Content: line})
		req := dlm.GenerateRequest{Messages: msgs, Adapter: dir, Sampling: c.sampling()}
		var emit func(int, dlm.Token)
		if !a.flags.JSON {
			emit = func(_ int, t dlm.Token) { fmt.Fprint(a.stdout, t.Text) }
		}
		got, err := gen.Generate(a.ctx, []dlm.GenerateRequest{req}, emit)
		if err != nil && a.terminal() && a.ctx.Err() == nil { // the person can ask something else
			a.printError(err)
			msgs = msgs[:len(msgs)-1]
			continue
		}
		if err != nil {
			return out, err
		}
		if !a.flags.JSON {
			fmt.Fprintln(a.stdout)
		}
		msgs = append(msgs, dlm.Message{Role: "assistant", Content: got[0].Text})
		out.Messages, out.Answers = msgs, append(out.Answers, got[0])
	}
}
