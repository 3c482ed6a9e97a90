package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"dlm"
	"dlm/driver/llamacpp"
	"dlm/driver/native"
)

// exportCmd writes base and adapter for engines that load no adapter, or not
// this way, and proves that they answer as they did here.
type exportCmd struct {
	HF       exportHFCmd       `cmd:"" name:"hf" help:"A Hugging Face folder: base and adapter merged, or the base alone."`
	GGUF     exportGGUFCmd     `cmd:"" name:"gguf" help:"One GGUF file of base and adapter, for llama.cpp and what is built on it."`
	GGUFLoRA exportGGUFLoRACmd `cmd:"" name:"gguf-lora" help:"The adapter alone as a GGUF LoRA file, for llama.cpp beside a GGUF of the base."`
	Ollama   exportOllamaCmd   `cmd:"" help:"A Modelfile with its weights, for ollama create."`
}

// exportFlags are those of every export.
type exportFlags struct {
	setFlags
	Adapter     string `arg:"" optional:"" help:"Alias, name, digest or PEFT folder; \"base\": the base alone (default: what the project promotes)."`
	Out         string `short:"o" required:"" help:"Folder to write; an earlier export there is replaced." placeholder:"DIR"`
	Base        string `help:"Base model, outside of a project; there is no golden set then, so it takes --no-proof." placeholder:"REF"`
	NoProof     bool   `help:"Do not ask the golden set; recorded."`
	LlamaServer string `help:"llama.cpp's llama-server (default: DLM_LLAMA_SERVER, else the one in PATH)." placeholder:"PATH"`
}

// export is one export on its way.
type export struct {
	a    *app
	f    *exportFlags
	l    *pipeline // nil outside of a project
	n    *native.Native
	dir  string // PEFT folder of the adapter; "" = the base alone
	name string // of what is exported, for files and people
	part string // folder that becomes Out
	rec  exportRecord
}

// prover opens the engine that an export is proved through.
type prover func(e *export) (name string, g dlm.Generator, s dlm.Scorer, stop func() error, err error)

// run writes an export by write, proves it through open, and gives it its place.
func (f *exportFlags) run(a *app, kind, typ string, write func(e *export) error, open prover) error {
	e := &export{a: a, f: f, rec: exportRecord{Format: exportFormat, Kind: kind, Type: typ, Code: version(), NoProof: f.NoProof}}
	if err := e.prepare(); err != nil {
		return err
	}
	if err := os.RemoveAll(e.part); err != nil {
		return err
	}
	if err := os.MkdirAll(e.part, 0o755); err != nil {
		return err
	}
	done := false
	defer func() {
		if !done { // of no use to anyone
			_ = os.RemoveAll(e.part)
		}
	}()
	a.notef("writing %s", kindText(kind, typ))
	if err := write(e); err != nil {
		return err
	}
	if err := e.listFiles(); err != nil {
		return err
	}
	if !f.NoProof {
		if err := e.prove(open); err != nil {
			return err
		}
	}
	done = true
	return e.finish()
}

// prepare resolves base, adapter and folder, and refuses what cannot work before
// anything is computed.
func (e *export) prepare() error {
	out, err := filepath.Abs(e.f.Out)
	if err != nil {
		return err
	}
	e.part = out + ".part"
	if err := replaceableExport(out); err != nil {
		return err
	}
	if e.f.Base == "" {
		err = e.fromProject()
	} else {
		err = e.fromBase()
	}
	if err != nil {
		return err
	}
	e.rec.Base = exportedBase{Digest: e.n.Digest(), Name: e.n.Identity().BaseName}
	if e.dir == "" {
		return nil
	}
	weights, size, err := fileDigest(filepath.Join(e.dir, "adapter_model.safetensors"))
	if err != nil {
		return err
	}
	if e.rec.Adapter == nil {
		e.rec.Adapter = &exportedAdapter{Name: filepath.Base(e.dir)}
	}
	e.rec.Adapter.Weights, e.rec.Adapter.Bytes = weights, size
	return e.n.CheckAdapter(e.dir)
}

func (e *export) fromProject() (err error) {
	if e.l, err = e.a.newPipeline(e.f.Set); err != nil {
		return err
	}
	if !e.f.NoProof {
		if err := e.l.needGolden(); err != nil {
			return fmt.Errorf("%w; or export without a proof: --no-proof", err)
		}
	}
	ref := e.f.Adapter
	if ref == "" {
		ref = e.l.p.Promote.Alias
	}
	e.name = e.l.p.Name
	if e.dir, err = e.a.adapterDir(ref); err != nil {
		return err
	}
	if _, statErr := os.Stat(filepath.Join(ref, "adapter_config.json")); e.dir != "" && statErr != nil {
		art, err := e.a.findAdapter(ref)
		if err != nil {
			return err
		}
		e.rec.Adapter = &exportedAdapter{ID: art.ID, Name: art.Name}
	}
	e.n, err = e.l.native()
	return err
}

