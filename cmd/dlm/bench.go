package main

// benchCmd measures this machine.
type benchCmd struct {
	Train   benchTrainCmd   `cmd:"" help:"LoRA steps on random tokens: tokens/s and peak memory."`
	Prefill benchPrefillCmd `cmd:"" help:"Random prompts read through the serving engine: tokens/s."`
	Decode  benchDecodeCmd  `cmd:"" help:"Completions made through the serving engine, with or without adapters: tokens/s and time a token."`
	Serve   benchServeCmd   `cmd:"" help:"Load on a server from outside, closed or open loop, adapters mixed: throughput, TTFT, ITL, goodput, errors."`
	Base    benchBaseCmd    `cmd:"" help:"Write a base with random weights in the shape of a published one."`
}
