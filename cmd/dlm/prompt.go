package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"dlm"
)

// promptFlags give one prompt, as a conversation or as plain text.
type promptFlags struct {
	System   string `help:"System message."`
	User     string `help:"User message." short:"u"`
	Messages string `help:"JSON file with {\"messages\": [...]} or a list of messages; - reads standard input." placeholder:"FILE"`
	Raw      string `help:"Plain text prompt, without the chat template."`
}

// read returns the conversation, or the plain text.
func (p *promptFlags) read(a *app) ([]dlm.Message, string, error) {
	given := 0
	for _, s := range []string{p.User, p.Messages, p.Raw} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return nil, "", usageError("give exactly one of --user, --messages and --raw")
	}
	if p.Raw != "" {
		return nil, p.Raw, nil
	}
	if p.Messages != "" {
		msgs, err := readMessages(p.Messages, a.stdin)
		return msgs, "", err
	}
	var msgs []dlm.Message
	if p.System != "" {
		msgs = append(msgs, dlm.Message{Role: "system", Content: p.System})
	}
	return append(msgs, dlm.Message{Role: "user", Content: p.User}), "", nil
}

func readMessages(path string, stdin io.Reader) ([]dlm.Message, error) {
	var data []byte
	var err error
	if path == "-" {
		path = "standard input"
		data, err = io.ReadAll(stdin)
	} else {
		data, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, err
	}
	var row struct {
		Messages []dlm.Message `json:"messages"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		err = json.Unmarshal(data, &row.Messages)
	} else {
		err = json.Unmarshal(data, &row)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: expected {\"messages\": [...]} or a list of messages: %w", path, err)
	}
	if len(row.Messages) == 0 {
		return nil, fmt.Errorf("%s: no messages; expected {\"messages\": [{\"role\": ..., \"content\": ...}]}", path)
	}
	return row.Messages, nil
}

// samplingFlags are the sampling settings of commands that generate.
type samplingFlags struct {
	MaxTokens         int      `default:"128" help:"Tokens at most."`
	Temperature       float64  `placeholder:"X" help:"0 = greedy."`
	TopK              int      `placeholder:"K" help:"Keep the K likeliest tokens; 0 = all."`
	TopP              float64  `placeholder:"X" help:"Keep the likeliest tokens that hold this probability; 0 or 1 = all."`
	MinP              float64  `placeholder:"X" help:"Drop tokens less likely than this share of the likeliest; 0 = none."`
	RepetitionPenalty float64  `placeholder:"X" help:"Divide the logits of tokens already seen; 0 or 1 = off."`
	Seed              uint64   `help:"Seed of the random choices."`
	Stop              []string `help:"Stop before this text; may be given several times." sep:"none"`
}

func (s *samplingFlags) sampling() dlm.Sampling {
	return dlm.Sampling{
		MaxTokens: s.MaxTokens, Temperature: s.Temperature, TopK: s.TopK, TopP: s.TopP, MinP: s.MinP,
		RepetitionPenalty: s.RepetitionPenalty, Seed: s.Seed, Stop: s.Stop,
	}
}
