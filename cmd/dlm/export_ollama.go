package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"dlm"
	"dlm/driver/native"
	"dlm/driver/ollama"
)

// exportOllamaCmd writes what `ollama create` takes.
type exportOllamaCmd struct {
	exportFlags
	Type    string `enum:"f16,q8_0,q4_0,q4_k" default:"q8_0" help:"f16, q8_0, q4_0, or q4_k."`
	LoRA    bool   `name:"lora" help:"The base as it is and the adapter beside it, instead of one merged file."`
	Context int    `help:"num_ctx: tokens of prompt and answer (default: the base's, at most 4096)." placeholder:"N"`
	License string `help:"License of the result." placeholder:"TEXT"`
	Ollama  string `help:"The ollama program (default: DLM_OLLAMA, else the one in PATH)." placeholder:"PATH"`
	Host    string `help:"Prove through this server, which runs already, instead of a child: http://127.0.0.1:11434." placeholder:"URL"`
}

func (c *exportOllamaCmd) Run(a *app) error {
	if c.Context < 0 {
		return usageError("--context: %d; expected a number of tokens", c.Context)
	}
	return c.run(a, "ollama", c.Type, c.write, func(e *export) (string, dlm.Generator, dlm.Scorer, func() error, error) {
		binary, err := ollama.Find(c.Ollama)
		if err != nil {
			return "", nil, nil, nil, err
		}
		g, err := ollama.Open(a.ctx, ollama.Options{
			Binary: binary, Host: c.Host, Modelfile: filepath.Join(e.part, modelfile), Codec: e.n, Context: c.context(e), Threads: e.n.Threads(),
		})
		if err != nil {
			return "", nil, nil, nil, err
		}
		return "ollama", g, nil, g.Close, nil
	})
}

const modelfile = "Modelfile"

func (c *exportOllamaCmd) context(e *export) int {
	if c.Context > 0 {
		return min(c.Context, e.n.Context())
	}
	return min(e.n.Context(), 4096)
}

func (c *exportOllamaCmd) write(e *export) (err error) {
	if !e.n.HasTemplate() {
		return errors.New("the base has no chat template; Ollama's would be a guess")
	}
	m := ollama.Modelfile{Context: c.context(e), License: c.License}
	if m.Template, err = ollama.Template(e.n, e.n.AddedBOS()); err != nil {
		return err
	}
	if e.l != nil {
		m.System, m.Temperature = e.l.p.System, e.l.p.Sampling().Temperature
	}
	for _, id := range e.n.StopIDs() {
		m.Stop = append(m.Stop, e.n.Piece(id))
	}
	m.Comment = fmt.Sprintf("%s, written by dlm %s: base %s", e.name, version(), e.rec.Base.Digest.Short())
	if e.rec.Adapter != nil {
		m.Comment += ", adapter " + e.rec.Adapter.Weights.Short() + " (its weights)"
	}
	if err := c.weights(e, &m); err != nil {
		return err
	}
	text, err := m.Text()
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(e.part, modelfile), []byte(text), 0o644)
}

// weights writes the GGUF files that the Modelfile names.
func (c *exportOllamaCmd) weights(e *export, m *ollama.Modelfile) error {
	if !c.LoRA {
		m.From = e.fileName("-" + c.Type + ".gguf")
		return e.n.WriteGGUF(filepath.Join(e.part, m.From), native.GGUFOptions{Type: c.Type, Adapter: e.dir, Name: e.name, License: c.License})
	}
	if e.dir == "" {
		return usageError("--lora: the base alone has no adapter; name one")
	}
	m.From, m.Adapter = "base.gguf", e.fileName("-lora.gguf")
	base := filepath.Join(e.part, m.From)
	if err := e.n.WriteGGUFLoRA(filepath.Join(e.part, m.Adapter), e.dir); err != nil {
		return err
	}
	if e.n.IsGGUF() {
		e.rec.Type = "as the base"
		return copyFile(e.n.Path(), base)
	}
	return e.n.WriteGGUF(base, native.GGUFOptions{Type: c.Type})
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	return writeTo(to, func(out *os.File) error { _, err := io.Copy(out, in); return err })
}