func (e *export) fromBase() (err error) {
	if !e.f.NoProof {
		return usageError("--base: a proof asks a project's golden set; work in a project, or add --no-proof")
	}
	if e.dir, err = e.a.adapterDir(e.f.Adapter); err != nil {
		return err
	}
	if e.n, _, err = e.a.openBase(e.f.Base, "bf16"); err != nil {
		return err
	}
	e.name = strings.TrimSuffix(filepath.Base(e.f.Base), ".gguf")
	if e.dir != "" {
		e.name = filepath.Base(e.dir)
	}
	return nil
}

// fileName is a name for a file of the export, of plain characters.
func (e *export) fileName(suffix string) string {
	plain := func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}
	return strings.Trim(strings.Map(plain, e.name), "-.") + suffix
}

type exportHFCmd struct {
	exportFlags
	Type string `enum:"bf16,f16,f32" default:"bf16" help:"How weights are stored: bf16, f16 or f32."`
}

func (c *exportHFCmd) Run(a *app) error {
	return c.run(a, "hf", c.Type, func(e *export) error {
		return e.n.WriteHF(e.part, native.FolderOptions{Dtype: c.Type, Adapter: e.dir, Quantized: true})
	}, func(e *export) (string, dlm.Generator, dlm.Scorer, func() error, error) {
		return e.openNative(e.part)
	})
}

type exportGGUFCmd struct {
	exportFlags
	Type    string `enum:"f16,q8_0,q4_0,q4_k" default:"q8_0" help:"f16, q8_0, q4_0, or q4_k (llama.cpp's Q4_K_M)."`
	Engine  string `enum:"llama.cpp,native" default:"llama.cpp" help:"Engine to prove it through: llama.cpp or native."`
	License string `help:"License of the result, for the file's metadata." placeholder:"SPDX"`
}

func (c *exportGGUFCmd) Run(a *app) error {
	var file string
	return c.run(a, "gguf", c.Type, func(e *export) error {
		file = filepath.Join(e.part, e.fileName("-"+c.Type+".gguf"))
		return e.n.WriteGGUF(file, native.GGUFOptions{Type: c.Type, Adapter: e.dir, Name: e.name, License: c.License})
	}, func(e *export) (string, dlm.Generator, dlm.Scorer, func() error, error) {
		if c.Engine == "native" {
			return e.openNative(file)
		}
		return e.openLlama(file, "")
	})
}

type exportGGUFLoRACmd struct{ exportFlags }

func (c *exportGGUFLoRACmd) Run(a *app) error {
	var file string
	return c.run(a, "gguf-lora", "f32", func(e *export) error {
		if e.dir == "" {
			return usageError("ADAPTER: the base alone has no LoRA file; name an adapter")
		}
		file = filepath.Join(e.part, e.fileName("-lora.gguf"))
		return e.n.WriteGGUFLoRA(file, e.dir)
	}, func(e *export) (string, dlm.Generator, dlm.Scorer, func() error, error) {
		base := e.n.Path()
		if !e.n.IsGGUF() { // llama.cpp loads no folder: what its user would convert
			tmp, err := os.MkdirTemp(filepath.Dir(e.part), ".base-")
			if err != nil {
				return "", nil, nil, nil, err
			}
			e.a.onClose(func() error { return os.RemoveAll(tmp) })
			base = filepath.Join(tmp, "base.gguf")
			if err := e.n.WriteGGUF(base, native.GGUFOptions{Type: "f16"}); err != nil {
				return "", nil, nil, nil, err
			}
		}
		return e.openLlama(base, file)
	})
}

// openNative opens an export with our own engine.
func (e *export) openNative(path string) (string, dlm.Generator, dlm.Scorer, func() error, error) {
	n, err := native.Open(path, native.Options{Precision: e.n.Precision(), Threads: e.a.flags.Threads, Code: version()})
	if err != nil {
		return "", nil, nil, nil, err
	}
	return "native", n, n, n.Close, nil
}

// openLlama opens a GGUF with llama.cpp.
func (e *export) openLlama(model, lora string) (string, dlm.Generator, dlm.Scorer, func() error, error) {
	server, err := llamacpp.Find(e.f.LlamaServer)
	if err != nil {
		return "", nil, nil, nil, err
	}
	g, err := llamacpp.Open(e.a.ctx, llamacpp.Options{Server: server, Model: model, LoRA: lora, Codec: e.n, Threads: e.n.Threads()})
	if err != nil {
		return "", nil, nil, nil, err
	}
	return "llama.cpp", g, g, g.Close, nil
}

func kindText(kind, typ string) string {
	switch kind {
	case "hf":
		return "a Hugging Face folder (" + typ + ")"
	case "gguf":
		return "a GGUF file (" + typ + ")"
	case "gguf-lora":
		return "a GGUF LoRA file (" + typ + ")"
	}
	return "a Modelfile with its weights (" + typ + ")"
}
