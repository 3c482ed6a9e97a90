// Package tokenizer turns text into token ids and ids back into bytes:
// byte-level BPE as SmolLM2, Llama-3 and Qwen2 use it.
//
// Main functions: New builds a tokenizer from the metadata of a GGUF file,
// FromJSON from a tokenizer.json; Tokenizer.Encode and Tokenizer.Decode do the
// work. Ids are those of the Hugging Face tokenizers library, exactly.
//
// Text goes through five steps:
//
//	added tokens   strings such as <|im_end|> are cut out of the text (added.go)
//	normaliser     none or NFC (nfc.go)
//	pre-tokeniser  the rest is cut into words by hand-written scanners (split.go)
//	byte level     a word is its UTF-8 bytes, one start token each (bytes.go)
//	BPE            neighbours merge, lowest rank first (bpe.go, cache.go)
//
// Special tokens in text are text unless the caller asks otherwise: Encode
// never yields the id of a special token, EncodeSpecial does, EncodeSpans does
// outside of the given spans. A chat message can so never end its own turn.
//
// The package knows bytes and ids. It must not know roles, templates, tensors
// or files. A Tokenizer may be used by many goroutines at once.
package tokenizer
