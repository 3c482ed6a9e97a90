package main

import "github.com/alecthomas/kong"

// cli is the command line: one verb a step, in the order of the life cycle.
type cli struct {
	globals
	Version kong.VersionFlag `help:"Print the version."`

	Init   initCmd   `cmd:"" help:"Begin a project: a commented dlm.yaml, from your own file or with an example."`
	Doctor doctorCmd `cmd:"" help:"What this machine can run: kernels, threads, memory, and the project's plan."`
	Pull   pullCmd   `cmd:"" help:"Get a base model: smollm2-135m-instruct, hf:owner/name, or a path; or an adapter: hf:owner/name."`
	Push   pushCmd   `cmd:"" help:"Put an adapter on the Hub, with a model card made from its lineage."`

	Run     runCmd     `cmd:"" help:"Bring the whole project up to date: check, train, evaluate, gate, promote."`
	Data    dataCmd    `cmd:"" help:"Look at training data as the base model will see it."`
	Golden  goldenCmd  `cmd:"" help:"Golden sets: new, add, split, lock, show."`
	Train   trainCmd   `cmd:"" help:"Train an adapter."`
	Trainer trainerCmd `cmd:"" help:"Trainers outside of dlm: install."`
	Eval    evalCmd    `cmd:"" help:"Evaluate baselines and an adapter on the golden set."`
	Gate    gateCmd    `cmd:"" help:"Is an adapter good enough? Exit code 0 pass, 3 fail, 4 inconclusive."`

	Adapters adaptersCmd `cmd:"" help:"Adapters and their aliases: list, promote, rollback, canary, alias, diff, import, card."`
	Export   exportCmd   `cmd:"" help:"Write base and adapter for other engines, with a proof by the golden set: hf, gguf, gguf-lora, ollama."`
	Chat     chatCmd     `cmd:"" help:"Talk to a base or an adapter in the terminal."`
	Serve    serveCmd    `cmd:"" help:"Answer OpenAI's API: the base, every adapter and alias, other engines; many adapters in one batch."`
	Keys     keysCmd     `cmd:"" help:"API keys of dlm serve: add, list, revoke, rotate."`
	Runs     runsCmd     `cmd:"" help:"Runs: list, show, compare, stop, resume."`
	Lineage  lineageCmd  `cmd:"" help:"What an artifact was made from."`

	Tokenize tokenizeCmd `cmd:"" help:"Token ids and pieces of a text."`
	Render   renderCmd   `cmd:"" help:"A conversation as the chat template writes it, with its mask."`
	Generate generateCmd `cmd:"" help:"Answer one prompt."`
	Logprobs logprobsCmd `cmd:"" help:"The log-probability of each token of a completion."`
	Bench    benchCmd    `cmd:"" help:"Figures on this machine."`
}
