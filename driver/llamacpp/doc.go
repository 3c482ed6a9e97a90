// Package llamacpp answers through llama.cpp's server, which it runs as a child:
// a GGUF file, and a GGUF LoRA beside it, asked as their users will ask them. It is
// sent token ids, so that no tokenizer or template but the base's own has a say, and
// gives their log-probabilities, unchanged by sampling parameters.
package llamacpp
