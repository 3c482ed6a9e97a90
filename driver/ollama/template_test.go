package ollama

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"dlm"
	"dlm/internal/testkit"
)

// renderer is an Encoder whose template is a function of Go.
type renderer struct {
	dlm.Encoder
	f func(msgs []dlm.Message) (text, generation string, err error)
}

func (r renderer) Render(msgs []dlm.Message, generation bool) (string, error) {
	s, g, err := r.f(msgs)
	if generation {
		s += g
	}
	return s, err
}

// llama3 is the template of Llama 3.1 without tools, its date fixed.
func llama3(msgs []dlm.Message) (string, string, error) {
	var b strings.Builder
	sys := ""
	if msgs[0].Role == "system" {
		sys, msgs = strings.TrimSpace(msgs[0].Content), msgs[1:]
	}
	b.WriteString("<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nCutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n" + sys + "<|eot_id|>")
	for _, m := range msgs {
		fmt.Fprintf(&b, "<|start_header_id|>%s<|end_header_id|>\n\n%s<|eot_id|>", m.Role, strings.TrimSpace(m.Content))
	}
	return b.String(), "<|start_header_id|>assistant<|end_header_id|>\n\n", nil
}

// chatML is that of SmolLM2: a system message of its own where there is none.
func chatML(msgs []dlm.Message) (string, string, error) {
	s := ""
	if msgs[0].Role != "system" {
		s = "<|im_start|>system\nYou are {{ nobody }}.<|im_end|>\n"
	}
	for _, m := range msgs {
		s += "<|im_start|>" + m.Role + "\n" + m.Content + "<|im_end|>\n"
	}
	return s, "<|im_start|>assistant\n", nil
}

// gemma knows no system message and calls the assistant otherwise.
func gemma(msgs []dlm.Message) (string, string, error) {
	s := "<bos>"
	for _, m := range msgs {
		switch m.Role {
		case "system":
			return "", "", errors.New("system role not supported")
		case "assistant":
			m.Role = "model"
		}
		s += "<start_of_turn>" + m.Role + "\n" + m.Content + "<end_of_turn>\n"
	}
	return s, "<start_of_turn>model\n", nil
}

// numbered writes something else around each message.
func numbered(msgs []dlm.Message) (string, string, error) {
	s := ""
	for i, m := range msgs {
		s += fmt.Sprintf("[%d %s] %s\n", i, m.Role, m.Content)
	}
	return s, "[answer] ", nil
}

func TestTemplate(t *testing.T) {
	for name, c := range map[string]struct {
		enc  dlm.Encoder
		bos  string
		want []string // parts of the translation
	}{
		"llama 3":        {renderer{f: llama3}, "<|begin_of_text|>", []string{"Cutting Knowledge Date", "{{ .Content }}<|eot_id|>"}},
		"llama 3, bos":   {renderer{f: llama3}, "", []string{"<|begin_of_text|>"}},
		"ChatML":         {renderer{f: chatML}, "", []string{`{{ "<|im_start|>system\nYou are {{ nobody }}.<|im_end|>\n" }}`}},
		"without system": {renderer{f: gemma}, "<bos>", []string{"<start_of_turn>model\n{{ .Content }}"}},
		"bytes":          {testkit.ByteCodec{}, "", []string{"<|im_start|>user\n{{ .Content }}<|im_end|>"}},
	} {
		got, err := Template(c.enc, c.bos) // compares by itself
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %q is not in %s", name, w, got)
			}
		}
		if c.bos != "" && strings.Contains(got, c.bos) {
			t.Errorf("%s: begins a text that the tokenizer begins too: %s", name, got)
		}
	}
	_, err := Template(renderer{f: numbered}, "")
	wants(t, err, "cannot be translated", "by hand")
	// One that wraps three messages alike and the fourth otherwise is found by comparison.
	_, err = Template(renderer{f: func(msgs []dlm.Message) (string, string, error) {
		s, g, err := chatML(msgs)
		if len(msgs) > 4 {
			s = "<long>" + s
		}
		return s, g, err
	}}, "")
	wants(t, err, "cannot be translated", "<long>")
}

func TestModelfile(t *testing.T) {
	text, err := Modelfile{From: "a.gguf", Adapter: "b.gguf", Template: "{{ .X }}\n", System: "Be\nbrief.", Stop: []string{"<|im_end|>"}, Context: 4096, License: "Apache-2.0", Comment: "one\ntwo"}.Text()
	if err != nil {
		t.Fatal(err)
	}
	want := "# one\n# two\nFROM ./a.gguf\nADAPTER ./b.gguf\nTEMPLATE \"\"\"{{ .X }}\n\"\"\"\nSYSTEM \"\"\"Be\nbrief.\"\"\"\nLICENSE \"\"\"Apache-2.0\"\"\"\n" +
		"PARAMETER temperature 0\nPARAMETER repeat_penalty 1\nPARAMETER num_ctx 4096\nPARAMETER stop \"<|im_end|>\"\n"
	if text != want {
		t.Errorf("%s", text)
	}
	for _, m := range []Modelfile{{System: `say """`}, {System: `"quoted"`}, {Stop: []string{"a\"b"}}} {
		_, err := m.Text()
		wants(t, err, "cannot")
	}
}
