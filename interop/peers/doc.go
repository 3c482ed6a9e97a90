// Package peers runs the suite of Generator against real servers of others:
// llama.cpp's and Ollama, each through its own driver and through driver/openai.
// Its tests run with DLM_INTEROP=1 (make interop); interop/README.md says what
// they need.
package peers
