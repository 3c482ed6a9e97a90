// Package ollama writes Modelfiles and answers through Ollama, which it runs as a
// child or finds running: what a Modelfile makes of its files, asked as Ollama's
// users ask it, with Ollama's own rendering of the chat template.
package ollama
