package load

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"dlm"
)

// Prompt is what one request asks: one of the three.
type Prompt struct {
	Messages []dlm.Message // a conversation: chat completions
	Text     string        // completions
	IDs      []int32       // completions, of token ids
}

// ReadPrompts reads JSON lines, one prompt each: {"messages": [...]} or
// {"prompt": "..."}, where "prompt" may be a list of messages as well. An answer
// at the end of the messages is left out, and other fields are ignored, so rows
// to train on and golden sets serve as they are.
func ReadPrompts(r io.Reader) ([]Prompt, error) {
	var out []Prompt
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 16<<20)
	for n := 1; sc.Scan(); n++ {
		if len(sc.Bytes()) == 0 {
			continue
		}
		p, err := readPrompt(sc.Bytes())
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		out = append(out, p)
	}
	if err := sc.Err(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, errors.New("no line holds a prompt")
	}
	return out, nil
}

func readPrompt(line []byte) (Prompt, error) {
	var l struct {
		Messages []dlm.Message   `json:"messages"`
		Prompt   json.RawMessage `json:"prompt"`
	}
	if err := json.Unmarshal(line, &l); err != nil {
		return Prompt{}, err
	}
	p := Prompt{Messages: l.Messages}
	if len(p.Messages) == 0 && len(l.Prompt) > 0 {
		if err := json.Unmarshal(l.Prompt, &p.Text); err != nil {
			if err := json.Unmarshal(l.Prompt, &p.Messages); err != nil {
				return Prompt{}, errors.New(`"prompt" is neither text nor a list of messages`)
			}
		}
	}
	for len(p.Messages) > 0 && p.Messages[len(p.Messages)-1].Role == "assistant" {
		p.Messages = p.Messages[:len(p.Messages)-1]
	}
	if len(p.Messages) == 0 && p.Text == "" {
		return Prompt{}, errors.New(`expected "messages" that ask something, or "prompt"`)
	}
	return p, nil
}
