package trl

import "strings"

// known holds the sizes of bases that there are profiles for, as their config.json
// on the Hugging Face Hub has them, so that memory can be planned before 15 GB are
// fetched. Parameters: 7,615,616,512 and 8,030,261,248 (see vram_test.go).
var known = map[string]string{
	"qwen/qwen2.5-7b": `{"model_type": "qwen2", "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28,
 "num_key_value_heads": 4, "vocab_size": 152064, "max_position_embeddings": 32768, "tie_word_embeddings": false}`,
	"meta-llama/llama-3.1-8b": `{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32,
 "num_key_value_heads": 8, "vocab_size": 128256, "max_position_embeddings": 131072, "tie_word_embeddings": false}`,
}

// KnownShape returns the sizes of a base by its reference on the Hub
// (hf:owner/name[@revision]); its instruct variant has the same.
func KnownShape(ref string) (Shape, bool) {
	name, _, _ := strings.Cut(strings.TrimPrefix(strings.ToLower(ref), "hf:"), "@")
	config, ok := known[strings.TrimSuffix(name, "-instruct")]
	if !ok {
		return Shape{}, false
	}
	s, err := ParseShape([]byte(config))
	return s, err == nil
}
