package native

import (
	"fmt"
	"math"

	"dlm/engine/weights"
)

// benchTemplate is ChatML, as the instruct bases of these shapes use it.
const benchTemplate = `{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}{% endfor %}` +
	`{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}`

// benchVocab is the metadata of a tokenizer of n tokens: three special ones, the
// 256 bytes, and names for the rest, which no text gives. Text takes a token a
// byte, so any text can be trained on and answered.
func benchVocab(n int, pre string) []weights.KV {
	const normal, control, unused = 1, 3, 5
	tokens, types := []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}, []int32{control, control, control}
	for b := range 256 {
		tokens, types = append(tokens, string(byteRune(b))), append(types, normal)
	}
	for i := len(tokens); i < n; i++ {
		tokens, types = append(tokens, fmt.Sprintf("[unused%d]", i)), append(types, unused)
	}
	const p = "tokenizer.ggml."
	return []weights.KV{
		{Key: p + "model", Value: "gpt2"}, {Key: p + "pre", Value: pre},
		{Key: p + "tokens", Value: tokens}, {Key: p + "token_type", Value: types}, {Key: p + "merges", Value: []string{}},
		{Key: p + "bos_token_id", Value: uint32(1)}, {Key: p + "eos_token_id", Value: uint32(2)}, {Key: p + "padding_token_id", Value: uint32(0)},
		{Key: p + "add_bos_token", Value: false}, {Key: "tokenizer.chat_template", Value: benchTemplate},
	}
}

// byteRune is the character that stands for a byte in GPT-2's byte-level
// alphabet: printable bytes stand for themselves, the others, in order, for the
// characters from 256.
func byteRune(b int) rune {
	plain := func(b int) bool { return b >= '!' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae }
	if plain(b) {
		return rune(b)
	}
	n := 0
	for i := range b {
		if !plain(i) {
			n++
		}
	}
	return rune(256 + n)
}

func invSqrt(n int) float64 { return 1 / math.Sqrt(float64(n)) }
