// Package weights reads the files that base models and adapters are stored in
// and hands out their tensors: GGUF, safetensors files, and Hugging Face folders
// of (sharded) safetensors.
//
// The main function is Open, which returns a Checkpoint: the architecture's
// Config, tensors under their Hugging Face names whatever the file format, the
// tokenizer's vocabulary and the chat template, and the hash that names the base.
// Files are memory-mapped; a tensor is a view of the file until Panels packs it
// for the kernels at its stored bit width.
//
// Everything in a file is untrusted: every length, count and offset is checked
// against the file's size before it is used, and what the architecture needs must
// be there with the right shape, with nothing left over.
//
// The package knows no tokens, no forward pass and no network.
package weights
