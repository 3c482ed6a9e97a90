package route

import (
	"dlm"
	"dlm/serve"
)

// Engine is something that answers: the native engine, or a server behind the gateway.
type Engine struct {
	Name     string // in answers and metrics: "native", the upstream's name
	Model    string // what a request calls the base itself; "" = the base cannot be asked for
	Root     string // where the base lies, for /v1/models; "" = its digest
	Base     dlm.Digest
	Template string // hash of the chat template, "" = not known
	Context  int    // tokens, 0 = not known
	System   string // system message put before conversations that have none

	Generator dlm.Generator
	Scorer    dlm.Scorer      // nil = it has none
	Codec     dlm.Codec       // nil = it sees text alone
	Embedder  dlm.Embedder    // nil = it has none
	Host      dlm.AdapterHost // nil = adapters are read when they are first asked for

	// Folders says that it answers with adapter folders (dlm.GenerateRequest.Adapter
	// is a path). Adapters of Base come to the first engine of which it is true.
	Folders bool
	// Models are what the engine serves under names of its own, besides the base.
	Models []EngineModel
}

// EngineModel is an engine's own name for something that it serves.
type EngineModel struct {
	Name   string // for requests to the gateway
	Ref    string // what dlm.GenerateRequest.Adapter is to be
	Root   string // for /v1/models
	Parent string // an adapter's base, for /v1/models
}

func (e *Engine) target(model, name string) serve.Target {
	return serve.Target{
		Model: model, Name: name, Base: e.Base, Template: e.Template, Engine: e.Name, System: e.System,
		Generator: e.Generator, Scorer: e.Scorer, Codec: e.Codec, Embedder: e.Embedder,
	}
}
