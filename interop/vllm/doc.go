// Package vllm checks driver/vllm against a real vLLM, and sets the
// log-probabilities of one adapter in the native engine, vLLM and transformers
// with PEFT beside each other. Its tests run with DLM_INTEROP=1 (make interop);
// interop/README.md says what they need.
package vllm
